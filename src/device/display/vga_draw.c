/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vga_draw.c - what a VGA shows: its registers make a frame, a frame and video memory make lines (screen.h).
 *
 * The CRT controller counts characters: 8 pixels of 16 colours, 4 of 256, or a cell of text. The count becomes an
 * address by the mode control register (17h) and the underline register (14h): as it is, times 2, or times 4; in the
 * modes of older adapters the number of the line within a row replaces one or two of its bits.
 */
#include "device/display/vga.h"

enum { BLANK, TEXT, PLANAR, CGA4, PACKED, LINEAR };

/* flags */
#define F_WORD 0x01   /* counts are of 2 addresses, */
#define F_DWORD 0x02  /* ... of 4 */
#define F_WRAP13 0x04 /* the wrapped bit of word mode is 13, not 15 */
#define F_ROW13 0x08  /* bit 13 of the address is bit 0 of the line in its row, */
#define F_ROW14 0x10  /* ... bit 14 is bit 1 */
#define F_NINE 0x20   /* text: the ninth dot of line graphics repeats the eighth */
#define F_BLINK 0x40  /* text: bit 7 of the attribute is no colour; it does not blink here, though */
#define F_CURSOR 0x80

#define BLANK_WIDTH 640
#define BLANK_HEIGHT 400

/* ---- colours ---- */

static u32 dac_color(const struct vga *v, u8 i)
{
	const u8 *c = v->dac[i & v->dac_mask];
	u32 rgb = 0;

	for (unsigned k = 0; k < 3; k++)
		rgb = rgb << 8 | (v->vbe[VBE_ENABLE] & VBE_8BIT_DAC ? c[k] : (u8)(c[k] << 2 | (c[k] & 0x3f) >> 4));
	return rgb;
}

/* A colour of 4 bits goes through the attribute controller's palette (Attribute Controller registers 0 - f, 10, 14). */
static u8 attribute_color(const struct vga *v, unsigned i)
{
	u8 c = v->ar[i & 15];

	if (v->ar[AR_MODE] & 0x80)
		c = (u8)((c & 0x0f) | (v->ar[AR_COLOR] & 3) << 4);
	return (u8)(c | (v->ar[AR_COLOR] & 0x0c) << 4);
}

static void colors(const struct vga *v, struct screen_frame *f)
{
	bool direct = f->kind == PACKED || f->kind == LINEAR;

	for (unsigned i = 0; i < 256; i++)
		f->color[i] = dac_color(v, direct ? (u8)i : attribute_color(v, i));
}

/* ---- frames ---- */

static void blank(struct screen_frame *f)
{
	f->kind = BLANK;
	f->width = BLANK_WIDTH;
	f->height = BLANK_HEIGHT;
	f->bytes = 0;
}

static void linear_frame(const struct vga *v, struct screen_frame *f)
{
	unsigned bpp = v->vbe[VBE_BPP], pitch = vga_vbe_pitch(v);
	u64 x = (u64)v->vbe[VBE_X_OFFSET] * ((bpp + 7) / 8);

	f->kind = LINEAR;
	f->bits = (u8)bpp;
	f->width = v->vbe[VBE_XRES];
	f->height = v->vbe[VBE_YRES];
	f->line_bytes = pitch;
	f->start = (u32)(v->vbe[VBE_Y_OFFSET] * pitch + x);
	f->off = v->off + f->start;
	f->bytes = (u64)pitch * (f->height - 1) + (u64)f->width * ((bpp + 7) / 8);
	f->memory = v->memory + f->start;
}

static unsigned cr_lines(const struct vga *v, u8 low, unsigned bit8, unsigned bit9)
{
	return low | bit8 << 8 | bit9 << 9;
}

static void address_mode(const struct vga *v, struct screen_frame *f)
{
	u8 mode = v->cr[0x17];

	if (v->cr[0x14] & 0x40)
		f->flags |= F_DWORD;
	else if (!(mode & 0x40))
		f->flags |= F_WORD;
	if (!(mode & 0x20))
		f->flags |= F_WRAP13;
	if (!(mode & 0x01))
		f->flags |= F_ROW13;
	if (!(mode & 0x02))
		f->flags |= F_ROW14;
}

