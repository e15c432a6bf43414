/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vdriver.h - a small virtio driver for tests: one queue's rings in guest RAM, direct or indirect
 * chains, and no manners at all where a test wants none.
 */
#ifndef MICA_TEST_VDRIVER_H
#define MICA_TEST_VDRIVER_H

#include "device/virtio/virtio.h"
#include "device/virtio/virtio_devices.h"
#include "device/virtio/virtio_transport.h"

#define VD_NEXT 1
#define VD_WRITE 2
#define VD_INDIRECT 4

struct vdesc {
	u64 addr;
	u32 len;
	u16 flags, next;
};

struct vdriver {
	struct virtio_dev *dev;
	unsigned q, size;
	gpa_t desc, avail, used;
	u16 avail_idx, seen_used, next_desc;
};

static inline u8 *vd_ptr(struct vdriver *v, gpa_t at)
{
	return v->dev->ram->host + at;
}

/* Rings at `base` (16 KiB are enough), queue enabled. */
static inline void vd_init(struct vdriver *v, struct virtio_dev *dev, unsigned q, unsigned size, gpa_t base)
{
	*v = (struct vdriver){ .dev = dev, .q = q, .size = size };
	v->desc = base;
	v->avail = base + 0x1000;
	v->used = base + 0x2000;
	memset(dev->ram->host + base, 0, 0x4000);
	virtio_lock(dev);
	dev->queue[q].size = (u16)size;
	dev->queue[q].desc = v->desc;
	dev->queue[q].avail = v->avail;
	dev->queue[q].used = v->used;
	dev->queue[q].vector = 0;
	virtio_queue_enable(dev, q);
	virtio_unlock(dev);
}

/* Status and feature handshake; features besides VERSION_1. */
static inline void vd_start(struct virtio_dev *dev, u64 features)
{
	virtio_lock(dev);
	virtio_set_status(dev, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER);
	dev->features = (features & ~(1ull << VIRTIO_F_RING_PACKED)) | 1ull << VIRTIO_F_VERSION_1;
	virtio_set_status(dev, VIRTIO_S_FEATURES_OK);
	virtio_set_status(dev, VIRTIO_S_DRIVER_OK);
	virtio_unlock(dev);
}

static inline void vd_set_desc(struct vdriver *v, unsigned i, u64 addr, u32 len, u16 flags, u16 next)
{
	struct vdesc d = { addr, len, flags, next };
	memcpy(vd_ptr(v, v->desc) + 16 * i, &d, sizeof(d));
}

/* Make head available without a notification. */
static inline void vd_avail(struct vdriver *v, u16 head)
{
	st_le16(vd_ptr(v, v->avail) + 4 + 2 * (v->avail_idx % v->size), head);
	v->avail_idx++;
	__atomic_store_n((u16 *)(void *)(vd_ptr(v, v->avail) + 2), v->avail_idx, __ATOMIC_RELEASE);
}

/* Descriptors for n buffers, the last nin writable; returns the head. The table is used round and round. */
static inline u16 vd_chain(struct vdriver *v, const struct vdesc *seg, unsigned nout, unsigned nin)
{
	u16 head = v->next_desc;
	unsigned n = nout + nin;

	for (unsigned i = 0; i < n; i++) {
		unsigned at = (head + i) % v->size, next = (head + i + 1) % v->size;
		vd_set_desc(v, at, seg[i].addr, seg[i].len,
			    (u16)((i >= nout ? VD_WRITE : 0) | (i + 1 < n ? VD_NEXT : 0)), (u16)next);
	}
	v->next_desc = (u16)((head + n) % v->size);
	return head;
}

static inline void vd_add(struct vdriver *v, const struct vdesc *seg, unsigned nout, unsigned nin)
{
	vd_avail(v, vd_chain(v, seg, nout, nin));
}

static inline void vd_kick(struct vdriver *v)
{
	virtio_lock(v->dev);
	virtio_notify(v->dev, v->q);
	virtio_unlock(v->dev);
}

static inline u16 vd_used_idx(struct vdriver *v)
{
	return __atomic_load_n((u16 *)(void *)(vd_ptr(v, v->used) + 2), __ATOMIC_ACQUIRE);
}

/* Next used element, if there is one. */
static inline bool vd_used(struct vdriver *v, u32 *id, u32 *len)
{
	if (vd_used_idx(v) == v->seen_used)
		return false;
	const u8 *el = vd_ptr(v, v->used) + 4 + 8 * (v->seen_used % v->size);
	*id = ld_le32(el);
	*len = ld_le32(el + 4);
	v->seen_used++;
	return true;
}

#endif
