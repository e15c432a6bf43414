/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vec_operand.h - what vector and x87 handlers begin with: may it run, and where its memory operand lies. */
#ifndef MICA_SOFT_VEC_OPERAND_H
#define MICA_SOFT_VEC_OPERAND_H

#include "cpu/soft/ea.h"
#include "cpu/soft/handler.h"
#include "cpu/soft/memory/access.h"
#include "cpu/soft/vector/vec_class.h"

/* The instruction may not run now: raise what CR0, CR4, XCR0 ask for. cls: of vec_desc. */
noreturn_ cold_ void vec_refuse(struct soft_cpu *c, const struct uop *op, unsigned cls);
#define VEC_CHECK(c, op, cls_) \
	do { \
		if (unlikely(!((c)->vec_ok & ((cls_)&VC_OK)))) \
			vec_refuse(c, op, cls_); \
	} while (0)

/* The handler prefix##name around do_name(), whose locals may be pointed to. */
#define DEF_VEC(prefix, name) \
	void prefix##name(struct soft_cpu *c, const struct uop *op) \
	{ \
		do_##name(c, op); \
		NEXT(c, op); \
	}

static inline gva_t vec_ea(struct soft_cpu *c, const struct uop *op, unsigned bytes, bool write)
{
	if (likely(!op->ea))
		return c->eff_base[op->seg] + c->gpr[op->base] + (c->gpr[op->index] << op->scale) + (u64)(s64)op->disp;
	SOFT_ENTER(c, op);
	return soft_ea(c, op, bytes, write);
}
/* Host address of `bytes` at lin when the TLB has it and it lies in one page, else NULL. */
static inline void *vec_rptr(struct soft_cpu *c, gva_t lin, unsigned bytes)
{
	const struct tlb_entry *e = &c->tlb[tlb_hash(lin)];

	if (likely(e->rtag == (lin & PAGE_MASK) && (lin & ~PAGE_MASK) <= PAGE_BYTES - bytes))
		return (void *)(uintptr_t)(lin + e->addend);
	return NULL;
}
static inline void *vec_wptr(struct soft_cpu *c, gva_t lin, unsigned bytes)
{
	const struct tlb_entry *e = &c->tlb[tlb_hash(lin)];

	if (likely(e->wtag == (lin & PAGE_MASK) && (lin & ~PAGE_MASK) <= PAGE_BYTES - bytes))
		return (void *)(uintptr_t)(lin + e->addend);
	return NULL;
}

#endif
