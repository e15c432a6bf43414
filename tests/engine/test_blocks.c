/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_blocks.c - the store of decoded blocks: when the memory of a dead one is used again, and when it must not be. */
#include "../fake_bus.h"
#include "test_engine.h"
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/run/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define AT 0x5040ull

static struct ram *ram;
static struct cpu_vm *vm;
static struct cpu_model *model;
static struct soft_vm *s;
static const struct cpu_bus bus = { FAKE_BUS };

static void start(unsigned ncpus)
{
	struct err e;

	if (ram_new(&ram, 16 * MIB, &e) < 0 || cpu_model_new(&model, "mica-v2", ncpus, &e) < 0 ||
	    test_vm_new(&vm, &bus, ram, model, ncpus, &e) < 0)
		fail_msg("%s", e.msg);
	s = soft_cpu_of(cpu_vm_cpu(vm, 0))->vm;
}

static void end(void)
{
	cpu_vm_free(vm);
	cpu_model_free(model);
	ram_free(ram);
}

/* A block of so many uops, decoded from `bytes` at phys. */
static struct block *add(u64 phys, u64 phys2, unsigned nops, u8 mode)
{
	static _Alignas(16) u8 mem[sizeof(struct block) + 64 * sizeof(struct uop)];
	struct block *made = (struct block *)(void *)mem;

	memset(mem, 0, sizeof(mem));
	made->phys = phys;
	made->phys2 = phys2;
	made->bytes = 16;
	made->nops = (u16)nops;
	made->mode = mode;
	atomic_fetch_or(&s->cache->page_flags[phys >> PAGE_SHIFT], PAGE_CODE);
	atomic_fetch_or(&s->cache->code_chunks[phys >> PAGE_SHIFT], cache_block_chunks(made, phys >> PAGE_SHIFT));
	pthread_mutex_lock(&s->cache->lock);
	struct block *b = cache_add(s, made);
	pthread_mutex_unlock(&s->cache->lock);
	assert_non_null(b);
	assert_false(b->dead);
	return b;
}

static void patched(void **unused)
{
	start(1);
	struct block *b = add(AT, UINT64_MAX, 8, MODE_CODE64), *beside = add(AT + 0x100, UINT64_MAX, 8, MODE_CODE64);
	u64 generation = s->cache->generation;
	size_t used = s->cache->used;
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(cache_invalidate_ram(s, AT + 3, 4), 1);
		assert_true(b->dead);
		assert_ptr_equal(add(AT, UINT64_MAX, 8, MODE_CODE64), b);
		/* Who came from there sees it. */
		assert_int_equal(s->cache->generation, ++generation);
		assert_ptr_equal(cache_find(s->cache, AT, CACHE_ANY_PAGE, MODE_CODE64), b);
	}
	assert_int_equal(s->cache->used, used);
	assert_false(beside->dead);
	/* Once, and never while it lives. */
	assert_ptr_not_equal(add(AT, UINT64_MAX, 8, MODE_CODE64), b);
	/* A shorter one has room, a longer one not. */
	assert_int_equal(cache_invalidate_ram(s, AT + 0x103, 4), 1);
	assert_ptr_not_equal(add(AT + 0x100, UINT64_MAX, 9, MODE_CODE64), beside);
	assert_int_equal(cache_invalidate_ram(s, AT + 0x103, 4), 1);
	b = add(AT + 0x100, UINT64_MAX, 2, MODE_CODE64);
	assert_int_equal(s->cache->generation, ++generation);
	assert_int_equal(b->nops, 2);
	end();
}

static void not_reused(void **unused)
{
	start(1);
	/* Other code there, */
	struct block *b = add(AT, UINT64_MAX, 8, MODE_CODE64);
	cache_invalidate_ram(s, AT, 4);
	assert_ptr_not_equal(add(AT, UINT64_MAX, 8, MODE_CODE32), b);
	/* what translated code was made from, */
	b = add(AT + 0x200, UINT64_MAX, 8, MODE_CODE64);
	b->jit.bytes = 100;
	cache_invalidate_ram(s, AT + 0x200, 4);
	assert_ptr_not_equal(add(AT + 0x200, UINT64_MAX, 8, MODE_CODE64), b);
	/* what is on the list of a second page, */
	b = add(0x6ff8, 0x7000, 8, MODE_CODE64);
	cache_invalidate_ram(s, 0x6ff8, 4);
	assert_ptr_not_equal(add(0x6ff8, 0x7000, 8, MODE_CODE64), b);
	/* and what was there before all was dropped. */
	b = add(AT + 0x300, UINT64_MAX, 8, MODE_CODE64);
	cache_invalidate_ram(s, AT + 0x300, 4);
	cache_reset(s);
	u64 generation = s->cache->generation;
	add(AT + 0x300, UINT64_MAX, 8, MODE_CODE64);
	assert_int_equal(s->cache->generation, generation);
	end();
	/* With two vCPUs the other one may be in it. */
	start(2);
	b = add(AT, UINT64_MAX, 8, MODE_CODE64);
	cache_invalidate_ram(s, AT, 4);
	assert_ptr_not_equal(add(AT, UINT64_MAX, 8, MODE_CODE64), b);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(patched), cmocka_unit_test(not_reused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
