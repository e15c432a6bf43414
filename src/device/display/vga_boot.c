/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vga_boot.c - the mode that a kernel finds when no firmware has run: what a video BIOS leaves behind.
 *
 * Text is mode 3 with 400 lines (IBM VGA reference: the parameters of that mode), with the character set of 8x16 that
 * lies in the card's option ROM. Modes of a linear picture are those that VBE numbers (VBE 3.0, 3), and the ones of 32
 * bits a pixel that the Bochs video BIOS has besides.
 */
#include "device/display/vga.h"

#define TEXT_COLUMNS 80u
#define TEXT_ROWS 25u
#define GLYPH_BYTES 16u
#define GLYPHS 256u

/* ---- text ---- */

static const u8 misc = 0x67;
static const u8 sr[5] = { 0x03, 0x00, 0x03, 0x00, 0x02 };
static const u8 cr[25] = { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
			   0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff };
static const u8 gr[9] = { 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff };
static const u8 ar[21] = { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a,
			   0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00 };

/* A character set is known by its first two glyphs: nothing, and a smiling face. NULL: there is none. */
static const u8 *find_font(const u8 *rom, size_t bytes)
{
	static const u8 head[2 * GLYPH_BYTES] = { [18] = 0x7e, 0x81, 0xa5, 0x81, 0x81, 0xbd, 0x99, 0x81, 0x81, 0x7e };

	return memmem(rom, bytes - GLYPHS * GLYPH_BYTES + sizeof(head), head, sizeof(head));
}

/* Colour i of 64: bits 0 to 2 are two thirds of blue, green and red, bits 3 to 5 one third. */
static void ega_colors(struct vga *v)
{
	for (unsigned i = 0; i < 64; i++)
		for (unsigned k = 0; k < 3; k++)
			v->dac[i][k] = (u8)((i >> (2 - k) & 1) * 0x2a + (i >> (5 - k) & 1) * 0x15);
}

static int text_mode(struct vga *v, const u8 *font)
{
	vga_regs_reset(v);
	v->misc = misc;
	memcpy(v->sr, sr, sizeof(sr));
	memcpy(v->cr, cr, sizeof(cr));
	memcpy(v->gr, gr, sizeof(gr));
	memcpy(v->ar, ar, sizeof(ar));
	v->ar_index = AR_SOURCE;
	ega_colors(v);
	for (unsigned c = 0; c < GLYPHS; c++)
		for (unsigned y = 0; y < GLYPH_BYTES; y++)
			v->memory[(c * 32 + y) * 4 + 2] = font[c * GLYPH_BYTES + y];
	for (unsigned i = 0; i < TEXT_COLUMNS * TEXT_ROWS; i++) {
		v->memory[2 * i * 4] = ' ';
		v->memory[2 * i * 4 + 1] = 0x07; /* light grey on black */
	}
	ram_wrote_at(v->ram, v->off, GLYPHS * 32 * 4);
	return 0;
}

/* ---- linear pictures ---- */

static const struct vbe_mode {
	u16 number, width, height;
	u8 bits;
} modes[] = {
	{ 0x100, 640, 400, 8 },    { 0x101, 640, 480, 8 },    { 0x103, 800, 600, 8 },    { 0x105, 1024, 768, 8 },
	{ 0x107, 1280, 1024, 8 },  { 0x110, 640, 480, 15 },   { 0x111, 640, 480, 16 },   { 0x112, 640, 480, 24 },
	{ 0x113, 800, 600, 15 },   { 0x114, 800, 600, 16 },   { 0x115, 800, 600, 24 },   { 0x116, 1024, 768, 15 },
	{ 0x117, 1024, 768, 16 },  { 0x118, 1024, 768, 24 },  { 0x119, 1280, 1024, 15 }, { 0x11a, 1280, 1024, 16 },
	{ 0x11b, 1280, 1024, 24 }, { 0x142, 640, 480, 32 },   { 0x143, 800, 600, 32 },   { 0x144, 1024, 768, 32 },
	{ 0x145, 1280, 1024, 32 }, { 0x147, 1600, 1200, 32 },
};

static const struct vbe_mode *find_mode(unsigned number)
{
	for (unsigned i = 0; i < ARRAY_LEN(modes); i++)
		if (modes[i].number == number)
			return &modes[i];
	return NULL;
}

static void linear_mode(struct vga *v, const struct vbe_mode *m)
{
	vga_regs_reset(v);
	v->ar_index = AR_SOURCE;
	ega_colors(v);
	vga_vbe_write(v, VBE_XRES, m->width);
	vga_vbe_write(v, VBE_YRES, m->height);
	vga_vbe_write(v, VBE_BPP, m->bits);
	vga_vbe_write(v, VBE_ENABLE, VBE_ENABLED | VBE_LFB);
}

int vga_boot_mode(struct vga *v, unsigned number, struct boot_screen *out)
{
	const u8 *font = find_font(v->ram->host + v->rom_off, VGA_ROM_BYTES);
	const struct vbe_mode *m = find_mode(number);

	if (number == BOOT_SCREEN_TEXT ? !font : !m)
		return -ENOENT;
	pthread_mutex_lock(&v->lock);
	*out = (struct boot_screen){ 0 };
	if (number == BOOT_SCREEN_TEXT) {
		text_mode(v, font);
		*out = (struct boot_screen){ .columns = TEXT_COLUMNS, .rows = TEXT_ROWS, .glyph_lines = GLYPH_BYTES };
	} else {
		linear_mode(v, m);
		*out = (struct boot_screen){
			.base = ld_le32(v->pci.cfg + 0x10) & ~0xfu,
			.bytes = VGA_MEMORY_BYTES,
			.width = m->width,
			.height = m->height,
			.bits = m->bits,
			.line_bytes = vga_vbe_pitch(v),
		};
	}
	pthread_mutex_unlock(&v->lock);
	return 0;
}
