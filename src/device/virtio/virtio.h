/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio.h - for who writes a virtio device: what it sees of its transport and queues (VIRTIO 1.1, split and packed
 * rings). Transports include virtio_transport.h as well, who puts a machine together virtio_devices.h.
 *
 * A device never touches a ring: it pops chains, fills or reads their buffers through the bounded
 * copy functions, and pushes them back. All guest-owned indices, addresses and lengths are read once
 * and checked here; a guest that breaks the rules gets its device put into DEVICE_NEEDS_RESET with
 * one log line, and the device's functions from then on see empty queues.
 *
 * Threads: every call about one device is made with its lock held (virtio_lock/unlock). The
 * transport takes it around the device's ops, on a vCPU's thread; back ends take it themselves on
 * the loop's thread.
 *
 * Visits: between lock and unlock a device works for as long as loop_until() allows, and not as long as a driver finds
 * something for it to do. virtio_pop() ends the visit: it gives no more chains, remembers the queue, and the device's
 * notify() comes again from the loop, in a later turn. Chains are charged for by themselves; a device that does more
 * with one than to look at it calls virtio_charge(), and one that cannot finish a chain in a visit keeps its place and
 * calls virtio_again().
 */
#ifndef MICA_VIRTIO_H
#define MICA_VIRTIO_H

#include "base/base.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/ram.h"

#include <pthread.h>
#include <sys/uio.h>

#define VIRTIO_QUEUE_MAX 256 /* entries */
#define VIRTIO_CHAIN_MAX 130 /* segments in a chain, indirect included */

#define VIRTIO_ID_NET 1
#define VIRTIO_ID_BLOCK 2
#define VIRTIO_ID_CONSOLE 3
#define VIRTIO_ID_RNG 4
#define VIRTIO_ID_BALLOON 5
#define VIRTIO_ID_SCSI 8
#define VIRTIO_ID_GPU 16
#define VIRTIO_ID_INPUT 18
#define VIRTIO_ID_VSOCK 19
#define VIRTIO_ID_FS 26

#define VIRTIO_F_RING_INDIRECT_DESC 28
#define VIRTIO_F_RING_EVENT_IDX 29
#define VIRTIO_F_VERSION_1 32
#define VIRTIO_F_RING_PACKED 34

/* Device status bits (2.1) */
#define VIRTIO_S_ACKNOWLEDGE 1
#define VIRTIO_S_DRIVER 2
#define VIRTIO_S_DRIVER_OK 4
#define VIRTIO_S_FEATURES_OK 8
#define VIRTIO_S_NEEDS_RESET 64
#define VIRTIO_S_FAILED 128

#define VIRTIO_NO_VECTOR 0xffff

struct virtio_dev;
struct state_file; /* base/state.h */

/* One chain of buffers taken from a queue. Host addresses are checked to be RAM; the bytes behind
 * them stay the guest's to change at any time. */
struct virtio_chain {
	u16 head;           /* as the driver calls it: its first descriptor, or its id */
	u16 places;         /* in a packed ring */
	unsigned nout, nin; /* segments device-readable, then device-writable */
	u64 out_bytes, in_bytes;
	struct iovec iov[VIRTIO_CHAIN_MAX]; /* out first, then in */
	gpa_t gpa[VIRTIO_CHAIN_MAX];
};

struct virtio_class {
	const char *name; /* "virtio-blk" */
	u16 id;
	u64 features; /* offered besides VERSION_1, INDIRECT_DESC, EVENT_IDX, RING_PACKED */
	/* Device-specific configuration space. off + bytes is within cfg_bytes. */
	unsigned cfg_bytes;
	void (*cfg_read)(struct virtio_dev *d, unsigned off, void *buf, unsigned bytes);
	void (*cfg_write)(struct virtio_dev *d, unsigned off, const void *buf, unsigned bytes); /* optional */
	void (*driver_ok)(struct virtio_dev *d);                                                /* optional */
	void (*notify)(struct virtio_dev *d, unsigned q); /* the driver added buffers */
	/* Forget all requests; nothing may touch chains afterwards. May drop and take the lock while it waits
	 * for requests in flight: queues are seen empty meanwhile. */
	void (*reset)(struct virtio_dev *d);
	void (*free)(struct virtio_dev *d); /* lock not held */
	/* Saved state (optional, lock held). quiesce, as device.h has it: no chains are given any more; true: none is
	 * in flight. state: save or load what is the device's own. */
	bool (*quiesce)(struct virtio_dev *d);
	void (*state)(struct virtio_dev *d, struct state_file *s);
};

struct virtio_queue {
	/* as the driver set them */
	u16 size;
	bool ready;
	gpa_t desc, avail, used;
	u16 vector; /* MSI-X vector or 0xffff */
	/* the device's place; of a packed ring: index, and the wrap counter in bit 15 */
	u16 last_avail, used_idx;
	u16 hidden; /* virtio_push_part(): used, and not shown yet */
	u16 signalled_used;
	u16 first_flags, unsignalled; /* of a packed ring: of the first that is hidden; places since the last signal */
	bool signalled_valid;
	bool notify_off; /* virtio_notify_disable() */
};

