/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acpi.h - the ACPI tables that tell the guest what the board is made of. */
#ifndef MICA_ACPI_H
#define MICA_ACPI_H

#include "base/err.h"
#include "base/ram.h"

/* Write RSDP (at LAYOUT_RSDP), RSDT, XSDT, FADT, FACS, DSDT, MADT and MCFG into guest RAM below 1 MiB. parts: which
 * of enum machine_part there are (machine.h). */
int acpi_write_tables(struct ram *ram, unsigned ncpus, unsigned parts, struct err *e);

#endif
