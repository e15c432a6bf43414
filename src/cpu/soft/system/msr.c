/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * msr.c - RDMSR, WRMSR.
 *
 * MSRs that belong to the local APIC or the paravirtual interface are the bus's; those that do nothing are in
 * msr_fixed.c; the rest are here.
 */
#include "cpu/soft/system/sys.h"

#include "base/clock.h"

enum {
	MSR_TSC = 0x10,
	MSR_TSC_ADJUST = 0x3b,
	MSR_SPEC_CTRL = 0x48,
	MSR_PRED_CMD = 0x49,
	MSR_UCODE_WRITE = 0x79,
	MSR_UCODE_REV = 0x8b,
	MSR_MTRRCAP = 0xfe,
	MSR_ARCH_CAPABILITIES = 0x10a,
	MSR_SYSENTER_CS = 0x174,
	MSR_SYSENTER_ESP = 0x175,
	MSR_SYSENTER_EIP = 0x176,
	MSR_MISC_ENABLE = 0x1a0,
	MSR_DEBUGCTL = 0x1d9,
	MSR_MTRR_VAR0 = 0x200,
	MSR_MTRR_VAR_LAST = 0x20f,
	MSR_MTRR_FIX64K = 0x250,
	MSR_MTRR_FIX16K_80000 = 0x258,
	MSR_MTRR_FIX16K_A0000 = 0x259,
	MSR_MTRR_FIX4K_C0000 = 0x268,
	MSR_MTRR_FIX4K_F8000 = 0x26f,
	MSR_PAT = 0x277,
	MSR_MTRR_DEF_TYPE = 0x2ff,
};
#define MSR_FLUSH_CMD 0x10bu
#define MSR_VIRT_SPEC_CTRL 0xc001011fu
#define MSR_EFER 0xc0000080u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
#define MSR_FMASK 0xc0000084u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX 0xc0000103u

#define EFER_AUTOIBRS (1ull << 21)

/*
 * Kernels judge by the microcode revision which flaws a processor has. Linux and Xen compare it with lists by family,
 * model and stepping, unless they trust the hypervisor bit. For AMD 19h 01h 1: both warn below 0A0011DBH (a loader that
 * checks signatures), and want 0A0011D7H for VERW against TSA. These revisions pass all the checks.
 */
#define UCODE_AMD 0x0a0011deull
#define UCODE_INTEL 0x2b000643ull /* 806F8H */

/* ---- MTRRs: kept, and without effect; RAM is write-back and devices are uncached here ---- */
static u64 *mtrr_slot(struct soft_cpu *c, u32 msr)
{
	if (msr >= MSR_MTRR_VAR0 && msr <= MSR_MTRR_VAR_LAST)
		return &c->mtrr_var[msr - MSR_MTRR_VAR0];
	switch (msr) {
	case MSR_MTRR_FIX64K:
		return &c->mtrr_fix[0];
	case MSR_MTRR_FIX16K_80000:
	case MSR_MTRR_FIX16K_A0000:
		return &c->mtrr_fix[1 + msr - MSR_MTRR_FIX16K_80000];
	case MSR_MTRR_FIX4K_C0000 ... MSR_MTRR_FIX4K_F8000:
		return &c->mtrr_fix[3 + msr - MSR_MTRR_FIX4K_C0000];
	default:
		return NULL;
	}
}

static bool mem_type_ok(u8 t, bool pat)
{
	return t == 0 || t == 1 || t == 4 || t == 5 || t == 6 || (pat && t == 7);
}
static bool mem_types_ok(u64 v, bool pat)
{
	for (unsigned i = 0; i < 64; i += 8)
		if (!mem_type_ok((u8)(v >> i), pat))
			return false;
	return true;
}

static bool mtrr_value_ok(const struct soft_cpu *c, u32 msr, u64 v)
{
	unsigned bits = cpu_model_cpuid(c->model, c->index, 0x80000008, 0).eax & 0xff;

	if (msr > MSR_MTRR_VAR_LAST)
		return mem_types_ok(v, false);
	if (v >> bits)
		return false;
	return msr & 1 ? !(v & 0x7ff) : !(v & 0xf00) && mem_type_ok((u8)v, false);
}

