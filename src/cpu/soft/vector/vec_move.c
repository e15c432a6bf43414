/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vec_move.c - moves, and the integer operations that string functions live on, in C.
 *
 * None of these can raise a floating-point exception, so they need no stub: a TLB hit costs a tag
 * compare and a copy. Non-temporal moves are ordinary ones: the ordering they give up is not
 * something anyone may depend on. The upper halves of YMM registers are kept by legacy SSE forms
 * and zeroed by VEX.128 forms.
 */
#include "cpu/soft/vector/vec.h"

#include <emmintrin.h>

static cold_ const void *load_slow(struct soft_cpu *c, const struct uop *op, gva_t lin, void *buf, unsigned bytes)
{
	SOFT_ENTER(c, op);
	soft_ld_bytes(c, lin, buf, bytes);
	return buf;
}

static cold_ void store_slow(struct soft_cpu *c, const struct uop *op, gva_t lin, const void *v, unsigned bytes)
{
	SOFT_ENTER(c, op);
	soft_st_bytes(c, lin, v, bytes);
}

noreturn_ static cold_ void misaligned(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	soft_gp(c, 0);
}

/* buf is only used where the TLB does not serve. */
static inline __attribute__((always_inline)) const void *load(struct soft_cpu *c, const struct uop *op, void *buf,
							      unsigned bytes, unsigned align)
{
	gva_t lin = vec_ea(c, op, bytes, false);
	const void *p;

	if (unlikely(lin & (align - 1)))
		misaligned(c, op);
	p = vec_rptr(c, lin, bytes);
	return likely(p != NULL) ? p : load_slow(c, op, lin, buf, bytes);
}

static inline __attribute__((always_inline)) void store(struct soft_cpu *c, const struct uop *op, const void *v,
							unsigned bytes, unsigned align)
{
	gva_t lin = vec_ea(c, op, bytes, true);
	void *p;

	if (unlikely(lin & (align - 1)))
		misaligned(c, op);
	p = vec_wptr(c, lin, bytes);
	if (likely(p != NULL))
		memcpy(p, v, bytes);
	else
		store_slow(c, op, lin, v, bytes);
}

/* from: bytes kept as they are written; up to `to` is zeroed. */
#define ZERO(c, r, from, to) memset((c)->vec[r] + (from), 0, (to) - (from))

/* Load n bytes, zero up to `to`. */
#define DEF_LOAD(name, ok, n, to, align) \
	static void name(struct soft_cpu *c, const struct uop *op) \
	{ \
		u8 *dst = c->vec[op->r0]; \
		VEC_CHECK(c, op, ok); \
		memcpy(dst, load(c, op, c->vec_buf, n, align), n); \
		if ((to) > (n)) \
			ZERO(c, op->r0, n, to); \
		NEXT(c, op); \
	}
DEF_LOAD(ld16, VEC_OK_SSE, 16, 16, 1)
DEF_LOAD(ld16a, VEC_OK_SSE, 16, 16, 16)
DEF_LOAD(ld16_v, VEC_OK_AVX, 16, 32, 1)
DEF_LOAD(ld16a_v, VEC_OK_AVX, 16, 32, 16)
DEF_LOAD(ld32_v, VEC_OK_AVX, 32, 32, 1)
DEF_LOAD(ld32a_v, VEC_OK_AVX, 32, 32, 32)
DEF_LOAD(ld4z, VEC_OK_SSE, 4, 16, 1)
DEF_LOAD(ld8z, VEC_OK_SSE, 8, 16, 1)
DEF_LOAD(ld4z_v, VEC_OK_AVX, 4, 32, 1)
DEF_LOAD(ld8z_v, VEC_OK_AVX, 8, 32, 1)
DEF_LOAD(ld8lo, VEC_OK_SSE, 8, 8, 1)

