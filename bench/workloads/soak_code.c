// SPDX-License-Identifier: GPL-2.0-or-later
// Code that changes under several CPUs: what one of them writes, maps or unmaps, the others must execute from then on.
// All of it is what the architecture promises: whoever executes changed code has synchronised with who changed it.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "work.h"

#define PAGE 4096u
#define THREADS 4

static uint64_t rounds;

static void fail(const char *what, uint64_t expected, uint64_t got)
{
	fprintf(stderr, "work: %s: expected %#llx, got %#llx\n", what, (unsigned long long)expected,
		(unsigned long long)got);
	_exit(1);
}

static uint64_t call(const uint8_t *at, uint64_t a, uint64_t b)
{
	uint64_t (*function)(uint64_t, uint64_t);

	memcpy(&function, &at, sizeof at);
	return function(a, b);
}

// A CPU that executes what another one wrote does this in between.
static void serialise(void)
{
	unsigned a = 0, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
}

static uint8_t *map(size_t bytes, int protection)
{
	uint8_t *p = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(p != MAP_FAILED, "mmap");
	return p;
}

// rax = (rdi ^ value) * 5 + 1
static void emit(uint8_t *p, uint32_t value)
{
	static const uint8_t body[] = {
		0x48, 0x89, 0xf8,                // mov rax, rdi
		0x48, 0x35, 0,    0,    0,    0, // xor rax, value
		0x48, 0x8d, 0x44, 0x80, 0x01,    // lea rax, [rax + rax * 4 + 1]
		0xc3,                            // ret
	};

	memcpy(p, body, sizeof body);
	memcpy(p + 5, &value, 4);
}

static uint64_t emitted(uint32_t value, uint64_t a)
{
	return (a ^ value) * 5 + 1;
}

static void in_threads(void *(*body)(void *), unsigned n)
{
	pthread_t thread[THREADS];

	for (uintptr_t i = 0; i < n; i++)
		must(!pthread_create(&thread[i], NULL, body, (void *)i), "pthread_create");
	for (unsigned i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
}

// ---- what is behind a branch changes while the branch becomes hot ----

static uint8_t *page;
static uint64_t turn, patched_in;

#define HEAT 64

// Flags come from the CMP; rsi decides which way. Behind the branch flags are either overwritten or read.
static const uint8_t branching[] = {
	0x31, 0xc0,             // xor eax, eax
	0x48, 0x85, 0xf6,       // test rsi, rsi
	0x74, 0x08,             // jz out
	0x48, 0x83, 0xc7, 0x01, // add rdi, 1: sets the carry for ~0
	0xeb, 0x32,             // jmp behind (offset 63)
	0x90, 0x90, 0xc3,       // out: ret
};
#define BEHIND 63
static const uint8_t overwrites[] = { 0x31, 0xc9, 0x89, 0xc8, 0xc3, 0x90 };  // xor ecx, ecx; mov eax, ecx; ret
static const uint8_t reads[] = { 0x0f, 0x92, 0xc0, 0x0f, 0xb6, 0xc0, 0xc3 }; // setc al; movzx eax, al; ret

static void *behind(void *thread)
{
	if (thread) { // who patches, somewhere in the other's loop
		uint64_t state = 5;
		for (uint64_t n = 0; n < rounds; n++) {
			while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != n + 1)
				sched_yield();
			uint64_t r = next_random(&state);
			for (uint64_t wait = (r >> 8) % (16u << (r >> 40) % 14); wait; wait--)
				COMPILER_BARRIER();
			memcpy(page + BEHIND, reads, sizeof reads);
			__atomic_store_n(&patched_in, n + 1, __ATOMIC_RELEASE);
		}
		return NULL;
	}
	for (uint64_t n = 0; n < rounds; n++) {
		memset(page, 0xcc, 128);
		memcpy(page + BEHIND, overwrites, sizeof overwrites);
		memcpy(page, branching, sizeof branching);
		serialise();
		__atomic_store_n(&turn, n + 1, __ATOMIC_RELEASE);
		for (int i = 0; i < HEAT; i++)
			if (call(page, 0, 0))
				fail("a branch not taken", 0, 1);
		while (__atomic_load_n(&patched_in, __ATOMIC_ACQUIRE) != n + 1)
			sched_yield();
		serialise();
		for (int i = 0; i < 4; i++) {
			uint64_t got = call(page, ~0ull, 1);
			if (got != 1)
				fail("flags read by code that was patched behind a branch", 1, got);
		}
	}
	return NULL;
}

static uint64_t patched_behind(uint64_t n)
{
	rounds = n;
	turn = patched_in = 0;
	page = map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	in_threads(behind, 2);
	munmap(page, PAGE);
	return n;
}

// ---- one writes, all execute ----

static uint8_t *writable, *executable;
static pthread_barrier_t barrier;

