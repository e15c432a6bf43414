/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * halt.c - a halted vCPU waits: it looks for what wakes it for a moment, where that pays (halt_poll.h), then its thread
 * sleeps.
 *
 * Whoever wants it sets c->pending, then looks at c->sleeping, and wakes the thread where that is set (vcpu.c). So a
 * vCPU that polls costs its waker no system call, and nobody's timers change hands (park()).
 */
#include "cpu/soft/run/halt.h"

#include "base/clock.h"
#include "cpu/soft/run/trim.h"

#include <linux/futex.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOKS 8u /* at c->pending, from one look at the clock to the next */

static bool awake(struct soft_cpu *c)
{
	u32 p = atomic_load(&c->pending);

	if (p & (PEND_STOP | PEND_INIT))
		return true;
	if (c->wait_sipi)
		return p & PEND_SIPI;
	if ((p & PEND_NMI) && !c->nmi_masked)
		return true;
	return (p & PEND_KICK) || (atomic_load(&c->intr_line) && (c->sysflags & FL_IF));
}

static u64 involuntary_switches(void)
{
	struct rusage r = { 0 };

	getrusage(RUSAGE_THREAD, &r);
	return (u64)r.ru_nivcsw;
}

/* True: it is awake. */
static bool poll_halted(struct soft_cpu *c, u64 start_ns)
{
	u64 last = start_ns, now;
	bool found = false, gap = false;

	c->st.polls++;
	do {
		for (unsigned i = 0; i < LOOKS && !found; i++) {
			__builtin_ia32_pause();
			found = awake(c);
		}
		now = clock_mono_ns();
		gap = now - last >= HALT_GAP_NS;
		last = now;
	} while (!found && !gap && now - start_ns < HALT_POLL_NS);
	c->st.polls_found += found;
	halt_poll_ended(&c->halt_poll, now, gap ? HALT_GAP : found ? HALT_FOUND : HALT_NOTHING);
	if (halt_poll_looks(&c->halt_poll, now))
		halt_poll_look(&c->halt_poll, now, involuntary_switches());
	return found;
}

static void sleep_halted(struct soft_cpu *c)
{
	u64 deadline = c->bus->park(c->bus->opaque, c->index);
	atomic_store(&c->sleeping, true);
	while (!awake(c)) {
		u32 seq = atomic_load(&c->wake_seq);
		struct timespec ts, *tsp = NULL;
		if (awake(c))
			break;
		if (deadline != UINT64_MAX) {
			if (clock_mono_ns() >= deadline)
				break;
			ts.tv_sec = (time_t)(deadline / NSEC_PER_SEC);
			ts.tv_nsec = (long)(deadline % NSEC_PER_SEC);
			tsp = &ts;
		}
		/* WAIT_BITSET takes an absolute CLOCK_MONOTONIC time. */
		syscall(SYS_futex, &c->wake_seq, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, seq, tsp, NULL,
			FUTEX_BITSET_MATCH_ANY);
	}
	atomic_store(&c->sleeping, false);
	c->bus->unpark(c->bus->opaque, c->index);
}

void halt_wait(struct soft_cpu *c)
{
	u64 start = clock_mono_ns(), end;

	c->st.halts++;
	c->st.idle_since_ns = start;
	trim_halted(c, start);
	if (halt_poll_wanted(&c->halt_poll, start) && poll_halted(c, start)) {
		end = clock_mono_ns();
	} else {
		sleep_halted(c);
		end = clock_mono_ns();
		halt_poll_slept(&c->halt_poll, end - start);
	}
	c->st.idle_ns += end - start;
	c->st.idle_since_ns = 0;
}
