/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_pci_int.h - between virtio_pci.c and virtio_pci_common.c. */
#ifndef MICA_VIRTIO_PCI_INT_H
#define MICA_VIRTIO_PCI_INT_H

#include "device/virtio/virtio_transport.h"
#include "machine/pci.h"

struct virtio_pci {
	struct pci_dev pci;
	struct virtio_dev *vdev; /* owned */
	unsigned pci_cfg_cap;
	unsigned vectors;
	struct io_latch selects[3];

	/* under vdev->lock */
	u32 dev_feat_sel, drv_feat_sel;
	u16 msix_config, q_sel;
	u8 isr;
};

/* ---- common configuration (4.1.4.3); vdev->lock held ---- */
#define VIRTIO_PCI_COMMON_BYTES 0x38u

u64 virtio_pci_common_read(struct virtio_pci *v, u64 off, unsigned bytes);
void virtio_pci_common_write(struct virtio_pci *v, u64 off, unsigned bytes, u64 val);
/* The driver writes device status; 0 also forgets what the transport itself remembers. */
void virtio_pci_status_write(struct virtio_pci *v, u8 status);

#endif
