/* SPDX-License-Identifier: GPL-2.0-or-later */
/* piix_pm.c - see piix_pm.h. */
#include "machine/piix_pm.h"

#include "machine/layout.h"
#include "machine/pci_internal.h"

#define PMBA 0x40
#define DEVACTB 0x58
#define APMC_EN (1u << 25)
#define PMREGMISC 0x80

static void life_free(struct device *d)
{
	struct pci_dev *p = pci_dev_of(d);

	pci_dev_fini(p);
	free(p);
}

static const struct pci_dev_ops ops = { .life = { .free = life_free } };

void piix_pm_add(struct pci_bus *pci)
{
	struct pci_dev *d = xcalloc(1, sizeof(*d));

	pci_dev_init(d, &ops, "piix4-pm", 0x8086, 0x7113, 0x068000 << 8 | 3);
	st_le32(d->cfg + PMBA, LAYOUT_ACPI_PM | 1);
	st_le32(d->cfg + DEVACTB, APMC_EN);
	d->cfg[PMREGMISC] = 1;
	d->cfg[PCI_INT_PIN] = 1;
	d->line = LAYOUT_GSI_SCI;
	must(pci_register_at(pci, d, LAYOUT_PIIX_PM) == 0);
}
