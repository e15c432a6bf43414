/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vec_describe.c - what a vector instruction does with its operands, from what Zydis says of them: enough for a stub,
 * which is the same instruction with other registers, and for the translator.
 */
#include "cpu/soft/decode/decode_vec.h"
#include "cpu/soft/decode/row.h"

u8 vec_reg(ZydisRegister r)
{
	s8 id = ZydisRegisterGetId(r);

	must(id >= 0 && id < 16);
	return (u8)id;
}

/* Does VEX.W select 64-bit general registers (or memory of that size)? Only in 64-bit code, for these opcodes. */
static bool vex_w_is_gpr_size(const ZydisDecodedInstruction *insn)
{
	switch (insn->opcode_map) {
	case ZYDIS_OPCODE_MAP_0F:
		return insn->opcode == 0x6e || insn->opcode == 0x7e || insn->opcode == 0x2a || insn->opcode == 0x2c ||
		       insn->opcode == 0x2d;
	case ZYDIS_OPCODE_MAP_0F3A:
		return insn->opcode == 0x16 || insn->opcode == 0x22 || insn->opcode == 0x60 || insn->opcode == 0x61;
	default:
		return false;
	}
}

bool vec_describe(struct vec_desc *out, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops,
		  const u8 *bytes, bool code64)
{
	struct vec_desc d = { 0 };
	bool vex = insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX, has_xmm = false, has_mmx = false;
	bool has_imm = false;
	bool memform = (insn->attributes & ZYDIS_ATTRIB_HAS_MODRM) && insn->raw.modrm.mod != 3;
	u8 reg = insn->raw.modrm.reg & 7, rm = insn->raw.modrm.rm & 7, vvvv = 15, imm = 0;

	if (vex)
		d.kind |= VK_VEX | (insn->raw.vex.L ? VK_YMM : 0);
	for (unsigned i = 0; i < insn->operand_count; i++) {
		const ZydisDecodedOperand *o = &ops[i];
		bool rd = o->actions & (ZYDIS_OPERAND_ACTION_MASK_READ),
		     wr = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
		ZydisRegisterClass rc;
		u8 place = 0;

		if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			continue;
		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
			if (o->mem.type != ZYDIS_MEMOP_TYPE_MEM || o->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM ||
			    !o->size || o->size > 256)
				return false;
			if (d.mem || (rd && wr))
				return false;
			d.mem = wr ? VM_STORE : VM_LOAD;
			d.mem_bytes = (u8)(o->size / 8);
			continue;
		}
		if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
			return false;
		rc = ZydisRegisterGetClass(o->reg.value);
		switch (o->encoding) {
		case ZYDIS_OPERAND_ENCODING_MODRM_REG:
			place = VO_REG;
			break;
		case ZYDIS_OPERAND_ENCODING_MODRM_RM:
			place = VO_RM;
			break;
		case ZYDIS_OPERAND_ENCODING_NDSNDD:
			place = VO_VVVV;
			break;
		case ZYDIS_OPERAND_ENCODING_IS4:
			place = VO_IS4;
			imm = 4 << 4;
			break;
		default:
			break;
		}
		switch (rc) {
		case ZYDIS_REGCLASS_XMM:
		case ZYDIS_REGCLASS_YMM:
			has_xmm = true;
			if (!place) {
				if (o->reg.value != ZYDIS_REGISTER_XMM0 && o->reg.value != ZYDIS_REGISTER_YMM0)
					return false;
				place = VO_XMM0;
			}
			if (place == VO_REG)
				reg = 1;
			else if (place == VO_RM)
				rm = 2;
			else if (place == VO_VVVV)
				vvvv = (u8)~3 & 15;
			/* Legacy destinations may be written in part. */
			if (rd || !vex)
				d.ld |= place;
			if (wr)
				d.st |= place;
			break;
		case ZYDIS_REGCLASS_GPR8: /* none: PEXTRB names a 32-bit register */
			return false;
		case ZYDIS_REGCLASS_GPR16:
		case ZYDIS_REGCLASS_GPR32:
		case ZYDIS_REGCLASS_GPR64:
			if (place == VO_REG) {
				reg = 0;
				d.kind |= VK_GPR_REG;
			} else if (place == VO_RM) {
				rm = 0;
				d.kind |= VK_GPR_RM;
			} else {
				u8 id = vec_reg(o->reg.value);

				if (place)
					return false;
				if (id == GPR_RCX && wr)
					d.kind |= VK_ECX;
				else if ((id == GPR_RAX || id == GPR_RDX) && !wr)
					d.kind |= VK_ESTR;
				else
					return false;
				break;
			}
			if (rd)
				d.ld |= place;
			if (wr)
				d.st |= place;
			break;
		case ZYDIS_REGCLASS_MMX: /* live in the host, under their own numbers */
			has_mmx = true;
			break;
		case ZYDIS_REGCLASS_FLAGS:
		case ZYDIS_REGCLASS_IP:
			break;
		case ZYDIS_REGCLASS_CONTROL: /* MXCSR */
			break;
		default:
			if (o->reg.value != ZYDIS_REGISTER_MXCSR)
				return false;
		}
	}
	/* CVT(T)SD2SI and its kin have no vector register operand when they load from memory. */
	if (insn->opcode_map == ZYDIS_OPCODE_MAP_0F && (insn->opcode == 0x2c || insn->opcode == 0x2d) &&
	    (d.kind & VK_GPR_REG))
		has_xmm = true;
	/* Fences and prefetches share feature bits with vector instructions, but are not among them. */
	if (!has_xmm && !has_mmx && insn->mnemonic != ZYDIS_MNEMONIC_EMMS)
		return false;
	if (insn->cpu_flags && (insn->cpu_flags->modified | insn->cpu_flags->set_0 | insn->cpu_flags->set_1))
		d.kind |= VK_FLAGS_W;

	for (unsigned i = 0; i < 2; i++)
		if (insn->raw.imm[i].size) {
			has_imm = true;
			if (imm)
				continue; /* is4 */
			imm = bytes[insn->raw.imm[i].offset];
		}
	if (memform) {
		if (!d.mem)
			return false;
		rm = 7; /* [rdi] */
	}
	if (vex) {
		bool w = insn->raw.vex.W && (code64 || !vex_w_is_gpr_size(insn));

		if (insn->raw.vex.m_mmmm < 1 || insn->raw.vex.m_mmmm > 3)
			return false;
		d.enc[d.len++] = 0xc4;
		d.enc[d.len++] = 0xe0 | insn->raw.vex.m_mmmm;
		d.enc[d.len++] = (u8)(w << 7 | vvvv << 3 | (insn->raw.vex.L & 1) << 2 | (insn->raw.vex.pp & 3));
		d.enc[d.len++] = insn->opcode;
		d.cls = VEC_OK_AVX;
	} else {
		for (unsigned i = 0; i < insn->raw.prefix_count; i++)
			if (insn->raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY) {
				if (d.len)
					return false;
				d.enc[d.len++] = insn->raw.prefixes[i].value;
			}
		if (code64 && insn->raw.rex.W)
			d.enc[d.len++] = 0x48;
		d.enc[d.len++] = 0x0f;
		if (insn->opcode_map == ZYDIS_OPCODE_MAP_0F38)
			d.enc[d.len++] = 0x38;
		else if (insn->opcode_map == ZYDIS_OPCODE_MAP_0F3A)
			d.enc[d.len++] = 0x3a;
		else if (insn->opcode_map != ZYDIS_OPCODE_MAP_0F)
			return false;
		d.enc[d.len++] = insn->opcode;
		d.cls = has_xmm ? VEC_OK_SSE : VEC_OK_X87 | VC_MMX;
		if (has_mmx)
			d.cls |= VC_WAITS;
	}
	if (insn->attributes & ZYDIS_ATTRIB_HAS_MODRM)
		d.enc[d.len++] = (u8)((memform ? 0 : 0xc0) | reg << 3 | rm);
	if (has_imm)
		d.enc[d.len++] = imm;

	if (d.mem) {
		const struct decode_row *r = decode_row_of(&decode_vec_rows, insn->mnemonic);
		unsigned flags = r ? r->flags : 0;

		if (vex ? flags & ROW_ALIGNED : d.mem_bytes == 16 && !(flags & ROW_UNALIGNED))
			d.align = d.mem_bytes - 1;
	}
	*out = d;
	return true;
}
