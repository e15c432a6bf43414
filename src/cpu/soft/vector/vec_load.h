/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vec_load.h - loads and stores of the vector handlers that are written in C. */
#ifndef MICA_SOFT_VEC_LOAD_H
#define MICA_SOFT_VEC_LOAD_H

#include "cpu/soft/vector/vec_operand.h"

/* vec_move.c: what the TLB does not serve, and #GP. */
cold_ const void *vec_load_slow(struct soft_cpu *c, const struct uop *op, gva_t lin, void *buf, unsigned bytes);
cold_ void vec_store_slow(struct soft_cpu *c, const struct uop *op, gva_t lin, const void *v, unsigned bytes);
noreturn_ cold_ void vec_misaligned(struct soft_cpu *c, const struct uop *op);

/* buf is only used where the TLB does not serve. */
static inline __attribute__((always_inline)) const void *vec_load(struct soft_cpu *c, const struct uop *op, void *buf,
								  unsigned bytes, unsigned align)
{
	gva_t lin = vec_ea(c, op, bytes, false);
	const void *p;

	if (unlikely(lin & (align - 1)))
		vec_misaligned(c, op);
	p = vec_rptr(c, lin, bytes);
	return likely(p != NULL) ? p : vec_load_slow(c, op, lin, buf, bytes);
}

static inline __attribute__((always_inline)) void vec_store(struct soft_cpu *c, const struct uop *op, const void *v,
							    unsigned bytes, unsigned align)
{
	gva_t lin = vec_ea(c, op, bytes, true);
	void *p;

	if (unlikely(lin & (align - 1)))
		vec_misaligned(c, op);
	p = vec_wptr(c, lin, bytes);
	if (likely(p != NULL))
		memcpy(p, v, bytes);
	else
		vec_store_slow(c, op, lin, v, bytes);
}

#endif
