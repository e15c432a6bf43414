/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hostio.h - I/O on the host's files, done asynchronously: by an io_uring, or by threads where that is refused. One a
 * disk, a source of its completion queue (queue.h).
 *
 * It takes struct blk_io and ends each whole (short transfers are continued inside) with 0 or -errno.
 *
 * A host may do the I/O inside the system call that starts it (page cache). So no more than IO_PIECE_BYTES of a request
 * are started at once, and nobody goes on starting or completing after loop_until(): the rest waits and the loop's
 * thread is woken for it.
 */
#ifndef MICA_BLOCK_HOSTIO_H
#define MICA_BLOCK_HOSTIO_H

#include "block/block.h"
#include "block/queue.h"

#define IO_PIECE_BYTES (2 * MIB)

enum blk_io_op { IO_READ, IO_WRITE, IO_DATASYNC, IO_FALLOCATE };

struct hostio;

struct hostio_ops {
	const char *name;
	void (*submit)(struct hostio *h, struct blk_io *io); /* any thread; plugged: only queue */
	void (*free)(struct hostio *h);                      /* nothing in flight */
};

struct hostio {
	struct blk_source src;
	const struct hostio_ops *ops;
};

int hostio_new(struct hostio **out, struct blk_queue *q, enum blk_engine kind, struct err *e);
void hostio_free(struct hostio *h);

/* io->done.fn is called in the queue's way when all of it has ended. */
static inline void hostio_submit(struct hostio *h, struct blk_io *io)
{
	io->done.next = NULL;
	h->ops->submit(h, io);
}

/* ---- for the two ---- */
int hostio_uring_new(struct hostio **out, struct blk_queue *q, struct err *e);
struct hostio *hostio_pool_new(void);
/* What of io's data to transfer next: at most IO_PIECE_BYTES, in *iov (io's own vectors, or io->part). It may be less
 * than what could be: the result then looks like a short transfer, and the rest is transferred as after any of these.
 */
unsigned blk_io_piece(struct blk_io *io, const struct iovec **iov, u64 *bytes);
/* n of io's bytes are transferred: make it describe the rest. */
void blk_io_advance(struct blk_io *io, u64 n);
/* Nothing more can be transferred: its result. */
int blk_io_end_of_file(const struct blk_io *io);

#endif
