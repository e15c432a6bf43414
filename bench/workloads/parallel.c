// SPDX-License-Identifier: GPL-2.0-or-later
// Two CPUs at once: nothing shared, one cache line shared, and one waking the other.
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "work.h"

#define ITEMS 48

// Insertion sort: short loops, unpredictable branches, loads and stores.
static uint64_t busy(uint64_t n)
{
	uint64_t items[ITEMS], state = 4, sum = 0;

	for (uint64_t i = 0; i < n; i++) {
		for (int j = 0; j < ITEMS; j++) {
			uint64_t x = next_random(&state) >> 8;
			int at = j;
			for (; at > 0 && items[at - 1] > x; at--)
				items[at] = items[at - 1];
			items[at] = x;
		}
		sum = mix(sum, items[i % ITEMS]);
	}
	return sum;
}

static uint64_t processes(uint64_t n)
{
	pid_t child[2];
	uint64_t sum = 0;

	for (unsigned i = 0; i < 2; i++) {
		child[i] = fork();
		if (child[i] == 0) {
			stay_on_cpu(i);
			_exit((int)(busy(n) & 127));
		}
		must(child[i] > 0, "fork");
	}
	for (unsigned i = 0; i < 2; i++) {
		int status;
		must(waitpid(child[i], &status, 0) == child[i] && WIFEXITED(status), "a child did not exit");
		sum = mix(sum, (uint64_t)WEXITSTATUS(status));
	}
	return sum;
}

static struct {
	uint64_t count __attribute__((aligned(128)));
	uint32_t lock;
	uint64_t guarded;
} shared;

static uint64_t times;

static void *count_up(void *cpu)
{
	stay_on_cpu((unsigned)(uintptr_t)cpu);
	for (uint64_t i = 0; i < times; i++) {
		__atomic_fetch_add(&shared.count, i, __ATOMIC_SEQ_CST);
		if (i % 8 == 0) {
			while (__atomic_exchange_n(&shared.lock, 1, __ATOMIC_ACQUIRE))
				__builtin_ia32_pause();
			shared.guarded += i;
			__atomic_store_n(&shared.lock, 0, __ATOMIC_RELEASE);
		}
	}
	return NULL;
}

static uint64_t two_threads(void *(*body)(void *))
{
	pthread_t thread[2];

	for (uintptr_t i = 0; i < 2; i++)
		must(!pthread_create(&thread[i], NULL, body, (void *)i), "pthread_create");
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	return 0;
}

static uint64_t atomics(uint64_t n)
{
	times = n;
	shared.count = shared.guarded = 0;
	two_threads(count_up);
	return mix(shared.count, shared.guarded);
}

static uint32_t turn;

static void *take_turns(void *cpu)
{
	uint32_t mine = (uint32_t)(uintptr_t)cpu, seen;

	stay_on_cpu(mine);
	for (uint64_t i = 0; i < times; i++) {
		while ((seen = __atomic_load_n(&turn, __ATOMIC_ACQUIRE)) != mine)
			syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
		__atomic_store_n(&turn, !mine, __ATOMIC_RELEASE);
		syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
	return NULL;
}

static uint64_t futex_turns(uint64_t n)
{
	times = n;
	turn = 0;
	two_threads(take_turns);
	return mix(n, turn);
}

// Two threads, each on a CPU, hand a byte back and forth.
static int pipes[2][2];

static void *pass_on(void *cpu)
{
	unsigned mine = (unsigned)(uintptr_t)cpu;
	uint8_t byte = 0;

	stay_on_cpu(mine);
	for (uint64_t i = 0; i < times; i++) {
		if (mine == 0)
			must(write(pipes[0][1], &byte, 1) == 1, "write");
		must(read(pipes[!mine][0], &byte, 1) == 1, "read");
		byte++;
		if (mine == 1)
			must(write(pipes[1][1], &byte, 1) == 1, "write");
	}
	if (mine == 0)
		shared.guarded = byte;
	return NULL;
}

static uint64_t pipe_turns(uint64_t n)
{
	times = n;
	must(!pipe(pipes[0]) && !pipe(pipes[1]), "pipe");
	two_threads(pass_on);
	for (int i = 0; i < 4; i++)
		close(pipes[i / 2][i % 2]);
	return mix(n, shared.guarded);
}

const struct workload parallel_workloads[] = {
	{ "par-processes", "parallel", "two processes, nothing shared", processes, .parallel = true },
	{ "par-atomics", "parallel", "atomic additions and a lock in one cache line", atomics, .parallel = true },
	{ "par-futex", "parallel", "two threads on two CPUs take turns", futex_turns, .share = 0.7, .parallel = true },
	{ "par-pipe", "parallel", "two threads on two CPUs hand a byte back and forth", pipe_turns, .share = 0.7,
	  .parallel = true },
	{ 0 },
};
