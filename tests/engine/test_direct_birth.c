/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_direct_birth.c - runners are made when somebody is let in, not before, and no more than are needed. */
#include "direct_rig.h"
#include "direct_watch.h"

static void made_when_needed(void **state)
{
	need();
	static struct ticker t;
	struct soft_options o = { .direct = SOFT_DIRECT_ON };
	struct rig *r = open_rig_as("mica-v2", 2, &o);
	struct direct *d = &r->soft->direct;

	assert_int_equal(d->n, 4);
	assert_int_equal(children(), 1); /* who makes them */
	assert_false(d->born);
	enter(r, 0, 1, user(u_spin));
	start_ticker(r, &t, 700);
	until_let_in(r, 0);
	assert_true(d->born);
	/* It asked once, and has what it asked for. */
	assert_int_equal(children(), 2);
	assert_true(d->price.thread_ns && d->price.runner_ns);
	while (!stats(r)->starts)
		go(r, 0);
	stop_ticker(&t);
	close_rig(r);
	assert_int_equal(children(), 0);
}

/* For tests of programs that are too short to be let in: they are all there at once. */
static void always(void **state)
{
	need();
	struct rig *r = open_rig("mica-v2", 1, true);

	assert_int_equal(children(), r->soft->direct.n + 1);
	assert_true(r->soft->direct.born);
	close_rig(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(made_when_needed),
		cmocka_unit_test(always),
	};

	rig_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
