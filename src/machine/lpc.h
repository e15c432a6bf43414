/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lpc.h - the bridge to ISA: the LPC bridge, PCI function 00:1f.0 (Intel ICH9, data sheet 13.1), or on the board `pc`
 * function 00:01.0 (Intel 82371SB, PIIX3, 2.2), which has the wires PIRQA to PIRQD only. It steers the PCI interrupt
 * wires PIRQA to PIRQH to lines of the 8259s, for guests that have no I/O APIC or do not use it.
 *
 * Config space: PIRQ[A-D]_ROUT at 60H-63H, PIRQ[E-H]_ROUT at 68H-6BH. Bit 7 set: not steered; else bits 0-3 are the
 * line, one of 3-7, 9-12, 14, 15. Several wires may have one line, together with a device of the line's own. The other
 * registers (GPIO, TCO bases) read as 0: not there. ACPI's (PMBASE, 40H, and ACPI_CNTL, 44H) are 0 as well, its
 * registers are where its tables say; but for firmware they name that place, switched on, and cannot be changed.
 */
#ifndef MICA_LPC_H
#define MICA_LPC_H

#include "machine/pci.h"

struct lpc;

#define LPC_ROUTE(wire) ((wire) < 4 ? 0x60 + (wire) : 0x64 + (wire)) /* the register's offset */

/* line(opaque, irq, level) has a line of the 8259s follow; it is called with the bridge's lock held. */
int lpc_new(struct lpc **out, struct pci_bus *pci, void (*line)(void *opaque, unsigned irq, bool level), void *opaque);
/* There is firmware, which wants to see where the ACPI registers are. */
void lpc_has_firmware(struct lpc *l);
/* After pci_bus_free(). */
void lpc_free(struct lpc *l);
/* Power-on: nothing is steered. */
void lpc_reset(struct lpc *l);
/* Steer as firmware would. */
void lpc_set_routes(struct lpc *l);
/* Config space was loaded from a saved state. */
void lpc_loaded(struct lpc *l);

/* PIRQA + wire, or a device's own line (not 0, 1, 2, 8 or 13, which cannot be shared), is driven so. Any thread. */
void lpc_wire(struct lpc *l, unsigned wire, bool level);
void lpc_line(struct lpc *l, unsigned irq, bool level);
bool lpc_shares(unsigned irq);

#endif
