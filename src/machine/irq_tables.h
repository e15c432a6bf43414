/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * irq_tables.h - how interrupts are wired, for guests that do not read ACPI: the PCI IRQ routing table ($PIR,
 * Microsoft, version 1.0) and Intel's MultiProcessor Specification 1.4. Both say what the ACPI tables (acpi.h) say.
 */
#ifndef MICA_IRQ_TABLES_H
#define MICA_IRQ_TABLES_H

#include "base/err.h"
#include "base/ram.h"

struct board_kind; /* machine/board_kind.h */

/* ncpus: at most 255. */
int irq_tables_write(struct ram *ram, const struct board_kind *kind, unsigned ncpus, struct err *e);

#endif
