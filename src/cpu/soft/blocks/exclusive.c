/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exclusive.c - sections in which no other vCPU is inside of guest code: see cache.h.
 *
 * c->in_guest and cache->excl are a Dekker pair: whoever sets its own looks at the other's after that, so that either
 * the vCPU waits for the section's end or the section for the vCPU.
 */
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/hooks.h"

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>

static void futex(_Atomic u32 *word, int op, u32 val)
{
	syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, val, NULL, NULL, 0);
}

void cache_enter_guest(struct soft_cpu *c)
{
	struct code_cache *k = c->vm->cache;

	for (;;) {
		atomic_store(&c->in_guest, 1);
		if (likely(!atomic_load(&k->excl))) {
			if (unlikely(c->remaps != atomic_load_explicit(&c->vm->remaps, memory_order_relaxed)))
				c->hooks->moved(c);
			return;
		}
		atomic_store(&c->in_guest, 0);
		futex(&k->excl, FUTEX_WAIT, 1);
	}
}

void cache_exclusive_begin(struct soft_vm *vm, struct soft_cpu *c)
{
	struct code_cache *k = vm->cache;

	if (c)
		atomic_store(&c->in_guest, 0);
	pthread_mutex_lock(&k->excl_lock);
	atomic_store(&k->excl, 1);
	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct soft_cpu *o = vm->cpu[i];
		if (o == c)
			continue;
		for (unsigned spins = 0; atomic_load(&o->in_guest); spins++) {
			if (!(atomic_fetch_or(&o->pending, PEND_QUIESCE) & PEND_QUIESCE))
				vm->hooks->kick(o);
			if (spins < 200)
				__builtin_ia32_pause();
			else
				sched_yield();
		}
	}
}

void cache_exclusive_end(struct soft_vm *vm, struct soft_cpu *c)
{
	struct code_cache *k = vm->cache;

	atomic_store(&k->excl, 0);
	futex(&k->excl, FUTEX_WAKE, INT_MAX);
	pthread_mutex_unlock(&k->excl_lock);
	if (c)
		cache_enter_guest(c);
}
