/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_gpu_show.c - what a display device shows, and the EDID of the display that it would be on. The cursor is drawn
 * into the lines as they are asked for: where it is is the guest's to say, and a client's own may be elsewhere.
 */
#include "device/virtio/virtio_gpu.h"

#define BLANK_WIDTH 640u
#define BLANK_HEIGHT 400u
#define F_CURSOR 1 /* in frame.flags; where: start, split, as signed numbers */

void gpu_show_touch(struct gpu *g)
{
	g->first = 0;
	g->last = SCREEN_HEIGHT_MAX;
	atomic_store_explicit(&g->touched, true, memory_order_release);
}

static void touch_lines(struct gpu *g, s64 first, s64 last)
{
	g->first = (unsigned)MAX(MIN((s64)g->first, first), 0);
	g->last = (unsigned)MIN(MAX((s64)g->last, last), (s64)SCREEN_HEIGHT_MAX);
	atomic_store_explicit(&g->touched, true, memory_order_release);
}

void gpu_show_line(struct gpu *g, const struct gpu_resource *r, u32 x, u32 y, u32 w)
{
	gpu_line_rgb(r, g->rect.x + x, g->rect.y + y, w, g->shown + (size_t)y * g->rect.w + x);
	touch_lines(g, y, y + 1);
}

void gpu_show_all(struct gpu *g)
{
	struct gpu_resource *r = gpu_find(g, g->scanout);

	for (u32 y = 0; r && y < g->rect.h; y++)
		gpu_show_line(g, r, 0, y, g->rect.w);
	gpu_show_touch(g);
}

void gpu_show_cursor(struct gpu *g)
{
	const struct gpu_resource *r = gpu_find(g, g->cursor.id);

	memset(g->shape, 0, GPU_CURSOR_SIDE * GPU_CURSOR_SIDE * sizeof(*g->shape));
	for (u32 y = 0; r && y < MIN(r->h, GPU_CURSOR_SIDE); y++)
		gpu_line_rgb(r, 0, y, MIN(r->w, GPU_CURSOR_SIDE), g->shape + y * GPU_CURSOR_SIDE);
	gpu_show_touch(g);
}

/* ---- for who looks ---- */

static bool changed(void *opaque)
{
	struct gpu *g = opaque;

	return atomic_exchange_explicit(&g->touched, false, memory_order_acquire);
}

static void lines(void *opaque, unsigned *first, unsigned *last)
{
	struct gpu *g = opaque;

	virtio_lock(g->d);
	*first = g->first;
	*last = g->last;
	g->first = SCREEN_HEIGHT_MAX;
	g->last = 0;
	virtio_unlock(g->d);
}

static void frame(void *opaque, struct screen_frame *f)
{
	struct gpu *g = opaque;

	memset(f, 0, sizeof(*f));
	virtio_lock(g->d);
	gpu_refill(g);
	f->width = g->scanout ? g->rect.w : BLANK_WIDTH;
	f->height = g->scanout ? g->rect.h : BLANK_HEIGHT;
	f->memory = g->scanout ? (const u8 *)g->shown : NULL;
	if (g->cursor.id) {
		f->flags = F_CURSOR;
		f->start = g->cursor.x - g->cursor.hot_x;
		f->split = g->cursor.y - g->cursor.hot_y;
	}
	virtio_unlock(g->d);
}

static u32 blend(u32 below, u32 over)
{
	u32 a = over >> 24, rgb = 0;

	for (unsigned s = 0; s < 24; s += 8) {
		u32 o = over >> s & 255, b = below >> s & 255;

		rgb |= (o * a + b * (255 - a) + 127) / 255 << s;
	}
	return rgb;
}

static void draw_cursor(const struct screen_frame *f, const u32 *shape, unsigned y, u32 *out)
{
	s64 in_y = (s64)y - (s32)f->split;

	if (in_y < 0 || in_y >= GPU_CURSOR_SIDE)
		return;
	for (s64 x = 0; x < GPU_CURSOR_SIDE; x++) {
		s64 at = (s64)(s32)f->start + x;

		if (at >= 0 && at < f->width)
			out[at] = blend(out[at], shape[in_y * GPU_CURSOR_SIDE + x]);
	}
}

/* The cursor's shape lies behind the picture in the same memory. */
static void line(const struct screen_frame *f, unsigned y, u32 *out)
{
	const u32 *shown = (const u32 *)(const void *)f->memory;

	if (!shown) {
		memset(out, 0, f->width * sizeof(*out));
		return;
	}
	for (unsigned x = 0; x < f->width; x++)
		out[x] = shown[(size_t)y * f->width + x] & 0xffffff;
	if (f->flags & F_CURSOR)
		draw_cursor(f, shown + SCREEN_WIDTH_MAX * SCREEN_HEIGHT_MAX, y, out);
}

static unsigned text(const struct screen_frame *f, unsigned row, u8 *out)
{
	(void)f;
	(void)row;
	(void)out;
	return 0;
}

void gpu_show_init(struct gpu *g)
{
	g->shown = xmap_sparse((SCREEN_WIDTH_MAX * SCREEN_HEIGHT_MAX + GPU_CURSOR_SIDE * GPU_CURSOR_SIDE) * 4ul);
	g->shape = g->shown + SCREEN_WIDTH_MAX * SCREEN_HEIGHT_MAX;
	g->screen = (struct screen){
		.changed = changed, .lines = lines, .frame = frame, .line = line, .text = text, .opaque = g
	};
	gpu_show_touch(g);
}

/* ---- EDID (VESA E-EDID 1.4) ---- */

/* One detailed timing of the size that is wanted, 60 Hz, with 160 pixels and 30 lines of blank. */
static void timing(u8 *t, u32 w, u32 h)
{
	const u32 blank_x = 160, blank_y = 30;

	st_le16(t, (u16)((w + blank_x) * (h + blank_y) * 60 / 10000));
	t[2] = (u8)w;
	t[3] = (u8)blank_x;
	t[4] = (u8)(w >> 8 << 4);
	t[5] = (u8)h;
	t[6] = (u8)blank_y;
	t[7] = (u8)(h >> 8 << 4);
	t[8] = 48;    /* sync: from there, */
	t[9] = 32;    /* ... so long; */
	t[10] = 0x36; /* 3 and 6 lines */
	t[17] = 0x1e;
}

void gpu_edid(const struct gpu *g, u8 edid[128])
{
	static const u8 head[] = {
		0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, /* header */
		0x35, 0x83, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, /* "MLC", product 2, no serial number */
		0x00, 0x22, 0x01, 0x04,                         /* of 2024; version 1.4 */
		0xa5, 0x00, 0x00, 0x78, 0x06, /* digital, 8 bits a colour; gamma; sRGB, preferred timing */
		0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54, /* sRGB's chromaticities */
		0x21, 0x08, 0x00,                                           /* 640x480, 800x600, 1024x768 at 60 Hz */
	};
	static const u8 name[18] = {
		0, 0, 0, 0xfc, 0, 'M', 'i', 'c', 'a', '\n', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '
	};
	u8 sum = 0;

	memset(edid, 0, 128);
	memcpy(edid, head, sizeof(head));
	memset(edid + 38, 0x01, 16); /* no standard timings */
	timing(edid + 54, g->want_w, g->want_h);
	memcpy(edid + 72, name, 18);
	edid[93] = edid[111] = 0x10; /* unused */
	for (unsigned i = 0; i < 127; i++)
		sum = (u8)(sum + edid[i]);
	edid[127] = (u8)-sum;
}
