/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direct_pace.c - see direct_pace.h. */
#include "cpu/soft/direct/direct_pace.h"

#include "base/clock.h"

#define ENTRY_MIN_NS 60000ull
#define FAR_MIN_NS 200000ull
/* Times the runner's part of a bare stop: with its signal; with a mapping that is changed (its caches, TLBs and page
 * tables are cold then). */
#define SIGNAL 3u
#define CHANGE 16u
#define STOP_MAX_NS 250000ull /* a measurement that says more was disturbed */

const struct direct_price direct_price_guess = { 5000, 5000 };

void pace_begin(struct direct_pace *p)
{
	*p = (struct direct_pace){ 0 };
}

void pace_enter(struct direct_pace *p)
{
	p->others++; /* what ended the last stay */
	p->staying = false;
}

bool pace_stop(struct direct_pace *p, enum pace_why why)
{
	if (why == PACE_GREW)
		p->grown++;
	else
		p->stops++;
	p->changed += why == PACE_CHANGED;
	return !p->staying || p->stops >= PACE_STOPS;
}

static void serve(struct direct_pace *p, u64 thread_ns)
{
	if (p->staying && thread_ns > p->thread_ns)
		p->served_ns += thread_ns - p->thread_ns;
	p->thread_ns = thread_ns;
}

bool pace_look(struct direct_pace *p, const struct direct_price *price, u64 runner_ns, u64 thread_ns)
{
	serve(p, thread_ns);
	p->staying = true;
	if (p->stops < PACE_STOPS && p->known)
		return false;
	u64 ran = p->known && runner_ns > p->runner_ns ? runner_ns - p->runner_ns : 0;
	u64 change = CHANGE * price->runner_ns, signal = SIGNAL * price->runner_ns;
	u64 lost = MIN(p->changed * change + (p->stops - p->changed) * signal, ran);
	/* The other stops only do not count as computing. */
	u64 elsewhere = MIN(p->grown * change + p->others * signal, ran - lost);
	u64 gain = (ran - lost - elsewhere) * PACE_GAIN / 256;
	/* The clock was not read before the first stop of each stay. */
	u64 served = p->stops ? mul_div(p->served_ns, p->stops, p->stops + p->grown) : 0;

	p->owed_ns += lost + MAX(served, p->stops * price->thread_ns);
	p->owed_ns = p->owed_ns > gain ? p->owed_ns - gain : 0;
	p->runner_ns = runner_ns;
	p->stops = p->changed = p->grown = p->others = 0;
	p->served_ns = 0;
	p->known = true;
	return p->owed_ns > PACE_OWED_MAX_NS;
}

void pace_leave(struct direct_pace *p, u64 thread_ns)
{
	serve(p, thread_ns);
	p->staying = false;
}

u64 pace_stop_ns(const struct direct_price *price)
{
	return MIN(price->thread_ns + SIGNAL * price->runner_ns, STOP_MAX_NS);
}

u64 pace_entry_ns(const struct direct_price *price)
{
	return MAX(4 * pace_stop_ns(price), ENTRY_MIN_NS);
}

u64 pace_far_ns(const struct direct_price *price)
{
	return MAX(8 * pace_stop_ns(price), FAR_MIN_NS);
}
