/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * walls.h - the walls around a process of ours that parses what strangers send (mica-slirp, mica-vnc).
 *
 * Two walls. Namespaces of its own with an empty, read-only root: no file can be named. And a system-call filter:
 * what is open is read and written, memory is never executable, time; no open, no exec, no process, no socket. Either
 * alone keeps files away, so a host that refuses namespaces loses depth, not the wall.
 */
#ifndef MICA_WALLS_H
#define MICA_WALLS_H

#include "base/err.h"

struct walls {
	const char *name;      /* of the process, for the log */
	bool host_network;     /* it is there to use that; else its network is an empty one */
	bool threads;          /* it makes some of its own, later; else it has one */
	u64 memory_bytes;      /* of address space, the most it may have */
	const int *calls;      /* system calls allowed beyond those that all need */
	unsigned ncalls;       /* ... in any way they are called */
	int (*rules)(void *f); /* adds rules of its own to a scmp_filter_ctx; returns 0 or -errno. NULL: none */
};

/* One thread, before it reads the first byte. What is open stays. Namespaces that the host refuses are done without (a
 * debug line); without the filter it is an error. */
int walls_put(const struct walls *w, struct err *e);

#endif
