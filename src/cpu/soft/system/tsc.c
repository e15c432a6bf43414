/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tsc.c - the time-stamp counter; RDPMC. */
#include "cpu/soft/system/sys.h"

#include "base/clock.h"

u64 sys_tsc(const struct soft_cpu *c)
{
	return clock_tsc() + c->tsc_offset;
}

static void check_tsd(struct soft_cpu *c)
{
	if (unlikely(c->cpl && (c->cr4 & CR4_TSD) && (c->mode & MODE_PE)))
		sys_fault_0(c, EXC_GP);
}

void sys_rdtsc(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	check_tsd(c);
	u64 t = sys_tsc(c);
	c->gpr[GPR_RAX] = (u32)t;
	c->gpr[GPR_RDX] = t >> 32;
	NEXT(c, op);
}

void sys_rdtscp(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	check_tsd(c);
	__builtin_ia32_lfence(); /* it waits for what was before */
	u64 t = sys_tsc(c);
	c->gpr[GPR_RAX] = (u32)t;
	c->gpr[GPR_RDX] = t >> 32;
	c->gpr[GPR_RCX] = (u32)c->tsc_aux;
	NEXT(c, op);
}

/* AMD's processors have four counters that CPUID does not announce (MSRs C0010004H to C0010007H); here they stay 0.
 * Intel's have those of CPUID 0AH, of which there are none. */
void sys_rdpmc(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	if ((c->cpl && !(c->cr4 & CR4_PCE) && (c->mode & MODE_PE)) || !sys_vendor_amd(c) || (u32)c->gpr[GPR_RCX] > 3)
		sys_fault_0(c, EXC_GP);
	c->gpr[GPR_RAX] = c->gpr[GPR_RDX] = 0;
	NEXT(c, op);
}
