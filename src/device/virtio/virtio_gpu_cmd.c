/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_gpu_cmd.c - commands of a display device (VIRTIO 1.2, 5.7.6.8 to 5.7.6.10); see virtio_gpu.h. */
#include "device/virtio/virtio_gpu.h"

#define HDR_BYTES 24u
#define F_FENCE 1u
#define SCANOUTS 16u /* in an answer; there is one */
#define LINE_WORK(w) (8 + (w) / 8)

static bool cmd_bytes(const struct gpu *g, u8 *c, size_t n)
{
	return virtio_chain_read(&g->ch, 0, c, n) == n;
}

static struct gpu_rect rect_at(const u8 *c)
{
	return (struct gpu_rect){ ld_le32(c), ld_le32(c + 4), ld_le32(c + 8), ld_le32(c + 12) };
}

/* ---- a line at a time: true: all of them are done ---- */

static bool transfer(struct gpu *g, struct gpu_resource *r, const struct gpu_rect *rect, u64 off, u32 *answer)
{
	for (; g->line < rect->h; g->line++) {
		u64 at = off + 4ull * r->w * g->line;

		if (at < off || !gpu_fill_line(g, r, at, rect->x, rect->y + g->line, rect->w)) {
			*answer = GPU_ERR_UNSPEC;
			return true;
		}
		if (!virtio_charge(g->d, LINE_WORK(rect->w)) && g->line + 1 < rect->h) {
			g->line++;
			return false;
		}
	}
	return true;
}

/* What of a flushed rectangle is in the scanout. */
static bool flush(struct gpu *g, const struct gpu_resource *r, const struct gpu_rect *f)
{
	const struct gpu_rect *s = &g->rect;
	u32 x = MAX(f->x, s->x), y = MAX(f->y, s->y);
	u32 end_x = MIN(f->x + f->w, s->x + s->w), end_y = MIN(f->y + f->h, s->y + s->h);

	if (r->id != g->scanout || x >= end_x)
		return true;
	for (; y + g->line < end_y; g->line++) {
		gpu_show_line(g, r, x - s->x, y + g->line - s->y, end_x - x);
		if (!virtio_charge(g->d, LINE_WORK(end_x - x)) && y + g->line + 1 < end_y) {
			g->line++;
			return false;
		}
	}
	return true;
}

/* ---- commands; they return an answer's type ---- */

static u32 set_scanout(struct gpu *g, const u8 *c, bool *done)
{
	struct gpu_rect rect = rect_at(c + HDR_BYTES);
	u32 id = ld_le32(c + 44);
	const struct gpu_resource *r = gpu_find(g, id);

	if (ld_le32(c + 40))
		return GPU_ERR_SCANOUT;
	if (id && !r)
		return GPU_ERR_RESOURCE;
	if (id && (!gpu_within(r, &rect) || rect.w > SCREEN_WIDTH_MAX || rect.h > SCREEN_HEIGHT_MAX))
		return GPU_ERR_PARAMETER;
	g->scanout = id;
	g->rect = id ? rect : (struct gpu_rect){ 0 };
	gpu_show_touch(g);
	*done = !id || flush(g, r, &rect);
	return GPU_OK_NODATA;
}

static u32 unref(struct gpu *g, struct gpu_resource *r)
{
	if (r->id == g->scanout) {
		g->scanout = 0;
		gpu_show_touch(g);
	}
	gpu_unref(g, r);
	return GPU_OK_NODATA;
}

static u32 update_cursor(struct gpu *g, const u8 *c, u32 type)
{
	if (ld_le32(c + 24))
		return GPU_ERR_SCANOUT;
	g->cursor.x = ld_le32(c + 28);
	g->cursor.y = ld_le32(c + 32);
	if (type == GPU_UPDATE_CURSOR) {
		g->cursor.id = ld_le32(c + 40);
		g->cursor.hot_x = ld_le32(c + 44);
		g->cursor.hot_y = ld_le32(c + 48);
		gpu_show_cursor(g);
		virtio_charge(g->d, 400);
	}
	gpu_show_touch(g);
	return GPU_OK_NODATA;
}

