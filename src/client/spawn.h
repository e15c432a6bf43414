/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spawn.h - start a mica-vmm process, learn whether its VM runs, and reap it.
 *
 * For the command and for a daemon: nothing here prints, exits, or handles signals. A VM is started with a connected
 * control socket, whose other end is a client (client.h). On it the VM says "ready" before the guest's first
 * instruction, or "failed" with the reason; whoever cares takes these with spawn_heard() out of his events, or waits
 * with spawn_wait_ready().
 */
#ifndef MICA_SPAWN_H
#define MICA_SPAWN_H

#include "client/client.h"
#include "vmm/config.h"

#include <sys/types.h>

struct spawn_params {
	int stderr_fd; /* becomes its standard error; -1: ours is */
	bool detached; /* the VM outlives us; else the end of the connection is its end */
};

struct spawned {
	pid_t pid;
	bool reaped;
	int pidfd;             /* readable when it has ended */
	struct client *client; /* free it at any time: unless detached, the VM ends then */
};

/*
 * Start mica-vmm in a session of its own (a Ctrl-C at the terminal is not for it) and hand it cfg. The descriptors that
 * cfg names are inherited and stay the caller's; cfg's control_fd does not count. Fails where it cannot be started.
 */
int spawn_vmm(struct spawned *s, const struct vmm_config *cfg, const struct spawn_params *p, struct err *e);

/* Is this event the word about its start? SPAWN_FAILED: *e says why, *status is what it exits with. */
enum spawn_word { SPAWN_NOTHING, SPAWN_READY, SPAWN_FAILED };
enum spawn_word spawn_heard(const char *event, const json_t *data, struct err *e, int *status);
/* Wait for the word, or for the end of the process. Its other events meanwhile are lost. */
int spawn_wait_ready(struct spawned *s, u64 timeout_ms, struct err *e);

/* Take the ended process off the system's list: its wait status in *wstatus. False: it has not ended. */
bool spawn_reap(struct spawned *s, int *wstatus);
/* Why a process ended that did not exit by itself; false: it did. */
bool spawn_why_ended(const struct spawned *s, int wstatus, struct err *e);
/* SIGKILL, and reap. */
void spawn_kill(struct spawned *s);
void spawn_fini(struct spawned *s);

#endif
