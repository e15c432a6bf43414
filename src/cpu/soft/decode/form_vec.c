/* SPDX-License-Identifier: GPL-2.0-or-later */
/* form_vec.c - operand forms of vector and x87 instructions that have handlers in C. */
#include "cpu/soft/decode/decode_vec.h"
#include "cpu/soft/decode/form.h"
#include "cpu/soft/vector/vec_ops.h"

#define PREFIX_OPERAND_SIZE 0x66

static bool is_vec(const ZydisDecodedOperand *o)
{
	ZydisRegisterClass rc;

	if (!is_reg(o))
		return false;
	rc = ZydisRegisterGetClass(o->reg.value);
	return rc == ZYDIS_REGCLASS_XMM || rc == ZYDIS_REGCLASS_YMM;
}

static bool is_gpr32_64(const ZydisDecodedOperand *o)
{
	ZydisRegisterClass rc;

	if (!is_reg(o))
		return false;
	rc = ZydisRegisterGetClass(o->reg.value);
	return rc == ZYDIS_REGCLASS_GPR32 || rc == ZYDIS_REGCLASS_GPR64;
}

static bool take_mem(struct decode *d, uop_fn *fn, const ZydisDecodedOperand *vec, const ZydisDecodedOperand *mem)
{
	d->u[0].r0 = vec_reg(vec->reg.value);
	decode_mem(d, &d->u[0], mem);
	return take(d, fn);
}

static bool take_rr(struct decode *d, uop_fn *fn, const ZydisDecodedOperand *dst, const ZydisDecodedOperand *src)
{
	d->u[0].r0 = vec_reg(dst->reg.value);
	d->u[0].r1 = vec_reg(src->reg.value);
	return take(d, fn);
}

/* ---- moves ---- */

bool form_vec_full(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];
	unsigned i = !is_vex(d) ? 0 : d->insn->raw.vex.L ? 2 : 1;

	if (is_vec(a) && is_vec(b))
		return take_rr(d, vec_full_move[i], a, b);
	if (is_vec(a) && is_mem(b))
		return take_mem(d, vec_full_load[i][r->arg], a, b);
	if (is_mem(a) && is_vec(b))
		return take_mem(d, vec_full_store[i][r->arg], b, a);
	return false;
}

bool form_vec_scalar(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];
	unsigned n = r->arg & 15;
	bool vex = is_vex(d), q = n == 8;

	if (is_vec(a) && is_mem(b))
		return b->size == n * 8 && take_mem(d, vec_scalar_load[vex][q], a, b);
	if (is_mem(a) && is_vec(b))
		return a->size == n * 8 && take_mem(d, vec_scalar_store[vex][q], b, a);
	if (is_vec(a) && is_vec(b)) {
		if (r->arg & VEC_SCALAR_MERGES) /* three operands with VEX: a stub's */
			return !vex && take_rr(d, vec_scalar_merge[q], a, b);
		return q && take_rr(d, vec_scalar_q[vex], a, b);
	}
	if (is_vec(a) && is_gpr32_64(b))
		return take_rr(d, vec_from_gpr[vex][b->size == 64], a, b);
	if (is_gpr32_64(a) && is_vec(b))
		return take_rr(d, vec_to_gpr[vex][a->size == 64], b, a);
	return false;
}

bool form_vec_half(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];

	if (is_mem(a) && is_vec(b))
		return take_mem(d, vec_half_store[is_vex(d)][r->arg], b, a);
	if (!is_vex(d) && is_vec(a) && is_mem(b))
		return take_mem(d, vec_half_load[r->arg], a, b);
	return false;
}

/* ---- integer operations ---- */

bool form_vec_zero(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *o = d->ops;
	unsigned i = is_vex(d) ? 1 : 0;

	(void)r;
	if (!is_vec(&o[i]) || !is_vec(&o[i + 1]) || o[i].reg.value != o[i + 1].reg.value)
		return false;
	d->u[0].r0 = vec_reg(o[0].reg.value);
	return take(d, vec_zero[is_vex(d)]);
}

bool form_vec_int(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];

	if (d->insn->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || !is_vec(a))
		return false;
	if (is_vec(b))
		return take_rr(d, vec_int_op[r->arg][0], a, b);
	if (is_mem(b) && b->size == 128)
		return take_mem(d, vec_int_op[r->arg][1], a, b);
	return false;
}

bool form_vec_xor(struct decode *d, const struct decode_row *r)
{
	return form_vec_zero(d, r) || form_vec_int(d, r);
}

