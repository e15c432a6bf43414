/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_transport.h - for a transport: what it does to a virtio device for its driver and for the machine. */
#ifndef MICA_VIRTIO_TRANSPORT_H
#define MICA_VIRTIO_TRANSPORT_H

#include "device/virtio/virtio.h"

/* ---- for the driver; lock held ---- */
/* The driver writes device status: 0 resets, other bits are only ever added (2.1, 3.1). */
void virtio_set_status(struct virtio_dev *d, u8 status);
/* Can a queue have n entries? The features are negotiated. */
bool virtio_queue_size_ok(const struct virtio_dev *d, u32 n);
/* Start queue q with the addresses and size set in d->queue[q]. */
void virtio_queue_enable(struct virtio_dev *d, unsigned q);
/* The driver says that queue q has buffers. */
void virtio_notify(struct virtio_dev *d, unsigned q);
/* As after power-on. */
void virtio_reset(struct virtio_dev *d);
/* Save or load status, features, queues, and what the class has; inside a section. */
void virtio_state(struct virtio_dev *d, struct state_file *s);

/* ---- for the machine: device.h's steps; lock not held ---- */
bool virtio_quiesce(struct virtio_dev *d);
/* The device looks at every queue. */
void virtio_resume(struct virtio_dev *d);

#endif
