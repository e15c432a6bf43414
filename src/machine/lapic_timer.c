/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lapic_timer.c - the local APIC's timer: one-shot, periodic, TSC-deadline (SDM 3A 11.5.4).
 *
 * Theory of operation: the timer is a deadline in host CLOCK_MONOTONIC; counts are computed from it
 * when read. The bus clock is 1 GHz: one tick before the divider is one nanosecond. While the vCPU
 * runs, the event loop's timer raises the interrupt; while it is parked (HLT) its thread sleeps until
 * the deadline by itself and no other thread is woken: lapic_unpark() raises what is due then.
 *
 * A masked timer counts but wakes nobody; its expiry is noticed, and lost, at the next look. So is one whose interrupt
 * is requested already while the vCPU is parked: another request changes nothing (a halt with interrupts off).
 *
 * Short periods are merged (tick.h).
 */
#include "cpu/board_state.h"
#include "machine/lapic_int.h"

#include "base/clock.h"
#include "machine/tick.h"

/* Further than this a TSC deadline is looked at again on the way: conversions stay in range. */
#define TSC_HORIZON_NS (3600 * NSEC_PER_SEC)

static unsigned divisor(const struct lapic *l)
{
	unsigned d = (l->divide & 3) | ((l->divide & 8) >> 1);

	return d == 7 ? 1 : 2u << d;
}

static bool unmasked(const struct lapic *l)
{
	return !(l->lvt[LVT_TIMER] & LVT_MASKED);
}

/* Does its expiry do anything? Vectors below 16 are illegal and requested by nothing (10.8.1). */
static bool heard(const struct lapic *l)
{
	return unmasked(l) && (u8)l->lvt[LVT_TIMER] >= 16;
}

static void raise(struct lapic *l)
{
	if (unmasked(l))
		lapic_accept_locked(l, (u8)l->lvt[LVT_TIMER], false);
}

/* When the guest's TSC reaches tsc_deadline, or the horizon. */
static u64 tsc_to_deadline(struct lapic *l, u64 now_ns)
{
	u64 tsc = cpu_tsc(l->cpu), khz = clock_tsc_khz();

	if (l->tsc_deadline <= tsc)
		return now_ns;
	u64 delta = l->tsc_deadline - tsc;
	if (delta / khz >= TSC_HORIZON_NS / 1000000)
		return now_ns + TSC_HORIZON_NS;
	return now_ns + mul_div(delta, 1000000, khz) + 1;
}

/* period_ns is what the guest asked for, and the timer is due at `at`: apply the limit. */
static u64 limit_period(struct lapic *l, u64 at)
{
	if (lapic_timer_mode(l) != TIMER_PERIODIC)
		return at;
	at = tick_at(at, l->period_ns);
	if (l->period_ns < TICK_MIN_NS)
		l->period_ns = TICK_MERGED_NS;
	return at;
}

void lapic_timer_program_locked(struct lapic *l)
{
	u64 at = heard(l) && !l->parked ? l->deadline_ns : UINT64_MAX;

	loop_timer_arm(&l->timer, at);
}

void lapic_timer_stop_locked(struct lapic *l)
{
	l->deadline_ns = UINT64_MAX;
	l->tsc_deadline = 0;
	l->init_count = 0;
	l->period_ns = 0;
}

void lapic_timer_poll_locked(struct lapic *l)
{
	if (l->deadline_ns == UINT64_MAX)
		return;
	u64 now = clock_mono_ns();
	if (now < l->deadline_ns)
		return;
	switch (lapic_timer_mode(l)) {
	case TIMER_TSC_DEADLINE:
		l->deadline_ns = tsc_to_deadline(l, now);
		if (l->deadline_ns > now)
			return;
		l->deadline_ns = UINT64_MAX;
		l->tsc_deadline = 0;
		break;
	case TIMER_PERIODIC:
		/* Periods nobody could see go by in one. */
		l->deadline_ns += ((now - l->deadline_ns) / l->period_ns + 1) * l->period_ns;
		break;
	default:
		l->deadline_ns = UINT64_MAX;
	}
	raise(l);
}

void lapic_timer_fired(void *opaque)
{
	struct lapic *l = opaque;

	pthread_mutex_lock(&l->lock);
	if (!l->parked) {
		lapic_timer_poll_locked(l);
		lapic_timer_program_locked(l);
	}
	pthread_mutex_unlock(&l->lock);
}

/* Start counting from init_count anew. */
static void restart(struct lapic *l)
{
	if (lapic_timer_mode(l) == TIMER_TSC_DEADLINE)
		return;
	l->period_ns = (u64)l->init_count * divisor(l);
	if (l->init_count == 0) {
		l->deadline_ns = UINT64_MAX;
	} else {
		l->deadline_ns = limit_period(l, clock_mono_ns() + l->period_ns);
	}
	lapic_timer_program_locked(l);
}

