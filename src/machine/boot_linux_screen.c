/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * boot_linux_screen.c - screen_info, in which Linux reads what mode the screen is in (Documentation/arch/x86/
 * zero-page.rst; its fields are those of struct screen_info).
 *
 * The mode is the boot loader's to set: "vga=" of the command line is an option of loaders, and what the setup sectors
 * do with it (Documentation/admin-guide/svga.rst) is done here, as they are not run. Text of 80x25 is what they leave
 * when nothing is asked for.
 */
#include "machine/boot.h"

#define VESA_FIRST 0x200u /* vga=0x200 + n is mode n of VBE */
#define VESA_LAST 0x3ffu
/* Where text cannot be had: 800x600, 32 bits. */
#define INSTEAD_OF_TEXT 0x143u

/* screen_info, offsets in boot_params */
#define SI_MODE 0x06
#define SI_COLUMNS 0x07
#define SI_EGA_BX 0x0a
#define SI_ROWS 0x0e
#define SI_IS_VGA 0x0f
#define SI_POINTS 0x10
#define SI_WIDTH 0x12
#define SI_HEIGHT 0x14
#define SI_DEPTH 0x16
#define SI_BASE 0x18
#define SI_SIZE_64K 0x1c
#define SI_LINE_BYTES 0x24
#define SI_COLORS 0x26 /* red, green, blue, the rest: size and position each */
#define SI_PAGES 0x32
#define SI_ATTRIBUTES 0x34

#define VIDEO_TYPE_VGA 0x01
#define VIDEO_TYPE_VLFB 0x23 /* a linear picture */
#define EGA_BX_256K 0x03
#define VBE_ATTRIBUTES 0x9b /* supported, with colours, graphics, linear; no VGA windows needed */

/* The last "vga=" of the command line as a mode of VBE; 0: text is as well. */
static unsigned wanted(const char *append)
{
	unsigned mode = 0;

	for (const char *p = append ? append : ""; *p; p += strcspn(p, " ")) {
		p += strspn(p, " ");
		if (strncmp(p, "vga=", 4))
			continue;
		unsigned long n = strtoul(p + 4, NULL, 0);
		mode = n >= VESA_FIRST && n <= VESA_LAST ? (unsigned)n - VESA_FIRST : 0;
	}
	return mode;
}

static void text(u8 *zp, const struct boot_screen *s)
{
	zp[SI_MODE] = BOOT_SCREEN_TEXT;
	zp[SI_COLUMNS] = (u8)s->columns;
	zp[SI_ROWS] = (u8)s->rows;
	st_le16(zp + SI_EGA_BX, EGA_BX_256K);
	zp[SI_IS_VGA] = VIDEO_TYPE_VGA;
	st_le16(zp + SI_POINTS, (u16)s->glyph_lines);
}

/* Sizes of red, green, blue and what is left, for a depth; blue is lowest. */
static void colors(u8 *at, unsigned bits)
{
	static const struct {
		u8 bits, size[4];
	} depths[] = { { 15, { 5, 5, 5, 1 } }, { 16, { 5, 6, 5, 0 } }, { 24, { 8, 8, 8, 0 } }, { 32, { 8, 8, 8, 8 } } };

	for (unsigned i = 0; i < ARRAY_LEN(depths); i++) {
		const u8 *n = depths[i].size;
		const u8 position[4] = { (u8)(n[1] + n[2]), n[2], 0, (u8)(n[0] + n[1] + n[2]) };

		for (unsigned k = 0; depths[i].bits == bits && k < 4; k++) {
			at[2 * k] = n[k];
			at[2 * k + 1] = n[k] ? position[k] : 0;
		}
	}
}

static void picture(u8 *zp, const struct boot_screen *s)
{
	zp[SI_IS_VGA] = VIDEO_TYPE_VLFB;
	st_le16(zp + SI_WIDTH, (u16)s->width);
	st_le16(zp + SI_HEIGHT, (u16)s->height);
	st_le16(zp + SI_DEPTH, (u16)s->bits);
	st_le32(zp + SI_BASE, (u32)s->base);
	st_le32(zp + SI_SIZE_64K, (u32)(s->bytes >> 16));
	st_le16(zp + SI_LINE_BYTES, (u16)s->line_bytes);
	colors(zp + SI_COLORS, s->bits);
	st_le16(zp + SI_PAGES, 1);
	st_le16(zp + SI_ATTRIBUTES, VBE_ATTRIBUTES);
}

void boot_linux_screen(u8 *zp, const struct boot_params *p)
{
	struct boot_screen s;
	unsigned mode = wanted(p->append);

	if (!p->screen)
		return;
	if (mode && p->screen(p->screen_opaque, mode, &s) == 0)
		picture(zp, &s);
	else if (p->screen(p->screen_opaque, BOOT_SCREEN_TEXT, &s) == 0)
		text(zp, &s);
	else if (p->screen(p->screen_opaque, INSTEAD_OF_TEXT, &s) == 0)
		picture(zp, &s);
}
