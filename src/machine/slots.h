/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slots.h - places in memory for devices on a board without PCI: a page and an interrupt each, handed out in order.
 * Slot n is at LAYOUT_SLOTS + n pages, on pin LAYOUT_GSI_PCI + n % LAYOUT_SLOT_PINS of the I/O APIC, which is
 * level-triggered and shared. ACPI says which there are (acpi_dsdt.c).
 */
#ifndef MICA_SLOTS_H
#define MICA_SLOTS_H

#include "base/ram.h"
#include "machine/bus.h"

struct slots;

struct slot {
	unsigned number;
	gpa_t at;
	struct irq_line irq;
};

/* pin(opaque, gsi, level): an I/O APIC pin follows; called with a lock held. */
struct slots *slots_new(void (*pin)(void *opaque, unsigned gsi, bool level), void *opaque);
/* After its devices. */
void slots_free(struct slots *s);
/* The next one; -ENOSPC. Before vCPUs run. */
int slots_take(struct slots *s, struct slot *out);
unsigned slots_taken(const struct slots *s);

#endif
