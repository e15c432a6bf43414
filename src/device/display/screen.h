/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * screen.h - between a display and who looks at it: what is shown now, line by line, as red, green and blue.
 *
 * A display does nothing for being looked at: it has no timer, and draws nothing until it is asked. Who looks decides
 * how often, and asks in this order:
 *   1. changed(): did registers, or memory that is written through the chip, change since the last frame()? Memory
 *      that guests write without the chip (frame.bytes != 0) is told of by the engine's dirty log instead.
 *   2. frame(): the registers at this moment, resolved to what line() needs. It has no pointers into the device.
 *   3. line() for the lines it wants, from the frame and from guest memory as it is then: a line that is
 *      being written may be half old, half new, as on a tube.
 *
 * screen_view_*(): a picture that is kept up to date so, and what of it is other than before.
 *
 * Threads: any; frame() takes the device's lock for as long as it copies registers, line() none.
 */
#ifndef MICA_SCREEN_H
#define MICA_SCREEN_H

#include "base/base.h"

#define SCREEN_WIDTH_MAX 2560u
#define SCREEN_HEIGHT_MAX 1600u
#define SCREEN_COLUMNS_MAX (SCREEN_WIDTH_MAX / 8)

struct screen_frame {
	unsigned width, height; /* 1 to the above */
	/* Lines that lie in guest memory: line y shows file bytes [off + y * line_bytes, ... + line_bytes) and nothing
	 * else. bytes 0: lines that do not. */
	u64 off, bytes;
	unsigned line_bytes;
	/* The display's own; vga_draw.c */
	const u8 *memory;
	u32 mask; /* memory's size - 1 */
	u8 kind, bits, flags;
	u8 dots, char_lines, planes;          /* text: dots of a cell and its lines; graphics: which planes count */
	u8 cursor_first, cursor_last, repeat; /* lines of the cursor; how often a line is repeated */
	u8 pan;
	u32 start, pitch, cursor, split; /* in counts of the address counter; split: the first line that begins anew */
	u32 font[2];
	u32 color[256];
};

struct screen {
	bool (*changed)(void *opaque);
	/* Which lines, [first, last), since it was last asked, if the size is as before. NULL: any may be. */
	void (*lines)(void *opaque, unsigned *first, unsigned *last);
	void (*frame)(void *opaque, struct screen_frame *f);
	/* out: f->width pixels, 0x00RRGGBB. y < f->height. */
	void (*line)(const struct screen_frame *f, unsigned y, u32 *out);
	/* Where the frame is one of text: the codes of row `row`, from 0 on; how many. 0: it is a picture, or has no
	 * such row. out: room for SCREEN_COLUMNS_MAX. */
	unsigned (*text)(const struct screen_frame *f, unsigned row, u8 *out);
	void *opaque;
	/* All video memory: what a dirty log is to watch. */
	u64 off, bytes;
};

/* ---- a picture (screen_view.c); one thread at a time ---- */

#define SCREEN_TILE 64u /* changes are told in tiles of so many pixels across, and of one line */

struct screen_view {
	struct screen_frame frame; /* as last drawn */
	u32 *pixels;               /* room for `room` pixels; frame.width a line */
	size_t room;
	u64 *tiles; /* since screen_view_clean(): a bit for each tile of each line, SCREEN_TILE_WORDS a line */
	bool resized;
	unsigned first, last; /* lines with changes: [first, last) */
};
#define SCREEN_TILE_WORDS ((SCREEN_WIDTH_MAX / SCREEN_TILE + 63) / 64)

/* pixels: where to, room for SCREEN_WIDTH_MAX * SCREEN_HEIGHT_MAX; borrowed. It costs memory as far as it is used. */
void screen_view_init(struct screen_view *v, u32 *pixels);
void screen_view_fini(struct screen_view *v);
/*
 * Bring it up to date. dirty: a bit for each page of the screen's memory that was written since the last time; NULL:
 * all may have been. True: something is other than before.
 */
bool screen_view_update(struct screen_view *v, const struct screen *s, const u64 *dirty);
/* What has changed was seen to. */
void screen_view_clean(struct screen_view *v);

#endif
