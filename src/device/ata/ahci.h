/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ahci.h - an AHCI host bus adapter (Serial ATA AHCI 1.3.1) as Intel's ICH9 has it: PCI 8086:2922, registers in BAR 5,
 * six ports, 32 commands each, MSI or INTx.
 *
 * There is one controller for six drives; the first drive brings it.
 */
#ifndef MICA_AHCI_H
#define MICA_AHCI_H

#include "device/ata/ata.h"

struct loop;
struct pci_bus;
struct ram;

/* Put the drive (owned, also when it fails) at the first free port of the bus's controllers; slot: as pci_register(),
 * of a controller that is new. */
int ahci_add(struct pci_bus *bus, struct ram *ram, struct ata_drive *drive, int slot, struct err *e);

#endif
