/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clock.c - how fast the TSC ticks. */
#include "base/clock.h"

#include <pthread.h>

#define MEASURE_NS 20000000

static u64 tsc_khz;

/* One (ns, tsc) pair; of several tries the one with the tightest bracket. */
static void sample(u64 *ns, u64 *tsc)
{
	u64 best = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		u64 a = clock_tsc(), t = clock_mono_ns(), b = clock_tsc();
		if (b - a < best) {
			best = b - a;
			*ns = t;
			*tsc = a + (b - a) / 2;
		}
	}
}

static u64 begun_ns, begun_tsc; /* 0: not begun */

void clock_begin(void)
{
	sample(&begun_ns, &begun_tsc);
}

static void measure(void)
{
	u64 ns, tsc;

	if (!begun_ns)
		clock_begin();
	for (;;) {
		sample(&ns, &tsc);
		if (ns - begun_ns >= MEASURE_NS)
			break;
		/* In one piece: waking up costs more than all the rest. */
		struct timespec ts = { 0, (long)(MEASURE_NS - (ns - begun_ns)) };
		nanosleep(&ts, NULL);
	}
	tsc_khz = mul_div(tsc - begun_tsc, 1000000, ns - begun_ns);
}

u64 clock_tsc_khz(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, measure);
	return tsc_khz;
}
