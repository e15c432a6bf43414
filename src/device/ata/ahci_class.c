/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ahci_class.c - SATA disks and CD-ROMs behind an AHCI controller, as classes of devices. */
#include "device/ata/ahci.h"
#include "machine/machine.h"
#include "machine/pci.h"

static int new_drive(struct device **out, struct machine *m, const char *name, bool atapi, const struct device_args *a,
		     struct err *e)
{
	struct ata_drive *d;
	int r = ata_drive_new(&d, name, atapi, false, a, e);

	if (r == 0)
		r = ahci_add(machine_pci(m), machine_ram(m), d, a->slot, e);
	if (r == 0)
		*out = &d->dev;
	return r;
}

static int new_disk(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	return new_drive(out, m, "ahci-disk", false, a, e);
}

static int new_cdrom(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	return new_drive(out, m, "ahci-cdrom", true, a, e);
}

static void boot_path(struct device *d, char *path, size_t bytes)
{
	snprintf(path, bytes, "/pci@i0cf8/pci8086,2922@%x/drive@%x/disk@0", pci_dev_of(d->on)->devfn >> 3, d->unit);
}

const struct device_class ahci_disk_device_class = {
	.pci = true,
	.boot_path = boot_path,
	.name = "ahci-disk",
	.field = "ahci",
	.help = N_("SATA disk behind an AHCI controller, for systems without virtio drivers: /dev/sda"),
	.role = DEVICE_DISK,
	.new = new_disk,
};

const struct device_class ahci_cdrom_device_class = {
	.pci = true,
	.boot_path = boot_path,
	.name = "ahci-cdrom",
	.field = "ahci",
	.help = N_("SATA CD-ROM behind an AHCI controller: /dev/sr0"),
	.role = DEVICE_CDROM,
	.new = new_cdrom,
	.eject = ata_eject,
	.insert = ata_insert,
	.tray_open = ata_tray_open,
};
