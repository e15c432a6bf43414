/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_blocks.c - the store of decoded blocks: when the memory of a dead one is used again, and when it must not be. */
#include "../fake_bus.h"
#include "test_engine.h"
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/hooks.h"
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
static struct block *add_bytes(u64 phys, u64 phys2, unsigned nops, u8 mode, u16 bytes)
{
	static _Alignas(16) u8 mem[sizeof(struct block) + 64 * sizeof(struct uop)];
	struct block *made = (struct block *)(void *)mem;

	memset(mem, 0, sizeof(mem));
	made->phys = phys;
	made->phys2 = phys2;
	made->bytes = bytes;
	made->nops = (u16)nops;
	made->mode = mode;
	atomic_fetch_or(&s->cache->page_flags[phys >> PAGE_SHIFT], PAGE_CODE);
	atomic_fetch_or(&s->cache->code_chunks[phys >> PAGE_SHIFT], cache_block_chunks(made, phys >> PAGE_SHIFT));
	if (phys2 != UINT64_MAX)
		atomic_fetch_or(&s->cache->code_chunks[phys2 >> PAGE_SHIFT],
				cache_block_chunks(made, phys2 >> PAGE_SHIFT));
	pthread_mutex_lock(&s->cache->lock);
	struct block *b = cache_add(s, made);
	pthread_mutex_unlock(&s->cache->lock);
	assert_non_null(b);
	assert_false(b->dead);
	return b;
}

static struct block *add(u64 phys, u64 phys2, unsigned nops, u8 mode)
{
	return add_bytes(phys, phys2, nops, mode, 16);
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

static void nothing(struct soft_vm *of, struct block *b)
{
	(void)of;
	(void)b;
}

/* Blocks of all lengths all over two pages, some reaching from one into the other; writes; who must have died. */
static void whom_a_write_kills(void **unused)
{
	enum { N = 200, PAGE = 0x9000 };
	static struct block *b[N];
	u64 x = 1;

	start(1);
	struct soft_hooks hooks = *s->hooks;
	hooks.killed = nothing; /* none is translated really */
	s->hooks = &hooks;
	atomic_fetch_or(&s->cache->page_flags[(PAGE >> PAGE_SHIFT) + 1], PAGE_CODE);
	for (unsigned round = 0; round < 3000; round++) {
		x = x * 6364136223846793005 + 1442695040888963407;
		unsigned k = (unsigned)(x >> 33) % N;
		u64 off = (x >> 45) % PAGE_BYTES, n = 1 + (x >> 20) % (round % 3 ? 16 : 300);
		if (!b[k] || b[k]->dead) {
			bool over = off + n > PAGE_BYTES;
			b[k] = add_bytes(PAGE + off, over ? PAGE + PAGE_BYTES : UINT64_MAX, 8, MODE_CODE64, (u16)n);
			if (!over && k % 4 == 0) {
				/* Its translation has looked elsewhere on the page. */
				b[k]->jit.bytes = 1;
				b[k]->jit.far = (u8 *)b;
				b[k]->jit.peek_lo = (u16)((x >> 10) % 4000);
				b[k]->jit.peek_hi = (u16)(b[k]->jit.peek_lo + 40);
				atomic_fetch_or(&s->cache->code_chunks[PAGE >> PAGE_SHIFT],
						cache_chunks(b[k]->jit.peek_lo, 40));
				cache_reaches(s, b[k]);
			}
			continue;
		}
		u64 at = PAGE + off + (round % 5 ? 0 : PAGE_BYTES);
		n = MIN(n, PAGE_BYTES - (at & ~PAGE_MASK));
		bool alive[N], hit[N];
		for (unsigned i = 0; i < N; i++) {
			alive[i] = b[i] && !b[i]->dead;
			hit[i] = alive[i] && cache_overlaps(b[i], at, n);
		}
		cache_invalidate_ram(s, at, n);
		for (unsigned i = 0; i < N; i++)
			if (alive[i])
				assert_int_equal(b[i]->dead, hit[i]);
		u64 need[2] = { 0 };
		for (unsigned i = 0; i < N; i++)
			for (unsigned p = 0; p < 2 && b[i] && !b[i]->dead; p++)
				need[p] |= cache_block_chunks(b[i], (PAGE >> PAGE_SHIFT) + p);
		for (unsigned p = 0; p < 2; p++) {
			u64 page = (PAGE >> PAGE_SHIFT) + p;
			assert_int_equal(need[p] & ~atomic_load(&s->cache->code_chunks[page]), 0);
			if (need[p])
				assert_true(s->cache->page_flags[page] & PAGE_CODE);
			atomic_fetch_or(&s->cache->page_flags[page], PAGE_CODE);
		}
	}
	/* In the end nothing is left, and the page is free. */
	cache_invalidate_ram(s, PAGE, PAGE_BYTES);
	assert_int_equal(atomic_load(&s->cache->code_chunks[PAGE >> PAGE_SHIFT]), 0);
	assert_false(s->cache->page_flags[PAGE >> PAGE_SHIFT] & PAGE_CODE);
	for (unsigned i = 0; i < N; i++)
		assert_true(!b[i] || b[i]->dead || b[i]->phys > PAGE + PAGE_BYTES);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(patched), cmocka_unit_test(not_reused),
					    cmocka_unit_test(whom_a_write_kills) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
