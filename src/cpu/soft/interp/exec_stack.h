/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exec_stack.h - pushing and popping in any mode, committed by set_sp() once nothing can fault any more. */
#ifndef MICA_SOFT_EXEC_STACK_H
#define MICA_SOFT_EXEC_STACK_H

#include "cpu/soft/interp/exec.h"

/* In 64-bit code. */
always_inline_ void push64(struct soft_cpu *c, const struct uop *op, u64 v)
{
	u64 sp = c->gpr[GPR_RSP] - 8;
	mem_st64(c, op, sp, v);
	c->gpr[GPR_RSP] = sp;
}

static inline u64 sp_mask(const struct soft_cpu *c)
{
	return c->mode & MODE_CODE64 ? ~0ull : c->mode & MODE_SS32 ? 0xffffffffull : 0xffffull;
}
static inline void set_sp(struct soft_cpu *c, u64 sp)
{
	u64 m = sp_mask(c);
	c->gpr[GPR_RSP] = m == 0xffff ? (c->gpr[GPR_RSP] & ~0xffffull) | (sp & m) : sp & m;
}

/* Where the instruction has a memory operand too, op->seg is that operand's. So #SS is raised here. */
static inline void check_sp(struct soft_cpu *c, u64 sp)
{
	if ((c->mode & MODE_CODE64) && unlikely(!soft_canonical(sp)))
		soft_raise(c, EXC_SS, 0);
}

/* The last pushed/popped word stays uncommitted until set_sp(). */
static inline void push_at(struct soft_cpu *c, u64 sp, unsigned bytes, u64 v)
{
	check_sp(c, sp);
	soft_st(c, soft_seg_lin(c, SEG_SS, sp & sp_mask(c), bytes, true), bytes, v);
}
static inline u64 pop_at(struct soft_cpu *c, u64 sp, unsigned bytes)
{
	check_sp(c, sp);
	return soft_ld(c, soft_seg_lin(c, SEG_SS, sp & sp_mask(c), bytes, false), bytes);
}

#endif
