/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tick.h - how often a periodic timer of the board may wake the host.
 *
 * A guest sets its timers as fast as the chips allow (the PIT to 1.2 MHz) and sleeps; each tick is then the host's
 * work, 10 to 50 us of it, and a guest that sleeps shall cost less than 3 % of a core. Kernels tick at 1,000 a second
 * (the RTC's 1,024): a period of TICK_MIN_NS or more is kept, each tick of it. A shorter one is no clock that anybody
 * needs. It ticks at multiples of TICK_MERGED_NS of the host's clock, the same moments for all such timers of all chips
 * and vCPUs, which share the waking. The ticks between merge into one, as they do in hardware for a processor that does
 * not look for so long; the counters that can be read run at the rate that was asked for; who counts ticks falls
 * behind.
 *
 * Ticks that nobody takes (the vCPUs sleep with interrupts off) need no waking at all; as the first of them stays
 * requested, the guest cannot tell. The local APIC's timer and the RTC know; the PIT, whose way to a vCPU is long,
 * doubles its pause up to TICK_UNHEARD_NS for as long as no vCPU takes any interrupt.
 *
 * A tick wakes one thread: while a vCPU sleeps its thread waits for the local APIC's timer by itself, and the first
 * one's for those of the board.
 *
 * A one-shot timer has no such limit: the guest must run to set it again, which is work of its own.
 */
#ifndef MICA_TICK_H
#define MICA_TICK_H

#include "base/base.h"

#define TICK_MIN_NS 800000ull
#define TICK_MERGED_NS 2000000ull
#define TICK_UNHEARD_NS 20000000ull

/* When a timer of this period that is due at `at` (CLOCK_MONOTONIC) ticks. */
static inline u64 tick_at(u64 at, u64 period_ns)
{
	return period_ns < TICK_MIN_NS ? ROUND_UP(at, TICK_MERGED_NS) : at;
}

#endif
