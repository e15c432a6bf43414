/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flags.c - the system flags: CLI STI PUSHF POPF STAC CLAC, and HLT, which waits on one of them. */
#include "cpu/soft/system/debug.h"
#include "cpu/soft/system/stack.h"
#include "cpu/soft/system/sys.h"

/* What CLI and STI change: IF, or VIF in its place; where they may change neither, #GP (3A 20.3.3, 20.4). */
enum if_way { WAY_IF, WAY_VIF };
static enum if_way if_way(struct soft_cpu *c)
{
	if (likely(soft_real_mode(c) || c->cpl <= sys_iopl(c)))
		return WAY_IF;
	if (sys_vm86(c) ? c->cr4 & CR4_VME : c->cpl == 3 && (c->cr4 & CR4_PVI))
		return WAY_VIF;
	sys_fault_0(c, EXC_GP);
}

void sys_cli(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	if (if_way(c) == WAY_IF)
		c->sysflags &= ~FL_IF;
	else
		c->sysflags &= ~FL_VIF;
	NEXT(c, op);
}

void sys_sti(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	if (if_way(c) == WAY_VIF) {
		if (c->sysflags & FL_VIP)
			sys_fault_0(c, EXC_GP);
		c->sysflags |= FL_VIF;
	} else if (!(c->sysflags & FL_IF)) {
		c->sysflags |= FL_IF;
		/*
		 * If no interrupt waits, the block just goes on: interrupts are looked for at its end, at least one
		 * instruction later, which is all the shadow asks for. If one waits, or the block ends here, the
		 * next instruction is run alone.
		 */
		if (c->intr_line || c->pending || !op[1].len) {
			c->shadow = true;
			soft_step_changed(c);
			c->rip = SOFT_NEXT_RIP(c, op);
			soft_exit(c);
			return;
		}
	}
	NEXT(c, op);
}

void sys_hlt(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	sys_need_cpl0(c);
	c->halted = true;
	c->rip = SOFT_NEXT_RIP(c, op);
	soft_exit(c);
}

/* osize: 2, 4, 8 */
static outline_ void do_pushf(struct soft_cpu *c, const struct uop *op)
{
	struct sys_stack s;
	u64 fl;

	fl = soft_get_rflags(c) & ~(u64)(FL_RF | FL_VM);
	if (sys_vm86(c) && sys_iopl(c) < 3) {
		if (!(c->cr4 & CR4_VME) || op->osize != 2)
			sys_fault_0(c, EXC_GP);
		fl = (fl & ~(u64)FL_IF) | FL_IOPL | (fl & FL_VIF ? FL_IF : 0);
	}
	if (likely(soft_code64(c) && op->osize == 8)) {
		soft_st64(c, c->gpr[GPR_RSP] - 8, fl);
		c->gpr[GPR_RSP] -= 8;
		return;
	}
	sys_stack_current(c, &s);
	sys_push(c, &s, op->osize, fl);
	sys_stack_commit(c, &s);
}
void sys_pushf(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	do_pushf(c, op);
	NEXT(c, op);
}

static outline_ void do_popf(struct soft_cpu *c, const struct uop *op)
{
	struct sys_stack s;
	u64 old, may = FL_STATUS | FL_TF | FL_DF | FL_NT;

	if (sys_vm86(c) && sys_iopl(c) < 3 && (!(c->cr4 & CR4_VME) || op->osize != 2))
		sys_fault_0(c, EXC_GP);
	sys_stack_current(c, &s);
	u64 fl = sys_pop(c, &s, op->osize);
	if (op->osize >= 4)
		may |= FL_AC | FL_ID;
	old = soft_get_rflags(c);
	if (sys_vm86(c)) {
		if (sys_iopl(c) == 3) {
			may |= FL_IF;
		} else {
			if ((fl & FL_TF) || ((fl & FL_IF) && (old & FL_VIP)))
				sys_fault_0(c, EXC_GP);
			may |= FL_VIF;
			fl = (fl & ~(u64)FL_VIF) | (fl & FL_IF ? FL_VIF : 0);
		}
	} else {
		if (c->cpl <= sys_iopl(c))
			may |= FL_IF;
		if (c->cpl == 0)
			may |= FL_IOPL | FL_IF;
	}
	sys_stack_commit(c, &s);
	soft_set_rflags(c, (old & ~(may | FL_RF)) | (fl & may));
}
void sys_popf(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	do_popf(c, op);
	c->rip = SOFT_NEXT_RIP(c, op);
	soft_leave(c, op);
}

/* SMAP's AC, as kernels do around each user copy: no more than the table of translations changes. */
static void set_ac(struct soft_cpu *c, bool on)
{
	if (on)
		c->sysflags |= FL_AC;
	else
		c->sysflags &= ~FL_AC;
	c->tlb = c->tlbs[on && (c->cr4 & CR4_SMAP) ? TLB_SUPER_AC : TLB_SUPER];
}
void sys_stac(struct soft_cpu *c, const struct uop *op)
{
	if (unlikely(c->cpl)) {
		SOFT_ENTER(c, op);
		soft_ud(c);
	}
	set_ac(c, true);
	NEXT(c, op);
}
void sys_clac(struct soft_cpu *c, const struct uop *op)
{
	if (unlikely(c->cpl)) {
		SOFT_ENTER(c, op);
		soft_ud(c);
	}
	set_ac(c, false);
	NEXT(c, op);
}
