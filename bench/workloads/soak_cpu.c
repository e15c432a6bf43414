// SPDX-License-Identifier: GPL-2.0-or-later
// What a CPU must keep and what CPUs promise each other: registers across interrupts, signals and moves from one
// CPU to another, the order of stores, locks, one time for all. Every check ends the program with what was wrong.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>
#include "work.h"

#define THREADS 4

static void fail(const char *what, uint64_t expected, uint64_t got)
{
	fprintf(stderr, "work: %s: expected %#llx, got %#llx\n", what, (unsigned long long)expected,
		(unsigned long long)got);
	_exit(1);
}

static void in_threads(void *(*body)(void *))
{
	pthread_t thread[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		must(!pthread_create(&thread[i], NULL, body, (void *)i), "pthread_create");
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

static uint64_t rounds;

// ---- registers ----

struct registers {
	uint64_t gpr[14]; // all but rsp and rdi, which points here
	uint64_t flags;
	uint64_t st0[2];
	uint32_t mxcsr, unused;
	uint64_t vector[16][4] __attribute__((aligned(32)));
};

#define GPRS(op) \
	op(0, rax) op(8, rbx) op(16, rcx) op(24, rdx) op(32, rsi) op(40, rbp) op(48, r8) op(56, r9) op(64, r10) \
	    op(72, r11) op(80, r12) op(88, r13) op(96, r14) op(104, r15)
#define LOAD_GPR(at, r) "mov " #at "(%%rdi), %%" #r "\n\t"
#define STORE_GPR(at, r) "mov %%" #r ", " #at "(%%rdi)\n\t"
#define VECTORS(op) \
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define LOAD_YMM(n) "vmovdqa %c[v] + 32*" #n "(%%rdi), %%ymm" #n "\n\t"
#define STORE_YMM(n) "vmovdqa %%ymm" #n ", %c[v] + 32*" #n "(%%rdi)\n\t"
#define LOAD_XMM(n) "movdqa %c[v] + 32*" #n "(%%rdi), %%xmm" #n "\n\t"
#define STORE_XMM(n) "movdqa %%xmm" #n ", %c[v] + 32*" #n "(%%rdi)\n\t"

// Holds *r in all registers for a while, then stores what is in them. The time is spent in a loop of system calls or
// in one that counts in memory, so that CPU and kernel have reasons to take them away.
#define HOLD(name, load, store, end, body) \
	static __attribute__((noinline)) void name(struct registers *r) \
	{ \
		__asm__ volatile( \
		    "lea -128(%%rsp), %%rsp\n\tpush %%rbx\n\tpush %%rbp\n\tsub $64, %%rsp\n\t" \
		    "movq $3000, (%%rsp)\n\t" \
		    "fldt %c[st](%%rdi)\n\tldmxcsr %c[mx](%%rdi)\n\t" VECTORS(load) GPRS( \
			LOAD_GPR) "push %c[fl](%%rdi)\n\tpopf\n" \
				  "1:\n\t" body "pushf\n\tpop %c[fl](%%rdi)\n\t" GPRS(STORE_GPR) VECTORS( \
				      store) "stmxcsr %c[mx](%%rdi)\n\tfstpt %c[st](%%rdi)\n\t" end \
					     "add $64, %%rsp\n\tpop %%rbp\n\tpop %%rbx\n\tlea 128(%%rsp), %%rsp\n\t" \
		    : \
		    : "D"(r), [v] "i"(offsetof(struct registers, vector)), [st] "i"(offsetof(struct registers, st0)), \
		      [mx] "i"(offsetof(struct registers, mxcsr)), [fl] "i"(offsetof(struct registers, flags)) \
		    : "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", \
		      "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", \
		      "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "st"); \
	}
// The count's flags are the last DEC's: CF stays what was loaded, which the check knows.
#define COUNT "decq (%%rsp)\n\tjnz 1b\n\t"
HOLD(hold_sse, LOAD_XMM, STORE_XMM, "", COUNT)
__attribute__((target("avx"))) HOLD(hold_avx, LOAD_YMM, STORE_YMM, "vzeroupper\n\t", COUNT)

    static _Atomic uint64_t ticks;

// Spoils all that the kernel must bring back.
static void on_tick(int number)
{
	(void)number;
	ticks++;
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile(
		    "vpcmpeqd %%xmm0, %%xmm0, %%xmm0\n\tvmovaps %%ymm0, %%ymm1\n\tvmovaps %%ymm0, %%ymm7\n\t"
		    "vmovaps %%ymm0, %%ymm15\n\tvzeroupper\n\t" ::
			: "xmm0", "xmm1", "xmm7", "xmm15");
	__asm__ volatile("fninit\n\tfldpi\n\tfstp %%st\n\t" ::: "st");
	_mm_setcsr(0x1f80);
}

static void *hold(void *thread)
{
	uint64_t state = 77 + (uintptr_t)thread;
	bool avx = __builtin_cpu_supports("avx");

	for (uint64_t n = 0; n < rounds; n++) {
		struct registers before, after;
		memset(&before, 0, sizeof before);
		for (int i = 0; i < 14; i++)
			before.gpr[i] = next_random(&state);
		for (int i = 0; i < 16; i++)
			for (int k = 0; k < 4; k++)
				before.vector[i][k] = next_random(&state);
		bool wide = avx && (n & 1);
		for (int i = 0; i < 16 && !wide; i++)
			before.vector[i][2] = before.vector[i][3] = 0;
		before.st0[0] = next_random(&state) | 1ull << 63;
		before.st0[1] = 0x3fff;
		before.mxcsr = (n & 2) ? 0x7f80 : 0x1f80;
		before.flags = 0x202 | (n & 1);
		after = before;
		(wide ? hold_avx : hold_sse)(&after);
		_mm_setcsr(0x1f80);
		// DEC to zero: ZF and PF; SF, AF and OF clear.
		before.flags |= 0x44;
		const uint64_t *b = (const uint64_t *)&before, *a = (const uint64_t *)&after;
		for (size_t i = 0; i < sizeof before / 8; i++)
			if (a[i] != b[i]) {
				char what[64];
				snprintf(what, sizeof what, "register image, word %zu, %s, round %llu", i,
					 wide ? "avx" : "sse", (unsigned long long)n);
				fail(what, b[i], a[i]);
			}
		if (n % 16 == 0)
			sched_yield();
	}
	return NULL;
}

static uint64_t registers(uint64_t n)
{
	struct sigaction act = { .sa_handler = on_tick, .sa_flags = SA_RESTART };
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };

	rounds = n;
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	in_threads(hold);
	setitimer(ITIMER_REAL, &never, NULL);
	return n;
}

// ---- the order of stores and loads between CPUs ----

static struct {
	uint64_t x __attribute__((aligned(128)));
	uint64_t y __attribute__((aligned(128)));
	uint64_t seen[2] __attribute__((aligned(128)));
	uint64_t data[8] __attribute__((aligned(128)));
	uint64_t ready __attribute__((aligned(128)));
} order;
static pthread_barrier_t barrier;

#define LOAD(v) __atomic_load_n(&(v), __ATOMIC_RELAXED)
#define STORE(v, n) __atomic_store_n(&(v), (n), __ATOMIC_RELAXED)

static void *litmus(void *thread)
{
	uintptr_t me = (uintptr_t)thread;

	for (uint64_t n = 1; n <= rounds; n++) {
		// Message passing, a sequence lock of eight words: who sees an even number twice saw one state.
		if (me == 0) {
			for (int k = 0; k < 40; k++) {
				STORE(order.ready, order.ready + 1);
				COMPILER_BARRIER();
				for (int i = 0; i < 8; i++)
					STORE(order.data[i], n * 64 + (uint64_t)k);
				COMPILER_BARRIER();
				STORE(order.ready, order.ready + 1);
			}
		} else {
			for (int k = 0; k < 40; k++) {
				uint64_t copy[8], before = LOAD(order.ready);
				COMPILER_BARRIER();
				for (int i = 0; i < 8; i++)
					copy[i] = LOAD(order.data[i]);
				COMPILER_BARRIER();
				if (before == LOAD(order.ready) && !(before & 1))
					for (int i = 1; i < 8; i++)
						if (copy[i] != copy[0])
							fail("torn state under a sequence lock", copy[0], copy[i]);
			}
		}
		// Store buffering: with a fence in between not both may see the old value.
		pthread_barrier_wait(&barrier);
		if (me == 0) {
			STORE(order.x, n);
			__asm__ volatile("mfence" ::: "memory");
			order.seen[0] = LOAD(order.y);
		} else if (me == 1) {
			STORE(order.y, n);
			__asm__ volatile("lock orl $0, -64(%%rsp)" ::: "memory", "cc");
			order.seen[1] = LOAD(order.x);
		}
		pthread_barrier_wait(&barrier);
		if (me == 0 && order.seen[0] != n && order.seen[1] != n)
			fail("both CPUs read before the other's store", n, order.seen[0]);
	}
	return NULL;
}

static uint64_t ordering(uint64_t n)
{
	memset(&order, 0, sizeof order);
	rounds = n;
	pthread_barrier_init(&barrier, NULL, THREADS);
	in_threads(litmus);
	pthread_barrier_destroy(&barrier);
	return mix(order.data[7], order.ready);
}

// ---- locked instructions ----

static struct {
	unsigned __int128 pair __attribute__((aligned(128)));
	uint64_t added, exchanged, bits __attribute__((aligned(64)));
	uint32_t next __attribute__((aligned(128))), owner;
	uint64_t guarded;
} locked;

__attribute__((target("cx16"))) static void *lock_all(void *thread)
{
	uint64_t me = (uintptr_t)thread;

	for (uint64_t n = 0; n < rounds; n++) {
		__atomic_fetch_add(&locked.added, n + me, __ATOMIC_SEQ_CST);
		uint64_t old = LOAD(locked.exchanged);
		while (!__atomic_compare_exchange_n(&locked.exchanged, &old, old * 5 + 1, false, __ATOMIC_SEQ_CST,
						    __ATOMIC_SEQ_CST))
			;
		// Two halves that change together.
		uint64_t low = (uint64_t)locked.pair, high = (uint64_t)(locked.pair >> 64);
		for (bool done = false; !done;)
			__asm__ volatile("lock cmpxchg16b %1\n\tsete %0"
					 : "=q"(done), "+m"(locked.pair), "+a"(low), "+d"(high)
					 : "b"(low + 1), "c"(high + 3)
					 : "cc");
		if (high != low * 3)
			fail("halves of cmpxchg16b", low * 3, high);
		__asm__ volatile("lock btcq %1, %0" : "+m"(locked.bits) : "r"((n * 7 + me) & 63) : "cc");
		// In turn; not often, as each turn may last until the next one in line is let run.
		if (n % 16)
			continue;
		uint32_t ticket = __atomic_fetch_add(&locked.next, 1, __ATOMIC_RELAXED);
		while (__atomic_load_n(&locked.owner, __ATOMIC_ACQUIRE) != ticket)
			sched_yield();
		locked.guarded = locked.guarded * 3 + 1;
		__atomic_store_n(&locked.owner, ticket + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static uint64_t locks(uint64_t n)
{
	memset(&locked, 0, sizeof locked);
	rounds = n;
	in_threads(lock_all);
	uint64_t sum = mix(locked.added, locked.exchanged);
	sum = mix(sum, (uint64_t)locked.pair);
	sum = mix(sum, locked.bits);
	return mix(sum, locked.guarded);
}

// ---- one time for all CPUs ----

static uint64_t latest_ns, latest_tsc;

static void *watch_time(void *thread)
{
	(void)thread;
	for (uint64_t n = 0; n < rounds; n++) {
		struct timespec t;
		uint64_t seen = __atomic_load_n(&latest_ns, __ATOMIC_SEQ_CST);
		clock_gettime(CLOCK_MONOTONIC, &t);
		uint64_t now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
		if (now < seen)
			fail("CLOCK_MONOTONIC went back between CPUs", seen, now);
		while (seen < now &&
		       !__atomic_compare_exchange_n(&latest_ns, &seen, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
		seen = __atomic_load_n(&latest_tsc, __ATOMIC_SEQ_CST);
		unsigned cpu;
		_mm_lfence();
		now = __rdtscp(&cpu);
		if (now < seen)
			fail("the time-stamp counter went back between CPUs", seen, now);
		while (seen < now &&
		       !__atomic_compare_exchange_n(&latest_tsc, &seen, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
		if (n % 64 == 0)
			sched_yield();
	}
	return NULL;
}

static uint64_t one_time(uint64_t n)
{
	latest_ns = latest_tsc = 0;
	rounds = n;
	in_threads(watch_time);
	return n;
}

const struct workload soak_cpu_workloads[] = {
	{ "registers", "soak", "all registers held across signals and moves between CPUs", registers,
	  .parallel = true },
	{ "ordering", "soak", "the order of stores and loads between CPUs", ordering, .parallel = true },
	{ "locks", "soak", "locked instructions of four threads on the same words", locks, .parallel = true },
	{ "one-time", "soak", "time does not go back from one CPU to another", one_time, .parallel = true },
	{ 0 },
};
