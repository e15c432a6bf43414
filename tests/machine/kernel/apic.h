/* SPDX-License-Identifier: GPL-2.0-or-later */
/* apic.h - the local APIC of the running processor, by either interface (SDM 3A 10). */
#ifndef KERNEL_APIC_H
#define KERNEL_APIC_H

#include "lib.h"

extern bool x2apic;
#define APIC_ID 0x20
#define APIC_TPR 0x80
#define APIC_PPR 0xa0
#define APIC_EOI 0xb0
#define APIC_LDR 0xd0
#define APIC_DFR 0xe0
#define APIC_SVR 0xf0
#define APIC_ISR 0x100
#define APIC_IRR 0x200
#define APIC_ICR 0x300
#define APIC_LVT_TIMER 0x320
#define APIC_LVT0 0x350
#define APIC_TMICT 0x380
#define APIC_TMCCT 0x390
#define APIC_TDCR 0x3e0

static inline u32 apic_read(unsigned reg)
{
	return x2apic ? (u32)rdmsr(0x800 + reg / 16) : *(volatile u32 *)(0xfee00000ul + reg);
}
static inline void apic_write(unsigned reg, u32 v)
{
	if (x2apic)
		wrmsr(0x800 + reg / 16, v);
	else
		*(volatile u32 *)(0xfee00000ul + reg) = v;
}
static inline u32 apic_id(void)
{
	return x2apic ? (u32)rdmsr(0x802) : apic_read(APIC_ID) >> 24;
}
static inline void apic_icr(u32 to, u32 v)
{
	if (x2apic) {
		wrmsr(0x830, (u64)to << 32 | v);
		return;
	}
	apic_write(APIC_ICR + 0x10, to << 24);
	apic_write(APIC_ICR, v);
	while (apic_read(APIC_ICR) & 0x1000)
		pause_();
}

#endif
