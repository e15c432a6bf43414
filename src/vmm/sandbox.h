/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sandbox.h - the VMM takes everything from itself that it does not need to run a guest.
 *
 * sandbox_malloc() comes first of all. Then two steps, both after all files, sockets and helper processes are open:
 *   sandbox_isolate()  with one thread: no new privileges, own namespaces, an empty root directory,
 *                      no capabilities, small limits, no core dumps. What the host does not allow (user
 *                      namespaces are off on some) is skipped and said at --verbose.
 *   sandbox_lock()     after all threads are started, before the first guest instruction: the
 *                      system-call filter, on every thread. Failing this is an error.
 * From then on a system call outside the list, or memory made executable, kills the process (SIGSYS).
 * docs/security.md gives the reason for each entry of the list.
 */
#ifndef MICA_SANDBOX_H
#define MICA_SANDBOX_H

#include "base/base.h"
#include "base/err.h"

/* malloc() shall never want what the filter refuses. Before the first thread. */
void sandbox_malloc(void);
void sandbox_isolate(void);
int sandbox_lock(struct err *e);

#endif