void lapic_timer_set_init_locked(struct lapic *l, u32 count)
{
	if (lapic_timer_mode(l) == TIMER_TSC_DEADLINE)
		return; /* ignored in this mode (11.5.4.1) */
	lapic_timer_poll_locked(l);
	l->init_count = count;
	restart(l);
}

void lapic_timer_set_divide_locked(struct lapic *l, u32 divide)
{
	lapic_timer_poll_locked(l);
	u32 left = lapic_timer_count_locked(l);

	l->divide = divide & 0xb;
	if (l->deadline_ns == UINT64_MAX || lapic_timer_mode(l) == TIMER_TSC_DEADLINE)
		return;
	/* What is left to count goes on at the new rate. */
	l->period_ns = (u64)l->init_count * divisor(l);
	l->deadline_ns = limit_period(l, clock_mono_ns() + (u64)left * divisor(l));
	lapic_timer_program_locked(l);
}

void lapic_timer_set_lvt_locked(struct lapic *l, u32 lvt)
{
	enum timer_mode old = lapic_timer_mode(l);

	lapic_timer_poll_locked(l); /* under the old mask */
	l->lvt[LVT_TIMER] = lvt;
	if (old != lapic_timer_mode(l)) {
		if (old == TIMER_TSC_DEADLINE || lapic_timer_mode(l) == TIMER_TSC_DEADLINE)
			lapic_timer_stop_locked(l); /* entering or leaving that mode disarms */
		else if (l->deadline_ns != UINT64_MAX)
			l->deadline_ns = limit_period(l, l->deadline_ns);
	}
	lapic_timer_program_locked(l);
}

void lapic_timer_set_tsc_locked(struct lapic *l, u64 tsc)
{
	if (lapic_timer_mode(l) != TIMER_TSC_DEADLINE)
		return;
	lapic_timer_poll_locked(l);
	l->tsc_deadline = tsc;
	if (tsc == 0) {
		l->deadline_ns = UINT64_MAX;
		lapic_timer_program_locked(l);
		return;
	}
	u64 now = clock_mono_ns();
	l->deadline_ns = tsc_to_deadline(l, now);
	if (l->deadline_ns <= now)
		lapic_timer_poll_locked(l);
	lapic_timer_program_locked(l);
}

u32 lapic_timer_count_locked(struct lapic *l)
{
	if (lapic_timer_mode(l) == TIMER_TSC_DEADLINE)
		return 0;
	lapic_timer_poll_locked(l);
	if (l->deadline_ns == UINT64_MAX)
		return 0;
	u64 now = clock_mono_ns();
	if (now >= l->deadline_ns)
		return 0;
	return (u32)MIN((l->deadline_ns - now) / divisor(l), l->init_count);
}

void lapic_timer_resume_locked(struct lapic *l, const struct lapic_state *st)
{
	u64 now = clock_mono_ns();

	l->init_count = st->timer_init;
	l->divide = st->timer_divide & 0xb;
	l->period_ns = (u64)l->init_count * divisor(l);
	l->deadline_ns = UINT64_MAX;
	if (lapic_timer_mode(l) == TIMER_TSC_DEADLINE) {
		l->init_count = 0;
		l->period_ns = 0;
		l->tsc_deadline = st->tsc_deadline;
		if (l->tsc_deadline && l->cpu)
			l->deadline_ns = tsc_to_deadline(l, now);
	} else if (l->init_count && st->timer_left_ns != BOARD_NEVER) {
		u64 left = MIN(st->timer_left_ns, MAX(l->period_ns, TICK_MERGED_NS));
		l->deadline_ns = limit_period(l, now + left);
	}
	lapic_timer_poll_locked(l);
	lapic_timer_program_locked(l);
}

u64 lapic_park(struct lapics *b, unsigned cpu)
{
	struct lapic *l = &b->l[cpu];
	u64 at = UINT64_MAX;

	pthread_mutex_lock(&l->lock);
	l->parked = true;
	if (heard(l) && l->deadline_ns != UINT64_MAX) {
		u8 vector = (u8)l->lvt[LVT_TIMER];

		loop_timer_lend(&l->timer); /* lapic_unpark() arms it */
		if (!(l->irr[vector / 64] >> (vector % 64) & 1))
			at = l->deadline_ns;
	}
	pthread_mutex_unlock(&l->lock);
	return at;
}

void lapic_unpark(struct lapics *b, unsigned cpu)
{
	struct lapic *l = &b->l[cpu];

	pthread_mutex_lock(&l->lock);
	u64 before = l->deadline_ns;

	l->parked = false;
	lapic_timer_poll_locked(l);
	if (before != UINT64_MAX)
		loop_timer_slept(&l->timer, l->deadline_ns != before);
	if (l->deadline_ns != UINT64_MAX)
		lapic_timer_program_locked(l);
	pthread_mutex_unlock(&l->lock);
}
