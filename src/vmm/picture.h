/* SPDX-License-Identifier: GPL-2.0-or-later */
/* picture.h - a picture as a PNG file. Any thread. */
#ifndef MICA_VMM_PICTURE_H
#define MICA_VMM_PICTURE_H

#include "base/err.h"

/* Loads what it takes, while files can be opened: before the sandbox. */
int picture_begin(struct err *e);
/* After that. pixels: 0x00RRGGBB, `width` of them a line. fd: a regular file, written from where it is. */
int picture_write(int fd, const u32 *pixels, unsigned width, unsigned height, struct err *e);

#endif
