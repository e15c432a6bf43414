/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * convert.h - everything that one image holds into another one, fast.
 *
 * Theory: a ring of buffers, each of which holds one piece of the disk on its way. One thread reads the source image:
 * the map names its holes, and among what is read, zeros are found. The caller's thread writes the target image, in
 * the disk's order. Between them, when the target is to be compressed, workers compress the pieces' clusters. So each
 * image has one thread, and reading, compressing and writing overlap.
 *
 * Where both sides have the data in host files as it is and the file system can share blocks among files (Btrfs, XFS),
 * nothing is copied: the writer makes the target's place share the source's blocks. copy_file_range() without sharing
 * would not be faster than reading and writing, as then zeros could not be seen.
 */
#ifndef MICA_IMAGE_CONVERT_H
#define MICA_IMAGE_CONVERT_H

#include "image/verbs.h"

#define CONVERT_THREADS_MAX 16u

struct convert {
	struct image *from, *to;
	bool fresh;          /* `to` reads as zeros everywhere: they are left out */
	bool compress;       /* -ENOTSUP of `to` when its format cannot */
	u32 sparse_bytes;    /* look for zeros in parts of so many bytes, a power of two; 0: do not look */
	unsigned threads;    /* that compress; 0: as many as there are processors, CONVERT_THREADS_MAX at most */
	struct image *below; /* what `to` is based on, opened for the reading thread: what is alike is left out.
			      * NULL: it is based on nothing */
	/* Found out: */
	u64 data_bytes, shared_bytes; /* written; of them, shared among the files */
};

/* `to` is not flushed: image_close() does it. */
int convert_run(struct convert *c, struct verb_sink *sink, struct err *e);

#endif
