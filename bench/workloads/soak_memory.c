// SPDX-License-Identifier: GPL-2.0-or-later
// What one CPU takes away from a page table no other may go on using: protections, mappings, pages given back.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "work.h"

#define PAGE 4096u
#define WRITERS 3

static void fail(const char *what, uint64_t expected, uint64_t got)
{
	fprintf(stderr, "work: %s: expected %#llx, got %#llx\n", what, (unsigned long long)expected,
		(unsigned long long)got);
	_exit(1);
}

static uint64_t *shared_page;
static uint64_t stop;

// A write that is not allowed now is tried again, until it is.
static void on_fault(int number)
{
	(void)number;
	sched_yield();
}

static void *write_on(void *thread)
{
	uint64_t *mine = shared_page + 8 * (1 + (uintptr_t)thread);

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		for (int i = 0; i < 64; i++)
			__atomic_store_n(mine, *mine + 1, __ATOMIC_RELAXED);
	return NULL;
}

static uint64_t sum_of_page(const uint64_t *p)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < PAGE / 8; i++)
		sum = mix(sum, __atomic_load_n(&p[i], __ATOMIC_RELAXED));
	return sum;
}

static uint64_t taken_back(uint64_t n)
{
	struct sigaction act = { .sa_handler = on_fault };
	pthread_t writer[WRITERS];

	stop = 0;
	sigaction(SIGSEGV, &act, NULL);
	shared_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(shared_page != MAP_FAILED, "mmap");
	for (uintptr_t i = 0; i < WRITERS; i++)
		must(!pthread_create(&writer[i], NULL, write_on, (void *)i), "pthread_create");
	for (uint64_t i = 0; i < n; i++) {
		uint64_t before, after;
		switch (i % 3) {
		case 0: // read-only: nothing changes any more
			must(!mprotect(shared_page, PAGE, PROT_READ), "mprotect");
			before = sum_of_page(shared_page);
			for (int k = 0; k < 20; k++)
				after = sum_of_page(shared_page);
			if (before != after)
				fail("a page changed while nobody may write it", before, after);
			must(!mprotect(shared_page, PAGE, PROT_READ | PROT_WRITE), "mprotect");
			break;
		case 1: // given back: what was there is gone, and writers count on from nothing
			must(!mprotect(shared_page, PAGE, PROT_READ), "mprotect");
			must(!madvise(shared_page, PAGE, MADV_DONTNEED), "madvise");
			for (unsigned k = 0; k < PAGE / 8; k++)
				if (shared_page[k])
					fail("a page that was given back", 0, shared_page[k]);
			must(!mprotect(shared_page, PAGE, PROT_READ | PROT_WRITE), "mprotect");
			break;
		case 2: { // moved away: its old contents stay as they were, the new page is written
			uint64_t *away = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			must(away != MAP_FAILED, "mmap");
			must(mremap(shared_page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, away) == away, "mremap");
			before = sum_of_page(away);
			must(mmap(shared_page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				  -1, 0) == shared_page,
			     "mmap in its place");
			for (int k = 0; k < 10; k++)
				sched_yield();
			after = sum_of_page(away);
			if (before != after)
				fail("a page that was moved away was written at its old address", before, after);
			munmap(away, PAGE);
			break;
		}
		}
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writer[i], NULL);
	munmap(shared_page, PAGE);
	signal(SIGSEGV, SIG_DFL);
	return n;
}

// Parent and children share pages until one of them writes.
static uint64_t copied(uint64_t n)
{
	enum { PAGES = 64 };
	uint64_t *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), sum = 0;
	int status;

	must(p != MAP_FAILED, "mmap");
	for (uint64_t i = 0; i < n; i++) {
		pid_t child[3];
		for (unsigned k = 0; k < PAGES; k++)
			p[k * PAGE / 8 + i % 512] = i * 1000 + k;
		for (uint64_t c = 0; c < 3; c++) {
			child[c] = fork();
			must(child[c] >= 0, "fork");
			if (child[c])
				continue;
			for (unsigned k = (unsigned)c; k < PAGES; k += 2)
				p[k * PAGE / 8 + i % 512] += c + 1;
			for (unsigned k = 0; k < PAGES; k++) {
				uint64_t want = i * 1000 + k + (k >= c && (k - c) % 2 == 0 ? c + 1 : 0);
				if (p[k * PAGE / 8 + i % 512] != want)
					fail("a child's page", want, p[k * PAGE / 8 + i % 512]);
			}
			_exit(0);
		}
		for (unsigned k = 0; k < PAGES; k += 3)
			p[k * PAGE / 8 + i % 512] ^= 1ull << 60;
		for (int c = 0; c < 3; c++) {
			must(waitpid(child[c], &status, 0) == child[c], "waitpid");
			if (status)
				fail("a child's exit status", 0, (uint64_t)status);
		}
		for (unsigned k = 0; k < PAGES; k++)
			sum = mix(sum, p[k * PAGE / 8 + i % 512]);
	}
	munmap(p, PAGES * PAGE);
	return sum;
}

const struct workload soak_memory_workloads[] = {
	{ "taken-back", "soak", "pages protected, given back and moved while others write them", taken_back,
	  .parallel = true },
	{ "copied", "soak", "pages shared by parent and children until one writes", copied, .parallel = true },
	{ 0 },
};
