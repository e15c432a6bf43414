/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fair_lock.h - a device's lock between vCPUs and the loop.
 *
 * The loop must get the lock although vCPUs keep taking it, and a mutex promises no order. So the loop holds the
 * turnstile while it waits, and who comes from a vCPU meanwhile queues up behind it. What is done under the lock is
 * bounded by who does it.
 */
#ifndef MICA_FAIR_LOCK_H
#define MICA_FAIR_LOCK_H

#include "base/clock.h"
#include "base/loop.h"

#include <pthread.h>

struct fair_lock {
	pthread_mutex_t lock, turnstile;
	bool waiting; /* the loop, for the lock */
};

static inline void fair_lock_init(struct fair_lock *l)
{
	pthread_mutex_init(&l->lock, NULL);
	pthread_mutex_init(&l->turnstile, NULL);
	l->waiting = false;
}

static inline void fair_lock_fini(struct fair_lock *l)
{
	pthread_mutex_destroy(&l->lock);
	pthread_mutex_destroy(&l->turnstile);
}

static inline void fair_lock(struct fair_lock *l)
{
	if (loop_here()) {
		if (pthread_mutex_trylock(&l->lock) == 0)
			return;
		u64 since = clock_mono_ns();
		pthread_mutex_lock(&l->turnstile);
		__atomic_store_n(&l->waiting, true, __ATOMIC_RELAXED);
		pthread_mutex_lock(&l->lock);
		__atomic_store_n(&l->waiting, false, __ATOMIC_RELAXED);
		pthread_mutex_unlock(&l->turnstile);
		loop_waited(clock_mono_ns() - since);
		return;
	}
	if (unlikely(__atomic_load_n(&l->waiting, __ATOMIC_RELAXED))) {
		pthread_mutex_lock(&l->turnstile);
		pthread_mutex_unlock(&l->turnstile);
	}
	pthread_mutex_lock(&l->lock);
}

static inline void fair_unlock(struct fair_lock *l)
{
	pthread_mutex_unlock(&l->lock);
}

#endif
