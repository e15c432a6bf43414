/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_loop.c - the event loop's turns: nobody who comes back at once keeps the others waiting, and what is measured.
 */
#include "base/clock.h"
#include "base/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <sys/eventfd.h>

static struct loop *L;
static struct loop_timer greedy, other;
static struct loop_fd watched;
static unsigned greedy_fired, others;

static int setup(void **state)
{
	(void)state;
	greedy_fired = others = 0;
	return loop_new(&L, NULL);
}
static int teardown(void **state)
{
	(void)state;
	loop_timer_fini(&greedy);
	loop_timer_fini(&other);
	loop_free(L);
	return 0;
}

static void on_greedy(void *opaque)
{
	(void)opaque;
	must(++greedy_fired < 100000);
	loop_timer_arm(&greedy, 0);
}
static void on_stop(void *opaque)
{
	(void)opaque;
	loop_stop(L);
}
static void on_readable(void *opaque, u32 events)
{
	(void)opaque;
	(void)events;
	others++;
	loop_stop(L);
}

/* A timer that is due again as soon as it has fired. */
static void test_timer(void **state)
{
	(void)state;
	loop_timer_init(L, &greedy, on_greedy, NULL);
	int fd = eventfd(1, EFD_CLOEXEC);
	assert_int_equal(loop_add(L, &watched, fd, EPOLLIN, on_readable, NULL), 0);
	loop_timer_arm(&greedy, 0);
	loop_run(L);
	assert_int_equal(others, 1);
	assert_in_range(greedy_fired, 0, 2);
	loop_del(L, &watched);
	close(fd);
	/* Another timer, due later, has its turn as well. */
	loop_timer_init(L, &other, on_stop, NULL);
	loop_timer_arm(&other, clock_mono_ns() + 2000000);
	greedy_fired = 0;
	loop_run(L);
	assert_true(greedy_fired > 1);
	/* One that is armed for later while timers are called fires then. */
	loop_timer_disarm(&greedy);
	u64 at = clock_mono_ns() + 3000000;
	loop_timer_arm(&other, at);
	loop_run(L);
	assert_true(clock_mono_ns() >= at);
}

static void on_other(void *opaque)
{
	(void)opaque;
	others++;
}

/* Who sleeps until a timer's deadline by itself has it called, and the loop does not wake. */
static void test_lent(void **state)
{
	(void)state;
	loop_timer_init(L, &greedy, on_stop, NULL);
	loop_timer_init(L, &other, on_other, NULL);
	assert_true(loop_timer_lend(&other) == UINT64_MAX);
	loop_timer_back(&other);
	assert_int_equal(others, 0);

	u64 at = clock_mono_ns() + 2000000;
	struct loop_stats before, after;
	loop_timer_arm(&other, at);
	assert_true(loop_timer_lend(&other) == at);
	loop_timer_arm(&greedy, at + 2000000);
	loop_get_stats(L, &before);
	loop_run(L);
	loop_get_stats(L, &after);
	assert_int_equal(after.turns - before.turns, 1);
	assert_int_equal(others, 0);
	loop_timer_back(&other);
	assert_int_equal(others, 1);
	loop_timer_back(&other);
	assert_int_equal(others, 1);

	/* Not due yet: the loop's again. */
	at = clock_mono_ns() + 2000000;
	loop_timer_arm(&other, at);
	loop_timer_lend(&other);
	loop_timer_back(&other);
	loop_timer_arm(&greedy, at + 1);
	loop_run(L);
	assert_int_equal(others, 2);

	/* That sleep ended early: the alarm stays set for the next one, and rings in vain. */
	at = clock_mono_ns() + 2000000;
	loop_timer_arm(&other, at);
	loop_timer_lend(&other);
	loop_timer_back(&other);
	loop_timer_lend(&other);
	loop_timer_arm(&greedy, at + 2000000);
	loop_get_stats(L, &before);
	loop_run(L);
	loop_get_stats(L, &after);
	assert_true(after.turns - before.turns > 1);
	assert_int_equal(others, 2);
	loop_timer_back(&other);
	assert_int_equal(others, 3);
	others = 2;

	/* Armed by another meanwhile. */
	loop_timer_arm(&other, clock_mono_ns() + 1000000);
	loop_timer_lend(&other);
	at = clock_mono_ns() + 2000000;
	loop_timer_arm(&other, at);
	loop_timer_arm(&greedy, at + 1);
	loop_run(L);
	assert_int_equal(others, 3);
	loop_timer_back(&other);
	assert_int_equal(others, 3);
}

static void on_post(void *opaque)
{
	(void)opaque;
	must(++greedy_fired < 100000);
	loop_post(L, on_post, NULL);
}

/* A posted call that posts itself. */
static void test_post(void **state)
{
	(void)state;
	int fd = eventfd(1, EFD_CLOEXEC);
	assert_int_equal(loop_add(L, &watched, fd, EPOLLIN, on_readable, NULL), 0);
	loop_post(L, on_post, NULL);
	loop_run(L);
	assert_int_equal(others, 1);
	assert_in_range(greedy_fired, 0, 2);
	loop_del(L, &watched);
	close(fd);
}

static u64 spin(u64 until)
{
	u64 now;

	while ((now = clock_mono_ns()) < until)
		;
	return now;
}

static u64 first_ns, later_ns;
static void on_work(void *opaque)
{
	u64 now = clock_mono_ns();

	(void)opaque;
	first_ns = loop_until() - now;
	now = spin(now + 2 * LOOP_TURN_NS); /* who does not keep to it takes it from who comes after */
	later_ns = loop_until() - now;
	loop_waited(123000);
	loop_stop(L);
}

static void test_slices_and_stats(void **state)
{
	struct loop_stats s;
	u64 now = clock_mono_ns();

	(void)state;
	assert_in_range(loop_until(), now + LOOP_VISIT_NS, now + LOOP_VISIT_NS + NSEC_PER_SEC);
	loop_waited(NSEC_PER_SEC); /* of no loop's thread */
	loop_timer_init(L, &other, on_work, NULL);
	loop_timer_arm(&other, 0);
	loop_run(L);
	loop_get_stats(L, &s);
	assert_true(first_ns >= LOOP_LEAST_NS);
	assert_true(later_ns >= LOOP_LEAST_NS && later_ns < LOOP_VISIT_NS);
	assert_int_equal(s.turns, 1);
	assert_true(s.longest_ns >= 2 * LOOP_TURN_NS);
	assert_true(s.longest_cpu_ns > 0 &&
		    s.longest_cpu_ns <= s.longest_ns - 123000); /* it took no CPU time to wait */
	assert_int_equal(s.longest_wait_ns, 123000);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_timer), T(test_lent), T(test_post), T(test_slices_and_stats) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