static u32 on_resource(struct gpu *g, const u8 *c, u32 type, bool *done)
{
	u32 at = type == GPU_RESOURCE_FLUSH ? 40 : type == GPU_TRANSFER_TO_HOST_2D ? 48 : 24, answer = GPU_OK_NODATA;
	struct gpu_resource *r = gpu_find(g, ld_le32(c + at));
	struct gpu_rect rect = rect_at(c + HDR_BYTES);

	if (!r)
		return GPU_ERR_RESOURCE;
	switch (type) {
	case GPU_RESOURCE_UNREF:
		return unref(g, r);
	case GPU_ATTACH_BACKING:
		answer = gpu_attach(g, r, ld_le32(c + 28));
		return answer ? answer : GPU_OK_NODATA;
	case GPU_DETACH_BACKING:
		gpu_detach(g, r);
		return GPU_OK_NODATA;
	default:
		if (!gpu_within(r, &rect))
			return GPU_ERR_PARAMETER;
		*done =
		    type == GPU_RESOURCE_FLUSH ? flush(g, r, &rect) : transfer(g, r, &rect, ld_le64(c + 40), &answer);
		return answer;
	}
}

/* ---- answers ---- */

static u32 write_display_info(struct gpu *g)
{
	u8 info[24 * SCANOUTS] = { 0 };

	st_le32(info + 8, g->want_w);
	st_le32(info + 12, g->want_h);
	info[16] = 1; /* enabled */
	return (u32)virtio_chain_write(&g->ch, HDR_BYTES, info, sizeof(info));
}

static u32 write_edid(struct gpu *g)
{
	u8 edid[8 + 1024] = { 128 };

	gpu_edid(g, edid + 8);
	return (u32)virtio_chain_write(&g->ch, HDR_BYTES, edid, sizeof(edid));
}

/* Bytes that a command has, its header included; 0: there is no such command. */
static size_t length_of(u32 type, unsigned q)
{
	static const u8 control[] = { 24, 40, 32, 48, 48, 56, 32, 32, 0, 0, 32 };

	if (q)
		return type == GPU_UPDATE_CURSOR || type == GPU_MOVE_CURSOR ? 56 : 0;
	return type >= GPU_GET_DISPLAY_INFO && type - GPU_GET_DISPLAY_INFO < sizeof(control)
		   ? control[type - GPU_GET_DISPLAY_INFO]
		   : 0;
}

static u32 carry_out(struct gpu *g, const u8 *c, u32 type, bool *done)
{
	u32 answer;

	switch (type) {
	case GPU_GET_DISPLAY_INFO:
		return GPU_OK_DISPLAY_INFO;
	case GPU_GET_EDID:
		return ld_le32(c + 24) ? GPU_ERR_SCANOUT : GPU_OK_EDID;
	case GPU_RESOURCE_CREATE_2D:
		answer = gpu_create(g, ld_le32(c + 24), ld_le32(c + 28), ld_le32(c + 32), ld_le32(c + 36));
		return answer ? answer : GPU_OK_NODATA;
	case GPU_SET_SCANOUT:
		return set_scanout(g, c, done);
	case GPU_UPDATE_CURSOR:
	case GPU_MOVE_CURSOR:
		return update_cursor(g, c, type);
	default:
		return on_resource(g, c, type, done);
	}
}

bool gpu_command(struct gpu *g, u32 *written)
{
	u8 c[56] = { 0 }, answer[HDR_BYTES] = { 0 };
	bool done = true;

	*written = 0;
	virtio_chain_read(&g->ch, 0, c, HDR_BYTES);
	u32 type = ld_le32(c), result = GPU_ERR_UNSPEC;
	size_t n = length_of(type, g->q);

	gpu_refill(g);
	if (n && cmd_bytes(g, c, n))
		result = carry_out(g, c, type, &done);
	if (!done)
		return false;
	st_le32(answer, result);
	if (ld_le32(c + 4) & F_FENCE) { /* 5.7.6.7: what was fenced is done, and says so */
		st_le32(answer + 4, F_FENCE);
		memcpy(answer + 8, c + 8, 12);
	}
	*written = (u32)virtio_chain_write(&g->ch, 0, answer, sizeof(answer));
	if (result == GPU_OK_DISPLAY_INFO)
		*written += write_display_info(g);
	else if (result == GPU_OK_EDID)
		*written += write_edid(g);
	return true;
}
