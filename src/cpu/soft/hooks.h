/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hooks.h - what the lower rooms of the engine tell the upper ones.
 *
 * Memory, blocks, handlers and vectors come before the translator, direct execution and the run loop, and know nothing
 * of them. Where something happens that those must hear of, or where a handler goes on to a block that has to be found
 * first, it is called through this table. There is one, in run/hooks.c, which says who listens; a vCPU and a VM point
 * to it. Each is told after it happened, on the vCPU's thread, unless it says otherwise. All must be there.
 */
#ifndef MICA_SOFT_HOOKS_H
#define MICA_SOFT_HOOKS_H

#include "cpu/soft/raise.h"
#include "cpu/soft/vm.h"

struct soft_hooks {
	/* ---- from handlers ---- */
	/* Go on at c->rip, by tail call: the next block, or back to the run loop; see soft_leave(). */
	uop_fn *leave;
	/* The same, and put the block found into op->ptr. */
	uop_fn *link;
	/* CPL 3 executed CPUID or XGETBV, at c->rip. */
	void (*saw_host)(struct soft_cpu *c);

	/* ---- from memory ---- */
	/* What comes next may use vector registers: bring the guest's to c->vec. */
	void (*vec_out)(struct soft_cpu *c);
	/* The user's and the SMAP-off translations of an address space were forgotten, and its user code's jumps. */
	void (*space_forgotten)(struct soft_cpu *c, unsigned space);
	/* ... one page of it, whose table entries were of 1 << user_shift and 1 << ac_shift bytes. */
	void (*space_page_forgotten)(struct soft_cpu *c, unsigned space, gva_t lin, unsigned user_shift,
				     unsigned ac_shift);
	/* The supervisor's translations and jumps; one page of 1 << shift bytes. */
	void (*super_forgotten)(struct soft_cpu *c);
	void (*super_page_forgotten)(struct soft_cpu *c, gva_t lin, unsigned shift);
	/* CR3 or what belongs to it changed; other: c->space is another one now. */
	void (*switched)(struct soft_cpu *c, bool other);
	/* The RAM page may not be written unseen any more, UINT64_MAX: none may. Any thread; c->tlb_lock is held. */
	void (*protect)(struct soft_cpu *c, u64 page);

	/* ---- from memory, while c->jit.ref: an instruction is executed for comparison (jit/jit_check.h) ---- */
	/* Where it sees the page at host; write: from now on its own copy. May not return. */
	u8 *(*ref_page)(struct soft_cpu *c, u8 *host, bool write);
	/* The same for a few bytes anywhere, to read. */
	u8 *(*ref_view)(struct soft_cpu *c, u8 *host);
	/* This cannot be done twice (devices, ports): does not return. */
	void (*ref_gives_up)(struct soft_cpu *c);

	/* ---- from blocks ---- */
	/* Guest memory has moved since c was in the guest last, and c enters it now. */
	void (*moved)(struct soft_cpu *c);
	/* ... any thread: */
	/* c->pending was changed: c shall look at it soon. */
	void (*kick)(struct soft_cpu *c);
	/* The block died; cache->lock is held. */
	void (*killed)(struct soft_vm *vm, struct block *b);
	/* The RAM page was written that vm->direct.code watches; no lock is held. */
	void (*guarded_written)(struct soft_vm *vm, u64 page);

	/* ---- from vector ---- */
	/* The host's instruction at *rip raised `vec`. If it is the guest's doing: where to go on, in *rip. rflags: at
	 * the fault. Async-signal-safe, on c's thread. */
	bool (*fault_landing)(struct soft_cpu *c, u64 *rip, u64 rflags, unsigned vec);

	/* ---- from the translator ---- */
	/* The block at linear address lin (c->rip as seen by the guest), decoded if need be; see run/fetch.h. */
	struct block *(*block_at)(struct soft_cpu *c, gva_t lin);
};

/* A device or port is about to be accessed. */
static inline void soft_no_repeat(struct soft_cpu *c)
{
	if (unlikely(c->jit.ref))
		c->hooks->ref_gives_up(c);
	if (unlikely(dr7_any(c->dr7)) && !c->stepping && !c->redo_step)
		core_redo_stepped(c);
}

#endif
