/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * deliver.c - an event's way to its handler: through the IVT, the IDT, or a task gate (SDM 3A 6.12, 6.14).
 */
#include "cpu/soft/system/desc.h"
#include "cpu/soft/system/short.h"
#include "cpu/soft/system/stack.h"

/* ---- through the IVT ---- */
static void deliver_real(struct soft_cpu *c, u8 vec, u64 ret_rip)
{
	struct sys_stack s;

	if (vec * 4u + 3 > c->idt_limit)
		soft_raise(c, EXC_GP, vec * 8 + 2 + (s64)sys_ext(c));
	u32 entry = (u32)soft_ld_priv(c, (u32)(c->idt_base + vec * 4u), 4, false);
	sys_stack_current(c, &s);
	sys_push(c, &s, 2, soft_get_rflags(c) & 0xffff);
	sys_push(c, &s, 2, c->seg[SEG_CS].sel);
	sys_push(c, &s, 2, ret_rip & 0xffff);
	sys_stack_commit(c, &s);
	sys_set_seg_real(c, SEG_CS, (u16)(entry >> 16));
	c->rip = entry & 0xffff;
	c->sysflags &= ~(FL_IF | FL_TF | FL_AC | FL_RF);
	soft_set_rflags(c, soft_get_rflags(c));
	soft_mode_changed(c);
}

/* INT n in virtual-8086 mode with VME and the vector's bit clear: to the task's own IVT (3A 20.3.3). */
static void deliver_vme(struct soft_cpu *c, u8 vec, u64 ret_rip)
{
	struct sys_stack s;
	u64 fl = soft_get_rflags(c);
	u32 entry = soft_ld32(c, vec * 4u);
	u64 pushed = fl & 0xffff;

	if (sys_iopl(c) < 3) {
		pushed = (pushed & ~(u64)FL_IF) | FL_IOPL | (fl & FL_VIF ? FL_IF : 0);
		fl &= ~(u64)FL_VIF;
	} else {
		fl &= ~(u64)FL_IF;
	}
	fl &= ~(u64)(FL_TF | FL_RF | FL_NT);
	sys_stack_current(c, &s);
	sys_push(c, &s, 2, pushed);
	sys_push(c, &s, 2, c->seg[SEG_CS].sel);
	sys_push(c, &s, 2, ret_rip & 0xffff);
	sys_stack_commit(c, &s);
	sys_set_seg_vm86(c, SEG_CS, (u16)(entry >> 16));
	c->rip = entry & 0xffff;
	soft_set_rflags(c, fl);
	soft_mode_changed(c);
}

/* Does the redirection map send vec to the task's own IVT? Not if its bit is set or there is no map (3A 20.3.3.1). */
static bool vme_redirects(struct soft_cpu *c, u8 vec)
{
	const struct cpu_seg *tr = &c->seg[SEG_TR];

	if (!(tr->ar & 8) || tr->limit < 103)
		return false;
	u32 io = (u32)soft_ld_priv(c, (u32)(tr->base + 102), 2, false);
	if (io < 32 || io - 32 + vec / 8u > tr->limit)
		return false;
	u32 bits = (u32)soft_ld_priv(c, (u32)(tr->base + io - 32 + vec / 8u), 1, false);
	return !(bits >> (vec & 7) & 1);
}

bool sys_vme_int(struct soft_cpu *c, u8 vec, u64 ret_rip)
{
	if (!vme_redirects(c, vec))
		return false;
	c->no_step_trap = true;
	deliver_vme(c, vec, ret_rip);
	return true;
}

/* ---- through the IDT ---- */
static noreturn_ cold_ void idt_fault(struct soft_cpu *c, enum soft_exc f, u8 vec)
{
	soft_raise(c, f, vec * 8 + 2 + (s64)sys_ext(c));
}

static void deliver_task(struct soft_cpu *c, u16 sel, s64 error, u64 ret_rip)
{
	struct sys_desc d;

	if ((sel & SEL_TI) || !sys_desc_get(c, sel, &d))
		sys_fault_sel(c, EXC_GP, sel);
	unsigned type = desc_sys_type(&d);
	if (type != SYS_TSS16 && type != SYS_TSS32)
		sys_fault_sel(c, EXC_GP, sel);
	if (!desc_present(&d))
		sys_fault_sel(c, EXC_NP, sel);
	sys_task_switch(c, sel, &d, SWITCH_INT, ret_rip, error);
}

/* RFLAGS as saved by an event: faults but instruction breakpoints set RF (3B 17.3.1.1); software
 * interrupts save it clear. */
static u64 saved_flags(struct soft_cpu *c, u8 vec, enum sys_event ev)
{
	u64 fl = soft_get_rflags(c);

	if (ev == EV_EXC) {
		bool trap = vec == EXC_DB || vec == EXC_BP || vec == EXC_OF || c->exc.is_trap;
		return trap ? fl : fl | FL_RF;
	}
	return ev == EV_INTR ? fl : fl & ~(u64)FL_RF;
}

