// SPDX-License-Identifier: GPL-2.0-or-later
// Loads and stores: the C library's bulk functions, the string instructions, dependent loads, plain loops.
#include <string.h>
#include <sys/mman.h>
#include "work.h"

#define LARGE (4u << 20)
#define SECOND (LARGE + 37 * 4096) // not a power of two away, which tables indexed by address bits would trip over
#define FAR (8u << 20)             // this is: all buffers share one entry of a direct-mapped table
#define FAR_BUFFERS 6
#define FAR_BYTES 8192
#define L1_BYTES (16u << 10)
#define RAM_BYTES (64u << 20)

static uint8_t *arena;

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(p != MAP_FAILED, "mmap");
	return p;
}

static void touch(uint8_t *p, size_t bytes)
{
	uint64_t state = 5;

	for (size_t i = 0; i < bytes; i += 64)
		p[i] = (uint8_t)next_random(&state);
}

static void two_buffers(void)
{
	arena = map(SECOND + LARGE);
	touch(arena, SECOND + LARGE);
}

static uint64_t memcpy_small(uint64_t n)
{
	uint64_t state = 3;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t r = next_random(&state);
		memcpy(arena + SECOND + (r >> 8 & 0x3fff), arena + (r >> 24 & 0x3fff), 1 + (r & 255));
		COMPILER_BARRIER();
	}
	return mix_bytes(0, arena + SECOND, 0x4000);
}

static uint64_t memcpy_large(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		memcpy(arena + SECOND, arena + i % 64, LARGE - 64);
		COMPILER_BARRIER();
	}
	return mix_bytes(0, arena + SECOND, 0x4000);
}

static uint64_t memset_small(uint64_t n)
{
	uint64_t state = 3;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t r = next_random(&state);
		memset(arena + (r >> 8 & 0x3fff), (int)(r >> 32 & 255), 1 + (r & 255));
		COMPILER_BARRIER();
	}
	return mix_bytes(0, arena, 0x4000);
}

static uint64_t memset_large(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		memset(arena, (int)i & 255, LARGE);
		COMPILER_BARRIER();
	}
	return mix_bytes(0, arena, 0x4000);
}

static uint64_t rep_movsb(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		void *to = arena + SECOND, *from = arena + i % 64;
		size_t count = 64u << 10;
		__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	}
	return mix_bytes(0, arena + SECOND, 0x4000);
}

// As wide as registers are.
static uint64_t rep_stosq(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		void *to = arena;
		size_t count = (64u << 10) / sizeof(size_t), value = (size_t)(uint8_t)i * (SIZE_MAX / 255);
#ifdef __x86_64__
		__asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(value) : "memory");
#else
		__asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(value) : "memory");
#endif
	}
	return mix_bytes(0, arena, 0x4000);
}

// A random cycle through all cache lines of so many bytes (Sattolo's shuffle).
static void make_chase(size_t bytes)
{
	size_t lines = bytes / 64;
	uint32_t *order = map(lines * sizeof *order);
	uint64_t state = 11;

	arena = map(bytes);
	for (size_t i = 0; i < lines; i++)
		order[i] = (uint32_t)i;
	for (size_t i = lines - 1; i > 0; i--) {
		size_t j = (next_random(&state) >> 16) % i;
		uint32_t t = order[i];
		order[i] = order[j];
		order[j] = t;
	}
	for (size_t i = 0; i < lines; i++)
		*(void **)(arena + (size_t)order[i] * 64) = arena + (size_t)order[(i + 1) % lines] * 64;
	munmap(order, lines * sizeof *order);
}

static void chase_l1_setup(void)
{
	make_chase(L1_BYTES);
}

static void chase_ram_setup(void)
{
	make_chase(RAM_BYTES);
}

static uint64_t chase(uint64_t n)
{
	void **p = (void **)arena;

	for (uint64_t i = 0; i < n; i++)
		p = *p;
	return (uint64_t)((uint8_t *)p - arena);
}

static uint64_t byte_copy(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		const uint8_t *from = arena + i % 64;
		uint8_t *to = arena + SECOND;
		for (size_t j = 0; j < 4096; j++) {
			to[j] = from[j];
			COMPILER_BARRIER(); // bytes, not vectors
		}
	}
	return mix_bytes(0, arena + SECOND, 4096);
}

static void far_setup(void)
{
	arena = map((size_t)FAR * FAR_BUFFERS);
	for (size_t b = 0; b < FAR_BUFFERS; b++)
		touch(arena + b * FAR, FAR_BYTES);
}

// Walks the same place of several buffers in step, as matrix and image code does.
static uint64_t far_buffers(uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++)
		for (size_t j = 0; j < FAR_BYTES; j += 8) {
			uint64_t all = i, word;
			for (size_t b = 1; b < FAR_BUFFERS; b++) {
				memcpy(&word, arena + b * FAR + j, 8);
				all += word;
				COMPILER_BARRIER();
			}
			memcpy(arena + j, &all, 8);
			sum += all;
		}
	return sum;
}

const struct workload memory_workloads[] = {
	{ "memcpy-small", "memory", "memcpy of 1 to 256 bytes", memcpy_small, two_buffers },
	{ "memcpy-large", "memory", "memcpy of 4 MiB", memcpy_large, two_buffers },
	{ "memset-small", "memory", "memset of 1 to 256 bytes", memset_small, two_buffers },
	{ "memset-large", "memory", "memset of 4 MiB", memset_large, two_buffers, 0.3 },
	{ "rep-movsb", "memory", "rep movsb of 64 KiB", rep_movsb, two_buffers, 0.3 },
	{ "rep-stosq", "memory", "rep stosq (of 32 bits: stosd) of 64 KiB", rep_stosq, two_buffers, 0.3 },
	{ "chase-l1", "memory", "dependent loads within 16 KiB", chase, chase_l1_setup },
	{ "chase-ram", "memory", "dependent loads within 64 MiB", chase, chase_ram_setup },
	{ "byte-copy", "memory", "a loop that copies bytes", byte_copy, two_buffers },
	{ "far-buffers", "memory", "a loop over six buffers 8 MiB apart", far_buffers, far_setup },
	{ 0 },
};
