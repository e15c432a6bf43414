/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * node.h - one layer of a disk: a driver and its state. For who writes a format or a driver.
 *
 * A layer gets requests that are within the disk and sound (submit), and ends each by node_done(), in the queue's way
 * (queue.h) and never before submit() has returned. What it does in between:
 *
 *   pass it on      child->drv->submit(child, r), as it is. The layer never hears of it again.
 *   pass it on and  node_enter(n, r, back) keeps the request as it is; then change what is to be changed (op, off,
 * bytes, hear of its end skip: which part of the data) and submit that to a child. back(n, r, res) gets it in its old
 * form; there, submit to a child again (the next part), or end it with node_return(). do it           as raw.c does:
 * with r->io through hostio.h; or with one's own means, and from whatever thread these end on: r->end.fn = node_end_fn;
 * blk_queue_push(n->q, &r->end, res). r->node and r->pos are the layer's until then. ask by itself   a struct blk_req
 * of the layer's own (its tables, a mirror's copy): node_ask(child, r, complete).
 *
 * A layer that needs more than a frame holds has a fixed number of such things, and requests without one wait, linked
 * by r->end.next: it allocates nothing on the way.
 */
#ifndef MICA_BLOCK_NODE_H
#define MICA_BLOCK_NODE_H

#include "block/block.h"

#define BLK_CHILDREN 2u

struct blk_driver {
	const char *name;
	void (*submit)(struct blk_node *n, struct blk_req *r);
	/* Optional. Everything to stable storage, before close: waits; 0 or -errno. */
	int (*sync)(struct blk_node *n);
	/* Optional. On: end what can be ended soon with -ECANCELED, also what comes, until off. */
	void (*cancel)(struct blk_node *n, bool on);
	/* Optional. Push what has ended and nobody has heard of (queue.h): somebody waits, and the loop may not run.
	 * Any thread. */
	void (*poll)(struct blk_node *n);
	void (*close)(struct blk_node *n);   /* nothing is in flight. Its children are closed by who calls */
	u64 (*mtime_ns)(struct blk_node *n); /* optional: when the image was last written; 0: not known */
	/* Optional: why requests wait or fail, a word of blk_trouble(); NULL: they do not. Any thread. */
	const char *(*trouble)(struct blk_node *n);
};

struct blk_node {
	const struct blk_driver *drv;
	struct blk_queue *q;
	u64 bytes;
	bool readonly, can_discard;
	bool temporary; /* what is written there ends with the process */
	struct blk_node *child[BLK_CHILDREN];
};

static inline void node_submit(struct blk_node *n, struct blk_req *r)
{
	n->drv->submit(n, r);
}

/* r has ended at this layer, which has no frame (any more). */
void node_done(struct blk_req *r, int res);
/* End r with res, but not before the caller has returned. */
void node_done_later(struct blk_node *n, struct blk_req *r, int res);
/* For r->end.fn: r is done. */
void node_end_fn(struct blk_done *d, int res);

struct blk_frame *node_enter(struct blk_node *n, struct blk_req *r,
			     void (*back)(struct blk_node *n, struct blk_req *r, int res));
/* The frame of the layer whose back() was called. */
static inline struct blk_frame *node_frame(struct blk_req *r)
{
	return &r->frame[r->depth - 1];
}
static inline void node_return(struct blk_req *r, int res)
{
	r->depth--;
	node_done(r, res);
}
/* A request of the layer's own: op, off, bytes, iov, niov, may_unmap are set. */
void node_ask(struct blk_node *n, struct blk_req *r, void (*complete)(struct blk_req *r, int res));

/* ---- stacks ---- */
unsigned node_depth(const struct blk_node *n); /* layers from there down */
int node_sync(struct blk_node *n);             /* all of them; the first error */
void node_cancel(struct blk_node *n, bool on);
const char *node_trouble(struct blk_node *n);
void node_poll(struct blk_node *n);
void node_close(struct blk_node *n); /* and all below; NULL is none */
bool node_is_temporary(const struct blk_node *n);

/* The disk is paused and drained: another top, and the old one for the caller, who may have put it below. */
struct blk_node *blk_swap_top(struct blk *b, struct blk_node *top);
struct blk_node *blk_top(struct blk *b);

#endif
