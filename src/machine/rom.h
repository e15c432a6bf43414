/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rom.h - what stands where a PC has its BIOS. There is none on this board: kernels are booted without, and one that
 * calls it all the same is told so, in the log and by an error.
 *
 * In guest memory, written at each boot:
 *   00000-003ff  real-mode interrupt table, all 256 vectors into the stubs
 *   f0000-fffff  INT3 all over, so that a jump to anywhere in it gets to a stub as well, but for
 *                tables (irq_tables.h), the stubs, and the processor's reset vector ffff0, which resets the machine
 *
 * A stub tells LAYOUT_ROM_CALL which interrupt it is and with which AX, which gives a line in the log, once for each
 * interrupt. Then INT n returns with carry set and AH = 86h ("not supported"). A hardware interrupt (the 8259s' lines
 * as a PC's firmware numbers them) is finished and returns. Exceptions 0 and 6, and who came in by INT3, halt for ever.
 */
#ifndef MICA_ROM_H
#define MICA_ROM_H

#include "base/ram.h"
#include "machine/bus.h"

struct rom;

int rom_new(struct rom **out, struct bus *bus);
void rom_free(struct rom *r);
/* Everything may be told once more. */
void rom_reset(struct rom *r);
/* What is in guest memory; before irq_tables_write(). */
int rom_write(struct ram *ram, struct err *e);

#endif
