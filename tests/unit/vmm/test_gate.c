/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_gate.c - several wishes at a time: every pair of them, in both orders, before and while one is acted upon. */
#include "vmm/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct gate gate;
static unsigned posted, stopped;

static void post(void *opaque)
{
	posted++;
}

static void stop(void *opaque)
{
	stopped++;
}

static const struct gate_ops ops = { .post = post, .stop = stop };

/* Two vCPUs, running. */
static int up(void **state)
{
	posted = stopped = 0;
	gate_init(&gate, &ops, 2);
	gate_go(&gate);
	assert_string_equal(gate_name(&gate), "running");
	return 0;
}

static int down(void **state)
{
	gate_fini(&gate);
	return 0;
}

static void again(void)
{
	down(NULL);
	up(NULL);
}

/* All vCPUs stand still: what is done then. */
static struct gate_wishes take(void)
{
	gate.nparked = gate.ncpus; /* as gate_pass() leaves it, without threads */
	if (!gate.posted) {        /* the last one to park does that */
		gate.posted = true;
		posted++;
	}
	return gate_take(&gate);
}

#define Q VM_QUIT
#define P VM_POWEROFF
#define R VM_RESET
#define T VM_TRIPLE_FAULT
#define D VM_DEBUG_EXIT
#define E VM_ENGINE_FAILED
static const enum vm_ask all[] = { P, R, T, D, E, Q };
/* winner[first][second], in the order of all[] */
static const enum vm_ask winner[6][6] = {
	{ P, P, P, P, E, P }, /* powered off: a person who quits gets what he wants */
	{ R, R, R, R, E, Q }, /* reset: the same machine cannot power off any more */
	{ T, T, T, T, E, Q }, { D, D, D, D, E, D }, { E, E, E, E, E, E }, { Q, Q, Q, Q, E, Q },
};

static void test_pairs(void **state)
{
	for (unsigned i = 0; i < 6; i++) {
		for (unsigned k = 0; k < 6; k++) {
			again();
			gate_ask(&gate, all[i], 10 + i);
			assert_string_equal(gate_name(&gate), "stopping");
			gate_ask(&gate, all[k], 20 + k);
			assert_int_equal(stopped, 2);
			assert_int_equal(posted, 0); /* a vCPU still runs */
			struct gate_wishes w = take();
			assert_int_equal(w.ask, winner[i][k]);
			assert_int_equal(w.value, all[i] == winner[i][k] ? 10 + i : 20 + k);
			assert_false(w.save || w.button);
		}
	}
}

/* While the first is acted upon, the second comes: from outside it is not lost, from the machine that was reset it is.
 */
static void test_pairs_in_act(void **state)
{
	for (unsigned i = 0; i < 6; i++) {
		for (unsigned k = 0; k < 6; k++) {
			bool resets = all[i] == R || all[i] == T, outside = all[k] == Q || all[k] == E;

			again();
			gate_ask(&gate, all[i], 0);
			assert_int_equal(take().ask, all[i]);
			gate_ask(&gate, all[k], 7);
			assert_int_equal(posted, 1); /* one act() at a time */
			gate_acted(&gate, resets);
			if (resets && !outside) {
				assert_int_equal(posted, 1);
				assert_string_equal(gate_name(&gate), "running");
				continue;
			}
			assert_int_equal(posted, 2);
			assert_string_equal(gate_name(&gate), "stopping");
			struct gate_wishes w = gate_take(&gate);
			assert_int_equal(w.ask, all[k]);
			assert_int_equal(w.value, 7);
		}
	}
}

/* A pause comes after what else is wished, and is gone with a machine that was reset. */
static void test_pause(void **state)
{
	gate_pause(&gate);
	assert_int_equal(stopped, 1);
	gate_ask(&gate, P, 0);
	struct gate_wishes w = take();
	assert_true(w.pause);
	assert_int_equal(w.ask, P);
	gate_hold(&gate);
	gate_acted(&gate, false);
	assert_string_equal(gate_name(&gate), "paused");
	gate_pause(&gate); /* it is */
	assert_false(gate.wished.pause);
	gate_release(&gate);
	assert_string_equal(gate_name(&gate), "running");
	again();
	gate_ask(&gate, R, 0);
	assert_false(take().pause);
	gate_pause(&gate);
	gate_acted(&gate, true);
	assert_string_equal(gate_name(&gate), "running");
}

/* A save goes with any of them, whichever comes first. */
static void test_pairs_with_save(void **state)
{
	for (unsigned i = 0; i < 12; i++) {
		again();
		if (i % 2)
			gate_ask(&gate, all[i / 2], 3);
		assert_true(gate_save(&gate));
		assert_false(gate_save(&gate));
		if (i % 2 == 0)
			gate_ask(&gate, all[i / 2], 3);
		struct gate_wishes w = take();
		assert_int_equal(w.ask, all[i / 2]);
		assert_int_equal(w.value, 3);
		assert_true(w.save);
		gate_hold(&gate);
		gate_acted(&gate, all[i / 2] == R || all[i / 2] == T);
		assert_string_equal(gate_name(&gate), "paused");
		assert_int_equal(posted, 1);
		gate_release(&gate);
		assert_string_equal(gate_name(&gate), "running");
	}
}

