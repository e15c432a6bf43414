/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sys64.c - MSRs that kernels touch, IA32_APIC_BASE, NMIs while one is handled. */
#include "apic.h"

bool x2apic;

/* ---- MSRs ---- */
CODE(k_rdmsr, "mov %edi,%ecx; xor %eax,%eax; xor %edx,%edx", "rdmsr; mov %eax,msr_value; mov %edx,msr_value+4");
CODE(k_wrmsr, "mov %edi,%ecx; mov msr_value,%eax; mov msr_value+4,%edx", "wrmsr");
CODE(k_rdpmc, "mov %edi,%ecx", "rdpmc");
USER_CODE(u_rdpmc, "mov %edi,%ecx", "rdpmc");
u64 msr_value;

/* What reading it gives: a vector, or NONE and msr_value. */
static word rd(u32 msr)
{
	msr_value = 0;
	return try_call(k_rdmsr, msr);
}
static word wr(u32 msr, u64 v)
{
	msr_value = v;
	return try_call(k_wrmsr, msr);
}
static void reads(u32 msr, u64 v)
{
	eq(rd(msr), NONE);
	eq(msr_value, v);
}
/* Reads as v, and takes anything without keeping it. */
static void drops(u32 first, u32 last, u64 v)
{
	for (u32 m = first; m <= last; m++) {
		reads(m, v);
		eq(wr(m, 0x1234), NONE);
		reads(m, v);
	}
}
static bool amd(void)
{
	u32 r[4];

	cpuid(0, 0, r);
	return r[2] == 0x444d4163;
}

static void msrs_amd(void)
{
	t("AMD's performance counters of old: there, and counting nothing");
	drops(0xc0010000, 0xc0010007, 0);
	for (unsigned i = 0; i < 4; i++) {
		eq(try_call(k_rdpmc, i), NONE);
		eq(exc.vec, NONE);
	}
	eq(try_call(k_rdpmc, 4), 13);
	eq(try_user(u_rdpmc, 0, 2), 13);
	set_cr4(get_cr4() | 0x100);
	eq(try_user(u_rdpmc, 0, 2), 0x80);
	set_cr4(get_cr4() & ~0x100ul);
	t("AMD's MSRs that firmware sets");
	drops(0xc0010010, 0xc0010010, 0);
	drops(0xc0010016, 0xc001001a, 0);
	drops(0xc001001d, 0xc001001d, 0);
	drops(0xc001001f, 0xc0010020, 0);
	drops(0xc0010050, 0xc0010056, 0);
	drops(0xc0010058, 0xc0010058, 0);
	drops(0xc0010061, 0xc001006b, 0);
	drops(0xc0010111, 0xc0010111, 0x30000);
	drops(0xc0010112, 0xc0010117, 0);
	drops(0xc0011020, 0xc0011023, 0);
	drops(0xc0011029, 0xc0011029, 2);
	drops(0xc0010015, 0xc0010015, 1 << 24);
	t("AMD: the name is CPUID's");
	for (unsigned i = 0; i < 6; i++) {
		u32 r[4];

		cpuid(0x80000002 + i / 2, 0, r);
		reads(0xc0010030 + i, (u64)r[i % 2 * 2 + 1] << 32 | r[i % 2 * 2]);
	}
	t("what CPUID does not announce: GP");
	eq(rd(0xc0010200), 13); /* PERFCTR_CORE */
	eq(rd(0xc0011002), 13); /* masks of CPUID */
	eq(rd(0xc0011030), 13); /* IBS */
	eq(rd(0xc0010140), 13); /* OSVW */
	eq(rd(0x3a), 13);
	eq(rd(0xce), 13);
	t("the microcode is mended");
	eq(rd(0x8b), NONE);
	/* Linux and Xen: signatures are checked from 0a0011db on, VERW guards against TSA from 0a0011d7 on */
	eq(msr_value >> 8, 0xa0011);
	eq((msr_value & 0xff) >= 0xdb, 1);
}

static void msrs_intel(void)
{
	t("Intel's MSRs that kernels read");
	reads(0x17, 0);
	reads(0x34, 0);
	reads(0x3a, 1);
	eq(wr(0x3a, 5), 13);
	reads(0xce, 0);
	eq(wr(0x140, 0), NONE);
	eq(wr(0x140, 1), 13);
	drops(0x199, 0x199, 0);
	t("AMD's: GP");
	eq(rd(0xc0010000), 13);
	eq(rd(0xc0010015), 13);
	eq(try_call(k_rdpmc, 0), 13);
	t("the microcode is mended");
	eq(rd(0x8b), NONE);
	eq(msr_value >> 32 >= 0x2b000639, 1);
}

