/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exec_rmw.h - an operand that is read and written: register r1, or memory, locked or not. */
#ifndef MICA_SOFT_EXEC_RMW_H
#define MICA_SOFT_EXEC_RMW_H

#include "cpu/soft/interp/exec_flags.h"

/* A memory operand. p is NULL where it has no host address (devices, page borders): then soft_ld() and soft_st(). */
struct rmw {
	void *p;
	gva_t lin;
};

static inline struct rmw rmw_of(struct soft_cpu *c, const struct uop *op, unsigned bytes)
{
	struct rmw m = { NULL, 0 };

	if (op->aux & AUX_MEM) {
		m.lin = soft_ea(c, op, bytes, true);
		m.p = soft_rmw_ptr(c, m.lin, bytes);
	}
	return m;
}

static inline u64 host_ld(const void *p, unsigned n)
{
	return n == 8   ? *(const volatile guest_u64 *)p
	       : n == 4 ? *(const volatile guest_u32 *)p
	       : n == 2 ? *(const volatile guest_u16 *)p
			: *(const volatile guest_u8 *)p;
}

static inline u64 rmw_rd(struct soft_cpu *c, const struct uop *op, const struct rmw *m, unsigned n)
{
	if (!(op->aux & AUX_MEM))
		return reg_rd(c, op->r1, n);
	return m->p ? host_ld(m->p, n) : soft_ld(c, m->lin, n);
}

/* Atomic compare and store: false when the operand is no longer `old` (locked memory only). */
static inline bool rmw_wr(struct soft_cpu *c, const struct uop *op, const struct rmw *m, unsigned n, u64 old, u64 v)
{
	if (!(op->aux & AUX_MEM)) {
		reg_wr(c, op->r1, n, v);
		return true;
	}
	if (!m->p) {
		soft_st(c, m->lin, n, v);
		return true;
	}
	switch (n) {
	case 1: {
		u8 o = (u8)old;
		return __atomic_compare_exchange_n((u8 *)m->p, &o, (u8)v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	case 2: {
		u16 o = (u16)old;
		return __atomic_compare_exchange_n((u16 *)m->p, &o, (u16)v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	case 4: {
		u32 o = (u32)old;
		return __atomic_compare_exchange_n((u32 *)m->p, &o, (u32)v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	default:
		return __atomic_compare_exchange_n((u64 *)m->p, &old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
}

#endif
