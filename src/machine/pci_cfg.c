/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci_cfg.c - config space, and the two ways to it.
 *
 * Theory of operation: config space is cfg[] filtered by wmask[]. A write is merged byte by byte, then
 * its consequences are drawn from the merged bytes: decoding (command register, BARs) is brought in
 * line, and interrupt control is copied to where the senders look. Configuration is reached by ports
 * 0xcf8/0xcfc (mechanism #1, PCI 3.0 chapter 3.2.2.3) and by ECAM (PCI Express 7.2.2), which both lead to
 * cfg_read() and cfg_write().
 */
#include "machine/pci.h"

#include "machine/pci_internal.h"

static bool overlaps(unsigned off, unsigned bytes, unsigned first, unsigned n)
{
	return off < first + n && first < off + bytes;
}

static u64 ones(unsigned bytes)
{
	return bytes >= 8 ? UINT64_MAX : (1ull << (8 * bytes)) - 1;
}

static u64 cfg_read(struct pci_bus *b, unsigned devfn, unsigned off, unsigned bytes)
{
	u64 v = ones(bytes);

	if (off + bytes > PCI_CFG_BYTES)
		return v;
	pthread_mutex_lock(&b->lock);
	struct pci_dev *d = b->dev[devfn];
	if (d) {
		if (d->ops && d->ops->cfg_reading)
			d->ops->cfg_reading(d, off, bytes);
		v = 0;
		memcpy(&v, d->cfg + off, bytes);
		if (overlaps(off, bytes, PCI_STATUS, 1)) {
			pthread_mutex_lock(&d->msix_lock);
			if (d->intx_level)
				v |= (u64)PCI_STATUS_INTX << (8 * (PCI_STATUS - off));
			pthread_mutex_unlock(&d->msix_lock);
		}
	}
	pthread_mutex_unlock(&b->lock);
	return v;
}

static void cfg_write(struct pci_bus *b, unsigned devfn, unsigned off, unsigned bytes, u64 val)
{
	if (off + bytes > PCI_CFG_BYTES)
		return;
	pthread_mutex_lock(&b->lock);
	struct pci_dev *d = b->dev[devfn];
	if (d) {
		for (unsigned i = 0; i < bytes; i++) {
			u8 m = d->wmask[off + i];
			d->cfg[off + i] = (u8)((d->cfg[off + i] & ~m) | ((val >> (8 * i)) & m));
		}
		bool cmd = overlaps(off, bytes, PCI_COMMAND, 2);
		bool msix = d->msix_n && overlaps(off, bytes, d->msix_cap + PCI_MSIX_CTL, 2);
		if (cmd || overlaps(off, bytes, PCI_BAR0, 24) || overlaps(off, bytes, PCI_ROM, 4))
			pci_update_bars_locked(b, d);
		bool msi = d->msi_cap && overlaps(off, bytes, d->msi_cap + PCI_MSI_CTL, 12);
		if (cmd || msix || msi)
			pci_update_interrupts(d);
		if (d->ops && d->ops->cfg_written)
			d->ops->cfg_written(d, off, bytes);
	}
	pthread_mutex_unlock(&b->lock);
}

/* ---- mechanism #1 ---- */

#define LATCH_ENABLE 0x80000000u

static bool latched(u32 latch, u64 port_off, unsigned bytes, unsigned *devfn, unsigned *off)
{
	if (!(latch & LATCH_ENABLE) || (latch >> 16 & 0xff) || port_off + bytes > 8)
		return false;
	*devfn = latch >> 8 & 0xff;
	*off = (latch & 0xfc) | (port_off & 3);
	return true;
}

static u32 latch_get(struct pci_bus *b)
{
	pthread_mutex_lock(&b->lock);
	u32 v = b->latch;
	pthread_mutex_unlock(&b->lock);
	return v;
}

static u64 ports_read(void *dev, u64 off, unsigned bytes)
{
	struct pci_bus *b = dev;
	u32 latch = latch_get(b);
	unsigned devfn, reg;

	if (off < 4) /* the latch answers dwords only (3.2.2.3.2) */
		return off == 0 && bytes == 4 ? latch : ones(bytes);
	return latched(latch, off, bytes, &devfn, &reg) ? cfg_read(b, devfn, reg, bytes) : ones(bytes);
}

static void ports_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct pci_bus *b = dev;
	unsigned devfn, reg;

	if (off < 4) {
		if (off == 0 && bytes == 4) {
			pthread_mutex_lock(&b->lock);
			b->latch = (u32)val & 0x80fffffc;
			pthread_mutex_unlock(&b->lock);
		}
	} else if (latched(latch_get(b), off, bytes, &devfn, &reg)) {
		cfg_write(b, devfn, reg, bytes, val);
	}
}

const struct io_ops pci_ports_ops = { .read = ports_read, .write = ports_write };

/* ---- ECAM ---- */

static u64 ecam_read(void *dev, u64 off, unsigned bytes)
{
	return off >> 20 ? ones(bytes) : cfg_read(dev, off >> 12 & 0xff, off & 0xfff, bytes);
}

static void ecam_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	if (!(off >> 20))
		cfg_write(dev, off >> 12 & 0xff, off & 0xfff, bytes, val);
}

const struct io_ops pci_ecam_ops = { .read = ecam_read, .write = ecam_write };
