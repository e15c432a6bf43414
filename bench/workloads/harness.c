// SPDX-License-Identifier: GPL-2.0-or-later
// Runs one workload and times it.
//
//	work list                      name, group, share, CPUs, what it is; by tabs
//	work calibrate NAME SECONDS    "@count NAME N": how often it fits into about so many seconds here
//	work run NAME N                "@begin NAME", then "@end NAME SECONDS CHECKSUM"; or "@skip NAME": not here
//	work float NAME N              the same, kept on no CPU: "NAME CHECKSUM", or "NAME skip"
//
// Whoever reads the console sees @begin and @end at the times the clock is read, and so can check the clock.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "work.h"

static const struct workload *const tables[] = { integer_workloads,  branchy_workloads,   memory_workloads,
						 fp_workloads,       os_workloads,        command_workloads,
						 jit_workloads,      parallel_workloads,  sqlite_workloads,
						 soak_cpu_workloads, soak_code_workloads, soak_memory_workloads };

static cpu_set_t allowed;
static bool floating;

void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "work: %s: %s\n", what, strerror(errno));
	_exit(1);
}

void stay_on_cpu(unsigned n)
{
	cpu_set_t one;

	if (floating)
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && n-- == 0) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			must(sched_setaffinity(0, sizeof one, &one) == 0, "sched_setaffinity");
			return;
		}
}

uint64_t mix_bytes(uint64_t sum, const void *data, size_t bytes)
{
	const uint8_t *p = data;
	uint64_t word;

	for (; bytes >= 8; p += 8, bytes -= 8) {
		memcpy(&word, p, 8);
		sum = mix(sum, word);
	}
	while (bytes--)
		sum = mix(sum, *p++);
	return sum;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const struct workload *find(const char *name)
{
	for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
		for (const struct workload *w = tables[t]; w && w->name; w++)
			if (!strcmp(w->name, name))
				return w;
	fprintf(stderr, "work: no workload '%s'\n", name);
	exit(2);
}

static void list(void)
{
	for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
		for (const struct workload *w = tables[t]; w && w->name; w++)
			printf("%s\t%s\t%d\t%s\n", w->name, w->group, w->parallel ? 2 : 1, w->what);
}

static void prepare(const struct workload *w)
{
	if (!w->parallel)
		stay_on_cpu(0);
	if (w->setup)
		w->setup();
}

static void calibrate(const struct workload *w, double seconds)
{
	double want = seconds * (w->share > 0 ? w->share : 1), took, digit = 1;
	uint64_t n = 1;

	prepare(w);
	for (;; n *= 2) {
		// The shortest of three: on a busy host a short time may be mostly somebody else's.
		took = 0;
		for (int i = 0; i < 3 && (i == 0 || took >= want / 3); i++) {
			double start = now(), once;
			w->run(n);
			once = now() - start;
			took = i == 0 || once < took ? once : took;
		}
		if (took >= want / 3)
			break;
	}
	double count = (double)n * want / took;
	while (count / digit >= 100)
		digit *= 10;
	n = (uint64_t)(count / digit + 0.5) * (uint64_t)digit;
	printf("@count %s %llu\n", w->name, n ? (unsigned long long)n : 1ull);
}

static void run(const struct workload *w, uint64_t n)
{
	prepare(w);
	printf("@begin %s\n", w->name);
	fflush(stdout);
	tcdrain(1);
	double start = now();
	uint64_t sum = w->run(n);
	double took = now() - start;
	printf("@end %s %.6f %016llx\n", w->name, took, (unsigned long long)sum);
	fflush(stdout);
	tcdrain(1);
}

static void run_floating(const struct workload *w, uint64_t n)
{
	floating = true;
	prepare(w);
	printf("%s %016llx\n", w->name, (unsigned long long)w->run(n));
}

int main(int argc, char **argv)
{
	const struct workload *w;
	bool floats;

	must(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "sched_getaffinity");
	if (argc == 2 && !strcmp(argv[1], "list")) {
		list();
		return 0;
	}
	floats = argc == 4 && !strcmp(argv[1], "float");
	if (argc != 4 || (!floats && strcmp(argv[1], "run") && strcmp(argv[1], "calibrate"))) {
		fprintf(stderr, "usage: work list | run NAME N | float NAME N | calibrate NAME SECONDS\n");
		return 2;
	}
	w = find(argv[2]);
	if (w->usable && !w->usable())
		printf(floats ? "%s skip\n" : "@skip %s\n", w->name);
	else if (floats)
		run_floating(w, strtoull(argv[3], NULL, 10));
	else if (!strcmp(argv[1], "run"))
		run(w, strtoull(argv[3], NULL, 10));
	else
		calibrate(w, strtod(argv[3], NULL));
	return 0;
}
