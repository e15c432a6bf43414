/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_lock.h - an image file is written by one at a time. */
#ifndef MICA_BLOCK_IMAGE_LOCK_H
#define MICA_BLOCK_IMAGE_LOCK_H

#include "base/base.h"
#include "base/err.h"

/* For as long as the file description is open. -EBUSY: another's lock contradicts. */
int image_lock(int fd, bool write, const char *path, struct err *e);

#endif