static void ld8hi(struct soft_cpu *c, const struct uop *op)
{
	VEC_CHECK(c, op, VEC_OK_SSE);
	memcpy(c->vec[op->r0] + 8, load(c, op, c->vec_buf, 8, 1), 8);
	NEXT(c, op);
}

#define DEF_STORE(name, ok, n, off, align) \
	static void name(struct soft_cpu *c, const struct uop *op) \
	{ \
		VEC_CHECK(c, op, ok); \
		store(c, op, c->vec[op->r0] + (off), n, align); \
		NEXT(c, op); \
	}
DEF_STORE(st16, VEC_OK_SSE, 16, 0, 1)
DEF_STORE(st16a, VEC_OK_SSE, 16, 0, 16)
DEF_STORE(st16_v, VEC_OK_AVX, 16, 0, 1)
DEF_STORE(st16a_v, VEC_OK_AVX, 16, 0, 16)
DEF_STORE(st32_v, VEC_OK_AVX, 32, 0, 1)
DEF_STORE(st32a_v, VEC_OK_AVX, 32, 0, 32)
DEF_STORE(st4, VEC_OK_SSE, 4, 0, 1)
DEF_STORE(st8, VEC_OK_SSE, 8, 0, 1)
DEF_STORE(st4_v, VEC_OK_AVX, 4, 0, 1)
DEF_STORE(st8_v, VEC_OK_AVX, 8, 0, 1)
DEF_STORE(st8hi, VEC_OK_SSE, 8, 8, 1)
DEF_STORE(st8hi_v, VEC_OK_AVX, 8, 8, 1)

/* Register r1 to register r0: n bytes, zero up to `to`. */
#define DEF_RR(name, ok, n, to) \
	static void name(struct soft_cpu *c, const struct uop *op) \
	{ \
		VEC_CHECK(c, op, ok); \
		memmove(c->vec[op->r0], c->vec[op->r1], n); \
		if ((to) > (n)) \
			ZERO(c, op->r0, n, to); \
		NEXT(c, op); \
	}
DEF_RR(rr16, VEC_OK_SSE, 16, 16)
DEF_RR(rr16_v, VEC_OK_AVX, 16, 32)
DEF_RR(rr32_v, VEC_OK_AVX, 32, 32)
DEF_RR(rr4, VEC_OK_SSE, 4, 4)
DEF_RR(rr8, VEC_OK_SSE, 8, 8)
DEF_RR(rr8z, VEC_OK_SSE, 8, 16)
DEF_RR(rr8z_v, VEC_OK_AVX, 8, 32)

/* Between general registers and vectors. */
#define DEF_FROM_GPR(name, ok, n, to) \
	static void name(struct soft_cpu *c, const struct uop *op) \
	{ \
		VEC_CHECK(c, op, ok); \
		memcpy(c->vec[op->r0], &c->gpr[op->r1], n); \
		ZERO(c, op->r0, n, to); \
		NEXT(c, op); \
	}
DEF_FROM_GPR(gpr4_to_x, VEC_OK_SSE, 4, 16)
DEF_FROM_GPR(gpr8_to_x, VEC_OK_SSE, 8, 16)
DEF_FROM_GPR(gpr4_to_x_v, VEC_OK_AVX, 4, 32)
DEF_FROM_GPR(gpr8_to_x_v, VEC_OK_AVX, 8, 32)
#define DEF_TO_GPR(name, ok, n) \
	static void name(struct soft_cpu *c, const struct uop *op) \
	{ \
		u64 v = 0; \
		VEC_CHECK(c, op, ok); \
		memcpy(&v, c->vec[op->r0], n); \
		c->gpr[op->r1] = v; \
		NEXT(c, op); \
	}
DEF_TO_GPR(x_to_gpr4, VEC_OK_SSE, 4)
DEF_TO_GPR(x_to_gpr8, VEC_OK_SSE, 8)
DEF_TO_GPR(x_to_gpr4_v, VEC_OK_AVX, 4)
DEF_TO_GPR(x_to_gpr8_v, VEC_OK_AVX, 8)

