/* SPDX-License-Identifier: GPL-2.0-or-later */
/* timer64.c - the PIT by both interrupt controllers, the local APIC's timer in its three modes, and when an
 * interrupt is taken at all. */
#include "apic.h"

bool x2apic;
volatile u32 hits[256];
static bool eoi = true;

static bool on_irq(struct frame *f)
{
	if (f->vec < 32)
		return false;
	hits[f->vec]++;
	if (f->vec >= 0x20 && f->vec < 0x30) {
		if (f->vec >= 0x28)
			outb(0xa0, 0x20);
		outb(0x20, 0x20);
	} else if (eoi) {
		apic_write(APIC_EOI, 0);
	}
	return true;
}
static void irqs(bool on)
{
	if (on)
		__asm__ volatile("sti" ::: "memory");
	else
		__asm__ volatile("cli" ::: "memory");
}
/* Wait with HLT until the vector came n times; the PIT's or any other tick keeps it from sleeping forever. */
static bool spin_for(unsigned vec, u32 n)
{
	for (u64 until = rdtsc() + 20000000000ull; hits[vec] < n;) {
		if (rdtsc() > until)
			return false;
		pause_();
	}
	return true;
}
static void settle(void)
{
	for (u64 until = rdtsc() + 50000000ull; rdtsc() < until;)
		pause_();
}
static void pit(u8 mode, u32 count)
{
	outb(0x43, (u8)(0x30 | mode << 1));
	outb(0x40, (u8)count);
	outb(0x40, (u8)(count >> 8));
}
static void pic_init(void)
{
	outb(0x20, 0x11);
	outb(0xa0, 0x11);
	outb(0x21, 0x20);
	outb(0xa1, 0x28);
	outb(0x21, 4);
	outb(0xa1, 2);
	outb(0x21, 1);
	outb(0xa1, 1);
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
}
#define IOAPIC ((volatile u32 *)0xfec00000ul)
static void ioapic_write(unsigned reg, u32 v)
{
	IOAPIC[0] = reg;
	IOAPIC[4] = v;
}
static u32 ioapic_read(unsigned reg)
{
	IOAPIC[0] = reg;
	return IOAPIC[4];
}

static void through_pic(void)
{
	t("PIT, periodic, through the 8259 and LVT0 as ExtINT");
	apic_write(APIC_LVT0, 0x700);
	pit(2, 11932); /* 100 Hz */
	outb(0x21, 0xfe);
	irqs(true);
	eq(spin_for(0x20, 5), 1);
	t("a masked 8259 line does not interrupt");
	outb(0x21, 0xff);
	settle();
	u32 n = hits[0x20];
	settle();
	eq(hits[0x20], n);
	irqs(false);
	t("HLT with the PIT as the only source");
	outb(0x21, 0xfe);
	n = hits[0x20];
	for (unsigned i = 0; i < 3; i++)
		__asm__ volatile("sti; hlt; cli" ::: "memory");
	eq(hits[0x20] >= n + 3, 1);
	t("PIT, one shot: once");
	outb(0x21, 0xff);
	pit(0, 5000);
	n = hits[0x20];
	outb(0x21, 0xfe);
	irqs(true);
	eq(spin_for(0x20, n + 1), 1);
	settle();
	eq(hits[0x20] <= n + 2, 1); /* one may have been latched from before */
	n = hits[0x20];
	settle();
	eq(hits[0x20], n);
	irqs(false);
	outb(0x21, 0xff);
	t("the PIT counts down");
	pit(2, 0);
	outb(0x43, 0);
	u32 a = inb(0x40);
	a |= (u32)inb(0x40) << 8;
	for (volatile unsigned i = 0; i < 20000; i++)
		;
	outb(0x43, 0);
	u32 b = inb(0x40);
	b |= (u32)inb(0x40) << 8;
	eq(a != b, 1);
	apic_write(APIC_LVT0, 0x10000);
}

