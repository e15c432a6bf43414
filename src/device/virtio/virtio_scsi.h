/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_scsi.h - a SCSI host adapter (VIRTIO 1.2, 5.6): each target has one LUN, 0, which is a drive (ata/ata.h). */
#ifndef MICA_VIRTIO_SCSI_H
#define MICA_VIRTIO_SCSI_H

#include "device/ata/ata.h"
#include "device/virtio/virtio.h"

#define VIRTIO_SCSI_TARGETS 16u
#define VIRTIO_SCSI_NAME "virtio-scsi"

struct virtio_dev *virtio_scsi_new(struct ram *ram, struct loop *loop);
/* Connect a drive, which is the adapter's from then on, also when it fails, at the next target. on: its place on the
 * board. Before vCPUs run. */
int virtio_scsi_connect(struct virtio_dev *d, struct device *on, struct ata_drive *drive, struct err *e);

#endif
