/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_int.h - between virtio.c, virtio_queue.c, virtio_packed.c and virtio_visit.c. */
#ifndef MICA_VIRTIO_INT_H
#define MICA_VIRTIO_INT_H

#include "device/virtio/virtio.h"

/* The lock was just taken. */
void virtio_begin_visit(struct virtio_dev *d);
/* The loop goes on where visits ended; opaque: struct virtio_dev. */
void virtio_on_again(void *opaque);

/* ---- queues ---- */

#define VIRTIO_DESC_F_NEXT 1
#define VIRTIO_DESC_F_WRITE 2
#define VIRTIO_DESC_F_INDIRECT 4

/* 2.6.5; in guest RAM, little-endian, as are we */
struct vring_desc {
	u64 addr;
	u32 len;
	u16 flags;
	u16 next;
};

/* A queue's three areas, translated. Split: descriptors; avail: flags, idx, ring[size], used_event; used: flags, idx,
 * {id, len}[size], avail_event. Packed: the ring; in `avail` and `used` what driver and device want to hear of. */
struct rings {
	u8 *desc, *avail, *used;
};

static inline u16 load16(const u8 *p)
{
	return __atomic_load_n((const u16 *)(const void *)p, __ATOMIC_ACQUIRE);
}

static inline void store16(u8 *p, u16 v)
{
	__atomic_store_n((u16 *)(void *)p, v, __ATOMIC_RELEASE);
}

/* Add one descriptor's buffer to the chain, with its flag WRITE. What is wrong with it, or NULL. */
const char *virtio_chain_add(struct virtio_dev *d, struct virtio_chain *ch, const struct vring_desc *de);

/* virtio_packed.c: is there a chain; take it, or what is wrong with it; put it back. */
bool virtio_packed_there(const struct virtio_queue *vq, const struct rings *r);
const char *virtio_packed_take(struct virtio_dev *d, struct virtio_queue *vq, const struct rings *r,
			       struct virtio_chain *ch, u64 *work);
void virtio_packed_unpop(struct virtio_queue *vq, const struct virtio_chain *ch);
/* A chain is used; and all since the last time are shown. */
void virtio_packed_put(struct virtio_dev *d, struct virtio_queue *vq, const struct rings *r,
		       const struct virtio_chain *ch, u32 bytes);
void virtio_packed_show(struct virtio_dev *d, struct virtio_queue *vq, const struct rings *r);
/* Does the driver want an interrupt for what was shown since `old`? */
bool virtio_packed_wants(struct virtio_dev *d, struct virtio_queue *vq, const struct rings *r, u16 old, bool valid);
/* Notifications of new buffers, please, or not. */
void virtio_packed_ask(struct virtio_dev *d, const struct virtio_queue *vq, const struct rings *r, bool on);

#endif
