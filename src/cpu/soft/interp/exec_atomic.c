/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exec_atomic.c - XCHG, XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B.
 *
 * In memory all of them are done as if they were locked: a compare-and-exchange loop of the host's.
 */
#include "cpu/soft/interp/exec_rmw.h"

/* ---- XCHG, XADD, CMPXCHG: r0 the register operand, r1/memory the other ---- */

static __attribute__((noinline)) void xchg(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	unsigned n = op->osize;
	struct rmw m = rmw_of(c, op, n);
	u64 v = reg_rd(c, op->r0, n), old;

	do {
		old = rmw_rd(c, op, &m, n);
	} while (!rmw_wr(c, op, &m, n, old, v));
	reg_wr(c, op->r0, n, old);
}
void op_xchg(struct soft_cpu *c, const struct uop *op)
{
	xchg(c, op);
	NEXT(c, op);
}

#define DEF_ADDF(name, insn, bits) \
	static u64 name##bits(u64 a, u64 b, u32 *fl) \
	{ \
		u##bits x = (u##bits)a; \
		u32 f; \
		__asm__(insn " %[b], %[a]" FLAGS_OUT : [a] "+q"(x), "=&a"(f) : [b] "q"((u##bits)b) : "cc"); \
		*fl = f; \
		return x; \
	}
DEF_ADDF(addf, "add", 8)
DEF_ADDF(addf, "add", 16)
DEF_ADDF(addf, "add", 32)
DEF_ADDF(addf, "add", 64)
DEF_ADDF(subf, "sub", 8)
DEF_ADDF(subf, "sub", 16)
DEF_ADDF(subf, "sub", 32)
DEF_ADDF(subf, "sub", 64)
static u64 addf(unsigned n, u64 a, u64 b, u32 *fl)
{
	return n == 8 ? addf64(a, b, fl) : n == 4 ? addf32(a, b, fl) : n == 2 ? addf16(a, b, fl) : addf8(a, b, fl);
}
static u64 subf(unsigned n, u64 a, u64 b, u32 *fl)
{
	return n == 8 ? subf64(a, b, fl) : n == 4 ? subf32(a, b, fl) : n == 2 ? subf16(a, b, fl) : subf8(a, b, fl);
}

static __attribute__((noinline)) void xadd(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	unsigned n = op->osize;
	struct rmw m = rmw_of(c, op, n);
	u64 v = reg_rd(c, op->r0, n), old, sum;
	u32 fl;

	if (!(op->aux & AUX_MEM)) {
		/* The sum wins when both are one register. */
		old = reg_rd(c, op->r1, n);
		sum = addf(n, old, v, &fl);
		reg_wr(c, op->r0, n, old);
		reg_wr(c, op->r1, n, sum);
	} else {
		do {
			old = rmw_rd(c, op, &m, n);
			sum = addf(n, old, v, &fl);
		} while (!rmw_wr(c, op, &m, n, old, sum));
		reg_wr(c, op->r0, n, old);
	}
	set_fl(c, fl);
}
void op_xadd(struct soft_cpu *c, const struct uop *op)
{
	xadd(c, op);
	NEXT(c, op);
}

static __attribute__((noinline)) void cmpxchg(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	unsigned n = op->osize;
	struct rmw m = rmw_of(c, op, n);
	u64 acc = reg_rd(c, GPR_RAX, n), v = reg_rd(c, op->r0, n), old;
	u32 fl;

	do {
		old = rmw_rd(c, op, &m, n);
		subf(n, acc, old, &fl);
		/* The destination is written either way (SDM 2: CMPXCHG). A register that did not compare
		 * equal is left alone whole (a 32-bit one keeps its upper half). */
		if (old != acc && !(op->aux & AUX_MEM))
			break;
	} while (!rmw_wr(c, op, &m, n, old, old == acc ? v : old));
	if (old != acc)
		reg_wr(c, GPR_RAX, n, old);
	set_fl(c, fl);
}
void op_cmpxchg(struct soft_cpu *c, const struct uop *op)
{
	cmpxchg(c, op);
	NEXT(c, op);
}

/* CMPXCHG8B (osize 4), CMPXCHG16B (osize 8) */
static __attribute__((noinline)) void cmpxchg8b(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	unsigned n = op->osize;
	gva_t lin = soft_ea(c, op, 2 * n, true);
	bool eq;

	if (n == 8) {
		if (lin & 15)
			soft_gp(c, 0);
		unsigned __int128 *p = soft_rmw_ptr(c, lin, 16);
		if (!p)
			soft_gp(c, 0); /* an aligned one does not cross a page: it is a device's */
		u64 lo = c->gpr[GPR_RAX], hi = c->gpr[GPR_RDX];
		__asm__ volatile("lock cmpxchg16b %[m]"
				 : [m] "+m"(*p), "+a"(lo), "+d"(hi), "=@ccz"(eq)
				 : "b"(c->gpr[GPR_RBX]), "c"(c->gpr[GPR_RCX])
				 : "cc", "memory");
		if (!eq) {
			c->gpr[GPR_RAX] = lo;
			c->gpr[GPR_RDX] = hi;
		}
	} else {
		u64 *p = soft_rmw_ptr(c, lin, 8);
		u64 want = (u64)RD32(GPR_RDX) << 32 | RD32(GPR_RAX), old = want;
		u64 v = (u64)RD32(GPR_RCX) << 32 | RD32(GPR_RBX);
		if (p) {
			eq = __atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
		} else {
			old = soft_ld64(c, lin);
			eq = old == want;
			soft_st64(c, lin, eq ? v : old);
		}
		if (!eq) {
			WR32(GPR_RAX, old);
			WR32(GPR_RDX, old >> 32);
		}
	}
	set_fl(c, (c->fl & ~0x4000u) | (eq ? 0x4000u : 0));
}
void op_cmpxchg8b(struct soft_cpu *c, const struct uop *op)
{
	cmpxchg8b(c, op);
	NEXT(c, op);
}
