/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_place.c - how a virtio device comes onto the board: by which transport, with which interfaces. */
#include "device/class.h"
#include "device/virtio/virtio_devices.h"
#include "device/virtio/virtio_mmio.h"
#include "device/virtio/virtio_pci_int.h"
#include "machine/layout.h"
#include "machine/machine.h"

static int add_in_slot(struct machine *m, struct virtio_dev *d, const struct device_args *a, struct device **out,
		       struct err *e)
{
	struct slot slot;
	int r = slots_take(machine_slots(m), &slot);

	if (r < 0)
		err_set(e, -r, "%s: all %u places of this board are taken", d->cls->name, LAYOUT_SLOTS_MAX);
	else if (device_switch(a, "legacy", false))
		r = err_set(e, EINVAL, "%s: legacy=on is for PCI, which the machine micro has not", d->cls->name);
	if (r < 0) {
		virtio_free(d);
		return r;
	}
	r = virtio_mmio_new(out, machine_bus(m), &slot, d, e);
	if (r == 0)
		machine_add_device(m, *out);
	return r;
}

int virtio_add(struct machine *m, struct virtio_dev *d, const struct device_args *a, struct device **out, struct err *e)
{
	if (!machine_pci(m))
		return add_in_slot(m, d, a, out, e);
	d->transitional =
	    !d->modern && virtio_legacy_id(d->cls->id) && device_switch(a, "legacy", machine_kind(m) == MACHINE_PC);
	return virtio_pci_add(machine_pci(m), d, a->slot, out, e);
}

struct virtio_dev *virtio_of(struct device *d)
{
	return d->pci ? virtio_pci_dev(d) : virtio_mmio_dev(d);
}
