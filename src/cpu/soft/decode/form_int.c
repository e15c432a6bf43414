/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * form_int.c - operand forms of integer instructions. The handlers in interp/ say what they expect in the uop's
 * fields.
 */
#include "cpu/soft/decode/form.h"
#include "cpu/soft/interp/exec.h"

#define PREFIX_REPNE 0xf2

static bool locked(const struct decode *d)
{
	return d->insn->attributes & ZYDIS_ATTRIB_HAS_LOCK;
}

/* Put the r/m operand o into u: memory, or register r1. */
static void rm(struct decode *d, const ZydisDecodedOperand *o)
{
	if (is_mem(o)) {
		d->u->aux |= AUX_MEM;
		decode_mem(d, d->u, o);
	} else {
		d->u->r1 = reg_of(o);
	}
}

/* ---- a handler for each operation, size and operands ---- */

bool form_alu(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];
	unsigned s = size_index(a);
	struct uop *u = d->u;
	enum form f;

	if (is_mem(a)) {
		decode_mem(d, u, a);
		if (is_imm(b)) {
			u->imm = (u64)b->imm.value.s;
			f = locked(d) ? F_LMI : F_MI;
		} else {
			u->r0 = reg_of(b);
			f = locked(d) ? F_LMR : F_MR;
		}
	} else {
		u->r0 = reg_of(a);
		if (is_imm(b)) {
			u->imm = (u64)b->imm.value.s;
			f = F_RI;
		} else if (is_mem(b)) {
			decode_mem(d, u, b);
			f = F_RM;
		} else {
			u->r1 = reg_of(b);
			f = F_RR;
		}
	}
	return take(d, exec_alu[r->arg][s][f]);
}

bool form_mov(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];
	unsigned s = size_index(a);
	struct uop *u = d->u;

	(void)r;
	if ((is_reg(a) && !is_gpr(a)) || (is_reg(b) && !is_gpr(b)))
		return form_mov_special(d);
	if (is_mem(a)) {
		if (is_imm(b)) {
			u->imm = (u64)b->imm.value.s;
			decode_mem(d, u, a);
			return take(d, exec_mov[s][F_MI]);
		}
		u->r0 = reg_of(b);
		decode_mem(d, u, a);
		return take(d, exec_mov[s][F_MR]);
	}
	u->r0 = reg_of(a);
	if (is_imm(b)) {
		u->imm = b->imm.value.u;
		if (b->imm.is_signed)
			u->imm = (u64)b->imm.value.s;
		return take(d, exec_mov[s][F_RI]);
	}
	if (is_mem(b)) {
		decode_mem(d, u, b);
		return take(d, exec_mov[s][F_RM]);
	}
	u->r1 = reg_of(b);
	return take(d, exec_mov[s][F_RR]);
}

bool form_movx(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];
	struct uop *u = d->u;
	unsigned di = size_index(a) - 1, m = is_mem(b);

	u->r0 = reg_of(a);
	if (m)
		decode_mem(d, u, b);
	else
		u->r1 = reg_of(b);
	if (b->size == 32) { /* MOVSXD */
		if (di == 0)
			return take(d, exec_mov[1][m ? F_RM : F_RR]);
		return take(d, exec_movsxd[di - 1][m]);
	}
	if (b->size == 16 && di == 0) /* 66 MOVSXD r16, r/m16; MOVZX r16, r/m16 */
		return take(d, exec_mov[1][m ? F_RM : F_RR]);
	return take(d, exec_movx[r->arg][b->size == 16][di][m]);
}

bool form_lea(struct decode *d, const struct decode_row *r)
{
	d->u->r0 = reg_of(&d->ops[0]);
	d->u->aux |= AUX_MEM;
	decode_mem(d, d->u, &d->ops[1]);
	return take(d, r->pick[size_index(&d->ops[0]) - 1]);
}

