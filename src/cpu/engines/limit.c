/* SPDX-License-Identifier: GPL-2.0-or-later */
/* limit.c - what an engine takes from a CPU model. Apart from cpu.c: the command asks, too, and shall not have to load
 * the engines for it. */
#include "cpu/engine.h"

int cpu_engine_limit(enum cpu_engine_kind kind, struct cpu_model *m, struct err *e)
{
	return kind == CPU_ENGINE_SOFT ? 0 : kvm_limit(m, e); /* the software engine keeps every model */
}
