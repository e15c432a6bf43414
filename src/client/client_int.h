/* SPDX-License-Identifier: GPL-2.0-or-later */
/* client_int.h - between client.c (bytes, requests) and client_use.c (loops, waiting, hello). */
#ifndef MICA_CLIENT_INT_H
#define MICA_CLIENT_INT_H

#include "client/client.h"

struct client_req {
	struct client_req *next;
	u64 id, deadline_ns;
	client_reply_fn *fn;
	void *opaque;
};

/* A line on its way out, and the descriptor that goes with it. */
struct client_out {
	struct client_out *next;
	int sock, fd;
	size_t bytes, done;
	char text[];
};

struct client {
	int fd;   /* -1: over */
	int deaf; /* errno: the VM takes nothing more; what it sent before is read to its end */
	struct client_ops ops;
	struct client_req *reqs; /* in order of sending */
	unsigned nreqs;
	u64 next_id;
	struct client_out *out, *out_tail;
	char *in;
	size_t in_len, in_room;
	unsigned busy; /* inside of client_step(): client_free() leaves the rest to it */
	bool freed;
	/* attached */
	struct loop *loop;
	struct loop_fd lf;
	struct loop_timer timer;
	u32 watched;
};

/* Set the loop's events and timer right, when there is a loop. */
void client_watch(struct client *c);

#endif
