/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * node.h - one layer of a disk: a driver and its state. A node gets requests that are within the disk
 * and sound, and ends each by node_done(), on whatever thread the engine completes.
 */
#ifndef MICA_BLOCK_NODE_H
#define MICA_BLOCK_NODE_H

#include "block/engine.h"

struct blk_node;

struct blk_driver {
	const char *name;
	void (*submit)(struct blk_node *n, struct blk_req *r);
	int (*sync)(struct blk_node *n); /* at close: everything to stable storage; 0 or -errno */
	void (*close)(struct blk_node *n);
	u64 (*mtime_ns)(struct blk_node *n); /* optional: when the image was last written; 0: not known */
};

struct blk_node {
	const struct blk_driver *drv;
	struct hostio *en;
	u64 bytes;
	bool readonly, can_discard;
};

static inline void node_done(struct blk_req *r, int res)
{
	r->complete(r, res);
}
/* End r with res, but not before the caller has returned. */
void node_done_later(struct blk_node *n, struct blk_req *r, int res);

/* raw.c: a file or block device. */
int raw_open(struct blk_node **out, struct hostio *en, const struct blk_params *p, struct err *e);
/* An unlinked, sparse temporary file of that size, all zeros. */
int raw_open_temp(struct blk_node **out, struct hostio *en, u64 bytes, struct err *e);
/* overlay.c: base (owned on success) with writes to a temporary file. */
int blk_snapshot_open(struct blk_node **out, struct blk_node *base, struct err *e);

#endif
