/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exec_muldiv.c - MUL, IMUL, MULX, DIV, IDIV. */
#include "cpu/soft/interp/exec_flags.h"

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

/* ---- imul, two and three operands: what is undefined, processors may leave as it was ---- */

#define DEF_IMUL(bits, sfx) \
	always_inline_ u##bits f_imul##bits(struct soft_cpu *c, u##bits a, u##bits b) \
	{ \
		u32 f; \
		__asm__(FLAGS_IN "imul" sfx " %[b], %[a]" FLAGS_OUT \
			: [a] "+&r"(a), "=&a"(f) \
			: [b] "r"(b), [fl] "r"(c->fl) \
			: "cc"); \
		set_fl(c, f); \
		return a; \
	} \
	static void imul##bits##_rr(struct soft_cpu *c, const struct uop *op) \
	{ \
		WR##bits(op->r0, f_imul##bits(c, RD##bits(op->r0), RD##bits(op->r1))); \
		NEXT(c, op); \
	} \
	static void imul##bits##_rm(struct soft_cpu *c, const struct uop *op) \
	{ \
		u##bits b = mem_ld##bits(c, op, ea(c, op, bits / 8, false)); \
		WR##bits(op->r0, f_imul##bits(c, RD##bits(op->r0), b)); \
		NEXT(c, op); \
	} \
	static void imul##bits##_rri(struct soft_cpu *c, const struct uop *op) \
	{ \
		WR##bits(op->r0, f_imul##bits(c, RD##bits(op->r1), (u##bits)op->imm)); \
		NEXT(c, op); \
	} \
	static void imul##bits##_rmi(struct soft_cpu *c, const struct uop *op) \
	{ \
		u##bits b = mem_ld##bits(c, op, ea(c, op, bits / 8, false)); \
		WR##bits(op->r0, f_imul##bits(c, b, (u##bits)op->imm)); \
		NEXT(c, op); \
	}
DEF_IMUL(16, "w")
DEF_IMUL(32, "l")
DEF_IMUL(64, "q")
uop_fn *const exec_imul2[3][2] = { { imul16_rr, imul16_rm }, { imul32_rr, imul32_rm }, { imul64_rr, imul64_rm } };
uop_fn *const exec_imul3[3][2] = { { imul16_rri, imul16_rmi }, { imul32_rri, imul32_rmi }, { imul64_rri, imul64_rmi } };

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
