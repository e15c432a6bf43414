/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * block.h - a virtual disk's back end: asynchronous reads, writes, flush, discard, write-zeroes.
 *
 * Theory: a blk is a stack of drivers (node.h); the lowest does host I/O through an engine (engine.h):
 * an io_uring, or a thread pool where io_uring is refused. Everything that must be opened is opened by
 * blk_open(), before the process gives up its rights. Order: none between requests in flight; a flush
 * covers all requests completed before it was submitted (the virtio-blk rule).
 *
 * Threads: requests are submitted from any thread. done() is called, with no lock of the block layer's
 * held, in one of three places:
 *  - on the loop's thread, as part of a run of completions that begins with client->begin() and ends
 *    with client->end(): take the device's lock once, interrupt the guest once;
 *  - inside blk_drain(), on the caller's thread, with begin() and end() likewise;
 *  - inside blk_unplug(), on the caller's thread, WITHOUT begin() and end(): whoever plugs already holds
 *    what begin() would take. This is how a read that was in the page cache completes without a thread
 *    switch.
 * So with a client set, done() always runs under the client's lock. done() may submit.
 */
#ifndef MICA_BLOCK_H
#define MICA_BLOCK_H

#include "base/base.h"
#include "base/err.h"
#include "base/loop.h"

#include <sys/uio.h>

#define BLK_SECTOR 512u
#define BLK_IOV_MAX 1024u

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES };

struct blk;
struct blk_node;

/* One host I/O, the engine's unit (engine.h). */
struct blk_io {
	u8 op; /* enum blk_io_op */
	int fd;
	int mode; /* fallocate */
	u64 off, bytes;
	u64 zero_from; /* READ: from here on the end of the file is no error, but zeros; UINT64_MAX: nowhere */
	const struct iovec *iov;
	unsigned niov;
	void (*done)(struct blk_io *io, int res);
	int res;
	struct iovec *tail; /* what is left after a short transfer; owned */
	struct blk_io *next;
};

struct blk_req {
	enum blk_op op;
	u64 off, bytes;    /* in bytes, multiples of 512; within the disk (checked by blk_submit: -EINVAL) */
	struct iovec *iov; /* READ, WRITE: sums to bytes; must live until done, is not changed; up to BLK_IOV_MAX */
	unsigned niov;
	bool may_unmap;                           /* WRITE_ZEROES */
	void (*done)(struct blk_req *r, int res); /* 0 or -errno; which thread: see above */
	void *opaque;

	/* the block layer's own */
	struct blk *blk;
	struct blk_node *node;
	void (*complete)(struct blk_req *r, int res);
	u64 pos;
	struct iovec one;
	struct blk_io io;
};

/* Whose requests they are. Any of the two may be NULL. */
struct blk_client {
	void (*begin)(void *opaque);
	void (*end)(void *opaque);
	void *opaque;
};

enum blk_engine { BLK_ENGINE_AUTO, BLK_ENGINE_URING, BLK_ENGINE_POOL };

struct blk_params {
	const char *path;
	const char *format; /* "raw" or NULL */
	bool readonly;
	bool snapshot; /* writes go to an unlinked temporary file and are lost at close */
	bool direct;   /* O_DIRECT; requests that are not aligned as the host wants go through its page cache */
	int fd;        /* > 0: the image, already open (borrowed; path is then only its name); 0 or -1: open path */
	enum blk_engine engine; /* AUTO: io_uring, or the pool where that is refused */
};

/* The image is locked, as QEMU does it (raw.c): against all others when it is written, else against writers. A size
 * that is no multiple of 512 is rounded up: the rest of the last sector reads as zeros, and a write to it makes the
 * file longer. */
int blk_open(struct blk **out, struct loop *loop, const struct blk_params *p, struct err *e);
/* Waits for requests in flight, flushes. On the loop's thread, or when the loop does not run. */
void blk_close(struct blk *b);
/* Start the threads that open disks need. A process that gives up rights calls this after giving up those
 * that threads inherit and before it forbids itself new threads; otherwise the first request does it. */
int blk_start_threads(struct err *e);
/* Before the first request. */
void blk_set_client(struct blk *b, const struct blk_client *c);
u64 blk_bytes(const struct blk *b);
bool blk_readonly(const struct blk *b);
bool blk_can_discard(const struct blk *b);
const char *blk_name(const struct blk *b);        /* the image's path */
u64 blk_errors(const struct blk *b);              /* requests that the host failed */
const char *blk_engine_name(const struct blk *b); /* "io_uring", "threads" */
void blk_submit(struct blk *b, struct blk_req *r);
/* Between these, submissions are only queued: one system call for a batch. blk_unplug() also calls
 * done() for what has completed already. Not nested; the client's lock is held throughout. */
void blk_plug(struct blk *b);
void blk_unplug(struct blk *b);
/* Wait until nothing is in flight. Any thread, the client's lock not held; no new requests meanwhile. */
void blk_drain(struct blk *b);
/* The same, but requests that the host has not begun with, or goes on with in pieces, end with -ECANCELED. */
void blk_cancel(struct blk *b);
/* For saving a VM: drain, and everything to stable storage; 0 or -errno. As blk_drain(). */
int blk_sync(struct blk *b);
/* Do writes go to a temporary file (snapshot=on)? */
bool blk_is_snapshot(const struct blk *b);
/* When the image was last written, ns since 1970; 0 where that is not known (block devices). */
u64 blk_mtime_ns(const struct blk *b);

#endif
