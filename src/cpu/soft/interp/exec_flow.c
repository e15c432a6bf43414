/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exec_flow.c - near control flow and the stack: JMP, CALL, RET, LOOP, PUSH, POP, LEAVE, PUSHA.
 *
 * In 64-bit code these are fast handlers that go from block to block by a remembered link (same page)
 * or the virtual jump cache. Other modes take the general way: new IP masked to the operand size,
 * checked against CS.limit before anything is committed, then soft_leave().
 */
#include "base/clock.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/run/core.h"
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/jit/jit.h"

#include <sched.h>

void exec_link(struct soft_cpu *c, const struct uop *op)
{
	gva_t lin = c->rip;
	struct jc_entry *e = &c->jc[jc_hash(lin)];

	if (likely(!atomic_load_explicit(&c->pending, memory_order_relaxed) && !c->jit.in_uop)) {
		u64 generation = c->vm->cache->generation;
		if (unlikely(e->key != lin || e->block->dead)) {
			jc_set(c, e, lin, cache_get(c, lin));
		}
		/* A block that reaches into the next page depends on that page's mapping: not linked.
		 * Blocks are never freed while one runs, so racing vCPUs store equally good pointers; but
		 * cache_get() may have emptied the arena, and then *op is gone.
		 * A single-stepped instruction (which has pending set) never comes here. */
		if (e->block->phys2 == UINT64_MAX && c->vm->cache->generation == generation)
			__atomic_store_n((struct block **)(uintptr_t)&op->ptr, e->block, __ATOMIC_RELAXED);
	}
	LEAVE(c, op);
}

void op_end(struct soft_cpu *c, const struct uop *op)
{
	if (likely(c->mode & MODE_CODE64))
		GOTO_RIP64(c, op, c->gpr[GPR_BLK] + op->rip_off);
	c->rip = c->gpr[GPR_BLK] + op->rip_off;
	LEAVE(c, op);
}

void op_end_link(struct soft_cpu *c, const struct uop *op)
{
	GOTO_LINK64(c, op, c->gpr[GPR_BLK] + op->rip_off);
}

void op_ud(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	soft_ud(c);
}

void op_gp_len(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	soft_gp(c, 0);
}

void op_nop(struct soft_cpu *c, const struct uop *op)
{
	NEXT(c, op);
}

void op_pause(struct soft_cpu *c, const struct uop *op)
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

/* ---- 64-bit code ---- */

void op_jmp64_link(struct soft_cpu *c, const struct uop *op)
{
	GOTO_LINK64(c, op, c->gpr[GPR_BLK] + (u64)(s64)op->disp);
}
void op_jmp64(struct soft_cpu *c, const struct uop *op)
{
	GOTO_RIP64(c, op, c->gpr[GPR_BLK] + op->imm);
}
/* A near branch to a non-canonical address faults at the branch, before it changes anything. */
always_inline_ u64 target64(struct soft_cpu *c, const struct uop *op, u64 t)
{
	if (unlikely(!soft_canonical(t))) {
		SOFT_ENTER(c, op);
		soft_gp(c, 0);
	}
	return t;
}

/* ... and after the push's fault, for a call. A bad stack is #SS whatever op's own operand is. */
always_inline_ u64 call_target64(struct soft_cpu *c, const struct uop *op, u64 t)
{
	if (unlikely(!soft_canonical(t) || !soft_canonical(c->gpr[GPR_RSP] - 8))) {
		SOFT_ENTER(c, op);
		if (!soft_canonical(c->gpr[GPR_RSP] - 8))
			soft_raise(c, EXC_SS, 0);
		soft_probe(c, c->gpr[GPR_RSP] - 8, 8, true);
		soft_gp(c, 0);
	}
	return t;
}

