/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * far.c - far JMP, CALL and RET: code segments, call gates, task gates, TSSs (SDM 2, JMP, CALL, RET;
 * 3A 5.8).
 */
#include "cpu/soft/system/desc.h"
#include "cpu/soft/system/stack.h"
#include "cpu/soft/system/sys.h"

static u64 mask_rip(u64 rip, unsigned osize)
{
	return osize == 2 ? (u16)rip : osize == 4 ? (u32)rip : rip;
}

static void far_real(struct soft_cpu *c, const struct uop *op, u16 sel, u64 off, bool call)
{
	struct sys_stack s;
	bool vm = sys_vm86(c);

	if (off > (vm ? 0xffff : c->seg[SEG_CS].limit))
		sys_fault_0(c, EXC_GP);
	if (call) {
		sys_stack_current(c, &s);
		sys_push(c, &s, op->osize, c->seg[SEG_CS].sel);
		sys_push(c, &s, op->osize, mask_rip(SOFT_NEXT_RIP(c, op), op->osize));
		sys_stack_commit(c, &s);
	}
	if (vm)
		sys_set_seg_vm86(c, SEG_CS, sel);
	else
		sys_set_seg_real(c, SEG_CS, sel);
	c->rip = off;
	soft_mode_changed(c);
}

/* Straight to a code segment: CPL stays. */
static void far_code(struct soft_cpu *c, const struct uop *op, u16 sel, struct sys_desc *cs, u64 off, bool call)
{
	struct sys_stack s;

	sys_check_cs(c, sel, cs, SYS_CS_JUMP);
	if (call) {
		sys_stack_current(c, &s);
		sys_push(c, &s, op->osize, c->seg[SEG_CS].sel);
		sys_push(c, &s, op->osize, mask_rip(SOFT_NEXT_RIP(c, op), op->osize));
	}
	sys_check_target(c, cs, off);
	sys_desc_accessed(c, cs);
	if (call)
		sys_stack_commit(c, &s);
	sys_commit_cs(c, cs, sel, c->cpl);
	c->rip = off;
	soft_mode_changed(c);
}

/* CALL through a gate to an inner ring: new stack, parameters copied. */
static void call_gate_inner(struct soft_cpu *c, const struct uop *op, struct sys_desc *cs, u16 sel, u64 rip, unsigned n,
			    unsigned params)
{
	struct sys_stack s, old;
	struct sys_desc ss;
	u16 ss_sel;
	unsigned ring = desc_dpl(cs);
	u64 arg[31];

	sys_tss_stack(c, ring, 0, &s, &ss, &ss_sel);
	if (n != 8) {
		sys_stack_current(c, &old);
		for (unsigned i = 0; i < params; i++)
			arg[i] = sys_pop(c, &old, n);
	}
	sys_push(c, &s, n, c->seg[SEG_SS].sel);
	sys_push(c, &s, n, c->gpr[GPR_RSP]);
	if (n != 8)
		for (unsigned i = params; i-- > 0;)
			sys_push(c, &s, n, arg[i]);
	sys_push(c, &s, n, c->seg[SEG_CS].sel);
	sys_push(c, &s, n, SOFT_NEXT_RIP(c, op));
	sys_check_target(c, cs, rip);
	sys_desc_accessed(c, cs);
	if (n != 8)
		sys_desc_accessed(c, &ss);

	sys_commit_cs(c, cs, sel, ring);
	if (n == 8)
		sys_set_seg_null(c, SEG_SS, (u16)ring);
	else
		c->seg[SEG_SS] = sys_seg_of(&ss, ss_sel);
	sys_stack_commit(c, &s);
	c->rip = rip;
	soft_mode_changed(c);
}

