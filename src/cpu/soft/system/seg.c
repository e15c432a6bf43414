/* SPDX-License-Identifier: GPL-2.0-or-later */
/* seg.c - segment descriptors, segment registers, descriptor table registers (SDM 3A 3.4, 3.5, 5). */
#include "cpu/soft/system/sys.h"

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

/* ---- committing ---- */
void sys_set_seg(struct soft_cpu *c, unsigned seg, const struct cpu_seg *s)
{
	c->seg[seg] = *s;
	if (!soft_code64(c) || seg == SEG_FS || seg == SEG_GS)
		c->eff_base[seg] = s->base;
}

void sys_set_seg_real(struct soft_cpu *c, unsigned seg, u16 sel)
{
	/* Limit and attributes stay what they were (3A 9.9.2, step 9: "unreal" mode lives on this), but
	 * a segment left unusable by protected mode must come back to life. */
	struct cpu_seg s = c->seg[seg];

	if (s.ar & SEG_AR_UNUSABLE) {
		s.ar = SEG_AR_P | SEG_AR_S | 3;
		s.limit = 0xffff;
	}
	s.sel = sel;
	s.base = (u64)sel << 4;
	if (seg == SEG_CS)
		s.ar = (s.ar & (SEG_AR_DB | SEG_AR_G)) | SEG_AR_P | SEG_AR_S | 3;
	sys_set_seg(c, seg, &s);
}

void sys_set_seg_vm86(struct soft_cpu *c, unsigned seg, u16 sel)
{
	struct cpu_seg s = { .sel = sel, .ar = 0xf3, .limit = 0xffff, .base = (u64)sel << 4 };

	sys_set_seg(c, seg, &s);
}

void sys_set_seg_null(struct soft_cpu *c, unsigned seg, u16 sel)
{
	/* SS keeps a DPL: it is the CPL. */
	struct cpu_seg s = { .sel = sel, .ar = SEG_AR_UNUSABLE | (seg == SEG_SS ? (u32)c->cpl << 5 : 0) };

	sys_set_seg(c, seg, &s);
}

/* ---- MOV to a segment register (SDM 2, MOV) ---- */
static void check_ss(struct soft_cpu *c, u16 sel, struct sys_desc *d)
{
	if (!sys_desc_get(c, sel, d) || (sel & SEL_RPL) != c->cpl || !desc_is_writable_data(d) || desc_dpl(d) != c->cpl)
		sys_fault_sel(c, EXC_GP, sel);
	if (!desc_present(d))
		sys_fault_sel(c, EXC_SS, sel);
}

static void check_data(struct soft_cpu *c, u16 sel, struct sys_desc *d)
{
	if (!sys_desc_get(c, sel, d) || !desc_is_readable(d))
		sys_fault_sel(c, EXC_GP, sel);
	if (!desc_is_conforming(d) && ((sel & SEL_RPL) > desc_dpl(d) || c->cpl > desc_dpl(d)))
		sys_fault_sel(c, EXC_GP, sel);
	if (!desc_present(d))
		sys_fault_sel(c, EXC_NP, sel);
}

outline_ void sys_load_seg(struct soft_cpu *c, unsigned seg, u16 sel)
{
	struct sys_desc d;

	if (!sys_prot(c)) {
		if (sys_vm86(c))
			sys_set_seg_vm86(c, seg, sel);
		else
			sys_set_seg_real(c, seg, sel);
		return;
	}
	if (sel_null(sel)) {
		if (seg == SEG_SS && (!soft_code64(c) || c->cpl == 3 || (sel & SEL_RPL) != c->cpl))
			sys_fault_0(c, EXC_GP);
		sys_set_seg_null(c, seg, sel);
	} else {
		if (seg == SEG_SS)
			check_ss(c, sel, &d);
		else
			check_data(c, sel, &d);
		sys_desc_accessed(c, &d);
		struct cpu_seg s = sys_seg_of(&d, sel);
		sys_set_seg(c, seg, &s);
	}
	if (seg == SEG_SS)
		soft_mode_changed(c);
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

		/* Only the selector goes, and the right to use it: 64-bit code of FS and GS lives on the base. A null
		 * selector loses its RPL. */
		if (sel_null(s->sel)) {
			s->sel = 0;
		} else if (!conforming && (s->ar >> 5 & 3) < c->cpl) {
			s->sel = 0;
			s->ar = SEG_AR_UNUSABLE;
		}
	}
}

