/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_mmio.c - virtio over MMIO (VIRTIO 1.2, 4.2), version 2: a page of registers, one interrupt, a level.
 *
 * Registers are 32 bits wide and are accessed so (4.2.2.2): another access reads 0 and writes nothing. From 100H on is
 * the device's configuration, in whatever width.
 *
 * Threads: registers are accessed from vCPU threads with no lock held; each access takes the device's lock. Lock order:
 * virtio_dev.lock, then the wire's (slots.c).
 */
#include "device/virtio/virtio_mmio.h"

#include "base/log.h"
#include "base/state.h"
#include "device/virtio/virtio_transport.h"
#include "machine/layout.h"

#define MAGIC 0x74726976 /* "virt" */
#define VERSION 2
#define VENDOR 0x1af4
#define CONFIG 0x100u

enum {
	R_MAGIC = 0x00,
	R_VERSION = 0x04,
	R_DEVICE = 0x08,
	R_VENDOR = 0x0c,
	R_DEV_FEAT = 0x10,
	R_DEV_FEAT_SEL = 0x14,
	R_DRV_FEAT = 0x20,
	R_DRV_FEAT_SEL = 0x24,
	R_Q_SEL = 0x30,
	R_Q_MAX = 0x34,
	R_Q_SIZE = 0x38,
	R_Q_READY = 0x44,
	R_NOTIFY = 0x50,
	R_ISR = 0x60,
	R_ACK = 0x64,
	R_STATUS = 0x70,
	R_Q_DESC = 0x80,
	R_Q_AVAIL = 0x90,
	R_Q_USED = 0xa0,
	R_SHM_LEN = 0xb0, /* and its address behind it */
	R_GENERATION = 0xfc,
};

#define ISR_QUEUE 1u
#define ISR_CONFIG 2u

struct virtio_mmio {
	struct device dev;
	struct virtio_dev *vdev; /* owned */
	struct bus *bus;
	struct io_region region;
	struct slot slot;

	/* under vdev->lock */
	u32 dev_feat_sel, drv_feat_sel, q_sel, isr;
};

/* ---- interrupts ---- */

static void set_isr(struct virtio_mmio *v, u32 isr)
{
	v->isr = isr;
	irq_set(&v->slot.irq, isr != 0);
}

static void irq_queue(struct virtio_dev *d, unsigned q)
{
	struct virtio_mmio *v = d->transport;

	(void)q;
	set_isr(v, v->isr | ISR_QUEUE);
}

static void irq_config(struct virtio_dev *d)
{
	struct virtio_mmio *v = d->transport;

	set_isr(v, v->isr | ISR_CONFIG);
}

/* ---- registers ---- */

static struct virtio_queue *selected(struct virtio_mmio *v)
{
	return v->q_sel < v->vdev->nqueues ? &v->vdev->queue[v->q_sel] : NULL;
}

static u32 half(u64 value, u32 select)
{
	return select < 2 ? (u32)(value >> 32 * select) : 0;
}

static u32 reg_read(struct virtio_mmio *v, unsigned reg)
{
	const struct virtio_dev *d = v->vdev;
	const struct virtio_queue *vq = selected(v);

	switch (reg) {
	case R_MAGIC:
		return MAGIC;
	case R_VERSION:
		return VERSION;
	case R_DEVICE:
		return d->cls->id;
	case R_VENDOR:
		return VENDOR;
	case R_DEV_FEAT:
		return half(d->features_offered, v->dev_feat_sel);
	case R_Q_MAX: /* 0: there is no such queue */
		return vq ? VIRTIO_QUEUE_MAX : 0;
	case R_Q_READY:
		return vq && vq->ready;
	case R_ISR:
		return v->isr;
	case R_STATUS:
		return d->status;
	case R_SHM_LEN: /* 4.2.2.1: there are no shared memory regions */
	case R_SHM_LEN + 4:
	case R_SHM_LEN + 8:
	case R_SHM_LEN + 12:
		return UINT32_MAX;
	case R_GENERATION:
		return d->cfg_generation;
	default:
		return 0;
	}
}

static void status_write(struct virtio_mmio *v, u8 status)
{
	virtio_set_status(v->vdev, status);
	if (status)
		return;
	v->dev_feat_sel = v->drv_feat_sel = v->q_sel = 0;
	set_isr(v, 0);
}

static void set_half(u64 *at, bool high, u32 val)
{
	*at = high ? (*at & UINT32_MAX) | (u64)val << 32 : (*at & ~(u64)UINT32_MAX) | val;
}

/* What a queue is like, until it is ready. */
static void queue_write(struct virtio_mmio *v, unsigned reg, u32 val)
{
	struct virtio_queue *vq = selected(v);

	if (!vq)
		return;
	if (reg == R_Q_READY && !val) /* 4.2.2.2: it is stopped */
		*vq = (struct virtio_queue){ .size = VIRTIO_QUEUE_MAX, .vector = VIRTIO_NO_VECTOR };
	if (vq->ready)
		return;
	switch (reg) {
	case R_Q_READY:
		if (val == 1)
			virtio_queue_enable(v->vdev, v->q_sel);
		return;
	case R_Q_SIZE:
		if (virtio_queue_size_ok(v->vdev, val))
			vq->size = (u16)val;
		return;
	case R_Q_DESC:
	case R_Q_DESC + 4:
		set_half(&vq->desc, reg & 4, val);
		return;
	case R_Q_AVAIL:
	case R_Q_AVAIL + 4:
		set_half(&vq->avail, reg & 4, val);
		return;
	case R_Q_USED:
	case R_Q_USED + 4:
		set_half(&vq->used, reg & 4, val);
		return;
	default:
		return;
	}
}