static void far_gate(struct soft_cpu *c, const struct uop *op, u16 gate_sel, const struct sys_desc *g, bool call)
{
	struct sys_desc cs;
	struct sys_stack s;
	u16 sel = (u16)(g->raw >> 16);
	u64 rip = g->raw & 0xffff;
	unsigned n = (g->ar & 8) ? 4 : 2, params = (unsigned)(g->raw >> 32) & 31;

	if (desc_dpl(g) < c->cpl || (gate_sel & SEL_RPL) > desc_dpl(g))
		sys_fault_sel(c, EXC_GP, gate_sel);
	if (n == 4)
		rip |= g->raw >> 32 & 0xffff0000;
	if (sys_lma(c)) {
		u64 upper;

		n = 8;
		if (!sys_desc_upper(c, gate_sel, &upper) || (upper >> 40 & 0x1f))
			sys_fault_sel(c, EXC_GP, gate_sel);
		rip |= upper << 32;
	}
	if (!desc_present(g))
		sys_fault_sel(c, EXC_NP, gate_sel);
	if (sel_null(sel))
		sys_fault_0(c, EXC_GP);
	if (!sys_desc_get(c, sel, &cs) || !desc_is_code(&cs) || desc_dpl(&cs) > c->cpl)
		sys_fault_sel(c, EXC_GP, sel);
	if (!call && !desc_is_conforming(&cs) && desc_dpl(&cs) != c->cpl)
		sys_fault_sel(c, EXC_GP, sel);
	if (n == 8 && (cs.ar & (SEG_AR_L | SEG_AR_DB)) != SEG_AR_L)
		sys_fault_sel(c, EXC_GP, sel);
	if (!desc_present(&cs))
		sys_fault_sel(c, EXC_NP, sel);

	if (call && !desc_is_conforming(&cs) && desc_dpl(&cs) < c->cpl) {
		call_gate_inner(c, op, &cs, sel, rip, n, params);
		return;
	}
	if (call) {
		if (n == 8)
			sys_stack_64(&s, c->gpr[GPR_RSP], c->cpl);
		else
			sys_stack_current(c, &s);
		sys_push(c, &s, n, c->seg[SEG_CS].sel);
		sys_push(c, &s, n, SOFT_NEXT_RIP(c, op));
	}
	sys_check_target(c, &cs, rip);
	sys_desc_accessed(c, &cs);
	if (call)
		sys_stack_commit(c, &s);
	sys_commit_cs(c, &cs, sel, c->cpl);
	c->rip = rip;
	soft_mode_changed(c);
}

static void far_task(struct soft_cpu *c, const struct uop *op, u16 sel, struct sys_desc *d, bool call)
{
	if (desc_dpl(d) < c->cpl || (sel & SEL_RPL) > desc_dpl(d))
		sys_fault_sel(c, EXC_GP, sel);
	if (desc_sys_type(d) == SYS_TASK_GATE) {
		if (!desc_present(d))
			sys_fault_sel(c, EXC_NP, sel);
		sel = (u16)(d->raw >> 16);
		if ((sel & SEL_TI) || !sys_desc_get(c, sel, d))
			sys_fault_sel(c, EXC_GP, sel);
		unsigned type = desc_sys_type(d);
		if (type != SYS_TSS16 && type != SYS_TSS32)
			sys_fault_sel(c, EXC_GP, sel);
	} else if (sel & SEL_TI) {
		sys_fault_sel(c, EXC_GP, sel); /* TSSs lie in the GDT (3A 7.2.2) */
	}
	if (!desc_present(d))
		sys_fault_sel(c, EXC_NP, sel);
	sys_task_switch(c, sel, d, call ? SWITCH_CALL : SWITCH_JMP, SOFT_NEXT_RIP(c, op), EXC_NO_ERROR);
}

static outline_ void far_transfer(struct soft_cpu *c, const struct uop *op, u16 sel, u64 off, bool call)
{
	struct sys_desc d;

	if (!sys_prot(c)) {
		far_real(c, op, sel, off, call);
		return;
	}
	if (sel_null(sel))
		sys_fault_0(c, EXC_GP);
	if (!sys_desc_get(c, sel, &d))
		sys_fault_sel(c, EXC_GP, sel);
	switch (desc_sys_type(&d)) {
	case SEG_AR_S:
		far_code(c, op, sel, &d, off, call);
		break;
	case SYS_CALL16:
	case SYS_TASK_GATE:
	case SYS_TSS16:
	case SYS_TSS32:
		/* Long mode knows the 64-bit call gate alone. */
		if (sys_lma(c))
			sys_fault_sel(c, EXC_GP, sel);
		if (desc_sys_type(&d) == SYS_CALL16)
			far_gate(c, op, sel, &d, call);
		else
			far_task(c, op, sel, &d, call);
		break;
	case SYS_CALL32:
		far_gate(c, op, sel, &d, call);
		break;
	default:
		sys_fault_sel(c, EXC_GP, sel);
	}
}