/* A VM that is held (paused) does what is wished, and stays held if it goes on. */
static void test_pairs_with_held(void **state)
{
	for (unsigned i = 0; i < 6; i++) {
		again();
		assert_true(gate_save(&gate));
		assert_true(take().save);
		gate_hold(&gate);
		gate_acted(&gate, false);
		assert_true(gate_held(&gate));
		assert_false(gate_save(&gate));
		gate_ask(&gate, all[i], 9);
		assert_int_equal(posted, 2);
		gate_release(&gate); /* what is wished comes first */
		assert_string_equal(gate_name(&gate), "stopping");
		struct gate_wishes w = gate_take(&gate);
		assert_int_equal(w.ask, all[i]);
		assert_int_equal(w.value, 9);
		if (all[i] == R || all[i] == T) {
			gate_acted(&gate, true);
			assert_string_equal(gate_name(&gate), "running");
		} else {
			gate_leave(&gate);
			gate_acted(&gate, false);
			assert_string_equal(gate_name(&gate), "ended");
			assert_false(gate_save(&gate));
		}
	}
}

/* Released by who had it saved before act() is over (its client is gone): it runs. */
static void test_release_in_act(void **state)
{
	assert_true(gate_save(&gate));
	assert_true(take().save);
	gate_hold(&gate);
	gate_release(&gate);
	assert_string_equal(gate_name(&gate), "stopping");
	gate_acted(&gate, false);
	assert_string_equal(gate_name(&gate), "running");
}

/* The button works at once but for a machine that is about to be reset. */
static void test_pairs_with_button(void **state)
{
	assert_true(gate_button(&gate));
	for (unsigned i = 0; i < 6; i++) {
		bool resets = all[i] == R || all[i] == T;

		again();
		assert_true(gate_button(&gate));
		gate_ask(&gate, all[i], 0);
		assert_int_equal(gate_button(&gate), !resets);
		struct gate_wishes w = take();
		assert_int_equal(w.ask, all[i]);
		assert_int_equal(w.button, resets);
		gate_acted(&gate, resets);
		assert_true(gate_button(&gate));
	}
}

static unsigned errands;

static void errand(void *opaque)
{
	__atomic_add_fetch(&errands, 1, __ATOMIC_SEQ_CST);
}

/* With threads: the last vCPU to park has act() posted, and only it. */
static void *vcpu(void *opaque)
{
	while (gate_pass(&gate, (unsigned)(uintptr_t)opaque))
		usleep(200);
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t t[2];

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, vcpu, (void *)(uintptr_t)i), 0);
	for (unsigned n = 1; n <= 200; n++) {
		gate_ask(&gate, T, 0);
		gate_ask(&gate, Q, 42);
		gate_wait_parked(&gate);
		assert_int_equal(__atomic_load_n(&posted, __ATOMIC_SEQ_CST), n);
		struct gate_wishes w = gate_take(&gate);
		assert_int_equal(w.ask, Q);
		assert_int_equal(w.value, 42);
		gate_acted(&gate, false);
		assert_string_equal(gate_name(&gate), "running");
	}
	gate_ask(&gate, R, 0);
	gate_wait_parked(&gate);
	assert_int_equal(gate_take(&gate).ask, R);
	gate_errand(&gate, errand);
	while (!__atomic_load_n(&errands, __ATOMIC_SEQ_CST))
		usleep(200);
	gate_acted(&gate, true);
	gate_leave(&gate);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(gate.nparked, 0);
	assert_int_equal(errands, 1);
}

/* While a reset is under way: what ends the VM whatever the guest does overtakes it, and a button waits for its end. */
static void test_overtaking(void **state)
{
	for (unsigned k = 0; k < 6; k++) {
		bool outside = all[k] == Q || all[k] == E;

		again();
		gate_ask(&gate, R, 0);
		assert_int_equal(take().ask, R);
		gate_errand(&gate, errand);
		assert_false(gate_must_end(&gate));
		gate_ask(&gate, all[k], 5);
		assert_int_equal(gate_must_end(&gate), outside);
		struct gate_wishes w = gate_take_end(&gate);
		assert_int_equal(w.ask, outside ? all[k] : VM_NOTHING);
		assert_int_equal(w.value, outside ? 5 : 0);
		assert_int_equal(gate_take_end(&gate).ask, VM_NOTHING);
		assert_false(gate_button(&gate));
		gate_acted(&gate, true);
		assert_int_equal(posted, 2);
		w = take();
		assert_int_equal(w.ask, VM_NOTHING);
		assert_true(w.button);
		gate_acted(&gate, false);
		assert_true(gate_button(&gate));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pairs, up, down),
		cmocka_unit_test_setup_teardown(test_pairs_in_act, up, down),
		cmocka_unit_test_setup_teardown(test_pause, up, down),
		cmocka_unit_test_setup_teardown(test_pairs_with_save, up, down),
		cmocka_unit_test_setup_teardown(test_pairs_with_held, up, down),
		cmocka_unit_test_setup_teardown(test_release_in_act, up, down),
		cmocka_unit_test_setup_teardown(test_pairs_with_button, up, down),
		cmocka_unit_test_setup_teardown(test_threads, up, down),
		cmocka_unit_test_setup_teardown(test_overtaking, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
