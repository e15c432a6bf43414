/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engine.h - host file I/O done asynchronously: one engine a disk.
 *
 * An engine takes struct blk_io and completes each whole (short transfers are continued inside) with 0
 * or -errno. Finished ones wait in the engine until some thread reaps them: the loop's thread, woken
 * by the event fd; or a submitter right after submitting (engine_unplug).
 *
 * A host may do the I/O inside the system call that starts it (page cache). So no more than IO_PIECE_BYTES of a request
 * are started at once, and nobody goes on starting or completing after loop_until(): the rest waits in the engine and
 * the loop's thread is woken for it.
 */
#ifndef MICA_BLOCK_ENGINE_H
#define MICA_BLOCK_ENGINE_H

#include "block/block.h"

#define IO_PIECE_BYTES (2 * MIB)

enum blk_io_op { IO_NOP, IO_READ, IO_WRITE, IO_DATASYNC, IO_FALLOCATE };

struct hostio;

struct engine_ops {
	const char *name;
	/* Any thread; these lock themselves. */
	void (*submit)(struct hostio *en, struct blk_io *io); /* plugged: only queue */
	void (*plug)(struct hostio *en);
	/* Start what is queued. quiet: the caller reaps next and then calls loud(): completions until then need
	 * not wake the loop. */
	void (*unplug)(struct hostio *en, bool quiet);
	void (*loud)(struct hostio *en);
	struct blk_io *(*collect)(struct hostio *en); /* finished ones, a list */
	/* While on, what is not started yet ends with -ECANCELED instead. */
	void (*cancel)(struct hostio *en, bool on);
	void (*free)(struct hostio *en); /* nothing in flight */
};

struct hostio {
	const struct engine_ops *ops;
	struct loop *loop;
	struct loop_fd lfd;
	int evfd;
	struct blk_client client;
};

int engine_new(struct hostio **out, struct loop *loop, enum blk_engine kind, struct err *e);
void engine_free(struct hostio *en);

static inline void engine_submit(struct hostio *en, struct blk_io *io)
{
	io->tail = NULL;
	io->next = NULL;
	en->ops->submit(en, io);
}
/* Complete finished ones. locked: the client's lock is held already. */
void engine_reap(struct hostio *en, bool locked);
/* Wait up to timeout_ms for something to reap. */
void engine_wait(struct hostio *en, int timeout_ms);
void engine_plug(struct hostio *en);
void engine_unplug(struct hostio *en);

/* ---- for the engines ---- */
int hostio_uring_new(struct hostio **out, struct err *e);
int hostio_pool_new(struct hostio **out, struct err *e);
void engine_wake(struct hostio *en);
/* What of io's data to transfer next: at most IO_PIECE_BYTES; *iov is io's own vector, or cut where the first is
 * larger. The result then looks like a short transfer, and the rest is transferred as after any of these. */
unsigned blk_io_piece(const struct blk_io *io, struct iovec *cut, const struct iovec **iov, u64 *bytes);
/* n of io's bytes are transferred: make it describe the rest. */
void blk_io_advance(struct blk_io *io, u64 n);
/* Nothing more can be transferred: its result. */
int blk_io_end_of_file(const struct blk_io *io);

#endif