static void text_frame(const struct vga *v, struct screen_frame *f, unsigned columns, unsigned lines)
{
	static const u16 blocks[8] = { 0, 0x4000, 0x8000, 0xc000, 0x2000, 0x6000, 0xa000, 0xe000 };
	u8 s = v->sr[SR_FONT];

	f->kind = TEXT;
	f->dots = v->sr[SR_CLOCKING] & 1 ? 8 : 9;
	f->width = columns * f->dots;
	f->height = lines;
	f->char_lines = (u8)((v->cr[9] & 0x1f) + 1);
	f->font[0] = blocks[(s & 3) | (s >> 2 & 4)];
	f->font[1] = blocks[(s >> 2 & 3) | (s >> 3 & 4)];
	f->cursor = (u32)v->cr[0x0e] << 8 | v->cr[0x0f];
	f->cursor_first = v->cr[0x0a] & 0x1f;
	f->cursor_last = v->cr[0x0b] & 0x1f;
	if (!(v->cr[0x0a] & 0x20))
		f->flags |= F_CURSOR;
	if (v->ar[AR_MODE] & 0x04)
		f->flags |= F_NINE;
	if (v->ar[AR_MODE] & 0x08)
		f->flags |= F_BLINK;
}

static void graphics_frame(const struct vga *v, struct screen_frame *f, unsigned columns, unsigned lines)
{
	unsigned row = (v->cr[9] & 0x1fu) + 1;

	f->kind = v->gr[GR_MODE] & 0x40 ? PACKED : v->gr[GR_MODE] & 0x20 ? CGA4 : PLANAR;
	f->width = f->kind == PACKED ? columns * 4 : columns * 8;
	/* A line that is shown several times is one line of ours, unless each time is another address. */
	if (!(f->flags & (F_ROW13 | F_ROW14))) {
		f->char_lines = 1;
		lines /= row;
		f->split /= row;
	} else {
		f->char_lines = (u8)row;
	}
	f->height = lines;
	f->planes = v->ar[AR_PLANES] & 15;
	f->pan = f->kind == PACKED ? (v->ar[AR_PAN] & 7) / 2 : v->ar[AR_PAN] & 7;
}

static void vga_mode_frame(const struct vga *v, struct screen_frame *f)
{
	u8 overflow = v->cr[7];
	unsigned lines = cr_lines(v, v->cr[0x12], overflow >> 1 & 1, overflow >> 6 & 1) + 1;
	unsigned twice = v->cr[9] >> 7 ? 2 : 1, columns = v->cr[1] + 1u;
	u32 split = cr_lines(v, v->cr[0x18], overflow >> 4 & 1, v->cr[9] >> 6 & 1) + 1;

	address_mode(v, f);
	f->memory = v->memory;
	f->mask = (u32)VGA_MEMORY_BYTES - 1;
	f->start = (u32)v->cr[0x0c] << 8 | v->cr[0x0d];
	f->pitch = v->cr[0x13] * 2u;
	f->split = split / twice;
	if (vga_vbe_on(v)) { /* the Bochs modes of 4 bits */
		f->flags = 0;
		columns = v->vbe[VBE_XRES] / 8;
		lines = v->vbe[VBE_YRES];
		f->pitch = vga_vbe_pitch(v);
		f->start = v->vbe[VBE_Y_OFFSET] * f->pitch + v->vbe[VBE_X_OFFSET] / 8;
		f->split = UINT32_MAX;
		f->kind = PLANAR;
		f->char_lines = 1;
		f->planes = 15;
		f->width = columns * 8;
		f->height = lines;
	} else if (v->gr[GR_MISC] & 1) {
		graphics_frame(v, f, columns, lines / twice);
	} else {
		text_frame(v, f, columns, lines / twice);
	}
	if (f->width < 8 || f->height < 8 || f->width > SCREEN_WIDTH_MAX || f->height > SCREEN_HEIGHT_MAX)
		blank(f);
}

void vga_frame(void *opaque, struct screen_frame *f)
{
	struct vga *v = opaque;

	memset(f, 0, sizeof(*f));
	pthread_mutex_lock(&v->lock);
	if (!(v->ar_index & AR_SOURCE) || (v->sr[SR_CLOCKING] & 0x20 && !vga_vbe_on(v)))
		blank(f);
	else if (vga_vbe_on(v) && v->vbe[VBE_BPP] > 4)
		linear_frame(v, f);
	else
		vga_mode_frame(v, f);
	colors(v, f);
	pthread_mutex_unlock(&v->lock);
}

/* ---- lines ---- */

/* The four bytes at a count of the address counter, in line `row` of its row. */
static const u8 *at_count(const struct screen_frame *f, u32 count, unsigned row)
{
	u32 at = count;

	if (f->flags & F_DWORD)
		at = count << 2 | (count >> 14 & 3);
	else if (f->flags & F_WORD)
		at = count << 1 | (count >> (f->flags & F_WRAP13 ? 13 : 15) & 1);
	if (f->flags & F_ROW13)
		at = (at & ~0x2000u) | (row & 1) << 13;
	if (f->flags & F_ROW14)
		at = (at & ~0x4000u) | (row >> 1 & 1) << 14;
	return f->memory + (at * 4 & f->mask);
}

