/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pv.h - KVM's paravirtual interfaces: the clock MSRs, stolen time and the hypercalls (Linux
 * Documentation/virt/kvm/x86/msr.rst and hypercalls.rst).
 *
 * What is here, and CPUID 0x40000001 may promise: CLOCKSOURCE (0), NOP_IO_DELAY (1), CLOCKSOURCE2 (3),
 * STEAL_TIME (5), PV_UNHALT (7), PV_SEND_IPI (11), PV_SCHED_YIELD (13), CLOCKSOURCE_STABLE (24).
 *
 * Threads: MSRs and hypercalls on the vCPU's own thread.
 */
#ifndef MICA_PV_H
#define MICA_PV_H

#include "base/ram.h"
#include "cpu/cpu.h"
#include "machine/lapic.h"

struct pv;

struct pv *pv_new(struct ram *ram, struct lapics *lapics, unsigned ncpus);
void pv_free(struct pv *p);
void pv_attach(struct pv *p, unsigned cpu, struct cpu *c);
void pv_reset(struct pv *p);

bool pv_msr(u32 msr); /* is it one of ours */
bool pv_msr_read(struct pv *p, unsigned cpu, u32 msr, u64 *val);
bool pv_msr_write(struct pv *p, unsigned cpu, u32 msr, u64 val);
/* For stolen time, on the vCPU's thread: now and then while it runs; before and after it sleeps. */
void pv_look(struct pv *p, unsigned cpu);
void pv_park(struct pv *p, unsigned cpu);
void pv_unpark(struct pv *p, unsigned cpu);
s64 pv_hypercall(struct pv *p, unsigned cpu, u64 nr, const u64 arg[4]);

/* The clock; no vCPU runs. set: all vCPUs have their state. Guest time goes on from what it was. */
struct pvclock_state;
void pv_get_state(struct pv *p, struct pvclock_state *st);
void pv_set_state(struct pv *p, const struct pvclock_state *st);

#endif
