/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpuid.c - CPUID, and hypercalls. */
#include "base/clock.h"
#include "cpu/soft/hooks.h"
#include "cpu/soft/system/sys.h"

bool sys_vendor_amd(const struct soft_cpu *c)
{
	return cpu_model_is_amd(c->model);
}

#define MSR_APIC_BASE 0x1bu
#define APIC_BASE_EN (1ull << 11)
#define CPUID_APIC (1u << 9)

/* While IA32_APIC_BASE disables the local APIC, CPUID shows none (SDM 3A 11.4.3). */
static bool apic_off(struct soft_cpu *c)
{
	u64 base;

	return c->bus->msr_read(c->bus->opaque, c->index, MSR_APIC_BASE, &base) && !(base & APIC_BASE_EN);
}

struct cpuid_regs soft_cpuid(struct soft_cpu *c, u32 leaf, u32 subleaf)
{
	struct cpuid_regs r = cpu_model_cpuid(c->model, c->index, leaf, subleaf);

	switch (leaf) {
	case 1:
		r.ecx &= ~(1u << 27);
		if (c->cr4 & CR4_OSXSAVE)
			r.ecx |= 1u << 27;
		if (apic_off(c))
			r.edx &= ~CPUID_APIC;
		break;
	case 0x80000001:
		if ((r.edx & CPUID_APIC) && apic_off(c))
			r.edx &= ~CPUID_APIC;
		break;
	case 0xd:
		/* EBX: the size for what XCR0 enables now (SDM 1 13.2). */
		if (subleaf == 0 && r.eax)
			r.ebx = c->xcr0 & 4 ? 832 : 576;
		break;
	case 0x15:
		/* TSC = crystal * ebx / eax. The "crystal" is the local APIC timer's 1 GHz. */
		if (r.ecx) {
			r.eax = 1000000;
			r.ebx = (u32)clock_tsc_khz();
		}
		break;
	case 0x16:
		if (r.eax) {
			r.eax = (u32)(clock_tsc_khz() / 1000);
			r.ebx = r.eax;
		}
		break;
	case 0x40000010:
		r.eax = (u32)clock_tsc_khz();
		break;
	default:
		break;
	}
	return r;
}

void sys_cpuid(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	struct cpuid_regs r = soft_cpuid(c, (u32)c->gpr[GPR_RAX], (u32)c->gpr[GPR_RCX]);

	c->hooks->saw_host(c);
	c->gpr[GPR_RAX] = r.eax;
	c->gpr[GPR_RBX] = r.ebx;
	c->gpr[GPR_RCX] = r.ecx;
	c->gpr[GPR_RDX] = r.edx;
	NEXT(c, op);
}

/* ---- VMCALL, VMMCALL: both work on either vendor's model, because kernels patch them in late ---- */
#define HYPERCALL_EPERM (-1)

static outline_ void do_hypercall(struct soft_cpu *c)
{
	static const u8 args[4] = { GPR_RBX, GPR_RCX, GPR_RDX, GPR_RSI };
	u64 nr = c->gpr[GPR_RAX], arg[4];
	bool wide = soft_code64(c);
	s64 ret = HYPERCALL_EPERM;

	for (unsigned i = 0; i < 4; i++)
		arg[i] = wide ? c->gpr[args[i]] : (u32)c->gpr[args[i]];
	if (c->cpl == 0)
		ret = c->bus->hypercall(c->bus->opaque, c->index, wide ? nr : (u32)nr, arg);
	c->gpr[GPR_RAX] = wide ? (u64)ret : (u32)ret;
}
void sys_hypercall(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	do_hypercall(c);
	NEXT(c, op);
}