static void zero16(struct soft_cpu *c, const struct uop *op)
{
	VEC_CHECK(c, op, VEC_OK_SSE);
	ZERO(c, op->r0, 0, 16);
	NEXT(c, op);
}

static void zero32(struct soft_cpu *c, const struct uop *op)
{
	VEC_CHECK(c, op, VEC_OK_AVX);
	ZERO(c, op->r0, 0, 32);
	NEXT(c, op);
}

static __m128i get(struct soft_cpu *c, unsigned r)
{
	return _mm_loadu_si128((const void *)c->vec[r]);
}

static void set(struct soft_cpu *c, unsigned r, __m128i v)
{
	_mm_storeu_si128((void *)c->vec[r], v);
}

static void pmovmskb(struct soft_cpu *c, const struct uop *op)
{
	VEC_CHECK(c, op, VEC_OK_SSE);
	c->gpr[op->r0] = (u32)_mm_movemask_epi8(get(c, op->r1));
	NEXT(c, op);
}

/* Two-operand legacy integer operations: register and aligned-memory forms. */
#define INT_OPS(X) \
	X(PXOR, _mm_xor_si128) \
	X(POR, _mm_or_si128) \
	X(PAND, _mm_and_si128) \
	X(PANDN, _mm_andnot_si128) \
	X(XORPS, _mm_xor_si128) \
	X(ORPS, _mm_or_si128) \
	X(ANDPS, _mm_and_si128) \
	X(XORPD, _mm_xor_si128) \
	X(ANDPD, _mm_and_si128) \
	X(ORPD, _mm_or_si128) \
	X(PCMPEQB, _mm_cmpeq_epi8) \
	X(PCMPEQW, _mm_cmpeq_epi16) \
	X(PCMPEQD, _mm_cmpeq_epi32) \
	X(PCMPGTB, _mm_cmpgt_epi8) \
	X(PMINUB, _mm_min_epu8) \
	X(PMAXUB, _mm_max_epu8) \
	X(PSUBB, _mm_sub_epi8) \
	X(PSUBD, _mm_sub_epi32) \
	X(PADDB, _mm_add_epi8) \
	X(PADDD, _mm_add_epi32) \
	X(PADDQ, _mm_add_epi64) \
	X(PUNPCKLBW, _mm_unpacklo_epi8) \
	X(PUNPCKLWD, _mm_unpacklo_epi16) \
	X(PUNPCKLDQ, _mm_unpacklo_epi32) \
	X(PUNPCKLQDQ, _mm_unpacklo_epi64) \
	X(PUNPCKHQDQ, _mm_unpackhi_epi64)
#define DEF_INT_OP(mn, intrinsic) \
	static void rr_##mn(struct soft_cpu *c, const struct uop *op) \
	{ \
		VEC_CHECK(c, op, VEC_OK_SSE); \
		set(c, op->r0, intrinsic(get(c, op->r0), get(c, op->r1))); \
		NEXT(c, op); \
	} \
	static void rm_##mn(struct soft_cpu *c, const struct uop *op) \
	{ \
		__m128i v; \
		VEC_CHECK(c, op, VEC_OK_SSE); \
		v = _mm_loadu_si128(load(c, op, c->vec_buf, 16, 16)); \
		set(c, op->r0, intrinsic(get(c, op->r0), v)); \
		NEXT(c, op); \
	}
INT_OPS(DEF_INT_OP)

/* ---- decoding ---- */

static bool is_vec(const ZydisDecodedOperand *o)
{
	ZydisRegisterClass rc;

	if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return false;
	rc = ZydisRegisterGetClass(o->reg.value);
	return rc == ZYDIS_REGCLASS_XMM || rc == ZYDIS_REGCLASS_YMM;
}

