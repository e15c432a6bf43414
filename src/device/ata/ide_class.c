/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ide_class.c - IDE disks and CD-ROMs, as classes of devices. */
#include "device/ata/ide.h"
#include "machine/layout.h"
#include "machine/machine.h"
#include "machine/pci.h"

static int new_drive(struct device **out, struct machine *m, const char *name, bool atapi, const struct device_args *a,
		     struct err *e)
{
	const struct ide_board b = {
		.pci = machine_pci(m),
		.bus = machine_bus(m),
		.ram = machine_ram(m),
		.irq = { machine_irq(m, LAYOUT_GSI_IDE1), machine_irq(m, LAYOUT_GSI_IDE2) },
		.devfn = machine_kind(m) == MACHINE_PC ? LAYOUT_PIIX_IDE : 0,
	};
	struct ata_drive *d;
	int r = ata_drive_new(&d, name, atapi, true, a, e);

	if (r == 0)
		r = ide_add(&b, d, a->slot, e);
	if (r == 0)
		*out = &d->dev;
	return r;
}

static int new_disk(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	return new_drive(out, m, "ide-disk", false, a, e);
}

static int new_cdrom(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	return new_drive(out, m, "ide-cdrom", true, a, e);
}

static void boot_path(struct device *d, char *path, size_t bytes)
{
	unsigned devfn = pci_dev_of(d->on)->devfn;
	char at[8];

	snprintf(at, sizeof(at), devfn & 7 ? "%x,%x" : "%x", devfn >> 3, devfn & 7);
	snprintf(path, bytes, "/pci@i0cf8/ide@%s/drive@%x/disk@%x", at, d->unit >> 1, d->unit & 1);
}

const struct device_class ide_disk_device_class = {
	.pci = true,
	.boot_path = boot_path,
	.name = "ide-disk",
	.field = "ide",
	.help = N_("IDE disk, for old systems: slow where they use no DMA"),
	.role = DEVICE_DISK,
	.new = new_disk,
};

const struct device_class ide_cdrom_device_class = {
	.pci = true,
	.boot_path = boot_path,
	.name = "ide-cdrom",
	.field = "ide",
	.help = N_("IDE CD-ROM, for old systems"),
	.role = DEVICE_CDROM,
	.new = new_cdrom,
	.eject = ata_eject,
	.insert = ata_insert,
	.tray_open = ata_tray_open,
};
