/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioapic.h - the I/O APIC: 24 pins that become interrupt messages (82093AA, with the EOI register of
 * version 0x20).
 *
 * Threads: any. Its lock is held while a message is delivered to the local APICs.
 */
#ifndef MICA_IOAPIC_H
#define MICA_IOAPIC_H

#include "machine/bus.h"
#include "machine/lapic.h"

#define IOAPIC_PINS 24

struct ioapic;

/* Maps its registers at LAYOUT_IOAPIC. lapics is borrowed. */
int ioapic_new(struct ioapic **out, struct bus *bus, struct lapics *lapics);
void ioapic_free(struct ioapic *io);
void ioapic_reset(struct ioapic *io);
void ioapic_set_pin(struct ioapic *io, unsigned pin, bool level);
/* A local APIC has finished a level-triggered vector. */
void ioapic_eoi(struct ioapic *io, u8 vector);

/* No vCPU runs. set: sends nothing; the local APICs have what was sent before. */
struct ioapic_state;
void ioapic_get_state(struct ioapic *io, struct ioapic_state *st);
void ioapic_set_state(struct ioapic *io, const struct ioapic_state *st);

#endif
