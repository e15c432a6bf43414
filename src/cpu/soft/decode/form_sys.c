/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * form_sys.c - operand forms of system instructions, far control flow and ports. uop.osize is the operand size, unless
 * a comment says otherwise.
 */
#include "cpu/soft/decode/form.h"
#include "cpu/soft/system/sys_ops.h"

static bool take_sized(struct decode *d, uop_fn *fn)
{
	d->u->osize = operand_bytes(d);
	return take(d, fn);
}

static ZydisRegisterClass reg_class(const ZydisDecodedOperand *o)
{
	return is_reg(o) ? ZydisRegisterGetClass(o->reg.value) : ZYDIS_REGCLASS_INVALID;
}

/* In Zydis' order and ours: ES CS SS DS FS GS. */
static u8 sreg(const ZydisDecodedOperand *o)
{
	return (u8)(o->reg.value - ZYDIS_REGISTER_ES);
}

/* Operand o: memory (aux = 1) or r0. */
static void reg_or_mem(struct decode *d, const ZydisDecodedOperand *o)
{
	if (is_mem(o)) {
		decode_mem(d, d->u, o);
		d->u->aux = 1;
	} else {
		d->u->r0 = decode_gpr(o->reg.value);
	}
}

bool form_sys(struct decode *d, const struct decode_row *r)
{
	return take_sized(d, r->fn);
}

bool form_sys_rm(struct decode *d, const struct decode_row *r)
{
	reg_or_mem(d, &d->ops[0]);
	return take_sized(d, r->fn);
}

bool form_sys_mem(struct decode *d, const struct decode_row *r)
{
	decode_mem(d, d->u, &d->ops[0]);
	return take_sized(d, r->fn);
}

/* ---- segment, control and debug registers ---- */

/* r0: the general register, r1: the other one's number. */
static bool special(struct decode *d, uop_fn *fn, const ZydisDecodedOperand *gpr, const ZydisDecodedOperand *other,
		    ZydisRegister first, bool end)
{
	d->u->r0 = decode_gpr(gpr->reg.value);
	d->u->r1 = (u8)(other->reg.value - first);
	d->end = end;
	return take_sized(d, fn);
}

bool form_mov_special(struct decode *d)
{
	const ZydisDecodedOperand *dst = &d->ops[0], *src = &d->ops[1];

	switch (reg_class(src)) {
	case ZYDIS_REGCLASS_SEGMENT:
		d->u->r1 = sreg(src);
		reg_or_mem(d, dst);
		return take_sized(d, sys_mov_from_sreg);
	case ZYDIS_REGCLASS_CONTROL:
		return special(d, sys_mov_from_cr, dst, src, ZYDIS_REGISTER_CR0, false);
	case ZYDIS_REGCLASS_DEBUG:
		if (src->reg.value > ZYDIS_REGISTER_DR7)
			break;
		return special(d, sys_mov_from_dr, dst, src, ZYDIS_REGISTER_DR0, false);
	default:
		break;
	}
	switch (reg_class(dst)) {
	case ZYDIS_REGCLASS_SEGMENT:
		if (dst->reg.value == ZYDIS_REGISTER_CS)
			break;
		d->u->r1 = sreg(dst);
		d->end = dst->reg.value == ZYDIS_REGISTER_SS;
		reg_or_mem(d, src);
		return take_sized(d, sys_mov_to_sreg);
	case ZYDIS_REGCLASS_CONTROL:
		return special(d, sys_mov_to_cr, src, dst, ZYDIS_REGISTER_CR0, true);
	case ZYDIS_REGCLASS_DEBUG:
		if (dst->reg.value > ZYDIS_REGISTER_DR7)
			break;
		return special(d, sys_mov_to_dr, src, dst, ZYDIS_REGISTER_DR0, true);
	default:
		break;
	}
	decode_ud(d);
	return true;
}

bool form_push_sreg(struct decode *d, bool pop)
{
	if (reg_class(&d->ops[0]) != ZYDIS_REGCLASS_SEGMENT)
		return false;
	d->u->r1 = sreg(&d->ops[0]);
	d->end = pop && d->u->r1 == SEG_SS;
	return take_sized(d, pop ? sys_pop_sreg : sys_push_sreg);
}

bool form_base(struct decode *d, const struct decode_row *r)
{
	d->u->osize = (u8)(d->ops[0].size / 8);
	d->u->r0 = decode_gpr(d->ops[0].reg.value);
	d->u->r1 = (u8)r->arg;
	return take(d, r->fn);
}

