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

static void measure(void)
{
	u64 n0, t0, n1, t1;

	sample(&n0, &t0);
	do {
		struct timespec ts = { 0, MEASURE_NS };
		nanosleep(&ts, NULL); /* in one piece: waking up costs more than all the rest */
		sample(&n1, &t1);
	} while (n1 - n0 < MEASURE_NS);
	tsc_khz = mul_div(t1 - t0, 1000000, n1 - n0);
}

u64 clock_tsc_khz(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, measure);
	return tsc_khz;
}
