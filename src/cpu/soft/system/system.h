/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * system.h - what the rest of the engine asks of system/: modes, flags, exceptions, interrupts.
 */
#ifndef MICA_SOFT_SYSTEM_H
#define MICA_SOFT_SYSTEM_H

#include "cpu/soft/vm.h"

/* ---- flags ---- */
u64 soft_get_rflags(struct soft_cpu *c);
/* Set all of RFLAGS from v (the caller has applied privilege and reserved-bit rules); refreshes what
 * depends on TF, AC, VM. A handler that may change TF, IF or AC must end its block. */
void soft_set_rflags(struct soft_cpu *c, u64 v);
/* ---- what must be said after a change ---- */
/* After CS, SS, CR0, EFER, EFLAGS.VM, any segment base, or CPL changed: recomputes mode,
 * eff_base, the tables in use. */
void soft_mode_changed(struct soft_cpu *c);
/* Call after a segment register other than CS changed; soft_mode_changed() does for all. */
void soft_seg_changed(struct soft_cpu *c, unsigned seg);
/* Call after CR0, CR4, XCR0 or EFLAGS.VM changed (soft_mode_changed() does for CR0 and VM):
 * recomputes c->vec_ok. */
void soft_vec_changed(struct soft_cpu *c);
/* PEND_STEP from TF, DR7, shadow. */
void soft_step_changed(struct soft_cpu *c);

/* ---- events ---- */
/* The run loop's: deliver c->exc (may raise again; the loop handles #DF and triple fault).
 * Returns false on a triple fault (shutdown). */
bool soft_deliver_exc(struct soft_cpu *c);
/* An external interrupt or NMI with c->rip the return address. */
void soft_deliver_intr(struct soft_cpu *c, u8 vec);
/* Before each instruction in step mode: DR7 instruction breakpoints (raises unless RF), and after
 * it: TF and data breakpoints. Called by the run loop with c->rip exact. */
void soft_step_before(struct soft_cpu *c);
void soft_step_after(struct soft_cpu *c, bool tf_was_set);
/* Raises what the delivery of an event met: before the handler's first instruction. */
void soft_step_delivered(struct soft_cpu *c);
void soft_reset_state(struct soft_cpu *c, bool init); /* SDM 3A 9.1.1 table; init: INIT, not power-on */
struct cpuid_regs soft_cpuid(struct soft_cpu *c, u32 leaf, u32 subleaf);

#endif
