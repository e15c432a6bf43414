/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_gpu.h - between the files virtio_gpu*.c: a display device without 3D (VIRTIO 1.2, 5.7), one scanout, EDID.
 *
 *   virtio_gpu.c       the device: queues, configuration, saved state, class
 *   virtio_gpu_cmd.c   commands of the control queue and of the cursor's
 *   virtio_gpu_res.c   resources: their pages in the guest, and their picture here
 *   virtio_gpu_show.c  what is shown (display/screen.h)
 *
 * Theory of operation. A resource is a picture of the host's that the driver fills from pages of its own
 * (TRANSFER_TO_HOST_2D); the scanout is a rectangle of one. What is flushed is copied to `shown`, which is there as
 * long as the device, so that who looks takes no lock and has no pointer into a resource that the driver may end.
 *
 * Bounds: GPU_RESOURCES_MAX pictures of GPU_BYTES_MAX together, GPU_PAGES_MAX entries of backing pages. Commands that
 * copy go a line at a time; what a visit did not finish stays in `ch` and goes on from line `line` in the loop's next
 * one. Saved are the resources and where their pages are, no pixels: they are filled from their pages again when a
 * restored VM goes on.
 *
 * All is guarded by the device's lock, but for what is said to be otherwise.
 */
#ifndef MICA_VIRTIO_GPU_H
#define MICA_VIRTIO_GPU_H

#include "device/display/screen.h"
#include "device/virtio/virtio.h"

#define GPU_RESOURCES_MAX 64u
#define GPU_BYTES_MAX (64 * MIB)
#define GPU_PAGES_MAX 32768u
#define GPU_SIDE_MAX 8192u
#define GPU_CURSOR_SIDE 64u
#define GPU_WIDTH 1024u /* what a display is first */
#define GPU_HEIGHT 768u

/* Commands and answers (5.7.6.7) */
enum {
	GPU_GET_DISPLAY_INFO = 0x100,
	GPU_RESOURCE_CREATE_2D,
	GPU_RESOURCE_UNREF,
	GPU_SET_SCANOUT,
	GPU_RESOURCE_FLUSH,
	GPU_TRANSFER_TO_HOST_2D,
	GPU_ATTACH_BACKING,
	GPU_DETACH_BACKING,
	GPU_GET_EDID = 0x10a,
	GPU_UPDATE_CURSOR = 0x300,
	GPU_MOVE_CURSOR,
	GPU_OK_NODATA = 0x1100,
	GPU_OK_DISPLAY_INFO,
	GPU_OK_EDID = 0x1104,
	GPU_ERR_UNSPEC = 0x1200,
	GPU_ERR_OUT_OF_MEMORY,
	GPU_ERR_SCANOUT,
	GPU_ERR_RESOURCE,
	GPU_ERR_CONTEXT,
	GPU_ERR_PARAMETER,
};

struct gpu_rect {
	u32 x, y, w, h;
};

struct gpu_page {
	u64 gpa, at; /* at: bytes of the backing before it */
	u32 bytes;
};

struct gpu_resource {
	u32 id, format, w, h;
	u32 *pixels; /* as the driver has them, w a line */
	struct gpu_page *pages;
	u32 npages;
};

struct gpu {
	struct virtio_dev *d;
	u32 events;
	u32 want_w, want_h; /* the size that the display has */
	struct gpu_resource res[GPU_RESOURCES_MAX];
	unsigned nres;
	u64 bytes;
	u32 npages;
	bool restored; /* they are to be filled from their pages */
	u32 scanout;   /* a resource's id; 0: nothing is shown */
	struct gpu_rect rect;
	struct {
		u32 id, x, y, hot_x, hot_y;
	} cursor;
	/* A command under way: */
	bool busy;
	unsigned q, line;
	struct virtio_chain ch;
	/* Who looks reads these without the lock: pixels may be half old, half new. */
	u32 *shown, *shape; /* 0x00RRGGBB; 0xAARRGGBB, not premultiplied */
	struct screen screen;
	_Atomic bool touched;
	unsigned first, last; /* lines [first, last) are other than when they were last asked for */
};

/* ---- virtio_gpu_cmd.c ---- */

/* Carry out what g->ch has; *written: bytes of the answer. False: there is more to do of it, in another visit. */
bool gpu_command(struct gpu *g, u32 *written);

/* ---- virtio_gpu_res.c ---- */

/* NULL: there is none. */
struct gpu_resource *gpu_find(struct gpu *g, u32 id);
/* These return 0 or an answer's type. */
u32 gpu_create(struct gpu *g, u32 id, u32 format, u32 w, u32 h);
u32 gpu_attach(struct gpu *g, struct gpu_resource *r, u32 n);
void gpu_detach(struct gpu *g, struct gpu_resource *r);
void gpu_unref(struct gpu *g, struct gpu_resource *r);
bool gpu_within(const struct gpu_resource *r, const struct gpu_rect *rect);
/* One line from its pages; false: they are not where memory is. */
bool gpu_fill_line(struct gpu *g, struct gpu_resource *r, u64 at, u32 x, u32 y, u32 w);
/* After a restore: all of them, and what is shown. */
void gpu_refill(struct gpu *g);
void gpu_line_rgb(const struct gpu_resource *r, u32 x, u32 y, u32 w, u32 *out);
void gpu_resources_state(struct gpu *g, struct state_file *s);

/* ---- virtio_gpu_show.c ---- */
void gpu_show_init(struct gpu *g);
/* A line of the scanout, in its coordinates. */
void gpu_show_line(struct gpu *g, const struct gpu_resource *r, u32 x, u32 y, u32 w);
void gpu_show_all(struct gpu *g);
/* Something else than lines: size, cursor, nothing at all. */
void gpu_show_touch(struct gpu *g);
void gpu_show_cursor(struct gpu *g);
void gpu_edid(const struct gpu *g, u8 edid[128]);

#endif
