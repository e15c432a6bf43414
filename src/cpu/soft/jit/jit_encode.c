/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_encode.c - integer instructions encoded again: their bytes, with other registers in them. */
#include "cpu/soft/jit/jit_encode.h"
#include "cpu/soft/jit/jit_row.h"
#include "cpu/soft/decode/decode.h"

/* Guest R10, R11 and R15 are used least: the last ones compilers take. rax and rcx are scratch. */
const u8 jit_hreg[16] = { H_R10, H_R11, H_RDX,  H_RBX,  H_R15, H_RBP, H_RSI, H_RDI,
			  H_R8,  H_R9,  H_NONE, H_NONE, H_R12, H_R13, H_R14, H_NONE };

unsigned j_reg(struct jit *j, unsigned g, unsigned scratch)
{
	if (jit_hreg[g] != H_NONE)
		return jit_hreg[g];
	e_ld(j, scratch, C_OFF(gpr[0]) + 8 * (s32)g);
	return scratch;
}

void j_set_reg(struct jit *j, unsigned g, unsigned h)
{
	if (jit_hreg[g] != H_NONE)
		e_mov(j, jit_hreg[g], h);
	else
		e_st(j, h, C_OFF(gpr[0]) + 8 * (s32)g);
}

/* ---- encoding again ---- */

static void modrm_of(struct jit *j, const struct enc *e)
{
	switch (e->kind) {
	case RM_REG:
		e8(j, X_REGS(e->reg, e->rm));
		break;
	case RM_GROUP:
		e8(j, X_MODRM(2, e->reg, X_RM_SIB));
		e8(j, X_SIB(0, e->index, e->rm));
		e32(j, (u32)e->disp);
		break;
	case RM_AT_RAX:
		e8(j, X_MODRM(0, e->reg, H_RAX));
		break;
	case RM_AT_RCX:
		e8(j, X_MODRM(0, e->reg, H_RCX));
		break;
	case RM_HOME:
		modrm_disp(j, e->reg, H_RSP, C_OFF(gpr[0]) + 8 * (s32)e->rm);
		break;
	case RM_AT_RAX_RCX:
		e8(j, X_MODRM(0, e->reg, X_RM_SIB));
		e8(j, X_SIB(0, H_RCX, H_RAX));
		break;
	default:
		break;
	}
}

void je_imm(struct jit *j, const struct jinsn *i)
{
	for (unsigned k = 0; k < 2; k++)
		if (i->in.raw.imm[k].size)
			eb(j, i->bytes + i->in.raw.imm[k].offset, i->in.raw.imm[k].size / 8);
}

/* In 16-bit code a prefix says that the operand has 32 bits; on the host one says that it has 16. */
static bool is_16bit(const struct jinsn *i)
{
	return i->ops[i->in.mnemonic == ZYDIS_MNEMONIC_CRC32].size == 16;
}

void je_prefixes(struct jit *j, const struct jinsn *i)
{
	if (j_code16(j) && is_16bit(i))
		e8(j, X_OSIZE);
	for (unsigned k = 0; k < i->in.raw.prefix_count; k++) {
		u8 p = i->in.raw.prefixes[k].value;
		if (p == X_OSIZE && j_code16(j) && i->in.raw.prefixes[k].type != ZYDIS_PREFIX_TYPE_MANDATORY)
			continue;
		/* What this processor model ignores (F3 on BSF without BMI1) the host might not. */
		if ((p == X_OSIZE || p == X_REPNE || p == X_REP || p == X_LOCK) &&
		    i->in.raw.prefixes[k].type != ZYDIS_PREFIX_TYPE_IGNORED)
			e8(j, p);
	}
}

void je_map(struct jit *j, const struct jinsn *i)
{
	static const struct {
		u8 n, b[2];
	} map[ZYDIS_OPCODE_MAP_MAX_VALUE + 1] = {
		[ZYDIS_OPCODE_MAP_0F] = { 1, { X_0F } },
		[ZYDIS_OPCODE_MAP_0F38] = { 2, { X_0F, X_0F38 } },
		[ZYDIS_OPCODE_MAP_0F3A] = { 2, { X_0F, X_0F3A } },
	};

	eb(j, map[i->in.opcode_map].b, map[i->in.opcode_map].n);
}

void je_encode(struct jit *j, const struct jinsn *i, const struct enc *e, unsigned opcode)
{
	unsigned b = e->kind == RM_REG || e->kind == RM_GROUP ? e->rm >> 3 : 0, r = e->reg_is_reg ? e->reg >> 3 : 0;

	if (i->in.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) {
		const u8 *v = i->bytes + i->in.raw.vex.offset;
		bool three = v[0] == X_VEX3;
		u8 p1 = three ? v[1] & X_VEX_MAP : 1, p2 = three ? v[2] : v[1] & (u8)~X_VEX_W;
		if (e->vvvv != H_NONE)
			p2 = (u8)((p2 & X_VEX_W_L_PP) | X_VEX_V(e->vvvv));
		EB(j, X_VEX3, X_VEX_RB(p1, r, b), p2);
	} else {
		je_prefixes(j, i);
		bool w = (i->in.attributes & ZYDIS_ATTRIB_HAS_REX) && i->in.raw.rex.W;
		if (w || r || b || e->rex8)
			e8(j, X_REX | w << 3 | r << 2 | b);
		je_map(j, i);
	}
	if (opcode == X8_ALU_I8_32 && i->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT)
		opcode = X8_ALU_I8;
	e8(j, opcode);
	modrm_of(j, e);
	je_imm(j, i);
}

