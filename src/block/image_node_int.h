/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_node_int.h - what the files of a disk in an image share: image_node.c, image_data.c, image_flush.c. */
#ifndef MICA_IMAGE_NODE_INT_H
#define MICA_IMAGE_NODE_INT_H

#include "block/format.h"
#include "block/hostio.h"
#include "block/image_ask.h"
#include "block/image_cache.h"
#include "block/image_hold.h"

#include <pthread.h>
#include <stdatomic.h>

/* Something that is written, and made durable now and then. Two flushes at a time must both wait. */
struct stamp {
	atomic_uint now, durable;
};

struct image_node {
	struct blk_node n;
	struct hostio *io;
	struct image_asker *asker;
	struct image_link_files files;
	struct stamp written[IMAGE_FILES_MAX]; /* data, by this process */
	struct stamp changed;                  /* the map, by the process that has the format */
	_Atomic bool cancelled;
	u64 unit;

	pthread_mutex_t lock; /* guards what follows */
	struct image_cache *cache;
	struct image_holds holds;
	u64 epoch; /* counts what made something of the cache void */
};

/* What a layer's frame has. */
enum { OWN_BYTES, OWN_ERROR, OWN_EPOCH };
#define OWN_STAMP OWN_BYTES

static inline struct image_node *image_node_of(const struct blk_req *r)
{
	return container_of(r->node, struct image_node, n);
}

/* The request whose question this is the answer to. */
static inline struct blk_req *image_node_asked(struct blk_done *d)
{
	return container_of(container_of(d, struct blk_ask, done), struct blk_req, ask);
}

/* image_node.c */
/* The clusters of the next `bytes` of r. False: r waits, and goes on by itself. */
bool image_node_hold(struct image_node *w, struct blk_req *r, enum image_hold_kind kind, u64 bytes);
void image_node_let_go(struct image_node *w, struct blk_req *r); /* if it holds any */
void image_node_finish(struct image_node *w, struct blk_req *r, int res);
/* From submit(), which has not returned. */
void image_node_finish_later(struct image_node *w, struct blk_req *r, int res);
/* Later, as others come first. */
void image_node_go_on(struct image_node *w, struct blk_req *r);
/* Of what is left of r: reads, writes, zeros, discards. */
void image_node_step(struct image_node *w, struct blk_req *r);
void image_node_ask(struct image_node *w, struct blk_req *r, unsigned op, u64 off, u64 bytes,
		    void (*fn)(struct blk_done *d, int res));

/* image_data.c: the next step, not cancelled. */
void image_node_read(struct image_node *w, struct blk_req *r);
void image_node_write(struct image_node *w, struct blk_req *r);
void image_node_zero(struct image_node *w, struct blk_req *r);

/* image_flush.c */
void image_node_touch(struct stamp *s);
void image_node_flush(struct image_node *w, struct blk_req *r);
int image_node_sync(struct image_node *w); /* waits */

#endif
