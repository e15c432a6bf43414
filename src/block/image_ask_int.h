/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_ask_int.h - what image_ask.c and image_start.c share. */
#ifndef MICA_IMAGE_ASK_INT_H
#define MICA_IMAGE_ASK_INT_H

#include "block/image_ask.h"

#include <pthread.h>

struct image_asker {
	struct blk_queue *q;
	char *name; /* of the disk */
	int link;
	struct loop_fd lfd;
	struct serve_memory *mem;
	const struct image_link_files *files; /* the node's, as they are once the disk is open */

	pthread_mutex_t lock; /* guards what follows; taken under no other but a node's, and pushes to the queue */
	u64 asked;            /* slots that the process has */
	struct blk_ask *in[SERVE_SLOTS];
	struct blk_done *waiting, **waiting_tail; /* done.next of questions without a slot */
	bool broken;
	bool waited;     /* image_ask_wait() */
	u64 deadline_ns; /* 0: none */
};

void image_ask_on_wake(void *opaque, u32 events);

#endif
