/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exec_acc.c - instructions on AL, AX or the flags alone: conversions, flag bits, XLAT, decimal adjustment. */
#include "cpu/soft/interp/exec_flags.h"

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