/* ---- handlers: segment registers. r0: gpr, r1: segment register, aux: memory operand ---- */
void sys_mov_from_sreg(struct soft_cpu *c, const struct uop *op)
{
	u16 sel = c->seg[op->r1].sel;

	if (op->aux) {
		SOFT_ENTER(c, op);
		soft_st16(c, soft_ea(c, op, 2, true), sel);
	} else if (op->osize == 2) {
		c->gpr[op->r0] = (c->gpr[op->r0] & ~0xffffull) | sel;
	} else {
		c->gpr[op->r0] = sel;
	}
	NEXT(c, op);
}

/* An instruction that loaded SS: no interrupt, no debug trap until after the next one. Of several in a row only the
 * first does this (SDM 2B, MOV), or a program of nothing else could keep everything out. */
static void ss_shadow(struct soft_cpu *c)
{
	if (c->stepping && c->was_shadow_ss)
		return;
	c->shadow = c->shadow_ss = true;
	soft_step_changed(c);
}

void sys_mov_to_sreg(struct soft_cpu *c, const struct uop *op)
{
	u16 sel;

	SOFT_ENTER(c, op);
	sel = op->aux ? soft_ld16(c, soft_ea(c, op, 2, false)) : (u16)c->gpr[op->r0];
	sys_load_seg(c, op->r1, sel);
	if (op->r1 == SEG_SS) {
		c->rip = SOFT_NEXT_RIP(c, op);
		ss_shadow(c);
		soft_exit(c);
		return;
	}
	NEXT(c, op);
}

/* The handler sys_name around do_name(), whose locals may be pointed to (INV-CHAIN-1). */
#define DEF_SYS(name) \
	void sys_##name(struct soft_cpu *c, const struct uop *op) \
	{ \
		SOFT_ENTER(c, op); \
		do_##name(c, op); \
		NEXT(c, op); \
	}

static outline_ void do_push_sreg(struct soft_cpu *c, const struct uop *op)
{
	struct sys_stack s;

	sys_stack_current(c, &s);
	sys_push(c, &s, op->osize, c->seg[op->r1].sel);
	sys_stack_commit(c, &s);
}
DEF_SYS(push_sreg)

static outline_ void do_pop_sreg(struct soft_cpu *c, const struct uop *op)
{
	struct sys_stack s;

	sys_stack_current(c, &s);
	u16 sel = (u16)sys_pop(c, &s, op->osize);
	sys_load_seg(c, op->r1, sel);
	sys_stack_commit(c, &s);
}
void sys_pop_sreg(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	do_pop_sreg(c, op);
	if (op->r1 == SEG_SS) {
		c->rip = SOFT_NEXT_RIP(c, op);
		ss_shadow(c);
		soft_exit(c);
		return;
	}
	NEXT(c, op);
}

/* LDS LES LFS LGS LSS: r0 gpr, r1 segment register, osize of the offset. */
void sys_lxs(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	gva_t lin = soft_ea(c, op, op->osize + 2u, false);
	u64 off = soft_ld(c, lin, op->osize);
	u16 sel = soft_ld16(c, sys_lin(c, lin + op->osize));

	sys_load_seg(c, op->r1, sel);
	if (op->osize == 2)
		c->gpr[op->r0] = (c->gpr[op->r0] & ~0xffffull) | off;
	else
		c->gpr[op->r0] = off;
	if (op->r1 == SEG_SS) {
		/* No shadow after LSS (3A 6.8.3), but the width of the stack may be another. */
		c->rip = SOFT_NEXT_RIP(c, op);
		soft_leave(c, op);
		return;
	}
	NEXT(c, op);
}

/* ---- handlers: LDTR, TR ---- */
static void need_prot(struct soft_cpu *c)
{
	if (!sys_prot(c))
		soft_ud(c);
}
static u16 ld_sel(struct soft_cpu *c, const struct uop *op)
{
	return op->aux ? soft_ld16(c, soft_ea(c, op, 2, false)) : (u16)c->gpr[op->r0];
}

static outline_ void do_lldt(struct soft_cpu *c, const struct uop *op)
{
	struct sys_desc d;

	need_prot(c);
	sys_need_cpl0(c);
	u16 sel = ld_sel(c, op);
	if (sel_null(sel)) {
		c->seg[SEG_LDTR] = (struct cpu_seg){ .sel = sel, .ar = SEG_AR_UNUSABLE };
		return;
	}
	if ((sel & SEL_TI) || !sys_desc_get_sys(c, sel, &d) || desc_sys_type(&d) != SYS_LDT)
		sys_fault_sel(c, EXC_GP, sel);
	if (!desc_present(&d))
		sys_fault_sel(c, EXC_NP, sel);
	if (!soft_canonical(d.base))
		sys_fault_sel(c, EXC_GP, sel);
	c->seg[SEG_LDTR] = sys_seg_of(&d, sel);
}
DEF_SYS(lldt)