/* Long mode: always a 64-bit frame on a 64-bit stack (3A 6.14.2). */
static void deliver_long(struct soft_cpu *c, u8 vec, enum sys_event ev, s64 error, u64 ret_rip)
{
	struct sys_desc cs, ss;
	struct sys_stack s;
	u16 ss_sel;

	if (vec * 16u + 15 > c->idt_limit)
		idt_fault(c, EXC_GP, vec);
	u64 lo = soft_ld_priv(c, c->idt_base + vec * 16u, 8, false);
	u64 hi = soft_ld_priv(c, c->idt_base + vec * 16u + 8, 8, false);
	unsigned type = (unsigned)(lo >> 40) & 0x1f;
	if (type != SYS_INT32 && type != SYS_TRAP32)
		idt_fault(c, EXC_GP, vec);
	if (ev == EV_SOFT && (lo >> 45 & 3) < c->cpl)
		idt_fault(c, EXC_GP, vec);
	if (!(lo >> 47 & 1))
		idt_fault(c, EXC_NP, vec);

	u16 sel = (u16)(lo >> 16);
	u64 rip = (lo & 0xffff) | (lo >> 32 & 0xffff0000) | hi << 32;
	unsigned ist = (unsigned)(lo >> 32) & 7;
	if (sel_null(sel))
		sys_fault_0(c, EXC_GP);
	if (!sys_desc_get(c, sel, &cs) || !desc_is_code(&cs) || desc_dpl(&cs) > c->cpl ||
	    (cs.ar & (SEG_AR_L | SEG_AR_DB)) != SEG_AR_L)
		sys_fault_sel(c, EXC_GP, sel);
	if (!desc_present(&cs))
		sys_fault_sel(c, EXC_NP, sel);

	unsigned ring = desc_is_conforming(&cs) ? c->cpl : desc_dpl(&cs);
	bool inner = ring != c->cpl;
	if (inner || ist)
		sys_tss_stack(c, ring, ist, &s, &ss, &ss_sel);
	else
		sys_stack_64(&s, c->gpr[GPR_RSP], ring);
	s.sp &= ~0xfull;
	if (!soft_canonical(rip))
		sys_fault_0(c, EXC_GP);

	u64 fl = saved_flags(c, vec, ev);
	sys_push(c, &s, 8, c->seg[SEG_SS].sel);
	sys_push(c, &s, 8, c->gpr[GPR_RSP]);
	sys_push(c, &s, 8, fl);
	sys_push(c, &s, 8, c->seg[SEG_CS].sel);
	sys_push(c, &s, 8, ret_rip);
	if (error >= 0)
		sys_push(c, &s, 8, (u64)error);
	sys_desc_accessed(c, &cs);

	sys_commit_cs(c, &cs, sel, ring);
	if (inner)
		sys_set_seg_null(c, SEG_SS, (u16)ring);
	c->gpr[GPR_RSP] = s.sp;
	c->rip = rip;
	fl = soft_get_rflags(c) & ~(u64)(FL_TF | FL_NT | FL_RF | FL_VM);
	if (type == SYS_INT32)
		fl &= ~(u64)FL_IF;
	soft_set_rflags(c, fl);
	soft_mode_changed(c);
}

/* The short way from 64-bit code to ring 0. False: this event needs the long way, and nothing was changed. */
static bool deliver_short(struct soft_cpu *c, u8 vec, enum sys_event ev, s64 error, u64 ret_rip)
{
	const struct tlb_entry *super = c->tlbs[TLB_SUPER];
	volatile guest_u64 *p;
	u64 raw, sp = c->gpr[GPR_RSP];
	unsigned n = error >= 0 ? 6 : 5;

	if (!soft_code64(c) || !sys_plain(c) || vec * 16u + 15 > c->idt_limit)
		return false;
	if (!(p = sys_hit(super, c->idt_base + vec * 16u, 16, false)))
		return false;
	u64 lo = p[0], rip = (lo & 0xffff) | (lo >> 32 & 0xffff0000) | p[1] << 32;
	unsigned type = (unsigned)(lo >> 40) & 0x1f, ist = (unsigned)(lo >> 32) & 7;
	u16 sel = (u16)(lo >> 16);
	if ((type != SYS_INT32 && type != SYS_TRAP32) || !(lo >> 47 & 1) || !soft_canonical(rip) ||
	    (ev == EV_SOFT && (lo >> 45 & 3) < c->cpl) || !sys_gdt_hit(c, sel, SYS_KIND_CODE64, 0, &raw))
		return false;
	if (c->cpl || ist) {
		u32 off = ist ? 28 + 8 * ist : 4;

		if (off + 7 > c->seg[SEG_TR].limit || !(p = sys_hit(super, c->seg[SEG_TR].base + off, 8, false)))
			return false;
		sp = *p;
	}
	sp = (sp & ~0xfull) - 8 * n;
	if (!(p = sys_hit(super, sp, 8 * n, true)))
		return false;

	if (error >= 0)
		*p++ = (u64)error;
	p[0] = ret_rip;
	p[1] = c->seg[SEG_CS].sel;
	p[2] = saved_flags(c, vec, ev);
	p[3] = c->gpr[GPR_RSP];
	p[4] = c->seg[SEG_SS].sel;
	bool inner = c->cpl;
	c->seg[SEG_CS] = sys_seg_of_raw(raw, sel & (u16)~SEL_RPL);
	c->cpl = 0;
	if (inner)
		sys_set_seg_null(c, SEG_SS, 0);
	c->gpr[GPR_RSP] = sp;
	c->rip = rip;
	sys_set_plain_flags(c, soft_get_rflags(c) & ~(u64)(FL_NT | (type == SYS_INT32 ? FL_IF : 0)));
	sys_ring_changed(c);
	return true;
}

