/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trap.c - INT n, INT3, INTO, INT1, BOUND; ENTER. */
#include "cpu/soft/system/debug.h"
#include "cpu/soft/system/stack.h"
#include "cpu/soft/system/sys.h"

void sys_int(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	if (sys_vm86(c)) {
		/* 3A table 20-2: the redirection map first, then IOPL. */
		if (c->cr4 & CR4_VME) {
			if (sys_vme_int(c, (u8)op->imm, SOFT_NEXT_RIP(c, op))) {
				soft_leave(c, op);
				return;
			}
		}
		if (sys_iopl(c) < 3)
			sys_fault_0(c, EXC_GP);
	}
	sys_deliver(c, (u8)op->imm, EV_SOFT, EXC_NO_ERROR, SOFT_NEXT_RIP(c, op));
	soft_leave(c, op);
}

void sys_int3(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	sys_deliver(c, EXC_BP, EV_SOFT, EXC_NO_ERROR, SOFT_NEXT_RIP(c, op));
	soft_leave(c, op);
}

void sys_into(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	if (soft_get_status(c) & FL_OF)
		sys_deliver(c, EXC_OF, EV_SOFT, EXC_NO_ERROR, SOFT_NEXT_RIP(c, op));
	else
		c->rip = SOFT_NEXT_RIP(c, op);
	soft_leave(c, op);
}

/* ICEBP: a #DB that asks no DPL. */
void sys_int1(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	sys_icebp(c, SOFT_NEXT_RIP(c, op));
	soft_leave(c, op);
}

/* r0: index; memory: the two bounds, signed, both inclusive. */
void sys_bound(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	unsigned n = op->osize;
	gva_t lin = soft_ea(c, op, 2 * n, false);
	s32 v, lo, hi;

	if (n == 2) {
		v = (s16)c->gpr[op->r0];
		lo = (s16)soft_ld16(c, lin);
		hi = (s16)soft_ld16(c, sys_lin(c, lin + 2));
	} else {
		v = (s32)c->gpr[op->r0];
		lo = (s32)soft_ld32(c, lin);
		hi = (s32)soft_ld32(c, sys_lin(c, lin + 4));
	}
	if (v < lo || v > hi)
		soft_raise(c, EXC_BR, EXC_NO_ERROR);
	NEXT(c, op);
}

/* imm: bytes of locals; aux: nesting level (0-31). osize: of what is pushed. */
static outline_ void do_enter(struct soft_cpu *c, const struct uop *op)
{
	struct sys_stack s;
	unsigned n = op->osize, level = op->aux;
	u64 frame, bp = c->gpr[GPR_RBP];
	unsigned width = soft_stack_bytes(c);

	sys_stack_current(c, &s);
	sys_push(c, &s, n, bp);
	frame = s.sp;
	if (level) {
		for (unsigned i = 1; i < level; i++) {
			bp -= n;
			u64 off = width == 8 ? bp : width == 4 ? (u32)bp : (u16)bp;
			u64 v = soft_ld(c, soft_seg_lin(c, SEG_SS, off, n, false), n);
			sys_push(c, &s, n, v);
		}
		sys_push(c, &s, n, frame);
	}
	sys_stack_skip(&s, -op->imm);
	/* The new top must be writable, though nothing is written (SDM 2, ENTER). */
	u64 top = width == 8 ? s.sp : width == 4 ? (u32)s.sp : (u16)s.sp;
	soft_probe(c, soft_seg_lin(c, SEG_SS, top, n, true), n, true);
	sys_stack_commit(c, &s);
	/* BP is written as wide as an operand, not as the stack. */
	if (n == 2)
		c->gpr[GPR_RBP] = (c->gpr[GPR_RBP] & ~0xffffull) | (u16)frame;
	else
		c->gpr[GPR_RBP] = n == 4 ? (u32)frame : frame;
}
void sys_enter(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	do_enter(c, op);
	NEXT(c, op);
}
