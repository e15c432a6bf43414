/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * e1000.h - Intel's gigabit network cards, for systems without virtio drivers.
 *
 *   82540EM  PCI, 2001 ("PRO/1000 MT"): Windows XP to 10, all Linux since 2.4, BSDs, Solaris, OS/2, DOS, BeOS, iPXE
 *   82574L   PCI Express, 2008: Windows 7 to 11, Linux since 2.6.30, BSDs, ESXi, UEFI firmware
 *
 * To a driver they are one family: the same rings, filters and offloads; the newer one has two queues each way, MSI and
 * MSI-X, and receive descriptors that say more.
 *
 * Sources: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, revision 4.0 (SDM); Intel
 * 82574 GbE Controller Family Datasheet, revision 3.4 (DS).
 */
#ifndef MICA_E1000_H
#define MICA_E1000_H

#include "base/ram.h"
#include "device/class.h"
#include "machine/pci.h"

enum e1000_kind { E1000_82540, E1000_82574, E1000_KINDS };

/* A card on the bus. a: fd, mac, mtu, checked, listener, slot. */
int e1000_new(struct device **out, enum e1000_kind kind, struct pci_bus *bus, struct ram *ram, struct loop *loop,
	      const struct device_args *a, struct err *e);

#endif
