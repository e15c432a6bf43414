/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exec_bmi.c - BMI1, BMI2 (but MULX) and ADX. */
#include "cpu/soft/interp/exec_flags.h"

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
