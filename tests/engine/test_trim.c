/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_trim.c - what an idle guest's code took is given back (run/trim.h), and the guest does not notice. */
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/jit/jit.h"
#include "cpu/soft/run/trim.h"
#include "direct_rig.h"

#include <sys/mman.h>

/* Resident bytes of [p, p + bytes). */
static size_t resident(const void *p, size_t bytes)
{
	uintptr_t from = (uintptr_t)p & PAGE_MASK;
	size_t n = ((uintptr_t)p + bytes - from + PAGE_BYTES - 1) / PAGE_BYTES, found = 0;
	auto_free unsigned char *v = xcalloc(n, 1);

	assert_int_equal(mincore((void *)from, n * PAGE_BYTES, v), 0);
	for (size_t i = 0; i < n; i++)
		found += v[i] & 1;
	return found * PAGE_BYTES;
}

/* A program that computes; what it computed. */
static struct frame computes(struct rig *r, unsigned space)
{
	struct frame *f = enter(r, 0, space, user(u_mix));

	for (unsigned k = 0; k < 15; k++)
		(&f->r15)[k] = k * 0x123456789abcdefull;
	f->rbp = 3000;
	f = go(r, 0);
	assert_int_equal(f->vec, V_SYSCALL);
	return *f;
}

static void gives_back(void **state)
{
	struct soft_options o = { .direct = SOFT_DIRECT_OFF };
	struct rig *r = open_rig_as("mica-v2", 2, &o);
	struct soft_vm *vm = r->soft;
	struct soft_cpu *c = cpu_of(r, 0);
	struct frame first = computes(r, 1), again;

	for (unsigned round = 0; round < 3; round++) {
		again = computes(r, 1);
		assert_memory_equal(&again, &first, sizeof(first));
		assert_true(cache_bytes(vm) > 64);
		assert_true(jit_bytes(vm) > 0);
		assert_true(resident(vm->cache->arena, cache_bytes(vm)) > 0);
		assert_true(trim_now(c));
		assert_int_equal(vm->trim.times, round + 1);
		assert_int_equal(jit_bytes(vm), 0);
		assert_int_equal(resident(vm->cache->arena, vm->cache->arena_bytes), 0);
	}
	close_rig(r);
}

/* The window has to be over, and little done in it. */
static void when_idle(void **state)
{
	struct rig *r = open_rig("mica-v2", 1, false);
	struct soft_vm *vm = r->soft;
	struct soft_cpu *c = cpu_of(r, 0);
	u64 now = 1000 * NSEC_PER_SEC, worth = 5 * MIB;

	computes(r, 1);
	vm->cache->used += worth; /* as if there were more */
	trim_halted(c, now);
	trim_halted(c, now + 29 * NSEC_PER_SEC);
	assert_int_equal(vm->trim.times, 0);
	vm->trim.spent_ns -= 2 * NSEC_PER_SEC; /* it was busy */
	trim_halted(c, now += 30 * NSEC_PER_SEC);
	assert_int_equal(vm->trim.times, 0);
	trim_halted(c, now += 30 * NSEC_PER_SEC);
	assert_int_equal(vm->trim.times, 1);
	trim_halted(c, now += 30 * NSEC_PER_SEC); /* there is nothing left to give */
	assert_int_equal(vm->trim.times, 1);
	computes(r, 1);
	close_rig(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_back),
		cmocka_unit_test(when_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
