/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control_reg.c - CR0 to CR8, XCR0, and the instructions that act on TLB and caches (SDM 3A 2.5, 2.6). */
#include "cpu/soft/system/sys.h"
#include "cpu/soft/hooks.h"

#define CR0_DEFINED (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

/* A move to a control register loads the PDPTEs under PAE paging. The arguments are the values after the move. */
static void load_pdptes(struct soft_cpu *c, u64 cr0, u64 cr4, u64 cr3)
{
	if ((cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(c->efer & EFER_LME) && !mmu_pdptes_ok(c, cr3))
		sys_fault_0(c, EXC_GP);
}

/* ---- CR0 (SDM 2, MOV to CR; 3A 2.5) ---- */
static void set_cr0(struct soft_cpu *c, u64 v)
{
	u64 old = c->cr0, flip;

	if (v >> 32)
		sys_fault_0(c, EXC_GP);
	v = (v & CR0_DEFINED) | CR0_ET;
	if (((v & CR0_PG) && !(v & CR0_PE)) || ((v & CR0_NW) && !(v & CR0_CD)))
		sys_fault_0(c, EXC_GP);
	flip = v ^ old;
	if (flip & (CR0_PG | CR0_CD | CR0_NW))
		load_pdptes(c, v, c->cr4, c->cr3);
	if (flip & CR0_PG) {
		if (v & CR0_PG) {
			if (c->efer & EFER_LME) {
				bool tss16 = !(c->seg[SEG_TR].ar & (SEG_AR_UNUSABLE | 8)) && c->seg[SEG_TR].sel;

				if (!(c->cr4 & CR4_PAE) || (c->seg[SEG_CS].ar & SEG_AR_L) || tss16)
					sys_fault_0(c, EXC_GP);
				c->efer |= EFER_LMA;
			}
		} else {
			if (soft_code64(c) || (c->cr4 & CR4_PCIDE))
				sys_fault_0(c, EXC_GP);
			c->efer &= ~EFER_LMA;
		}
	}
	c->cr0 = v;
	if (flip & (CR0_PG | CR0_PE | CR0_WP))
		soft_tlb_flush(c, true);
	if (flip & CR0_PE) {
		/* CPL is 0 in real mode; entering protected mode keeps it until CS is loaded. */
		c->cpl = 0;
	}
	soft_mode_changed(c);
	soft_vec_changed(c);
}

/* ---- CR4 ---- */
static u64 cr4_allowed(const struct soft_cpu *c)
{
	struct cpuid_regs l1 = cpu_model_cpuid(c->model, c->index, 1, 0);
	struct cpuid_regs l7 = cpu_model_cpuid(c->model, c->index, 7, 0);
	u64 ok = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR |
		 CR4_OSXMMEXCPT;

	if (l1.ecx & 1u << 26)
		ok |= CR4_OSXSAVE;
	if (l1.ecx & 1u << 17)
		ok |= CR4_PCIDE;
	if (l7.ebx & 1u << 0)
		ok |= CR4_FSGSBASE;
	if (l7.ebx & 1u << 7)
		ok |= CR4_SMEP;
	if (l7.ebx & 1u << 20)
		ok |= CR4_SMAP;
	if (l7.ecx & 1u << 2)
		ok |= CR4_UMIP;
	return ok;
}

static void set_cr4(struct soft_cpu *c, u64 v)
{
	u64 flip = v ^ c->cr4;

	if (v & ~cr4_allowed(c))
		sys_fault_0(c, EXC_GP);
	if (sys_lma(c) && !(v & CR4_PAE))
		sys_fault_0(c, EXC_GP);
	if ((flip & v & CR4_PCIDE) && (!sys_lma(c) || (c->cr3 & 0xfff)))
		sys_fault_0(c, EXC_GP);
	if (flip & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP))
		load_pdptes(c, c->cr0, v, c->cr3);
	c->cr4 = v;
	/* SDM 3A 4.10.4.1. Setting PCIDE needs no flush: what is cached belongs to PCID 0, and stays PCID 0's. */
	if ((flip & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP | CR4_SMAP)) || (flip & ~v & CR4_PCIDE))
		soft_tlb_flush(c, true);
	soft_mode_changed(c);
	soft_vec_changed(c);
	soft_step_changed(c);
}

static void set_cr3(struct soft_cpu *c, u64 v)
{
	bool keep = (c->cr4 & CR4_PCIDE) && v & CR3_NO_FLUSH;

	if (keep)
		v &= ~CR3_NO_FLUSH; /* it is not part of the register */
	if (sys_lma(c) && v >> c->vm->phys_bits)
		sys_fault_0(c, EXC_GP);
	load_pdptes(c, c->cr0, c->cr4, v);
	c->cr3 = v;
	if (keep)
		soft_tlb_switch(c);
	else
		soft_tlb_flush(c, false);
}

