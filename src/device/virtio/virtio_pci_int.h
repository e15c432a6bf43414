/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_pci_int.h - between virtio_pci.c and virtio_pci_common.c. */
#ifndef MICA_VIRTIO_PCI_INT_H
#define MICA_VIRTIO_PCI_INT_H

#include "device/virtio/virtio_transport.h"
#include "machine/pci.h"

struct virtio_pci {
	struct pci_dev pci;
	struct virtio_dev *vdev; /* owned */
	unsigned bar;            /* of the register blocks */
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

/* ... reads the ISR, which clears it and lowers the wire (4.1.4.5). */
u8 virtio_pci_isr_read(struct virtio_pci *v);
/* 4.1.5.1.2.1: a vector that cannot be mapped reads back as NO_VECTOR. */
u16 virtio_pci_vector_for(const struct virtio_pci *v, u32 val);

/* ---- the legacy interface: virtio_legacy.c ---- */
#define VIRTIO_LEGACY_BYTES 24u /* of registers before the device's configuration, at most */

extern const struct io_ops virtio_legacy_ops;
/* The PCI device id of a transitional function; 0: this kind of device is younger than that. */
u16 virtio_legacy_id(u16 id);
u64 virtio_legacy_features(const struct virtio_dev *d);

#endif
