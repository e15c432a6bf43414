/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_engine.h - which engine a test runs on: MICA_TEST_ENGINE=kvm in the environment, else the software engine, with
 * options as in MICA_TEST_SOFT=translate=exact,heat=1.
 */
#ifndef MICA_TEST_ENGINE_H
#define MICA_TEST_ENGINE_H

#include "cpu/cpu.h"
#include "vmm/engine_options.h"

static inline enum cpu_engine_kind test_engine(void)
{
	const char *name = getenv("MICA_TEST_ENGINE");

	return name && !strcmp(name, "kvm") ? CPU_ENGINE_KVM : CPU_ENGINE_SOFT;
}

/* cpu_vm_new() for that engine. */
static inline int test_vm_new(struct cpu_vm **out, const struct cpu_bus *bus, struct ram *ram,
			      const struct cpu_model *model, unsigned ncpus, struct err *e)
{
	auto_free char *text = xstrdup(getenv("MICA_TEST_SOFT") ? getenv("MICA_TEST_SOFT") : "");
	struct soft_options o;
	char *items[8], *save = NULL;
	unsigned n = 0;

	if (test_engine() != CPU_ENGINE_SOFT)
		return cpu_vm_new(out, test_engine(), bus, ram, model, ncpus, e);
	for (char *s = strtok_r(text, ",", &save); s && n < ARRAY_LEN(items); s = strtok_r(NULL, ",", &save))
		items[n++] = s;
	int r = engine_options_parse(&o, items, n, e);
	return r < 0 ? r : cpu_vm_new_soft(out, bus, ram, model, ncpus, &o, e);
}

#endif
