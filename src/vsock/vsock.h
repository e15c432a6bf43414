/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vsock.h - how a guest's connections to its host become connections to Unix sockets.
 *
 * The VM listens at PATH by itself. But where its guest connects to port P of the host, a socket PATH_P is to be named,
 * and a sandboxed mica-vmm can name none: mica-vsock does, in a sandbox that has nothing but the folder of PATH. It
 * answers with a connected socket, and never sees what is said on it.
 */
#ifndef MICA_VSOCK_H
#define MICA_VSOCK_H

#include "base/base.h"
#include "base/err.h"

#define VSOCK_ITSELF "itself" /* mica-vsock's second argument, for vsock_start_itself() */

/* What mica-vmm asks for. */
struct vsock_ask {
	u32 port;
	u32 ticket; /* told back */
};

/* With a descriptor as SCM_RIGHTS when error is 0: a connected stream socket that does not block. */
struct vsock_answer {
	u32 ticket, error; /* errno */
};

/* Start mica-vsock for the sockets beside `path`; returns our end, on which struct vsock_ask is sent. */
int vsock_start(const char *path, struct err *e);
/* The same for the socket `path` itself: each question, whatever its port, is answered with a connection to it. */
int vsock_start_itself(const char *path, struct err *e);
/* At our end, without waiting. 1: an answer, and *fd, owned, or -1; 0: there is none yet; -EPROTO: mica-vsock has
 * ended. */
int vsock_answer_read(int link_fd, struct vsock_answer *a, int *fd);
/* May `path` be one? With the longest port it must still be a socket's path. */
int vsock_check(const char *path, struct err *e);

#endif