static void through_ioapic(void)
{
	t("PIT through the I/O APIC");
	ioapic_write(0x10 + 2 * 2 + 1, apic_read(APIC_ID));
	ioapic_write(0x10 + 2 * 2, 0x40);
	pit(2, 11932);
	irqs(true);
	eq(spin_for(0x40, 5), 1);
	t("a masked I/O APIC pin does not interrupt");
	ioapic_write(0x10 + 2 * 2, 0x10040);
	settle();
	u32 n = hits[0x40];
	settle();
	eq(hits[0x40], n);
	eq(ioapic_read(0x10 + 2 * 2) & 0x100ff, 0x10040);
	t("TPR holds it back, and lets it through");
	apic_write(APIC_TPR, 0x40);
	ioapic_write(0x10 + 2 * 2, 0x40);
	settle();
	eq(hits[0x40], n);
	eq(apic_read(APIC_IRR + 0x20) & 1, 1);
	eq(apic_read(APIC_PPR), 0x40);
	apic_write(APIC_TPR, 0x30);
	eq(spin_for(0x40, n + 1), 1);
	t("CR8 is the TPR");
	__asm__ volatile("mov %0, %%cr8" ::"r"(5ul));
	eq(apic_read(APIC_TPR), 0x50);
	settle();
	n = hits[0x40];
	settle();
	eq(hits[0x40], n);
	__asm__ volatile("mov %0, %%cr8" ::"r"(0ul));
	eq(spin_for(0x40, n + 1), 1);
	t("without EOI nothing more of that class");
	eoi = false;
	n = hits[0x40];
	eq(spin_for(0x40, n + 1), 1);
	settle();
	eq(hits[0x40], n + 1);
	eq(apic_read(APIC_ISR + 0x20) & 1, 1);
	eq(apic_read(APIC_PPR), 0x40);
	eoi = true;
	apic_write(APIC_EOI, 0);
	eq(spin_for(0x40, n + 2), 1);
	ioapic_write(0x10 + 2 * 2, 0x10040);
	irqs(false);
}

static void lapic(void)
{
	t("local APIC timer, one shot: once");
	apic_write(APIC_TDCR, 0xb); /* by 1 */
	apic_write(APIC_LVT_TIMER, 0x41);
	irqs(true);
	apic_write(APIC_TMICT, 1000000);
	eq(spin_for(0x41, 1), 1);
	settle();
	eq(hits[0x41], 1);
	eq(apic_read(APIC_TMCCT), 0);
	t("... counts down");
	apic_write(APIC_LVT_TIMER, 0x10041);
	apic_write(APIC_TMICT, 0xffffffff);
	u32 a = apic_read(APIC_TMCCT);
	for (volatile unsigned i = 0; i < 20000; i++)
		;
	u32 b = apic_read(APIC_TMCCT);
	eq(b < a && b != 0, 1);
	t("... masked: none");
	apic_write(APIC_TMICT, 10000);
	settle();
	settle();
	eq(hits[0x41], 1);
	t("... stopped by a zero count");
	apic_write(APIC_LVT_TIMER, 0x41);
	apic_write(APIC_TMICT, 0x40000000);
	apic_write(APIC_TMICT, 0);
	eq(apic_read(APIC_TMCCT), 0);
	t("local APIC timer, periodic");
	apic_write(APIC_LVT_TIMER, 0x20042);
	apic_write(APIC_TMICT, 1000000);
	eq(spin_for(0x42, 5), 1);
	apic_write(APIC_TMICT, 0);
	settle();
	u32 n = hits[0x42];
	settle();
	eq(hits[0x42], n);
	u32 r[4];
	cpuid(1, 0, r);
	if (r[2] >> 24 & 1) {
		t("local APIC timer, TSC deadline: at its time, once");
		apic_write(APIC_LVT_TIMER, 0x40043);
		u64 at = rdtsc() + 20000000;
		wrmsr(0x6e0, at);
		eq(rdmsr(0x6e0), at);
		eq(spin_for(0x43, 1), 1);
		eq(rdtsc() >= at, 1);
		eq(rdmsr(0x6e0), 0);
		settle();
		eq(hits[0x43], 1);
		t("... in the past: at once");
		wrmsr(0x6e0, 1);
		eq(spin_for(0x43, 2), 1);
		t("... disarmed by 0");
		wrmsr(0x6e0, rdtsc() + 30000000);
		wrmsr(0x6e0, 0);
		settle();
		settle();
		eq(hits[0x43], 2);
		t("... ends HLT");
		irqs(false);
		wrmsr(0x6e0, rdtsc() + 5000000);
		__asm__ volatile("sti; hlt; cli" ::: "memory");
		eq(hits[0x43], 3);
	}
	irqs(false);
}

