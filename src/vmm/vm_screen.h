/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm_screen.h - looking at a VM's screen: pictures of it, and VNC clients.
 *
 * A thread of its own draws: what a guest shows is as large as it likes, and the loop waits for nothing whose length a
 * guest decides. It sleeps as long as nobody looks; there is none where the VM has no screen. While VNC clients are
 * there it looks FRAME_NS after the last picture went to them, or IDLE_NS where nothing moves: a question to the dirty
 * log and to the display, no more.
 *
 * Threads: all of this is called on the loop's, or before it runs.
 */
#ifndef MICA_VM_SCREEN_H
#define MICA_VM_SCREEN_H

#include "base/loop.h"
#include "device/display/screen.h"
#include "vmm/vm.h"
#include "vnc/vnc.h"

struct cpu_vm;
struct vm_screen;

struct vm_screen_config {
	struct vm *vm; /* whose keys and mouse clients have */
	struct loop *loop;
	const struct screen *screen;
	struct cpu_vm *cpus;
	const struct vnc_link *vnc; /* fd -1: nobody; the caller's, and as long there */
};

/* Before the system-call filter: threads are made. */
int vm_screen_start(struct vm_screen **out, const struct vm_screen_config *cfg, struct err *e);
/* The loop may run no more. */
void vm_screen_end(struct vm_screen *v);

/* done is called on the loop; e NULL: written. What is shown now, as PNG to fd, a regular file (owned on success).
 * -EBUSY: one is being made. */
int vm_screen_shot(struct vm_screen *v, int fd, vm_shot_fn *done, void *opaque, struct err *e);

/* What a VNC client cut last, UTF-8 if it keeps to the protocol; there until the loop goes on. -ENODATA: nothing;
 * -E2BIG: too much. */
int vm_screen_cut(struct vm_screen *v, const char **text, struct err *e);

/* What a screen of text says; vm_screen_text.c. At most 100 rows. -ENODATA: it shows a picture. */
int vm_screen_read(const struct screen *screen, struct vm_text *out, struct err *e);

#endif
