/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhost_dev_int.h - between vhost_dev.c and vhost_again.c. */
#ifndef MICA_VHOST_DEV_INT_H
#define MICA_VHOST_DEV_INT_H

#include "device/virtio/vhost_dev.h"

/* The link has ended: another back end is looked for. Lock held. */
void vhost_dev_gone(struct vhost_dev *v);
int vhost_dev_watch_link(struct vhost_dev *v);
void vhost_dev_on_retry(void *opaque);
void vhost_dev_on_helper(void *opaque, u32 events);

#endif
