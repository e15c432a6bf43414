/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * piix_pm.h - power management of the board `pc`, PCI function 00:01.3 (Intel 82371AB, PIIX4, chapter 7.1): it names
 * the place of the ACPI registers (acpi_pm.h), which are there whatever is written to it.
 *
 *   PMBA (40H)        601H: at 600H
 *   DEVACTB (58H)     bit 25, APMC_EN, is set: there is no SMM to be set up
 *   PMREGMISC (80H)   bit 0 is set: they are decoded
 *
 * The SMBus registers read as 0: not there.
 */
#ifndef MICA_PIIX_PM_H
#define MICA_PIIX_PM_H

#include "machine/pci.h"

/* The bus's, like all functions that have free(). */
void piix_pm_add(struct pci_bus *pci);

#endif
