/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image_ask.h - questions to the process that knows an image's format (image/serve.h), from the VM's process.
 *
 * A question is part of a request (struct blk_ask), so it always finds room to wait in. It waits for a slot of the
 * shared memory, is asked, and is pushed to the disk's queue with its answer, checked: q->done.res and, for what asks
 * for a run, its fields.
 *
 * When the process is gone, or has answered nonsense, or has not answered for IMAGE_ASK_PATIENCE_MS while somebody
 * cancels requests, the disk is broken for good: every question ends with -EIO. A person reads why, once.
 *
 * Threads: image_ask() and image_ask_poll(), any; the others the loop's, or before it runs.
 */
#ifndef MICA_IMAGE_ASK_H
#define MICA_IMAGE_ASK_H

#include "block/format.h"
#include "image/image_policy.h"
#include "image/serve.h"

#define IMAGE_ASK_PATIENCE_MS 3000u

struct image_asker;

/* What the process said when it opened the image. */
struct image_opened {
	u64 bytes, cluster_bytes;
	bool readonly, can_discard;
};

/*
 * Start a mica-image for the image that is open at fd (the caller's) and called `path`. files: gets its number 0, and
 * all that images name, which the policy lets them have; locked when they are there.
 */
int image_asker_new(struct image_asker **out, struct image_opened *opened, const struct blk_open *o, int fd,
		    const struct image_policy *policy, struct image_link_files *files, struct err *e);
/* Nothing is asked. NULL is none. */
void image_asker_free(struct image_asker *a);

/* q's question is set, and done.fn. */
void image_ask(struct image_asker *a, struct blk_ask *q);
/* The same, and wait for the answer: 0 or -errno. Nothing else is asked meanwhile. */
int image_ask_wait(struct image_asker *a, struct blk_ask *q);
/* Push what is answered. */
void image_ask_poll(struct image_asker *a);
/* From now on, or no longer, the process has to answer in time. */
void image_ask_hurry(struct image_asker *a, bool on);

#endif