/* ---- reading ---- */
static bool offers_spec_ctrl(const struct soft_cpu *c)
{
	return c->spec_msrs || (cpu_model_cpuid(c->model, c->index, 7, 0).edx & 1u << 26);
}
static bool offers_arch_cap(const struct soft_cpu *c)
{
	return cpu_model_cpuid(c->model, c->index, 7, 0).edx & 1u << 29;
}

static bool read_msr(struct soft_cpu *c, u32 msr, u64 *v)
{
	const u64 *slot;

	switch (msr) {
	case MSR_TSC:
		*v = sys_tsc(c);
		return true;
	case MSR_TSC_ADJUST:
		*v = c->tsc_adjust;
		return true;
	case MSR_SPEC_CTRL:
		*v = c->spec_ctrl;
		return offers_spec_ctrl(c);
	case MSR_ARCH_CAPABILITIES:
		*v = cpu_model_arch_capabilities(c->model);
		return offers_arch_cap(c);
	case MSR_UCODE_REV:
		*v = sys_vendor_amd(c) ? UCODE_AMD : UCODE_INTEL << 32;
		return true;
	case MSR_DEBUGCTL:
		*v = 0;
		return true;
	case MSR_MTRRCAP:
		*v = 8 | 1 << 8 | 1 << 10; /* eight variable ranges, the fixed ones, WC */
		return true;
	case MSR_SYSENTER_CS:
		*v = c->sysenter_cs;
		return true;
	case MSR_SYSENTER_ESP:
		*v = c->sysenter_esp;
		return true;
	case MSR_SYSENTER_EIP:
		*v = c->sysenter_eip;
		return true;
	case MSR_MISC_ENABLE:
		*v = c->misc_enable;
		return true;
	case MSR_PAT:
		*v = c->pat;
		return true;
	case MSR_MTRR_DEF_TYPE:
		*v = c->mtrr_def_type;
		return true;
	case MSR_EFER:
		*v = c->efer;
		return true;
	case MSR_STAR:
		*v = c->star;
		return true;
	case MSR_LSTAR:
		*v = c->lstar;
		return true;
	case MSR_CSTAR:
		*v = c->cstar;
		return true;
	case MSR_FMASK:
		*v = c->fmask;
		return true;
	case MSR_FS_BASE:
		*v = c->seg[SEG_FS].base;
		return true;
	case MSR_GS_BASE:
		*v = c->seg[SEG_GS].base;
		return true;
	case MSR_KERNEL_GS_BASE:
		*v = c->kernel_gs_base;
		return true;
	case MSR_TSC_AUX:
		*v = c->tsc_aux;
		return true;
	default:
		slot = mtrr_slot(c, msr);
		if (slot) {
			*v = *slot;
			return true;
		}
		return sys_msr_fixed_read(c, msr, v) || c->bus->msr_read(c->bus->opaque, c->index, msr, v);
	}
}

static outline_ void do_rdmsr(struct soft_cpu *c)
{
	u64 v = 0;

	sys_need_cpl0(c);
	if (!read_msr(c, (u32)c->gpr[GPR_RCX], &v))
		sys_fault_0(c, EXC_GP);
	c->gpr[GPR_RAX] = (u32)v;
	c->gpr[GPR_RDX] = v >> 32;
}
void sys_rdmsr(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	do_rdmsr(c);
	NEXT(c, op);
}

/* ---- writing ---- */
static bool write_efer(struct soft_cpu *c, u64 v)
{
	u64 ok = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

	if (cpu_model_cpuid(c->model, c->index, 0x80000021, 0).eax & 1u << 8)
		ok |= EFER_AUTOIBRS;
	if (v & ~ok)
		return false;
	if ((c->cr0 & CR0_PG) && ((v ^ c->efer) & EFER_LME))
		return false;
	v = (v & ~EFER_LMA) | (c->efer & EFER_LMA);
	u64 flip = v ^ c->efer;
	c->efer = v;
	if (flip & EFER_NXE)
		soft_tlb_flush(c, true);
	soft_mode_changed(c);
	return true;
}

