/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * queue.h - the completion queue of a disk: what has ended waits here until some thread reaps it.
 *
 * Anything may end a request: the host's io_uring, a thread of the pool, a network connection, a process that parses a
 * format. It calls blk_queue_push() from whatever thread it has, at any time, and is done with the request. The queue
 * then calls fn() on a thread that the disk's client expects (block.h): the loop's, woken by the event fd; or that of a
 * submitter who unplugs; or of one who drains.
 *
 * A source is more than somebody who pushes: it wants to know when submissions come in batches, or finds out what has
 * ended only when asked, as an io_uring does. Sources are added when a disk is opened.
 *
 * INV-BQ-1: what is pushed wakes the loop, unless somebody is bound to reap after it: pushers add before they read
 * `quiet`, and who ends his quiet looks at the list after that.
 *
 * Threads: push and wake, any; the others, any that may run fn().
 */
#ifndef MICA_BLOCK_QUEUE_H
#define MICA_BLOCK_QUEUE_H

#include "base/err.h"
#include "base/loop.h"
#include "block/request.h"

#include <stdatomic.h>

/* Whose requests they are. Any of the two may be NULL. */
struct blk_client {
	void (*begin)(void *opaque);
	void (*end)(void *opaque);
	void *opaque;
};

struct blk_source;

/* Each may be NULL. */
struct blk_source_ops {
	void (*plug)(struct blk_source *s); /* submissions need only be queued */
	/* Start what is queued. quiet: the caller reaps next and then calls loud(): what ends until then need not wake
	 * the loop. */
	void (*unplug)(struct blk_source *s, bool quiet);
	void (*loud)(struct blk_source *s);
	struct blk_done *(*collect)(struct blk_source *s); /* what has ended and was not pushed, a list */
	/* While on, what is not started yet ends with -ECANCELED instead. */
	void (*cancel)(struct blk_source *s, bool on);
};

struct blk_source {
	const struct blk_source_ops *ops;
	struct blk_queue *q;
	struct blk_source *next;
};

struct blk_queue {
	struct loop *loop;
	struct loop_fd lfd;
	int evfd;
	struct blk_client client;
	struct blk_source *sources;
	_Atomic(struct blk_done *) ended; /* the last one first */
	atomic_uint quiet;                /* how many will reap whatever is pushed */
	atomic_int link;                  /* of a process that may say something soon, for who waits; 0: none */
};

int blk_queue_init(struct blk_queue *q, struct loop *loop, struct err *e);
void blk_queue_fini(struct blk_queue *q); /* nothing is in it, and nobody pushes any more */
void blk_queue_add(struct blk_queue *q, struct blk_source *s);
/* Nothing of it is in flight, and nobody reaps. */
void blk_queue_remove(struct blk_queue *q, struct blk_source *s);

/* d has ended with res; d->fn is set. */
void blk_queue_push(struct blk_queue *q, struct blk_done *d, int res);
/* Who adds himself to `quiet` reaps what is pushed from then on, and then calls this. */
void blk_queue_loud(struct blk_queue *q);
/* Have the loop reap soon. */
void blk_queue_wake(struct blk_queue *q);

/* Between these, submissions are only queued. unplug() also completes what has ended; the client's lock is held
 * throughout. */
void blk_queue_plug(struct blk_queue *q);
void blk_queue_unplug(struct blk_queue *q);
/* Submissions in between go out together; completions come as ever. */
void blk_queue_batch(struct blk_queue *q, bool begin);
/* Complete what has ended. locked: the client's lock is held already. */
void blk_queue_reap(struct blk_queue *q, bool locked);
/* Wait up to timeout_ms for something to reap. */
void blk_queue_wait(struct blk_queue *q, int timeout_ms);
void blk_queue_cancel(struct blk_queue *q, bool on);

#endif
