/* SPDX-License-Identifier: GPL-2.0-or-later */
/* soft_options.h - how a software engine is to work: for who makes a VM, and for tests of each way. */
#ifndef MICA_CPU_SOFT_OPTIONS_H
#define MICA_CPU_SOFT_OPTIONS_H

#include "cpu/cpu.h"

enum soft_translate {
	SOFT_TRANSLATE_ON,
	SOFT_TRANSLATE_OFF,   /* everything is interpreted */
	SOFT_TRANSLATE_EXACT, /* status flags are right at every fault and interrupt, also where nothing can see them
			       * but a comparison */
};
/* Translated blocks are executed by the interpreter, too, and both outcomes compared (cpu/soft/jit/jit_check.c). */
enum soft_check {
	SOFT_CHECK_OFF,
	SOFT_CHECK_ON,     /* each block the first times, then now and then; the first difference ends the VM */
	SOFT_CHECK_ALL,    /* every time */
	SOFT_CHECK_REPORT, /* as on, but the VM goes on after a difference */
};

/* Compute-bound processes of the guest are executed on the host's CPU as they are (cpu/soft/direct/direct.h). */
enum soft_direct {
	SOFT_DIRECT_ON, /* where it pays, and the host allows it */
	SOFT_DIRECT_OFF,
	SOFT_DIRECT_ALWAYS, /* all that can be: slow, for tests */
};

#define SOFT_HEAT_MAX 1000000u
#define SOFT_CACHE_MIN (128 * KIB)
#define SOFT_CACHE_MAX (1 * GIB)

struct soft_options {
	enum soft_translate translate;
	u32 heat;        /* executions of a block before it is translated, 1 to SOFT_HEAT_MAX; 0: the engine's choice */
	u64 cache_bytes; /* memory for translated code, SOFT_CACHE_MIN to _MAX; 0: the engine's choice */
	enum soft_check check;
	enum soft_direct direct;
	bool perf_map; /* write /tmp/perf-PID.map */
};

/* cpu_vm_new() of the software engine with options; NULL: none. -ENOTSUP for a check without translation, or of more
 * than one vCPU. */
int cpu_vm_new_soft(struct cpu_vm **out, const struct cpu_bus *bus, struct ram *ram, const struct cpu_model *model,
		    unsigned ncpus, const struct soft_options *o, struct err *e);

#endif
