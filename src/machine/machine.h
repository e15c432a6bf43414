/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * machine.h - the board as a whole: what the VMM assembles a VM from.
 *
 * machine_new() puts bus, interrupt controllers, timers, PCI, ACPI registers together (the whole board
 * is visible in that one function, board.c); devices are then added by the VMM, to machine_pci() or, at fixed
 * addresses, to machine_bus() with a wire from machine_irq() and machine_add_device(); then
 * machine_boot() writes firmware tables and the kernel and sets the boot vCPU's state.
 */
#ifndef MICA_MACHINE_H
#define MICA_MACHINE_H

#include "base/base.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/ram.h"
#include "cpu/cpu.h"
#include "machine/bus.h"
#include "machine/device.h"

struct machine;
struct pci_bus;
struct fw_cfg; /* machine/fw_cfg.h */
struct slots;  /* machine/slots.h */

enum machine_event {
	MACHINE_POWEROFF,   /* ACPI S5 */
	MACHINE_RESET,      /* keyboard controller, 0xcf9, ACPI reset register */
	MACHINE_DEBUG_EXIT, /* port 0xf4; value is the byte written */
	MACHINE_PAUSE,      /* a device wants somebody to look */
};

/* --machine: what the kinds are is in board_kind.h. */
enum machine_kind {
	MACHINE_Q35,   /* Intel Q35 and ICH9: PCI Express's config space, an I/O APIC pin for each PCI wire */
	MACHINE_PC,    /* Intel 440FX and PIIX3, for systems from before those */
	MACHINE_MICRO, /* no PCI and no firmware: devices in slots (slots.h) */
};

/* What is at the processor's reset vector (firmware.h). */
#define FIRMWARE_CODE_MAX (8 * MIB)
#define FIRMWARE_RAM_MIN (8 * MIB)
#define FIRMWARE_VARS_MAX (1 * MIB)
struct firmware_image {
	const char *name; /* for messages */
	const u8 *code;   /* ends at 4 GiB; copied */
	u64 code_bytes;
	const u8 *vars; /* NULL: none; a flash right below the code, whole pages */
	u64 vars_bytes;
	int vars_fd; /* the file of the flash, of that size; -1: what is written to it ends with the VM; the caller's */
};

struct smbios_identity; /* machine/smbios.h */

struct machine_config {
	struct ram *ram;
	struct loop *loop;
	enum machine_kind kind;
	unsigned ncpus;
	bool debug_exit;
	const struct firmware_image *firmware;  /* during machine_new(); NULL: none, machine_boot() boots a kernel */
	const struct smbios_identity *identity; /* during machine_new(); NULL: the usual one */
	/* The guest asked for something. Any thread. */
	void (*event)(void *opaque, enum machine_event ev, u32 value);
	void *event_opaque;
};

/*
 * What a guest finds on the board: which chips, where, with which interrupts. A saved VM goes on on the board it was
 * saved on, so each kind of board has a number (board_kind.c) that goes up when any of that changes, and what older
 * ones were is kept. 1  PIC, I/O APIC, PIT, RTC, ACPI PM, PCI with virtio functions from slot 1 on
 */
/* The section that names it; loading: this version of Mica has that board, and the VM is to be on it. */
int machine_board_section(struct state_file *s, enum machine_kind kind, struct err *e);

int machine_new(struct machine **out, const struct machine_config *cfg, struct err *e);
void machine_free(struct machine *m); /* and its devices: loop, memory and vCPUs are still there */

/* For the engine: valid from machine_new() on. */
const struct cpu_bus *machine_cpu_bus(struct machine *m);
/* Before vCPUs run: the interrupt controllers need them. */
void machine_attach_cpus(struct machine *m, struct cpu_vm *vm);
struct pci_bus *machine_pci(struct machine *m); /* NULL: it has none, but slots */
struct slots *machine_slots(struct machine *m);
struct ram *machine_ram(struct machine *m);
struct loop *machine_loop(struct machine *m);
unsigned machine_ncpus(struct machine *m);
enum machine_kind machine_kind(struct machine *m);
/* The bus and the interrupt wires, for devices that sit at fixed addresses. gsi < LAYOUT_GSI_COUNT. */
struct bus *machine_bus(struct machine *m);
struct irq_line machine_irq(struct machine *m, unsigned gsi);
/* A device at a fixed address joins the board, which walks it for each step of its life (device.h), and ends it in
 * machine_free(). Those at a PCI slot join by pci_register(). Before vCPUs run. */
