/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i6300esb.h - the watchdog timer of Intel's 6300ESB: whoever is in the guest must call in time. */
#ifndef MICA_I6300ESB_H
#define MICA_I6300ESB_H

#include "device/class.h"
#include "machine/pci.h"

/* fn: the time is up; on the loop's thread, with no lock held. slot as for pci_register(). */
int i6300esb_new(struct device **out, struct pci_bus *bus, struct loop *loop, void (*fn)(void *opaque), void *opaque,
		 int slot, struct err *e);

#endif