bool form_vec_rr(struct decode *d, const struct decode_row *r)
{
	return is_vec(&d->ops[1]) && take_rr(d, r->fn, &d->ops[0], &d->ops[1]);
}

bool form_vec_plain(struct decode *d, const struct decode_row *r)
{
	return take(d, r->fn);
}

/* ---- memory by elements ---- */

bool form_vec_gather(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedInstruction *insn = d->insn;
	ZydisDecodedOperand mem = d->ops[1];
	struct uop *u = &d->u[0];
	struct vec_gather g = { 0 };
	unsigned vl = insn->raw.vex.L ? 32 : 16;

	if (!is_mem(&mem) || mem.mem.type != ZYDIS_MEMOP_TYPE_VSIB)
		return false;
	u->r0 = vec_reg(d->ops[0].reg.value);
	g.index = vec_reg(mem.mem.index);
	g.mask = vec_reg(d->ops[2].reg.value);
	if (u->r0 == g.index || u->r0 == g.mask || g.index == g.mask) {
		decode_ud(d);
		return true;
	}
	g.elem = insn->raw.vex.W ? 8 : 4;
	g.idx = (u8)r->arg;
	g.count = (u8)(vl / MAX(g.elem, g.idx));
	while ((1u << g.scale) < mem.mem.scale)
		g.scale++;
	mem.mem.type = ZYDIS_MEMOP_TYPE_MEM;
	mem.mem.index = ZYDIS_REGISTER_NONE;
	mem.mem.scale = 0;
	decode_mem(d, u, &mem);
	memcpy(&u->imm, &g, sizeof(g));
	return take(d, r->fn);
}

bool form_vec_maskmov(struct decode *d, const struct decode_row *r)
{
	const ZydisDecodedOperand *o = d->ops;
	bool store = is_mem(&o[0]);
	struct uop *u = &d->u[0];

	u->aux = vec_reg(o[1].reg.value);
	u->osize = (u8)r->arg;
	u->r1 = (u8)((d->insn->raw.vex.L ? 32 : 16) / r->arg);
	return take_mem(d, store ? vec_maskmov_store : vec_maskmov_load, store ? &o[2] : &o[0], store ? &o[0] : &o[2]);
}

bool form_vec_maskmovdqu(struct decode *d, const struct decode_row *r)
{
	struct uop *u = &d->u[0];

	for (unsigned i = 0; i < d->insn->operand_count; i++) {
		if (d->ops[i].encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG)
			u->r0 = vec_reg(d->ops[i].reg.value);
		if (d->ops[i].encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
			u->r1 = vec_reg(d->ops[i].reg.value);
	}
	return form_vec_mxcsr(d, r);
}

bool form_vec_maskmovq(struct decode *d, const struct decode_row *r)
{
	d->u->r0 = d->insn->raw.modrm.reg & 7;
	d->u->r1 = d->insn->raw.modrm.rm & 7;
	return form_vec_mem(d, r);
}

/* ---- the FPU's own state ---- */

static bool one_mem(struct decode *d, uop_fn *fn, unsigned aux)
{
	const ZydisDecodedOperand *mem = find_mem(d);

	if (!mem)
		return false;
	decode_mem(d, d->u, mem);
	d->u->aux = (u8)aux;
	return take(d, fn);
}

bool form_vec_mem(struct decode *d, const struct decode_row *r)
{
	return one_mem(d, r->fn, r->arg);
}

bool form_vec_mxcsr(struct decode *d, const struct decode_row *r)
{
	return one_mem(d, r->fn, is_vex(d) ? VEC_OK_AVX : VEC_OK_SSE);
}

/* Zydis does not say how wide an environment is. */
static bool operand16(const struct decode *d)
{
	bool op16 = !(d->mode & (MODE_CODE64 | MODE_CODE32));

	if (has_rex_w(d))
		return false; /* overrides 66 */
	for (unsigned i = 0; i < d->insn->raw.prefix_count; i++)
		if (d->insn->raw.prefixes[i].value == PREFIX_OPERAND_SIZE)
			return !op16;
	return op16;
}

bool form_x87_env(struct decode *d, const struct decode_row *r)
{
	return one_mem(d, r->fn, operand16(d));
}

bool form_fnstsw(struct decode *d, const struct decode_row *r)
{
	return !find_mem(d) && take(d, r->fn); /* to AX; to memory: a stub's */
}
