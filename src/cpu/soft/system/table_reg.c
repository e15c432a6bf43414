/* SPDX-License-Identifier: GPL-2.0-or-later */
/* table_reg.c - GDTR, IDTR, LDTR, TR. */
#include "cpu/soft/system/desc.h"

/* ---- handlers: LDTR, TR ---- */
static outline_ void do_lldt(struct soft_cpu *c, const struct uop *op)
{
	struct sys_desc d;

	sys_need_prot(c);
	sys_need_cpl0(c);
	u16 sel = sys_ld_sel(c, op);
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

	sys_need_prot(c);
	sys_need_cpl0(c);
	u16 sel = sys_ld_sel(c, op);
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
	sys_need_prot(c);
	check_umip(c);
	store_sel(c, op, c->seg[SEG_LDTR].sel);
	NEXT(c, op);
}
void sys_str(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	sys_need_prot(c);
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
	soft_st(c, sys_lin(c, lin + 2), bytes, base); /* first the part that may be unaligned, and fault */
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
