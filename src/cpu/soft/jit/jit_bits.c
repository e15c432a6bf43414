/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_bits.c - bit strings in memory, exchanges, and flags moved to and from AH. */
#include "cpu/soft/jit/jit_encode.h"
#include "cpu/soft/jit/jit_row.h"
#include "cpu/soft/decode/decode.h"

bool takes_cmpxchg(const struct jit *j, const struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[0], *r = &i->ops[1];

	(void)j;
	return o->type == ZYDIS_OPERAND_TYPE_MEMORY && o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM &&
	       r->type == ZYDIS_OPERAND_TYPE_REGISTER && !je_is_high(r->reg.value) && !homed(decode_gpr(r->reg.value));
}

bool sp_cmpxchg(struct jit *j, struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[0];
	unsigned h = jit_hreg[decode_gpr(i->ops[1].reg.value)];
	struct enc e = { .vvvv = H_NONE, .reg = h, .reg_is_reg = true, .kind = RM_AT_RCX, .rex8 = o->size == 8 };

	j_need_mem(j, i->live_in);
	jm_address(j, i, o);
	struct jstub *s = jm_check(j, i, o->size / 8, true, JA_RCX);
	if (!s)
		return false;
	e_mov(j, H_RAX, jit_hreg[GPR_RAX]);
	je_encode(j, i, &e, i->in.opcode);
	e_mov(j, jit_hreg[GPR_RAX], H_RAX);
	j_wrote_flags(j, i);
	jm_done(j, s, j->fl_reg);
	return true;
}

bool takes_xchg(const struct jit *j, const struct jinsn *i)
{
	(void)j;
	if (i->ops[0].type != ZYDIS_OPERAND_TYPE_REGISTER || i->ops[1].type != ZYDIS_OPERAND_TYPE_REGISTER)
		return false;
	ZydisRegister a = i->ops[0].reg.value, b = i->ops[1].reg.value;
	return je_is_gpr(a) && je_is_gpr(b) && !je_is_high(a) && !je_is_high(b) && i->ops[0].size >= 32;
}

bool sp_xchg(struct jit *j, struct jinsn *i)
{
	unsigned a = decode_gpr(i->ops[0].reg.value), b = decode_gpr(i->ops[1].reg.value);
	unsigned ha = j_reg(j, a, H_RCX);

	if (i->ops[0].size == 64)
		e_mov(j, H_RAX, ha);
	else
		e_mov32(j, H_RAX, ha);
	unsigned hb = j_reg(j, b, H_RCX);
	if (i->ops[0].size == 32) {
		e_mov32(j, H_RCX, hb);
		hb = H_RCX;
	}
	j_set_reg(j, a, hb);
	j_set_reg(j, b, H_RAX);
	return true;
}

/* The operand is at rcx: guest RSI lends its register for the address. */
static void compare_exchange(struct jit *j, struct jinsn *i, bool w)
{
	j_need_reg(j, j_flags_in(i));
	e_st(j, H_RSI, C_OFF(gpr[GPR_RSI]));
	e_mov(j, H_RSI, H_RCX);
	e_mov(j, H_RCX, jit_hreg[GPR_RCX]);
	e_mov(j, H_RAX, jit_hreg[GPR_RAX]);
	e8(j, X_LOCK);
	rex(j, w, 0, 0, 0);
	EB(j, X_0F, X0F_GROUP9, X_MODRM(0, XG_CMPXCHG16B, H_RSI)); /* lock cmpxchg8b, cmpxchg16b [rsi] */
	e_mov(j, jit_hreg[GPR_RAX], H_RAX);
	e_ld(j, H_RSI, C_OFF(gpr[GPR_RSI]));
	j_wrote_flags(j, i);
}

/* RDX:RAX against 16 bytes, RCX:RBX into them. */
bool sp_cmpxchg16b(struct jit *j, struct jinsn *i)
{
	struct jstub *s, *slow;

	j_need_mem(j, i->live_in);
	jm_address(j, i, &i->ops[0]);
	EB(j, X_TEST_AL_I8, 15); /* test al, 15 */
	j_spoil(j);
	slow = j_stub(j, JS_UOP);
	if (!slow)
		return false;
	slow->i = i;
	slow->from = e_jcc(j, CC_NZ);
	s = jm_check(j, i, 16, true, JA_RCX);
	if (!s)
		return false;
	compare_exchange(j, i, true);
	slow->next = j->n;
	slow->load_flags = j->fl_reg;
	jm_done(j, s, j->fl_reg);
	return true;
}

