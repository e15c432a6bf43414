/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exec_bits.c - bits and bytes: BT and its kin, bit scans, double shifts, BSWAP, MOVBE, CRC32. */
#include "cpu/soft/interp/exec_rmw.h"

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
			/* A register index is signed and may reach beyond the operand: step by whole operands. */
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
	/* Only CF is defined, and only CF is changed. */
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
		WR16(op->r1, 0); /* undefined; processors do this */
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
