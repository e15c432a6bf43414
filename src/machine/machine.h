/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * machine.h - the board as a whole: what the VMM assembles a VM from.
 *
 * machine_new() puts bus, interrupt controllers, timers, PCI, UART, ACPI registers together (the whole
 * machine is visible in that one function, board.c); devices are then added to machine_pci(); then
 * machine_boot() writes firmware tables and the kernel and sets the boot vCPU's state.
 */
#ifndef MICA_MACHINE_H
#define MICA_MACHINE_H

#include "base/base.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/ram.h"
#include "cpu/cpu.h"

struct machine;
struct pci_bus;
struct chr;

enum machine_event {
	MACHINE_POWEROFF,   /* ACPI S5 */
	MACHINE_RESET,      /* keyboard controller, 0xcf9, ACPI reset register */
	MACHINE_DEBUG_EXIT, /* port 0xf4; value is the byte written */
};

struct machine_config {
	struct ram *ram;
	struct loop *loop;
	unsigned ncpus;
	struct chr *console; /* UART 1; may be NULL */
	bool debug_exit;
	/* The guest asked for something. Any thread. */
	void (*event)(void *opaque, enum machine_event ev, u32 value);
	void *event_opaque;
};

int machine_new(struct machine **out, const struct machine_config *cfg, struct err *e);
void machine_free(struct machine *m);

/* For the engine: valid from machine_new() on. */
const struct cpu_bus *machine_cpu_bus(struct machine *m);
/* Before vCPUs run: the interrupt controllers need them. */
void machine_attach_cpus(struct machine *m, struct cpu_vm *vm);
struct pci_bus *machine_pci(struct machine *m);
/* Press the ACPI power button. Any thread. */
void machine_power_button(struct machine *m);
/* All chips to power-on state (system reset); vCPUs are stopped. Devices are reset too. */
void machine_reset(struct machine *m);

/* ---- boot: machine/boot.c ---- */
struct boot_params {
	const char *kernel, *initrd, *append; /* paths; initrd and append may be NULL */
	const char *const *modules;           /* Multiboot: "FILE args" */
	unsigned nmodules;
};
/* Load and set *state for vCPU 0. What kind of kernel it is is seen from its bytes. */
int machine_boot(struct machine *m, const struct boot_params *p, struct cpu_state *state, struct err *e);

#endif
