/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * block.h - a virtual disk's back end: asynchronous reads, writes, flush, discard, write-zeroes.
 *
 * Theory: a blk is a stack of drivers (struct blk_driver); the lowest does host I/O through an
 * io_uring owned by the loop's thread, or a thread pool where io_uring is refused. Requests are
 * submitted from any thread (blk_submit locks itself), completed on the loop's thread by done().
 * Order: none between requests in flight; a flush covers all requests completed before it was
 * submitted (the virtio-blk rule).
 */
#ifndef MICA_BLOCK_H
#define MICA_BLOCK_H

#include "base/base.h"
#include "base/err.h"
#include "base/loop.h"

#include <sys/uio.h>

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES };

struct blk_req {
	enum blk_op op;
	u64 off, bytes;    /* in bytes, multiples of 512; within the disk (checked by blk_submit: -EINVAL) */
	struct iovec *iov; /* READ, WRITE: sums to bytes; must live until done */
	unsigned niov;
	bool may_unmap;                           /* WRITE_ZEROES */
	void (*done)(struct blk_req *r, int res); /* 0 or -errno; loop's thread */
	void *opaque;
	/* the block layer's own */
	void *priv[4];
};

struct blk;

struct blk_params {
	const char *path;
	const char *format; /* "raw" */
	bool readonly;
	bool snapshot; /* writes go to an unlinked temporary file and are lost at close */
	bool direct;   /* O_DIRECT */
};

int blk_open(struct blk **out, struct loop *loop, const struct blk_params *p, struct err *e);
/* Waits for requests in flight, flushes. */
void blk_close(struct blk *b);
u64 blk_bytes(const struct blk *b);
bool blk_readonly(const struct blk *b);
bool blk_can_discard(const struct blk *b);
void blk_submit(struct blk *b, struct blk_req *r);
/* Between these, submissions are only queued: one system call for a batch. */
void blk_plug(struct blk *b);
void blk_unplug(struct blk *b);

#endif
