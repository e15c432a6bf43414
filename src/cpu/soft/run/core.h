/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * core.h - the run loop.
 */
#ifndef MICA_SOFT_CORE_H
#define MICA_SOFT_CORE_H

#include "cpu/soft/vm.h"

/* Run until something the caller of cpu_run() must handle; on the vCPU's thread, FPU entered. */
enum cpu_exit core_run(struct soft_cpu *c);

/* stats.c: counters as "name value" lines; and for a person. */
void soft_stats(const struct soft_vm *vm, FILE *f);
void soft_report(const struct soft_vm *vm, FILE *f);

/* For tests: the inside of a vCPU of this engine. */
struct soft_cpu *soft_cpu_of(struct cpu *c);

#endif
