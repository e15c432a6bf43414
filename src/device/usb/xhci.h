/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xhci.h - a USB host controller (eXtensible Host Controller Interface for USB, revision 1.1), as Linux, BSDs, Windows
 * since 8, OVMF and SeaBIOS know it, with a keyboard and a tablet in its ports (usb_hid.h).
 *
 * One interrupter, eight device slots, two ports of USB 2 and two of USB 3; MSI-X and INTx. No streams, no hubs, no
 * isochronous transfers: nothing that can be plugged in has any.
 *
 * A doorbell is worked off at once, on the vCPU's thread: commands, and what of the transfers needs no waiting. Only
 * reports wait, until a key is pressed or the pointer moves.
 *
 * Bounds. All that the driver built lies in its memory and may be anything, rings without an end among it. A visit
 * looks at so many TRBs, and the loop goes on with the rest; each write of a doorbell gives its ring leave for so many
 * (INV-XHCI-1 in xhci_int.h), so that a ring that goes round for ever ends. Where the event ring is full, everything
 * waits until the driver has taken some of it.
 */
#ifndef MICA_XHCI_H
#define MICA_XHCI_H

#include "base/err.h"
#include "base/loop.h"
#include "base/ram.h"
#include "machine/pci.h"

#define XHCI_PORTS 4u

/* which: bits of XHCI_KEYBOARD and XHCI_TABLET, in the ports 1 and 2. */
enum { XHCI_KEYBOARD = 1, XHCI_TABLET = 2 };
int xhci_new(struct device **out, struct pci_bus *bus, struct ram *ram, struct loop *loop, unsigned which, int slot,
	     struct err *e);
/* As device/class.h's keys() and point(). Any thread. */
int xhci_keys(struct device *d, const u16 *events, unsigned n);
int xhci_point(struct device *d, unsigned x, unsigned y, int wheel, unsigned buttons);

#endif
