/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.h - a vCPU's and its model's place in a saved state; docs/state-format.md names each field. */
#ifndef MICA_CPU_STATE_H
#define MICA_CPU_STATE_H

#include "base/state.h"
#include "cpu/cpu.h"

/* Save *c, or load it: then what no engine could run is refused. */
int cpu_state_section(struct state_file *s, unsigned index, struct cpu_state *c, struct err *e);
/* What is wrong with a state that did not come from an engine of ours, or NULL. */
const char *cpu_state_wrong(const struct cpu_state *c);
int cpu_promise_section(struct state_file *s, struct cpu_model_promise *p, struct err *e);

#endif
