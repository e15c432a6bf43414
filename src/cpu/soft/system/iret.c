/* SPDX-License-Identifier: GPL-2.0-or-later */
/* iret.c - IRET, in all modes (SDM 2, IRET). osize: 2, 4, 8. */
#include "cpu/soft/system/desc.h"
#include "cpu/soft/system/short.h"
#include "cpu/soft/system/stack.h"
#include "cpu/soft/system/sys.h"

#define FL_ALWAYS (FL_STATUS | FL_TF | FL_DF | FL_NT)

/* RF only matters to instruction breakpoints, and soft_step_before() is what takes it away again. */
static u64 keep_rf(const struct soft_cpu *c, u64 fl)
{
	return c->dr7 & 0xff ? fl : fl & ~(u64)FL_RF;
}

/* New RFLAGS by what the old CPL may change. */
static u64 merge_flags(struct soft_cpu *c, u64 new, unsigned osize)
{
	u64 may = FL_ALWAYS;

	if (osize >= 4)
		may |= FL_RF | FL_AC | FL_ID;
	if (c->cpl <= sys_iopl(c))
		may |= FL_IF;
	if (c->cpl == 0)
		may |= FL_IOPL | (osize >= 4 ? FL_VIF | FL_VIP : 0);
	return keep_rf(c, (soft_get_rflags(c) & ~may) | (new &may));
}

static outline_ void iret_real(struct soft_cpu *c, const struct uop *op)
{
	struct sys_stack s;
	unsigned n = op->osize;

	sys_stack_current(c, &s);
	u64 ip = sys_pop(c, &s, n);
	u16 cs = (u16)sys_pop(c, &s, n);
	u64 fl = sys_pop(c, &s, n);
	if (ip > c->seg[SEG_CS].limit)
		sys_fault_0(c, EXC_GP);
	u64 may = FL_ALWAYS | FL_IF | FL_IOPL | (n >= 4 ? FL_RF | FL_AC | FL_ID : 0);
	sys_stack_commit(c, &s);
	sys_set_seg_real(c, SEG_CS, cs);
	c->rip = ip;
	soft_set_rflags(c, keep_rf(c, (soft_get_rflags(c) & ~may) | (fl & may)));
	soft_mode_changed(c);
}

static outline_ void iret_vm86(struct soft_cpu *c, const struct uop *op)
{
	struct sys_stack s;
	unsigned n = op->osize;
	u64 old = soft_get_rflags(c), may;

	if (sys_iopl(c) < 3 && (!(c->cr4 & CR4_VME) || n != 2))
		sys_fault_0(c, EXC_GP);
	sys_stack_current(c, &s);
	u64 ip = sys_pop(c, &s, n);
	u16 cs = (u16)sys_pop(c, &s, n);
	u64 fl = sys_pop(c, &s, n);
	if (ip > 0xffff)
		sys_fault_0(c, EXC_GP);
	if (sys_iopl(c) == 3) {
		may = FL_ALWAYS | FL_IF | (n >= 4 ? FL_RF | FL_AC | FL_ID : 0);
	} else {
		/* IF stands for VIF (3A 20.3.3.4). */
		if ((fl & FL_TF) || ((fl & FL_IF) && (old & FL_VIP)))
			sys_fault_0(c, EXC_GP);
		may = FL_ALWAYS | FL_VIF;
		fl = (fl & ~(u64)FL_VIF) | (fl & FL_IF ? FL_VIF : 0);
	}
	sys_stack_commit(c, &s);
	sys_set_seg_vm86(c, SEG_CS, cs);
	c->rip = ip;
	soft_set_rflags(c, keep_rf(c, (old & ~may) | (fl & may)));
	soft_mode_changed(c);
}

static outline_ void iret_task(struct soft_cpu *c, const struct uop *op)
{
	struct sys_desc d;
	u16 sel = (u16)soft_ld_priv(c, (u32)c->seg[SEG_TR].base, 2, false);

	if ((sel & SEL_TI) || !sys_desc_get(c, sel, &d))
		sys_fault_sel(c, EXC_TS, sel);
	unsigned type = desc_sys_type(&d);
	if (type != SYS_TSS16_BUSY && type != SYS_TSS32_BUSY)
		sys_fault_sel(c, EXC_TS, sel);
	if (!desc_present(&d))
		sys_fault_sel(c, EXC_NP, sel);
	sys_task_switch(c, sel, &d, SWITCH_IRET, SOFT_NEXT_RIP(c, op), EXC_NO_ERROR);
}

