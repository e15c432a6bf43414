/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_int.h - between virtio.c, virtio_queue.c and virtio_visit.c. */
#ifndef MICA_VIRTIO_INT_H
#define MICA_VIRTIO_INT_H

#include "device/virtio/virtio.h"

/* The lock was just taken. */
void virtio_begin_visit(struct virtio_dev *d);
/* The loop goes on where visits ended; opaque: struct virtio_dev. */
void virtio_on_again(void *opaque);

#endif
