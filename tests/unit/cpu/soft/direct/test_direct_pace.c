/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_direct_pace.c - the policy of a runner's stops over traces of them: who is sent back, how much it has cost until
 * then, and who is not.
 */
#include "cpu/soft/direct/direct_pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const struct direct_price near = { 5000, 6000 }, far = { 18000, 20000 };

/* What a program does between two stops of its runner. */
struct step {
	u64 compute_ns, overhead_ns; /* of the runner: its own work, and what the stop takes */
	u64 thread_ns;
	enum pace_why why;
	bool leaves; /* translated code is next, for translated_ns of the thread */
	u64 translated_ns;
};

struct trace {
	struct direct_pace p;
	const struct direct_price *price;
	u64 runner_ns, thread_ns, overhead_ns;
};

static void begin(struct trace *t, const struct direct_price *price)
{
	*t = (struct trace){ .price = price, .runner_ns = 123456, .thread_ns = 777 };
	pace_begin(&t->p);
	pace_enter(&t->p);
}

/* So many steps, until it is sent back: then true. */
static bool goes(struct trace *t, struct step s, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		t->runner_ns += s.compute_ns + s.overhead_ns;
		t->thread_ns += s.thread_ns;
		t->overhead_ns += s.overhead_ns + s.thread_ns;
		if (s.leaves) {
			if (t->p.staying)
				pace_leave(&t->p, t->thread_ns);
			t->thread_ns += s.translated_ns;
			pace_enter(&t->p);
		} else if (pace_stop(&t->p, s.why) && pace_look(&t->p, t->price, t->runner_ns, t->thread_ns)) {
			return true;
		}
	}
	return false;
}

/* What a stop that changes a mapping really takes, by the bare stop's price. */
static struct step stop(const struct direct_price *k, u64 compute_ns)
{
	struct step s = { .compute_ns = compute_ns, .why = PACE_CHANGED };

	s.overhead_ns = 14 * k->runner_ns;
	s.thread_ns = 2 * k->thread_ns;
	return s;
}

static void patching(void **state)
{
	const struct direct_price *const prices[] = { &near, &far };

	for (unsigned i = 0; i < 2; i++) {
		struct trace t;
		begin(&t, prices[i]);
		assert_true(goes(&t, stop(prices[i], 100), 100000));
		/* The loss is bounded, and it was tried: not less than it may cost. */
		assert_true(t.overhead_ns < 2 * PACE_OWED_MAX_NS);
		assert_true(t.overhead_ns > PACE_OWED_MAX_NS / 3);
	}
}

/* Interrupts in between: each ends the stay, and what is owed is not forgotten, however short the stays are. */
static void patching_under_ticks(void **state)
{
	static const unsigned lengths[] = { 1, 2, 5, 40 };

	for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
		struct trace t;
		unsigned n = 0;
		begin(&t, &far);
		while (!goes(&t, stop(&far, 100), lengths[i])) {
			assert_true(++n * lengths[i] < 400);
			goes(&t, (struct step){ .leaves = true, .translated_ns = 50000 }, 1);
		}
		assert_true(t.overhead_ns < 3 * PACE_OWED_MAX_NS);
	}
}

static void computing(void **state)
{
	struct trace t;

	/* Far apart: for ever. */
	begin(&t, &far);
	assert_false(goes(&t, stop(&far, 2000000), 20000));
	assert_int_equal(t.p.owed_ns, 0);
	/* The translated code of its other stays is no service to the runner. */
	begin(&t, &near);
	for (unsigned i = 0; i < 2000; i++) {
		assert_false(goes(&t, stop(&near, 400000), 2));
		goes(&t, (struct step){ .compute_ns = 300000, .leaves = true, .translated_ns = 9000000 }, 1);
	}
	/* A short storm in between is paid for. */
	begin(&t, &far);
	for (unsigned i = 0; i < 50; i++) {
		assert_false(goes(&t, stop(&far, 100), 10));
		assert_false(goes(&t, stop(&far, 4000000), 10));
	}
}

/* It walks through memory that it has and the runner has not yet: each stop brings many pages. */
static void first_touch(void **state)
{
	struct step s = stop(&far, 1000);
	struct trace t;

	s.why = PACE_GREW;
	s.thread_ns = 300000;
	begin(&t, &far);
	assert_false(goes(&t, s, 2000));
	/* When all are there, and it still stops all the time, that is another thing. */
	assert_true(goes(&t, stop(&far, 100), 300));
}

/* It pays where the host stops cheaply, and not where that is dear. */
static void by_price(void **state)
{
	struct trace t;

	begin(&t, &near);
	assert_false(goes(&t, stop(&near, 300000), 20000));
	begin(&t, &far);
	assert_true(goes(&t, stop(&far, 300000), 20000));
	/* Reading the time is cheaper than changing a mapping. */
	struct step s = { .compute_ns = 300000, .overhead_ns = 3 * far.runner_ns, .thread_ns = far.thread_ns };
	begin(&t, &far);
	assert_false(goes(&t, s, 20000));
	s.compute_ns = 1000;
	assert_true(goes(&t, s, 200));
	assert_true(pace_entry_ns(&near) < pace_entry_ns(&far));
	assert_true(pace_far_ns(&near) < pace_far_ns(&far));
	assert_true(pace_far_ns(&far) > pace_stop_ns(&far));
	/* A measurement that went wrong does not shut everybody out. */
	static const struct direct_price wrong = { 90000000, 90000000 };
	assert_true(pace_entry_ns(&wrong) <= 1000000);
	assert_true(pace_far_ns(&wrong) <= 2000000);
}

/* Clocks that say nothing (its process is dead: 0) and prices of 0. */
static void nonsense(void **state)
{
	static const struct direct_price none;
	struct direct_pace p;

	pace_begin(&p);
	pace_enter(&p);
	for (unsigned i = 0; i < 1000; i++)
		if (pace_stop(&p, (enum pace_why)(i % 3)))
			assert_false(pace_look(&p, &none, i & 2 ? 0 : 1000 + i, 500 - i % 500));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patching),  cmocka_unit_test(patching_under_ticks),
		cmocka_unit_test(computing), cmocka_unit_test(first_touch),
		cmocka_unit_test(by_price),  cmocka_unit_test(nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
