/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost_dev.h - a virtio device whose work another process does: a vhost-user back end. What the kinds have in common.
 *
 * STOPPED  the driver is not there, or the device is being saved: nothing is the back end's
 * RUNNING  started: chains go to the back end as they come
 * ALONE    the back end is gone. Chains stay where they are, in its rings' books or in the guest's queues: the guest
 *          sees I/O that takes its time. Each RETRY_NS mica-vsock, which still can (vsock/vsock.h), connects again; a
 *          back end that offers what the guest uses, and the same configuration, goes on with what is in flight.
 *          I/O that the dead one had done and not said is done twice.
 *
 * A reset waits for a back end, as a driver takes its memory back then: WAIT_NS, after which the back end is left.
 */
#ifndef MICA_VHOST_DEV_H
#define MICA_VHOST_DEV_H

#include "base/loop.h"
#include "device/virtio/vhost_link.h"
#include "device/virtio/vhost_ring.h"
#include "device/virtio/virtio.h"

#define VHOST_RINGS_MAX 32u

struct vhost_dev;

struct vhost_ops {
	const char *name;      /* "vhost-user-blk": for messages */
	unsigned config_bytes; /* what the back end is asked for; 0: nothing */
	u64 features;          /* what it may offer the guest, of the device's own */
	unsigned per_queue;    /* rings to one that it counts (VHOST_GET_QUEUE_NUM) */
	bool drain;            /* its requests end by themselves: reset and saving wait for them */
	/* Another back end than the first: is its configuration (link.config) the same? Optional. */
	bool (*same)(struct vhost_dev *v);
	void (*there)(struct vhost_dev *v, bool there);      /* it went, or came back; optional */
	bool (*enabled)(struct vhost_dev *v, unsigned ring); /* optional: all are */
};

struct vhost_dev {
	const struct vhost_ops *ops;
	struct virtio_dev *d; /* set by who made it, before vhost_dev_watch() */
	struct loop *loop;
	struct ram *ram;
	struct vhost_link link;
	struct loop_fd link_lf;
	bool watched;
	int helper_fd; /* mica-vsock; -1: no other back end is looked for */
	struct loop_fd helper_lf;
	bool helper_watched, asked;
	struct loop_timer retry;
	u64 features; /* of the first back end: what any other must have */
	unsigned nrings;
	struct vhost_ring *rings;
	struct vhost_watch {
		struct vhost_dev *v;
		struct loop_fd lf;
	} * call;
	int rings_fd; /* the file that has them; sealed */
	u8 *rings_mem;
	bool running, stopping, told;
};

/*
 * Greets the back end at fd and gives it `max` rings, or as many as it has. Waits, a little; before the process locks
 * itself in. fd and helper_fd are owned, also on failure.
 */
int vhost_dev_init(struct vhost_dev *v, const struct vhost_ops *ops, struct ram *ram, struct loop *loop, int fd,
		   int helper_fd, unsigned max, struct err *e);
/* v->d is there: from now on the loop looks after it. */
int vhost_dev_watch(struct vhost_dev *v, struct err *e);
void vhost_dev_fini(struct vhost_dev *v);

/* ---- for the class's ops; lock held ---- */
void vhost_dev_notify(struct vhost_dev *v, unsigned ring);
void vhost_dev_start(struct vhost_dev *v);
void vhost_dev_reset(struct vhost_dev *v);
bool vhost_dev_quiesce(struct vhost_dev *v);
/* ops->enabled() says something else now of these rings. */
void vhost_dev_enable(struct vhost_dev *v, unsigned first, unsigned n);

#endif