/* EDX:EAX against 8 bytes, ECX:EBX into them; in the same way, but that any address will do. */
bool sp_cmpxchg8b(struct jit *j, struct jinsn *i)
{
	struct jstub *s;

	j_need_mem(j, i->live_in);
	jm_address(j, i, &i->ops[0]);
	s = jm_check(j, i, 8, true, JA_RCX);
	if (!s)
		return false;
	compare_exchange(j, i, false);
	jm_done(j, s, j->fl_reg);
	return true;
}

/* ---- bit strings: a register index reaches beyond the operand ---- */
bool takes_bit_string(const struct jit *j, const struct jinsn *i)
{
	(void)j;
	return jm_operand(i) && i->ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER && i->in.address_width == 64 &&
	       i->ops[0].size >= 32;
}

static void string_address(struct jit *j, struct jinsn *i)
{
	bool w = i->ops[0].size == 64;
	unsigned x;

	jm_address(j, i, &i->ops[0]);
	x = j_reg(j, decode_gpr(i->ops[1].reg.value), H_RCX);
	if (w)
		e_mov(j, H_RCX, x);
	else
		op_rr(j, true, X_MOVSXD, H_RCX, x);                   /* movsxd */
	EB(j, X_REX_W, X_SHIFT_I8, X_REGS(XG_SAR, H_RCX), w ? 6 : 5); /* sar rcx, imm */
	EB(j, X_REX_W, X_LEA, X_MODRM(0, H_RAX, X_RM_SIB),
	   X_SIB(w ? 3 : 2, H_RCX, H_RAX)); /* lea rax, [rax + rcx * 8 or 4] */
}

bool sp_bit_string(struct jit *j, struct jinsn *i)
{
	bool w = i->ops[0].size == 64, test = i->in.mnemonic == ZYDIS_MNEMONIC_BT;
	unsigned g = decode_gpr(i->ops[1].reg.value);
	u16 in = j_flags_in(i);
	struct jstub *s;

	j_need_mem(j, i->live_in);
	string_address(j, i);
	j_spoil(j);
	s = jm_check(j, i, i->ops[0].size / 8, !test, test ? JA_RAX : JA_RCX);
	if (!s)
		return false;
	s->address = string_address;
	if (test) { /* the register form counts within the register */
		op_rm(j, w, X_MOV_R_M, H_RCX, H_RAX, 0);
		j_need_reg(j, in);
		unsigned x = j_reg(j, g, H_RAX);
		rex(j, w, x, 0, H_RCX);
		EB(j, X_0F, X0F_BT_M_R, X_REGS(x, H_RCX));
	} else {
		struct enc e = { .vvvv = H_NONE, .reg = H_RAX, .reg_is_reg = true, .kind = RM_AT_RCX };
		e_mov32(j, H_RAX, j_reg(j, g, H_RAX));
		e_alui(j, false, XG_AND, H_RAX, w ? 63 : 31);
		if (in && !j->fl_reg && j->fl_mem) {
			e_st(j, H_RAX, C_OFF(jit.tmp));
			j_need_reg(j, in);
			e_ld(j, H_RAX, C_OFF(jit.tmp));
		}
		je_encode(j, i, &e, i->in.opcode);
	}
	j_wrote_flags(j, i);
	jm_done(j, s, j->fl_reg);
	return true;
}

/* ---- flags ---- */
bool sp_lahf(struct jit *j, struct jinsn *i)
{
	j_need_mem(j, i->live_in);
	e_mov(j, H_RCX, jit_hreg[GPR_RAX]);
	EB(j, X8_MOV_R_M); /* mov ch, [fl + 1] */
	modrm_disp(j, H8_CH, H_RSP, C_OFF(fl) + 1);
	e_mov(j, jit_hreg[GPR_RAX], H_RCX);
	return true;
}

bool sp_sahf(struct jit *j, struct jinsn *i)
{
	j_need_reg(j, j_flags_in(i));
	e_mov(j, H_RAX, jit_hreg[GPR_RAX]);
	e8(j, X_SAHF);
	j_wrote_flags(j, i);
	return true;
}

bool sp_direction(struct jit *j, struct jinsn *i)
{
	bool on = i->in.mnemonic == ZYDIS_MNEMONIC_STD;

	j_need_mem(j, i->live_in);
	e8(j, X8_ALU_I8); /* or, and byte [sysflags + 1], imm8 */
	modrm_disp(j, on ? XG_OR : XG_AND, H_RSP, C_OFF(sysflags) + 1);
	e8(j, on ? FL_DF >> 8 : (u8) ~(FL_DF >> 8));
	j_spoil(j);
	return true;
}
