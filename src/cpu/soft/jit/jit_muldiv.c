/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_muldiv.c - MUL and IMUL by one operand, DIV, IDIV, MULX: implied RAX and RDX. */
#include "cpu/soft/jit/jit_encode.h"
#include "cpu/soft/jit/jit_row.h"
#include "cpu/soft/decode/decode.h"

/* MUL, IMUL r/m: rdx is the guest's, rax not. */
bool takes_mul(const struct jit *j, const struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[0];

	(void)j;
	if (i->in.operand_count_visible != 1 || i->in.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return false;
	return o->type == ZYDIS_OPERAND_TYPE_MEMORY || !je_is_high(o->reg.value);
}

bool sp_mul(struct jit *j, struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[0];
	struct enc e = { .vvvv = H_NONE, .reg = i->in.raw.modrm.reg, .rex8 = i->ops[0].size == 8 };
	struct jstub *s = NULL;
	bool mem = o->type == ZYDIS_OPERAND_TYPE_MEMORY;

	if (mem) {
		j_need_mem(j, i->live_in);
		jm_address(j, i, o);
		s = jm_check(j, i, o->size / 8, false, JA_RCX);
		e.kind = RM_AT_RCX;
	}
	j_need_reg(j, j_flags_in(i));
	if (!mem) {
		e.kind = RM_REG;
		e.rm = j_reg(j, decode_gpr(o->reg.value), H_RCX);
	}
	e_mov(j, H_RAX, jit_hreg[GPR_RAX]);
	je_encode(j, i, &e, i->in.opcode);
	e_mov(j, jit_hreg[GPR_RAX], H_RAX);
	j_wrote_flags(j, i);
	if (mem)
		jm_done(j, s, j->fl_reg);
	return !mem || s;
}

/*
 * DIV, IDIV: what could fault goes to the handler. A quotient fits when the upper half is below the divisor
 * (DIV; of a divisor of zero, nothing is), or when the dividend is no wider than the quotient and the divisor
 * neither 0 nor -1 (IDIV). Flags are left alone, as the handler does.
 */
bool takes_div(const struct jit *j, const struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[0];

	(void)j;
	if (o->size < 32 && i->in.mnemonic == ZYDIS_MNEMONIC_IDIV)
		return false;
	return o->type == ZYDIS_OPERAND_TYPE_MEMORY || !je_is_high(o->reg.value);
}

bool sp_div(struct jit *j, struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[0];
	bool mem = o->type == ZYDIS_OPERAND_TYPE_MEMORY, sign = i->in.mnemonic == ZYDIS_MNEMONIC_IDIV,
	     w = o->size == 64;
	struct enc e = { .vvvv = H_NONE, .reg = i->in.raw.modrm.reg, .kind = RM_REG, .rex8 = o->size == 8 };
	unsigned a = jit_hreg[GPR_RAX];
	struct jstub *s = NULL, *slow;

	j_need_mem(j, i->live_in);
	if (mem) {
		jm_address(j, i, o);
		s = jm_check(j, i, o->size / 8, false, JA_RAX);
		if (!s)
			return false;
		e.rm = H_RCX;
		if (o->size < 32)
			EB(j, X_0F, o->size == 8 ? X0F_MOVZX8 : X0F_MOVZX16,
			   X_MODRM(0, H_RCX, H_RAX)); /* movzx ecx, [rax] */
		else
			op_rm(j, w, X_MOV_R_M, H_RCX, H_RAX, 0);
	} else {
		e.rm = j_reg(j, decode_gpr(o->reg.value), H_RCX);
	}
	j_spoil(j);
	slow = j_stub(j, JS_UOP);
	if (!slow)
		return false;
	slow->i = i;
	if (sign) {
		if (w)
			e_mov(j, H_RAX, a);
		else
			e_mov32(j, H_RAX, a);
		rex(j, w, 0, 0, H_RAX);
		EB(j, X_SHIFT_I8, X_REGS(XG_SAR, H_RAX), w ? 63 : 31); /* sar */
		op_rr(j, w, X_CMP_R_M, H_RAX, H_RDX);
		slow->from = e_jcc(j, CC_NZ);
		op_rm(j, w, X_LEA, H_RAX, e.rm, 1);
		e_alui(j, w, XG_CMP, H_RAX, 1);
		slow->more[0] = e_jcc(j, CC_BE);
		e_mov(j, H_RAX, a);
	} else if (o->size == 8) {
		e_mov(j, H_RAX, a);
		if (e.rm != H_RCX)
			e_mov32(j, H_RCX, e.rm);
		e.rm = H_RCX;
		EB(j, X8_CMP_M_R, X_REGS(H_RCX, H8_AH)); /* cmp ah, cl */
		slow->from = e_jcc(j, CC_AE);
	} else {
		if (o->size == 16)
			e8(j, X_OSIZE);
		op_rr(j, w, X_CMP_R_M, H_RDX, e.rm);
		slow->from = e_jcc(j, CC_AE);
		e_mov(j, H_RAX, a);
	}
	je_encode(j, i, &e, i->in.opcode);
	e_mov(j, a, H_RAX);
	slow->next = j->n;
	if (s)
		jm_done(j, s, false);
	return true;
}

/* MULX by a register or memory: RDX is the host's too. */
bool sp_mulx(struct jit *j, struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[2];
	unsigned hi = decode_gpr(i->ops[0].reg.value), lo = decode_gpr(i->ops[1].reg.value);
	struct enc e = { .vvvv = jit_hreg[lo] == H_NONE ? H_RAX : jit_hreg[lo], .reg_is_reg = true, .kind = RM_REG };
	bool mem = o->type == ZYDIS_OPERAND_TYPE_MEMORY;
	struct jstub *s = NULL;

	e.reg = jit_hreg[hi] == H_NONE ? H_RCX : jit_hreg[hi];
	if (mem) {
		j_need_mem(j, i->live_in);
		jm_address(j, i, o);
		s = jm_check(j, i, o->size / 8, false, JA_RAX);
		if (!s)
			return false;
		e.kind = RM_AT_RAX;
	} else {
		e.rm = j_reg(j, decode_gpr(o->reg.value), H_RCX);
	}
	je_encode(j, i, &e, i->in.opcode);
	/* The upper half wins when both go to one register. */
	if (jit_hreg[lo] == H_NONE)
		j_set_reg(j, lo, H_RAX);
	if (jit_hreg[hi] == H_NONE)
		j_set_reg(j, hi, H_RCX);
	if (s)
		jm_done(j, s, false);
	return true;
}
