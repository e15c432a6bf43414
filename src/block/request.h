/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * request.h - a request to a disk, with all the space that it needs on its way down and up again.
 *
 * Nothing is allocated on the data path. A request carries one frame for each layer of the stack that wants to hear of
 * its end (node.h), one host I/O for the layer that touches a file (hostio.h), one question for the process that knows
 * a format (image_ask.h), and one link for whoever completes it (queue.h). So whoever has a struct blk_req can get an
 * answer, whatever the host's memory.
 */
#ifndef MICA_BLOCK_REQUEST_H
#define MICA_BLOCK_REQUEST_H

#include "base/base.h"

#include <sys/uio.h>

#define BLK_SECTOR 512u
#define BLK_IOV_MAX 1024u
#define BLK_LAYERS_MAX 16u
#define BLK_IO_PART 8u

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES };

struct blk;
struct blk_node;
struct blk_req;

/* Something that has ended and waits in a completion queue (queue.h) for fn(). */
struct blk_done {
	struct blk_done *next;
	void (*fn)(struct blk_done *d, int res);
	int res; /* 0 or -errno */
};

/* One host I/O (hostio.h). */
struct blk_io {
	struct blk_done done;
	u8 op; /* enum blk_io_op */
	int fd;
	int mode; /* fallocate */
	u64 off, bytes;
	u64 zero_from; /* READ: from here on the end of the file is no error, but zeros; UINT64_MAX: nowhere */
	/* The data: `bytes` of these vectors, from byte `skip` on. */
	const struct iovec *iov;
	unsigned niov;
	u64 skip;
	struct iovec part[BLK_IO_PART]; /* what is under way of them, where that is not whole vectors */
};

/* One question to the process that knows an image's format (image_ask.h, image/serve.h). */
struct blk_ask {
	struct blk_done done;
	u8 op; /* enum serve_op */
	bool unmap;
	u64 off, bytes;
	/* READ, WRITE: its data, `bytes` of these vectors from byte `skip` on. */
	const struct iovec *iov;
	unsigned niov;
	u64 skip;
	/* The answer to what asks for a run. */
	u8 kind;
	bool in_place;
	u16 file;
	u64 run_bytes, run_off;
};

/* Clusters of an image that a request needs alone, or with others of its kind (image_hold.h). */
struct blk_hold {
	struct blk_hold *next, **at, *granted;
	u64 first, end;
	u8 kind;
};

/* What a layer keeps of a request that is below it. */
struct blk_frame {
	struct blk_node *node;
	void (*back)(struct blk_node *n, struct blk_req *r, int res);
	enum blk_op op; /* the request as this layer got it */
	bool may_unmap;
	u64 off, bytes, skip;
	u64 own[3]; /* the layer's */
};

struct blk_req {
	enum blk_op op;
	u64 off, bytes;    /* in bytes, multiples of 512; within the disk (checked by blk_submit: -EINVAL) */
	struct iovec *iov; /* READ, WRITE: sums to bytes; must live until done, is not changed; up to BLK_IOV_MAX */
	unsigned niov;
	bool may_unmap;                           /* WRITE_ZEROES */
	void (*done)(struct blk_req *r, int res); /* 0 or -errno; which thread: see block.h */
	void *opaque;

	/* The block layer's own. The fields above are as they were when done() is called. */
	struct blk *blk;
	void (*complete)(struct blk_req *r, int res); /* what is above the top of the stack */
	u64 skip;                                     /* the data begins at this byte of iov */
	struct blk_done end;                          /* for whoever ends it without host I/O; a link while it waits */
	struct blk_node *node;                        /* the lowest layer that has it */
	u64 pos;                                      /* that layer's */
	unsigned depth;                               /* frames in use */
	struct iovec one;
	struct blk_io io;
	struct blk_ask ask;
	struct blk_hold hold;
	struct blk_frame frame[BLK_LAYERS_MAX];
};

/* For requests that are used again and again: cheaper than to clear all of it. */
static inline void blk_req_init(struct blk_req *r, void (*done)(struct blk_req *r, int res))
{
	r->op = BLK_READ;
	r->off = r->bytes = 0;
	r->iov = NULL;
	r->niov = 0;
	r->may_unmap = false;
	r->done = done;
	r->opaque = NULL;
}

#endif
