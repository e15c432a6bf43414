/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_constant.c - see jit_constant.h. */
#include "cpu/soft/handler.h"
#include "cpu/soft/jit/jit_constant.h"

/* MOV r, imm; MOV r/m, imm; an ALU operation with imm: of 32 or 64 bits, with registers that the host has, too. */
static bool has_form(const struct jinsn *i, const struct regs *r)
{
	unsigned o = i->in.opcode;
	int g = r->opc >= 0 ? r->opc : r->acc >= 0 ? r->acc : r->rm;

	if (i->in.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || i->in.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT ||
	    r->mem || r->high || g < 0 || homed(g) || i->in.operand_width < 32)
		return false;
	return (o & 0xf8) == X_MOV_R_I || o == X_MOV_M_I || o == X_ALU_I || o == X_ALU_I8 || (o & ~0x38u) == 0x05;
}

bool jit_constant_find(struct jit *j)
{
	const struct block_patches *p = &j->b->patches;
	struct regs r;

	j->constant = NULL;
	if (p->n < BLOCK_PATCHES_MANY || j->vm->ncpus > 1 || j->c->jit.check || j->b->phys2 != UINT64_MAX)
		return true;
	for (unsigned k = 0; k < j->ninsns; k++) {
		struct jinsn *i = &j->insn[k];
		unsigned at = i->off + i->in.raw.imm[0].offset;

		if (i->in.raw.imm[0].size && at <= p->first && p->last < at + i->in.raw.imm[0].size / 8 &&
		    i->kind == JK_NATIVE && i->nuops == 1 && j_code64(j) && je_regs(i, &r) && has_form(i, &r))
			j->constant = i;
	}
	return j->constant;
}

bool jit_constant_emit(struct jit *j, struct jinsn *i, const struct regs *r)
{
	unsigned o = i->in.opcode, h = jit_hreg[r->opc >= 0 ? r->opc : r->acc >= 0 ? r->acc : r->rm];
	bool wide = i->in.operand_width == 64;

	j_need_reg(j, j_flags_in(i));
	e_movi(j, H_RAX, (u64)(uintptr_t)(j->page + j->page_off + i->off + i->in.raw.imm[0].offset));
	switch (i->in.raw.imm[0].size) {
	case 8:
		EB(j, X_REX_W, X_0F, X0F_MOVSX8, X_MODRM(0, H_RAX, H_RAX)); /* movsx rax, byte [rax] */
		break;
	case 32:
		EB(j, X_REX_W, X_MOVSXD, X_MODRM(0, H_RAX, H_RAX)); /* movsxd rax, dword [rax] */
		break;
	default:
		EB(j, X_REX_W, X_MOV_R_M, X_MODRM(0, H_RAX, H_RAX)); /* mov rax, [rax] */
	}
	if (o == X_MOV_M_I || (o & 0xf8) == X_MOV_R_I)
		op_rr(j, wide, X_MOV_R_M, h, H_RAX);
	else
		op_rr(j, wide, (r->acc >= 0 ? o & 0x38u : (unsigned)i->in.raw.modrm.reg << 3) | 3, h,
		      H_RAX); /* op h, rax */
	j_wrote_flags(j, i);
	return true;
}

/* The interpreter comes there: as the translation, it takes what the guest's memory has. */
static void op_constant(struct soft_cpu *c, const struct uop *op)
{
	const struct block *b = container_of(op - op->disp, struct block, op[0]);
	const struct block_patches *p = &b->patches;
	const u8 *at = c->vm->ram->host + b->phys + p->at;
	u64 v = p->bytes == 8 ? ld_le64(at) : p->bytes == 4 ? (u64)(s64)(s32)ld_le32(at) : (u64)(s64)(s8)*at;

	((struct uop *)(uintptr_t)op)->imm = p->wide ? v : (u64)(u32)v;
	TAIL(p->fn, c, op);
}

void jit_constant_keep(struct jit *j)
{
	struct block_patches *p = &j->b->patches;
	const struct jinsn *i = j->constant;
	struct uop *op = &j->b->op[i->uop];

	p->at = (u16)(i->off + i->in.raw.imm[0].offset);
	p->bytes = i->in.raw.imm[0].size / 8;
	p->wide = i->in.operand_width == 64;
	p->fn = op->fn;
	op->disp = i->uop; /* it has no operand in memory */
	op->fn = op_constant;
}
