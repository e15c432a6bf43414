/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loop.h - the event loop of a process: file descriptors, timers, posted calls (epoll).
 *
 * Theory: one thread runs loop_run(); every callback runs there. fds are added and removed on
 * that thread (or before it starts). Timers may be armed and loop_post() called from any thread.
 * A timer armed for a later time than its last one costs no system call.
 *
 * Callbacks run with no lock of the loop's held.
 */
#ifndef MICA_LOOP_H
#define MICA_LOOP_H

#include "base/base.h"
#include "base/err.h"

#include <sys/epoll.h>

struct loop;

struct loop_fd {
	int fd;
	void (*fn)(void *opaque, u32 events); /* EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLERR */
	void *opaque;
	/* the loop's own */
	bool added;
};

struct loop_timer {
	void (*fn)(void *opaque);
	void *opaque;
	/* the loop's own, under its lock */
	struct loop *loop;
	u64 deadline_ns; /* CLOCK_MONOTONIC; UINT64_MAX when disarmed */
	struct loop_timer *next;
};

int loop_new(struct loop **out, struct err *e);
void loop_free(struct loop *l);

/* Run until loop_stop(). */
void loop_run(struct loop *l);
/* Any thread, also a signal handler. */
void loop_stop(struct loop *l);

/* *f stays the caller's and must live until loop_del(). events: EPOLLIN etc. */
int loop_add(struct loop *l, struct loop_fd *f, int fd, u32 events, void (*fn)(void *opaque, u32 events), void *opaque);
int loop_mod(struct loop *l, struct loop_fd *f, u32 events);
void loop_del(struct loop *l, struct loop_fd *f); /* does not close fd; safe in any callback; then *f is free */

/* Timers: init and fini on any thread; fini only when fn is not running. */
void loop_timer_init(struct loop *l, struct loop_timer *t, void (*fn)(void *opaque), void *opaque);
void loop_timer_fini(struct loop_timer *t);
/* One-shot at an absolute CLOCK_MONOTONIC time; re-arming replaces. UINT64_MAX disarms. */
void loop_timer_arm(struct loop_timer *t, u64 deadline_ns);
static inline void loop_timer_disarm(struct loop_timer *t)
{
	loop_timer_arm(t, UINT64_MAX);
}

/* Call fn(opaque) soon on the loop's thread, in order of posting. */
void loop_post(struct loop *l, void (*fn)(void *opaque), void *opaque);

#endif