void op_jmpi64(struct soft_cpu *c, const struct uop *op)
{
	GOTO_RIP64(c, op, target64(c, op, c->gpr[op->r1]));
}
void op_jmpi64_m(struct soft_cpu *c, const struct uop *op)
{
	GOTO_RIP64(c, op, target64(c, op, mem_ld64(c, op, ea(c, op, 8, false))));
}

always_inline_ void push64(struct soft_cpu *c, const struct uop *op, u64 v)
{
	u64 sp = c->gpr[GPR_RSP] - 8;
	mem_st64(c, op, sp, v);
	c->gpr[GPR_RSP] = sp;
}

void op_call64_link(struct soft_cpu *c, const struct uop *op)
{
	push64(c, op, SOFT_NEXT_RIP(c, op));
	GOTO_LINK64(c, op, c->gpr[GPR_BLK] + (u64)(s64)op->disp);
}
void op_call64(struct soft_cpu *c, const struct uop *op)
{
	push64(c, op, SOFT_NEXT_RIP(c, op));
	GOTO_RIP64(c, op, c->gpr[GPR_BLK] + op->imm);
}
void op_calli64(struct soft_cpu *c, const struct uop *op)
{
	u64 t = call_target64(c, op, c->gpr[op->r1]);
	push64(c, op, SOFT_NEXT_RIP(c, op));
	GOTO_RIP64(c, op, t);
}
void op_calli64_m(struct soft_cpu *c, const struct uop *op)
{
	u64 t = call_target64(c, op, mem_ld64(c, op, ea(c, op, 8, false)));
	push64(c, op, SOFT_NEXT_RIP(c, op));
	GOTO_RIP64(c, op, t);
}
void op_ret64(struct soft_cpu *c, const struct uop *op)
{
	u64 t = target64(c, op, mem_ld64(c, op, c->gpr[GPR_RSP]));
	c->gpr[GPR_RSP] += op->imm; /* 8 + what RET imm16 drops */
	GOTO_RIP64(c, op, t);
}

void op_push64_r(struct soft_cpu *c, const struct uop *op)
{
	push64(c, op, c->gpr[op->r1]);
	NEXT(c, op);
}
void op_push64_i(struct soft_cpu *c, const struct uop *op)
{
	push64(c, op, op->imm);
	NEXT(c, op);
}
void op_pop64_r(struct soft_cpu *c, const struct uop *op)
{
	u64 v = mem_ld64(c, op, c->gpr[GPR_RSP]);
	c->gpr[GPR_RSP] += 8;
	c->gpr[op->r1] = v;
	NEXT(c, op);
}

/* ---- any mode ---- */

static inline u64 sp_mask(const struct soft_cpu *c)
{
	return c->mode & MODE_CODE64 ? ~0ull : c->mode & MODE_SS32 ? 0xffffffffull : 0xffffull;
}
static inline void set_sp(struct soft_cpu *c, u64 sp)
{
	u64 m = sp_mask(c);
	c->gpr[GPR_RSP] = m == 0xffff ? (c->gpr[GPR_RSP] & ~0xffffull) | (sp & m) : sp & m;
}

/* Instructions with a memory operand as well: op->seg is that one's, so a bad stack is told here. */
static void check_sp(struct soft_cpu *c, u64 sp)
{
	if ((c->mode & MODE_CODE64) && unlikely(!soft_canonical(sp)))
		soft_raise(c, EXC_SS, 0);
}

/* The last pushed/popped word stays uncommitted until set_sp(). */
static void push_at(struct soft_cpu *c, u64 sp, unsigned bytes, u64 v)
{
	check_sp(c, sp);
	soft_st(c, soft_seg_lin(c, SEG_SS, sp & sp_mask(c), bytes, true), bytes, v);
}
static u64 pop_at(struct soft_cpu *c, u64 sp, unsigned bytes)
{
	check_sp(c, sp);
	return soft_ld(c, soft_seg_lin(c, SEG_SS, sp & sp_mask(c), bytes, false), bytes);
}

