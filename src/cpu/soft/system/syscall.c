/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * syscall.c - SYSCALL SYSRET SYSENTER SYSEXIT (SDM 2; APM 3).
 *
 * Where the vendors differ the model's vendor decides: AMD has SYSCALL in legacy and compatibility
 * modes and no SYSENTER in long mode, Intel the reverse.
 */
#include "cpu/soft/system/debug.h"
#include "cpu/soft/system/desc.h"
#include "cpu/soft/system/short.h"
#include "cpu/soft/system/sys.h"

void sys_syscall(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	u64 next = SOFT_NEXT_RIP(c, op), fl = soft_get_rflags(c);
	if (likely(sys_syscall_short(c, next))) {
		soft_leave(c, op);
		return;
	}
	u16 cs = (u16)(c->star >> 32) & 0xfffc;

	if (!(c->efer & EFER_SCE) || !(c->mode & MODE_PE))
		soft_ud(c);
	if (!soft_code64(c) && !sys_vendor_amd(c))
		soft_ud(c);
	if (likely(sys_lma(c))) {
		c->gpr[GPR_RCX] = soft_code64(c) ? next : (u32)next;
		c->gpr[GPR_R8 + 3] = fl & ~(u64)FL_RF;
		c->rip = soft_code64(c) ? c->lstar : c->cstar;
		fl &= ~(c->fmask | FL_RF | FL_VM);
		sys_set_cs_flat(c, cs, 0, true, false);
	} else {
		c->gpr[GPR_RCX] = (u32)next;
		c->rip = (u32)c->star;
		fl &= ~(u64)(FL_IF | FL_RF | FL_VM);
		sys_set_cs_flat(c, cs, 0, false, true);
	}
	sys_set_ss_flat(c, (u16)(cs + 8), 0);
	c->cpl = 0;
	c->no_step_trap = !(fl & FL_TF); /* FMASK counts for the trap after SYSCALL itself */
	soft_set_rflags(c, fl);
	soft_mode_changed(c);
	soft_leave(c, op);
}

/* osize 8: back to 64-bit code. */
void sys_sysret(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	u16 base = (u16)(c->star >> 48);
	bool to64 = op->osize == 8;

	if (likely(to64 && sys_sysret_short(c))) {
		soft_leave(c, op);
		return;
	}
	if (!(c->efer & EFER_SCE) || !(c->mode & MODE_PE) || (!soft_code64(c) && !sys_vendor_amd(c)))
		soft_ud(c);
	sys_need_cpl0(c);
	if (likely(to64)) {
		/* Intel's processors fault here, AMD's when they fetch at CPL 3. */
		if (!soft_canonical(c->gpr[GPR_RCX]) && !sys_vendor_amd(c))
			sys_fault_0(c, EXC_GP);
		c->rip = c->gpr[GPR_RCX];
		sys_set_cs_flat(c, (u16)((base + 16) | 3), 3, true, false);
	} else {
		c->rip = (u32)c->gpr[GPR_RCX];
		sys_set_cs_flat(c, base | 3, 3, false, true);
	}
	sys_set_ss_flat(c, (u16)((base + 8) | 3), 3);
	c->cpl = 3;
	if (sys_lma(c))
		soft_set_rflags(c, (c->gpr[GPR_R8 + 3] & 0x3c7fd7) | 2);
	else
		soft_set_rflags(c, soft_get_rflags(c) | FL_IF);
	soft_mode_changed(c);
	sys_to_user(c);
	/* Unlike IRET and POPF, it traps at once when it sets TF: before the program's next instruction. */
	if (unlikely(c->sysflags & FL_TF)) {
		u64 hits = c->dr6_held;

		c->dr6_held = 0;
		soft_raise_db(c, DR6_BS | hits, true);
	}
	soft_leave(c, op);
}

void sys_sysenter(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	u16 cs = (u16)c->sysenter_cs & 0xfffc;
	bool lma = sys_lma(c);

	if (lma && sys_vendor_amd(c))
		soft_ud(c);
	if (!(c->mode & MODE_PE) || !cs)
		sys_fault_0(c, EXC_GP);
	sys_set_cs_flat(c, cs, 0, lma, !lma);
	sys_set_ss_flat(c, (u16)(cs + 8), 0);
	c->cpl = 0;
	c->gpr[GPR_RSP] = lma ? c->sysenter_esp : (u32)c->sysenter_esp;
	c->rip = lma ? c->sysenter_eip : (u32)c->sysenter_eip;
	soft_set_rflags(c, soft_get_rflags(c) & ~(u64)(FL_VM | FL_IF | FL_RF));
	soft_mode_changed(c);
	soft_leave(c, op);
}

void sys_sysexit(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	u16 cs = (u16)c->sysenter_cs & 0xfffc;
	bool to64 = op->osize == 8;

	if (sys_lma(c) && sys_vendor_amd(c))
		soft_ud(c);
	if (!(c->mode & MODE_PE) || !cs || c->cpl)
		sys_fault_0(c, EXC_GP);
	if (to64 && (!soft_canonical(c->gpr[GPR_RCX]) || !soft_canonical(c->gpr[GPR_RDX])))
		sys_fault_0(c, EXC_GP);
	cs = (u16)(cs + (to64 ? 32 : 16)) | 3;
	sys_set_cs_flat(c, cs, 3, to64, !to64);
	sys_set_ss_flat(c, (u16)(cs + 8), 3);
	c->cpl = 3;
	c->gpr[GPR_RSP] = to64 ? c->gpr[GPR_RCX] : (u32)c->gpr[GPR_RCX];
	c->rip = to64 ? c->gpr[GPR_RDX] : (u32)c->gpr[GPR_RDX];
	soft_mode_changed(c);
	sys_to_user(c);
	soft_leave(c, op);
}
