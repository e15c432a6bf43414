/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * idle64.c - a guest that sleeps, with one timer set as fast as its chip allows. The runner (idle.py) names the timer
 * and measures what the VM costs its host. "taken": interrupts are on, each is acknowledged, and the guest sleeps
 * again; else they are off, and nobody ever looks.
 */
#include "apic.h"

bool x2apic;
static volatile u32 hits;

static u8 cmos(u8 reg)
{
	outb(0x70, reg);
	return inb(0x71);
}
static void cmos_put(u8 reg, u8 v)
{
	outb(0x70, reg);
	outb(0x71, v);
}

static bool on_irq(struct frame *f)
{
	if (f->vec < 32)
		return false;
	hits++;
	if (f->vec == 0x28) {
		cmos(0xc);
		outb(0xa0, 0x20);
	}
	if (f->vec < 0x30)
		outb(0x20, 0x20);
	else
		apic_write(APIC_EOI, 0);
	return true;
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
	outb(0x21, 0xfa);
	outb(0xa1, 0xfe);
	apic_write(APIC_LVT0, 0x700);
}

static void pit(void)
{
	outb(0x43, 0x34);
	outb(0x40, 2);
	outb(0x40, 0);
}
static void rtc(void)
{
	cmos_put(0xa, 0x23); /* 8192 Hz */
	cmos_put(0xb, 0x72); /* periodic, alarm, update */
	cmos(0xc);
}
static void apic_periodic(void)
{
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVT_TIMER, 0x20040);
	apic_write(APIC_TMICT, 1);
}
static void apic_masked(void)
{
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVT_TIMER, 0x30040);
	apic_write(APIC_TMICT, 1);
}
static void apic_one_shot(void)
{
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVT_TIMER, 0x40);
	apic_write(APIC_TMICT, 1);
}
/* What kernels tick at. */
static void pit_1000(void)
{
	outb(0x43, 0x34);
	outb(0x40, 1193 & 0xff);
	outb(0x40, 1193 >> 8);
}
static void rtc_1024(void)
{
	cmos_put(0xa, 0x26);
	cmos_put(0xb, 0x42);
	cmos(0xc);
}
static void apic_1000(void)
{
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVT_TIMER, 0x20040);
	apic_write(APIC_TMICT, 1000000); /* of its bus clock: nanoseconds */
}
/* A vector that cannot be requested. */
static void apic_illegal(void)
{
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVT_TIMER, 0x20003);
	apic_write(APIC_TMICT, 1);
}
static void tsc_past(void)
{
	apic_write(APIC_LVT_TIMER, 0x40040);
	wrmsr(0x6e0, 1);
}
/* The power management timer's carry, and its status bit. */
static void pm(void)
{
	outl(0x600, 0x00010001);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} timers[] = {
		{ "pit-fast", pit },
		{ "rtc-fast", rtc },
		{ "apic-periodic", apic_periodic },
		{ "apic-masked", apic_masked },
		{ "apic-one-shot", apic_one_shot },
		{ "apic-illegal", apic_illegal },
		{ "tsc-past", tsc_past },
		{ "pm", pm },
		{ "pit-1000", pit_1000 },
		{ "rtc-1024", rtc_1024 },
		{ "apic-1000", apic_1000 },
	};
	bool all = asked("all");

	on_exc = on_irq;
	apic_write(APIC_SVR, 0x1ff);
	pic_init();
	for (unsigned i = 0; i < sizeof(timers) / sizeof(timers[0]); i++)
		if (asked(timers[i].name) || (all && i < 3))
			timers[i].fn();
	say("asleep\n");
	if (asked("taken"))
		for (u32 said = 0;;) {
			__asm__ volatile("sti; hlt; cli" ::: "memory");
			if (hits / 100 != said) {
				said = hits / 100;
				say("100 ticks\n");
			}
		}
	for (;;)
		__asm__ volatile("cli; hlt");
}
