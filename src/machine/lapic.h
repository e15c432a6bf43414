/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lapic.h - the local APICs of all vCPUs and the message bus between them (SDM 3A chapter 11).
 *
 * Threads: registers, MSRs, park and unpark of APIC n belong to vCPU n's thread; messages, LINT0 and
 * reset come from anywhere. Each APIC has its own lock and no two are ever held together.
 */
#ifndef MICA_LAPIC_H
#define MICA_LAPIC_H

#include "base/base.h"
#include "base/loop.h"
#include "cpu/cpu.h"

struct lapics;

/* Delivery modes (ICR, RTE and MSI data share the encoding) */
enum lapic_mode {
	LAPIC_FIXED,
	LAPIC_LOWEST,
	LAPIC_SMI,
	LAPIC_RESERVED,
	LAPIC_NMI,
	LAPIC_INIT,
	LAPIC_SIPI,
	LAPIC_EXTINT
};

struct lapic_msg {
	u32 dest; /* physical id, or logical when `logical` */
	bool logical;
	bool broadcast;       /* dest is everybody, in the sender's terms */
	bool level;           /* trigger mode */
	enum lapic_mode mode; /* LAPIC_LOWEST picks one of several */
	u8 vector;
};

/* What the APICs ask of the rest of the board; called with no APIC lock held. */
struct lapic_hooks {
	void *opaque;
	/* A level-triggered vector was finished: tell the I/O APIC. */
	void (*eoi)(void *opaque, u8 vector);
	/* INTA to the 8259s: the vector, or -1. */
	int (*pic_ack)(void *opaque);
};

struct lapics *lapic_new(struct loop *loop, unsigned ncpus, const struct lapic_hooks *hooks);
void lapic_free(struct lapics *b);
/* Before vCPUs run. */
void lapic_attach(struct lapics *b, unsigned cpu, struct cpu *c);
/* The engine has local APICs of its own: from now on these only pass on what comes for them. Before vCPUs run. */
void lapic_use_engine(struct lapics *b, struct cpu_vm *vm);
bool lapic_in_engine(const struct lapics *b);
/* What a pin of the I/O APIC would send, for the engine's sake; used: it is not masked. */
void lapic_set_pin(struct lapics *b, unsigned pin, const struct lapic_msg *m, bool used);
/* All to power-on state; no vCPU runs. */
void lapic_reset(struct lapics *b);

/* The memory-mapped page, as vCPU `cpu` sees it; off < 4096. False: this vCPU's page is not there. */
bool lapic_mmio_read(struct lapics *b, unsigned cpu, unsigned off, unsigned bytes, u64 *val);
bool lapic_mmio_write(struct lapics *b, unsigned cpu, unsigned off, unsigned bytes, u64 val);
/* Where this vCPU has its registers, while it has them in memory. */
gpa_t lapic_page(const struct lapics *b, unsigned cpu);
/* IA32_APIC_BASE, IA32_TSC_DEADLINE and 0x800-0x8ff. False: #GP. */
bool lapic_msr_read(struct lapics *b, unsigned cpu, u32 msr, u64 *val);
bool lapic_msr_write(struct lapics *b, unsigned cpu, u32 msr, u64 val);
u8 lapic_tpr_get(struct lapics *b, unsigned cpu); /* CR8 */
void lapic_tpr_set(struct lapics *b, unsigned cpu, u8 cr8);

int lapic_intr_ack(struct lapics *b, unsigned cpu);
u64 lapic_park(struct lapics *b, unsigned cpu);
void lapic_unpark(struct lapics *b, unsigned cpu);

/* Any thread. How many APICs took the message. */
unsigned lapic_deliver(struct lapics *b, const struct lapic_msg *m);
/* struct msi_target's send; addr outside 0xfeexxxxx is a write to nothing. */
void lapic_msi_send(void *lapics, u64 addr, u32 data);
/* The 8259's INTR output, wired to LINT0 of vCPU 0. */
void lapic_lint0(struct lapics *b, bool level);
/* Pulse LINT1 of every APIC. */
void lapic_lint1(struct lapics *b);

/* No vCPU runs. set: after the vCPU has its state, as timers depend on its TSC. Anything a file may hold is
 * taken: what no APIC could have is made into something it could. */
struct lapic_state;
void lapic_get_state(struct lapics *b, unsigned cpu, struct lapic_state *st);
void lapic_set_state(struct lapics *b, unsigned cpu, const struct lapic_state *st);

#define MSR_IA32_APIC_BASE 0x1b
#define MSR_IA32_TSC_DEADLINE 0x6e0
#define MSR_X2APIC_FIRST 0x800
#define MSR_X2APIC_LAST 0x8ff

#endif
