/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_rig.h - a virtio device for tests, without a transport: guest memory, a loop that is turned by hand, and a
 * driver (vdriver.h) for each queue. Interrupts are counted.
 */
#ifndef MICA_TEST_VIRTIO_RIG_H
#define MICA_TEST_VIRTIO_RIG_H

#include "base/clock.h"
#include "vdriver.h"

#define RIG_RINGS 0x10000ull /* where queue 0 lies; 16 KiB for each */
#define RIG_QUEUES 8

struct virtio_rig {
	struct ram *ram;
	struct loop *loop;
	struct loop_timer stop;
	struct virtio_dev *dev;
	struct vdriver q[RIG_QUEUES];
	unsigned irqs[RIG_QUEUES], cfg_irqs; /* atomic: some tests run the loop in a thread of its own */
};

static inline void virtio_rig_irq(struct virtio_dev *d, unsigned q)
{
	__atomic_fetch_add(&((struct virtio_rig *)d->transport)->irqs[q], 1, __ATOMIC_SEQ_CST);
}

static inline void virtio_rig_cfg_irq(struct virtio_dev *d)
{
	__atomic_fetch_add(&((struct virtio_rig *)d->transport)->cfg_irqs, 1, __ATOMIC_SEQ_CST);
}

static inline void virtio_rig_stop(void *loop)
{
	loop_stop(loop);
}

static inline void virtio_rig_up(struct virtio_rig *r, u64 ram_bytes)
{
	memset(r, 0, sizeof(*r));
	must(ram_new(&r->ram, ram_bytes, NULL) == 0 && loop_new(&r->loop, NULL) == 0);
	loop_timer_init(r->loop, &r->stop, virtio_rig_stop, r->loop);
}

/* The device to test, made with the rig's ram and loop: the rig ends it. */
static inline void virtio_rig_take(struct virtio_rig *r, struct virtio_dev *d)
{
	r->dev = d;
	d->transport = r;
	d->irq_queue = virtio_rig_irq;
	d->irq_config = virtio_rig_cfg_irq;
}

static inline void virtio_rig_down(struct virtio_rig *r)
{
	virtio_free(r->dev);
	loop_timer_fini(&r->stop);
	loop_free(r->loop);
	ram_free(r->ram);
}

/* A driver resets the device and takes it, with so many entries in each queue. */
static inline void virtio_rig_start(struct virtio_rig *r, unsigned size, u64 features)
{
	virtio_lock(r->dev);
	virtio_set_status(r->dev, 0);
	virtio_unlock(r->dev);
	must(r->dev->nqueues <= RIG_QUEUES);
	for (unsigned q = 0; q < r->dev->nqueues; q++)
		vd_init(&r->q[q], r->dev, q, size, RIG_RINGS + q * 0x4000);
	vd_start(r->dev, features);
}

/* What the loop has to do, for 5 ms. */
static inline void virtio_rig_spin(struct virtio_rig *r)
{
	loop_timer_arm(&r->stop, clock_mono_ns() + 5000000);
	loop_run(r->loop);
}

static inline unsigned virtio_rig_irqs(struct virtio_rig *r)
{
	unsigned n = 0;

	for (unsigned q = 0; q < RIG_QUEUES; q++)
		n += __atomic_load_n(&r->irqs[q], __ATOMIC_SEQ_CST);
	return n;
}

#endif
