/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exec_shift.c - shifts and rotates by an immediate or CL. */
#include "cpu/soft/interp/exec_flags.h"

/*
 * A count of zero (after masking to 5 or 6 bits) changes no flag. Rotates keep SF ZF AF PF and read CF, so the guest's
 * flags are loaded into the host's first. Shifts overwrite them anyway. ADD $127 makes OF from AL.
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
