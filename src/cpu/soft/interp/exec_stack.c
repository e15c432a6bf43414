/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exec_stack.c - PUSH, POP, PUSHA, POPA, LEAVE. */
#include "cpu/soft/interp/exec_stack.h"

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