bool je_is_gpr(ZydisRegister r)
{
	ZydisRegisterClass k = ZydisRegisterGetClass(r);

	return k == ZYDIS_REGCLASS_GPR8 || k == ZYDIS_REGCLASS_GPR16 || k == ZYDIS_REGCLASS_GPR32 ||
	       k == ZYDIS_REGCLASS_GPR64;
}

bool je_is_high(ZydisRegister r)
{
	return r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH;
}

bool je_is_moffs(const struct jinsn *i)
{
	return i->in.mnemonic == ZYDIS_MNEMONIC_MOV && i->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
	       (i->in.opcode & 0xfc) == 0xa0 && i->in.address_width != 64;
}

bool je_regs(const struct jinsn *i, struct regs *r)
{
	*r = (struct regs){ -1, -1, -1, -1, -1 };
	for (unsigned k = 0; k < i->in.operand_count; k++) {
		const ZydisDecodedOperand *o = &i->ops[k];
		bool rd = o->actions & ZYDIS_OPERAND_ACTION_MASK_READ,
		     wr = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
		int *slot, n;

		if (k >= i->in.operand_count_visible) {
			if (o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
			    ZydisRegisterGetClass(o->reg.value) == ZYDIS_REGCLASS_FLAGS)
				continue;
			return false;
		}
		switch (o->type) {
		case ZYDIS_OPERAND_TYPE_IMMEDIATE:
			r->imm = true;
			continue;
		case ZYDIS_OPERAND_TYPE_MEMORY:
			if (r->mem || (o->mem.type != ZYDIS_MEMOP_TYPE_MEM && o->mem.type != ZYDIS_MEMOP_TYPE_AGEN) ||
			    (o->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM && !je_is_moffs(i)))
				return false;
			r->mem = o;
			r->mem_rd = rd;
			r->mem_wr = wr;
			continue;
		case ZYDIS_OPERAND_TYPE_REGISTER:
			break;
		default:
			return false;
		}
		if (!je_is_gpr(o->reg.value))
			return false;
		switch (o->encoding) {
		case ZYDIS_OPERAND_ENCODING_MODRM_REG:
			slot = &r->reg;
			n = 0;
			break;
		case ZYDIS_OPERAND_ENCODING_MODRM_RM:
			slot = &r->rm;
			n = 1;
			break;
		case ZYDIS_OPERAND_ENCODING_NDSNDD:
			slot = &r->v;
			n = 2;
			break;
		case ZYDIS_OPERAND_ENCODING_OPCODE:
			slot = &r->opc;
			n = 3;
			break;
		case ZYDIS_OPERAND_ENCODING_NONE:
			slot = &r->acc;
			n = 4;
			break;
		default:
			return false;
		}
		if (*slot >= 0)
			return false;
		*slot = decode_gpr(o->reg.value);
		r->size[n] = o->size;
		/* Part of a register is written: the rest stays. So does a conditional move's. */
		r->rd[n] = rd || o->size < 32 || (o->actions & ZYDIS_OPERAND_ACTION_CONDWRITE);
		r->wr[n] = wr;
		r->bytes8 |= o->size == 8;
		r->high |= (unsigned)je_is_high(o->reg.value) << n;
	}
	return true;
}

bool je_native_ok(const struct jit *j, const struct jinsn *i)
{
	struct regs r;

	(void)j;
	if (i->in.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && i->in.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
		return false;
	if (!je_regs(i, &r))
		return false;
	if (r.mem && r.reg >= 0 && (i->row->flags & JR_BIT_STRING))
		return false;
	if (r.high)
		return i->in.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && r.acc < 0 && r.v < 0;
	if (homed(r.reg) && (i->row->flags & JR_KEEPS_REG))
		return false;
	if (je_is_moffs(i))
		return true;
	if (r.acc >= 0 && !(r.acc == GPR_RAX && r.imm && r.reg < 0 && r.rm < 0 && !r.mem &&
			    i->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
			    ((i->in.opcode & ~0x39u) == X_ADD_AL_I8 || (i->in.opcode & ~1u) == X_TEST_AL_I8)))
		return false;
	unsigned n = (unsigned)homed(r.reg) + homed(r.v);
	if (r.mem && n > 1)
		return false;
	if (!r.mem && n + homed(r.rm) > 2)
		return false;
	if (homed(r.rm) && (r.rm == r.reg || r.rm == r.v) && r.wr[1] && (r.wr[0] || r.wr[2]))
		return false;
	return true;
}
