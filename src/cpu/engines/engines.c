/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engines.c - the engines there are. In a room above them, so that what executes knows nothing of who chooses it: cpu.c
 * reaches an engine only through the table that a VM was made with.
 */
#include "cpu/engine.h"

static const struct cpu_engine *const engines[] = {
	[CPU_ENGINE_SOFT] = &cpu_engine_soft,
	[CPU_ENGINE_KVM] = &cpu_engine_kvm,
	[CPU_ENGINE_KVM_CHIPS] = &cpu_engine_kvm_chips,
};

int cpu_vm_new(struct cpu_vm **out, enum cpu_engine_kind kind, const struct cpu_bus *bus, struct ram *ram,
	       const struct cpu_model *model, unsigned ncpus, struct err *e)
{
	must(kind < ARRAY_LEN(engines));
	must(ncpus >= 1 && ncpus <= CPU_MAX);
	return engines[kind]->vm_new(out, bus, ram, model, ncpus, e);
}
