/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * option_rom.h - a PCI function's expansion ROM (PCI Firmware 3.3, 5): code of its own that a BIOS runs, as a network
 * card's, which boots from the network.
 */
#ifndef MICA_OPTION_ROM_H
#define MICA_OPTION_ROM_H

#include "machine/pci.h"

/*
 * Give d an expansion ROM of `room` bytes, a power of two, in memory of its own, with `bytes` of that image at its
 * beginning; what has no room is left out, image may be NULL. A BIOS takes an image for what has its numbers only, so
 * those of its first part are made d's. Before pci_register(); in force with ram_commit().
 */
int option_rom_add(struct pci_dev *d, struct ram *ram, const u8 *image, size_t bytes, u64 room, struct err *e);

#endif
