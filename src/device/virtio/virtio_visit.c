/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_visit.c - locks and visits: how long a device works before it lets others.
 *
 * A visit (virtio.h) looks at the clock each CREDIT of work. It gives at least one chain, so there is always progress;
 * a notification of a queue that the loop will visit anyway does nothing.
 *
 * The loop must get the lock although vCPUs keep taking it, and a mutex promises no order. So the loop holds the
 * turnstile while it waits; who comes from a vCPU queues up behind it; and a vCPU that is in a visit ends it at the
 * next look at the clock.
 */
#include "base/clock.h"
#include "device/virtio/virtio_int.h"
#include "device/virtio/virtio_transport.h"

#define CREDIT 1024 /* work between two looks at the clock: some 10 us */

void virtio_begin_visit(struct virtio_dev *d)
{
	d->credit = CREDIT;
	d->until_ns = 0;
	d->over = false;
}

void virtio_lock(struct virtio_dev *d)
{
	if (pthread_mutex_trylock(&d->lock) != 0) {
		u64 since = clock_mono_ns();
		pthread_mutex_lock(&d->turnstile);
		__atomic_store_n(&d->waiting, true, __ATOMIC_RELAXED);
		pthread_mutex_lock(&d->lock);
		__atomic_store_n(&d->waiting, false, __ATOMIC_RELAXED);
		pthread_mutex_unlock(&d->turnstile);
		loop_waited(clock_mono_ns() - since);
	}
	virtio_begin_visit(d);
}

void virtio_lock_vcpu(struct virtio_dev *d)
{
	if (loop_here()) { /* a doorbell that the kernel rang */
		virtio_lock(d);
		return;
	}
	if (unlikely(__atomic_load_n(&d->waiting, __ATOMIC_RELAXED))) {
		pthread_mutex_lock(&d->turnstile);
		pthread_mutex_unlock(&d->turnstile);
	}
	pthread_mutex_lock(&d->lock);
	virtio_begin_visit(d);
}

bool virtio_charge(struct virtio_dev *d, u64 work)
{
	if (likely(work < d->credit)) {
		d->credit -= work;
		return !d->over;
	}
	d->credit = CREDIT;
	if (!d->loop)
		return true;
	if (!d->until_ns)
		d->until_ns = loop_until();
	else if (clock_mono_ns() >= d->until_ns)
		d->over = true;
	if (__atomic_load_n(&d->waiting, __ATOMIC_RELAXED))
		d->over = true;
	return !d->over;
}

void virtio_again(struct virtio_dev *d, unsigned q)
{
	must(q < d->nqueues);
	if (!d->again && d->loop)
		loop_timer_arm(&d->again_timer, 0);
	d->again |= 1ull << q;
}

/* The loop goes on where a visit ended. One queue may take all of it, so the next one is first next time. */
void virtio_on_again(void *opaque)
{
	struct virtio_dev *d = opaque;

	virtio_lock(d);
	u64 todo = d->again;
	unsigned first = d->from;
	d->again = 0;
	for (unsigned i = 0; i < d->nqueues && todo; i++) {
		unsigned q = (first + i) % d->nqueues;

		if (!(todo >> q & 1))
			continue;
		if (d->over) {
			virtio_again(d, q);
			continue;
		}
		todo &= ~(1ull << q);
		d->from = q + 1;
		virtio_notify(d, q);
	}
	virtio_unlock(d);
}
