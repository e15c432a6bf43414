/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_place.c - how a virtio device comes onto the board: by which transport, with which interfaces. */
#include "device/class.h"
#include "device/virtio/virtio_devices.h"
#include "device/virtio/virtio_pci_int.h"
#include "machine/machine.h"

int virtio_add(struct machine *m, struct virtio_dev *d, const struct device_args *a, struct device **out, struct err *e)
{
	d->transitional = virtio_legacy_id(d->cls->id) && device_switch(a, "legacy", machine_kind(m) == MACHINE_PC);
	return virtio_pci_add(machine_pci(m), d, a->slot, out, e);
}

struct virtio_dev *virtio_of(struct device *d)
{
	return virtio_pci_dev(d);
}
