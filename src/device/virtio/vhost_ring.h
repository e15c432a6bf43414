/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost_ring.h - a ring of our own between a guest's queue and a vhost-user back end.
 *
 * Theory. The back end never sees the guest's rings. A chain that virtio_pop() gave, checked, is written into a split
 * ring (VIRTIO 1.1, 2.6) that lies in a memory file of ours; its buffers stay where they are, in guest memory. What
 * comes back is looked up in our own books and goes to the guest by virtio_push_part(). So
 *  - the guest may have its queues as it likes: packed, split, over any transport;
 *  - what the back end wrote is known (ram_wrote()), which engines need that have translated what was there;
 *  - a back end that dies is replaced by another, which gets what was in flight: the books are here;
 *  - neither can hurt the other by what it writes into a ring; nor us.
 *
 * Addresses. The back end is given the guest memory's file whole, from address 0 on; a buffer's address is its offset
 * in the file, which never changes, whatever the guest's addresses do. Rings lie in the second region behind it.
 *
 * INV-VR-1: nothing that is read from the shared memory is used before it was compared with the books.
 *
 * The lock of the device is held.
 */
#ifndef MICA_VHOST_RING_H
#define MICA_VHOST_RING_H

#include "device/virtio/virtio.h"

#define VHOST_RING_SIZE 256u
#define VHOST_RING_NONE 0xffffu

/* Where the parts of a ring are, from its beginning on. Indirect tables come last: a page is touched when it is used.
 */
#define VHOST_RING_AVAIL 4096u
#define VHOST_RING_USED 5120u
#define VHOST_RING_TABLES 8192u
#define VHOST_RING_TABLE_BYTES (16u * VIRTIO_CHAIN_MAX)
#define VHOST_RING_BYTES ROUND_UP(VHOST_RING_TABLES + VHOST_RING_SIZE * VHOST_RING_TABLE_BYTES, 4096u)

struct vhost_slot {
	bool used;
	u16 prev, next; /* of those in flight, in the order in which they were popped */
	u64 serial;
	struct virtio_chain ch;
};

struct vhost_ring {
	unsigned q;  /* the guest's queue */
	u8 *mem;     /* VHOST_RING_BYTES, shared */
	u64 at;      /* its address for the back end */
	u8 *ram;     /* guest memory, the file's beginning */
	int kick_fd; /* owned, eventfds */
	int call_fd;
	bool indirect, event_idx; /* as the back end has it, for good */
	u16 avail_idx, last_used, kicked;
	unsigned inflight;
	u64 popped;                     /* chains of the queue, but for those that went back */
	u16 head, tail;                 /* of those in flight: the first and the last popped */
	u16 free_head, nfree;           /* descriptors */
	u16 next_desc[VHOST_RING_SIZE]; /* our own copy: free ones, and those of a slot's chain */
	struct vhost_slot *slot;        /* VHOST_RING_SIZE, by first descriptor; memory that comes when it is used */
	u64 requests, kicks, calls;     /* since it was made */
};

/* mem: zeros. -errno: no eventfd. */
int vhost_ring_init(struct vhost_ring *r, unsigned q, u8 *mem, u64 at, const struct ram *ram);
void vhost_ring_fini(struct vhost_ring *r);
/* The ring begins anew, with what is in flight in it: a back end comes to it. */
void vhost_ring_begin(struct vhost_ring *r);
/* Forget what is in flight. */
void vhost_ring_forget(struct vhost_ring *r);
/* Give chains of the guest's queue to the back end, as many as there are and fit. False: it is full, and there may be
 * more. */
bool vhost_ring_fill(struct vhost_ring *r, struct virtio_dev *d);
/* Wake the back end for what it has not seen, unless it asked not to be. */
void vhost_ring_kick(struct vhost_ring *r);
/* Give the guest what the back end has done with. -EPROTO: the ring makes no sense. */
int vhost_ring_collect(struct vhost_ring *r, struct virtio_dev *d);
/* The back end is stopped: chains go back to the guest's queue as if they had not been popped; where others, popped
 * later, are done with already, as empty ones. */
void vhost_ring_take_back(struct vhost_ring *r, struct virtio_dev *d);

#endif