static void reg_write(struct virtio_mmio *v, unsigned reg, u32 val)
{
	struct virtio_dev *d = v->vdev;

	switch (reg) {
	case R_DEV_FEAT_SEL:
		v->dev_feat_sel = val;
		return;
	case R_DRV_FEAT:
		/* 3.1.1: features are fixed once FEATURES_OK is set */
		if (v->drv_feat_sel < 2 && !(d->status & VIRTIO_S_FEATURES_OK))
			set_half(&d->features, v->drv_feat_sel, val);
		return;
	case R_DRV_FEAT_SEL:
		v->drv_feat_sel = val;
		return;
	case R_Q_SEL:
		v->q_sel = val;
		return;
	case R_NOTIFY:
		virtio_notify(d, val);
		return;
	case R_ACK:
		set_isr(v, v->isr & ~val);
		return;
	case R_STATUS:
		status_write(v, (u8)val);
		return;
	default:
		queue_write(v, reg, val);
	}
}

static u64 mmio_read(void *dev, u64 off, unsigned bytes)
{
	struct virtio_mmio *v = dev;
	struct virtio_dev *d = v->vdev;
	u64 val = 0;

	virtio_lock_vcpu(d);
	if (off >= CONFIG) {
		u8 buf[8] = { 0 };
		if (off - CONFIG < d->cls->cfg_bytes && d->cls->cfg_read)
			d->cls->cfg_read(d, (unsigned)(off - CONFIG), buf,
					 (unsigned)MIN(bytes, d->cls->cfg_bytes - (off - CONFIG)));
		val = ld_le64(buf);
	} else if (bytes == 4) {
		val = reg_read(v, (unsigned)off);
	}
	virtio_unlock(d);
	return bytes < 8 ? val & ((1ull << (8 * bytes)) - 1) : val;
}

static void mmio_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct virtio_mmio *v = dev;
	struct virtio_dev *d = v->vdev;

	virtio_lock_vcpu(d);
	if (off >= CONFIG) {
		if (off - CONFIG + bytes <= d->cls->cfg_bytes && d->cls->cfg_write) {
			u8 buf[8];
			st_le64(buf, val);
			d->cls->cfg_write(d, (unsigned)(off - CONFIG), buf, bytes);
		}
	} else if (bytes == 4) {
		reg_write(v, (unsigned)off, (u32)val);
	} else {
		log_guest("%s: %u-byte write at register %#llx dropped", d->cls->name, bytes, (unsigned long long)off);
	}
	virtio_unlock(d);
}

static const struct io_ops ops = { .read = mmio_read, .write = mmio_write };

/* ---- life ---- */

static struct virtio_mmio *of(struct device *d)
{
	return container_of(d, struct virtio_mmio, dev);
}

static void life_reset(struct device *dev)
{
	struct virtio_mmio *v = of(dev);

	virtio_lock(v->vdev);
	status_write(v, 0);
	virtio_unlock(v->vdev);
}

static bool life_quiesce(struct device *dev)
{
	return virtio_quiesce(of(dev)->vdev);
}

static void life_resume(struct device *dev)
{
	virtio_resume(of(dev)->vdev);
}

static int life_state(struct device *dev, struct state_file *s, struct err *e)
{
	struct virtio_mmio *v = of(dev);
	int r = state_section(s, "virtio-mmio", v->slot.number, 1, e);

	if (r < 0)
		return r;
	virtio_lock(v->vdev);
	state_u32(s, &v->dev_feat_sel);
	state_u32(s, &v->drv_feat_sel);
	state_u32(s, &v->q_sel);
	state_u32(s, &v->isr);
	virtio_state(v->vdev, s);
	if (state_loading(s))
		set_isr(v, v->isr & (ISR_QUEUE | ISR_CONFIG));
	virtio_unlock(v->vdev);
	return state_end(s, e);
}

static void life_free(struct device *dev)
{
	struct virtio_mmio *v = of(dev);

	bus_unmap_mmio(v->bus, &v->region);
	virtio_free(v->vdev);
	irq_set(&v->slot.irq, false);
	free(v);
}

static const struct device_ops life = {
	.reset = life_reset,
	.quiesce = life_quiesce,
	.resume = life_resume,
	.state = life_state,
	.free = life_free,
};

struct virtio_dev *virtio_mmio_dev(struct device *d)
{
	must(d->ops == &life);
	return of(d)->vdev;
}

int virtio_mmio_new(struct device **out, struct bus *bus, const struct slot *slot, struct virtio_dev *d, struct err *e)
{
	struct virtio_mmio *v = xcalloc(1, sizeof(*v));

	v->dev.ops = &life;
	v->dev.name = d->cls->name;
	v->vdev = d;
	v->bus = bus;
	v->slot = *slot;
	v->region = (struct io_region){ .ops = &ops, .dev = v, .name = d->cls->name };
	virtio_lock(d);
	d->transport = v;
	d->irq_queue = irq_queue;
	d->irq_config = irq_config;
	virtio_unlock(d);
	int r = bus_map_mmio(bus, &v->region, slot->at, LAYOUT_SLOT_BYTES);
	if (r < 0) {
		const char *name = d->cls->name;
		life_free(&v->dev);
		return err_sys(e, -r, "cannot put %s on the board (slot %u)", name, slot->number);
	}
	*out = &v->dev;
	return 0;
}
