/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * halt_poll.h - is a halted vCPU to look for what wakes it for a while, before its thread sleeps? A pure function of
 * numbers: it reads no clock. run/halt.c polls and sleeps.
 *
 * Two vCPUs that hand over to each other halt for a few microseconds at a time. Putting a thread to sleep and waking it
 * on another of the host's CPUs takes ten times as long, so such a vCPU polls first. That takes a CPU of the host which
 * others may want, and so it has to pay:
 *
 * - Only a vCPU that was woken soon the last times polls (HALT_SHORT_NS): an idle guest's never does.
 * - Where HALT_VAIN_MAX more polls found nothing than something, the vCPU rests: it sleeps at once for a while, at
 * first for HALT_REST_MIN_NS, then for twice as long each time.
 * - So it does when the host is short of CPUs: others took the CPU from this thread, as it shows in the thread's count
 *   of involuntary switches (read once in HALT_LOOK_NS of polling), or in a poll that did not get to look for
 *   HALT_GAP_NS.
 */
#ifndef MICA_SOFT_HALT_POLL_H
#define MICA_SOFT_HALT_POLL_H

#include "base/base.h"

#define HALT_POLL_NS 50000u   /* the longest poll: about what a wake-up on another CPU takes */
#define HALT_SHORT_NS 250000u /* a halt that ends sooner may be worth polling for: two wake-ups, and some work */
#define HALT_SHORT_RUN 2u     /* so many of them in a row */
#define HALT_VAIN_MAX 8u
#define HALT_LOOK_NS 1000000u      /* of time, while there are polls */
#define HALT_LOOK_OLD_NS 10000000u /* what was counted before says nothing of now */
#define HALT_GAP_NS 100000u
#define HALT_REST_MIN_NS 10000000ull
#define HALT_REST_MAX_NS 640000000ull
#define HALT_PAID 256u /* polls that found something, after which the next rest is a short one again */

struct halt_poll {
	u32 shorts;        /* halts in a row that were short */
	u32 vain;          /* polls that found nothing, less those that found something */
	u32 paid;          /* polls that found something since the last rest */
	u64 rest_until_ns; /* 0: never rested */
	u64 rest_ns;       /* the last rest's length */
	u64 looked_ns;     /* when the involuntary switches were read, */
	u64 switches;      /* ... and how many there were */
};

/* How a poll ended. */
enum halt_poll_end {
	HALT_FOUND,   /* the vCPU goes on */
	HALT_NOTHING, /* it sleeps now */
	HALT_GAP,     /* the thread did not run for HALT_GAP_NS; whether or not there was something */
};

/* The vCPU has halted: poll? */
bool halt_poll_wanted(const struct halt_poll *p, u64 now_ns);
/* ... and it polled. */
void halt_poll_ended(struct halt_poll *p, u64 now_ns, enum halt_poll_end how);
/* The halt has ended that began so long ago, and for which the thread slept. */
void halt_poll_slept(struct halt_poll *p, u64 halted_ns);
/* Are the thread's involuntary switches to be read, for halt_poll_look()? */
bool halt_poll_looks(const struct halt_poll *p, u64 now_ns);
void halt_poll_look(struct halt_poll *p, u64 now_ns, u64 switches);

#endif
