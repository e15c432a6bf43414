/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acpi_dsdt.h - the DSDT: the name space that says which devices the board has, and how PCI interrupts are steered. */
#ifndef MICA_ACPI_DSDT_H
#define MICA_ACPI_DSDT_H

#include "machine/acpi.h"
#include "machine/aml.h"

/* What follows its header. places: NULL where there is no firmware. */
void acpi_dsdt(struct aml *a, const struct acpi_board *b, const struct acpi_places *places);

#endif
