/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * block.h - a virtual disk's back end: asynchronous reads, writes, flush, discard, write-zeroes.
 *
 * Theory: a blk is a stack of layers (node.h), each made by a format (format.h): a raw image, an overlay on it, and so
 * on. The lowest does the work: on host files (hostio.h), or wherever else; all of them complete through one queue
 * (queue.h). Everything that must be opened is opened by blk_open(), before the process gives up its rights. Order:
 * none between requests in flight; a flush covers all requests completed before it was submitted (the virtio-blk rule).
 *
 * A running stack can be changed: blk_pause() holds new requests back and says when none is below; then a layer is put
 * on top (blk_push_layer()), and blk_resume() lets the rest go on through it.
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
#include "block/queue.h"
#include "block/request.h"

struct blk;

enum blk_engine { BLK_ENGINE_AUTO, BLK_ENGINE_URING, BLK_ENGINE_POOL };

/* What a format of its own can be told (format.h). */
struct blk_option {
	const char *name, *value;
};

struct blk_params {
	const char *path;
	const char *format; /* one of format.h's table; NULL: as the image looks, which is raw if it looks like none */
	bool readonly;
	bool removable; /* a drive's medium: without path and fd there is none, and the disk has no size */
	bool locked;    /* whoever opened fd has locked it (image_lock.h) */
	bool alone;     /* no process can be started (any more): an image that has to be parsed is refused */
	bool snapshot;  /* writes go to an unlinked temporary file and are lost at close */
	int fd;         /* > 0: the image, already open (borrowed; path is then only its name); 0 or -1: open path */
	enum blk_engine engine; /* AUTO: io_uring, or the pool where that is refused */
	const struct blk_option *options;
	unsigned noptions;
};

/* The image is locked, as QEMU does it (raw.c): against all others when it is written, else against writers. A size
 * that is no multiple of 512 is rounded up: the rest of the last sector reads as zeros, and a write to it makes the
 * file longer. */
int blk_open(struct blk **out, struct loop *loop, const struct blk_params *p, struct err *e);
/* Is it an image that a process has to open, which takes longer and needs the right to start one? */
bool blk_is_parsed(const struct blk_params *p);
/* Waits for requests in flight, flushes. On the loop's thread, or when the loop does not run; not paused. */
void blk_close(struct blk *b);
/* Start the threads that open disks need. A process that gives up rights calls this after giving up those
 * that threads inherit and before it forbids itself new threads; otherwise the first request does it. */
int blk_start_threads(struct err *e);
/* Is this the address of a disk on a server, and no file? */
bool blk_is_url(const char *path);
/* Before the first request. */
void blk_set_client(struct blk *b, const struct blk_client *c);
u64 blk_bytes(const struct blk *b); /* 0: no medium */
bool blk_readonly(const struct blk *b);
bool blk_can_discard(const struct blk *b);
const char *blk_name(const struct blk *b);      /* the image's path */
const char *blk_format_of(const struct blk *b); /* "raw", "qcow2", ...; "empty": no medium */
u64 blk_errors(const struct blk *b);            /* requests that failed through no fault of who asked */
/* Of a disk on the network: "reconnecting": requests wait; "failed": they fail, for good. NULL: neither. Not while
 * its stack is changed. */
const char *blk_trouble(struct blk *b);
const char *blk_engine_name(const struct blk *b); /* "io_uring", "threads" */
void blk_submit(struct blk *b, struct blk_req *r);
/* Between these, submissions are only queued: one system call for a batch. blk_unplug() also calls
 * done() for what has completed already. Not nested; the client's lock is held throughout. */
void blk_plug(struct blk *b);
void blk_unplug(struct blk *b);
/* Wait until nothing is in flight; what a pause holds back is not. Any thread, the client's lock not held; no new
 * requests meanwhile. */
void blk_drain(struct blk *b);
/* The same, but requests that have not begun, or go on in pieces, or are held back by a pause, end with -ECANCELED. */
void blk_cancel(struct blk *b);
/* Do writes go to a temporary file (snapshot=on, or such a layer)? */
bool blk_is_snapshot(const struct blk *b);
/* When the image was last written, ns since 1970; 0 where that is not known (block devices). */
u64 blk_mtime_ns(const struct blk *b);

/* ---- changing a running stack. On the loop's thread ---- */

/* The caller's; several may hold a disk at a time. */
struct blk_pause {
	void (*drained)(void *opaque);
	void *opaque;
	/* the block layer's own */
	struct blk_pause *next;
	bool told;
};

/* Requests wait from now on. p->drained() is called once, in a later turn of the loop, when none is in flight. */
void blk_pause(struct blk *b, struct blk_pause *p);
/* The last one to resume lets the waiting requests go on. p may not have been told yet; then it never is. */
void blk_resume(struct blk *b, struct blk_pause *p);
/* Drained: put a layer of that format on top. Nothing is changed when it fails. p->readonly is not looked at. */
int blk_push_layer(struct blk *b, const struct blk_params *p, struct err *e);
/*
 * Another medium in the drive, or none (p->removable without path and fd), in place of the whole stack. It is opened at
 * once, as by blk_open(), but read only as the disk is, and without snapshot; it needs no right but to use p->fd. It
 * takes the old one's place when nothing is in flight; then done() is called, on the loop's thread. -EBUSY: the last
 * change is not done yet. Nothing is changed when it fails.
 */
int blk_change(struct blk *b, const struct blk_params *p, void (*done)(void *opaque), void *opaque, struct err *e);

#endif
