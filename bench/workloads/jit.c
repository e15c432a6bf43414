// SPDX-License-Identifier: GPL-2.0-or-later
// Code that a guest's own compiler writes: new code, patched code, data beside code. An engine that translates has to
// notice each change.
#include <string.h>
#include <sys/mman.h>
#include "work.h"

#define REGION (256u << 10)
#define SLOT 64u

static uint8_t *code;

static void make_region(void)
{
	code = mmap(NULL, REGION, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(code != MAP_FAILED, "mmap of writable code");
}

static uint64_t call(const uint8_t *at, uint64_t argument)
{
	uint64_t (*function)(uint64_t);

	memcpy(&function, &at, sizeof at);
	return function(argument);
}

// rax = (rdi ^ value) * 5 + 1, rotated
static uint8_t *emit(uint8_t *p, uint32_t value)
{
	static const uint8_t body[] = {
		0x48, 0x89, 0xf8,                // mov rax, rdi
		0x48, 0x35, 0,    0,    0,    0, // xor rax, value
		0x48, 0x8d, 0x44, 0x80, 0x01,    // lea rax, [rax + rax * 4 + 1]
		0x48, 0xc1, 0xc0, 0x0d,          // rol rax, 13
		0xc3,                            // ret
	};

	memcpy(p, body, sizeof body);
	memcpy(p + 5, &value, 4);
	return p;
}

// Each function is new and called once: the region is filled again and again.
static uint64_t fresh(uint64_t n)
{
	uint64_t sum = 1;

	for (uint64_t i = 0; i < n; i++)
		sum = call(emit(code + i * SLOT % REGION, (uint32_t)i & 0x7fffffff), sum);
	return sum;
}

// A whole page is written, then each of its functions is called eight times: how a compiler that warms up works.
static uint64_t batches(uint64_t n)
{
	uint64_t sum = 1;

	for (uint64_t i = 0; i < n; i++) {
		uint8_t *page = code + i * 4096 % REGION;
		for (uint32_t f = 0; f < 4096 / SLOT; f++)
			emit(page + f * SLOT, (uint32_t)(i + f) & 0x7fffffff);
		for (int round = 0; round < 8; round++)
			for (uint32_t f = 0; f < 4096 / SLOT; f++)
				sum = call(page + f * SLOT, sum);
	}
	return sum;
}

// One function whose constant is patched before every fourth call: inline caches do this.
static uint64_t patched(uint64_t n)
{
	uint64_t sum = 1;
	uint8_t *f = emit(code, 0);

	for (uint64_t i = 0; i < n; i++) {
		uint32_t value = (uint32_t)i & 0x7fffffff;
		if (i % 4 == 0)
			memcpy(f + 5, &value, 4);
		sum = call(f, sum);
	}
	return sum;
}

// A loop that counts in a word of its own page: code and data lie side by side.
static uint64_t same_page(uint64_t n)
{
	static const uint8_t body[] = {
		0x48, 0x01, 0x3d, 0xf9, 0x03, 0, 0, // loop: add [rip + 1024 - 7], rdi
		0x48, 0xff, 0xcf,                   // dec rdi
		0x75, 0xf4,                         // jnz loop
		0x48, 0x8b, 0x05, 0xed, 0x03, 0, 0, // mov rax, [rip + 1024 - 19]
		0xc3,                               // ret
	};
	uint64_t sum = 0;

	memset(code, 0, 4096);
	memcpy(code, body, sizeof body);
	for (uint64_t i = 0; i < n; i++)
		sum = mix(sum, call(code, 16));
	return sum;
}

const struct workload jit_workloads[] = {
	{ "jit-fresh", "jit", "functions written and called once", fresh, make_region, 0.1 },
	{ "jit-batch", "jit", "pages of functions written, then called eight times", batches, make_region, 0.2 },
	{ "jit-patched", "jit", "a constant patched before every fourth call", patched, make_region, 0.1 },
	{ "jit-same-page", "jit", "a loop that writes into its own page", same_page, make_region, 0.1 },
	{ 0 },
};
