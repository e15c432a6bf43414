/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vec_mem.c - vector instructions whose memory accesses depend on data: gathers and masked moves,
 * element by element; and VZEROUPPER, VZEROALL.
 *
 * Elements that the mask disables are neither read nor checked. Alignment is not checked, except by MASKMOVQ and
 * MASKMOVDQU for their eight bytes on AMD's processors. A gather that faults keeps the elements it has read and clears
 * their masks, so that it resumes where it stopped (SDM 2, VGATHERDPD). Masked stores check every enabled element
 * before the first is written.
 */
#include "cpu/soft/vector/vec.h"
#include "cpu/soft/vector/vec_operand.h"
#include "cpu/soft/vector/vec_ops.h"

/* The element's linear address from the operand's offset and a displacement. */
static gva_t element(struct soft_cpu *c, const struct uop *op, u64 off, unsigned bytes, bool write)
{
	if (!soft_code64(c) || (op->ea & EA_A32))
		off = (u32)off;
	if (op->ea & EA_A16)
		off = (u16)off;
	return soft_seg_lin(c, op->seg, off, bytes, write);
}

static bool top_bit(const u8 *p, unsigned bytes)
{
	return p[bytes - 1] & 0x80;
}

void vec_gather(struct soft_cpu *c, const struct uop *op)
{
	struct vec_gather g;
	u8 *dst = c->vec[op->r0], *mask, *index;
	u64 off;

	memcpy(&g, &op->imm, sizeof(g));
	mask = c->vec[g.mask];
	index = c->vec[g.index];
	VEC_CHECK(c, op, VEC_OK_AVX);
	SOFT_ENTER(c, op);
	off = soft_ea_offset(c, op);
	for (unsigned i = 0; i < g.count; i++) {
		u8 *m = mask + i * g.elem;
		s64 x;

		/* Cleared one by one, enabled or not, as processors do. */
		if (!top_bit(m, g.elem)) {
			memset(m, 0, g.elem);
			continue;
		}
		x = g.idx == 4 ? (s32)ld_le32(index + i * 4) : (s64)ld_le64(index + i * 8);
		soft_ld_bytes_any(c, element(c, op, off + ((u64)x << g.scale), g.elem, false), dst + i * g.elem,
				  g.elem);
		memset(m, 0, g.elem);
	}
	memset(dst + g.count * g.elem, 0, 32 - g.count * g.elem);
	memset(mask, 0, 32);
	NEXT(c, op);
}

/* VMASKMOVPS/PD, VPMASKMOVD/Q. */
static noinline_ void do_maskmov_load(struct soft_cpu *c, const struct uop *op)
{
	const u8 *mask = c->vec[op->aux];
	u8 v[32] = { 0 };
	u64 off;

	VEC_CHECK(c, op, VEC_OK_AVX);
	SOFT_ENTER(c, op);
	off = soft_ea_offset(c, op);
	for (unsigned i = 0; i < op->r1; i++)
		if (top_bit(mask + i * op->osize, op->osize))
			soft_ld_bytes_any(c, element(c, op, off + i * op->osize, op->osize, false), v + i * op->osize,
					  op->osize);
	memcpy(c->vec[op->r0], v, 32);
}
DEF_VEC(vec_, maskmov_load)

void vec_maskmov_store(struct soft_cpu *c, const struct uop *op)
{
	const u8 *mask = c->vec[op->aux], *v = c->vec[op->r0];
	gva_t lin[8];
	u64 off;

	VEC_CHECK(c, op, VEC_OK_AVX);
	SOFT_ENTER(c, op);
	off = soft_ea_offset(c, op);
	for (unsigned i = 0; i < op->r1; i++)
		if (top_bit(mask + i * op->osize, op->osize)) {
			lin[i] = element(c, op, off + i * op->osize, op->osize, true);
			soft_probe(c, lin[i], op->osize, true);
		}
	for (unsigned i = 0; i < op->r1; i++)
		if (top_bit(mask + i * op->osize, op->osize))
			soft_st_bytes_any(c, lin[i], v + i * op->osize, op->osize);
	NEXT(c, op);
}

/* Store the bytes of v whose mask byte has its top bit set to DS:rDI (op's memory operand). */
static void store_bytes(struct soft_cpu *c, const struct uop *op, const u8 *v, const u8 *mask, unsigned n)
{
	u64 off = soft_ea_offset(c, op);
	gva_t lin[16];

	if (unlikely(c->tlb == c->tlbs[TLB_USER_ALIGN]))
		soft_check_align(c, element(c, op, off, 1, true), 1, 8, true);
	for (unsigned i = 0; i < n; i++)
		if (mask[i] & 0x80) {
			lin[i] = element(c, op, off + i, 1, true);
			soft_probe(c, lin[i], 1, true);
		}
	for (unsigned i = 0; i < n; i++)
		if (mask[i] & 0x80)
			soft_st8(c, lin[i], v[i]);
}

void vec_maskmovdqu(struct soft_cpu *c, const struct uop *op)
{
	VEC_CHECK(c, op, op->aux);
	SOFT_ENTER(c, op);
	store_bytes(c, op, c->vec[op->r0], c->vec[op->r1], 16);
	NEXT(c, op);
}

static noinline_ void do_maskmovq(struct soft_cpu *c, const struct uop *op)
{
	const struct vec_stubs *st = c->vm->stubs;
	u8 v[8], m[8];

	VEC_CHECK(c, op, VEC_OK_X87 | VC_MMX);
	SOFT_ENTER(c, op);
	st->mm_store[op->r0](v, NULL, NULL, NULL, NULL, c);
	st->mm_store[op->r1](m, NULL, NULL, NULL, NULL, c);
	store_bytes(c, op, v, m, 8);
}
DEF_VEC(vec_, maskmovq)

void vec_zeroupper(struct soft_cpu *c, const struct uop *op)
{
	unsigned n = soft_code64(c) ? 16 : 8;

	VEC_CHECK(c, op, VEC_OK_AVX);
	for (unsigned i = 0; i < n; i++)
		memset(c->vec[i] + 16, 0, 16);
	NEXT(c, op);
}

void vec_zeroall(struct soft_cpu *c, const struct uop *op)
{
	VEC_CHECK(c, op, VEC_OK_AVX);
	memset(c->vec, 0, (size_t)(soft_code64(c) ? 16 : 8) * 32);
	NEXT(c, op);
}
