/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image_policy.h - which files the names inside of an image may open: backing images, extents, data files.
 *
 * An image is somebody's bytes, and a name in it must not read what its user never meant to give. So a name is opened
 * when, all links followed, it is a file in the folder of the image that names it, or below that; anything else only
 * when a person says so (`any`). And no image that is taken for what it is by its first bytes alone, in a file whose
 * name says something else, may name any: a guest writes what it likes to the beginning of its raw disk.
 *
 * In the process of who starts mica-image (link.h), which may name files. Backing images are opened read only.
 */
#ifndef MICA_IMAGE_POLICY_H
#define MICA_IMAGE_POLICY_H

#include "base/err.h"
#include "image/link.h"

struct image_policy {
	bool any;      /* --disk ...,backing=any; --backing any of the verbs */
	bool readonly; /* no file is opened for writing, whatever is asked for */
	/* What the first file is based on may be written: a commit. What that is based on in turn may not. */
	bool write_backing;
	bool unsure; /* nobody said of which format the first image is, and its name does not fit: it may name none */
};

/*
 * Open what the image at path `of` calls `name`. *path, of the heap: where that is, for messages and for what that
 * image names in turn. Returns the descriptor or -errno.
 */
int image_policy_open(const struct image_policy *p, enum image_want want, const char *of, const char *name,
		      bool readonly, char **path, struct err *e);

/* Does the file's name end with one of these ("qcow2,qcow"), in any case? */
bool image_name_fits(const char *path, const char *extensions);

/*
 * Answer IMAGE_MSG_ASK in m. `of` has to be one of the files that were given. locked(): NULL, or what is done with the
 * starter's own descriptor first (a lock; 0 or -errno with e set). The process gets an open file of its own: nothing
 * that it does to flags or locks of that is seen here. An error is for the process to hear and tell; -errno: the link.
 */
int image_policy_answer(const struct image_policy *p, int link, struct image_msg *m, struct image_link_files *files,
			int (*locked)(int fd, bool write, const char *path, struct err *e));
/* The same open file anew. Needs /proc. Returns a descriptor or -errno. */
int image_reopen(int fd, bool readonly);

#endif
