/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci_decode.c - which addresses functions answer: BARs as the guest or the firmware sets them. Some show guest memory:
 * edits of its table (base/ram.h), which come into force after the access that made them.
 */
#include "machine/pci.h"

#include "base/log.h"
#include "base/ram.h"
#include "machine/layout.h"
#include "machine/pci_internal.h"

#define IO_WINDOW 0xc000 /* where I/O BARs are put, up to 0xfeff */
#define IO_WINDOW_END 0xff00

static u64 bar_address(const struct pci_dev *d, unsigned i)
{
	u32 low = ld_le32(d->cfg + pci_bar_offset(i));

	if (d->bar[i].io)
		return low & ~3u;
	if (i == PCI_ROM_BAR)
		return low & ~0x7ffu;
	return (low & ~0xfu) | (d->bar[i].is64 ? (u64)ld_le32(d->cfg + PCI_BAR0 + 4 * i + 4) << 32 : 0);
}

/*
 * The bridge forwards to the bus what is neither memory nor the chips' own; a BAR elsewhere decodes nothing. Guests
 * without ACPI do not know the window that it names, and place BARs right after memory.
 */
static bool decodable(const struct pci_bus *b, bool io, u64 addr, u64 bytes)
{
	if (io)
		return addr && addr + bytes <= 0x10000;
	if (addr >= 4 * GIB)
		return addr + bytes > addr;
	return addr >= b->memory_end && addr + bytes <= LAYOUT_IOAPIC;
}

/* ---- BARs that show guest memory ---- */

static void hide(struct pci_dev *d, unsigned i)
{
	if (d->bar[i].memory.extent >= 0)
		ram_remove(d->bar[i].memory.ram, d->bar[i].memory.extent);
	d->bar[i].memory.extent = -1;
}

void pci_hide_bars(struct pci_dev *d)
{
	for (unsigned i = 0; i < PCI_BARS; i++)
		hide(d, i);
}

static int show(struct pci_dev *d, unsigned i, bool want, u64 addr)
{
	const struct ram_extent x = {
		.name = d->dev.name,
		.gpa = addr,
		.bytes = d->bar[i].bytes,
		.off = d->bar[i].memory.off,
		.readonly = d->bar[i].memory.readonly,
	};

	if (want && d->bar[i].memory.extent >= 0 && d->bar[i].memory.at == addr)
		return 0;
	hide(d, i);
	if (!want)
		return 0;
	int id = ram_add(d->bar[i].memory.ram, &x, NULL);
	if (id < 0)
		return id;
	d->bar[i].memory.extent = id;
	d->bar[i].memory.at = addr;
	return 0;
}

static bool enabled(const struct pci_dev *d, unsigned i, u16 cmd)
{
	if (i == PCI_ROM_BAR && !(d->cfg[PCI_ROM] & PCI_ROM_ENABLE))
		return false;
	return cmd & (d->bar[i].io ? PCI_CMD_IO : PCI_CMD_MEM);
}

void pci_update_bars_locked(struct pci_bus *b, struct pci_dev *d)
{
	u16 cmd = ld_le16(d->cfg + PCI_COMMAND);

	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct io_region *r = &d->bar[i].region;
		bool io = d->bar[i].io;
		u64 bytes = d->bar[i].bytes, addr;

		if (!bytes)
			continue;
		addr = bar_address(d, i);
		bool want = enabled(d, i, cmd) && decodable(b, io, addr, bytes);
		if (r->mapped && want && r->base == addr)
			continue;
		int rc = 0;
		if (d->bar[i].memory.ram) {
			rc = show(d, i, want, addr);
		} else if (io) {
			bus_unmap_pio(b->bus, r);
			if (want)
				rc = bus_map_pio(b->bus, r, (u16)addr, (u16)bytes);
		} else {
			bus_unmap_mmio(b->bus, r);
			if (want)
				rc = bus_map_mmio(b->bus, r, addr, bytes);
		}
		if (rc < 0)
			log_guest("%s: BAR %u at %#llx is in the way of something else and does not answer",
				  d->dev.name, i, (unsigned long long)addr);
	}
}

/* ---- as firmware would ---- */

static int assign_locked(struct pci_dev *d, u64 *mem, u64 *io)
{
	for (unsigned i = 0; i < 6; i++) {
		u64 bytes = d->bar[i].bytes, *next = d->bar[i].io ? io : mem;
		u64 end = d->bar[i].io ? IO_WINDOW_END : LAYOUT_PCI_MMIO_END + 1;
		u8 *cfg = d->cfg + PCI_BAR0 + 4 * i;

		if (!bytes)
			continue;
		/* page borders, so that no two functions share a page */
		u64 at = ROUND_UP(*next, d->bar[i].io ? bytes : MAX(bytes, PAGE_BYTES));
		if (at + bytes > end)
			return -ENOSPC;
		*next = at + bytes;
		st_le32(cfg, (u32)at | (ld_le32(cfg) & (d->bar[i].io ? 3 : 0xf)));
		if (d->bar[i].is64)
			st_le32(cfg + 4, 0);
	}
	return 0;
}

int pci_bus_assign(struct pci_bus *b)
{
	u64 mem = LAYOUT_PCI_MMIO, io = IO_WINDOW;
	int rc = 0;

	pthread_mutex_lock(&b->lock);
	for (unsigned i = 0; i < 256 && rc == 0; i++) {
		struct pci_dev *d = b->dev[i];
		u16 cmd = PCI_CMD_MASTER;

		if (!d)
			continue;
		rc = assign_locked(d, &mem, &io);
		for (unsigned k = 0; k < 6; k++)
			if (d->bar[k].bytes)
				cmd |= d->bar[k].io ? PCI_CMD_IO : PCI_CMD_MEM;
		/* Decoding goes off first: a function may stand where another is to go. */
		st_le16(d->cfg + PCI_COMMAND, 0);
		pci_update_bars_locked(b, d);
		st_le16(d->cfg + PCI_COMMAND, cmd);
	}
	for (unsigned i = 0; i < 256 && rc == 0; i++) {
		if (b->dev[i]) {
			pci_update_bars_locked(b, b->dev[i]);
			pci_update_interrupts(b->dev[i]);
		}
	}
	pthread_mutex_unlock(&b->lock);
	return rc;
}