static void msrs(void)
{
	t("machine check: no banks");
	reads(0x179, 0);
	eq(wr(0x179, 0), 13);
	drops(0x17a, 0x17a, 0);
	eq(rd(0x400), 13);
	drops(0, 1, 0);
	t("DEBUGCTL: LBR and BTF are taken, others refused");
	eq(wr(0x1d9, 3), NONE);
	reads(0x1d9, 0);
	eq(wr(0x1d9, 4), 13);
	reads(0x1db, 0);
	eq(wr(0x1db, 0), 13);
	if (amd())
		msrs_amd();
	else
		msrs_intel();
}

/* ---- IA32_APIC_BASE ---- */
#define BASE 0x1b
#define EN 0x800ul
#define EXTD 0x400ul

static u32 cpuid_apic(void)
{
	u32 r[4], e[4];

	cpuid(1, 0, r);
	cpuid(0x80000001, 0, e);
	if (amd() && (r[3] ^ e[3]) >> 9 & 1)
		return 2;
	return r[3] >> 9 & 1;
}
static u32 version_at(word page)
{
	return *(volatile u32 *)(page + 0x30);
}

static void apic_base(void)
{
	word page = 0xfee00000, other = 0xfed40000, bsp = 0x100;
	u32 version = version_at(page);

	t("IA32_APIC_BASE: on, at its page, the boot processor's");
	reads(BASE, page | EN | bsp);
	eq(cpuid_apic(), 1);
	t("CPUID shows no APIC while it is off");
	eq(wr(BASE, page | bsp), NONE);
	eq(cpuid_apic(), 0);
	eq(version_at(page), 0xffffffff);
	t("off to x2APIC: GP");
	eq(wr(BASE, page | EN | EXTD | bsp), 13);
	eq(wr(BASE, page | EXTD | bsp), 13);
	reads(BASE, page | bsp);
	t("on again");
	eq(wr(BASE, page | EN | bsp), NONE);
	eq(cpuid_apic(), 1);
	eq(version_at(page), version);
	t("the page moves");
	eq(wr(BASE, other | EN | bsp), NONE);
	reads(BASE, other | EN | bsp);
	eq(version_at(other), version);
	eq(version_at(page), 0xffffffff);
	*(volatile u32 *)(other + APIC_TPR) = 0x50;
	eq(*(volatile u32 *)(other + APIC_TPR), 0x50);
	eq(wr(BASE, page | EN | bsp), NONE);
	eq(version_at(other), 0xffffffff);
	eq(apic_read(APIC_TPR), 0x50);
	apic_write(APIC_TPR, 0);
	t("reserved bits of IA32_APIC_BASE: GP");
	eq(wr(BASE, page | EN | bsp | 1), 13);
	eq(wr(BASE, page | EN | bsp | 1ul << 62), 13);
	t("xAPIC to x2APIC, back: GP, off, on");
	eq(wr(BASE, page | EN | EXTD | bsp), NONE);
	eq(rd(0x803), NONE);
	eq(version_at(page), 0xffffffff);
	eq(wr(BASE, page | EN | bsp), 13);
	reads(BASE, page | EN | EXTD | bsp);
	eq(wr(BASE, page | bsp), NONE);
	eq(rd(0x803), 13);
	eq(cpuid_apic(), 0);
	eq(wr(BASE, page | EN | bsp), NONE);
	eq(rd(0x803), 13);
	eq(version_at(page), version);
}

/* ---- NMIs ---- */
static unsigned nmis, depth, deepest;
static word nmi_ip[4];
static void send_nmi(void)
{
	apic_icr(apic_id(), 0x400);
	for (volatile unsigned i = 0; i < 1000; i++)
		;
}
static bool on_nmi(struct frame *f)
{
	if (f->vec != 2)
		return false;
	if (++depth > deepest)
		deepest = depth;
	if (nmis < 4)
		nmi_ip[nmis] = f->ip;
	if (nmis++ == 0) {
		/* While one is handled one more is kept, not two. */
		send_nmi();
		send_nmi();
		send_nmi();
	}
	depth--;
	return true;
}
static void nmi(void)
{
	apic_write(APIC_SVR, 0x1ff);
	on_exc = on_nmi;
	t("an NMI while one is handled comes after IRET, once");
	send_nmi();
	eq(nmis, 2);
	eq(deepest, 1);
	eq(nmi_ip[1], nmi_ip[0]);
	on_exc = NULL;
}

int main(void)
{
	msrs();
	apic_base();
	nmi();
	return 0;
}
