/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * remap.c - what is where in guest memory changes while vCPUs run (base/ram.h, "Changing the table").
 *
 * Blocks, code marks and dirty pages are kept by offsets in the file, and stay. What a vCPU knows by linear address
 * goes: TLBs, jump caches, the translator's tables, runners' mappings. Each vCPU forgets its own, on its thread, before
 * it is in the guest again (cache_enter_guest()): vm->remaps counts the changes, c->remaps those it has heard of.
 *
 * The vCPU that asked for the change is in the middle of an instruction, whose access to a device has just returned; it
 * holds no lock. It waits until the others are out of the guest, while which one of them may be waiting for the same:
 * cache->held counts those who will come back to the middle of a block, so that nobody empties the arena meanwhile.
 * The rest of the instruction, and in the interpreter of the block, still comes from the old page, as from the queue of
 * a processor that has fetched ahead; all that it loads and stores goes by the new table. Translated code, which has
 * checked some of its next accesses already, is left after the instruction (INV-JIT-6).
 *
 * The guest's vector registers may be live in the host's: no vector instruction here (meson.build, tests/engine).
 */
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/memory/mmu.h"

void mmu_remap(struct soft_cpu *c)
{
	struct soft_vm *vm = c->vm;

	if (c->exclusive) { /* a read-modify-write across pages: the others wait already */
		ram_commit(vm->ram, NULL);
		mmu_forget_moved(c);
		return;
	}
	atomic_fetch_add(&vm->cache->held, 1);
	cache_exclusive_begin(vm, c);
	ram_commit(vm->ram, NULL);
	cache_exclusive_end(vm, c);
	atomic_fetch_sub(&vm->cache->held, 1);
}

void mmu_forget_moved(struct soft_cpu *c)
{
	c->remaps = atomic_load(&c->vm->remaps);
	soft_tlb_forget(c);
	/* To the run loop at the end of this block, which may link to others in a page that is not there any more. */
	atomic_fetch_or(&c->pending, PEND_QUIESCE);
}
