/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * chain.h - how the last handler of a block goes on to another block.
 */
#ifndef MICA_SOFT_CHAIN_H
#define MICA_SOFT_CHAIN_H

#include "cpu/soft/handler.h"

/* 64-bit code: continue at linear address t, which may be anything. */
#define GOTO_RIP64(c, op, t) \
	do { \
		u64 t_ = (t); \
		struct jc_entry *e_ = &(c)->jc[jc_hash(t_)]; \
		if (likely(e_->key == t_ && !e_->block->dead && \
			   !atomic_load_explicit(&(c)->pending, memory_order_relaxed))) { \
			(c)->gpr[GPR_BLK] = t_; \
			GOTO_UOP((c), e_->block->op); \
		} \
		(c)->rip = t_; \
		LEAVE(c, op); \
	} while (0)

#define LEAVE(c, op) TAIL(soft_leave, c, op)

/* 64-bit code: continue at t, in the same page as this block; op->ptr remembers the block. */
#define GOTO_LINK64(c, op, t) \
	do { \
		struct block *b_ = __atomic_load_n((struct block *const *)&(op)->ptr, __ATOMIC_RELAXED); \
		u64 t_ = (t); \
		if (likely(b_ && !b_->dead && !atomic_load_explicit(&(c)->pending, memory_order_relaxed))) { \
			(c)->gpr[GPR_BLK] = t_; \
			GOTO_UOP((c), b_->op); \
		} \
		(c)->rip = t_; \
		TAIL((c)->hooks->link, c, op); \
	} while (0)

#endif
