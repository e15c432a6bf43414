/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slirp_sandbox.c - the walls (base/walls.h) around libslirp, which parses whatever a guest sends. Internet sockets are
 * what it is for, so these it may make, in the host's network namespace.
 */
#include "net/slirp_sandbox.h"
#include "base/walls.h"
#include "net/net.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int internet(void *f)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FIONREAD));

	/* A file that is open already, for one more reader (slirp_tftp.h). */
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_DUPFD_CLOEXEC));
	/* Connections that it serves itself (slirp_http.h). */
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	for (size_t i = 0; !r && i < ARRAY_LEN(families); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
	return r;
}

int slirp_sandbox(struct err *e)
{
	static const int calls[] = { SCMP_SYS(recvmmsg), SCMP_SYS(sendmmsg), SCMP_SYS(connect), SCMP_SYS(bind),
				     SCMP_SYS(listen),   SCMP_SYS(accept),   SCMP_SYS(lseek),   SCMP_SYS(dup3) };
	const struct walls w = {
		.name = "mica-slirp",
		.host_network = true,
		/* As much as slirp_limit.c's connections hold when every buffer of theirs is full. It is never reached
		 * but by what is not counted there: fragments, segments out of order. GLib aborts then, and mica-net
		 * starts us again. */
		.memory_bytes = 256 * MIB + NET_USER_CONNECTIONS * 400ull * KIB,
		.calls = calls,
		.ncalls = ARRAY_LEN(calls),
		.rules = internet,
	};

	return walls_put(&w, e);
}
