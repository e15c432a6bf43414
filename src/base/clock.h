/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clock.h - host clocks. Any thread. */
#ifndef MICA_CLOCK_H
#define MICA_CLOCK_H

#include "base/base.h"

#include <time.h>

#define NSEC_PER_SEC 1000000000ull

/* CLOCK_MONOTONIC, ns. */
static inline u64 clock_mono_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * NSEC_PER_SEC + (u64)ts.tv_nsec;
}

/* CLOCK_REALTIME, ns since 1970. */
static inline u64 clock_real_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (u64)ts.tv_sec * NSEC_PER_SEC + (u64)ts.tv_nsec;
}

/* CPU time of the calling thread, ns. A system call. */
static inline u64 clock_thread_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (u64)ts.tv_sec * NSEC_PER_SEC + (u64)ts.tv_nsec;
}

/* The host's time-stamp counter. */
static inline u64 clock_tsc(void)
{
	return __builtin_ia32_rdtsc();
}

/*
 * Frequency of clock_tsc() in kHz, measured once against CLOCK_MONOTONIC, over at least 20 ms, and then cached. The
 * first caller waits for what is left of them since clock_begin(), which a program calls first of all, or not.
 */
void clock_begin(void);
u64 clock_tsc_khz(void);

/* a * b / c without overflow of the product. c != 0; the quotient is truncated to 64 bits. */
static inline u64 mul_div(u64 a, u64 b, u64 c)
{
	return (u64)((unsigned __int128)a * b / c);
}

#endif
