/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm_screen_int.h - between vm_screen.c (the thread and its pictures) and vm_vnc.c (what VNC clients do). */
#ifndef MICA_VM_SCREEN_INT_H
#define MICA_VM_SCREEN_INT_H

#include "vmm/vm_screen.h"

#include <pthread.h>

#define VM_KEYS_DOWN_MAX 16

struct vm_shot {
	int fd;
	vm_shot_fn *done;
	void *opaque;
	bool wanted, failed;
	unsigned width, height;
	struct err err;
};

struct vm_screen {
	struct vm_screen_config cfg;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows, up to the next comment */
	pthread_cond_t wake;
	bool ready, end;
	bool looking;           /* VNC clients are there */
	bool anew;              /* ... and know nothing: mica-vnc has just begun, or they have just come */
	bool unseen;            /* a picture is on its way to them */
	unsigned width, height; /* of the last one; 0: there was none */
	/* Between wanted and its end the thread's, else the loop's. */
	struct vm_shot shot;
	/* The loop's. */
	bool shooting;
	struct loop_fd lf;
	unsigned down[VM_KEYS_DOWN_MAX], ndown; /* keys that clients hold */
	unsigned buttons, x, y;                 /* of the mouse, as last told */
	bool placed;
	/* The thread's. */
	struct screen_view view;
	bool logging; /* the dirty log is on */
	u64 *dirty;   /* a bit for each page of video memory */
	u64 next_ns;  /* when to look again */
};

/* ---- vm_vnc.c ---- */

/* On the loop: hear what clients do. */
int vm_vnc_listen(struct vm_screen *v, struct err *e);
/* On the thread, no lock held: look, and send what has changed. Returns when to look again. */
u64 vm_vnc_look(struct vm_screen *v, bool anew);
/* On the thread: nobody looks any more. */
void vm_vnc_rest(struct vm_screen *v);

#endif