CODE(sti_shadow, "", "mov hits+0x110,%eax; sti; mov hits+0x110,%ecx; cli; sub %eax,%ecx; mov %ecx,hits_diff");
static void taken(void)
{
	extern volatile u32 hits_diff;

	t("IF off holds an interrupt back, STI lets it in one instruction later");
	apic_icr(0, 0x44044); /* to self */
	settle();
	eq(hits[0x44], 0);
	eq(apic_read(APIC_IRR + 0x20) >> 4 & 1, 1);
	try_call(sti_shadow, 0);
	eq(hits_diff, 0);
	eq(hits[0x44], 1);
	t("STI; CLI lets none in");
	apic_icr(0, 0x44045);
	for (unsigned i = 0; i < 1000; i++)
		__asm__ volatile("sti; cli" ::: "memory");
	eq(hits[0x45], 0);
	t("STI; NOP; CLI lets it in");
	__asm__ volatile("sti; nop; cli" ::: "memory");
	eq(hits[0x45], 1);
	t("MOV SS holds an interrupt back for one instruction");
	irqs(true);
	for (unsigned i = 0; i < 1000; i++)
		__asm__ volatile("mov %%ss, %%eax; mov %%eax, %%ss; nop" ::: "eax", "memory");
	irqs(false);
	eq(hits[0x45], 1);
	t("POPF and IRET let it in");
	apic_icr(0, 0x44046);
	__asm__ volatile("pushfq; orl $0x200,(%%rsp); popfq; nop; cli" ::: "memory", "cc");
	eq(hits[0x46], 1);
	apic_icr(0, 0x44046);
	__asm__ volatile(
	    "mov %%rsp,%%rcx; push $0x10; push %%rcx; push $0x202; push $8; push $1f; iretq; 1: nop; cli" ::
		: "rcx", "memory", "cc");
	eq(hits[0x46], 2);
	t("the higher of two goes first");
	hits[0x47] = hits[0x57] = 0;
	apic_icr(0, 0x44047);
	apic_icr(0, 0x44057);
	eq((apic_read(APIC_IRR + 0x20) >> 7 & 1) + (apic_read(APIC_IRR + 0x20) >> 23 & 1), 2);
	eoi = false;
	__asm__ volatile("sti; nop; nop; cli" ::: "memory");
	eq(hits[0x57], 1);
	eq(hits[0x47], 0);
	apic_write(APIC_EOI, 0);
	eoi = true;
	__asm__ volatile("sti; nop; nop; cli" ::: "memory");
	eq(hits[0x47], 1);
	t("two requests of one vector are one interrupt");
	apic_icr(0, 0x44048);
	apic_icr(0, 0x44048);
	__asm__ volatile("sti; nop; nop; cli" ::: "memory");
	settle();
	eq(hits[0x48], 1);
	t("an interrupt in a REP MOVSB goes on where it was");
	memset((void *)TEST_RAM, 0x5a, 0x100000);
	apic_write(APIC_LVT_TIMER, 0x20049);
	apic_write(APIC_TMICT, 20000);
	irqs(true);
	for (unsigned i = 0; i < 50 || hits[0x49] < 20; i++) {
		void *d = (void *)(TEST_RAM + 0x200001), *s = (void *)TEST_RAM;
		word n = 0x100000;
		memset(d, 0, 64);
		__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n)::"memory");
		eq(n, 0);
		eq((word)d, TEST_RAM + 0x300001);
		eq(*(u8 *)(TEST_RAM + 0x200001), 0x5a);
	}
	irqs(false);
	apic_write(APIC_TMICT, 0);
}
__asm__(".pushsection .bss\n.balign 4\n.globl hits_diff\nhits_diff: .long 0\n.popsection");

int main(void)
{
	on_exc = on_irq;
	pic_init();
	apic_write(APIC_SVR, 0x1ff);
	through_pic();
	through_ioapic();
	lapic();
	taken();
	return 0;
}
