/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm_event.h - what happens to a VM, told to the one who listens: the control socket, which tells its clients. Loop's
 * thread. */
#ifndef MICA_VM_EVENT_H
#define MICA_VM_EVENT_H

#include "base/err.h"

struct vm;

enum vm_event_kind {
	VM_EVENT_STATE, /* state; ended: why, status, err */
	VM_EVENT_RESET, /* it has been reset: why */
	VM_EVENT_DISK,  /* index; requests that the host failed: count since the last one told; or of one on a server:
			 * connection, as vm_disk_connection() says */
	VM_EVENT_NET,   /* a link went down or up: device, up */
	VM_EVENT_PANIC, /* the guest's kernel failed: device, why */
	VM_EVENT_PROGRESS, /* of a save or a restore: command, done bytes, of about total */
	VM_EVENT_WATCHDOG, /* the guest did not call in time: device */
	VM_EVENT_KINDS,
};

struct vm_event {
	enum vm_event_kind kind;
	const char *state;     /* as gate_name() says */
	const char *command;   /* "save", "restore" */
	const char *why;       /* "poweroff", "reset", ... (docs/control-socket.md) */
	int status;            /* the exit status */
	const struct err *err; /* NULL: none */
	unsigned index;
	const char *connection;
	const char *device; /* its id */
	bool up;
	u64 count, done, total;
};

typedef void vm_listen_fn(void *opaque, const struct vm_event *ev);
/* One listener; fn NULL: none any more. */
void vm_listen(struct vm *v, vm_listen_fn *fn, void *opaque);
/* For the VM's own files. */
void vm_tell(struct vm *v, const struct vm_event *ev);

#endif
