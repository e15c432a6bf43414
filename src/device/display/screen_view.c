/* SPDX-License-Identifier: GPL-2.0-or-later */
/* screen_view.c - a picture of a screen that is kept up to date; see screen.h. */
#include "device/display/screen.h"

void screen_view_init(struct screen_view *v, u32 *pixels)
{
	memset(v, 0, sizeof(*v));
	v->pixels = pixels;
	v->tiles = xcalloc(SCREEN_HEIGHT_MAX * SCREEN_TILE_WORDS, sizeof(*v->tiles));
	screen_view_clean(v);
}

void screen_view_fini(struct screen_view *v)
{
	free(v->tiles);
}

void screen_view_clean(struct screen_view *v)
{
	if (v->first < v->last)
		memset(v->tiles + v->first * SCREEN_TILE_WORDS, 0,
		       (v->last - v->first) * SCREEN_TILE_WORDS * sizeof(*v->tiles));
	v->first = SCREEN_HEIGHT_MAX;
	v->last = 0;
	v->resized = false;
}

/* Draw line y; true: it is other than before. */
static bool redraw(struct screen_view *v, const struct screen *s, unsigned y)
{
	u32 line[SCREEN_WIDTH_MAX], width = v->frame.width;
	u32 *was = v->pixels + (size_t)y * width;
	bool any = false;

	s->line(&v->frame, y, line);
	for (unsigned x = 0; x < width; x += SCREEN_TILE) {
		size_t bytes = MIN(SCREEN_TILE, width - x) * sizeof(*line);
		unsigned tile = x / SCREEN_TILE;

		if (!v->resized && !memcmp(was + x, line + x, bytes))
			continue;
		memcpy(was + x, line + x, bytes);
		v->tiles[y * SCREEN_TILE_WORDS + tile / 64] |= 1ull << (tile % 64);
		any = true;
	}
	if (any) {
		v->first = MIN(v->first, y);
		v->last = MAX(v->last, y + 1);
	}
	return any;
}

/* Does a page of line y have its bit set? The bits begin at the screen's memory, as its first page. */
static bool touched(const struct screen_frame *f, const struct screen *s, const u64 *dirty, unsigned y)
{
	u64 at = f->off - s->off + (u64)y * f->line_bytes;

	for (u64 page = at >> PAGE_SHIFT; page <= (at + f->line_bytes - 1) >> PAGE_SHIFT; page++)
		if (dirty[page / 64] >> (page % 64) & 1)
			return true;
	return false;
}

bool screen_view_update(struct screen_view *v, const struct screen *s, const u64 *dirty)
{
	unsigned width = v->frame.width, height = v->frame.height;
	bool changed = s->changed(s->opaque), anew = !width || !dirty, all = changed || anew, any = false;
	unsigned first = 0, last = SCREEN_HEIGHT_MAX;

	if (all && s->lines)
		s->lines(s->opaque, &first, &last);
	if (all)
		s->frame(s->opaque, &v->frame);
	else if (!v->frame.bytes)
		return false;
	if (v->frame.width != width || v->frame.height != height) {
		screen_view_clean(v);
		v->resized = anew = true;
	}
	for (unsigned y = anew ? 0 : first; y < (anew ? v->frame.height : MIN(last, v->frame.height)); y++)
		if (all || touched(&v->frame, s, dirty, y))
			any |= redraw(v, s, y);
	return any;
}
