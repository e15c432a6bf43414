/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * msr_fixed.c - MSRs that exist so that system software finds what its vendor's manual promises it, and that do nothing
 * here.
 *
 * An MSR in no table raises #GP: that is how software finds out what is missing. An MSR belongs here if the manual
 * gives it to every processor of the family that the CPU model shows, or if kernels access it without asking CPUID
 * first. Not here: MSRs that CPUID announces by a bit that no model sets (performance monitoring of version 1 and up,
 * IBS, SVM, VMX, RAPL, IRPERF, OSVW, hardware P-states, masks of CPUID).
 */
#include "cpu/soft/system/sys.h"

enum { INTEL = 1, AMD = 2, BOTH = 3 };
/* A write raises #GP; is ignored; is ignored if it writes the value that is there, and else raises #GP. */
enum { NO, DROP, SAME };

struct fixed {
	u32 first, last;
	u8 who, write;
	u64 value;
};

static const struct fixed table[] = {
	/* SDM 4 table 2-2; APM 2 appendix A */
	{ 0x00000000, 0x00000001, BOTH, DROP, 0 },  /* P5_MC_ADDR, P5_MC_TYPE */
	{ 0x00000017, 0x00000017, INTEL, NO, 0 },   /* PLATFORM_ID */
	{ 0x0000002a, 0x0000002a, BOTH, DROP, 0 },  /* EBL_CR_POWERON */
	{ 0x00000034, 0x00000034, INTEL, NO, 0 },   /* SMI_COUNT: there is no SMM */
	{ 0x0000003a, 0x0000003a, INTEL, NO, 1 },   /* FEATURE_CONTROL: locked, nothing on */
	{ 0x000000ce, 0x000000ce, INTEL, NO, 0 },   /* PLATFORM_INFO: no CPUID faulting */
	{ 0x00000140, 0x00000140, INTEL, SAME, 0 }, /* MISC_FEATURES_ENABLES */
	{ 0x00000179, 0x00000179, BOTH, NO, 0 },    /* MCG_CAP: no banks */
	{ 0x0000017a, 0x0000017a, BOTH, DROP, 0 },  /* MCG_STATUS */
	{ 0x00000198, 0x00000198, INTEL, NO, 0 },   /* PERF_STATUS */
	{ 0x00000199, 0x00000199, INTEL, DROP, 0 }, /* PERF_CTL */
	{ 0x000001db, 0x000001de, BOTH, NO, 0 },    /* LASTBRANCHFROM, TO, LASTINTFROM, TO */
	{ 0x000001fc, 0x000001fc, INTEL, DROP, 0 }, /* POWER_CTL */
	/* AMD's own: APM 2 appendix A, PPR of family 19h model 01h */
	{ 0xc0010000, 0xc0010007, AMD, DROP, 0 },          /* PERF_LEGACY_CTL 0-3, CTR 0-3: they count nothing */
	{ 0xc0010010, 0xc0010010, AMD, DROP, 0 },          /* SYSCFG */
	{ 0xc0010015, 0xc0010015, AMD, DROP, 1ull << 24 }, /* HWCR: the TSC runs at P0's frequency */
	{ 0xc0010016, 0xc0010019, AMD, DROP, 0 },          /* IORR_BASE, MASK */
	{ 0xc001001a, 0xc001001a, AMD, DROP, 0 },          /* TOP_MEM */
	{ 0xc001001d, 0xc001001d, AMD, DROP, 0 },          /* TOM2 */
	{ 0xc001001f, 0xc001001f, AMD, DROP, 0 },          /* NB_CFG1 */
	{ 0xc0010020, 0xc0010020, AMD, DROP, 0 },          /* PATCH_LOADER */
	{ 0xc0010022, 0xc0010022, AMD, DROP, 0 },          /* MC_EXP_REDIR */
	{ 0xc0010044, 0xc001004a, AMD, DROP, 0 },          /* MCn_CTL_MASK */
	{ 0xc0010050, 0xc0010056, AMD, DROP, 0 },          /* SMI_ON_IO_TRAP, _CTL_STS, INT_PENDING, SMI trigger */
	{ 0xc0010058, 0xc0010058, AMD, DROP, 0 },          /* MMIO_CFG_BASE: off; ACPI's MCFG tells */
	{ 0xc0010061, 0xc001006b, AMD, DROP, 0 },          /* P-state limit, control, status, and none enabled */
	{ 0xc0010074, 0xc0010074, AMD, DROP, 0 },          /* CPU_WDT_CFG */
	{ 0xc0010111, 0xc0010111, AMD, DROP, 0x30000 },    /* SMM_BASE */
	{ 0xc0010112, 0xc0010117, AMD, DROP, 0 },          /* SMM_ADDR, MASK, VM_CR, IGNNE, SMM_CTL, VM_HSAVE_PA */
	{ 0xc0011020, 0xc0011023, AMD, DROP, 0 },          /* LS_CFG, IC_CFG, DC_CFG, BU_CFG */
	{ 0xc0011028, 0xc0011028, AMD, DROP, 0 },          /* FP_CFG */
	{ 0xc0011029, 0xc0011029, AMD, DROP, 2 },          /* DE_CFG: LFENCE is serializing */
	{ 0xc001102a, 0xc001102a, AMD, DROP, 0 },          /* BU_CFG2 */
	{ 0xc001102c, 0xc001102d, AMD, DROP, 0 },          /* EX_CFG, LS_CFG2 */
};

/* The name that CPUID 80000002H-80000004H show, and which firmware writes here. */
#define MSR_NAME_FIRST 0xc0010030u
#define MSR_NAME_LAST 0xc0010035u

static const struct fixed *find(const struct soft_cpu *c, u32 msr)
{
	unsigned me = sys_vendor_amd(c) ? AMD : INTEL;

	for (unsigned i = 0; i < ARRAY_LEN(table); i++)
		if (msr >= table[i].first && msr <= table[i].last)
			return table[i].who & me ? &table[i] : NULL;
	return NULL;
}

bool sys_msr_fixed_read(const struct soft_cpu *c, u32 msr, u64 *v)
{
	const struct fixed *f = find(c, msr);

	if (msr >= MSR_NAME_FIRST && msr <= MSR_NAME_LAST && sys_vendor_amd(c)) {
		unsigned n = msr - MSR_NAME_FIRST;
		struct cpuid_regs r = cpu_model_cpuid(c->model, c->index, 0x80000002 + n / 2, 0);

		*v = n & 1 ? (u64)r.edx << 32 | r.ecx : (u64)r.ebx << 32 | r.eax;
		return true;
	}
	if (!f)
		return false;
	*v = f->value;
	return true;
}

bool sys_msr_fixed_write(const struct soft_cpu *c, u32 msr, u64 v)
{
	const struct fixed *f = find(c, msr);

	if (msr >= MSR_NAME_FIRST && msr <= MSR_NAME_LAST)
		return sys_vendor_amd(c);
	return f && (f->write == DROP || (f->write == SAME && v == f->value));
}
