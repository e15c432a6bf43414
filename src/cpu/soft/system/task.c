/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * task.c - hardware task switching (SDM 3A 7.3). Never in long mode.
 *
 * A switch has a point of no return. Before it: limits, and that every byte of both TSSs and the
 * descriptors to be marked can be accessed; faults are the old task's. After it: the new task's
 * registers are all loaded, and checking the selectors among them raises in the new task, at its
 * first instruction.
 */
#include "cpu/soft/system/debug.h"
#include "cpu/soft/system/desc.h"
#include "cpu/soft/system/stack.h"
#include "cpu/soft/system/sys.h"

struct tss {
	u32 cr3, eip, eflags, gpr[8];
	u16 seg[6]; /* ES CS SS DS FS GS */
	u16 ldt;
	bool trap;
};

/* Offsets of what is saved and restored: 3A figures 7-2 and 7-10. */
enum { T32_CR3 = 28, T32_EIP = 32, T32_EFLAGS = 36, T32_GPR = 40, T32_SEG = 72, T32_LDT = 96, T32_TRAP = 100 };
enum { T16_IP = 14, T16_FLAGS = 16, T16_GPR = 18, T16_SEG = 34, T16_LDT = 42 };

static u32 rd(struct soft_cpu *c, u64 base, u32 off, unsigned n)
{
	return (u32)soft_ld_priv(c, (u32)(base + off), n, false);
}
static void wr(struct soft_cpu *c, u64 base, u32 off, unsigned n, u32 v)
{
	soft_st_priv(c, (u32)(base + off), n, v, false);
}

static void read_tss(struct soft_cpu *c, u64 base, bool t32, struct tss *t)
{
	if (t32) {
		t->cr3 = rd(c, base, T32_CR3, 4);
		t->eip = rd(c, base, T32_EIP, 4);
		t->eflags = rd(c, base, T32_EFLAGS, 4);
		for (unsigned i = 0; i < 8; i++)
			t->gpr[i] = rd(c, base, T32_GPR + 4 * i, 4);
		for (unsigned i = 0; i < 6; i++)
			t->seg[i] = (u16)rd(c, base, T32_SEG + 4 * i, 2);
		t->ldt = (u16)rd(c, base, T32_LDT, 2);
		t->trap = rd(c, base, T32_TRAP, 2) & 1;
		return;
	}
	t->cr3 = 0;
	t->eip = rd(c, base, T16_IP, 2);
	t->eflags = rd(c, base, T16_FLAGS, 2);
	for (unsigned i = 0; i < 8; i++)
		t->gpr[i] = rd(c, base, T16_GPR + 2 * i, 2) | 0xffff0000;
	for (unsigned i = 0; i < 4; i++)
		t->seg[i] = (u16)rd(c, base, T16_SEG + 2 * i, 2);
	t->seg[4] = t->seg[5] = 0;
	t->ldt = (u16)rd(c, base, T16_LDT, 2);
	t->trap = false;
}

static void save_old(struct soft_cpu *c, u64 base, bool t32, u64 next_rip, u32 flags)
{
	unsigned n = t32 ? 4 : 2;

	wr(c, base, t32 ? T32_EIP : T16_IP, n, (u32)next_rip);
	wr(c, base, t32 ? T32_EFLAGS : T16_FLAGS, n, flags);
	for (unsigned i = 0; i < 8; i++)
		wr(c, base, t32 ? T32_GPR + 4 * i : T16_GPR + 2 * i, n, (u32)c->gpr[i]);
	for (unsigned i = 0; i < (t32 ? 6u : 4u); i++)
		wr(c, base, t32 ? T32_SEG + 4 * i : T16_SEG + 2 * i, 2, c->seg[i].sel);
}

static void load_ldt(struct soft_cpu *c, u16 sel)
{
	struct sys_desc d;

	if (sel_null(sel))
		return;
	if ((sel & SEL_TI) || !sys_desc_get(c, sel, &d) || desc_sys_type(&d) != SYS_LDT || !desc_present(&d))
		sys_fault_sel(c, EXC_TS, sel);
	c->seg[SEG_LDTR] = sys_seg_of(&d, sel);
}

static void load_cs(struct soft_cpu *c, u16 sel)
{
	struct sys_desc d;

	if (!sys_desc_get(c, sel, &d) || !desc_is_code(&d) ||
	    (desc_is_conforming(&d) ? desc_dpl(&d) > c->cpl : desc_dpl(&d) != c->cpl))
		sys_fault_sel(c, EXC_TS, sel);
	if (!desc_present(&d))
		sys_fault_sel(c, EXC_NP, sel);
	sys_desc_accessed(c, &d);
	c->seg[SEG_CS] = sys_seg_of(&d, sel);
}

static void load_ss(struct soft_cpu *c, u16 sel)
{
	struct sys_desc d;

	if (!sys_desc_get(c, sel, &d) || (sel & SEL_RPL) != c->cpl || !desc_is_writable_data(&d) ||
	    desc_dpl(&d) != c->cpl)
		sys_fault_sel(c, EXC_TS, sel);
	if (!desc_present(&d))
		sys_fault_sel(c, EXC_SS, sel);
	sys_desc_accessed(c, &d);
	c->seg[SEG_SS] = sys_seg_of(&d, sel);
}

