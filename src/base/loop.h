/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loop.h - the event loop of a process: file descriptors, timers, posted calls (epoll).
 *
 * Theory: one thread runs loop_run(); every callback runs there. fds are added and removed on
 * that thread (or before it starts). Timers may be armed and loop_post() called from any thread.
 * A timer armed for a later time than its last one costs no system call.
 *
 * Callbacks run with no lock of the loop's held.
 *
 * A turn is everything between two looks at the descriptors, and nothing else is heard while it lasts: no signal, no
 * control client, no timer. So what a guest can ask for is done in pieces: loop_until() says how long the caller may go
 * on, and who is not done by then comes back in a later turn (a timer armed for 0 does). A timer fires at most once a
 * turn and what is posted in a turn is called in a later one, so that coming back at once takes nothing from the
 * others.
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
	u64 lent_ns;     /* its deadline while it is lent; UINT64_MAX when it is not */
	u64 fired;       /* the turn it last fired in */
	bool slept;      /* the lender's: the last sleep went on until it was due */
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
/*
 * A thread that sleeps until t's deadline by itself spares the loop's waking: loop_timer_lend() takes the timer off the
 * loop and returns the deadline (UINT64_MAX: it is not armed). loop_timer_back(), on the same thread, calls fn right
 * there if it is due, else gives it back. Whoever arms a timer that is lent has it on the loop again.
 *
 * Sleeps that end early (two vCPUs that hand work to each other) must not cost two system calls each: while they do,
 * the loop's own alarm stays set, and rings in vain when one sleep then goes on until the deadline. Who lends and does
 * not call loop_timer_back() says by loop_timer_slept() how the sleep ended.
 */
u64 loop_timer_lend(struct loop_timer *t);
void loop_timer_back(struct loop_timer *t);
static inline void loop_timer_slept(struct loop_timer *t, bool until_due)
{
	t->slept = until_due;
}

/* Call fn(opaque) soon on the loop's thread, in order of posting. */
void loop_post(struct loop *l, void (*fn)(void *opaque), void *opaque);

/*
 * Until when (CLOCK_MONOTONIC) the caller may go on with work that has no bound of its own. On a loop's thread the
 * callbacks of a turn share LOOP_TURN_NS, but each gets LOOP_LEAST_NS; elsewhere it is LOOP_VISIT_NS from now: locks
 * that the loop wants are not held for longer.
 */
#define LOOP_TURN_NS 4000000ull
#define LOOP_VISIT_NS 1000000ull
#define LOOP_LEAST_NS 100000ull
u64 loop_until(void);
/* Does the calling thread run a loop? */
bool loop_here(void);

/* Since the loop began to run. Loop's thread. */
struct loop_stats {
	u64 turns;
	u64 longest_ns;      /* a turn, by the clock on the wall */
	u64 longest_cpu_ns;  /* a turn, in CPU time of the thread without waits; up to 50 us too many */
	u64 longest_wait_ns; /* for a lock that another thread held (loop_waited()) */
};
void loop_get_stats(const struct loop *l, struct loop_stats *out);
/* The caller waited so long for a lock. Counts where the caller is a loop's thread. */
void loop_waited(u64 ns);

#endif
