/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exec_alu.c - ADD OR ADC SBB AND SUB XOR CMP TEST, INC DEC NEG NOT: a handler for each operation, size and operand
 * form. The host's own instruction computes the result and the flags, undefined flags included.
 */
#include "cpu/soft/interp/exec_flags.h"

/* ---- two operands: add or adc sbb and sub xor cmp test ---- */
#define NO_CARRY ""

#define DEF_ALU_FN(name, insn, PRE, bits, sfx) \
	always_inline_ u##bits f_##name##bits(struct soft_cpu *c, u##bits a, u##bits b) \
	{ \
		u32 f; \
		__asm__(PRE insn sfx " %[b], %[a]" FLAGS_OUT \
			: [a] "+q"(a), "=&a"(f) \
			: [b] "q"(b), [fl] "r"(c->fl) \
			: "cc"); \
		set_fl(c, f); \
		return a; \
	} \
	always_inline_ void m_##name##bits(struct soft_cpu *c, guest_u##bits *p, u##bits b) \
	{ \
		u32 f; \
		__asm__ volatile(PRE insn sfx " %[b], %[a]" FLAGS_OUT \
				 : [a] "+m"(*p), "=&a"(f) \
				 : [b] "q"(b), [fl] "r"(c->fl) \
				 : "cc"); \
		set_fl(c, f); \
	} \
	always_inline_ void l_##name##bits(struct soft_cpu *c, guest_u##bits *p, u##bits b) \
	{ \
		u32 f; \
		__asm__ volatile(PRE "lock " insn sfx " %[b], %[a]" FLAGS_OUT \
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

/* ---- one operand ---- */

#define DEF_UNARY(name, insn, PRE, bits, sfx) \
	always_inline_ u##bits f_##name##bits(struct soft_cpu *c, u##bits a) \
	{ \
		u32 f; \
		__asm__(PRE insn sfx " %[a]" FLAGS_OUT : [a] "+q"(a), "=&a"(f) : [fl] "r"(c->fl) : "cc"); \
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
				__asm__ volatile(PRE "lock " insn sfx " %[a]" FLAGS_OUT \
						 : [a] "+m"(*p), "=&a"(f) \
						 : [fl] "r"(c->fl) \
						 : "cc", "memory"); \
			else \
				__asm__ volatile(PRE insn sfx " %[a]" FLAGS_OUT \
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
/* INC and DEC keep CF, NOT keeps all flags: so these are loaded into the host's flags first. */
FOR_SIZES(DEF_UNARY, inc, "inc", CARRY_IN)
FOR_SIZES(DEF_UNARY, dec, "dec", CARRY_IN)
FOR_SIZES(DEF_UNARY, neg, "neg", NO_CARRY)
FOR_SIZES(DEF_UNARY, not, "not", FLAGS_IN)
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
