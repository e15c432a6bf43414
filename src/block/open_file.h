/* SPDX-License-Identifier: GPL-2.0-or-later */
/* open_file.h - the host file or block device of a disk: opened, looked at, locked (image_lock.h). */
#ifndef MICA_OPEN_FILE_H
#define MICA_OPEN_FILE_H

#include "block/block.h"

#include <sys/stat.h>

/* As p->path and p->fd say; ro: whatever p says. Returns 0 or -errno, with what a person can do. */
int open_file(int *fd, struct stat *st, const struct blk_params *p, bool ro, struct err *e);
/* When it was last written, ns since 1970; 0: it is no regular file. */
u64 file_mtime_ns(int fd);

#endif