/* The counter at the beginning of line y's row, and where in the row the line is. */
static u32 row_start(const struct screen_frame *f, unsigned y, unsigned *in_row)
{
	u32 start = f->start;

	if (y >= f->split) {
		y -= f->split;
		start = 0;
	}
	*in_row = y % f->char_lines;
	return start + y / f->char_lines * f->pitch;
}

static void text_line(const struct screen_frame *f, unsigned y, u32 *out)
{
	unsigned in_row, columns = f->width / f->dots;
	u32 count = row_start(f, y, &in_row);

	for (unsigned i = 0; i < columns; i++, count++, out += f->dots) {
		const u8 *cell = at_count(f, count, 0);
		u8 c = cell[0], attr = cell[1];
		u8 glyph = f->memory[(((f->font[attr & 8 ? 0 : 1] + c * 32u + in_row) * 4) & f->mask) + 2];
		u32 fore = f->color[attr & 15], back = f->color[attr >> 4 & (f->flags & F_BLINK ? 7 : 15)];
		bool ninth = f->flags & F_NINE && (c & 0xe0) == 0xc0 && glyph & 1;

		if (f->flags & F_CURSOR && count == f->cursor && in_row >= f->cursor_first &&
		    in_row <= f->cursor_last) {
			glyph = 0xff;
			ninth = true;
		}
		for (unsigned x = 0; x < 8; x++)
			out[x] = glyph >> (7 - x) & 1 ? fore : back;
		if (f->dots == 9)
			out[8] = ninth ? fore : back;
	}
}

static unsigned planar_pixel(const u8 *quad, unsigned x)
{
	unsigned s = 7 - x;

	return (quad[0] >> s & 1) | (quad[1] >> s & 1) << 1 | (quad[2] >> s & 1) << 2 | (quad[3] >> s & 1) << 3;
}

/* Two bits a pixel: four of plane 0, then four of plane 1; planes 2 and 3 have the upper bits. */
static unsigned cga_pixel(const u8 *quad, unsigned x)
{
	unsigned s = 6 - x % 4 * 2, half = x / 4;

	return (quad[half] >> s & 3) | (quad[half + 2] >> s & 3) << 2;
}

static void graphics_line(const struct screen_frame *f, unsigned y, u32 *out)
{
	unsigned in_row, each = f->kind == PACKED ? 4 : 8;
	u32 count = row_start(f, y, &in_row);
	unsigned x = f->pan;

	for (unsigned n = f->width; n;) {
		const u8 *quad = at_count(f, count++, in_row);

		for (; x < each && n; x++, n--) {
			if (f->kind == PACKED)
				*out++ = f->color[quad[x]];
			else
				*out++ = f->color[(f->kind == PLANAR ? planar_pixel(quad, x) : cga_pixel(quad, x)) &
						  f->planes];
		}
		x = 0;
	}
}

/* Of `bits` bits, to 8. */
static u32 wide(u32 v, unsigned bits)
{
	v &= (1u << bits) - 1;
	return v << (8 - bits) | v >> (2 * bits - 8);
}

static void linear_line(const struct screen_frame *f, unsigned y, u32 *out)
{
	const u8 *p = f->memory + (size_t)y * f->line_bytes;

	for (unsigned x = 0; x < f->width; x++) {
		switch (f->bits) {
		case 8:
			out[x] = f->color[p[x]];
			break;
		case 15: {
			u32 v = ld_le16(p + 2 * x);
			out[x] = wide(v >> 10, 5) << 16 | wide(v >> 5, 5) << 8 | wide(v, 5);
			break;
		}
		case 16: {
			u32 v = ld_le16(p + 2 * x);
			out[x] = wide(v >> 11, 5) << 16 | wide(v >> 5, 6) << 8 | wide(v, 5);
			break;
		}
		case 24:
			out[x] = (u32)p[3 * x + 2] << 16 | (u32)p[3 * x + 1] << 8 | p[3 * x];
			break;
		default:
			out[x] = ld_le32(p + 4 * x) & 0xffffff;
		}
	}
}

void vga_line(const struct screen_frame *f, unsigned y, u32 *out)
{
	switch (f->kind) {
	case TEXT:
		text_line(f, y, out);
		break;
	case PLANAR:
	case CGA4:
	case PACKED:
		graphics_line(f, y, out);
		break;
	case LINEAR:
		linear_line(f, y, out);
		break;
	default:
		memset(out, 0, f->width * sizeof(*out));
	}
}

unsigned vga_text(const struct screen_frame *f, unsigned row, u8 *out)
{
	unsigned in_row, columns;

	if (f->kind != TEXT || row >= f->height / f->char_lines)
		return 0;
	columns = f->width / f->dots;
	u32 count = row_start(f, row * f->char_lines, &in_row);
	for (unsigned i = 0; i < columns; i++)
		out[i] = at_count(f, count + i, 0)[0];
	return columns;
}