void machine_add_device(struct machine *m, struct device *d);
/* The first device on the board, at a PCI slot or a fixed address, whose class has that name; NULL: there is none. */
struct device *machine_find(struct machine *m, const char *name);
/*
 * What firmware tables say of the board, where it depends on which devices there are. Of its own the board has a
 * keyboard controller that answers for its reset line only; one that is used instead takes its ports, and asks for the
 * reset (no lock held). Before vCPUs run.
 */
enum machine_part {
	MACHINE_SCREEN = 1,
	MACHINE_KEYBOARD = 2,
	MACHINE_HPET = 4,
	MACHINE_GENERATION = 8,
	MACHINE_TPM = 16,
	MACHINE_SERIAL2 = 32
};
void machine_use(struct machine *m, enum machine_part part);
/* The wires of the 8254 and of the RTC end nowhere while it is on: who says so drives GSI 0 and 8. Any thread. */
void machine_replace_legacy(struct machine *m, bool on);
void machine_ask_reset(struct machine *m);
/* Likewise to end the VM, as ACPI's S5 does. */
void machine_ask_poweroff(struct machine *m);
/* Or to have it stand still until somebody has it go on. */
void machine_ask_pause(struct machine *m);
/* All devices take on nothing more. True: nothing is in flight. False: ask again later. The threads are device.h's. */
bool machine_quiesce(struct machine *m);
/* All devices go on; also after machine_state() has loaded. */
void machine_resume(struct machine *m);
/* Press the ACPI power button. Any thread. */
void machine_power_button(struct machine *m);
/* An ACPI general-purpose event (layout.h). Any thread. */
void machine_gpe(struct machine *m, unsigned n);
/* Pulse every local APIC's LINT1: an NMI where the guest wired it so. Any thread. */
void machine_nmi(struct machine *m);
/* All devices and chips to power-on state (system reset); no vCPU is in cpu_run(). The vCPUs themselves are the
 * caller's: cpu_reset(). */
void machine_reset(struct machine *m);

/* What firmware is told of the machine, for more of it; NULL: there is none. Before vCPUs run. */
struct fw_cfg *machine_fw_cfg(struct machine *m);
/* What firmware does before it boots a kernel: addresses and interrupt lines for PCI devices, tables in memory. */
int machine_firmware(struct machine *m, struct err *e);

/* Save or load all devices, quiesced, and all chips; no vCPU is in cpu_run(). The vCPUs have their state already. */
struct state_file;
int machine_state(struct machine *m, struct state_file *s, struct err *e);

/* ---- boot: machine/boot.c ---- */

/* The mode that a screen was put into for a kernel: text, or (width != 0) a picture in memory, 0x..RRGGBB or as many
 * bits of each as VBE has for that depth. */
#define BOOT_SCREEN_TEXT 3 /* the mode's number for int 10h */
struct boot_screen {
	unsigned columns, rows, glyph_lines;
	gpa_t base;
	u64 bytes;
	unsigned width, height, bits, line_bytes;
};

struct boot_params {
	const char *kernel, *initrd, *append; /* paths; initrd and append may be NULL */
	const char *const *modules;           /* Multiboot: "FILE args" */
	unsigned nmodules;
	/* How the files above are opened for reading: an owned fd or -errno. NULL: open(2). The VMM
	 * boots again from inside its sandbox, where only files it opened before are left. */
	int (*open)(void *opaque, const char *path);
	void *open_opaque;
	/* Set a mode as a video BIOS would: BOOT_SCREEN_TEXT, or one that VBE numbers. -ENOENT: there is no such mode.
	 * NULL: there is no screen. */
	int (*screen)(void *opaque, unsigned mode, struct boot_screen *out);
	void *screen_opaque;
};
/* Load and set *state for vCPU 0. What kind of kernel it is is seen from its bytes. */
int machine_boot(struct machine *m, const struct boot_params *p, struct cpu_state *state, struct err *e);
/* The other vCPUs, which wait for a SIPI: change their reset state as firmware would have. */
void machine_boot_other(struct cpu_state *state);

#endif
