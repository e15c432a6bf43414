/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * helper.h - a process of ours that does for one VM what its sandbox no longer can: name files of the host.
 *
 * mica-vmm starts it before it locks itself in. Between the two there is one SOCK_SEQPACKET socket, fd 3 of the helper,
 * whose first message is the helper's hello: it works, or why it does not. Both ends believe the other hostile. A
 * helper ends when the socket closes, and with the thread that started it.
 */
#ifndef MICA_HELPER_H
#define MICA_HELPER_H

#include "base/base.h"
#include "base/err.h"

#include <sys/types.h>

#define HELPER_FD 3 /* the helper's end; further descriptors follow it */
#define HELPER_EXTRA_MAX 4

/*
 * Start argv[0], a program beside mica-vmm (base/program_path.h), with extra[0..n-1] as descriptors from HELPER_FD + 1
 * on. Returns our end of the socket once it works.
 */
int helper_start(char *const argv[], const int *extra, unsigned n, struct err *e);
/* The same for a program of the host that is found at `path` and says no hello: `theirs` becomes its HELPER_FD. *pid:
 * to end it while it has not shown that it works. */
int helper_spawn(pid_t *pid, const char *path, char *const argv[], int theirs, const int *extra, unsigned n,
		 struct err *e);

/* ---- in the helper ---- */
/* First of all; ends the process when nobody of ours has started it. */
void helper_begin(const char *name, unsigned nextra);
/* NULL: it works. Else says why, and the process ends with status 1. */
void helper_hello(const struct err *e);
/*
 * `dir` becomes all that there is of the host's files, and cannot be written if readonly; there is no network. Works
 * for everybody where the host allows user namespaces; -EPERM: it does not. The process then acts as its user does, and
 * has no capabilities. self: NULL, or a descriptor through which "N" is what descriptor N of this process has open
 * (/proc/self/fd), and nothing else.
 */
int helper_confine(const char *dir, bool readonly, int *self, struct err *e);

#endif
