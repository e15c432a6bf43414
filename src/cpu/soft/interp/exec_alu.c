/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exec_alu.c - handlers of the integer instructions that make up nearly all code, one for each operation,
 * size and operand form. The host's own instruction computes the result and the flags (LAHF, SETO),
 * undefined flags included.
 */
#include "cpu/soft/interp/exec.h"

/* ---- two operands: add or adc sbb and sub xor cmp test ---- */

#define FLAGS_OUT "\n\tlahf\n\tseto %%al"
#define CARRY_IN(sfx) "btl $8, %k[fl]\n\t"
#define NO_CARRY(sfx)

#define DEF_ALU_FN(name, insn, PRE, bits, sfx) \
	always_inline_ u##bits f_##name##bits(struct soft_cpu *c, u##bits a, u##bits b) \
	{ \
		u32 f; \
		__asm__(PRE(sfx) insn sfx " %[b], %[a]" FLAGS_OUT \
			: [a] "+q"(a), "=&a"(f) \
			: [b] "q"(b), [fl] "r"(c->fl) \
			: "cc"); \
		set_fl(c, f); \
		return a; \
	} \
	always_inline_ void m_##name##bits(struct soft_cpu *c, guest_u##bits *p, u##bits b) \
	{ \
		u32 f; \
		__asm__ volatile(PRE(sfx) insn sfx " %[b], %[a]" FLAGS_OUT \
				 : [a] "+m"(*p), "=&a"(f) \
				 : [b] "q"(b), [fl] "r"(c->fl) \
				 : "cc"); \
		set_fl(c, f); \
	} \
	always_inline_ void l_##name##bits(struct soft_cpu *c, guest_u##bits *p, u##bits b) \
	{ \
		u32 f; \
		__asm__ volatile(PRE(sfx) "lock " insn sfx " %[b], %[a]" FLAGS_OUT \
				 : [a] "+m"(*p), "=&a"(f) \
				 : [b] "q"(b), [fl] "r"(c->fl) \
				 : "cc", "memory"); \
		set_fl(c, f); \
	}
#define DEF_CMP_FN(name, insn, bits, sfx) \
	always_inline_ void f_##name##bits(struct soft_cpu *c, u##bits a, u##bits b) \
	{ \
		u32 f; \
		__asm__(insn sfx " %[b], %[a]" FLAGS_OUT : "=&a"(f) : [a] "q"(a), [b] "q"(b) : "cc"); \
		set_fl(c, f); \
	}

#define DEF_ALU_OPS(name, bits) \
	static void name##bits##_rr(struct soft_cpu *c, const struct uop *op) \
	{ \
		WR##bits(op->r0, f_##name##bits(c, RD##bits(op->r0), RD##bits(op->r1))); \
		NEXT(c, op); \
	} \
	static void name##bits##_ri(struct soft_cpu *c, const struct uop *op) \
	{ \
		WR##bits(op->r0, f_##name##bits(c, RD##bits(op->r0), (u##bits)op->imm)); \
		NEXT(c, op); \
	} \
	static void name##bits##_rm(struct soft_cpu *c, const struct uop *op) \
	{ \
		u##bits b = mem_ld##bits(c, op, ea(c, op, bits / 8, false)); \
		WR##bits(op->r0, f_##name##bits(c, RD##bits(op->r0), b)); \
		NEXT(c, op); \
	} \
	always_inline_ void name##bits##_rmw(struct soft_cpu *c, const struct uop *op, u##bits b, bool lock) \
	{ \
		gva_t lin = ea(c, op, bits / 8, true); \
		guest_u##bits *p = mem_rmw##bits(c, op, lin); \
		if (likely(p)) { \
			if (lock) \
				l_##name##bits(c, p, b); \
			else \
				m_##name##bits(c, p, b); \
			return; \
		} \
		u32 fl = c->fl; \
		u##bits v = f_##name##bits(c, soft_ld##bits(c, lin), b); \
		u32 nfl = c->fl; \
		c->fl = fl; \
		soft_st##bits(c, lin, v); \
		c->fl = nfl; \
	} \
	static void name##bits##_mr(struct soft_cpu *c, const struct uop *op) \
	{ \
		name##bits##_rmw(c, op, RD##bits(op->r0), false); \
		NEXT(c, op); \
	} \
	static void name##bits##_mi(struct soft_cpu *c, const struct uop *op) \
	{ \
		name##bits##_rmw(c, op, (u##bits)op->imm, false); \
		NEXT(c, op); \
	} \
	static void name##bits##_lmr(struct soft_cpu *c, const struct uop *op) \
	{ \
		name##bits##_rmw(c, op, RD##bits(op->r0), true); \
		NEXT(c, op); \
	} \
	static void name##bits##_lmi(struct soft_cpu *c, const struct uop *op) \
	{ \
		name##bits##_rmw(c, op, (u##bits)op->imm, true); \
		NEXT(c, op); \
	}