static void iret_to_vm86(struct soft_cpu *c, struct sys_stack *s, u64 ip, u16 cs, u64 fl)
{
	u64 sp = sys_pop(c, s, 4);
	u16 ss = (u16)sys_pop(c, s, 4);
	u16 es = (u16)sys_pop(c, s, 4);
	u16 ds = (u16)sys_pop(c, s, 4);
	u16 fs = (u16)sys_pop(c, s, 4);
	u16 gs = (u16)sys_pop(c, s, 4);

	if (ip > 0xffff)
		sys_fault_0(c, EXC_GP);
	u64 may = FL_ALWAYS | FL_IF | FL_IOPL | FL_RF | FL_VM | FL_AC | FL_VIF | FL_VIP | FL_ID;
	c->cpl = 3;
	sys_set_seg_vm86(c, SEG_CS, cs);
	sys_set_seg_vm86(c, SEG_SS, ss);
	sys_set_seg_vm86(c, SEG_ES, es);
	sys_set_seg_vm86(c, SEG_DS, ds);
	sys_set_seg_vm86(c, SEG_FS, fs);
	sys_set_seg_vm86(c, SEG_GS, gs);
	c->gpr[GPR_RSP] = (u32)sp;
	c->rip = ip;
	soft_set_rflags(c, keep_rf(c, (soft_get_rflags(c) & ~may) | (fl & may)));
	soft_mode_changed(c);
}

/* Check SS for a return to `cs` with privilege rpl. False: it is null, which 64-bit code of rings 0 to 2 may have. */
static bool check_return_ss(struct soft_cpu *c, u16 sel, const struct sys_desc *cs, unsigned rpl, struct sys_desc *ss)
{
	if (sel_null(sel)) {
		if (!sys_desc_code64(c, cs) || rpl == 3 || (sel & SEL_RPL) != rpl)
			sys_fault_0(c, EXC_GP);
		return false;
	}
	if (!sys_desc_get(c, sel, ss) || (sel & SEL_RPL) != rpl || !desc_is_writable_data(ss) || desc_dpl(ss) != rpl)
		sys_fault_sel(c, EXC_GP, sel);
	if (!desc_present(ss))
		sys_fault_sel(c, EXC_SS, sel);
	return true;
}

static outline_ void iret_prot(struct soft_cpu *c, const struct uop *op)
{
	struct sys_desc cs, ss;
	struct sys_stack s;
	unsigned n = op->osize;
	u64 sp = 0;
	u16 ss_sel = 0;

	sys_stack_current(c, &s);
	u64 ip = sys_pop(c, &s, n);
	u16 sel = (u16)sys_pop(c, &s, n);
	u64 fl = sys_pop(c, &s, n);
	if ((fl & FL_VM) && n == 4 && c->cpl == 0 && !sys_lma(c)) {
		iret_to_vm86(c, &s, ip, sel, fl);
		return;
	}
	unsigned rpl = sel & SEL_RPL, old_cpl = c->cpl;
	bool pop_ss = rpl > c->cpl || soft_code64(c);
	if (sel_null(sel))
		sys_fault_0(c, EXC_GP);
	if (!sys_desc_get(c, sel, &cs))
		sys_fault_sel(c, EXC_GP, sel);
	sys_check_cs(c, sel, &cs, SYS_CS_RETURN);
	bool have_ss = false;
	if (pop_ss) {
		sp = sys_pop(c, &s, n);
		ss_sel = (u16)sys_pop(c, &s, n);
		have_ss = check_return_ss(c, ss_sel, &cs, rpl, &ss);
	}
	sys_check_target(c, &cs, ip);
	sys_desc_accessed(c, &cs);
	if (have_ss)
		sys_desc_accessed(c, &ss);

	fl = merge_flags(c, fl, n);
	sys_commit_cs(c, &cs, sel, rpl);
	if (pop_ss) {
		if (have_ss)
			c->seg[SEG_SS] = sys_seg_of(&ss, ss_sel);
		else
			sys_set_seg_null(c, SEG_SS, ss_sel);
		if (sys_desc_code64(c, &cs) || n == 8)
			c->gpr[GPR_RSP] = sp;
		else if (ss.ar & SEG_AR_DB)
			c->gpr[GPR_RSP] = (u32)sp;
		else
			c->gpr[GPR_RSP] = (c->gpr[GPR_RSP] & ~0xffffull) | (u16)sp;
	} else {
		sys_stack_commit(c, &s);
	}
	if (rpl > old_cpl)
		sys_drop_inner_segs(c);
	c->rip = ip;
	soft_set_rflags(c, fl);
	soft_mode_changed(c);
	if (rpl == 3 && old_cpl != 3)
		sys_to_user(c);
}

void sys_iret(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	if (likely(op->osize == 8 && sys_iret_short(c))) {
		/* done */
	} else if (soft_real_mode(c)) {
		iret_real(c, op);
	} else if (sys_vm86(c)) {
		iret_vm86(c, op);
	} else if (c->sysflags & FL_NT) {
		if (sys_lma(c))
			sys_fault_0(c, EXC_GP);
		iret_task(c, op);
	} else {
		iret_prot(c, op);
	}
	c->nmi_masked = false;
	if (unlikely(c->nmi_latched))
		soft_exit(c);
	else
		soft_leave(c, op);
}
