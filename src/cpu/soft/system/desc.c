/* SPDX-License-Identifier: GPL-2.0-or-later */
/* desc.c - reading segment descriptors, and checking code segments (SDM 3A 3.4.5, 3.5, 5). */
#include "cpu/soft/system/desc.h"

void sys_fault_sel(struct soft_cpu *c, enum soft_exc vec, u16 sel)
{
	soft_raise(c, vec, (s64)((sel & ~SEL_RPL) | sys_ext(c)));
}
void sys_fault_0(struct soft_cpu *c, enum soft_exc vec)
{
	soft_raise(c, vec, (s64)sys_ext(c));
}

/* ---- descriptors ---- */
static void take_apart(struct sys_desc *d)
{
	struct cpu_seg s = sys_seg_of_raw(d->raw, 0);

	d->ar = s.ar;
	d->base = s.base;
	d->limit = s.limit;
}

/* Address of a table's entry, checked to hold `bytes`. */
static bool table_lin(const struct soft_cpu *c, u16 sel, unsigned bytes, gva_t *lin)
{
	u64 base = c->gdt_base;
	u32 limit = c->gdt_limit;

	if (sel & SEL_TI) {
		if (c->seg[SEG_LDTR].ar & SEG_AR_UNUSABLE)
			return false;
		base = c->seg[SEG_LDTR].base;
		limit = c->seg[SEG_LDTR].limit;
	}
	if ((u32)(sel & ~7u) + bytes - 1 > limit)
		return false;
	*lin = sys_lin(c, base + (sel & ~7u));
	return true;
}

bool sys_desc_get(struct soft_cpu *c, u16 sel, struct sys_desc *d)
{
	if (sel_null(sel) || !table_lin(c, sel, 8, &d->lin))
		return false;
	d->raw = soft_ld_priv(c, d->lin, 8, false);
	take_apart(d);
	return true;
}

bool sys_desc_upper(struct soft_cpu *c, u16 sel, u64 *upper)
{
	gva_t lin;

	if (!table_lin(c, sel, 16, &lin))
		return false;
	*upper = soft_ld_priv(c, sys_lin(c, lin + 8), 8, false);
	return true;
}

bool sys_desc_get_sys(struct soft_cpu *c, u16 sel, struct sys_desc *d)
{
	u64 upper;

	if (!sys_desc_get(c, sel, d))
		return false;
	if (sys_lma(c) && !(d->ar & SEG_AR_S)) {
		if (!sys_desc_upper(c, sel, &upper))
			return false;
		d->base |= upper << 32;
	}
	return true;
}

void sys_desc_accessed(struct soft_cpu *c, struct sys_desc *d)
{
	if (d->ar & 1)
		return;
	soft_st_priv(c, sys_lin(c, d->lin + 5), 1, (d->raw >> 40 & 0xff) | 1, false);
	d->ar |= 1;
	d->raw |= 1ull << 40;
}

void sys_desc_busy(struct soft_cpu *c, const struct sys_desc *d, bool busy)
{
	u64 b = soft_ld_priv(c, sys_lin(c, d->lin + 5), 1, false);

	soft_st_priv(c, sys_lin(c, d->lin + 5), 1, busy ? b | 2 : b & ~2ull, false);
}

/* ---- code segments ---- */
void sys_check_cs(struct soft_cpu *c, u16 sel, const struct sys_desc *d, enum sys_cs_how how)
{
	unsigned rpl = sel & SEL_RPL, dpl = desc_dpl(d);
	bool bad = !desc_is_code(d);

	if (how == SYS_CS_RETURN)
		bad = bad || rpl < c->cpl || (desc_is_conforming(d) ? dpl > rpl : dpl != rpl);
	else
		bad = bad || (desc_is_conforming(d) ? dpl > c->cpl : (rpl > c->cpl || dpl != c->cpl));
	if (sys_lma(c) && (d->ar & (SEG_AR_L | SEG_AR_DB)) == (SEG_AR_L | SEG_AR_DB))
		bad = true;
	if (bad)
		sys_fault_sel(c, EXC_GP, sel);
	if (!desc_present(d))
		sys_fault_sel(c, EXC_NP, sel);
}

void sys_check_target(struct soft_cpu *c, const struct sys_desc *cs, u64 rip)
{
	if (sys_desc_code64(c, cs) ? !soft_canonical(rip) : rip > cs->limit)
		sys_fault_0(c, EXC_GP);
}

void sys_commit_cs(struct soft_cpu *c, struct sys_desc *d, u16 sel, unsigned cpl)
{
	c->seg[SEG_CS] = sys_seg_of(d, (u16)((sel & ~SEL_RPL) | cpl));
	c->cpl = (u8)cpl;
}

void sys_drop_inner_segs(struct soft_cpu *c)
{
	static const u8 names[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		struct cpu_seg *s = &c->seg[names[i]];
		bool conforming = (s->ar & (SEG_AR_S | 0xc)) == (SEG_AR_S | 0xc);

		/* The segment becomes unusable, but its base stays: 64-bit code uses FS and GS by their bases. A null
		 * selector loses its RPL. */
		if (sel_null(s->sel)) {
			s->sel = 0;
		} else if (!conforming && (s->ar >> 5 & 3) < c->cpl) {
			s->sel = 0;
			s->ar = SEG_AR_UNUSABLE;
		}
	}
}
