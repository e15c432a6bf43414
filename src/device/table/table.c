/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * table.c - every class of device there is: a line for each, with its file, which the build reads here. In the order
 * in which help shows them; the first of a role is its default.
 */
#include "device/class.h"

/* clang-format off */
#define DEVICES(DEVICE) \
	DEVICE(uart,           "uart_class.c") \
	DEVICE(virtio_blk,     "virtio/virtio_blk.c") \
	DEVICE(ahci_disk,      "ata/ahci_class.c") \
	DEVICE(ahci_cdrom,     "ata/ahci_class.c") \
	DEVICE(nvme,           "nvme/nvme.c") \
	DEVICE(ide_disk,       "ata/ide_class.c") \
	DEVICE(ide_cdrom,      "ata/ide_class.c") \
	DEVICE(virtio_scsi_disk, "virtio/virtio_scsi_class.c") \
	DEVICE(virtio_scsi_cdrom, "virtio/virtio_scsi_class.c") \
	DEVICE(virtio_net,     "virtio/virtio_net.c") \
	DEVICE(e1000e,         "e1000/e1000.c") \
	DEVICE(e1000,          "e1000/e1000.c") \
	DEVICE(vhost_user_blk, "virtio/vhost_user_blk.c") \
	DEVICE(vhost_user_net, "virtio/vhost_user_net.c") \
	DEVICE(virtio_console, "virtio/virtio_console.c") \
	DEVICE(virtio_fs,      "virtio/virtio_fs.c") \
	DEVICE(virtio_vsock,   "virtio/virtio_vsock.c") \
	DEVICE(virtio_rng,     "virtio/virtio_rng.c") \
	DEVICE(virtio_balloon, "virtio/virtio_balloon.c") \
	DEVICE(virtio_keyboard, "virtio/virtio_input.c") \
	DEVICE(virtio_tablet,  "virtio/virtio_input.c") \
	DEVICE(xhci,           "usb/xhci.c") \
	DEVICE(debugcon,       "debugcon.c") \
	DEVICE(vga,            "display/vga_class.c") \
	DEVICE(virtio_gpu,     "virtio/virtio_gpu.c") \
	DEVICE(i8042,          "input/i8042.c") \
	DEVICE(hpet,           "hpet.c") \
	DEVICE(vmgenid,        "vmgenid.c") \
	DEVICE(tpm_tis,        "tpm/tpm_tis.c") \
	DEVICE(pvpanic,        "pvpanic.c") \
	DEVICE(i6300esb,       "i6300esb.c") \
	/* the end */
/* clang-format on */

#define DECLARE(class, file) extern const struct device_class class##_device_class;
DEVICES(DECLARE)

#define ENTRY(class, file) &class##_device_class,
const struct device_class *const device_table[] = { DEVICES(ENTRY) NULL };
