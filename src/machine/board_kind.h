/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * board_kind.h - the kinds of board (--machine), and in what they differ: a row each. What they have in common is in
 * board.c and layout.h.
 *
 * Interrupts of PCI: pin INTA..D of a slot is one of the board's wires in turn. Where `ioapic` is, each wire has a pin
 * of the I/O APIC, from LAYOUT_GSI_PCI on; and on each board the bridge to ISA (lpc.h) steers them to lines of the
 * 8259s, which are pins of the I/O APIC as well.
 */
#ifndef MICA_MACHINE_BOARD_KIND_H
#define MICA_MACHINE_BOARD_KIND_H

#include "machine/machine.h"

#define BOARD_WIRES_MAX 8
#define BOARD_NO_PAM 0

struct board_kind {
	const char *saved; /* its name in a saved state: what machine.h says of versions is said of this */
	u32 version;
	bool pci; /* else none of what follows */
	/* host bridge, 00:00.0 */
	u16 bridge_id;
	u8 bridge_revision;
	bool ecam; /* config space in memory: PCIEXBAR, MCFG */
	u8 pam;    /* where PAM0 is in its config space */
	/* the bridge to ISA */
	const char *isa_name; /* in ACPI's name space */
	u16 isa_id;
	u8 isa_slot;
	bool isa_more; /* functions beside it: IDE, power management */
	/* wires */
	unsigned wires; /* a power of two, or 0 */
	u8 wire_add;
	bool ioapic;
	u8 irq[BOARD_WIRES_MAX]; /* the line of the 8259s that firmware steers each to */
};

const struct board_kind *board_kind(enum machine_kind kind);

static inline unsigned board_wire(const struct board_kind *k, unsigned slot, unsigned pin)
{
	return (slot + pin + k->wire_add) & (k->wires - 1);
}

#endif
