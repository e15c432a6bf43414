/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_scsi_class.c - SCSI disks and CD-ROMs behind a virtio adapter, as classes of devices. A machine has one
 * adapter; the first drive brings it. */
#include "device/virtio/virtio_devices.h"
#include "device/virtio/virtio_scsi.h"
#include "machine/machine.h"
#include "machine/pci.h"

static int new_drive(struct device **out, struct machine *m, const char *name, bool disk, const struct device_args *a,
		     struct err *e)
{
	struct device *on = machine_find(m, VIRTIO_SCSI_NAME);
	struct ata_drive *d;
	int r = ata_drive_new(&d, name, !disk, false, a, e);

	if (r < 0)
		return r;
	d->scsi_disk = disk;
	if (!on)
		r = virtio_add(m, virtio_scsi_new(machine_ram(m), machine_loop(m)), a, &on, e);
	if (r < 0) {
		ata_drive_free(d);
		return r;
	}
	r = virtio_scsi_connect(virtio_of(on), on, d, e);
	if (r == 0)
		*out = &d->dev;
	return r;
}

static int new_disk(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	return new_drive(out, m, "virtio-scsi-disk", true, a, e);
}

static int new_cdrom(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	return new_drive(out, m, "virtio-scsi-cdrom", false, a, e);
}

static void boot_path(struct device *d, char *path, size_t bytes)
{
	snprintf(path, bytes, "/pci@i0cf8/scsi@%x/channel@0/disk@%x,0", pci_dev_of(d->on)->devfn >> 3, d->unit);
}

static const struct device_param params[] = {
	VIRTIO_PARAM_LEGACY(N_("systems and firmware from before VIRTIO 1.0 can use it, too")),
	{ NULL },
};

const struct device_class virtio_scsi_disk_device_class = {
	.boot_path = boot_path,
	.name = "virtio-scsi-disk",
	.field = "scsi",
	.help = N_("SCSI disk behind a paravirtual adapter: /dev/sda; all share the first one's adapter"),
	.role = DEVICE_DISK,
	.params = params,
	.new = new_disk,
};

const struct device_class virtio_scsi_cdrom_device_class = {
	.boot_path = boot_path,
	.name = "virtio-scsi-cdrom",
	.field = "scsi",
	.help = N_("SCSI CD-ROM behind a paravirtual adapter: /dev/sr0"),
	.role = DEVICE_CDROM,
	.new = new_cdrom,
	.eject = ata_eject,
	.insert = ata_insert,
	.tray_open = ata_tray_open,
};
