/* SPDX-License-Identifier: GPL-2.0-or-later */
/* board_kind.c - see board_kind.h. */
#include "machine/board_kind.h"

#include "machine/layout.h"

static const struct board_kind kinds[] = {
	/* Intel Q35 and ICH9. It was the only one, and has the name of that time. */
	[MACHINE_Q35] = {
		.saved = "mica",
		.version = 1,
		.pci = true,
		.bridge_id = 0x29c0,
		.ecam = true,
		.pam = 0x90,
		.isa_name = "LPC",
		.isa_id = 0x2918,
		.isa_slot = LAYOUT_LPC_SLOT,
		.wires = 8,
		.ioapic = true,
		.irq = { 10, 11, 10, 11, 10, 11, 10, 11 },
	},
	/* Intel 440FX and 82371SB (PIIX3). The slots' wires and lines are those that SeaBIOS gives them. */
	[MACHINE_PC] = {
		.saved = "mica-pc",
		.version = 1,
		.pci = true,
		.bridge_id = 0x1237,
		.bridge_revision = 2,
		.pam = 0x59,
		.isa_name = "ISA",
		.isa_id = 0x7000,
		.isa_slot = LAYOUT_PIIX_SLOT,
		.isa_more = true,
		.wires = 4,
		.wire_add = 3,
		.irq = { 10, 10, 11, 11 },
	},
	/* Nothing that a kernel has to look for. */
	[MACHINE_MICRO] = {
		.saved = "mica-micro",
		.version = 1,
	},
};

const struct board_kind *board_kind(enum machine_kind kind)
{
	must(kind < ARRAY_LEN(kinds));
	return &kinds[kind];
}
