/* SPDX-License-Identifier: GPL-2.0-or-later */
/* blk.h - a disk as the block layer itself sees it. */
#ifndef MICA_BLOCK_BLK_H
#define MICA_BLOCK_BLK_H

#include "block/node.h"

#include <pthread.h>

struct hostio;

#define BLK_PAUSED (1u << 31)

struct blk {
	struct blk_queue q;
	struct hostio *io;
	struct blk_node *top; /* changes only while paused and drained */
	u64 bytes;
	bool readonly; /* as the guest sees it */
	bool can_discard;
	bool snapshot;
	char *name;
	const char *format; /* of the image at the bottom */
	_Atomic u64 errors;
	/*
	 * How many requests are in flight (submitted, done() not yet returned), and BLK_PAUSED. A submitter counts
	 * itself first and then looks at the bit; who pauses sets the bit and then looks at the count.
	 */
	atomic_uint state;
	struct loop_timer drained; /* fires when there is somebody to be told */
	/* blk_change(): what takes the top's place; NULL: nothing does. The loop's thread */
	struct blk_node *next;
	char *next_name;
	const char *next_format;
	struct blk_pause changing;
	void (*changed)(void *opaque);
	void *changed_opaque;

	pthread_mutex_t lock; /* guards what follows */
	struct blk_pause *pauses;
	struct blk_done *waiting, **waiting_tail; /* r->end of requests that a pause holds back */
};

/* pause.c */
void blk_pause_init(struct blk *b);
void blk_pause_fini(struct blk *b);
/* r was counted, with BLK_PAUSED set. False: that is over, go on with it. */
bool blk_hold(struct blk *b, struct blk_req *r);
/* A pause was told that nothing is in flight, and lasts: the top may change. A submitter that is about to be held may
 * count for a moment in blk_in_flight(). */
bool blk_is_drained(struct blk *b);
/* Held requests end with -ECANCELED. */
void blk_cancel_held(struct blk *b);
/* One less is in flight. */
void blk_leave(struct blk *b);
/* blk.c: r is counted; hand it to the top. */
void blk_start(struct blk *b, struct blk_req *r);

static inline unsigned blk_in_flight(struct blk *b)
{
	return atomic_load(&b->state) & ~BLK_PAUSED;
}

#endif
