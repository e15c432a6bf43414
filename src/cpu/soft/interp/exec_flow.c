/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exec_flow.c - near control flow: JMP, CALL, RET, LOOP; Jcc outside of 64-bit code. Jcc in 64-bit code is in
 * exec_cond.c.
 *
 * In 64-bit code these are fast handlers that go from block to block by a remembered link (same page)
 * or the virtual jump cache. Other modes take the general way: new IP masked to the operand size,
 * checked against CS.limit before anything is committed, then soft_leave().
 */
#include "cpu/soft/interp/exec_flags.h"
#include "cpu/soft/interp/exec_stack.h"

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

/* For a call: the push may fault first, and a non-canonical stack is #SS whatever segment the operand has. */
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
