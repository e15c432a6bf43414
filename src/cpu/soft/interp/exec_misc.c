/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exec_misc.c - the other integer instructions: one handler for all sizes and forms (uop.osize, uop.aux),
 * and the host's own instruction for result and flags wherever there is one.
 */
#include "cpu/soft/interp/exec.h"

#define FLAGS_OUT "\n\tlahf\n\tseto %%al"
/* The guest's flags into the host's; EAX is used up. */
#define FLAGS_IN "movl %k[fl], %%eax\n\taddb $127, %%al\n\tsahf\n\t"
#define FL_ARG (c->fl & 0xff01)

/* A read-modify-write operand: the register r1, or memory (host pointer, or by slow ways). */
struct rmw {
	void *p;
	gva_t lin;
};

static struct rmw rmw_of(struct soft_cpu *c, const struct uop *op, unsigned bytes)
{
	struct rmw m = { NULL, 0 };

	if (op->aux & AUX_MEM) {
		m.lin = soft_ea(c, op, bytes, true);
		m.p = soft_rmw_ptr(c, m.lin, bytes);
	}
	return m;
}

static u64 host_ld(const void *p, unsigned n)
{
	return n == 8   ? *(const volatile guest_u64 *)p
	       : n == 4 ? *(const volatile guest_u32 *)p
	       : n == 2 ? *(const volatile guest_u16 *)p
			: *(const volatile guest_u8 *)p;
}

static u64 rmw_rd(struct soft_cpu *c, const struct uop *op, const struct rmw *m, unsigned n)
{
	if (!(op->aux & AUX_MEM))
		return reg_rd(c, op->r1, n);
	return m->p ? host_ld(m->p, n) : soft_ld(c, m->lin, n);
}

