/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_gpu.c - a display device without 3D: see virtio_gpu.h. */
#include "device/virtio/virtio_gpu.h"

#include "base/i18n.h"
#include "base/state.h"
#include "device/class.h"
#include "device/virtio/virtio_devices.h"
#include "machine/machine.h"

enum { CONTROLQ, CURSORQ, QUEUES };

#define F_EDID 1
#define EVENT_DISPLAY 1u
#define CFG_BYTES 16u /* events, events to clear, scanouts, capability sets */
#define CFG_CLEAR 4u

static void gpu_notify(struct virtio_dev *d, unsigned q)
{
	struct gpu *g = d->impl;
	u32 written;

	for (;;) {
		if (!g->busy) {
			if (!virtio_pop(d, q, &g->ch))
				break;
			g->busy = true;
			g->q = q;
			g->line = 0;
		}
		if (!gpu_command(g, &written)) {
			virtio_again(d, g->q);
			virtio_again(d, q); /* it may have waited for another queue's chain */
			break;
		}
		g->busy = false;
		virtio_push(d, g->q, &g->ch, written);
		if (g->q != q)
			virtio_signal(d, g->q);
	}
	virtio_signal(d, q);
}

static void gpu_cfg_read(struct virtio_dev *d, unsigned off, void *buf, unsigned bytes)
{
	const struct gpu *g = d->impl;
	u8 cfg[CFG_BYTES] = { 0 };

	st_le32(cfg, g->events);
	st_le32(cfg + 8, 1);
	memcpy(buf, cfg + off, bytes);
}

static void gpu_cfg_write(struct virtio_dev *d, unsigned off, const void *buf, unsigned bytes)
{
	struct gpu *g = d->impl;

	if (off == CFG_CLEAR && bytes == 4)
		g->events &= ~ld_le32(buf);
}

static void forget(struct gpu *g)
{
	while (g->nres)
		gpu_unref(g, &g->res[0]);
	g->scanout = g->cursor.id = 0;
	g->busy = false;
	gpu_show_touch(g);
}

static void gpu_reset(struct virtio_dev *d)
{
	struct gpu *g = d->impl;

	forget(g);
	memset(&g->cursor, 0, sizeof(g->cursor));
	g->events = 0;
}

static void gpu_free(struct virtio_dev *d)
{
	struct gpu *g = d->impl;

	forget(g);
	unmap_sparse(g->shown, (SCREEN_WIDTH_MAX * SCREEN_HEIGHT_MAX + GPU_CURSOR_SIDE * GPU_CURSOR_SIDE) * 4ul);
	free(g);
}

/* The command under way goes back to the ring: to copy again does no harm. */
static bool gpu_quiesce(struct virtio_dev *d)
{
	struct gpu *g = d->impl;

	if (g->busy)
		virtio_unpop(d, g->q, &g->ch);
	g->busy = false;
	return true;
}

static void gpu_state(struct virtio_dev *d, struct state_file *s)
{
	struct gpu *g = d->impl;

	if (state_loading(s))
		forget(g);
	state_u32(s, &g->events);
	state_u32(s, &g->want_w);
	state_u32(s, &g->want_h);
	gpu_resources_state(g, s);
	state_u32(s, &g->scanout);
	state_u32(s, &g->rect.x);
	state_u32(s, &g->rect.y);
	state_u32(s, &g->rect.w);
	state_u32(s, &g->rect.h);
	state_u32(s, &g->cursor.id);
	state_u32(s, &g->cursor.x);
	state_u32(s, &g->cursor.y);
	state_u32(s, &g->cursor.hot_x);
	state_u32(s, &g->cursor.hot_y);
	if (!state_loading(s))
		return;
	const struct gpu_resource *r = gpu_find(g, g->scanout);
	if (!r || !gpu_within(r, &g->rect) || g->rect.w > SCREEN_WIDTH_MAX || g->rect.h > SCREEN_HEIGHT_MAX)
		g->scanout = 0;
	g->events &= EVENT_DISPLAY;
	g->want_w = MIN(MAX(g->want_w, 64u), SCREEN_WIDTH_MAX);
	g->want_h = MIN(MAX(g->want_h, 64u), SCREEN_HEIGHT_MAX);
	g->restored = true;
	gpu_show_touch(g);
}

static const struct virtio_class gpu_class = {
	.name = "virtio-gpu",
	.id = VIRTIO_ID_GPU,
	.features = 1ull << F_EDID,
	.cfg_bytes = CFG_BYTES,
	.cfg_read = gpu_cfg_read,
	.cfg_write = gpu_cfg_write,
	.notify = gpu_notify,
	.reset = gpu_reset,
	.free = gpu_free,
	.quiesce = gpu_quiesce,
	.state = gpu_state,
};

struct virtio_dev *virtio_gpu_new(struct ram *ram, struct loop *loop)
{
	struct gpu *g = xcalloc(1, sizeof(*g));

	g->want_w = GPU_WIDTH;
	g->want_h = GPU_HEIGHT;
	gpu_show_init(g);
	g->d = virtio_new(&gpu_class, ram, loop, QUEUES, g);
	return g->d;
}

const struct screen *virtio_gpu_screen(struct virtio_dev *d)
{
	must(d->cls == &gpu_class);
	return &((struct gpu *)d->impl)->screen;
}

void virtio_gpu_resize(struct virtio_dev *d, unsigned width, unsigned height)
{
	struct gpu *g = d->impl;

	must(d->cls == &gpu_class);
	virtio_lock(d);
	g->want_w = MIN(MAX(width & ~7u, 64u), SCREEN_WIDTH_MAX);
	g->want_h = MIN(MAX(height, 64u), SCREEN_HEIGHT_MAX);
	g->events |= EVENT_DISPLAY;
	virtio_config_changed(d);
	virtio_unlock(d);
}

/* ---- the class ---- */

static int new_gpu(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	return virtio_pci_add(machine_pci(m), virtio_gpu_new(machine_ram(m), machine_loop(m)), a->slot, out, e);
}

static const struct screen *class_screen(struct device *d)
{
	return virtio_gpu_screen(virtio_pci_dev(d));
}

static void class_resize(struct device *d, unsigned width, unsigned height)
{
	virtio_gpu_resize(virtio_pci_dev(d), width, height);
}

const struct device_class virtio_gpu_device_class = {
	.name = "virtio-gpu",
	.field = "virtio",
	.help = N_("screen: paravirtual, follows the client's size; firmware of a PC does not know it"),
	.role = DEVICE_DISPLAY,
	.new = new_gpu,
	.screen = class_screen,
	.resize = class_resize,
};
