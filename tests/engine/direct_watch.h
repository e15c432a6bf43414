/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direct_watch.h - for tests of direct execution: interrupts at intervals, until somebody is let in, what processes
 * there are. */
#ifndef MICA_TEST_DIRECT_WATCH_H
#define MICA_TEST_DIRECT_WATCH_H

#include "base/clock.h"
#include "direct_rig.h"

#include <dirent.h>
#include <pthread.h>

struct ticker {
	pthread_t thread;
	struct cpu *cpu;
	unsigned us;
	_Atomic bool end;
};
static inline void *ticks(void *arg)
{
	struct ticker *t = arg;

	while (!t->end) {
		usleep(t->us);
		cpu_set_intr(t->cpu, true);
	}
	return NULL;
}
static inline void start_ticker(struct rig *r, struct ticker *t, unsigned us)
{
	*t = (struct ticker){ .cpu = cpu_vm_cpu(r->vm, 0), .us = us };
	assert_int_equal(pthread_create(&t->thread, NULL, ticks, t), 0);
}
static inline void stop_ticker(struct ticker *t)
{
	t->end = true;
	pthread_join(t->thread, NULL);
}

/* Spins in space 1, at RIP or wherever it was interrupted, until it has been let in more often than `before`. */
static inline void until_let_in(struct rig *r, u64 before)
{
	u64 until = clock_mono_ns() + patient(20000000000ull);

	while (stats(r)->let_in == before)
		if (clock_mono_ns() > until)
			fail_msg("it computes, and is not let in");
		else
			go(r, 0);
}

/* Processes that are this one's children. */
static inline unsigned children(void)
{
	DIR *d = opendir("/proc");
	struct dirent *x;
	unsigned n = 0;

	assert_non_null(d);
	while ((x = readdir(d))) {
		char line[512];
		int pid = atoi(x->d_name), parent = 0;
		auto_free char *path = xasprintf("/proc/%d/stat", pid);
		FILE *f = pid > 0 ? fopen(path, "r") : NULL;
		if (!f)
			continue;
		if (fgets(line, sizeof(line), f) && strrchr(line, ')') &&
		    sscanf(strrchr(line, ')') + 1, " %*c %d", &parent) == 1)
			n += parent == getpid();
		fclose(f);
	}
	closedir(d);
	return n;
}

#endif
