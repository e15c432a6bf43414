/* SPDX-License-Identifier: GPL-2.0-or-later */
/* seg.c - segment registers: setting them, and MOV, PUSH, POP, LDS and its kin (SDM 3A 3.4). */
#include "cpu/soft/system/desc.h"
#include "cpu/soft/system/stack.h"

/* ---- committing ---- */
void sys_set_seg(struct soft_cpu *c, unsigned seg, const struct cpu_seg *s)
{
	c->seg[seg] = *s;
	if (!soft_code64(c) || seg == SEG_FS || seg == SEG_GS)
		c->eff_base[seg] = s->base;
	soft_seg_changed(c, seg);
}

void sys_set_seg_real(struct soft_cpu *c, unsigned seg, u16 sel)
{
	/* Limit and attributes stay as they are (3A 9.9.2, step 9; "unreal" mode depends on it). But a segment that
	 * protected mode left unusable becomes usable again. */
	struct cpu_seg s = c->seg[seg];

	if (s.ar & SEG_AR_UNUSABLE) {
		s.ar = SEG_AR_P | SEG_AR_S | 3;
		s.limit = 0xffff;
	}
	s.sel = sel;
	s.base = (u64)sel << 4;
	if (seg == SEG_CS)
		s.ar = (s.ar & (SEG_AR_DB | SEG_AR_G)) | SEG_AR_P | SEG_AR_S | 3;
	sys_set_seg(c, seg, &s);
}

void sys_set_seg_vm86(struct soft_cpu *c, unsigned seg, u16 sel)
{
	struct cpu_seg s = { .sel = sel, .ar = 0xf3, .limit = 0xffff, .base = (u64)sel << 4 };

	sys_set_seg(c, seg, &s);
}

void sys_set_seg_null(struct soft_cpu *c, unsigned seg, u16 sel)
{
	/* SS keeps its DPL, which is the CPL. */
	struct cpu_seg s = { .sel = sel, .ar = SEG_AR_UNUSABLE | (seg == SEG_SS ? (u32)c->cpl << 5 : 0) };

	sys_set_seg(c, seg, &s);
}

/* ---- MOV to a segment register (SDM 2, MOV) ---- */
static void check_ss(struct soft_cpu *c, u16 sel, struct sys_desc *d)
{
	if (!sys_desc_get(c, sel, d) || (sel & SEL_RPL) != c->cpl || !desc_is_writable_data(d) || desc_dpl(d) != c->cpl)
		sys_fault_sel(c, EXC_GP, sel);
	if (!desc_present(d))
		sys_fault_sel(c, EXC_SS, sel);
}

static void check_data(struct soft_cpu *c, u16 sel, struct sys_desc *d)
{
	if (!sys_desc_get(c, sel, d) || !desc_is_readable(d))
		sys_fault_sel(c, EXC_GP, sel);
	if (!desc_is_conforming(d) && ((sel & SEL_RPL) > desc_dpl(d) || c->cpl > desc_dpl(d)))
		sys_fault_sel(c, EXC_GP, sel);
	if (!desc_present(d))
		sys_fault_sel(c, EXC_NP, sel);
}

outline_ void sys_load_seg(struct soft_cpu *c, unsigned seg, u16 sel)
{
	struct sys_desc d;

	if (!sys_prot(c)) {
		if (sys_vm86(c))
			sys_set_seg_vm86(c, seg, sel);
		else
			sys_set_seg_real(c, seg, sel);
		return;
	}
	if (sel_null(sel)) {
		if (seg == SEG_SS && (!soft_code64(c) || c->cpl == 3 || (sel & SEL_RPL) != c->cpl))
			sys_fault_0(c, EXC_GP);
		sys_set_seg_null(c, seg, sel);
	} else {
		if (seg == SEG_SS)
			check_ss(c, sel, &d);
		else
			check_data(c, sel, &d);
		sys_desc_accessed(c, &d);
		struct cpu_seg s = sys_seg_of(&d, sel);
		sys_set_seg(c, seg, &s);
	}
	if (seg == SEG_SS)
		soft_mode_changed(c);
}

/* ---- handlers: segment registers. r0: gpr, r1: segment register, aux: memory operand ---- */
void sys_mov_from_sreg(struct soft_cpu *c, const struct uop *op)
{
	u16 sel = c->seg[op->r1].sel;

	if (op->aux) {
		SOFT_ENTER(c, op);
		soft_st16(c, soft_ea(c, op, 2, true), sel);
	} else if (op->osize == 2) {
		c->gpr[op->r0] = (c->gpr[op->r0] & ~0xffffull) | sel;
	} else {
		c->gpr[op->r0] = sel;
	}
	NEXT(c, op);
}

/* After a load of SS, interrupts and debug traps wait for the end of the next instruction. Of several loads in a row
 * only the first has this effect (SDM 2B, MOV); otherwise a program of nothing else could block interrupts forever. */
static void ss_shadow(struct soft_cpu *c)
{
	if (c->stepping && c->was_shadow_ss)
		return;
	c->shadow = c->shadow_ss = true;
	soft_step_changed(c);
}

void sys_mov_to_sreg(struct soft_cpu *c, const struct uop *op)
{
	u16 sel;

	SOFT_ENTER(c, op);
	sel = op->aux ? soft_ld16(c, soft_ea(c, op, 2, false)) : (u16)c->gpr[op->r0];
	sys_load_seg(c, op->r1, sel);
	if (op->r1 == SEG_SS) {
		c->rip = SOFT_NEXT_RIP(c, op);
		ss_shadow(c);
		soft_exit(c);
		return;
	}
	NEXT(c, op);
}

static outline_ void do_push_sreg(struct soft_cpu *c, const struct uop *op)
{
	struct sys_stack s;

	sys_stack_current(c, &s);
	sys_push(c, &s, op->osize, c->seg[op->r1].sel);
	sys_stack_commit(c, &s);
}
DEF_SYS(push_sreg)

static outline_ void do_pop_sreg(struct soft_cpu *c, const struct uop *op)
{
	struct sys_stack s;

	sys_stack_current(c, &s);
	u16 sel = (u16)sys_pop(c, &s, op->osize);
	sys_load_seg(c, op->r1, sel);
	sys_stack_commit(c, &s);
}
void sys_pop_sreg(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	do_pop_sreg(c, op);
	if (op->r1 == SEG_SS) {
		c->rip = SOFT_NEXT_RIP(c, op);
		ss_shadow(c);
		soft_exit(c);
		return;
	}
	NEXT(c, op);
}

/* LDS LES LFS LGS LSS: r0 gpr, r1 segment register, osize of the offset. */
void sys_lxs(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	gva_t lin = soft_ea(c, op, op->osize + 2u, false);
	u64 off = soft_ld(c, lin, op->osize);
	u16 sel = soft_ld16(c, sys_lin(c, lin + op->osize));

	sys_load_seg(c, op->r1, sel);
	if (op->osize == 2)
		c->gpr[op->r0] = (c->gpr[op->r0] & ~0xffffull) | off;
	else
		c->gpr[op->r0] = off;
	if (op->r1 == SEG_SS) {
		/* LSS has no shadow (3A 6.8.3), but may change the width of the stack. */
		c->rip = SOFT_NEXT_RIP(c, op);
		soft_leave(c, op);
		return;
	}
	NEXT(c, op);
}
