/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slirp_tftp.h - the files that mica-slirp gives by TFTP and HTTP. All of a folder are opened before the sandbox shuts,
 * so that the process needs no open() while a guest talks to it: it has those files, for reading, and no way to any
 * other.
 */
#ifndef MICA_SLIRP_TFTP_H
#define MICA_SLIRP_TFTP_H

#include "base/err.h"

#include <sys/stat.h>

#define SLIRP_TFTP_PREFIX "/tftp" /* what libslirp is told; no such folder is looked at */
#define SLIRP_TFTP_FILES_MAX 512
#define SLIRP_TFTP_DEPTH_MAX 8

/* Once, before the sandbox. Links that lead out of the folder, and what is no regular file, are left out. */
int slirp_tftp_open(const char *dir, struct err *e);
/* By the name within the folder, as slirp_tftp_file(). */
int slirp_tftp_find(const char *name, off_t *size);
/* By the name that libslirp makes of a request: a descriptor of the caller's, -1 with errno: none. *size: its size. */
int slirp_tftp_file(const char *path, off_t *size);

#endif