bool form_unary(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *a = &d->ops[0];
	unsigned s = size_index(a);

	if (is_mem(a)) {
		decode_mem(d, d->u, a);
		return take(d, exec_unary[r->arg][s][locked(d) ? 2 : 1]);
	}
	d->u->r0 = reg_of(a);
	return take(d, exec_unary[r->arg][s][0]);
}

bool form_shift(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];
	unsigned s = size_index(a), cl = is_reg(b);

	if (!cl)
		d->u->imm = b->imm.value.u & 0xff;
	if (is_mem(a)) {
		decode_mem(d, d->u, a);
		return take(d, exec_shift[r->arg][s][2 + cl]);
	}
	d->u->r0 = reg_of(a);
	return take(d, exec_shift[r->arg][s][cl]);
}

bool form_imul(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *o = d->ops;
	struct uop *u = d->u;

	if (d->insn->operand_count_visible == 1) {
		form_rm(d, r);
		u->r0 = 1;
		return true;
	}
	unsigned s = size_index(&o[0]) - 1, m = is_mem(&o[1]);
	u->r0 = reg_of(&o[0]);
	if (m)
		decode_mem(d, u, &o[1]);
	else
		u->r1 = reg_of(&o[1]);
	if (d->insn->operand_count_visible == 2)
		return take(d, exec_imul2[s][m]);
	u->imm = (u64)o[2].imm.value.s;
	return take(d, exec_imul3[s][m]);
}

/* ---- one handler for all ---- */

/* The r/m operand o, its size as osize, another register r0. */
static bool generic(struct decode *d, const struct decode_row *r, const ZydisDecodedOperand *o,
		    const ZydisDecodedOperand *reg, u64 imm)
{
	rm(d, o);
	d->u->osize = (u8)(o->size / 8);
	if (reg && is_reg(reg))
		d->u->r0 = reg_of(reg);
	d->u->imm = imm; /* overwrites what decode_mem() may have put there */
	if (locked(d))
		d->u->aux |= AUX_LOCK;
	return take(d, r->fn);
}

bool form_rm(struct decode *d, const struct decode_row *r)
{
	return generic(d, r, &d->ops[0], NULL, r->arg);
}

bool form_rm_reg(struct decode *d, const struct decode_row *r)
{
	return generic(d, r, &d->ops[0], &d->ops[1], r->arg);
}

bool form_reg_rm(struct decode *d, const struct decode_row *r)
{
	return generic(d, r, &d->ops[1], &d->ops[0], r->arg);
}

bool form_muldiv(struct decode *d, const struct decode_row *r)
{
	d->u->r0 = (u8)r->arg;
	return generic(d, r, &d->ops[0], NULL, 0);
}

bool form_xchg(struct decode *d, const struct decode_row *r)
{
	return is_mem(&d->ops[1]) ? form_reg_rm(d, r) : form_rm_reg(d, r);
}

bool form_cmpxchg8b(struct decode *d, const struct decode_row *r)
{
	form_mem(d, r);
	d->u->osize = (u8)r->arg;
	return true;
}

bool form_bt(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *o = d->ops;
	u64 imm = r->arg;

	if (is_imm(&o[1])) {
		d->u->aux |= AUX_IMM;
		imm |= (o[1].imm.value.u & 0xff) << 8;
	}
	return generic(d, r, &o[0], &o[1], imm);
}

bool form_shxd(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *o = d->ops;
	u64 imm = r->arg;

	if (is_imm(&o[2])) {
		d->u->aux |= AUX_IMM;
		imm |= o[2].imm.value.u & 0xff;
	}
	return generic(d, r, &o[0], &o[1], imm);
}

bool form_movbe(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *o = d->ops;

	return is_mem(&o[0]) ? generic(d, r, &o[0], &o[1], 1) : generic(d, r, &o[1], &o[0], 0);
}

bool form_crc32(struct decode *d, const struct decode_row *r)
{
	return generic(d, r, &d->ops[1], &d->ops[0], d->ops[0].size == 64);
}

bool form_mulx(struct decode *d, const struct decode_row *r)
{
	return generic(d, r, &d->ops[2], &d->ops[0], decode_gpr(d->ops[1].reg.value));
}