/* imm: selector << 32 | offset */
void sys_jmp_far_ptr(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	far_transfer(c, op, (u16)(op->imm >> 32), (u32)op->imm, false);
	soft_leave(c, op);
}
void sys_call_far_ptr(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	far_transfer(c, op, (u16)(op->imm >> 32), (u32)op->imm, true);
	soft_leave(c, op);
}

static void far_mem(struct soft_cpu *c, const struct uop *op, bool call)
{
	unsigned n = op->aux; /* of the offset; what CALL pushes goes by osize */
	gva_t lin = soft_ea(c, op, n + 2, false);
	u64 off = soft_ld(c, lin, n);
	u16 sel = soft_ld16(c, sys_lin(c, lin + n));

	far_transfer(c, op, sel, off, call);
}
void sys_jmp_far_mem(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	far_mem(c, op, false);
	soft_leave(c, op);
}
void sys_call_far_mem(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	far_mem(c, op, true);
	soft_leave(c, op);
}

/* RETF; imm: bytes of parameters to drop. */
static outline_ void ret_far(struct soft_cpu *c, const struct uop *op)
{
	struct sys_stack s;
	struct sys_desc cs, ss;
	unsigned n = op->osize;

	sys_stack_current(c, &s);
	u64 rip = sys_pop(c, &s, n);
	u16 sel = (u16)sys_pop(c, &s, n);

	if (!sys_prot(c)) {
		bool vm = sys_vm86(c);

		if (rip > (vm ? 0xffff : c->seg[SEG_CS].limit))
			sys_fault_0(c, EXC_GP);
		sys_stack_skip(&s, op->imm);
		sys_stack_commit(c, &s);
		if (vm)
			sys_set_seg_vm86(c, SEG_CS, sel);
		else
			sys_set_seg_real(c, SEG_CS, sel);
		c->rip = rip;
		soft_mode_changed(c);
		return;
	}
	if (sel_null(sel))
		sys_fault_0(c, EXC_GP);
	if (!sys_desc_get(c, sel, &cs))
		sys_fault_sel(c, EXC_GP, sel);
	sys_check_cs(c, sel, &cs, SYS_CS_RETURN);
	unsigned rpl = sel & SEL_RPL;
	if (rpl == c->cpl) {
		sys_check_target(c, &cs, rip);
		sys_desc_accessed(c, &cs);
		sys_stack_skip(&s, op->imm);
		sys_stack_commit(c, &s);
		sys_commit_cs(c, &cs, sel, rpl);
		c->rip = rip;
		soft_mode_changed(c);
		return;
	}

	sys_stack_skip(&s, op->imm);
	u64 sp = sys_pop(c, &s, n);
	u16 ss_sel = (u16)sys_pop(c, &s, n);
	bool null_ss = sel_null(ss_sel), to64 = sys_desc_code64(c, &cs);
	if (null_ss) {
		if (!to64 || rpl == 3 || (ss_sel & SEL_RPL) != rpl)
			sys_fault_0(c, EXC_GP);
	} else {
		if (!sys_desc_get(c, ss_sel, &ss) || (ss_sel & SEL_RPL) != rpl || !desc_is_writable_data(&ss) ||
		    desc_dpl(&ss) != rpl)
			sys_fault_sel(c, EXC_GP, ss_sel);
		if (!desc_present(&ss))
			sys_fault_sel(c, EXC_SS, ss_sel);
	}
	sys_check_target(c, &cs, rip);
	sys_desc_accessed(c, &cs);
	if (!null_ss)
		sys_desc_accessed(c, &ss);

	sys_commit_cs(c, &cs, sel, rpl);
	if (null_ss)
		sys_set_seg_null(c, SEG_SS, ss_sel);
	else
		c->seg[SEG_SS] = sys_seg_of(&ss, ss_sel);
	sp += op->imm;
	if (to64 || n == 8)
		c->gpr[GPR_RSP] = sp;
	else if (ss.ar & SEG_AR_DB)
		c->gpr[GPR_RSP] = (u32)sp;
	else
		c->gpr[GPR_RSP] = (c->gpr[GPR_RSP] & ~0xffffull) | (u16)sp;
	sys_drop_inner_segs(c);
	c->rip = rip;
	soft_mode_changed(c);
}

void sys_ret_far(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	ret_far(c, op);
	soft_leave(c, op);
}