static bool is_gpr(const ZydisDecodedOperand *o)
{
	ZydisRegisterClass rc;

	if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return false;
	rc = ZydisRegisterGetClass(o->reg.value);
	return rc == ZYDIS_REGCLASS_GPR32 || rc == ZYDIS_REGCLASS_GPR64;
}

static bool take(struct decode *d, uop_fn *fn)
{
	d->u[0].fn = fn;
	d->nu = 1;
	return true;
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

/* Whole-register moves. */
static bool decode_full(struct decode *d, bool aligned)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];
	bool vex = d->insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
	/* [16 legacy, 16 VEX, 32][unaligned, aligned] */
	static uop_fn *const loads[3][2] = { { ld16, ld16a }, { ld16_v, ld16a_v }, { ld32_v, ld32a_v } };
	static uop_fn *const stores[3][2] = { { st16, st16a }, { st16_v, st16a_v }, { st32_v, st32a_v } };
	static uop_fn *const regs[3] = { rr16, rr16_v, rr32_v };
	unsigned i = !vex ? 0 : d->insn->raw.vex.L ? 2 : 1;

	if (is_vec(a) && is_vec(b))
		return take_rr(d, regs[i], a, b);
	if (is_vec(a) && b->type == ZYDIS_OPERAND_TYPE_MEMORY)
		return take_mem(d, loads[i][aligned], a, b);
	if (a->type == ZYDIS_OPERAND_TYPE_MEMORY && is_vec(b))
		return take_mem(d, stores[i][aligned], b, a);
	return false;
}

/* MOVSS, MOVSD, MOVD, MOVQ: n is 4 or 8. */
static bool decode_scalar(struct decode *d, unsigned n, bool merges)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];
	bool vex = d->insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX, q = n == 8;

	if (is_vec(a) && b->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		if (b->size != n * 8)
			return false;
		return take_mem(d, vex ? (q ? ld8z_v : ld4z_v) : (q ? ld8z : ld4z), a, b);
	}
	if (a->type == ZYDIS_OPERAND_TYPE_MEMORY && is_vec(b)) {
		if (a->size != n * 8)
			return false;
		return take_mem(d, vex ? (q ? st8_v : st4_v) : (q ? st8 : st4), b, a);
	}
	if (is_vec(a) && is_vec(b)) {
		if (merges) /* three operands with VEX: a stub's */
			return !vex && take_rr(d, q ? rr8 : rr4, a, b);
		return q && take_rr(d, vex ? rr8z_v : rr8z, a, b);
	}
	if (is_vec(a) && is_gpr(b)) {
		q = b->size == 64;
		return take_rr(d, vex ? (q ? gpr8_to_x_v : gpr4_to_x_v) : (q ? gpr8_to_x : gpr4_to_x), a, b);
	}
	if (is_gpr(a) && is_vec(b)) {
		q = a->size == 64;
		return take_rr(d, vex ? (q ? x_to_gpr8_v : x_to_gpr4_v) : (q ? x_to_gpr8 : x_to_gpr4), b, a);
	}
	return false;
}

static bool decode_half(struct decode *d, bool high)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];
	bool vex = d->insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;

	if (a->type == ZYDIS_OPERAND_TYPE_MEMORY && is_vec(b))
		return take_mem(d, vex ? (high ? st8hi_v : st8_v) : (high ? st8hi : st8), b, a);
	if (!vex && is_vec(a) && b->type == ZYDIS_OPERAND_TYPE_MEMORY)
		return take_mem(d, high ? ld8hi : ld8lo, a, b);
	return false;
}

static bool decode_zero(struct decode *d)
{
	const ZydisDecodedOperand *o = d->ops;
	bool vex = d->insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
	unsigned i = vex ? 1 : 0;

	if (!is_vec(&o[i]) || !is_vec(&o[i + 1]) || o[i].reg.value != o[i + 1].reg.value)
		return false;
	d->u[0].r0 = vec_reg(o[0].reg.value);
	return take(d, vex ? zero32 : zero16);
}