#define DEF_CMP_OPS(name, bits) \
	static void name##bits##_rr(struct soft_cpu *c, const struct uop *op) \
	{ \
		f_##name##bits(c, RD##bits(op->r0), RD##bits(op->r1)); \
		NEXT(c, op); \
	} \
	static void name##bits##_ri(struct soft_cpu *c, const struct uop *op) \
	{ \
		f_##name##bits(c, RD##bits(op->r0), (u##bits)op->imm); \
		NEXT(c, op); \
	} \
	static void name##bits##_rm(struct soft_cpu *c, const struct uop *op) \
	{ \
		u##bits b = mem_ld##bits(c, op, ea(c, op, bits / 8, false)); \
		f_##name##bits(c, RD##bits(op->r0), b); \
		NEXT(c, op); \
	} \
	static void name##bits##_mr(struct soft_cpu *c, const struct uop *op) \
	{ \
		u##bits a = mem_ld##bits(c, op, ea(c, op, bits / 8, false)); \
		f_##name##bits(c, a, RD##bits(op->r0)); \
		NEXT(c, op); \
	} \
	static void name##bits##_mi(struct soft_cpu *c, const struct uop *op) \
	{ \
		u##bits a = mem_ld##bits(c, op, ea(c, op, bits / 8, false)); \
		f_##name##bits(c, a, (u##bits)op->imm); \
		NEXT(c, op); \
	}

#define FOR_SIZES(M, ...) M(__VA_ARGS__, 8, "b") M(__VA_ARGS__, 16, "w") M(__VA_ARGS__, 32, "l") M(__VA_ARGS__, 64, "q")
#define ALU_BOTH(name, insn, PRE, bits, sfx) DEF_ALU_FN(name, insn, PRE, bits, sfx) DEF_ALU_OPS(name, bits)
#define CMP_BOTH(name, insn, bits, sfx) DEF_CMP_FN(name, insn, bits, sfx) DEF_CMP_OPS(name, bits)
FOR_SIZES(ALU_BOTH, add, "add", NO_CARRY)
FOR_SIZES(ALU_BOTH, or, "or", NO_CARRY)
FOR_SIZES(ALU_BOTH, adc, "adc", CARRY_IN)
FOR_SIZES(ALU_BOTH, sbb, "sbb", CARRY_IN)
FOR_SIZES(ALU_BOTH, and, "and", NO_CARRY)
FOR_SIZES(ALU_BOTH, sub, "sub", NO_CARRY)
FOR_SIZES(ALU_BOTH, xor, "xor", NO_CARRY)
FOR_SIZES(CMP_BOTH, cmp, "cmp")
FOR_SIZES(CMP_BOTH, test, "test")

#define ALU_ROW(n, b) \
	{ \
		n##b##_rr, n##b##_ri, n##b##_rm, n##b##_mr, n##b##_mi, n##b##_lmr, n##b##_lmi \
	}
#define CMP_ROW(n, b) \
	{ \
		n##b##_rr, n##b##_ri, n##b##_rm, n##b##_mr, n##b##_mi, NULL, NULL \
	}
#define ALU_ROWS(n) \
	{ \
		ALU_ROW(n, 8), ALU_ROW(n, 16), ALU_ROW(n, 32), ALU_ROW(n, 64) \
	}
#define CMP_ROWS(n) \
	{ \
		CMP_ROW(n, 8), CMP_ROW(n, 16), CMP_ROW(n, 32), CMP_ROW(n, 64) \
	}
