/* SPDX-License-Identifier: GPL-2.0-or-later */
/* board_int.h - the board's inside, between the files board*.c. */
#ifndef MICA_BOARD_INT_H
#define MICA_BOARD_INT_H

#include "machine/acpi.h"
#include "machine/board_kind.h"
#include "machine/machine.h"
#include "machine/smbios.h"

#include <pthread.h>

struct machine {
	struct machine_config cfg;
	const struct board_kind *kind;
	struct cpu_bus cpu_bus;
	struct cpu_vm *vm;
	struct bus *bus;
	struct lapics *lapics;
	struct ioapic *ioapic;
	struct pic *pic;
	struct pit *pit;
	struct rtc *rtc;
	struct acpi_pm *acpi;
	struct reset *reset;
	struct rom *rom;
	struct firmware *firmware; /* NULL: none */
	struct pv *pv;
	struct pci_bus *pci; /* NULL: no PCI, and no bridge */
	struct lpc *lpc;
	struct slots *slots; /* NULL: PCI */
	struct smbios smbios;
	struct {
		pthread_mutex_t lock;
		bool replaced;
		bool level[2]; /* what the 8254 and the RTC say */
	} legacy;
	unsigned parts;                 /* enum machine_part */
	struct device *devices, **last; /* at fixed addresses, in the order in which they were added */
	/* Interrupts that each vCPU took; its own thread counts. */
	struct {
		_Alignas(64) u64 n;
	} taken[CPU_MAX];
};

/* What ACPI tables say of it. */
struct acpi_board board_acpi(struct machine *m);

extern const struct cpu_bus board_cpu_bus; /* board_cpu.c; opaque: struct machine */

#endif
