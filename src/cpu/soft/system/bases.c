/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bases.c - SWAPGS; RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE; RDPID. */
#include "cpu/soft/system/sys.h"

void sys_swapgs(struct soft_cpu *c, const struct uop *op)
{
	u64 gs = c->seg[SEG_GS].base;

	if (unlikely(c->cpl)) {
		SOFT_ENTER(c, op);
		sys_need_cpl0(c);
	}
	c->seg[SEG_GS].base = c->eff_base[SEG_GS] = c->kernel_gs_base;
	c->kernel_gs_base = gs;
	NEXT(c, op);
}

/* r0: gpr, r1: SEG_FS or SEG_GS */
void sys_rdbase(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	if (!(c->cr4 & CR4_FSGSBASE))
		soft_ud(c);
	c->gpr[op->r0] = op->osize == 8 ? c->seg[op->r1].base : (u32)c->seg[op->r1].base;
	NEXT(c, op);
}

void sys_wrbase(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	if (!(c->cr4 & CR4_FSGSBASE))
		soft_ud(c);
	u64 v = op->osize == 8 ? c->gpr[op->r0] : (u32)c->gpr[op->r0];
	if (!soft_canonical(v))
		sys_fault_0(c, EXC_GP);
	c->seg[op->r1].base = c->eff_base[op->r1] = v;
	NEXT(c, op);
}

void sys_rdpid(struct soft_cpu *c, const struct uop *op)
{
	c->gpr[op->r0] = c->tsc_aux;
	NEXT(c, op);
}
