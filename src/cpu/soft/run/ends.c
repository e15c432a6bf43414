/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ends.c - the handlers at the borders of a block. The first uop counts executions and enters the translation; the last
 * goes on to the next block. PAUSE is here too, because it may leave guest code.
 *
 * The decoder gets them in struct decode_ends, so that it need not know the run loop or the translator.
 */
#include "base/clock.h"
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/chain.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/jit/jit.h"
#include "cpu/soft/jit/jit_emit.h"
#include "cpu/soft/run/ends.h"
#include "cpu/soft/run/fetch.h"
#include "cpu/soft/run/hooks.h"

#include <sched.h>

/* ---- the end ---- */

void run_link(struct soft_cpu *c, const struct uop *op)
{
	gva_t lin = c->rip;
	struct jc_entry *e = &c->jc[jc_hash(lin)];

	if (likely(!atomic_load_explicit(&c->pending, memory_order_relaxed) && !c->jit.in_uop)) {
		u64 generation = c->vm->cache->generation, remaps = c->remaps;
		if (unlikely(e->key != lin || e->block->dead)) {
			jc_set(c, e, lin, fetch_block(c, lin));
		}
		/* A block that reaches into the next page depends on that page's mapping: not linked.
		 * Blocks are never freed while one runs, so racing vCPUs store equally good pointers; but
		 * fetch_block() may have emptied the arena, and then *op is gone, or the page is another one by
		 * now (memory/remap.c).
		 * A single-stepped instruction (which has pending set) never comes here. */
		if (e->block->phys2 == UINT64_MAX && c->vm->cache->generation == generation && c->remaps == remaps)
			__atomic_store_n((struct block **)(uintptr_t)&op->ptr, e->block, __ATOMIC_RELAXED);
	}
	LEAVE(c, op);
}

static void op_end(struct soft_cpu *c, const struct uop *op)
{
	if (likely(c->mode & MODE_CODE64))
		GOTO_RIP64(c, op, c->gpr[GPR_BLK] + op->rip_off);
	c->rip = c->gpr[GPR_BLK] + op->rip_off;
	LEAVE(c, op);
}

static void op_end_link(struct soft_cpu *c, const struct uop *op)
{
	GOTO_LINK64(c, op, c->gpr[GPR_BLK] + op->rip_off);
}

static void op_pause(struct soft_cpu *c, const struct uop *op)
{
	if (c->vm->ncpus == 1 || ++c->pauses & 1023) {
		__builtin_ia32_pause();
		NEXT(c, op);
	}
	/* A spin loop: let a vCPU that shares this host CPU run. While we are out of guest code the arena may be
	 * emptied, so the way back is by address, not by the next uop. */
	c->rip = SOFT_NEXT_RIP(c, op);
	cache_leave_guest(c);
	sched_yield();
	cache_enter_guest(c);
	LEAVE(c, op);
}

/* ---- the beginning ---- */

static uop_fn op_jit_heat, op_jit_enter;

/* The block was executed often: translate it. Returns the uop to go on with; NULL: at c->rip. */
static noinline_ const struct uop *hot(struct soft_cpu *c, const struct uop *op)
{
	struct block *b = container_of(op, struct block, op[0]);
	struct uop *first = (struct uop *)(uintptr_t)op;

	if (c->jit.in_uop || c->stepping) {
		first->imm = 1;
		return op + 1;
	}
	u64 start = clock_mono_ns();
	if (!b->whole) {
		c->rip = c->gpr[GPR_BLK];
		b = fetch_block_whole(c, soft_lin_rip(c), b);
		op = b->op;
		first = b->op;
		bool ours = first->fn == op_jit_heat; /* else another vCPU's work */
		if (!(c->mode & MODE_CODE64)) {
			if (ours)
				first->imm = 1;
			return NULL; /* it may be one that crosses its segment's limit: that is looked at there */
		}
		if (!ours)
			return op;
	}
	bool patched = b->patches.n >= BLOCK_PATCHES_MANY && b->patches.n != BLOCK_PATCHES_NEVER;
	bool ok = jit_translate(c, b);
	c->jit.n.translate_ns += clock_mono_ns() - start;
	if (ok) {
		__atomic_store_n(&first->fn, op_jit_enter, __ATOMIC_RELEASE);
		return op;
	}
	if (patched) /* it came before its time (jit_constant.h) */
		first->imm = c->vm->jit->heat;
	else if (atomic_load(&c->vm->cache->full)) /* decoding it again makes room */
		cache_kill(c->vm, b);
	else
		first->fn = op_nop;
	return op + 1;
}

static void op_jit_heat(struct soft_cpu *c, const struct uop *op)
{
	u64 *heat = (u64 *)(uintptr_t)&op->imm;
	u64 n = __atomic_load_n(heat, __ATOMIC_RELAXED);

	if (likely(n > 1)) {
		__atomic_store_n(heat, n - 1, __ATOMIC_RELAXED);
		NEXT(c, op);
	}
	const struct uop *o = hot(c, op);
	if (o)
		GOTO_UOP(c, o);
	LEAVE(c, op);
}

static noinline_ const struct uop *enter(struct soft_cpu *c, const struct uop *op)
{
	struct block *b = container_of(op, struct block, op[0]);

	/* Translated supervisor code relies on CPL 0, see jit_sysi.c. */
	if (c->jit.in_uop || c->stepping || c->tlb != c->tlbs[b->jit.mode] || unlikely(c->cpl == 1 || c->cpl == 2) ||
	    !jit_may_run_at(b, c->gpr[GPR_BLK]))
		return op + 1;
	if (unlikely(c->jit.refused == b)) {
		c->jit.refused = NULL;
		return op + 1;
	}
	return unlikely(c->jit.check) ? jit_check_enter(c, b) : jit_enter(c, b);
}

static void op_jit_enter(struct soft_cpu *c, const struct uop *op)
{
	const struct uop *o = enter(c, op);

	if (o)
		GOTO_UOP(c, o);
	LEAVE(c, op);
}

/* Executions until a block is translated. */
static u64 heat(const struct soft_vm *vm, u64 phys)
{
	return jit_was_hot(vm, phys) ? 2 : vm->jit->heat;
}

const struct decode_ends run_ends = {
	.first = op_jit_heat,
	.heat = heat,
	.last = op_end,
	.last_link = op_end_link,
	.pause = op_pause,
};