uop_fn *const exec_alu[ALU_COUNT][4][F_COUNT] = {
	[ALU_ADD] = ALU_ROWS(add), [ALU_OR] = ALU_ROWS(or),   [ALU_ADC] = ALU_ROWS(adc),
	[ALU_SBB] = ALU_ROWS(sbb), [ALU_AND] = ALU_ROWS(and), [ALU_SUB] = ALU_ROWS(sub),
	[ALU_XOR] = ALU_ROWS(xor), [ALU_CMP] = CMP_ROWS(cmp), [ALU_TEST] = CMP_ROWS(test),
};

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

/* ---- one operand ---- */

#define DEF_UNARY(name, insn, PRE, bits, sfx) \
	always_inline_ u##bits f_##name##bits(struct soft_cpu *c, u##bits a) \
	{ \
		u32 f; \
		__asm__(PRE(sfx) insn sfx " %[a]" FLAGS_OUT : [a] "+q"(a), "=&a"(f) : [fl] "r"(c->fl) : "cc"); \
		set_fl(c, f); \
		return a; \
	} \
	static void name##bits##_r(struct soft_cpu *c, const struct uop *op) \
	{ \
		WR##bits(op->r0, f_##name##bits(c, RD##bits(op->r0))); \
		NEXT(c, op); \
	} \
	always_inline_ void name##bits##_mem(struct soft_cpu *c, const struct uop *op, bool lock) \
	{ \
		gva_t lin = ea(c, op, bits / 8, true); \
		guest_u##bits *p = mem_rmw##bits(c, op, lin); \
		if (likely(p)) { \
			u32 f; \
			if (lock) \
				__asm__ volatile(PRE(sfx) "lock " insn sfx " %[a]" FLAGS_OUT \
						 : [a] "+m"(*p), "=&a"(f) \
						 : [fl] "r"(c->fl) \
						 : "cc", "memory"); \
			else \
				__asm__ volatile(PRE(sfx) insn sfx " %[a]" FLAGS_OUT \
						 : [a] "+m"(*p), "=&a"(f) \
						 : [fl] "r"(c->fl) \
						 : "cc"); \
			set_fl(c, f); \
			return; \
		} \
		u32 fl = c->fl; \
		u##bits v = f_##name##bits(c, soft_ld##bits(c, lin)); \
		u32 nfl = c->fl; \
		c->fl = fl; \
		soft_st##bits(c, lin, v); \
		c->fl = nfl; \
	} \
	static void name##bits##_m(struct soft_cpu *c, const struct uop *op) \
	{ \
		name##bits##_mem(c, op, false); \
		NEXT(c, op); \
	} \
	static void name##bits##_l(struct soft_cpu *c, const struct uop *op) \
	{ \
		name##bits##_mem(c, op, true); \
		NEXT(c, op); \
	}
/* INC and DEC keep CF; NOT keeps all flags: restore them first, then read back. */
#define KEEP_CF(sfx) "btl $8, %k[fl]\n\t"
#define KEEP_ALL(sfx) "movl %k[fl], %%eax\n\taddb $127, %%al\n\tsahf\n\t"
FOR_SIZES(DEF_UNARY, inc, "inc", KEEP_CF)
FOR_SIZES(DEF_UNARY, dec, "dec", KEEP_CF)
FOR_SIZES(DEF_UNARY, neg, "neg", NO_CARRY)
FOR_SIZES(DEF_UNARY, not, "not", KEEP_ALL)
#define UN_ROW(n, b) \
	{ \
		n##b##_r, n##b##_m, n##b##_l \
	}
#define UN_ROWS(n) \
	{ \
		UN_ROW(n, 8), UN_ROW(n, 16), UN_ROW(n, 32), UN_ROW(n, 64) \
	}
uop_fn *const exec_unary[UN_COUNT][4][3] = {
	[UN_INC] = UN_ROWS(inc),
	[UN_DEC] = UN_ROWS(dec),
	[UN_NEG] = UN_ROWS(neg),
	[UN_NOT] = UN_ROWS(not ),
};

/* ---- shifts and rotates ---- */