static bool decode_int_op(struct decode *d, uop_fn *rr, uop_fn *rm)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];

	if (d->insn->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || !is_vec(a))
		return false;
	if (is_vec(b))
		return take_rr(d, rr, a, b);
	if (b->type == ZYDIS_OPERAND_TYPE_MEMORY && b->size == 128)
		return take_mem(d, rm, a, b);
	return false;
}

bool vec_decode_move(struct decode *d)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];

	switch (d->insn->mnemonic) {
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_VMOVUPS:
	case ZYDIS_MNEMONIC_VMOVUPD:
	case ZYDIS_MNEMONIC_VMOVDQU:
	case ZYDIS_MNEMONIC_VLDDQU:
		return decode_full(d, false);
	case ZYDIS_MNEMONIC_MOVAPS:
	case ZYDIS_MNEMONIC_MOVAPD:
	case ZYDIS_MNEMONIC_MOVDQA:
	case ZYDIS_MNEMONIC_MOVNTPS:
	case ZYDIS_MNEMONIC_MOVNTPD:
	case ZYDIS_MNEMONIC_MOVNTDQ:
	case ZYDIS_MNEMONIC_MOVNTDQA:
	case ZYDIS_MNEMONIC_VMOVAPS:
	case ZYDIS_MNEMONIC_VMOVAPD:
	case ZYDIS_MNEMONIC_VMOVDQA:
	case ZYDIS_MNEMONIC_VMOVNTPS:
	case ZYDIS_MNEMONIC_VMOVNTPD:
	case ZYDIS_MNEMONIC_VMOVNTDQ:
	case ZYDIS_MNEMONIC_VMOVNTDQA:
		return decode_full(d, true);
	case ZYDIS_MNEMONIC_MOVSS:
	case ZYDIS_MNEMONIC_VMOVSS:
		return decode_scalar(d, 4, true);
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_VMOVSD:
		return decode_scalar(d, 8, true);
	case ZYDIS_MNEMONIC_MOVD:
	case ZYDIS_MNEMONIC_VMOVD:
		return decode_scalar(d, 4, false);
	case ZYDIS_MNEMONIC_MOVQ:
	case ZYDIS_MNEMONIC_VMOVQ:
		return decode_scalar(d, 8, false);
	case ZYDIS_MNEMONIC_MOVLPS:
	case ZYDIS_MNEMONIC_MOVLPD:
	case ZYDIS_MNEMONIC_VMOVLPS:
	case ZYDIS_MNEMONIC_VMOVLPD:
		return decode_half(d, false);
	case ZYDIS_MNEMONIC_MOVHPS:
	case ZYDIS_MNEMONIC_MOVHPD:
	case ZYDIS_MNEMONIC_VMOVHPS:
	case ZYDIS_MNEMONIC_VMOVHPD:
		return decode_half(d, true);
	case ZYDIS_MNEMONIC_VPXOR:
	case ZYDIS_MNEMONIC_VXORPS:
	case ZYDIS_MNEMONIC_VXORPD:
		return decode_zero(d);
	case ZYDIS_MNEMONIC_PMOVMSKB:
		return is_vec(b) && take_rr(d, pmovmskb, a, b);
	default:
		break;
	}
	if (d->insn->mnemonic == ZYDIS_MNEMONIC_PXOR || d->insn->mnemonic == ZYDIS_MNEMONIC_XORPS ||
	    d->insn->mnemonic == ZYDIS_MNEMONIC_XORPD)
		if (decode_zero(d))
			return true;
	switch (d->insn->mnemonic) {
#define CASE_INT_OP(mn, intrinsic) \
	case ZYDIS_MNEMONIC_##mn: \
		return decode_int_op(d, rr_##mn, rm_##mn);
		INT_OPS(CASE_INT_OP)
	default:
		return false;
	}
}
