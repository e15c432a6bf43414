/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm_state.h - a whole VM to and from a saved state (docs/save-restore.md, docs/state-format.md).
 *
 * Threads: the loop's; no vCPU is in cpu_run().
 */
#ifndef MICA_SNAPSHOT_H
#define MICA_SNAPSHOT_H

#include "base/ram.h"
#include "base/state.h"
#include "vmm/config.h"

struct blk;
struct cpu_model;
struct cpu_vm;
struct machine;

/* The VM's parts, all borrowed. */
struct snapshot_vm {
	const struct vmm_config *cfg;
	const char *cwd; /* where it was started */
	struct ram *ram;
	const struct cpu_model *model;
	struct machine *machine;
	struct cpu_vm *cpus;
	struct blk *const *disks; /* cfg->ndisks */
};

struct snapshot_size {
	u64 file_bytes, memory_bytes; /* memory_bytes: of guest pages that were not zero */
};

/* Is there a reason why this VM can not be saved? Before anything is stopped. */
int snapshot_possible(const struct snapshot_vm *v, struct err *e);
/* Write all of it to fd, to stable storage. The devices are quiesced (machine_quiesce()). The VM may go on afterwards.
 */
int snapshot_save(const struct snapshot_vm *v, int fd, struct snapshot_size *size, struct err *e);

/* Two steps. First, before there is an engine: the configuration fits; what the guest's CPUs were promised is in *p. */
struct cpu_model_promise;
int snapshot_open(struct state_file **out, int fd, const struct vmm_config *cfg, struct cpu_model_promise *p,
		  struct err *e);
/* Then, into a new VM with all its devices: everything else; and the devices go on. */
int snapshot_load(const struct snapshot_vm *v, struct state_file *s, struct err *e);

#endif
