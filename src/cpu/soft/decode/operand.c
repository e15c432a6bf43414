/* SPDX-License-Identifier: GPL-2.0-or-later */
/* operand.c - registers and memory operands, from Zydis' view to the uop's. */
#include "cpu/soft/decode/decode.h"
#include "cpu/soft/interp/exec.h"

u8 decode_gpr(ZydisRegister r)
{
	ZyanI8 id = ZydisRegisterGetId(r);

	switch (ZydisRegisterGetClass(r)) {
	case ZYDIS_REGCLASS_GPR8:
		return r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH ? (u8)(r - ZYDIS_REGISTER_AH)
		       : r >= ZYDIS_REGISTER_SPL                        ? (u8)(r - ZYDIS_REGISTER_SPL + 4)
									: (u8)(r - ZYDIS_REGISTER_AL);
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return (u8)id;
	default:
		return GPR_ZERO;
	}
}

u8 decode_reg8(ZydisRegister r)
{
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
		return (u8)((r - ZYDIS_REGISTER_AH) * 8 + 1);
	return (u8)(decode_gpr(r) * 8);
}

static u8 seg_of(ZydisRegister r)
{
	switch (r) {
	case ZYDIS_REGISTER_ES:
		return SEG_ES;
	case ZYDIS_REGISTER_CS:
		return SEG_CS;
	case ZYDIS_REGISTER_SS:
		return SEG_SS;
	case ZYDIS_REGISTER_FS:
		return SEG_FS;
	case ZYDIS_REGISTER_GS:
		return SEG_GS;
	default:
		return SEG_DS;
	}
}

void decode_mem(struct decode *d, struct uop *u, const ZydisDecodedOperand *o)
{
	s64 disp = o->mem.disp.has_displacement ? o->mem.disp.value : 0;
	unsigned aw = d->insn->address_width;

	must(o->type == ZYDIS_OPERAND_TYPE_MEMORY);
	u->seg = seg_of(o->mem.segment);
	u->ea = aw == 32 ? EA_A32 : aw == 16 ? EA_A16 : 0;
	if (!(d->mode & MODE_CODE64) || aw != 64)
		u->ea |= EA_SLOW;
	/* Zydis 4.0.0 takes SIB base 101 with mod 0 for R13D, where REX.B is set and addresses are 32-bit. */
	bool no_base = d->insn->raw.modrm.mod == 0 && d->insn->raw.modrm.rm == 4 && d->insn->raw.disp.size == 32 &&
		       o->mem.base == ZYDIS_REGISTER_R13D && !o->mem.disp.has_displacement;
	if (no_base)
		disp = d->insn->raw.disp.value;
	u->index = o->mem.index == ZYDIS_REGISTER_NONE ? GPR_ZERO : decode_gpr(o->mem.index);
	u->scale = o->mem.scale == 8 ? 3 : o->mem.scale == 4 ? 2 : o->mem.scale == 2 ? 1 : 0;
	if (o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP) {
		s64 rel = disp + (s64)d->rip_off + d->insn->length;
		u->base = GPR_BLK;
		if (rel == (s32)rel) {
			disp = rel;
		} else {
			u->ea |= EA_SLOW | EA_RIP;
		}
	} else {
		u->base = o->mem.base == ZYDIS_REGISTER_NONE || no_base ? GPR_ZERO : decode_gpr(o->mem.base);
	}
	u->disp = (s32)disp;
	if (disp != (s32)disp) {
		/* MOV AL/eAX, moffs, or an unsigned 32-bit displacement outside 64-bit code */
		u->ea |= EA_SLOW;
		if (u->base == GPR_ZERO && u->index == GPR_ZERO && aw == 64) {
			u->ea |= EA_MOFFS;
			u->imm = (u64)disp;
		}
	}
}

void decode_ud(struct decode *d)
{
	d->u->fn = op_ud;
	d->nu = 1;
	d->end = true;
}
