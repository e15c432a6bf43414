/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_pace.h - do the stops of a runner take more than it gains? A pure function of numbers: it reads no clock and
 * knows no runner. Inside of direct/.
 *
 * direct_choose.c compares what both ways take from one return to CPL 3 to the next. A program may stop its runner
 * thousands of times in between: one that patches its own code pays two stops for each patch, and makes no system call.
 * So these stops are counted by themselves. A runner owes what its stops took, and pays with a part of the time in
 * which it computed. Who owes PACE_OWED_MAX_NS is to have no runner for a while: that is what trying it may cost.
 *
 * What a stop takes is the host's: from ten microseconds to a hundred. It is measured when the first runner is made
 * (struct direct_price), without a signal's delivery and the change of a mapping: those are taken as multiples of it.
 * How much of the runner's time its kernel took is nowhere to be read. What the vCPU's thread uses during a stay is
 * known exactly; all of it serves stops.
 *
 * Stops that give the runner pages it never had are no such loss: there are only so many of them, and then they are
 * over. They are the comparison's.
 */
#ifndef MICA_SOFT_DIRECT_PACE_H
#define MICA_SOFT_DIRECT_PACE_H

#include "cpu/soft/direct_state.h"

#define PACE_STOPS 8u /* from one look to the next: a look reads two clocks by system calls */
#define PACE_OWED_MAX_NS 3000000ull
/* Code computes this much faster directly than in translated code, in parts of 256 of its time: half as fast again is
 * what the slowest kind of translated code loses at least. */
#define PACE_GAIN 128u

enum pace_why {
	PACE_PLAIN,   /* nothing is changed: RDTSC */
	PACE_CHANGED, /* a page has other rights, or is another one */
	PACE_GREW,    /* it has more pages than before */
};

struct direct_pace {
	u64 owed_ns;
	u64 runner_ns; /* CPU time of the runner when it was judged last */
	u64 served_ns; /* CPU time of the vCPU's thread in stays since then */
	u64 thread_ns; /* ... when the clock was read in this stay */
	u32 stops;     /* since the runner was judged last, but for those: */
	u32 changed;   /* ... of them PACE_CHANGED */
	u32 grown;     /* PACE_GREW */
	u32 others;    /* that ended stays */
	bool known;    /* runner_ns is */
	bool staying;  /* thread_ns is of this stay */
};

/* An address space begins with this runner: nothing is owed. */
void pace_begin(struct direct_pace *p);
/* Guest code is about to be executed after translated code was. */
void pace_enter(struct direct_pace *p);
/* The runner has stopped, and is going to be started again. True: the clocks are to be read, for pace_look(). */
bool pace_stop(struct direct_pace *p, enum pace_why why);
/* CPU time of the runner and of the vCPU's thread now. True: it owes too much. */
bool pace_look(struct direct_pace *p, const struct direct_price *price, u64 runner_ns, u64 thread_ns);
/* The stay is over. Called where p->staying. */
void pace_leave(struct direct_pace *p, u64 thread_ns);

/* Before there was a runner to measure it with. */
extern const struct direct_price direct_price_guess;
/* What a stop with its signal takes, about. */
u64 pace_stop_ns(const struct direct_price *price);
/* Kernel entries of a program that is worth a try are no closer together. */
u64 pace_entry_ns(const struct direct_price *price);
/* A runner that computes for so long from one stop to the next needs no comparison. */
u64 pace_far_ns(const struct direct_price *price);

#endif
