/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode_vec.c - vector and x87 instructions: is it offered, has it a handler in C (vec_rows.c), or does it run in a
 * stub?
 *
 * #AC is not raised for vector operands.
 */
#include "cpu/soft/decode/decode_vec.h"
#include "cpu/soft/decode/form.h"

static bool emit(struct decode *d, const struct vec_desc *desc)
{
	d->nu = vec_uop(d->c->vm->stubs, desc, d->u);
	return true;
}

/* x87 that computes, loads, stores, compares. flags: ROW_* of its row. */
static bool describe_x87(struct decode *d, unsigned flags)
{
	const ZydisDecodedInstruction *insn = d->insn;
	struct vec_desc desc = { .cls = VEC_OK_X87 | VC_X87_PTR | VC_WAITS };
	u8 modrm = d->bytes[insn->raw.modrm.offset];
	struct uop *u = &d->u[0];

	desc.enc[0] = insn->opcode;
	desc.enc[1] = modrm;
	desc.len = 2;
	if (insn->raw.modrm.mod != 3) {
		const ZydisDecodedOperand *mem = find_mem(d);

		if (!mem || mem->size < 16 || mem->size > 80)
			return false;
		desc.mem_bytes = (u8)(mem->size / 8);
		desc.mem = (mem->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) ? VM_STORE : VM_LOAD;
		if (desc.mem == VM_STORE)
			desc.cls |= VC_X87_STORE;
		decode_mem(d, u, mem);
		desc.enc[1] = (u8)((modrm & 0x38) | 7); /* [rdi] */
	}
	if (flags & ROW_FLAGS_R)
		desc.kind |= VK_FLAGS_R;
	if (flags & ROW_FLAGS_W)
		desc.kind |= VK_FLAGS_W;
	if (flags & ROW_X87_CONTROL) {
		desc.cls = VEC_OK_X87 | (flags & ROW_X87_NO_WAIT ? 0 : VC_WAITS);
	} else { /* FOP's bits. A control instruction must leave both 0: the handler takes them for vector registers. */
		u->r0 = modrm;
		u->r1 = insn->opcode & 7;
	}
	return emit(d, &desc);
}

/* Guest register numbers, by where the encoding has them: see VO_* in vec.h. */
static void take_operands(struct decode *d)
{
	struct uop *u = &d->u[0];

	for (unsigned i = 0; i < d->insn->operand_count; i++) {
		const ZydisDecodedOperand *o = &d->ops[i];
		ZydisRegisterClass rc;

		if (is_mem(o))
			decode_mem(d, u, o);
		if (!is_reg(o))
			continue;
		rc = ZydisRegisterGetClass(o->reg.value);
		if (rc == ZYDIS_REGCLASS_MMX || rc == ZYDIS_REGCLASS_FLAGS || rc == ZYDIS_REGCLASS_INVALID)
			continue;
		switch (o->encoding) {
		case ZYDIS_OPERAND_ENCODING_MODRM_REG:
			u->r0 = vec_reg(o->reg.value);
			break;
		case ZYDIS_OPERAND_ENCODING_MODRM_RM:
			u->r1 = vec_reg(o->reg.value);
			break;
		case ZYDIS_OPERAND_ENCODING_NDSNDD:
			u->aux |= vec_reg(o->reg.value);
			break;
		case ZYDIS_OPERAND_ENCODING_IS4:
			u->aux |= (u8)(vec_reg(o->reg.value) << 4);
			break;
		default:
			break;
		}
	}
}

bool decode_vec(struct decode *d)
{
	const ZydisDecodedInstruction *insn = d->insn;
	const struct decode_row *r = decode_row_of(&decode_vec_rows, insn->mnemonic);
	u32 need = insn->mnemonic == ZYDIS_MNEMONIC_FWAIT ? VF_FPU : vec_features(insn);
	struct vec_desc desc;

	if (!need)
		return false;
	if (need == VEC_NEVER || (need & ~d->c->vm->stubs->feat)) {
		decode_ud(d);
		return true;
	}
	if (r && r->form && r->form(d, r))
		return true;
	if (is_x87(insn))
		return describe_x87(d, r ? r->flags : 0);
	if (insn->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && insn->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return false;
	if (!vec_describe(&desc, insn, d->ops, d->bytes, code64(d)))
		return false;
	take_operands(d);
	return emit(d, &desc);
}

void decode_vec_init(void)
{
	decode_table_index(&decode_vec_rows);
}
