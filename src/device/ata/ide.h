/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ide.h - the IDE controller of Intel's PIIX3 (8086:7010): two channels at the ports and interrupts that PCs have
 * always had them at, two drives on each, PIO and bus-master DMA (BAR 4). A machine has one; the first drive brings it.
 */
#ifndef MICA_IDE_H
#define MICA_IDE_H

#include "device/ata/ata.h"
#include "machine/bus.h"

struct pci_bus;
struct ram;

/* What it is put on. */
struct ide_board {
	struct pci_bus *pci;
	struct bus *bus;
	struct ram *ram;
	struct irq_line irq[2]; /* of the channels */
	u8 devfn;               /* where a PIIX3 has it; 0: the board has none, and it is a card's */
};

/* Put the drive (owned, also when it fails) at the first free place. slot: as pci_register(), of a new controller. */
int ide_add(const struct ide_board *b, struct ata_drive *drive, int slot, struct err *e);

#endif
