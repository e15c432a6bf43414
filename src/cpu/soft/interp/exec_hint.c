/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exec_hint.c - NOP, fences, cache lines, undefined instructions; RDRAND and RDSEED. */
#include "cpu/soft/interp/exec.h"

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

/* RDRAND (imm 0), RDSEED (imm 1), from the host's generator. CF says whether there was a number. */
void op_rdrand(struct soft_cpu *c, const struct uop *op)
{
	u64 v = 0;
	u8 ok;

	if (op->imm)
		__asm__ volatile("rdseed %0" : "+r"(v), "=@ccc"(ok) : : "cc");
	else
		__asm__ volatile("rdrand %0" : "+r"(v), "=@ccc"(ok) : : "cc");
	reg_wr(c, op->r1, op->osize, ok ? v : 0);
	soft_set_status(c, ok ? FL_CF : 0);
	NEXT(c, op);
}

/* CLFLUSH, CLFLUSHOPT, CLWB: they fault as a load does. Else there is nothing to do: the host's caches are coherent. */
void op_clflush(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	soft_probe(c, soft_ea(c, op, 1, false), 1, false);
	NEXT(c, op);
}

/* LFENCE, SFENCE, MFENCE. MFENCE alone does not order instructions like RDTSC after earlier loads; LFENCE does. */
void op_fence(struct soft_cpu *c, const struct uop *op)
{
	__builtin_ia32_mfence();
	__builtin_ia32_lfence();
	NEXT(c, op);
}