struct virtio_dev {
	const struct virtio_class *cls;
	pthread_mutex_t lock;
	struct ram *ram;
	u64 features_offered, features; /* negotiated */
	u8 status;
	unsigned resetting; /* in cls->reset */
	bool frozen;        /* quiesced: no chains are given */
	bool legacy;        /* its driver uses the interface from before VIRTIO 1.0, until it resets the device */
	unsigned nqueues;   /* at most 64 */
	struct virtio_queue *queue;
	u32 cfg_generation;
	/* This visit. credit: work until the clock is looked at; until_ns: 0 before it was. */
	u64 credit, until_ns;
	bool over;
	/* Queues that the loop visits next, the first of them from `from` on. */
	u64 again;
	unsigned from;
	/* How the loop gets the lock before the vCPUs' threads do, whatever they do with it. */
	pthread_mutex_t turnstile;
	bool waiting; /* atomic */
	struct loop *loop;
	struct loop_timer again_timer;
	/* The transport's: raise queue interrupt / configuration change. Lock held. */
	void (*irq_queue)(struct virtio_dev *d, unsigned q);
	void (*irq_config)(struct virtio_dev *d);
	void *transport;
	struct virtio_rom {
		const u8 *image; /* NULL: none on this host */
		size_t bytes;
		u64 room;
	} rom;             /* of its PCI function, room 0: none; for virtio_pci_add(), the caller's */
	bool modern;       /* it is never to be: for virtio_add() */
	bool transitional; /* the same: it has the legacy interface, too (virtio_legacy.c) */
	void *impl;        /* the device's own */
};

/* Begins a visit. A vCPU's thread uses the second, and waits while the loop waits. */
void virtio_lock(struct virtio_dev *d);
void virtio_lock_vcpu(struct virtio_dev *d);
static inline void virtio_unlock(struct virtio_dev *d)
{
	pthread_mutex_unlock(&d->lock);
}
static inline bool virtio_has(const struct virtio_dev *d, unsigned bit)
{
	return d->features >> bit & 1;
}

static inline bool virtio_packed(const struct virtio_dev *d)
{
	return virtio_has(d, VIRTIO_F_RING_PACKED);
}

/* For a device's constructor. Without a loop (tests) visits have no end. */
struct virtio_dev *virtio_new(const struct virtio_class *cls, struct ram *ram, struct loop *loop, unsigned nqueues,
			      void *impl);
void virtio_free(struct virtio_dev *d); /* calls cls->free */

/* Next chain of queue q: 1, 0 when there is none or the visit is over: it is then continued from the loop. Never fails:
 * bad rings end in NEEDS_RESET and 0. Zero-length segments are left out of the chain. Finding the queue empty asks for
 * the next notification, unless virtio_notify_disable() was called. */
int virtio_pop(struct virtio_dev *d, unsigned q, struct virtio_chain *ch);
/* Undo the last virtio_pop of q, which gave ch (no buffers for this packet yet); then the one before it may be. */
void virtio_unpop(struct virtio_dev *d, unsigned q, const struct virtio_chain *ch);
/* Give a chain back; written: bytes put into its in-segments from the start (reported as used, and
 * ram_wrote() is called for them). Does not interrupt. */
void virtio_push(struct virtio_dev *d, unsigned q, const struct virtio_chain *ch, u32 written);
/* virtio_push() in two steps, for chains that the driver must come to see all at once: parts, and their end. No other
 * push of the queue comes between them. */
void virtio_push_part(struct virtio_dev *d, unsigned q, const struct virtio_chain *ch, u32 written);
void virtio_push_end(struct virtio_dev *d, unsigned q);
/* The two for n chains. */
void virtio_push_batch(struct virtio_dev *d, unsigned q, const struct virtio_chain *ch, const u32 *written, unsigned n);
/* Interrupt the driver for the pushes since the last call, unless it asked not to be. */
void virtio_signal(struct virtio_dev *d, unsigned q);
/* The device did work, about so many times 10 ns of it. False: the visit is over. */
bool virtio_charge(struct virtio_dev *d, u64 work);
/* notify() shall be called for q from the loop, in a later turn. */
void virtio_again(struct virtio_dev *d, unsigned q);
/* Ask for, or not, notifications of new buffers. enable returns true when buffers came meanwhile, and there is time
 * for them in this visit. */
bool virtio_notify_enable(struct virtio_dev *d, unsigned q);
void virtio_notify_disable(struct virtio_dev *d, unsigned q);
/* The driver broke a rule. */
void virtio_broken(struct virtio_dev *d, const char *why);
/* The configuration space changed: new generation, configuration interrupt. */
void virtio_config_changed(struct virtio_dev *d);

/* Bounded copies between a flat buffer and a chain's out / in part; return bytes copied. */
u64 virtio_chain_read(const struct virtio_chain *ch, u64 off, void *buf, u64 bytes);
u64 virtio_chain_write(const struct virtio_chain *ch, u64 off, const void *buf, u64 bytes);

#endif
