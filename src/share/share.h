/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * share.h - a folder of the host that a guest sees: between mica-vmm, which has the virtio-fs device, and mica-share,
 * which has the files.
 *
 * The guest's kernel speaks FUSE (linux/fuse.h is its ABI). mica-vmm takes requests off the rings and hands them on as
 * they are; mica-share, a process in a sandbox of its own whose root is that folder, understands them. So what parses a
 * guest's requests has no guest memory, and what has guest memory has no files.
 *
 * On the socket, each way, one struct share_msg and what follows it. Both sides believe the other hostile.
 */
#ifndef MICA_SHARE_H
#define MICA_SHARE_H

#include "base/base.h"
#include "base/err.h"

#define SHARE_TAG_MAX 36                       /* VIRTIO 1.2, 5.11.4 */
#define SHARE_DATA_MAX (128 * 1024)            /* that is read or written by one request */
#define SHARE_BODY_MAX (SHARE_DATA_MAX + 8192) /* and what is around it: names, headers */

enum share_kind {
	SHARE_FUSE = 1, /* a request; its reply, if it has one */
	SHARE_RESET,    /* forget all that the guest knows; no answer */
	SHARE_SAVE,     /* answered with what is to be kept, for SHARE_LOAD */
	SHARE_LOAD,     /* into one that knows nothing; no answer */
};

struct share_msg {
	u32 kind;
	u32 ticket; /* told back */
	u32 room;   /* FUSE: bytes of reply that there is room for */
	u32 zero;
};

/* Start mica-share for a folder; returns our end. */
int share_start(const char *dir, bool readonly, struct err *e);
/* A tag is a short name without commas and controls. */
int share_tag_check(const char *tag, struct err *e);

#endif
