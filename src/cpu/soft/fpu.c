/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fpu.c - which vector and x87 instructions may run. */
#include "cpu/soft/soft.h"

void soft_vec_changed(struct soft_cpu *c)
{
	bool em = c->cr0 & CR0_EM, ts = c->cr0 & CR0_TS;
	u8 ok = 0;

	if (!em && !ts)
		ok |= VEC_OK_X87;
	if (!(ts && (c->cr0 & CR0_MP)))
		ok |= VEC_OK_WAIT;
	if (!em && !ts && (c->cr4 & CR4_OSFXSR))
		ok |= VEC_OK_SSE;
	if (!ts && (c->cr4 & CR4_OSXSAVE) && (c->xcr0 & 6) == 6 && (c->cr0 & CR0_PE) && !(c->sysflags & FL_VM))
		ok |= VEC_OK_AVX;
	c->vec_ok = ok;
}
