/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * board_state.h - the state of the chips that either the board (src/machine) or an engine (KVM's in-kernel
 * ones) may have, in one form for both. Only what the guest put there or can see; what follows from it
 * (PPR, the INTR line, host timers) is computed again when it is set.
 *
 * Times are relative to the moment of saving, in nanoseconds, and go on from there when they are set.
 */
#ifndef MICA_BOARD_STATE_H
#define MICA_BOARD_STATE_H

#include "cpu/cpu.h"

#define BOARD_NEVER UINT64_MAX /* of a time to go: not running */
#define BOARD_LVTS 6
#define BOARD_IOAPIC_PINS 24
#define BOARD_ELCR \
	0x0e00u /* 8259 lines that are level-triggered after a reset, as firmware leaves them: SCI and PCI \
		 */

/* Registers as SDM 3A 11.4 has them, 256-bit ones lowest dword first. */
struct lapic_state {
	u64 base;               /* IA32_APIC_BASE */
	u32 tpr, ldr, dfr, svr; /* dfr: xAPIC only */
	u32 icr_lo, icr_hi;  /* icr_hi: in xAPIC mode the destination is in bits 24-31, in x2APIC mode it is all 32 */
	u32 esr, esr_new;    /* what is read; what has gathered since the last write (KVM: 0) */
	u32 lvt[BOARD_LVTS]; /* timer, thermal, performance, LINT0, LINT1, error */
	u32 irr[8], isr[8], tmr[8];
	u32 timer_init, timer_divide; /* the registers; the bus clock is 1 GHz */
	u64 timer_left_ns;            /* one-shot and periodic: to the next expiry, or BOARD_NEVER */
	u64 tsc_deadline;             /* IA32_TSC_DEADLINE, 0: not armed */
};

struct ioapic_state {
	u8 select;
	u32 id;                     /* bits 24-27 */
	u64 rte[BOARD_IOAPIC_PINS]; /* with remote IRR */
	u32 pins;                   /* asserted now */
};

struct pic_state { /* one 8259A */
	u8 lines;  /* as driven now */
	u8 irr, imr, isr, elcr;
	u8 base;   /* ICW2 */
	u8 lowest; /* line of lowest priority, 7 unless rotated */
	u8 init;   /* 0: done, 2, 3, 4: that ICW comes next */
	bool icw4, single, auto_eoi, rotate_aeoi, nested, special_mask, read_isr, poll;
};

struct pit_channel_state {
	u8 mode, access; /* 0-5; 1 low, 2 high, 3 both bytes */
	bool bcd, gate, loaded, started;
	u32 reload;                 /* 1 .. 0x10000 */
	u64 ran_ns;                 /* since the count began, while started */
	u64 held_ns;                /* modes 0 and 4 with the gate low: how far it had got */
	u64 ticks_out;              /* channel 0: interrupts already given since the count began */
	bool write_high, read_high; /* the high byte comes next */
	u8 write_low;
	u8 latched; /* bytes of latch still to be read */
	u16 latch;
	bool status_latched;
	u8 status;
};

struct pit_state {
	struct pit_channel_state ch[3];
	u8 speaker; /* port 0x61 bits 0 and 1 */
};

/* kvmclock (Linux Documentation/virt/kvm/x86/msr.rst). */
struct pvclock_state {
	u64 clock_ns;             /* the guest's time, as vCPU 0 would read it ... */
	u64 tsc;                  /* ... when its TSC had this value */
	u64 system_time[CPU_MAX]; /* MSR_KVM_SYSTEM_TIME_NEW */
	u64 steal_time[CPU_MAX];  /* MSR_KVM_STEAL_TIME; what was stolen so far is in guest memory */
	u64 wall_clock;           /* MSR_KVM_WALL_CLOCK_NEW */
	u32 tsc_khz;              /* frequency of the guest's TSC */
};

struct board_state {
	unsigned ncpus;
	struct lapic_state lapic[CPU_MAX];
	struct ioapic_state ioapic;
	struct pic_state pic[2]; /* master, slave */
	struct pit_state pit;
	struct pvclock_state pv;
};

#endif