static void load_data(struct soft_cpu *c, unsigned seg, u16 sel)
{
	struct sys_desc d;

	if (sel_null(sel))
		return;
	if (!sys_desc_get(c, sel, &d) || !desc_is_readable(&d) ||
	    (!desc_is_conforming(&d) && ((sel & SEL_RPL) > desc_dpl(&d) || c->cpl > desc_dpl(&d))))
		sys_fault_sel(c, EXC_TS, sel);
	if (!desc_present(&d))
		sys_fault_sel(c, EXC_NP, sel);
	sys_desc_accessed(c, &d);
	struct cpu_seg s = sys_seg_of(&d, sel);
	sys_set_seg(c, seg, &s);
}

/* Load the new task's registers. Selectors are loaded without their descriptors for now. */
static void load_registers(struct soft_cpu *c, const struct tss *t, bool t32)
{
	bool vm = t->eflags & FL_VM;

	if (t32 && (c->cr0 & CR0_PG)) {
		c->cr3 = t->cr3;
		soft_tlb_flush(c, false);
	}
	for (unsigned i = 0; i < 8; i++)
		c->gpr[i] = t->gpr[i];
	c->rip = t->eip;
	c->cpl = vm ? 3 : t->seg[SEG_CS] & SEL_RPL;
	for (unsigned i = 0; i < 6; i++) {
		if (vm)
			sys_set_seg_vm86(c, i, t->seg[i]);
		else
			c->seg[i] = (struct cpu_seg){ .sel = t->seg[i], .ar = SEG_AR_UNUSABLE };
	}
	c->seg[SEG_LDTR] = (struct cpu_seg){ .sel = t->ldt, .ar = SEG_AR_UNUSABLE };
	soft_set_rflags(c, (t->eflags & (FL_STATUS | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC |
					 FL_VIF | FL_VIP | FL_ID)) |
			       2);
	c->cr0 |= CR0_TS;
	soft_vec_changed(c);
	c->dr7 &= ~0x155ull; /* the local enables, LE */
	soft_step_changed(c);
	soft_mode_changed(c);
}

void sys_task_switch(struct soft_cpu *c, u16 sel, struct sys_desc *d, enum sys_switch why, u64 next_rip, s64 error)
{
	struct cpu_seg *tr = &c->seg[SEG_TR];
	struct sys_desc old_d;
	struct tss t;
	bool t32 = d->ar & 8, old32 = tr->ar & 8;
	u64 old_base = tr->base;

	if (d->limit < (t32 ? 103u : 43u))
		sys_fault_sel(c, EXC_TS, sel);
	/* All the pages involved, as they will be used. The old TSS may be shorter than its format. */
	if (tr->limit < (old32 ? 95u : 41u))
		sys_fault_sel(c, EXC_TS, tr->sel);
	soft_probe_priv(c, (u32)old_base, old32 ? 96 : 42, true, false);
	soft_probe_priv(c, (u32)d->base, t32 ? 104 : 44, why == SWITCH_CALL || why == SWITCH_INT, false);
	if (!sys_desc_get(c, tr->sel, &old_d))
		sys_fault_sel(c, EXC_TS, tr->sel);
	soft_probe_priv(c, old_d.lin, 8, true, false);
	soft_probe_priv(c, d->lin, 8, true, false);

	/* From here on the switch cannot be restarted, not even when it writes to the page it runs from. */
	bool redo = c->redo_step;
	c->redo_step = true;
	u32 flags = (u32)soft_get_rflags(c);
	if (why == SWITCH_IRET)
		flags &= ~FL_NT;
	if (why == SWITCH_JMP || why == SWITCH_IRET)
		sys_desc_busy(c, &old_d, false);
	save_old(c, old_base, old32, next_rip, flags);
	read_tss(c, d->base, t32, &t);
	if (why == SWITCH_CALL || why == SWITCH_INT) {
		wr(c, d->base, 0, 2, tr->sel);
		t.eflags |= FL_NT;
	}
	if (why != SWITCH_IRET)
		sys_desc_busy(c, d, true);

	*tr = sys_seg_of(d, sel);
	tr->ar |= 2;
	load_registers(c, &t, t32);
	load_ldt(c, t.ldt);
	if (!(t.eflags & FL_VM)) {
		load_cs(c, t.seg[SEG_CS]);
		load_ss(c, t.seg[SEG_SS]);
		load_data(c, SEG_ES, t.seg[SEG_ES]);
		load_data(c, SEG_DS, t.seg[SEG_DS]);
		load_data(c, SEG_FS, t.seg[SEG_FS]);
		load_data(c, SEG_GS, t.seg[SEG_GS]);
	}
	soft_mode_changed(c);
	if (error >= 0) {
		struct sys_stack s;

		sys_stack_current(c, &s);
		sys_push(c, &s, t32 ? 4 : 2, (u64)error);
		sys_stack_commit(c, &s);
	}
	if (c->rip > c->seg[SEG_CS].limit)
		sys_fault_0(c, EXC_GP);
	c->no_step_trap = true; /* the old task's TF */
	c->redo_step = redo;
	if (t.trap)
		soft_raise_db(c, DR6_BT, true);
}
