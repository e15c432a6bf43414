/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * relay.h - between a terminal and a running mica-vmm: bytes, keys that are for us, signals, the end.
 */
#ifndef MICA_RELAY_H
#define MICA_RELAY_H

#include "base/base.h"

#include <sys/types.h>

struct relay {
	pid_t pid;   /* mica-vmm */
	int control; /* connected control socket (docs/control-socket.md) */
	int console; /* stream of the guest's console; -1: not on this terminal */
	int errors;  /* what mica-vmm writes to standard error; -1: it goes there directly */
};

/* Take the terminal over, when standard input is one; before signals may come, at most once. */
bool relay_term_raw(void);
/* Give it back; any time, also in a signal handler. */
void relay_term_restore(void);

/* Block the signals relay_run() takes; before mica-vmm is started. */
void relay_init(void);
/* Relay until mica-vmm has ended; returns the exit status for mica. */
int relay_run(struct relay *r);

#endif
