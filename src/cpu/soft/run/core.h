/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * core.h - the run loop, and where blocks come from.
 */
#ifndef MICA_SOFT_CORE_H
#define MICA_SOFT_CORE_H

#include "cpu/soft/vm.h"

/* Run until something the caller of cpu_run() must handle; on the vCPU's thread, FPU entered. */
enum cpu_exit core_run(struct soft_cpu *c);
/* Set PEND_* bits, and wake the vCPU where it sleeps. Any thread. */
void core_request(struct soft_cpu *c, u32 bits);

/* The block at linear address lin (c->rip as seen by the guest), decoded if need be. Raises the
 * fetch's faults. The vCPU is inside guest code (c->in_guest). */
struct block *cache_get(struct soft_cpu *c, gva_t lin);
/* Decode b, at lin, anew: on behind its branches, for the translator. Like cache_get(), it may empty the arena. */
struct block *cache_get_whole(struct soft_cpu *c, gva_t lin, struct block *b);
/* stats.c: counters as "name value" lines; and for a person. */
void soft_stats(const struct soft_vm *vm, FILE *f);
void soft_report(const struct soft_vm *vm, FILE *f);

/* For tests: the inside of a vCPU of this engine. */
struct soft_cpu *soft_cpu_of(struct cpu *c);

#endif
