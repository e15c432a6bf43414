/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_mmio.h - virtio devices in memory, for a board without PCI. */
#ifndef MICA_VIRTIO_MMIO_H
#define MICA_VIRTIO_MMIO_H

#include "device/virtio/virtio.h"
#include "machine/device.h"
#include "machine/slots.h"

/* Owns d from then on, also on failure. The caller puts *out on the board, whose slot it has from then on. */
int virtio_mmio_new(struct device **out, struct bus *bus, const struct slot *slot, struct virtio_dev *d, struct err *e);
/* The virtio device of what virtio_mmio_new() made. */
struct virtio_dev *virtio_mmio_dev(struct device *d);

#endif