/* PUSH r/m/imm of osize 2, 4, 8 */
void op_push_any(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	unsigned n = op->osize;
	u64 v = op->aux & AUX_IMM   ? op->imm
		: op->aux & AUX_MEM ? soft_ld(c, soft_ea(c, op, n, false), n)
				    : reg_rd(c, op->r1, n);
	u64 sp = c->gpr[GPR_RSP] - n;
	push_at(c, sp, n, v);
	set_sp(c, sp);
	NEXT(c, op);
}

/* POP r/m. A memory destination addressed by RSP uses the incremented one (SDM: POP). */
void op_pop_any(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	unsigned n = op->osize;
	u64 old = c->gpr[GPR_RSP], v = pop_at(c, old, n);

	if (op->aux & AUX_MEM) {
		if (op->base == GPR_RSP) {
			/* Form the address with the new RSP, but let a fault find the old one. */
			set_sp(c, old + n);
			u64 off = soft_ea_offset(c, op), sp = c->gpr[GPR_RSP];
			c->gpr[GPR_RSP] = old;
			soft_st(c, soft_seg_lin(c, op->seg, off, n, true), n, v);
			c->gpr[GPR_RSP] = sp;
		} else {
			soft_st(c, soft_ea(c, op, n, true), n, v);
			set_sp(c, old + n);
		}
	} else {
		set_sp(c, old + n);
		reg_wr(c, op->r1, n, v);
	}
	NEXT(c, op);
}

void op_pusha(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	unsigned n = op->osize;
	u64 sp = c->gpr[GPR_RSP];

	/* Everything that can fault first: eight words below. */
	for (unsigned i = 1; i <= 8; i++)
		soft_probe(c, soft_seg_lin(c, SEG_SS, (sp - i * n) & sp_mask(c), n, true), n, true);
	for (unsigned i = 0; i < 8; i++)
		push_at(c, sp - (i + 1) * n, n, c->gpr[i]); /* AX CX DX BX SP BP SI DI: the encoding's order */
	set_sp(c, sp - 8 * n);
	NEXT(c, op);
}

void op_popa(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	unsigned n = op->osize;
	u64 sp = c->gpr[GPR_RSP];

	for (unsigned i = 0; i < 8; i++)
		soft_probe(c, soft_seg_lin(c, SEG_SS, (sp + i * n) & sp_mask(c), n, false), n, false);
	for (unsigned i = 0; i < 8; i++)
		if (7 - i != GPR_RSP)
			reg_wr(c, 7 - i, n, pop_at(c, sp + i * n, n));
	set_sp(c, sp + 8 * n);
	NEXT(c, op);
}

void op_leave(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	unsigned n = op->osize;
	u64 bp = c->gpr[GPR_RBP] & sp_mask(c);
	u64 v = pop_at(c, bp, n);
	set_sp(c, bp + n);
	reg_wr(c, GPR_RBP, n, v);
	NEXT(c, op);
}

/* ---- legacy near branches, and 64-bit ones with a 16-bit operand ---- */

static u64 ip_of(struct soft_cpu *c, unsigned osize, u64 ip)
{
	ip = osize == 2 ? ip & 0xffff : osize == 4 ? ip & 0xffffffff : ip;
	if (!(c->mode & MODE_CODE64) && ip > c->seg[SEG_CS].limit)
		soft_gp(c, 0);
	return ip;
}

void op_jmp_legacy(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	c->rip = ip_of(c, op->osize, SOFT_NEXT_RIP(c, op) + op->imm);
	LEAVE(c, op);
}

void op_jcc_legacy(struct soft_cpu *c, const struct uop *op)
{
	if (cond(c->fl, op->r0)) {
		SOFT_ENTER(c, op);
		c->rip = ip_of(c, op->osize, SOFT_NEXT_RIP(c, op) + op->imm);
		LEAVE(c, op);
	}
	NEXT(c, op);
}