/* Atomic compare and store: false when the operand is no longer `old` (locked memory only). */
static bool rmw_wr(struct soft_cpu *c, const struct uop *op, const struct rmw *m, unsigned n, u64 old, u64 v)
{
	if (!(op->aux & AUX_MEM)) {
		reg_wr(c, op->r1, n, v);
		return true;
	}
	if (!m->p) {
		soft_st(c, m->lin, n, v);
		return true;
	}
	switch (n) {
	case 1: {
		u8 o = (u8)old;
		return __atomic_compare_exchange_n((u8 *)m->p, &o, (u8)v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	case 2: {
		u16 o = (u16)old;
		return __atomic_compare_exchange_n((u16 *)m->p, &o, (u16)v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	case 4: {
		u32 o = (u32)old;
		return __atomic_compare_exchange_n((u32 *)m->p, &o, (u32)v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	default:
		return __atomic_compare_exchange_n((u64 *)m->p, &old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
}

/* ---- MUL, IMUL (one operand): r0 = 1 for IMUL ---- */

#define DEF_MUL1(bits, sfx, lo, hi) \
	static void mul1_##bits(struct soft_cpu *c, u##bits b, bool sign) \
	{ \
		u##bits l = (u##bits)c->gpr[GPR_RAX], h; \
		u8 of; \
		u32 ah; \
		if (sign) \
			__asm__("imul" sfx " %[b]" : "+a"(l), "=d"(h), "=@cco"(of) : [b] "r"(b) : "cc"); \
		else \
			__asm__("mul" sfx " %[b]" : "+a"(l), "=d"(h), "=@cco"(of) : [b] "r"(b) : "cc"); \
		/* CF and OF say the same; the others are undefined and kept. */ \
		ah = (c->fl & 0xfe00) | (of ? 0x101u : 0); \
		set_fl(c, ah); \
		WR##bits(GPR_RAX, l); \
		WR##bits(GPR_RDX, h); \
	}
DEF_MUL1(16, "w", ax, dx)
DEF_MUL1(32, "l", eax, edx)
DEF_MUL1(64, "q", rax, rdx)

static void mul1_8(struct soft_cpu *c, u8 b, bool sign)
{
	u16 a = (u16)c->gpr[GPR_RAX];
	bool of;

	if (sign) {
		s16 r = (s16)((s8)a * (s8)b);
		of = r != (s8)r;
		WR16(GPR_RAX, (u16)r);
	} else {
		u16 r = (u16)((u8)a * b);
		of = r > 0xff;
		WR16(GPR_RAX, r);
	}
	set_fl(c, (c->fl & 0xfe00) | (of ? 0x101u : 0));
}

void op_mul1(struct soft_cpu *c, const struct uop *op)
{
	u64 b = rm_rd(c, op, op->osize);

	switch (op->osize) {
	case 1:
		mul1_8(c, (u8)b, op->r0);
		break;
	case 2:
		mul1_16(c, (u16)b, op->r0);
		break;
	case 4:
		mul1_32(c, (u32)b, op->r0);
		break;
	default:
		mul1_64(c, b, op->r0);
	}
	NEXT(c, op);
}

/* ---- DIV, IDIV: r0 = 1 for IDIV. Quotient overflow and zero are #DE; flags are left alone ---- */

static __attribute__((noinline)) void div1(struct soft_cpu *c, const struct uop *op)
{
	unsigned n = op->osize;
	u64 b = rm_rd(c, op, n), rax = c->gpr[GPR_RAX], rdx = c->gpr[GPR_RDX];

	SOFT_ENTER(c, op);
	if (!b)
		soft_raise(c, EXC_DE, EXC_NO_ERROR);
	if (n == 8) {
		u64 q, r;
		if (!op->r0) {
			if (rdx >= b)
				soft_raise(c, EXC_DE, EXC_NO_ERROR);
			__asm__("divq %[b]" : "=a"(q), "=d"(r) : "a"(rax), "d"(rdx), [b] "r"(b) : "cc");
		} else {
			__int128 a = (__int128)(((unsigned __int128)rdx << 64) | rax);
			/* The one 128-bit quotient the host cannot form: -2^127 / -1. */
			if ((s64)b == -1) {
				if (a < -(__int128)INT64_MAX || a > (__int128)INT64_MAX + 1)
					soft_raise(c, EXC_DE, EXC_NO_ERROR);
				q = 0 - rax;
				r = 0;
				if (a == (__int128)INT64_MAX + 1)
					q = (u64)INT64_MIN;
			} else {
				__int128 qq = a / (s64)b;
				if (qq != (s64)qq)
					soft_raise(c, EXC_DE, EXC_NO_ERROR);
				q = (u64)qq;
				r = (u64)(a % (s64)b);
			}
		}
		c->gpr[GPR_RAX] = q;
		c->gpr[GPR_RDX] = r;
		return;
	}
	unsigned bits = n * 8;
	u64 m = (1ull << bits) - 1;
	u64 a = n == 1 ? rax & 0xffff : ((rdx & m) << bits) | (rax & m);
	u64 q, r;
	if (!op->r0) {
		q = a / b;
		r = a % b;
		if (q > m)
			soft_raise(c, EXC_DE, EXC_NO_ERROR);
	} else {
		s64 sa = n == 4 ? (s64)a : n == 2 ? (s32)a : (s16)a;
		s64 sb = n == 4 ? (s32)b : n == 2 ? (s16)b : (s8)b;
		if (sb == -1 && sa == INT64_MIN)
			soft_raise(c, EXC_DE, EXC_NO_ERROR);
		s64 sq = sa / sb, max = (s64)(m >> 1);
		if (sq > max || sq < -max - 1)
			soft_raise(c, EXC_DE, EXC_NO_ERROR);
		q = (u64)sq;
		r = (u64)(sa % sb);
	}
	if (n == 1) {
		WR16(GPR_RAX, (q & 0xff) | (r & 0xff) << 8);
	} else {
		reg_wr(c, GPR_RAX, n, q);
		reg_wr(c, GPR_RDX, n, r);
	}
}

void op_div1(struct soft_cpu *c, const struct uop *op)
{
	div1(c, op);
	NEXT(c, op);
}

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

/* ---- BT BTS BTR BTC: r0 the index register (or AUX_IMM), imm low byte the operation 0..3, next the index ---- */

static __attribute__((noinline)) void bit_test(struct soft_cpu *c, const struct uop *op)
{
	unsigned n = op->osize, what = op->imm & 3;
	u64 idx = op->aux & AUX_IMM ? op->imm >> 8 : reg_rd(c, op->r0, n);
	u64 old, v, bit;
	struct rmw m = { NULL, 0 };

	SOFT_ENTER(c, op);
	bit = 1ull << (idx & (n * 8 - 1));
	if (op->aux & AUX_MEM) {
		if (op->aux & AUX_IMM) {
			m.lin = soft_ea(c, op, n, what != 0);
		} else {
			/* A register index reaches beyond the operand: by whole operands, signed. */
			s64 s = n == 8 ? (s64)idx : n == 4 ? (s32)idx : (s16)idx;
			u64 off = soft_ea_offset(c, op) + (u64)((s >> (n == 8 ? 6 : n == 4 ? 5 : 4)) * (s64)n);
			if (op->ea & EA_A32)
				off = (u32)off;
			else if (op->ea & EA_A16)
				off = (u16)off;
			m.lin = soft_seg_lin(c, op->seg, off, n, what != 0);
		}
		if (what)
			m.p = soft_rmw_ptr(c, m.lin, n);
	}
	do {
		old = rmw_rd(c, op, &m, n);
		v = what == 1 ? old | bit : what == 2 ? old & ~bit : old ^ bit;
	} while (what && !rmw_wr(c, op, &m, n, old, v));
	/* CF alone is defined, and alone is changed. */
	set_fl(c, (c->fl & ~0x100u) | (old & bit ? 0x100u : 0));
}
void op_bt(struct soft_cpu *c, const struct uop *op)
{
	bit_test(c, op);
	NEXT(c, op);
}

/* ---- BSF BSR TZCNT LZCNT POPCNT: imm 0..4, r0 destination ---- */

#define DEF_SCAN(bits, sfx) \
	static u##bits scan##bits(struct soft_cpu *c, unsigned what, u##bits src, u##bits dst) \
	{ \
		u32 f; \
		switch (what) { \
		case 0: \
			__asm__(FLAGS_IN "bsf" sfx " %[s], %[d]" FLAGS_OUT \
				: [d] "+&r"(dst), "=&a"(f) \
				: [s] "r"(src), [fl] "r"(FL_ARG) \
				: "cc"); \
			break; \
		case 1: \
			__asm__(FLAGS_IN "bsr" sfx " %[s], %[d]" FLAGS_OUT \
				: [d] "+&r"(dst), "=&a"(f) \
				: [s] "r"(src), [fl] "r"(FL_ARG) \
				: "cc"); \
			break; \
		case 2: \
			__asm__(FLAGS_IN "tzcnt" sfx " %[s], %[d]" FLAGS_OUT \
				: [d] "+&r"(dst), "=&a"(f) \
				: [s] "r"(src), [fl] "r"(FL_ARG) \
				: "cc"); \
			break; \
		case 3: \
			__asm__(FLAGS_IN "lzcnt" sfx " %[s], %[d]" FLAGS_OUT \
				: [d] "+&r"(dst), "=&a"(f) \
				: [s] "r"(src), [fl] "r"(FL_ARG) \
				: "cc"); \
			break; \
		default: \
			__asm__(FLAGS_IN "popcnt" sfx " %[s], %[d]" FLAGS_OUT \
				: [d] "+&r"(dst), "=&a"(f) \
				: [s] "r"(src), [fl] "r"(FL_ARG) \
				: "cc"); \
			break; \
		} \
		set_fl(c, f); \
		return dst; \
	}
DEF_SCAN(16, "w")
DEF_SCAN(32, "l")
DEF_SCAN(64, "q")

void op_bitscan(struct soft_cpu *c, const struct uop *op)
{
	unsigned n = op->osize;
	u64 s = rm_rd(c, op, n);

	/* BSF and BSR of zero leave the destination alone, its upper half too. */
	if (op->imm < 2 && !s)
		scan64(c, (unsigned)op->imm, 0, 0);
	else if (n == 8)
		WR64(op->r0, scan64(c, (unsigned)op->imm, s, RD64(op->r0)));
	else if (n == 4)
		WR32(op->r0, scan32(c, (unsigned)op->imm, (u32)s, RD32(op->r0)));
	else
		WR16(op->r0, scan16(c, (unsigned)op->imm, (u16)s, RD16(op->r0)));
	NEXT(c, op);
}

void op_bswap(struct soft_cpu *c, const struct uop *op)
{
	if (op->osize == 8)
		WR64(op->r1, __builtin_bswap64(RD64(op->r1)));
	else if (op->osize == 4)
		WR32(op->r1, __builtin_bswap32(RD32(op->r1)));
	else
		WR16(op->r1, 0); /* undefined; what processors do */
	NEXT(c, op);
}

/* ---- SHLD, SHRD: r0 the register that shifts in, imm bit 8: SHRD; count imm or CL ---- */

#define DEF_SHXD(bits, sfx) \
	static u##bits shxd##bits(struct soft_cpu *c, bool right, u##bits a, u##bits b, u8 n) \
	{ \
		u32 f; \
		if (right) \
			__asm__(FLAGS_IN "shrd" sfx " %%cl, %[b], %[a]" FLAGS_OUT \
				: [a] "+&r"(a), "=&a"(f) \
				: [b] "r"(b), "c"(n), [fl] "r"(FL_ARG) \
				: "cc"); \
		else \
			__asm__(FLAGS_IN "shld" sfx " %%cl, %[b], %[a]" FLAGS_OUT \
				: [a] "+&r"(a), "=&a"(f) \
				: [b] "r"(b), "c"(n), [fl] "r"(FL_ARG) \
				: "cc"); \
		set_fl(c, f); \
		return a; \
	}
DEF_SHXD(16, "w")
DEF_SHXD(32, "l")
DEF_SHXD(64, "q")

static __attribute__((noinline)) void shxd(struct soft_cpu *c, const struct uop *op)
{
	unsigned n = op->osize;
	u8 k = (op->aux & AUX_IMM ? (u8)op->imm : (u8)c->gpr[GPR_RCX]) & (n == 8 ? 63 : 31);
	bool right = op->imm & 0x100;
	SOFT_ENTER(c, op);
	struct rmw m = rmw_of(c, op, n);

	if (!k) {
		if (!(op->aux & AUX_MEM) && n == 4)
			WR32(op->r1, RD32(op->r1));
		return;
	}
	u64 a = rmw_rd(c, op, &m, n), b = reg_rd(c, op->r0, n), v;
	u32 fl = c->fl, nfl;
	v = n == 8   ? shxd64(c, right, a, b, k)
	    : n == 4 ? shxd32(c, right, (u32)a, (u32)b, k)
		     : shxd16(c, right, (u16)a, (u16)b, k);
	nfl = c->fl;
	c->fl = fl;
	if (m.p && op->aux & AUX_MEM)
		memcpy(m.p, &v, n);
	else
		rmw_wr(c, op, &m, n, a, v);
	c->fl = nfl;
}
void op_shxd(struct soft_cpu *c, const struct uop *op)
{
	shxd(c, op);
	NEXT(c, op);
}

/* ---- CBW family: imm 0: AL->AX.., 1: AX->DX:AX ... ; osize the result's word ---- */
void op_convert(struct soft_cpu *c, const struct uop *op)
{
	if (!op->imm) {
		if (op->osize == 2)
			WR16(GPR_RAX, (s8)RD8(GPR_RAX * 8));
		else if (op->osize == 4)
			WR32(GPR_RAX, (u32)(s32)(s16)RD16(GPR_RAX));
		else
			WR64(GPR_RAX, (u64)(s64)(s32)RD32(GPR_RAX));
	} else {
		if (op->osize == 2)
			WR16(GPR_RDX, (s16)RD16(GPR_RAX) < 0 ? 0xffff : 0);
		else if (op->osize == 4)
			WR32(GPR_RDX, (s32)RD32(GPR_RAX) < 0 ? 0xffffffffu : 0);
		else
			WR64(GPR_RDX, (s64)RD64(GPR_RAX) < 0 ? ~0ull : 0);
	}
	NEXT(c, op);
}

/* CLC STC CMC CLD STD: imm 0..4 */
void op_flag(struct soft_cpu *c, const struct uop *op)
{
	switch (op->imm) {
	case 0:
		c->fl &= ~0x100u;
		break;
	case 1:
		c->fl |= 0x100u;
		break;
	case 2:
		c->fl ^= 0x100u;
		break;
	case 3:
		c->sysflags &= ~FL_DF;
		break;
	default:
		c->sysflags |= FL_DF;
	}
	NEXT(c, op);
}

void op_lahf(struct soft_cpu *c, const struct uop *op)
{
	WR8(1, (u8)(soft_get_status(c) | 2));
	NEXT(c, op);
}
void op_sahf(struct soft_cpu *c, const struct uop *op)
{
	soft_set_status(c, RD8(1) | (soft_get_status(c) & FL_OF));
	NEXT(c, op);
}

void op_salc(struct soft_cpu *c, const struct uop *op)
{
	WR8(0, c->fl & 0x100 ? 0xff : 0);
	NEXT(c, op);
}

void op_xlat(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	u64 off = c->gpr[GPR_RBX] + RD8(0);
	off = op->ea & EA_A16 ? (u16)off : op->ea & EA_A32 ? (u32)off : off;
	WR8(0, soft_ld8(c, soft_seg_lin(c, op->seg, off, 1, false)));
	NEXT(c, op);
}

/* ---- decimal adjustment, outside 64-bit code: r0 0 DAA 1 DAS 2 AAA 3 AAS 4 AAM 5 AAD; imm the base ---- */
static __attribute__((noinline)) void bcd(struct soft_cpu *c, const struct uop *op)
{
	u8 al = RD8(0), ah = RD8(1);
	u32 fl = soft_get_status(c);
	bool af = fl & FL_AF, cf = fl & FL_CF;

	SOFT_ENTER(c, op);
	if (op->r0 < 2) {
		u8 old = al;
		bool ocf = cf;
		cf = false;
		if ((al & 15) > 9 || af) {
			cf = ocf || (op->r0 ? old < 6 : old > 0xf9);
			al = (u8)(op->r0 ? al - 6 : al + 6);
			af = true;
		} else {
			af = false;
		}
		if (old > 0x99 || ocf) {
			al = (u8)(op->r0 ? al - 0x60 : al + 0x60);
			cf = true;
		} else if (!op->r0) {
			cf = false;
		}
	} else if (op->r0 < 4) {
		if ((al & 15) > 9 || af) {
			u16 ax = RD16(GPR_RAX);
			ax = op->r0 == 2 ? (u16)(ax + 0x106) : (u16)(ax - 0x106);
			al = (u8)ax;
			ah = (u8)(ax >> 8);
			af = cf = true;
		} else {
			af = cf = false;
		}
		al &= 15;
		WR8(1, ah);
	} else if (op->r0 == 4) {
		u8 base = (u8)op->imm;
		if (!base)
			soft_raise(c, EXC_DE, EXC_NO_ERROR);
		WR8(1, al / base);
		al %= base;
		af = cf = false;
	} else {
		al = (u8)(al + ah * (u8)op->imm);
		WR8(1, 0);
		af = cf = false;
	}
	WR8(0, al);
	u32 nf = (al & 0x80 ? FL_SF : 0) | (al ? 0 : FL_ZF) | (__builtin_parity(al) ? 0 : FL_PF) | (af ? FL_AF : 0) |
		 (cf ? FL_CF : 0);
	soft_set_status(c, nf);
}
void op_bcd(struct soft_cpu *c, const struct uop *op)
{
	bcd(c, op);
	NEXT(c, op);
}

/* MOVBE: imm 1: store */
void op_movbe(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	unsigned n = op->osize;
	gva_t lin = soft_ea(c, op, n, op->imm);
	u64 v = op->imm ? reg_rd(c, op->r0, n) : soft_ld(c, lin, n);

	v = n == 8 ? __builtin_bswap64(v) : n == 4 ? __builtin_bswap32((u32)v) : __builtin_bswap16((u16)v);
	if (op->imm)
		soft_st(c, lin, n, v);
	else
		reg_wr(c, op->r0, n, v);
	NEXT(c, op);
}

/* CRC32: r0 destination, osize of the source, imm: destination is 64 bits */
void op_crc32(struct soft_cpu *c, const struct uop *op)
{
	u64 s = rm_rd(c, op, op->osize), d = c->gpr[op->r0];

	switch (op->osize) {
	case 1:
		__asm__("crc32b %b1, %k0" : "+r"(d) : "r"(s));
		break;
	case 2:
		__asm__("crc32w %w1, %k0" : "+r"(d) : "r"(s));
		break;
	case 4:
		__asm__("crc32l %k1, %k0" : "+r"(d) : "r"(s));
		break;
	default:
		__asm__("crc32q %1, %0" : "+r"(d) : "r"(s));
	}
	c->gpr[op->r0] = op->imm ? d : (u32)d;
	NEXT(c, op);
}

/* ---- BMI1, BMI2 ---- */

/*
 * r0 destination, r1/memory the r/m operand, scale+index are the memory's; the third operand's register is
 * imm >> 8. imm & 0xff: 0 ANDN 1 BEXTR 2 BLSI 3 BLSMSK 4 BLSR 5 BZHI 6 PDEP 7 PEXT 8 RORX (count imm >> 16)
 * 9 SARX 10 SHLX 11 SHRX.
 */
#define BMI_F(insn, sfx) \
	__asm__(FLAGS_IN insn sfx " %[x], %[y], %[d]" FLAGS_OUT \
		: [d] "=&r"(d), "=&a"(f) \
		: [x] "r"(x), [y] "r"(y), [fl] "r"(FL_ARG) \
		: "cc")
#define BMI_F1(insn, sfx) \
	__asm__(FLAGS_IN insn sfx " %[x], %[d]" FLAGS_OUT \
		: [d] "=&r"(d), "=&a"(f) \
		: [x] "r"(x), [fl] "r"(FL_ARG) \
		: "cc")
#define DEF_BMI(bits, sfx) \
	static u##bits bmi##bits(struct soft_cpu *c, unsigned what, unsigned count, u##bits x, u##bits y) \
	{ \
		u##bits d = 0; \
		u32 f = c->fl; \
		switch (what) { \
		case 0: /* ANDN d = ~vvvv & rm: y is vvvv */ \
			BMI_F("andn", sfx); \
			break; \
		case 1: /* BEXTR d = rm by vvvv: operands the other way */ \
			__asm__(FLAGS_IN "bextr" sfx " %[y], %[x], %[d]" FLAGS_OUT \
				: [d] "=&r"(d), "=&a"(f) \
				: [x] "r"(x), [y] "r"(y), [fl] "r"(FL_ARG) \
				: "cc"); \
			break; \
		case 2: \
			BMI_F1("blsi", sfx); \
			break; \
		case 3: \
			BMI_F1("blsmsk", sfx); \
			break; \
		case 4: \
			BMI_F1("blsr", sfx); \
			break; \
		case 5: \
			__asm__(FLAGS_IN "bzhi" sfx " %[y], %[x], %[d]" FLAGS_OUT \
				: [d] "=&r"(d), "=&a"(f) \
				: [x] "r"(x), [y] "r"(y), [fl] "r"(FL_ARG) \
				: "cc"); \
			break; \
		case 6: /* PDEP d = vvvv deposited by mask rm */ \
			__asm__("pdep" sfx " %[x], %[y], %[d]" : [d] "=r"(d) : [x] "r"(x), [y] "r"(y)); \
			break; \
		case 7: \
			__asm__("pext" sfx " %[x], %[y], %[d]" : [d] "=r"(d) : [x] "r"(x), [y] "r"(y)); \
			break; \
		case 8: \
			count &= bits - 1; \
			d = count ? (u##bits)(x >> count | x << (bits - count)) : x; \
			break; \
		case 9: \
			d = (u##bits)((s##bits)x >> (y & (bits - 1))); \
			break; \
		case 10: \
			d = (u##bits)(x << (y & (bits - 1))); \
			break; \
		default: \
			d = (u##bits)(x >> (y & (bits - 1))); \
		} \
		set_fl(c, f); \
		return d; \
	}
DEF_BMI(32, "l")
DEF_BMI(64, "q")

void op_bmi(struct soft_cpu *c, const struct uop *op)
{
	unsigned what = op->imm & 0xff, count = (unsigned)(op->imm >> 16) & 0xff;
	u64 x = rm_rd(c, op, op->osize), y = reg_rd(c, (op->imm >> 8) & 15, op->osize);

	if (op->osize == 8)
		WR64(op->r0, bmi64(c, what, count, x, y));
	else
		WR32(op->r0, bmi32(c, what, count, (u32)x, (u32)y));
	NEXT(c, op);
}

/* MULX: r0 high, imm low register; r/m times RDX */
void op_mulx(struct soft_cpu *c, const struct uop *op)
{
	u64 x = rm_rd(c, op, op->osize);

	if (op->osize == 8) {
		unsigned __int128 p = (unsigned __int128)x * c->gpr[GPR_RDX];
		WR64(op->imm, (u64)p);
		WR64(op->r0, (u64)(p >> 64));
	} else {
		u64 p = (u64)(u32)x * RD32(GPR_RDX);
		WR32(op->imm, p);
		WR32(op->r0, p >> 32);
	}
	NEXT(c, op);
}

/* ADCX (imm 0: CF), ADOX (imm 1: OF) */
void op_adx(struct soft_cpu *c, const struct uop *op)
{
	u64 x = rm_rd(c, op, op->osize), a = reg_rd(c, op->r0, op->osize);
	u32 bit = op->imm ? 1u : 0x100u;
	unsigned __int128 s = (unsigned __int128)a + x + (c->fl & bit ? 1 : 0);
	bool carry = s >> (op->osize * 8) & 1;

	reg_wr(c, op->r0, op->osize, (u64)s);
	c->fl = carry ? c->fl | bit : c->fl & ~bit;
	NEXT(c, op);
}

/* RDRAND (imm 0), RDSEED (imm 1): the host's generator; CF says whether it had any. */
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

/* CLFLUSH, CLFLUSHOPT, CLWB: a load's faults and nothing else; caches are coherent here. */
void op_clflush(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	soft_probe(c, soft_ea(c, op, 1, false), 1, false);
	NEXT(c, op);
}

/* LFENCE, SFENCE, MFENCE. Only LFENCE keeps what follows, as RDTSC, from being executed before an earlier load. */
void op_fence(struct soft_cpu *c, const struct uop *op)
{
	__builtin_ia32_mfence();
	__builtin_ia32_lfence();
	NEXT(c, op);
}
