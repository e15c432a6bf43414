/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * saved64.c - a guest that is saved and goes on (tests/state). It sets up two processors, three timers and what lies in
 * memory, registers and devices, says READY, and once a byte comes on the serial port checks that all of it is as it
 * was and still moves.
 */
#include "apic.h"

bool x2apic;
extern u8 ap_start[], ap_end[];

#define NOISE ((u64 *)(TEST_RAM + 0x800000ul)) /* 40 MiB: does not pack */
#define NOISE_WORDS (3 * PAGE / 8)
#define TEXT ((u8 *)(TEST_RAM + 0x10000ul)) /* packs */
#define TEXT_BYTES (40 * PAGE)
#define LAST ((volatile u64 *)0x3fffff8ul) /* the last word of 64 MiB */

static volatile u32 pit_ticks, rtc_ticks, apic_ticks;
static volatile u64 counted; /* by the other processor */

void ap_main(unsigned n);
void ap_main(unsigned n)
{
	(void)n;
	for (;;) {
		counted++;
		pause_();
	}
}

static u8 cmos(u8 reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static bool on_irq(struct frame *f)
{
	if (f->vec < 32)
		return false;
	if (f->vec == 0x40) {
		apic_ticks++;
		apic_write(APIC_EOI, 0);
		return true;
	}
	if (f->vec == 0x28) {
		rtc_ticks++;
		cmos(0xc);
		outb(0xa0, 0x20);
	} else {
		pit_ticks++;
	}
	outb(0x20, 0x20);
	return true;
}

static void start_timers(void)
{
	static const u8 words[][2] = { { 0x20, 0x11 }, { 0xa0, 0x11 }, { 0x21, 0x20 }, { 0xa1, 0x28 }, { 0x21, 4 },
				       { 0xa1, 2 },    { 0x21, 1 },    { 0xa1, 1 },    { 0x21, 0xfa }, { 0xa1, 0xfe } };

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		outb(words[i][0], words[i][1]);
	apic_write(APIC_LVT0, 0x700);
	outb(0x43, 0x34); /* channel 0, mode 2: 1000 Hz */
	outb(0x40, 1193 & 0xff);
	outb(0x40, 1193 >> 8);
	outb(0x70, 0xa);
	outb(0x71, 0x26); /* 1024 Hz */
	outb(0x70, 0xb);
	outb(0x71, 0x42);
	cmos(0xc);
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVT_TIMER, 0x20040);
	apic_write(APIC_TMICT, 1000000);
}

static void start_other(void)
{
	memcpy((void *)0x8000, ap_start, (word)(ap_end - ap_start));
	apic_icr(0, 0xc4500);
	for (u64 until = rdtsc() + 20000000; rdtsc() < until;)
		pause_();
	apic_icr(0, 0xc4608);
	while (!counted)
		pause_();
}

/* Of the first 64 bytes of each function on bus 0 but the LPC bridge: boards that were saved early had none. */
static u64 pci_sum(void)
{
	u64 sum = 0;

	for (u32 devfn = 0; devfn < 0xf8; devfn += 8)
		for (u32 reg = 0; reg < 64; reg += 4) {
			u32 v;
			outl(0xcf8, 0x80000000u | devfn << 8 | reg);
			__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"((u16)0xcfc));
			sum = (sum << 7 | sum >> 57) ^ v;
		}
	return sum;
}

static u64 next(u64 *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	return *x ^= *x << 17;
}

static void fill(void)
{
	u64 x = 88172645463325252ull;

	for (unsigned i = 0; i < NOISE_WORDS; i++)
		NOISE[i] = next(&x);
	for (unsigned i = 0; i < TEXT_BYTES; i++)
		TEXT[i] = (u8)(i / 300);
	*LAST = 0x0123456789abcdefull;
}

static u64 wrong_bytes(void)
{
	u64 x = 88172645463325252ull, wrong = 0;

	for (unsigned i = 0; i < NOISE_WORDS; i++)
		wrong += NOISE[i] != next(&x);
	for (unsigned i = 0; i < TEXT_BYTES; i++)
		wrong += TEXT[i] != (u8)(i / 300);
	return wrong + (*LAST != 0x0123456789abcdefull);
}

/* Ten more of them, or false after a while. */
static bool moves(volatile u32 *n)
{
	u32 from = *n;

	for (unsigned i = 0; i < 100000000 && *n - from < 10; i++)
		pause_();
	return *n - from >= 10;
}

int main(void)
{
	on_exc = on_irq;
	apic_write(APIC_SVR, 0x1ff);
	fill();
	start_other();
	start_timers();
	wrmsr(0xc0000082, 0x123456789abcull); /* LSTAR */
	set_dr0(0x4567);
	outb(0x3ff, 0x5a); /* the UART's scratch register */
	__asm__ volatile("sti");
	u64 sum = pci_sum(), tsc = rdtsc(), other = counted;
	bool moved = moves(&pit_ticks) && moves(&rtc_ticks) && moves(&apic_ticks);

	say(moved ? "READY\n" : "FAIL: a timer stands still\n");
	while (!(inb(0x3fd) & 1))
		pause_();
	inb(0x3f8);
	t("memory is as it was");
	eq(wrong_bytes(), 0);
	t("registers are as they were");
	eq(rdmsr(0xc0000082), 0x123456789abcull);
	eq(get_dr0(), 0x4567);
	eq(inb(0x3ff), 0x5a);
	t("PCI configuration is as it was");
	eq(pci_sum(), sum);
	t("the TSC went on");
	eq(rdtsc() > tsc, 1);
	t("the PIT goes on");
	eq(moves(&pit_ticks), 1);
	t("the RTC goes on");
	eq(moves(&rtc_ticks), 1);
	t("the APIC timer goes on");
	eq(moves(&apic_ticks), 1);
	t("the other processor goes on");
	eq(counted > other, 1);
	return 0;
}
