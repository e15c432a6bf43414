/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * relay.h - between a terminal and a running mica-vmm: bytes, keys that are for us, signals, the end.
 */
#ifndef MICA_RELAY_H
#define MICA_RELAY_H

#include "client/spawn.h"

struct relay {
	struct spawned *vm;
	int console; /* stream of the guest's console; -1: not on this terminal */
	int errors;  /* what mica-vmm writes to standard error; -1: it goes there directly */
};

/* Block the signals relay_run() takes; before mica-vmm is started. */
void relay_init(void);
/* Relay until mica-vmm has ended; returns the exit status for mica. */
int relay_run(struct relay *r);

#endif
