/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vec_move.c - moves between vector registers, memory and general registers.
 *
 * None of these can raise a floating-point exception, so they need no stub: a TLB hit costs a tag
 * compare and a copy. Non-temporal moves are done as ordinary ones: their ordering is weaker, and programs cannot
 * depend on it being weak. The upper halves of YMM registers are kept by legacy SSE forms and zeroed by VEX.128 forms.
 */
#include "cpu/soft/vector/vec_load.h"
#include "cpu/soft/vector/vec_ops.h"

const void *vec_load_slow(struct soft_cpu *c, const struct uop *op, gva_t lin, void *buf, unsigned bytes)
{
	SOFT_ENTER(c, op);
	soft_ld_bytes(c, lin, buf, bytes);
	return buf;
}

void vec_store_slow(struct soft_cpu *c, const struct uop *op, gva_t lin, const void *v, unsigned bytes)
{
	SOFT_ENTER(c, op);
	soft_st_bytes(c, lin, v, bytes);
}

void vec_misaligned(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	soft_gp(c, 0);
}

/* from: bytes kept as they are written; up to `to` is zeroed. */
#define ZERO(c, r, from, to) memset((c)->vec[r] + (from), 0, (to) - (from))

/* Load n bytes, zero up to `to`. */
#define DEF_LOAD(name, ok, n, to, align) \
	static void name(struct soft_cpu *c, const struct uop *op) \
	{ \
		u8 *dst = c->vec[op->r0]; \
		VEC_CHECK(c, op, ok); \
		memcpy(dst, vec_load(c, op, c->vec_buf, n, align), n); \
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
	memcpy(c->vec[op->r0] + 8, vec_load(c, op, c->vec_buf, 8, 1), 8);
	NEXT(c, op);
}

#define DEF_STORE(name, ok, n, off, align) \
	static void name(struct soft_cpu *c, const struct uop *op) \
	{ \
		VEC_CHECK(c, op, ok); \
		vec_store(c, op, c->vec[op->r0] + (off), n, align); \
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

/* ---- what the decoder picks from ---- */

uop_fn *const vec_full_load[3][2] = { { ld16, ld16a }, { ld16_v, ld16a_v }, { ld32_v, ld32a_v } };
uop_fn *const vec_full_store[3][2] = { { st16, st16a }, { st16_v, st16a_v }, { st32_v, st32a_v } };
uop_fn *const vec_full_move[3] = { rr16, rr16_v, rr32_v };
uop_fn *const vec_scalar_load[2][2] = { { ld4z, ld8z }, { ld4z_v, ld8z_v } };
uop_fn *const vec_scalar_store[2][2] = { { st4, st8 }, { st4_v, st8_v } };
uop_fn *const vec_scalar_merge[2] = { rr4, rr8 };
uop_fn *const vec_scalar_q[2] = { rr8z, rr8z_v };
uop_fn *const vec_half_load[2] = { ld8lo, ld8hi };
uop_fn *const vec_half_store[2][2] = { { st8, st8hi }, { st8_v, st8hi_v } };
uop_fn *const vec_from_gpr[2][2] = { { gpr4_to_x, gpr8_to_x }, { gpr4_to_x_v, gpr8_to_x_v } };
uop_fn *const vec_to_gpr[2][2] = { { x_to_gpr4, x_to_gpr8 }, { x_to_gpr4_v, x_to_gpr8_v } };
uop_fn *const vec_zero[2] = { zero16, zero32 };
