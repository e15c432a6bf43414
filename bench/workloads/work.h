// SPDX-License-Identifier: GPL-2.0-or-later
// The workloads of bench/engine: what one is, and what they share.
//
// A workload does a piece of work n times and returns a checksum of what came out. n is chosen once, on the host, and
// then the same everywhere, so that times compare and checksums must be equal: on the host itself, in Mica, in QEMU and
// in User-mode Linux. What a workload needs beforehand is made by setup() and not timed. Nothing is warmed up: the cost
// of code that is new to an engine belongs to the time.
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct workload {
	const char *name;
	const char *group;
	const char *what;
	uint64_t (*run)(uint64_t n);
	void (*setup)(void);
	double share;         // of the usual time on the host; less where emulators are known to be slowest. 0 is 1
	bool (*usable)(void); // NULL: everywhere
	bool parallel;        // uses two CPUs; all others are kept on one
};

// The tables end with a nameless entry. Weak, so that a program may be linked from some of the files.
#define WORKLOADS(group) extern const struct workload group##_workloads[] __attribute__((weak))
WORKLOADS(integer);
WORKLOADS(branchy);
WORKLOADS(memory);
WORKLOADS(fp);
WORKLOADS(os);
WORKLOADS(command);
WORKLOADS(jit);
WORKLOADS(parallel);
WORKLOADS(sqlite);
// Of bench/soak only: they check themselves, and their checksum says that all was well.
WORKLOADS(soak_cpu);
WORKLOADS(soak_code);
WORKLOADS(soak_memory);

// Ends the program with a message when something that must work did not.
void must(bool good, const char *what);
// Keeps the calling thread on the n-th of the CPUs the program was started with.
void stay_on_cpu(unsigned n);

static inline uint64_t mix(uint64_t sum, uint64_t value)
{
	sum = (sum ^ value) * 0x9e3779b97f4a7c15u;
	return sum ^ sum >> 32;
}

uint64_t mix_bytes(uint64_t sum, const void *data, size_t bytes);

// xorshift64: good enough to be unpredictable to a branch predictor.
static inline uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

// Keeps the compiler from knowing what is in memory, and so from doing a loop's work at once.
#define COMPILER_BARRIER() __asm__ volatile("" ::: "memory")

#endif
