/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * short.c - the short ways of SYSCALL, SYSRET, IRETQ, SYSENTER, SYSEXIT and POPF, see short.h. This file is compiled
 * without vector registers, because translated code calls it with the guest's vector registers in the host's. So it may
 * only call what is in this file or inline.
 */
#include "cpu/soft/system/short.h"
#include "cpu/soft/system/sys.h"

bool sys_syscall_short(struct soft_cpu *c, u64 next)
{
	u64 fl = c->sysflags | soft_get_status(c) | 2;
	u16 cs = (u16)(c->star >> 32) & 0xfffc;

	if (!(c->efer & EFER_SCE) || !soft_code64(c) || !sys_plain(c))
		return false;
	c->gpr[GPR_RCX] = next;
	c->gpr[GPR_R8 + 3] = fl;
	c->rip = c->lstar;
	sys_set_cs_flat(c, cs, 0, true, false);
	sys_set_ss_flat(c, (u16)(cs + 8), 0);
	c->cpl = 0;
	sys_set_plain_flags(c, fl & ~c->fmask);
	sys_ring_changed(c);
	return true;
}

bool sys_sysret_short(struct soft_cpu *c)
{
	u16 base = (u16)(c->star >> 48);

	if (!(c->efer & EFER_SCE) || !soft_code64(c) || c->cpl || !sys_plain(c) || (c->gpr[GPR_R8 + 3] & FL_TF) ||
	    !soft_canonical(c->gpr[GPR_RCX]))
		return false;
	c->rip = c->gpr[GPR_RCX];
	sys_set_cs_flat(c, (u16)((base + 16) | 3), 3, true, false);
	sys_set_ss_flat(c, (u16)((base + 8) | 3), 3);
	c->cpl = 3;
	sys_set_plain_flags(c, c->gpr[GPR_R8 + 3] & 0x3c7fd7);
	sys_ring_changed(c);
	sys_to_user(c);
	return true;
}

/* Is there nothing that sys_drop_inner_segs() would drop? */
static bool data_segs_stay(const struct soft_cpu *c, unsigned cpl)
{
	static const u8 names[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (c->seg[names[i]].sel && (c->seg[names[i]].ar >> 5 & 3) < cpl)
			return false;
	return true;
}

/* IRETQ from ring 0 to 64-bit code of any ring. */
bool sys_iret_short(struct soft_cpu *c)
{
	volatile guest_u64 *f = sys_hit(c->tlb, c->gpr[GPR_RSP], 40, false);
	u64 cs_raw, ss_raw = 0;

	if (!soft_code64(c) || !f || c->cpl || !sys_plain(c) || (c->sysflags & FL_NT))
		return false;
	u64 ip = f[0], fl = f[2], sp = f[3];
	u16 cs = (u16)f[1], ss = (u16)f[4];
	unsigned rpl = cs & SEL_RPL;
	if ((fl & FL_TF) || !soft_canonical(ip) || (ss & SEL_RPL) != rpl ||
	    !sys_gdt_hit(c, cs, SYS_KIND_CODE64, rpl, &cs_raw))
		return false;
	if (rpl && !data_segs_stay(c, rpl))
		return false;
	if (sel_null(ss) ? rpl == 3 : !sys_gdt_hit(c, ss, SYS_KIND_DATA, rpl, &ss_raw))
		return false;

	c->seg[SEG_CS] = sys_seg_of_raw(cs_raw, cs);
	c->cpl = (u8)rpl;
	if (sel_null(ss))
		c->seg[SEG_SS] = (struct cpu_seg){ .sel = ss, .ar = SEG_AR_UNUSABLE | rpl << 5 };
	else
		c->seg[SEG_SS] = sys_seg_of_raw(ss_raw, ss);
	c->gpr[GPR_RSP] = sp;
	c->rip = ip;
	sys_set_plain_flags(c, fl); /* ring 0 may change all of them; RF is not kept without breakpoints */
	sys_ring_changed(c);
	if (rpl == 3)
		sys_to_user(c);
	return true;
}

/* Protected mode, 32-bit code, and all four segments flat, as those are that SYSENTER and SYSEXIT load. */
static bool flat32(const struct soft_cpu *c)
{
	return (c->mode & (MODE_PE | MODE_LMA | MODE_VM86 | MODE_CODE32 | MODE_SS32 | MODE_FLAT | MODE_NARROW)) ==
	       (MODE_PE | MODE_CODE32 | MODE_SS32 | MODE_FLAT);
}

bool sys_sysenter_short(struct soft_cpu *c)
{
	u16 cs = (u16)c->sysenter_cs & 0xfffc;

	if (!flat32(c) || !cs || !sys_plain(c))
		return false;
	sys_set_cs_flat(c, cs, 0, false, true);
	sys_set_ss_flat(c, (u16)(cs + 8), 0);
	c->cpl = 0;
	c->gpr[GPR_RSP] = (u32)c->sysenter_esp;
	c->rip = (u32)c->sysenter_eip;
	c->sysflags &= ~FL_IF;
	sys_ring_changed(c);
	return true;
}

bool sys_sysexit_short(struct soft_cpu *c)
{
	u16 cs = (u16)c->sysenter_cs & 0xfffc;

	if (!flat32(c) || !cs || c->cpl || !sys_plain(c))
		return false;
	cs = (u16)(cs + 16) | 3;
	sys_set_cs_flat(c, cs, 3, false, true);
	sys_set_ss_flat(c, (u16)(cs + 8), 3);
	c->cpl = 3;
	c->gpr[GPR_RSP] = (u32)c->gpr[GPR_RCX];
	c->rip = (u32)c->gpr[GPR_RDX];
	sys_ring_changed(c);
	sys_to_user(c);
	return true;
}

bool sys_popf_short(struct soft_cpu *c, unsigned bytes, u64 next)
{
	u64 sp = c->gpr[GPR_RSP], fl;

	if (c->cpl || !sys_plain(c) || !(soft_code64(c) ? bytes == 8 : flat32(c) && bytes == 4))
		return false;
	volatile guest_u64 *p = sys_hit(c->tlb, bytes == 8 ? sp : (u32)sp, bytes, false);
	if (unlikely(!p))
		return false;
	fl = bytes == 8 ? *p : *(volatile guest_u32 *)p;
	if (fl & FL_TF)
		return false;
	c->gpr[GPR_RSP] = bytes == 8 ? sp + 8 : (u32)(sp + 4);
	c->rip = next;
	sys_set_plain_flags(c, (fl & ~(u64)(FL_VIF | FL_VIP)) | (c->sysflags & (FL_VIF | FL_VIP)));
	c->tlb = c->tlbs[mmu_index(c)];
	return true;
}