/*
 * A count of zero (after masking to 5 or 6 bits) changes no flag. Rotates keep SF ZF AF PF and take CF in:
 * all flags are put back into the host's first, which shifts overwrite anyway. ADD $127 makes OF from AL.
 */
#define DEF_SHIFT(name, insn, bits, sfx) \
	always_inline_ u##bits f_##name##bits(struct soft_cpu *c, u##bits a, u8 n) \
	{ \
		u32 f; \
		n &= bits == 64 ? 63 : 31; \
		if (!n) \
			return a; \
		__asm__("movl %k[fl], %%eax\n\taddb $127, %%al\n\tsahf\n\t" insn sfx " %%cl, %[a]" FLAGS_OUT \
			: [a] "+q"(a), "=&a"(f) \
			: [fl] "r"(c->fl & 0xff01), "c"(n) \
			: "cc"); \
		set_fl(c, f); \
		return a; \
	} \
	static void name##bits##_ri(struct soft_cpu *c, const struct uop *op) \
	{ \
		WR##bits(op->r0, f_##name##bits(c, RD##bits(op->r0), (u8)op->imm)); \
		NEXT(c, op); \
	} \
	static void name##bits##_rc(struct soft_cpu *c, const struct uop *op) \
	{ \
		WR##bits(op->r0, f_##name##bits(c, RD##bits(op->r0), (u8)c->gpr[GPR_RCX])); \
		NEXT(c, op); \
	} \
	always_inline_ void name##bits##_mem(struct soft_cpu *c, const struct uop *op, u8 n) \
	{ \
		gva_t lin = ea(c, op, bits / 8, true); \
		guest_u##bits *p = mem_rmw##bits(c, op, lin); \
		if (likely(p)) { \
			*p = f_##name##bits(c, *p, n); \
			return; \
		} \
		u32 fl = c->fl; \
		u##bits v = f_##name##bits(c, soft_ld##bits(c, lin), n); \
		u32 nfl = c->fl; \
		c->fl = fl; \
		soft_st##bits(c, lin, v); \
		c->fl = nfl; \
	} \
	static void name##bits##_mi(struct soft_cpu *c, const struct uop *op) \
	{ \
		name##bits##_mem(c, op, (u8)op->imm); \
		NEXT(c, op); \
	} \
	static void name##bits##_mc(struct soft_cpu *c, const struct uop *op) \
	{ \
		name##bits##_mem(c, op, (u8)c->gpr[GPR_RCX]); \
		NEXT(c, op); \
	}
FOR_SIZES(DEF_SHIFT, rol, "rol")
FOR_SIZES(DEF_SHIFT, ror, "ror")
FOR_SIZES(DEF_SHIFT, rcl, "rcl")
FOR_SIZES(DEF_SHIFT, rcr, "rcr")
FOR_SIZES(DEF_SHIFT, shl, "shl")
FOR_SIZES(DEF_SHIFT, shr, "shr")
FOR_SIZES(DEF_SHIFT, sar, "sar")
#define SH_ROW(n, b) \
	{ \
		n##b##_ri, n##b##_rc, n##b##_mi, n##b##_mc \
	}
#define SH_ROWS(n) \
	{ \
		SH_ROW(n, 8), SH_ROW(n, 16), SH_ROW(n, 32), SH_ROW(n, 64) \
	}
uop_fn *const exec_shift[SH_COUNT][4][4] = {
	[SH_ROL] = SH_ROWS(rol), [SH_ROR] = SH_ROWS(ror), [SH_RCL] = SH_ROWS(rcl), [SH_RCR] = SH_ROWS(rcr),
	[SH_SHL] = SH_ROWS(shl), [SH_SHR] = SH_ROWS(shr), [SH_SAR] = SH_ROWS(sar),
};

/* ---- imul, two and three operands ---- */

#define DEF_IMUL(bits, sfx) \
	always_inline_ u##bits f_imul##bits(struct soft_cpu *c, u##bits a, u##bits b) \
	{ \
		u32 f; \
		__asm__("imul" sfx " %[b], %[a]" FLAGS_OUT : [a] "+r"(a), "=&a"(f) : [b] "r"(b) : "cc"); \
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

/* ---- conditions ---- */

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
