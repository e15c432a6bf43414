/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trim.c - see trim.h. */
#include "cpu/soft/run/trim.h"

#include "base/clock.h"
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/decode/memo.h"
#include "cpu/soft/direct/direct.h"
#include "cpu/soft/jit/jit.h"

#define WINDOW_NS (30 * NSEC_PER_SEC)
#define BUSY_NS (WINDOW_NS / 32) /* so much CPU time in a window is no idling */
#define WORTH_BYTES (4 * MIB)

/* CPU time of the VM: of this process, and of its runners, roughly. */
static u64 spent_ns(const struct soft_vm *vm)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	u64 ns = (u64)ts.tv_sec * NSEC_PER_SEC + (u64)ts.tv_nsec;
	for (unsigned i = 0; i < vm->ncpus; i++)
		ns += __atomic_load_n(&vm->cpu[i]->direct.st.ns, __ATOMIC_RELAXED);
	return ns;
}

bool trim_now(struct soft_cpu *c)
{
	struct soft_vm *vm = c->vm;

	cache_exclusive_begin(vm, c);
	bool free = !atomic_load(&vm->cache->held);
	if (free) {
		cache_reset(vm);
		jit_reset(vm);
		direct_code_forget(vm);
		cache_give_back(vm);
		jit_give_back(vm);
		for (unsigned i = 0; i < vm->ncpus; i++)
			memo_give_back(vm->cpu[i]->memo);
		vm->trim.times++;
	}
	cache_exclusive_end(vm, c);
	return free;
}

void trim_halted(struct soft_cpu *c, u64 now_ns)
{
	struct soft_trim *t = &c->vm->trim;
	u64 since = atomic_load_explicit(&t->since_ns, memory_order_relaxed);

	if (likely(now_ns - since < WINDOW_NS) || !atomic_compare_exchange_strong(&t->since_ns, &since, now_ns))
		return;
	u64 spent = spent_ns(c->vm), before = t->spent_ns;
	t->spent_ns = spent;
	if (since && spent - before < BUSY_NS && cache_bytes(c->vm) + jit_bytes(c->vm) >= WORTH_BYTES)
		trim_now(c);
}
