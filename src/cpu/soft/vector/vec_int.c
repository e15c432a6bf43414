/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vec_int.c - the legacy SSE2 integer operations that string functions live on, in C. */
#include "cpu/soft/vector/vec_load.h"
#include "cpu/soft/vector/vec_ops.h"

#include <emmintrin.h>

static __m128i get(struct soft_cpu *c, unsigned r)
{
	return _mm_loadu_si128((const void *)c->vec[r]);
}

static void set(struct soft_cpu *c, unsigned r, __m128i v)
{
	_mm_storeu_si128((void *)c->vec[r], v);
}

void vec_pmovmskb(struct soft_cpu *c, const struct uop *op)
{
	VEC_CHECK(c, op, VEC_OK_SSE);
	c->gpr[op->r0] = (u32)_mm_movemask_epi8(get(c, op->r1));
	NEXT(c, op);
}

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
		v = _mm_loadu_si128(vec_load(c, op, c->vec_buf, 16, 16)); \
		set(c, op->r0, intrinsic(get(c, op->r0), v)); \
		NEXT(c, op); \
	}
/* Two-operand legacy integer operations: register and aligned-memory forms. */
VEC_INT_OPS(DEF_INT_OP)

#define INT_ROW(mn, intrinsic) [VI_##mn] = { rr_##mn, rm_##mn },
uop_fn *const vec_int_op[VI_COUNT][2] = { VEC_INT_OPS(INT_ROW) };