bool form_bmi(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *o = d->ops;
	unsigned what = r->arg & 0xff, rm_op = r->arg >> 8 & 3, third = r->arg >> 10 & 3;
	u64 imm = what;

	if (third != BMI_NO_THIRD) {
		if (is_imm(&o[third]))
			imm |= (o[third].imm.value.u & 0xff) << 16;
		else
			imm |= (u64)decode_gpr(o[third].reg.value) << 8;
	}
	return generic(d, r, &o[rm_op], &o[0], imm);
}

/* ---- no operands, or one ---- */

bool form_plain(struct decode *d, const struct decode_row *r)
{
	d->u->imm = r->arg;
	return take(d, r->fn);
}

bool form_sized(struct decode *d, const struct decode_row *r)
{
	d->u->osize = operand_bytes(d);
	return form_plain(d, r);
}

bool form_bcd(struct decode *d, const struct decode_row *r)
{
	d->u->r0 = (u8)r->arg;
	if (d->insn->operand_count_visible)
		d->u->imm = d->ops[0].imm.value.u & 0xff;
	return take(d, r->fn);
}

bool form_mem(struct decode *d, const struct decode_row *r)
{
	d->u->aux |= AUX_MEM;
	decode_mem(d, d->u, &d->ops[0]);
	return take(d, r->fn);
}

bool form_string(struct decode *d, const struct decode_row *r)
{
	struct uop *u = d->u;
	unsigned aw = d->insn->address_width;
	ZyanU64 at = d->insn->attributes;

	u->osize = (u8)r->arg;
	u->ea = aw == 32 ? EA_A32 : aw == 16 ? EA_A16 : 0;
	if (at & ZYDIS_ATTRIB_HAS_REPNE)
		u->aux |= AUX_REPNE;
	else if (at & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
		u->aux |= AUX_REP;
	else
		for (unsigned i = 0; i < d->insn->raw.prefix_count; i++)
			if (d->insn->raw.prefixes[i].value == PREFIX_REPNE) /* on MOVS, STOS, LODS: as REP */
				u->aux |= AUX_REP;
	/* The source segment, where there is one, can be overridden. */
	u->seg = at & ZYDIS_ATTRIB_HAS_SEGMENT_CS   ? SEG_CS
		 : at & ZYDIS_ATTRIB_HAS_SEGMENT_SS ? SEG_SS
		 : at & ZYDIS_ATTRIB_HAS_SEGMENT_ES ? SEG_ES
		 : at & ZYDIS_ATTRIB_HAS_SEGMENT_FS ? SEG_FS
		 : at & ZYDIS_ATTRIB_HAS_SEGMENT_GS ? SEG_GS
						    : SEG_DS;
	return take(d, r->fn);
}

bool form_string_or_vec(struct decode *d, const struct decode_row *r)
{
	return d->insn->meta.category == ZYDIS_CATEGORY_STRINGOP && form_string(d, r);
}

bool form_ud(struct decode *d, const struct decode_row *r)
{
	(void)r;
	decode_ud(d);
	return true;
}

bool form_nop(struct decode *d, const struct decode_row *r)
{
	/* 0F 0D with a register: AMD's PREFETCH takes memory only. */
	if (d->insn->opcode_map == ZYDIS_OPCODE_MAP_0F && d->insn->opcode == 0x0d && is_amd(d))
		return form_ud(d, r);
	return take(d, op_nop);
}

bool form_pause(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedInstruction *in = d->insn;
	struct uop *u = d->u;

	(void)r;
	/* F3 90 with REX.B is XCHG r8, rAX; Zydis calls it PAUSE. */
	if (in->attributes & ZYDIS_ATTRIB_HAS_REX && in->raw.rex.B) {
		u->r0 = GPR_RAX;
		u->r1 = 8;
		u->osize = in->raw.rex.W ? 8 : in->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE ? 2 : 4;
		return take(d, op_xchg);
	}
	return take(d, d->c->vm->ends->pause);
}
