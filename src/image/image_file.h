/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image_file.h - what an image lies on: a host file or device that somebody else has opened, or anything that can do
 * the same (a connection).
 *
 * All of it is synchronous: an image's metadata is small, and the data of a disk that runs does not come through here
 * where it lies in a host file as it is (image.h). Each function transfers all or fails with -errno.
 *
 * Threads: one at a time.
 */
#ifndef MICA_IMAGE_FILE_H
#define MICA_IMAGE_FILE_H

#include "base/base.h"
#include "base/err.h"

struct image_file;

struct image_file_ops {
	int (*pread)(struct image_file *f, void *buf, size_t n, u64 off);
	int (*pwrite)(struct image_file *f, const void *buf, size_t n, u64 off);
	int (*zero)(struct image_file *f, u64 off, u64 bytes, bool unmap);
	int (*resize)(struct image_file *f, u64 bytes);
	int (*sync)(struct image_file *f);
	/* Where the next data and the end of it are, from `off` on; *data == bytes: there is none. */
	int (*data)(struct image_file *f, u64 off, u64 *data, u64 *end);
	void (*close)(struct image_file *f);
};

struct image_file {
	const struct image_file_ops *ops;
	int fd;      /* -1: it is no host file */
	unsigned id; /* its place among the files of a chain: what image_run.file says */
	u64 bytes;   /* grows with writes behind the end, unless it is a device */
	bool readonly;
	bool device; /* its size is what it is */
	char *name;  /* for messages */
};

/* Takes fd over, also when it fails. id: no other file of the chain has it. */
int image_file_open(struct image_file **out, int fd, unsigned id, const char *name, bool readonly, struct err *e);
void image_file_close(struct image_file *f); /* NULL is none */

/* Behind the end there are zeros. */
int image_pread(struct image_file *f, void *buf, size_t n, u64 off);
/* -EPERM when it is read only, -ENOSPC behind the end of a device. */
int image_pwrite(struct image_file *f, const void *buf, size_t n, u64 off);
/* Reads as zeros afterwards; unmap: the room may go back to the host. It does not make the file longer. */
int image_zero(struct image_file *f, u64 off, u64 bytes, bool unmap);
int image_resize_file(struct image_file *f, u64 bytes);
int image_sync(struct image_file *f);
int image_next_data(struct image_file *f, u64 off, u64 *data, u64 *end);

#endif