static bool set_canonical(u64 *reg, u64 v)
{
	if (!soft_canonical(v))
		return false;
	*reg = v;
	return true;
}

static void set_tsc_offset(struct soft_cpu *c, u64 delta)
{
	c->tsc_offset += delta;
	c->tsc_adjust += delta;
}

static bool write_msr(struct soft_cpu *c, u32 msr, u64 v)
{
	u64 *slot;

	switch (msr) {
	case MSR_TSC:
		set_tsc_offset(c, v - sys_tsc(c));
		return true;
	case MSR_TSC_ADJUST:
		set_tsc_offset(c, v - c->tsc_adjust);
		return true;
	case MSR_SPEC_CTRL:
		/* IBRS, STIBP; a saved state may also have SSBD and others */
		if (!offers_spec_ctrl(c) || (v & (c->spec_msrs ? ~0xfffull : ~3ull)))
			return false;
		c->spec_ctrl = v;
		return true;
	case MSR_PRED_CMD:
		return offers_spec_ctrl(c) && !(v & (c->spec_msrs ? ~0x81ull : ~1ull));
	case MSR_FLUSH_CMD:
	case MSR_VIRT_SPEC_CTRL:
		return c->spec_msrs;
	case MSR_UCODE_WRITE:
	case MSR_UCODE_REV:
		return true;
	case MSR_DEBUGCTL:
		/* LBR and BTF stay clear, as under KVM: branches are not recorded, and every step is a single step. */
		return !(v & ~3ull);
	case MSR_SYSENTER_CS:
		c->sysenter_cs = (u32)v;
		return true;
	case MSR_SYSENTER_ESP:
		return set_canonical(&c->sysenter_esp, v);
	case MSR_SYSENTER_EIP:
		return set_canonical(&c->sysenter_eip, v);
	case MSR_MISC_ENABLE:
		/* Bits 11, 12: BTS and PEBS unavailable, read-only; 18: MONITOR, not offered. */
		c->misc_enable = (v & ~(1ull << 18)) | 3ull << 11;
		return true;
	case MSR_PAT:
		if (!mem_types_ok(v, true))
			return false;
		c->pat = v;
		return true;
	case MSR_MTRR_DEF_TYPE:
		if ((v & ~0xcffull) || !mem_type_ok((u8)v, false))
			return false;
		c->mtrr_def_type = v;
		return true;
	case MSR_EFER:
		return write_efer(c, v);
	case MSR_STAR:
		c->star = v;
		return true;
	case MSR_LSTAR:
		return set_canonical(&c->lstar, v);
	case MSR_CSTAR:
		return set_canonical(&c->cstar, v);
	case MSR_FMASK:
		c->fmask = (u32)v;
		return true;
	case MSR_FS_BASE:
		if (!set_canonical(&c->seg[SEG_FS].base, v))
			return false;
		c->eff_base[SEG_FS] = v;
		return true;
	case MSR_GS_BASE:
		if (!set_canonical(&c->seg[SEG_GS].base, v))
			return false;
		c->eff_base[SEG_GS] = v;
		return true;
	case MSR_KERNEL_GS_BASE:
		return set_canonical(&c->kernel_gs_base, v);
	case MSR_TSC_AUX:
		if (v >> 32)
			return false;
		c->tsc_aux = v;
		return true;
	default:
		slot = mtrr_slot(c, msr);
		if (slot) {
			if (!mtrr_value_ok(c, msr, v))
				return false;
			*slot = v;
			return true;
		}
		return sys_msr_fixed_write(c, msr, v) || c->bus->msr_write(c->bus->opaque, c->index, msr, v);
	}
}

static outline_ void do_wrmsr(struct soft_cpu *c)
{
	sys_need_cpl0(c);
	if (!write_msr(c, (u32)c->gpr[GPR_RCX], c->gpr[GPR_RDX] << 32 | (u32)c->gpr[GPR_RAX]))
		sys_fault_0(c, EXC_GP);
}
void sys_wrmsr(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	do_wrmsr(c);
	c->rip = SOFT_NEXT_RIP(c, op);
	soft_leave(c, op);
}
