/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci_msi.c - MSI (PCI 3.0 chapter 6.8.1): one message, a 64-bit address, no mask.
 *
 * All of its state is in config space. Where it is enabled, INTx is silent (6.8.3.3: a function uses one of them).
 */
#include "machine/pci.h"

#include "machine/pci_internal.h"

#define CAP_MSI 0x05
#define CTL_ENABLE 0x0001
#define CTL_64BIT 0x0080

void pci_add_msi(struct pci_dev *d)
{
	must(!d->msi_cap && !d->msix_n && !d->bus);
	d->msi_cap = pci_add_cap(d, CAP_MSI, 14);
	st_le16(d->cfg + d->msi_cap + PCI_MSI_CTL, CTL_64BIT);
	st_le16(d->wmask + d->msi_cap + PCI_MSI_CTL, CTL_ENABLE);
	st_le32(d->wmask + d->msi_cap + 4, ~3u);
	st_le32(d->wmask + d->msi_cap + 8, ~0u);
	st_le16(d->wmask + d->msi_cap + 12, 0xffff);
}

void pci_msi_update_locked(struct pci_dev *d, bool master)
{
	const u8 *c = d->cfg + d->msi_cap;

	if (!d->msi_cap)
		return;
	d->msi_on = ld_le16(c + PCI_MSI_CTL) & CTL_ENABLE;
	d->msi_may_send = master;
	d->msi_addr = ld_le64(c + 4);
	d->msi_data = ld_le16(c + 12);
}

void pci_msi_reset(struct pci_dev *d)
{
	if (!d->msi_cap)
		return;
	st_le16(d->cfg + d->msi_cap + PCI_MSI_CTL, CTL_64BIT);
	memset(d->cfg + d->msi_cap + 4, 0, 10);
}

bool pci_msi_send(struct pci_dev *d)
{
	pthread_mutex_lock(&d->msix_lock);
	bool on = d->msi_on;
	if (on && d->msi_may_send && d->bus)
		msi_send(&d->bus->msi, d->msi_addr, d->msi_data);
	pthread_mutex_unlock(&d->msix_lock);
	return on;
}
