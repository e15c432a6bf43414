/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nd_broker.h - what mica-netdisk cannot do any more behind its walls, done by a process that it has left outside: to
 * look up the name of a host, each time anew, for which a resolver reads the host's files; and to connect to the one
 * Unix socket that its user named. It reads nothing that a disk's server sends.
 */
#ifndef MICA_ND_BROKER_H
#define MICA_ND_BROKER_H

#include "base/base.h"
#include "base/err.h"

#include <sys/socket.h>

#define ND_ADDRESSES_MAX 8u

struct nd_addresses {
	unsigned n;
	struct sockaddr_storage at[ND_ADDRESSES_MAX];
};

/* Before the walls; socket "": there is none. It ends with this process. */
int nd_broker_start(const char *socket, struct err *e);
/* Up to 10 s. -ENOENT: nobody knows that name. */
int nd_broker_resolve(struct nd_addresses *out, const char *host, const char *port);
/* A connected Unix socket, or -errno. */
int nd_broker_connect(void);

#endif