static outline_ void do_ltr(struct soft_cpu *c, const struct uop *op)
{
	struct sys_desc d;

	need_prot(c);
	sys_need_cpl0(c);
	u16 sel = ld_sel(c, op);
	if (sel_null(sel))
		sys_fault_0(c, EXC_GP);
	if ((sel & SEL_TI) || !sys_desc_get_sys(c, sel, &d))
		sys_fault_sel(c, EXC_GP, sel);
	unsigned type = desc_sys_type(&d);
	if (type != SYS_TSS32 && (type != SYS_TSS16 || sys_lma(c)))
		sys_fault_sel(c, EXC_GP, sel);
	if (!desc_present(&d))
		sys_fault_sel(c, EXC_NP, sel);
	if (!soft_canonical(d.base))
		sys_fault_sel(c, EXC_GP, sel);
	sys_desc_busy(c, &d, true);
	c->seg[SEG_TR] = sys_seg_of(&d, sel);
	c->seg[SEG_TR].ar |= 2;
}
DEF_SYS(ltr)

/* UMIP: SGDT SIDT SLDT STR SMSW outside ring 0 (SDM 3A 2.5). */
static void check_umip(struct soft_cpu *c)
{
	if (unlikely(c->cpl && (c->cr4 & CR4_UMIP)))
		sys_fault_0(c, EXC_GP);
}

static void store_sel(struct soft_cpu *c, const struct uop *op, u16 sel)
{
	if (op->aux)
		soft_st16(c, soft_ea(c, op, 2, true), sel);
	else if (op->osize == 2)
		c->gpr[op->r0] = (c->gpr[op->r0] & ~0xffffull) | sel;
	else
		c->gpr[op->r0] = sel;
}
void sys_sldt(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	need_prot(c);
	check_umip(c);
	store_sel(c, op, c->seg[SEG_LDTR].sel);
	NEXT(c, op);
}
void sys_str(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	need_prot(c);
	check_umip(c);
	store_sel(c, op, c->seg[SEG_TR].sel);
	NEXT(c, op);
}

/* ---- handlers: GDTR, IDTR. osize: 2, 4 (base of 24 or 32 bits), 8 ---- */
static outline_ void ld_table(struct soft_cpu *c, const struct uop *op, u64 *base, u16 *limit)
{
	sys_need_cpl0(c);
	unsigned bytes = soft_code64(c) ? 8 : 4;
	gva_t lin = soft_ea(c, op, bytes + 2, false);
	u16 l = soft_ld16(c, lin);
	u64 b = soft_ld(c, sys_lin(c, lin + 2), bytes);

	if (bytes == 8) {
		if (!soft_canonical(b))
			sys_fault_0(c, EXC_GP);
	} else if (op->osize == 2) {
		b &= 0xffffff;
	}
	*base = b;
	*limit = l;
}
void sys_lgdt(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	ld_table(c, op, &c->gdt_base, &c->gdt_limit);
	NEXT(c, op);
}
void sys_lidt(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	ld_table(c, op, &c->idt_base, &c->idt_limit);
	NEXT(c, op);
}
static outline_ void st_table(struct soft_cpu *c, const struct uop *op, u64 base, u16 limit)
{
	check_umip(c);
	unsigned bytes = soft_code64(c) ? 8 : 4;
	gva_t lin = soft_ea(c, op, bytes + 2, true);

	soft_probe(c, lin, bytes + 2, true);
	soft_st(c, sys_lin(c, lin + 2), bytes, base); /* the one that may be unaligned first */
	soft_st16(c, lin, limit);
}
void sys_sgdt(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	st_table(c, op, c->gdt_base, c->gdt_limit);
	NEXT(c, op);
}
void sys_sidt(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	st_table(c, op, c->idt_base, c->idt_limit);
	NEXT(c, op);
}

/* ---- handlers: looking at descriptors without loading them ---- */
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

	need_prot(c);
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
		u32 v = (u32)(d.raw >> 32) &
			0x00ffff00; /* bits 19:16: as processors have it; the manuals leave them open */
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

	need_prot(c);
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

	need_prot(c);
	u16 sel = ld_sel(c, op);
	set_zf(c, sys_desc_get(c, sel, &d) && desc_is_readable(&d) && may_look(c, sel, &d));
}
DEF_SYS(verr)

static outline_ void do_verw(struct soft_cpu *c, const struct uop *op)
{
	struct sys_desc d;

	need_prot(c);
	u16 sel = ld_sel(c, op);
	set_zf(c, sys_desc_get(c, sel, &d) && desc_is_writable_data(&d) && may_look(c, sel, &d));
}
DEF_SYS(verw)

/* r0: destination when a register, r1: source. */
void sys_arpl(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	need_prot(c);
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
