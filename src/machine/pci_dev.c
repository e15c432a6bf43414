/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pci_dev.c - building a function: identity, BARs, capabilities, before it is registered. MSI-X is in pci_msix.c. */
#include "machine/pci.h"

#include "machine/pci_internal.h"

#define CAPS_START 0x40

void pci_dev_init(struct pci_dev *d, const struct pci_dev_ops *ops, const char *name, u16 vendor, u16 device,
		  u32 class_rev)
{
	memset(d, 0, sizeof(*d));
	d->ops = ops;
	d->dev.ops = ops ? &ops->life : NULL;
	d->dev.pci = true;
	d->dev.name = name;
	pthread_mutex_init(&d->msix_lock, NULL);
	st_le16(d->cfg + PCI_VENDOR, vendor);
	st_le16(d->cfg + PCI_DEVICE, device);
	st_le32(d->cfg + PCI_CLASS_REV, class_rev);
	d->cfg[PCI_INT_PIN] = 1;
	st_le16(d->wmask + PCI_COMMAND, PCI_CMD_IO | PCI_CMD_MEM | PCI_CMD_MASTER | PCI_CMD_INTX_OFF);
	d->wmask[PCI_CACHE_LINE] = 0xff;
	d->wmask[PCI_INT_LINE] = 0xff;
	d->cap_next = CAPS_START;
	for (unsigned i = 0; i < PCI_BARS; i++)
		d->bar[i].memory.extent = -1;
}

static void add_bar(struct pci_dev *d, unsigned index, u64 bytes, bool io, bool is64, const struct io_ops *ops,
		    void *dev)
{
	unsigned off = PCI_BAR0 + 4 * index;
	u64 mask = ~(bytes - 1);

	must(index < 6 && !(is64 && index == 5));
	must(bytes && !(bytes & (bytes - 1)) && (is64 || bytes <= 2 * GIB));
	must(!d->bar[index].bytes && !d->bus);
	d->bar[index].bytes = bytes;
	d->bar[index].io = io;
	d->bar[index].is64 = is64;
	d->bar[index].region = (struct io_region){ .ops = ops, .dev = dev, .name = d->dev.name };
	st_le32(d->cfg + off, io ? 1 : is64 ? 4 : 0);
	st_le32(d->wmask + off, (u32)mask);
	if (is64)
		st_le32(d->wmask + off + 4, (u32)(mask >> 32));
}

void pci_add_bar(struct pci_dev *d, unsigned index, u64 bytes, bool is64, const struct io_ops *ops, void *dev)
{
	must(bytes >= 16);
	add_bar(d, index, bytes, false, is64, ops, dev);
}

void pci_add_io_bar(struct pci_dev *d, unsigned index, u64 bytes, const struct io_ops *ops, void *dev)
{
	must(bytes >= 4 && bytes <= 256);
	add_bar(d, index, bytes, true, false, ops, dev);
}

void pci_add_memory_bar(struct pci_dev *d, unsigned index, struct ram *ram, u64 off, u64 bytes)
{
	must(bytes >= PAGE_BYTES && index < PCI_BARS);
	if (index == PCI_ROM_BAR) {
		must(!(bytes & (bytes - 1)) && bytes <= 16 * MIB && !d->bus);
		d->bar[index].bytes = bytes;
		st_le32(d->wmask + PCI_ROM, (u32) ~(bytes - 1) | PCI_ROM_ENABLE);
	} else {
		add_bar(d, index, bytes, false, false, NULL, NULL);
		d->cfg[pci_bar_offset(index)] |= 8; /* prefetchable */
	}
	d->bar[index].memory.ram = ram;
	d->bar[index].memory.off = off;
	d->bar[index].memory.readonly = index == PCI_ROM_BAR;
}

void pci_add_latch(struct pci_dev *d, unsigned index, struct io_latch *l)
{
	bus_add_latch(&d->bar[index].region, l);
}

void pci_add_doorbells(struct pci_dev *d, unsigned index, u64 off, unsigned step, unsigned n)
{
	must(!d->bus && off + (u64)step * n <= d->bar[index].bytes);
	d->bar[index].bells.off = off;
	d->bar[index].bells.step = step;
	d->bar[index].bells.n = n;
}

unsigned pci_add_cap(struct pci_dev *d, u8 id, unsigned bytes)
{
	unsigned at = d->cap_next;

	must(bytes >= 2 && at + bytes <= 256);
	d->cfg[at] = id;
	d->cfg[at + 1] = 0;
	d->cfg[d->cap_last ? d->cap_last + 1 : PCI_CAP_PTR] = (u8)at;
	d->cfg[PCI_STATUS] |= PCI_STATUS_CAPS;
	d->cap_last = at;
	d->cap_next = ROUND_UP(at + bytes, 4);
	return at;
}
