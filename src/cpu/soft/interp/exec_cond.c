/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exec_cond.c - Jcc in 64-bit code, SETcc, CMOVcc: a handler for each condition. */
#include "cpu/soft/interp/exec_flags.h"

#define DEF_CC(cc) \
	static void jcc##cc##_far(struct soft_cpu *c, const struct uop *op) \
	{ \
		if (cond(c->fl, cc)) \
			GOTO_RIP64(c, op, c->gpr[GPR_BLK] + op->imm); \
		NEXT(c, op); \
	} \
	static void jcc##cc##_link(struct soft_cpu *c, const struct uop *op) \
	{ \
		if (cond(c->fl, cc)) \
			GOTO_LINK64(c, op, c->gpr[GPR_BLK] + (u64)(s64)op->disp); \
		NEXT(c, op); \
	} \
	static void set##cc##_r(struct soft_cpu *c, const struct uop *op) \
	{ \
		WR8(op->r0, cond(c->fl, cc)); \
		NEXT(c, op); \
	} \
	static void set##cc##_m(struct soft_cpu *c, const struct uop *op) \
	{ \
		mem_st8(c, op, ea(c, op, 1, true), cond(c->fl, cc)); \
		NEXT(c, op); \
	} \
	DEF_CMOV(cc, 16) DEF_CMOV(cc, 32) DEF_CMOV(cc, 64)
/* A 32-bit CMOV clears the upper half whether or not it moves; memory is read either way. */
#define DEF_CMOV(cc, bits) \
	static void cmov##cc##_##bits##_r(struct soft_cpu *c, const struct uop *op) \
	{ \
		u##bits v = cond(c->fl, cc) ? RD##bits(op->r1) : RD##bits(op->r0); \
		WR##bits(op->r0, v); \
		NEXT(c, op); \
	} \
	static void cmov##cc##_##bits##_m(struct soft_cpu *c, const struct uop *op) \
	{ \
		u##bits m = mem_ld##bits(c, op, ea(c, op, bits / 8, false)); \
		WR##bits(op->r0, cond(c->fl, cc) ? m : RD##bits(op->r0)); \
		NEXT(c, op); \
	}
#define FOR_CC(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)
FOR_CC(DEF_CC)
#define JCC_ROW(cc) { jcc##cc##_far, jcc##cc##_link },
uop_fn *const exec_jcc64[16][2] = { FOR_CC(JCC_ROW) };
#define SET_ROW(cc) { set##cc##_r, set##cc##_m },
uop_fn *const exec_setcc[16][2] = { FOR_CC(SET_ROW) };
#define CMOV_P(cc, b) \
	{ \
		cmov##cc##_##b##_r, cmov##cc##_##b##_m \
	}
#define CMOV_ROW(cc) { CMOV_P(cc, 16), CMOV_P(cc, 32), CMOV_P(cc, 64) },
uop_fn *const exec_cmov[16][3][2] = { FOR_CC(CMOV_ROW) };
