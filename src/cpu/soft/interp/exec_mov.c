/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exec_mov.c - MOV, MOVZX, MOVSX, MOVSXD, LEA. */
#include "cpu/soft/interp/exec.h"

/* ---- mov ---- */

#define DEF_MOV(bits) \
	static void mov##bits##_rr(struct soft_cpu *c, const struct uop *op) \
	{ \
		WR##bits(op->r0, RD##bits(op->r1)); \
		NEXT(c, op); \
	} \
	static void mov##bits##_ri(struct soft_cpu *c, const struct uop *op) \
	{ \
		WR##bits(op->r0, op->imm); \
		NEXT(c, op); \
	} \
	static void mov##bits##_rm(struct soft_cpu *c, const struct uop *op) \
	{ \
		u##bits v = mem_ld##bits(c, op, ea(c, op, bits / 8, false)); \
		WR##bits(op->r0, v); \
		NEXT(c, op); \
	} \
	static void mov##bits##_mr(struct soft_cpu *c, const struct uop *op) \
	{ \
		mem_st##bits(c, op, ea(c, op, bits / 8, true), RD##bits(op->r0)); \
		NEXT(c, op); \
	} \
	static void mov##bits##_mi(struct soft_cpu *c, const struct uop *op) \
	{ \
		mem_st##bits(c, op, ea(c, op, bits / 8, true), (u##bits)op->imm); \
		NEXT(c, op); \
	}
DEF_MOV(8)
DEF_MOV(16)
DEF_MOV(32)
DEF_MOV(64)
#define MOV_ROW(b) \
	{ \
		mov##b##_rr, mov##b##_ri, mov##b##_rm, mov##b##_mr, mov##b##_mi \
	}
uop_fn *const exec_mov[4][5] = { MOV_ROW(8), MOV_ROW(16), MOV_ROW(32), MOV_ROW(64) };

#define DEF_MOVX(sign, st, sb, db) \
	static void movx_##sign##sb##_##db##_r(struct soft_cpu *c, const struct uop *op) \
	{ \
		WR##db(op->r0, (u##db)(st)RD##sb(op->r1)); \
		NEXT(c, op); \
	} \
	static void movx_##sign##sb##_##db##_m(struct soft_cpu *c, const struct uop *op) \
	{ \
		st v = (st)mem_ld##sb(c, op, ea(c, op, sb / 8, false)); \
		WR##db(op->r0, (u##db)v); \
		NEXT(c, op); \
	}
#define DEF_MOVX_D(sign, st, sb) DEF_MOVX(sign, st, sb, 16) DEF_MOVX(sign, st, sb, 32) DEF_MOVX(sign, st, sb, 64)
DEF_MOVX_D(z, u8, 8)
DEF_MOVX_D(z, u16, 16)
DEF_MOVX_D(s, s8, 8)
DEF_MOVX_D(s, s16, 16)
DEF_MOVX(s, s32, 32, 32)
DEF_MOVX(s, s32, 32, 64)
#define MOVX_P(sign, sb, db) \
	{ \
		movx_##sign##sb##_##db##_r, movx_##sign##sb##_##db##_m \
	}
#define MOVX_R(sign, sb) \
	{ \
		MOVX_P(sign, sb, 16), MOVX_P(sign, sb, 32), MOVX_P(sign, sb, 64) \
	}
uop_fn *const exec_movx[2][2][3][2] = { { MOVX_R(z, 8), MOVX_R(z, 16) }, { MOVX_R(s, 8), MOVX_R(s, 16) } };
uop_fn *const exec_movsxd[2][2] = { MOVX_P(s, 32, 32), MOVX_P(s, 32, 64) };

#define DEF_LEA(bits) \
	static void lea##bits(struct soft_cpu *c, const struct uop *op) \
	{ \
		u64 off; \
		if (unlikely(op->ea & EA_SLOW)) \
			off = soft_ea_offset(c, op); \
		else \
			off = c->gpr[op->base] + (c->gpr[op->index] << op->scale) + (u64)(s64)op->disp; \
		WR##bits(op->r0, off); \
		NEXT(c, op); \
	}
DEF_LEA(16)
DEF_LEA(32)
DEF_LEA(64)
uop_fn *const exec_lea[3] = { lea16, lea32, lea64 };