/* r0: gpr, r1: control register number */
void sys_mov_from_cr(struct soft_cpu *c, const struct uop *op)
{
	u64 v;

	SOFT_ENTER(c, op);
	sys_need_cpl0(c);
	switch (op->r1) {
	case 0:
		v = c->cr0;
		break;
	case 2:
		v = c->cr2;
		break;
	case 3:
		v = c->cr3;
		break;
	case 4:
		v = c->cr4;
		break;
	case 8:
		v = c->bus->tpr_get(c->bus->opaque, c->index) & 0xf;
		break;
	default:
		soft_ud(c);
	}
	c->gpr[op->r0] = soft_code64(c) ? v : (u32)v;
	NEXT(c, op);
}

void sys_mov_to_cr(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	sys_need_cpl0(c);
	u64 v = soft_code64(c) ? c->gpr[op->r0] : (u32)c->gpr[op->r0];
	switch (op->r1) {
	case 0:
		set_cr0(c, v);
		break;
	case 2:
		c->cr2 = v;
		break;
	case 3:
		set_cr3(c, v);
		/* Only the address space changes, nothing else of how the next instruction runs. */
		c->rip = SOFT_NEXT_RIP(c, op);
		soft_leave(c, op);
		return;
	case 4:
		set_cr4(c, v);
		break;
	case 8:
		if (v >> 4)
			sys_fault_0(c, EXC_GP);
		c->bus->tpr_set(c->bus->opaque, c->index, (u8)v);
		break;
	default:
		soft_ud(c);
	}
	sys_leave_loop(c, op);
}

void sys_clts(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	sys_need_cpl0(c);
	c->cr0 &= ~CR0_TS;
	soft_vec_changed(c);
	NEXT(c, op);
}

void sys_lmsw(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	sys_need_cpl0(c);
	u16 v = op->aux ? soft_ld16(c, soft_ea(c, op, 2, false)) : (u16)c->gpr[op->r0];
	/* PE can be set, not cleared. */
	set_cr0(c, (c->cr0 & ~0xeull) | (v & 0xf));
	sys_leave_loop(c, op);
}

void sys_smsw(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	if (c->cpl && (c->cr4 & CR4_UMIP))
		sys_fault_0(c, EXC_GP);
	if (op->aux)
		soft_st16(c, soft_ea(c, op, 2, true), (u16)c->cr0);
	else if (op->osize == 2)
		c->gpr[op->r0] = (c->gpr[op->r0] & ~0xffffull) | (c->cr0 & 0xffff);
	else
		c->gpr[op->r0] = op->osize == 8 ? c->cr0 : (u32)c->cr0;
	NEXT(c, op);
}

/* ---- XCR0 ---- */
void sys_xgetbv(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	if (!(c->cr4 & CR4_OSXSAVE))
		soft_ud(c);
	if ((u32)c->gpr[GPR_RCX] != 0)
		sys_fault_0(c, EXC_GP);
	c->hooks->saw_host(c);
	c->gpr[GPR_RAX] = (u32)c->xcr0;
	c->gpr[GPR_RDX] = c->xcr0 >> 32;
	NEXT(c, op);
}

void sys_xsetbv(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	if (!(c->cr4 & CR4_OSXSAVE))
		soft_ud(c);
	sys_need_cpl0(c);
	u64 v = c->gpr[GPR_RDX] << 32 | (u32)c->gpr[GPR_RAX];
	if ((u32)c->gpr[GPR_RCX] != 0 || !(v & 1) || (v & ~cpu_model_xcr0(c->model)) || (v & 6) == 4)
		sys_fault_0(c, EXC_GP);
	c->xcr0 = v;
	soft_vec_changed(c);
	sys_leave_loop(c, op);
}

/* ---- TLB and caches ---- */
void sys_invlpg(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	sys_need_cpl0(c);
	gva_t lin = sys_lin(c, c->eff_base[op->seg] + soft_ea_offset(c, op));
	if (soft_canonical(lin))
		soft_tlb_flush_page(c, lin);
	c->rip = SOFT_NEXT_RIP(c, op);
	soft_leave(c, op);
}

/* SDM 2, INVPCID. r0: the type. */
void sys_invpcid(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	sys_need_cpl0(c);
	u64 type = soft_code64(c) ? c->gpr[op->r0] : (u32)c->gpr[op->r0];
	if (type > 3)
		sys_fault_0(c, EXC_GP);
	gva_t at = soft_ea(c, op, 16, false);
	u64 pcid = soft_ld64(c, at), lin = soft_ld64(c, sys_lin(c, at + 8));
	if (pcid > 0xfff || (type <= 1 && pcid && !(c->cr4 & CR4_PCIDE)) || (type == 0 && !soft_canonical(lin)))
		sys_fault_0(c, EXC_GP);
	if (type == 0)
		soft_tlb_flush_pcid_page(c, (unsigned)pcid, sys_lin(c, lin));
	else if (type == 1)
		soft_tlb_flush_pcid(c, (unsigned)pcid);
	else if (type == 2)
		soft_tlb_flush(c, true);
	else
		soft_tlb_flush_pcids(c);
	c->rip = SOFT_NEXT_RIP(c, op);
	soft_leave(c, op);
}

/* WBINVD, INVD: the host keeps its caches coherent. */
void sys_wbinvd(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	sys_need_cpl0(c);
	NEXT(c, op);
}