static void *execute_all(void *thread)
{
	uint64_t me = (uintptr_t)thread;

	for (uint64_t n = 0; n < rounds; n++) {
		uint64_t slot = n * 37 % 60, value = n * 2654435761u & 0x7fffffff;
		if (me == n % THREADS) {
			emit(writable + slot * 64 + 3, (uint32_t)value);
			// Data among the code, too.
			memcpy(writable + 63 * 64, &n, 8);
		}
		pthread_barrier_wait(&barrier);
		serialise();
		for (int i = 0; i < 3; i++) {
			uint64_t got = call(executable + slot * 64 + 3, n + me, 0);
			if (got != emitted((uint32_t)value, n + me))
				fail("code that another CPU wrote", emitted((uint32_t)value, n + me), got);
		}
		if (memcmp(executable + 63 * 64, &n, 8))
			fail("data beside code that another CPU wrote", n, *(executable + 63 * 64));
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static uint64_t written_by_one(uint64_t n)
{
	int fd = memfd_create("code", 0);

	rounds = n;
	must(fd >= 0 && !ftruncate(fd, PAGE), "memfd");
	writable = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	executable = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	must(writable != MAP_FAILED && executable != MAP_FAILED, "mmap of code");
	pthread_barrier_init(&barrier, NULL, THREADS);
	in_threads(execute_all, THREADS);
	munmap(writable, PAGE);
	munmap(executable, PAGE);
	close(fd);
	return n;
}

// ---- each has pages of its own, side by side: nobody's change may be lost or hit another ----

static void *own_page(void *thread)
{
	uint64_t me = (uintptr_t)thread, state = 900 + me;
	uint8_t *mine = writable + me * 1024; // four in one page
	uint32_t values[15];

	for (unsigned i = 0; i < 15; i++)
		emit(mine + i * 64, values[i] = (uint32_t)(me * 100 + i));
	for (uint64_t n = 0; n < rounds; n++) {
		uint64_t r = next_random(&state), i = (r >> 8) % 15;
		if ((r >> 20) % 4 == 0) {
			values[i] = (uint32_t)(r >> 33);
			emit(mine + i * 64, values[i]);
		}
		uint64_t got = call(mine + i * 64, r, 0);
		if (got != emitted(values[i], r))
			fail("code beside what others change", emitted(values[i], r), got);
	}
	return NULL;
}

static uint64_t side_by_side(uint64_t n)
{
	rounds = n;
	writable = map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	in_threads(own_page, THREADS);
	munmap(writable, PAGE);
	return n;
}

// ---- pages change places ----

static uint64_t remapped(uint64_t n)
{
	int fd = memfd_create("code", 0), status;
	uint8_t *at = map(PAGE, PROT_READ), *p;

	must(fd >= 0 && !ftruncate(fd, 8 * PAGE), "memfd");
	p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(p != MAP_FAILED, "mmap");
	for (uint32_t i = 0; i < 8; i++)
		emit(p + i * PAGE + 16, 1000 + i);
	for (uint64_t i = 0; i < n; i++) {
		uint32_t k = (uint32_t)(i * 5 % 8), value = 1000 + k;
		bool private = i % 3 == 1;
		must(mmap(at, PAGE, PROT_READ | PROT_EXEC | (private ? PROT_WRITE : 0),
			  MAP_FIXED | (private ? MAP_PRIVATE : MAP_SHARED), fd, k * PAGE) == at,
		     "mmap of code");
		for (int again = 0; again < 6; again++)
			if (call(at + 16, i, 0) != emitted(value, i))
				fail("code at an address that was mapped anew", emitted(value, i), call(at + 16, i, 0));
		if (private && i % 16 < 4) {
			// A child changes its copy, the parent its own; neither sees the other's.
			pid_t child = fork();
			must(child >= 0, "fork");
			emit(at + 16, child ? 77 : 88);
			if (!child)
				_exit(call(at + 16, i, 0) == emitted(88, i) ? 0 : 3);
			if (call(at + 16, i, 0) != emitted(77, i))
				fail("a parent's copy of a code page", emitted(77, i), call(at + 16, i, 0));
			must(waitpid(child, &status, 0) == child, "waitpid");
			if (status)
				fail("a child's copy of a code page", 0, (uint64_t)status);
		}
		if (i % 5 == 2) {
			// The kernel writes: to a page with code, through the file.
			uint8_t bytes[64];
			emit(bytes, 1000 + k);
			must(pwrite(fd, bytes, 17, k * PAGE + 16 + 1024) == 17, "pwrite");
			must(mmap(at, PAGE, PROT_READ | PROT_EXEC, MAP_FIXED | MAP_SHARED, fd, k * PAGE) == at,
			     "mmap of code");
			if (call(at + 16 + 1024, i, 0) != emitted(1000 + k, i))
				fail("code that the kernel wrote", emitted(1000 + k, i), call(at + 16 + 1024, i, 0));
			emit(bytes, 5000 + (uint32_t)i % 1000);
			must(pwrite(fd, bytes, 17, k * PAGE + 16 + 1024) == 17, "pwrite");
			if (call(at + 16 + 1024, i, 0) != emitted(5000 + (uint32_t)i % 1000, i))
				fail("code that the kernel wrote again", emitted(5000 + (uint32_t)i % 1000, i),
				     call(at + 16 + 1024, i, 0));
		}
		if (i % 7 == 3) {
			must(!mprotect(at, PAGE, PROT_READ), "mprotect");
			must(!mprotect(at, PAGE, PROT_READ | PROT_EXEC), "mprotect");
		}
	}
	munmap(at, PAGE);
	munmap(p, 8 * PAGE);
	close(fd);
	return n;
}

const struct workload soak_code_workloads[] = {
	{ "patched-behind", "soak", "code behind a branch changes while the branch becomes hot", patched_behind,
	  .parallel = true },
	{ "written-by-one", "soak", "code that one CPU writes and all execute", written_by_one, .parallel = true },
	{ "side-by-side", "soak", "four threads change and call code in one page", side_by_side, .parallel = true },
	{ "remapped", "soak", "code pages mapped, copied, forked and written by the kernel", remapped,
	  .parallel = true },
	{ 0 },
};
