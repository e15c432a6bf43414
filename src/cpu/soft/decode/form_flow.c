/* SPDX-License-Identifier: GPL-2.0-or-later */
/* form_flow.c - operand forms of control flow, conditions and the stack. */
#include "cpu/soft/decode/form.h"
#include "cpu/soft/interp/exec.h"

#define PREFIX_REPNE 0xf2
#define PREFIX_REPE 0xf3

/* The r/m operand o: memory, or register r1. */
static void rm(struct decode *d, const ZydisDecodedOperand *o)
{
	if (is_mem(o)) {
		d->u->aux |= AUX_MEM;
		decode_mem(d, d->u, o);
	} else {
		d->u->r1 = reg_of(o);
	}
}

/* ---- branches ---- */

/* A relative branch in 64-bit code. True: the target lies in this page, so the blocks can be linked. */
static bool rel64(struct decode *d, const ZydisDecodedOperand *o)
{
	s64 rel = o->imm.value.s + (s64)d->rip_off + d->insn->length;
	s64 in_page = rel + (s64)d->page_off;

	if (d->page_off != DECODE_NO_PAGE && in_page >= 0 && in_page < (s64)PAGE_BYTES && rel == (s32)rel) {
		d->u->disp = (s32)rel;
		return true;
	}
	d->u->imm = (u64)rel;
	return false;
}

/*
 * Operand bytes of a near branch. In 64-bit code it is 8 whatever REX.W says; AMD honours a 66 prefix (and so
 * cuts RIP to 16 bits), Intel does not (APM 3 "near branches in 64-bit mode").
 */
static u8 branch_bytes(const struct decode *d)
{
	if (!code64(d))
		return operand_bytes(d);
	return is_amd(d) && (d->insn->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) && !has_rex_w(d) ? 2 : 8;
}

bool form_jcc(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *to = &d->ops[0];
	u8 bytes = branch_bytes(d);

	if (bytes == 8)
		return take(d, exec_jcc64[r->arg][rel64(d, to)]);
	d->u->r0 = (u8)r->arg;
	d->u->imm = (u64)to->imm.value.s;
	d->u->osize = bytes;
	return take(d, op_jcc_legacy);
}

bool form_jmp(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *o = &d->ops[0];
	u8 bytes = branch_bytes(d);

	(void)r;
	if (is_far(d))
		return form_far_branch(d, false);
	if (is_imm(o)) {
		d->u->seg = SEG_SS;
		if (bytes == 8)
			return take(d, rel64(d, o) ? op_jmp64_link : op_jmp64);
		d->u->osize = bytes;
		d->u->imm = (u64)o->imm.value.s;
		return take(d, op_jmp_legacy);
	}
	if (bytes == 8)
		d->u->seg = SEG_SS;
	else
		d->u->osize = bytes;
	rm(d, o);
	return take(d, bytes != 8 ? op_jmpi_legacy : is_mem(o) ? op_jmpi64_m : op_jmpi64);
}

bool form_call(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *o = &d->ops[0];
	u8 bytes = branch_bytes(d);

	(void)r;
	if (is_far(d))
		return form_far_branch(d, true);
	if (is_imm(o)) {
		d->u->seg = SEG_SS; /* the push's */
		if (bytes == 8)
			return take(d, rel64(d, o) ? op_call64_link : op_call64);
		d->u->osize = bytes;
		d->u->imm = (u64)o->imm.value.s;
		return take(d, op_call_legacy);
	}
	if (bytes == 8)
		d->u->seg = SEG_SS; /* the push's, where there is no memory operand */
	else
		d->u->osize = bytes;
	rm(d, o);
	return take(d, bytes != 8 ? op_calli_legacy : is_mem(o) ? op_calli64_m : op_calli64);
}

bool form_ret(struct decode *d, const struct decode_row *r)
{
	struct uop *u = d->u;

	(void)r;
	if (is_far(d))
		return form_far_ret(d);
	u->seg = SEG_SS;
	u->imm = d->insn->operand_count_visible ? d->ops[0].imm.value.u & 0xffff : 0;
	u->osize = branch_bytes(d);
	if (u->osize != 8)
		return take(d, op_ret_legacy);
	u->imm += 8;
	return take(d, op_ret64);
}

/* The last F2 or F3 prefix; 0: none. */
static u8 last_rep(const ZydisDecodedInstruction *in)
{
	u8 rep = 0;

	for (unsigned i = 0; i < in->raw.prefix_count; i++)
		if (in->raw.prefixes[i].value == PREFIX_REPNE || in->raw.prefixes[i].value == PREFIX_REPE)
			rep = in->raw.prefixes[i].value;
	return rep;
}

bool form_loop(struct decode *d, const struct decode_row *r)
{
	struct uop *u = d->u;

	u->r0 = (u8)r->arg;
	/* AMD's processors take the condition of LOOPE and LOOPNE from an F2 or F3 prefix, as for SCAS. */
	if (is_amd(d) && u->r0 < 2 && last_rep(d->insn))
		u->r0 = last_rep(d->insn) == PREFIX_REPE;
	u->r1 = (u8)(d->insn->address_width / 8);
	u->osize = branch_bytes(d);
	u->imm = (u64)d->ops[0].imm.value.s;
	return take(d, r->fn);
}

/* ---- conditions ---- */

bool form_setcc(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *a = &d->ops[0];

	if (is_mem(a)) {
		decode_mem(d, d->u, a);
		return take(d, exec_setcc[r->arg][1]);
	}
	d->u->r0 = reg_of(a);
	return take(d, exec_setcc[r->arg][0]);
}

bool form_cmov(struct decode *d, const struct decode_row *r)
{
	unsigned s = size_index(&d->ops[0]) - 1, m = is_mem(&d->ops[1]);

	d->u->r0 = reg_of(&d->ops[0]);
	if (m)
		decode_mem(d, d->u, &d->ops[1]);
	else
		d->u->r1 = reg_of(&d->ops[1]);
	return take(d, exec_cmov[r->arg][s][m]);
}

/* ---- the stack ---- */

bool form_push(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *o = &d->ops[0];
	struct uop *u = d->u;
	u8 n = operand_bytes(d);

	(void)r;
	if (is_reg(o) && !is_gpr(o))
		return form_push_sreg(d, false);
	u->osize = n;
	if (!is_mem(o))
		u->seg = SEG_SS;
	if (is_imm(o)) {
		u->imm = (u64)o->imm.value.s;
		u->aux |= AUX_IMM;
		return take(d, n == 8 ? op_push64_i : op_push_any);
	}
	rm(d, o);
	return take(d, is_reg(o) && n == 8 ? op_push64_r : op_push_any);
}

bool form_pop(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *o = &d->ops[0];
	struct uop *u = d->u;

	(void)r;
	if (is_reg(o) && !is_gpr(o))
		return form_push_sreg(d, true);
	u->osize = operand_bytes(d);
	if (is_reg(o))
		u->seg = SEG_SS;
	rm(d, o);
	return take(d, is_reg(o) && u->osize == 8 ? op_pop64_r : op_pop_any);
}

bool form_stack(struct decode *d, const struct decode_row *r)
{
	d->u->seg = SEG_SS;
	d->u->osize = operand_bytes(d);
	return take(d, r->fn);
}
