/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nvme.h - an NVMe controller (NVM Express 1.4) with one namespace on a struct blk: registers in BAR 0, an interrupt of
 * its own for each completion queue by MSI-X, data by PRPs.
 */
#ifndef MICA_NVME_H
#define MICA_NVME_H

#include "block/block.h"
#include "device/class.h"

struct loop;
struct pci_bus;
struct ram;

/* blk is owned from the call on, also when it fails; serial: up to 20 bytes. slot: as pci_register(). */
int nvme_new(struct device **out, struct pci_bus *bus, struct ram *ram, struct loop *loop, struct blk *blk,
	     const char *serial, int slot, struct err *e);

#endif
