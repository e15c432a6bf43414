/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * process.h - what a process of ours has of whoever started it: what it was given by name, and nothing else.
 *
 * A shell, a service manager or a program leaves descriptors open, signals ignored or blocked, an environment full of
 * names, a permissive umask, a terminal, and means none of it for a VM. mica-vmm and mica-slirp begin with
 * process_alone(), whoever starts them; their starters use process_environment() and a new session.
 */
#ifndef MICA_PROCESS_H
#define MICA_PROCESS_H

#include "base/base.h"

/* Descriptors 0 to 2 that are closed become /dev/null: else the next file opened would be "stderr". Ends the process
 * when that cannot be. */
void process_std_fds(void);

/*
 * Before any thread: closes all descriptors but stderr and keep[0..n-1] (negative ones are skipped); stdin and stdout
 * become /dev/null unless they are among them; no signal is blocked, or ignored; files are made for their owner only;
 * no core is dumped; and the process leaves its session, if it does not lead its process group.
 */
void process_alone(const int *keep, unsigned n);

/* For exec: the variables of our environment that ours need (docs/security.md names them). An array to free(); the
 * strings are the environment's. */
char **process_environment(void);

#endif