/* ---- far pointers ---- */

/* Bytes of a far pointer's offset. AMD has no m16:64 (APM 3, "CALL (Far)", "LDS..."); REX.W still overrides
 * 66. */
static u8 far_offset(const struct decode *d)
{
	return operand_bytes(d) == 8 && is_amd(d) ? 4 : operand_bytes(d);
}

/* osize: bytes of the offset. */
bool form_lxs(struct decode *d, const struct decode_row *r)
{
	d->u->osize = far_offset(d);
	d->u->r0 = decode_gpr(d->ops[0].reg.value);
	d->u->r1 = (u8)r->arg;
	decode_mem(d, d->u, &d->ops[1]);
	return take(d, r->fn);
}

bool form_far_branch(struct decode *d, bool call)
{
	const ZydisDecodedOperand *o = &d->ops[0];

	if (o->type == ZYDIS_OPERAND_TYPE_POINTER) {
		d->u->imm = (u64)o->ptr.segment << 32 | o->ptr.offset;
		return take_sized(d, call ? sys_call_far_ptr : sys_jmp_far_ptr);
	}
	d->u->aux = far_offset(d);
	decode_mem(d, d->u, o);
	return take_sized(d, call ? sys_call_far_mem : sys_jmp_far_mem);
}

bool form_far_ret(struct decode *d)
{
	if (d->insn->operand_count_visible)
		d->u->imm = d->ops[0].imm.value.u & 0xffff;
	return take_sized(d, sys_ret_far);
}

/* ---- descriptors ---- */

/* The selector in r1 or memory. */
bool form_desc_look(struct decode *d, const struct decode_row *r)
{
	reg_or_mem(d, &d->ops[1]);
	if (!d->u->aux)
		d->u->r1 = d->u->r0;
	d->u->r0 = decode_gpr(d->ops[0].reg.value);
	return take_sized(d, r->fn);
}

bool form_arpl(struct decode *d, const struct decode_row *r)
{
	reg_or_mem(d, &d->ops[0]);
	d->u->r1 = decode_gpr(d->ops[1].reg.value);
	return take_sized(d, r->fn);
}

/* A register and memory: INVPCID, BOUND. */
bool form_reg_mem(struct decode *d, const struct decode_row *r)
{
	d->u->r0 = decode_gpr(d->ops[0].reg.value);
	decode_mem(d, d->u, &d->ops[1]);
	return take_sized(d, r->fn);
}

/* ---- immediates ---- */

bool form_enter(struct decode *d, const struct decode_row *r)
{
	d->u->imm = d->ops[0].imm.value.u & 0xffff;
	d->u->aux = d->ops[1].imm.value.u & 31;
	return take_sized(d, r->fn);
}

bool form_int_n(struct decode *d, const struct decode_row *r)
{
	d->u->imm = d->ops[0].imm.value.u & 0xff;
	return take_sized(d, r->fn);
}

/* ---- ports ---- */

/* osize: of the data. aux = 1: the port is imm, else in DX. */
static bool port_io(struct decode *d, uop_fn *fn, const ZydisDecodedOperand *port, const ZydisDecodedOperand *data)
{
	d->u->osize = (u8)(data->size / 8);
	if (is_imm(port)) {
		d->u->aux = 1;
		d->u->imm = port->imm.value.u & 0xff;
	}
	return take(d, fn);
}

bool form_in(struct decode *d, const struct decode_row *r)
{
	return port_io(d, r->fn, &d->ops[1], &d->ops[0]);
}

bool form_out(struct decode *d, const struct decode_row *r)
{
	return port_io(d, r->fn, &d->ops[0], &d->ops[1]);
}

/* aux: bytes of an address. r0: repeated; REP and REPNE do the same here. */
bool form_ins(struct decode *d, const struct decode_row *r)
{
	d->u->osize = (u8)r->arg;
	d->u->aux = d->insn->address_width / 8;
	d->u->r0 = !!(d->insn->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE));
	d->u->seg = SEG_DS;
	return take(d, r->fn);
}

bool form_outs(struct decode *d, const struct decode_row *r)
{
	form_ins(d, r);
	for (unsigned i = 0; i < d->insn->operand_count; i++)
		if (is_mem(&d->ops[i]))
			d->u->seg = (u8)(d->ops[i].mem.segment - ZYDIS_REGISTER_ES);
	return true;
}
