/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_halt_poll.c - which halted vCPUs poll, and what it may cost. */
#include "cpu/soft/halt_poll.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define MS 1000000ull

struct guest {
	struct halt_poll p;
	u64 now, switches;
	u64 polls, polled_ns; /* and what they took, in vain */
};

/* A halt that something ends after so long. From poll to poll the thread is switched away so often. */
static void halt(struct guest *g, u64 ns, unsigned switched)
{
	if (!halt_poll_wanted(&g->p, g->now)) {
		g->now += ns;
		halt_poll_slept(&g->p, ns);
		return;
	}
	bool found = ns < HALT_POLL_NS;
	u64 polled = found ? ns : HALT_POLL_NS;
	g->polls++;
	g->polled_ns += polled;
	g->now += polled;
	g->switches += switched;
	halt_poll_ended(&g->p, g->now, found ? HALT_FOUND : HALT_NOTHING);
	if (halt_poll_looks(&g->p, g->now))
		halt_poll_look(&g->p, g->now, g->switches);
	if (!found) {
		g->now += ns - polled;
		halt_poll_slept(&g->p, ns);
	}
}

static void run(struct guest *g, u64 ns)
{
	g->now += ns;
}

static struct guest fresh(void)
{
	return (struct guest){ .now = 5000 * MS, .switches = 17 };
}

static void hand_overs(void **state)
{
	struct guest g = fresh();

	(void)state;
	for (unsigned i = 0; i < HALT_SHORT_RUN; i++) {
		halt(&g, 110000, 0);
		run(&g, 5000);
	}
	assert_int_equal(g.polls, 0);
	/* From now on each. */
	for (unsigned i = 0; i < 10000; i++) {
		halt(&g, 8000, 0);
		run(&g, 5000);
	}
	assert_int_equal(g.polls, 10000);
}

static void idle(void **state)
{
	struct guest g = fresh();

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		halt(&g, i % 3 ? 1 * MS : 30000, 0); /* a tick, and now and then what it woke */
		run(&g, 20000);
	}
	assert_int_equal(g.polls, 0);
}

/* What wakes it always comes soon, but never soon enough: a disk, or a waker that needs this very CPU. */
static void in_vain(void **state)
{
	struct guest g = fresh();
	u64 start = g.now;

	(void)state;
	while (g.now - start < 10000 * MS) {
		halt(&g, 150000, 0);
		run(&g, 10000);
	}
	assert_true(g.polls >= HALT_VAIN_MAX); /* it was tried */
	assert_true(g.polled_ns < (g.now - start) / 500);
}

/* Some polls do not pay for the others. */
static void mostly_in_vain(void **state)
{
	struct guest g = fresh();
	u64 start = g.now;

	(void)state;
	for (unsigned i = 0; g.now - start < 10000 * MS; i++) {
		halt(&g, i % 4 ? 150000 : 10000, 0);
		run(&g, 10000);
	}
	assert_true(g.polled_ns < (g.now - start) / 200);
	/* ... and such that mostly find something go on. */
	g = fresh();
	for (unsigned i = 0; i < 10000; i++)
		halt(&g, i % 4 || i < HALT_SHORT_RUN ? 10000 : 150000, 0);
	assert_true(g.polls > 9900);
}

/* The host has more to run than CPUs. */
static void crowded(void **state)
{
	struct guest g = fresh();
	u64 start = g.now;

	(void)state;
	while (g.now - start < 1000 * MS) {
		halt(&g, 8000, 1);
		run(&g, 5000);
	}
	assert_true(g.polls);
	assert_true(g.polled_ns < (g.now - start) / 50);
	/* One is free again: within one rest. */
	u64 polls = g.polls;
	start = g.now;
	while (g.now - start < 2 * HALT_REST_MAX_NS / MS * MS) {
		halt(&g, 8000, 0);
		run(&g, 5000);
	}
	assert_true(g.polls - polls > HALT_REST_MAX_NS / 2 / 13000);
	/* ... and a single switch now is a short rest. */
	g.switches++;
	while (!g.p.rest_until_ns || g.now >= g.p.rest_until_ns) {
		halt(&g, 8000, 0);
		run(&g, 5000);
	}
	assert_int_equal(g.p.rest_ns, HALT_REST_MIN_NS);
}

/* Switches of long ago, when it did not poll, say nothing. */
static void old_switches(void **state)
{
	struct guest g = fresh();

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		halt(&g, 8000, 0);
		run(&g, 5000);
	}
	g.switches += 100;
	run(&g, 1000 * MS);
	u64 polls = g.polls;
	for (unsigned i = 0; i < 1000; i++) {
		halt(&g, 8000, 0);
		run(&g, 5000);
	}
	assert_int_equal(g.polls - polls, 1000);
}

static void gap(void **state)
{
	struct guest g = fresh();

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		halt(&g, 8000, 0);
	assert_true(halt_poll_wanted(&g.p, g.now));
	halt_poll_ended(&g.p, g.now, HALT_GAP);
	assert_false(halt_poll_wanted(&g.p, g.now));
	assert_false(halt_poll_wanted(&g.p, g.now + HALT_REST_MIN_NS - 1));
	/* Then it has to be seen again that halts are short. */
	run(&g, HALT_REST_MIN_NS);
	assert_false(halt_poll_wanted(&g.p, g.now));
	halt(&g, 8000, 0);
	halt(&g, 8000, 0);
	assert_true(halt_poll_wanted(&g.p, g.now));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hand_overs), cmocka_unit_test(idle),
		cmocka_unit_test(in_vain),    cmocka_unit_test(mostly_in_vain),
		cmocka_unit_test(crowded),    cmocka_unit_test(old_switches),
		cmocka_unit_test(gap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
