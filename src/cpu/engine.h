/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engine.h - what an engine is to cpu.c: one table of functions.
 *
 * Each function is the one of cpu.h with the same name, and keeps its contract. Where a comment says so, it
 * may be NULL.
 */
#ifndef MICA_CPU_ENGINE_H
#define MICA_CPU_ENGINE_H

#include "cpu/cpu.h"

struct cpu_engine {
	const char *name;
	int (*vm_new)(struct cpu_vm **out, const struct cpu_bus *bus, struct ram *ram, const struct cpu_model *model,
		      unsigned ncpus, struct err *e);
	void (*vm_free)(struct cpu_vm *vm);
	void (*vm_ready)(struct cpu_vm *vm); /* NULL: nothing to do */
	struct cpu *(*vm_cpu)(struct cpu_vm *vm, unsigned index);
	void (*vm_get_board)(struct cpu_vm *vm, struct board_state *b);
	int (*vm_set_board)(struct cpu_vm *vm, const struct board_state *b, struct err *e);
	void (*vm_stats)(struct cpu_vm *vm, FILE *f);
	void (*vm_report)(struct cpu_vm *vm, FILE *f);      /* NULL: nothing to say */
	void (*vm_trace)(struct cpu_vm *vm, unsigned mask); /* NULL: it traces nothing */

	enum cpu_exit (*run)(struct cpu *c, struct err *e);
	void (*stop)(struct cpu *c);
	void (*get_state)(struct cpu *c, struct cpu_state *s);
	int (*set_state)(struct cpu *c, const struct cpu_state *s, struct err *e);
	void (*reset)(struct cpu *c);
	void (*set_intr)(struct cpu *c, bool up);
	void (*raise_nmi)(struct cpu *c);
	void (*raise_init)(struct cpu *c);            /* NULL: the engine has the local APICs */
	void (*raise_sipi)(struct cpu *c, u8 vector); /* NULL: the same */
	void (*kick_halted)(struct cpu *c);           /* NULL: the same */
	u64 (*tsc)(struct cpu *c);

	/* The local APICs are the engine's: all of these, or none. */
	void (*vm_msi)(struct cpu_vm *vm, u64 addr, u32 data);
	void (*vm_set_pin)(struct cpu_vm *vm, unsigned pin, u64 addr, u32 data, bool used);
	void (*lint1)(struct cpu *c);

	int (*vm_route)(struct cpu_vm *vm, unsigned id, int fd, bool on, u64 addr, u32 data); /* NULL: none */
	void (*vm_wire)(struct cpu_vm *vm, unsigned gsi, bool level); /* NULL: the other chips are the machine's */

	int (*vm_commit_ram)(struct cpu_vm *vm, struct err *e);
	int (*vm_dirty_start)(struct cpu_vm *vm, enum cpu_log who, u64 off, u64 bytes, struct err *e);
	int (*vm_dirty_collect)(struct cpu_vm *vm, enum cpu_log who, u64 *bitmap, struct err *e);
	void (*vm_dirty_stop)(struct cpu_vm *vm, enum cpu_log who);

	int (*vm_doorbell)(struct cpu_vm *vm, gpa_t gpa, unsigned bytes, int fd, bool on); /* NULL: none */
	int (*vm_latch)(struct cpu_vm *vm, bool pio, u64 at, unsigned bytes, bool on);     /* NULL: none */
};

/* What every engine's own struct begins with. */
struct cpu {
	const struct cpu_engine *engine;
};
struct cpu_vm {
	const struct cpu_engine *engine;
};

/* Takes out of m what this host's KVM cannot give (kvm/kvm_cpuid.c). -errno: there is no usable /dev/kvm. */
int kvm_limit(struct cpu_model *m, struct err *e);

extern const struct cpu_engine cpu_engine_soft, cpu_engine_kvm, cpu_engine_kvm_chips;

#endif