static void deliver_legacy(struct soft_cpu *c, u8 vec, enum sys_event ev, s64 error, u64 ret_rip)
{
	struct sys_desc cs, ss;
	struct sys_stack s;
	u16 ss_sel = 0;

	if (vec * 8u + 7 > c->idt_limit)
		idt_fault(c, EXC_GP, vec);
	u64 gate = soft_ld_priv(c, (u32)(c->idt_base + vec * 8u), 8, false);
	unsigned type = (unsigned)(gate >> 40) & 0x1f;
	if (type != SYS_TASK_GATE && type != SYS_INT16 && type != SYS_TRAP16 && type != SYS_INT32 && type != SYS_TRAP32)
		idt_fault(c, EXC_GP, vec);
	if (ev == EV_SOFT && (gate >> 45 & 3) < c->cpl)
		idt_fault(c, EXC_GP, vec);
	if (!(gate >> 47 & 1))
		idt_fault(c, EXC_NP, vec);
	u16 sel = (u16)(gate >> 16);
	if (type == SYS_TASK_GATE) {
		deliver_task(c, sel, error, ret_rip);
		return;
	}

	bool g32 = type & 8;
	unsigned n = g32 ? 4 : 2;
	u64 rip = (gate & 0xffff) | (g32 ? gate >> 32 & 0xffff0000 : 0);
	bool vm = sys_vm86(c);
	if (sel_null(sel))
		sys_fault_0(c, EXC_GP);
	if (!sys_desc_get(c, sel, &cs) || !desc_is_code(&cs) || desc_dpl(&cs) > c->cpl)
		sys_fault_sel(c, EXC_GP, sel);
	if (!desc_present(&cs))
		sys_fault_sel(c, EXC_NP, sel);
	unsigned ring = desc_is_conforming(&cs) ? c->cpl : desc_dpl(&cs);
	bool inner = ring != c->cpl;
	if (vm && ring != 0)
		sys_fault_sel(c, EXC_GP, sel);
	if (inner)
		sys_tss_stack(c, ring, 0, &s, &ss, &ss_sel);
	else
		sys_stack_current(c, &s);
	if (rip > cs.limit)
		sys_fault_0(c, EXC_GP);

	u64 fl = saved_flags(c, vec, ev);
	if (vm) {
		sys_push(c, &s, n, c->seg[SEG_GS].sel);
		sys_push(c, &s, n, c->seg[SEG_FS].sel);
		sys_push(c, &s, n, c->seg[SEG_DS].sel);
		sys_push(c, &s, n, c->seg[SEG_ES].sel);
	}
	if (inner) {
		sys_push(c, &s, n, c->seg[SEG_SS].sel);
		sys_push(c, &s, n, c->gpr[GPR_RSP]);
	}
	sys_push(c, &s, n, fl);
	sys_push(c, &s, n, c->seg[SEG_CS].sel);
	sys_push(c, &s, n, ret_rip);
	if (error >= 0)
		sys_push(c, &s, n, (u64)error);
	sys_desc_accessed(c, &cs);
	if (inner)
		sys_desc_accessed(c, &ss);

	fl = soft_get_rflags(c) & ~(u64)(FL_TF | FL_NT | FL_RF | FL_VM);
	if (!(type & 1))
		fl &= ~(u64)FL_IF;
	sys_commit_cs(c, &cs, sel, ring);
	if (vm) {
		sys_set_seg_null(c, SEG_GS, 0);
		sys_set_seg_null(c, SEG_FS, 0);
		sys_set_seg_null(c, SEG_DS, 0);
		sys_set_seg_null(c, SEG_ES, 0);
	}
	if (inner)
		c->seg[SEG_SS] = sys_seg_of(&ss, ss_sel);
	sys_stack_commit(c, &s);
	c->rip = rip;
	soft_set_rflags(c, fl);
	soft_mode_changed(c);
}

void sys_deliver(struct soft_cpu *c, u8 vec, enum sys_event ev, s64 error, u64 ret_rip)
{
	/* INT n clears TF, and with it its own single-step trap (3B 17.3.1.4). */
	if (ev == EV_SOFT || ev == EV_ICEBP)
		c->no_step_trap = true;
	if (likely(deliver_short(c, vec, ev, error, ret_rip)))
		return;
	if (soft_real_mode(c))
		deliver_real(c, vec, ret_rip);
	else if (sys_lma(c))
		deliver_long(c, vec, ev, error, ret_rip);
	else
		deliver_legacy(c, vec, ev, error, ret_rip);
}