/* LOOP LOOPE LOOPNE JCXZ in any mode. r0: 0 loopne, 1 loope, 2 loop, 3 jcxz; r1: address bytes */
void op_loop(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	u64 n = reg_rd(c, GPR_RCX, op->r1);
	bool zf = c->fl & 0x4000, take;

	if (op->r0 == 3) {
		take = n == 0;
	} else {
		n -= 1;
		n = op->r1 == 8 ? n : op->r1 == 4 ? (u32)n : (u16)n;
		take = n && (op->r0 == 2 || zf == (op->r0 == 1));
	}
	u64 t = take ? ip_of(c, op->osize, SOFT_NEXT_RIP(c, op) + op->imm) : SOFT_NEXT_RIP(c, op);
	if (op->r0 != 3)
		reg_wr(c, GPR_RCX, op->r1, n);
	c->rip = t;
	LEAVE(c, op);
}

void op_jmpi_legacy(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	c->rip = ip_of(c, op->osize, rm_rd(c, op, op->osize));
	LEAVE(c, op);
}

static void call_to(struct soft_cpu *c, const struct uop *op, u64 t)
{
	u64 sp = c->gpr[GPR_RSP] - op->osize;
	t = ip_of(c, op->osize, t);
	push_at(c, sp, op->osize, SOFT_NEXT_RIP(c, op));
	set_sp(c, sp);
	c->rip = t;
}

void op_call_legacy(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	call_to(c, op, SOFT_NEXT_RIP(c, op) + op->imm);
	LEAVE(c, op);
}

void op_calli_legacy(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	call_to(c, op, rm_rd(c, op, op->osize));
	LEAVE(c, op);
}

void op_ret_legacy(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	u64 sp = c->gpr[GPR_RSP], t = ip_of(c, op->osize, pop_at(c, sp, op->osize));
	set_sp(c, sp + op->osize + op->imm);
	c->rip = t;
	LEAVE(c, op);
}

/* ---- blocks and their translations ---- */

/* The block was executed often: translate it. What to go on with. */
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
		b = cache_get_whole(c, c->rip, b);
		op = b->op;
		first = b->op;
		if (first->fn != op_jit_heat)
			return op; /* another vCPU's work */
	}
	bool ok = jit_translate(c, b);
	c->jit.n.translate_ns += clock_mono_ns() - start;
	if (ok) {
		__atomic_store_n(&first->fn, op_jit_enter, __ATOMIC_RELEASE);
		return op;
	}
	if (atomic_load(&c->vm->cache->full)) /* decoding it again makes room */
		cache_kill(c->vm, b);
	else
		first->fn = op_nop;
	return op + 1;
}

void op_jit_heat(struct soft_cpu *c, const struct uop *op)
{
	u64 *heat = (u64 *)(uintptr_t)&op->imm;
	u64 n = __atomic_load_n(heat, __ATOMIC_RELAXED);

	if (likely(n > 1)) {
		__atomic_store_n(heat, n - 1, __ATOMIC_RELAXED);
		NEXT(c, op);
	}
	const struct uop *o = hot(c, op);
	GOTO_UOP(c, o);
}

static noinline_ const struct uop *enter(struct soft_cpu *c, const struct uop *op)
{
	struct block *b = container_of(op, struct block, op[0]);

	/* Translated supervisor code relies on CPL 0, see jit_sysi.c. */
	if (c->jit.in_uop || c->stepping || c->tlb != c->tlbs[b->jit.mode] || unlikely(c->cpl == 1 || c->cpl == 2))
		return op + 1;
	if (unlikely(c->jit.refused == b)) {
		c->jit.refused = NULL;
		return op + 1;
	}
	return unlikely(c->jit.check) ? jit_check_enter(c, b) : jit_enter(c, b);
}

void op_jit_enter(struct soft_cpu *c, const struct uop *op)
{
	const struct uop *o = enter(c, op);

	if (o)
		GOTO_UOP(c, o);
	LEAVE(c, op);
}
