/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * operand.h - a uop's operands, for handlers: registers, and memory. The fast path looks into the software TLB inline;
 * the rest is memory/'s. handler.h has the rules for handlers.
 */
#ifndef MICA_SOFT_OPERAND_H
#define MICA_SOFT_OPERAND_H

#include "cpu/soft/ea.h"
#include "cpu/soft/handler.h"
#include "cpu/soft/memory/access.h"

/* uop.aux of integer handlers */
#define AUX_MEM 1u  /* the operand is in memory */
#define AUX_LOCK 2u /* LOCK prefix */
#define AUX_IMM 4u  /* count / second operand is op->imm */
#define AUX_REP 8u  /* REP/REPE */
#define AUX_REPNE 16u

/* Registers. For 8-bit ones r is a byte offset into gpr[]. */
#define RD8(r) (((const u8 *)c->gpr)[r])
#define RD16(r) (*(const u16 *)(const void *)&c->gpr[r])
#define RD32(r) (*(const u32 *)(const void *)&c->gpr[r])
#define RD64(r) (c->gpr[r])
#define WR8(r, v) (((u8 *)c->gpr)[r] = (u8)(v))
#define WR16(r, v) (*(u16 *)(void *)&c->gpr[r] = (u16)(v))
#define WR32(r, v) (c->gpr[r] = (u32)(v))
#define WR64(r, v) (c->gpr[r] = (u64)(v))

#define always_inline_ static inline __attribute__((always_inline))

always_inline_ u64 reg_rd(const struct soft_cpu *c, unsigned r, unsigned bytes)
{
	return bytes == 1 ? RD8(r) : bytes == 2 ? RD16(r) : bytes == 4 ? RD32(r) : RD64(r);
}

always_inline_ void reg_wr(struct soft_cpu *c, unsigned r, unsigned bytes, u64 v)
{
	if (bytes == 8)
		WR64(r, v);
	else if (bytes == 4)
		WR32(r, v);
	else if (bytes == 2)
		WR16(r, v);
	else
		WR8(r, v);
}

always_inline_ void set_fl(struct soft_cpu *c, u32 f)
{
	*(u16 *)(void *)&c->fl = (u16)f;
}

/* Linear address of the memory operand. */
always_inline_ gva_t ea(struct soft_cpu *c, const struct uop *op, unsigned bytes, bool write)
{
	if (unlikely(op->ea & EA_SLOW)) {
		SOFT_ENTER(c, op);
		return soft_ea(c, op, bytes, write);
	}
	return c->gpr[op->base] + (c->gpr[op->index] << op->scale) + (u64)(s64)op->disp + c->eff_base[op->seg];
}

#define DEF_MEM(bits) \
	always_inline_ u##bits mem_ld##bits(struct soft_cpu *c, const struct uop *op, gva_t lin) \
	{ \
		const struct tlb_entry *e = &c->tlb[tlb_hash(lin)]; \
		if (likely(((lin + bits / 8 - 1) & PAGE_MASK) == e->rtag)) \
			return *(const volatile guest_u##bits *)(uintptr_t)(lin + e->addend); \
		SOFT_ENTER(c, op); \
		return soft_ld##bits(c, lin); \
	} \
	always_inline_ void mem_st##bits(struct soft_cpu *c, const struct uop *op, gva_t lin, u##bits v) \
	{ \
		const struct tlb_entry *e = &c->tlb[tlb_hash(lin)]; \
		if (likely(((lin + bits / 8 - 1) & PAGE_MASK) == e->wtag)) { \
			*(volatile guest_u##bits *)(uintptr_t)(lin + e->addend) = v; \
			return; \
		} \
		SOFT_ENTER(c, op); \
		soft_st##bits(c, lin, v); \
	} \
	/* Host pointer for read-modify-write, or NULL: then soft_ld and soft_st. */ \
	always_inline_ guest_u##bits *mem_rmw##bits(struct soft_cpu *c, const struct uop *op, gva_t lin) \
	{ \
		const struct tlb_entry *e = &c->tlb[tlb_hash(lin)]; \
		if (likely(((lin + bits / 8 - 1) & PAGE_MASK) == e->wtag)) \
			return (guest_u##bits *)(uintptr_t)(lin + e->addend); \
		SOFT_ENTER(c, op); \
		return soft_rmw_ptr(c, lin, bits / 8); \
	}
DEF_MEM(8)
DEF_MEM(16)
DEF_MEM(32)
DEF_MEM(64)
#undef DEF_MEM

always_inline_ u64 mem_ld(struct soft_cpu *c, const struct uop *op, gva_t lin, unsigned bytes)
{
	return bytes == 8   ? mem_ld64(c, op, lin)
	       : bytes == 4 ? mem_ld32(c, op, lin)
	       : bytes == 2 ? mem_ld16(c, op, lin)
			    : mem_ld8(c, op, lin);
}

always_inline_ void mem_st(struct soft_cpu *c, const struct uop *op, gva_t lin, unsigned bytes, u64 v)
{
	if (bytes == 8)
		mem_st64(c, op, lin, v);
	else if (bytes == 4)
		mem_st32(c, op, lin, (u32)v);
	else if (bytes == 2)
		mem_st16(c, op, lin, (u16)v);
	else
		mem_st8(c, op, lin, (u8)v);
}

/* The r/m operand as a source: r1 or memory. */
always_inline_ u64 rm_rd(struct soft_cpu *c, const struct uop *op, unsigned bytes)
{
	return op->aux & AUX_MEM ? mem_ld(c, op, ea(c, op, bytes, false), bytes) : reg_rd(c, op->r1, bytes);
}

#endif
