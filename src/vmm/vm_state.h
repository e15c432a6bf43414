/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm_state.h - a whole VM to and from a saved state (docs/save-restore.md, docs/state-format.md).
 *
 * Threads: the loop's but where another is named; no vCPU is in cpu_run().
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

/* Is there a reason why this VM can not be saved? Before anything is stopped. */
int snapshot_possible(const struct snapshot_vm *v, struct err *e);

/*
 * Saving, in four steps. Those that may wait for whoever reads what is written are for a thread that may wait, while
 * the loop serves others; those that look at devices are for the loop's. Nothing moves from the first to the last: no
 * vCPU runs, the devices are quiesced, and the disks were flushed.
 */
/* Loop's thread: what may refuse. Gathered in memory. */
int snapshot_begin(struct state_file **out, const struct snapshot_vm *v, const struct state_out *to, struct err *e);
/* Any: writes that, and the memory. *bytes: of guest pages that were not zero. */
int snapshot_memory(const struct snapshot_vm *v, struct state_file *s, u64 *bytes, struct err *e);
/* Loop's thread: vCPUs, devices, chips, all of one moment. Gathered in memory. */
int snapshot_moment(const struct snapshot_vm *v, struct state_file *s, struct err *e);
/* Any: writes that, and the end; to stable storage where it is a file. */
int snapshot_end(struct state_file *s, struct err *e);

/* Loading, in two. First, before there is an engine: the configuration fits; what the guest's CPUs were promised is in
 * *p. head, bytes: what was read from fd already; it lives as long as *out. */
struct cpu_model_promise;
int snapshot_open(struct state_file **out, int fd, const u8 *head, size_t bytes, const struct vmm_config *cfg,
		  struct cpu_model_promise *p, struct err *e);
/* Then, into a new VM with all its devices: everything else. */
int snapshot_load(const struct snapshot_vm *v, struct state_file *s, struct err *e);

#endif
