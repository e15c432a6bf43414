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
/* May `path` be one? With the longest port it must still be a socket's path. */
int vsock_check(const char *path, struct err *e);

#endif
