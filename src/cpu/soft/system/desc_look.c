/* SPDX-License-Identifier: GPL-2.0-or-later */
/* desc_look.c - looking at descriptors without loading them: LAR, LSL, VERR, VERW; and ARPL. */
#include "cpu/soft/system/desc.h"

static void set_zf(struct soft_cpu *c, bool on)
{
	c->fl = on ? c->fl | FL_ZF << 8 : c->fl & ~(FL_ZF << 8);
}

/* Visible at this CPL and RPL. */
static bool may_look(const struct soft_cpu *c, u16 sel, const struct sys_desc *d)
{
	return desc_is_conforming(d) || (c->cpl <= desc_dpl(d) && (sel & SEL_RPL) <= desc_dpl(d));
}

static outline_ void do_lar(struct soft_cpu *c, const struct uop *op)
{
	struct sys_desc d;

	sys_need_prot(c);
	u16 sel = op->aux ? soft_ld16(c, soft_ea(c, op, 2, false)) : (u16)c->gpr[op->r1];
	bool ok = sys_desc_get(c, sel, &d);
	if (ok && !(d.ar & SEG_AR_S)) {
		/* Types that have attributes to show: SDM 2, table of LAR. */
		u32 types = sys_lma(c)
				? 1u << 2 | 1u << 9 | 1u << 0xb | 1u << 0xc
				: 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 9 | 1u << 0xb | 1u << 0xc;
		u64 upper;

		ok = types >> (d.ar & SEG_AR_TYPE) & 1;
		if (ok && sys_lma(c))
			ok = sys_desc_upper(c, sel, &upper) && !(upper >> 40 & 0x1f);
	}
	ok = ok && may_look(c, sel, &d);
	if (ok) {
		u32 v = (u32)(d.raw >> 32) & 0x00ffff00; /* bits 19:16 are undefined; this is what processors do */
		if (op->osize == 2)
			c->gpr[op->r0] = (c->gpr[op->r0] & ~0xffffull) | (v & 0xff00);
		else
			c->gpr[op->r0] = v;
	}
	set_zf(c, ok);
}
DEF_SYS(lar)

static outline_ void do_lsl(struct soft_cpu *c, const struct uop *op)
{
	struct sys_desc d;

	sys_need_prot(c);
	u16 sel = op->aux ? soft_ld16(c, soft_ea(c, op, 2, false)) : (u16)c->gpr[op->r1];
	bool ok = sys_desc_get(c, sel, &d);
	if (ok && !(d.ar & SEG_AR_S)) {
		u32 types =
		    sys_lma(c) ? 1u << 2 | 1u << 9 | 1u << 0xb : 1u << 1 | 1u << 2 | 1u << 3 | 1u << 9 | 1u << 0xb;
		u64 upper;

		ok = types >> (d.ar & SEG_AR_TYPE) & 1;
		if (ok && sys_lma(c))
			ok = sys_desc_upper(c, sel, &upper) && !(upper >> 40 & 0x1f);
	}
	ok = ok && may_look(c, sel, &d);
	if (ok) {
		if (op->osize == 2)
			c->gpr[op->r0] = (c->gpr[op->r0] & ~0xffffull) | (d.limit & 0xffff);
		else
			c->gpr[op->r0] = d.limit;
	}
	set_zf(c, ok);
}
DEF_SYS(lsl)

static outline_ void do_verr(struct soft_cpu *c, const struct uop *op)
{
	struct sys_desc d;

	sys_need_prot(c);
	u16 sel = sys_ld_sel(c, op);
	set_zf(c, sys_desc_get(c, sel, &d) && desc_is_readable(&d) && may_look(c, sel, &d));
}
DEF_SYS(verr)

static outline_ void do_verw(struct soft_cpu *c, const struct uop *op)
{
	struct sys_desc d;

	sys_need_prot(c);
	u16 sel = sys_ld_sel(c, op);
	set_zf(c, sys_desc_get(c, sel, &d) && desc_is_writable_data(&d) && may_look(c, sel, &d));
}
DEF_SYS(verw)

/* r0: destination when a register, r1: source. */
void sys_arpl(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	sys_need_prot(c);
	u16 src = (u16)c->gpr[op->r1] & SEL_RPL;
	gva_t lin = op->aux ? soft_ea(c, op, 2, true) : 0;
	u16 dst;

	if (op->aux) {
		soft_probe(c, lin, 2, true);
		dst = soft_ld16(c, lin);
	} else {
		dst = (u16)c->gpr[op->r0];
	}
	bool less = (dst & SEL_RPL) < src;
	if (less) {
		dst = (u16)((dst & ~SEL_RPL) | src);
		if (op->aux)
			soft_st16(c, lin, dst);
		else
			c->gpr[op->r0] = (c->gpr[op->r0] & ~0xffffull) | dst;
	}
	set_zf(c, less);
	NEXT(c, op);
}
