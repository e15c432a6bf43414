/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vnc_sandbox.c - the walls (base/walls.h) around libvncserver and around GnuTLS, which read what peers on a network
 * send. No socket to anywhere is made: clients come as connected ones.
 */
#include "base/walls.h"
#include "vnc/vnc.h"

#include <seccomp.h>
#include <sys/socket.h>

/* It hands sockets through the door, which come from nowhere. */
static int pairs(void *f)
{
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
}

int vnc_front_sandbox(struct err *e)
{
	const struct walls w = {
		.name = "mica-vnc (TLS)",
		.memory_bytes = 256 * MIB,
		.rules = pairs,
	};

	return walls_put(&w, e);
}

int vnc_sandbox(struct err *e)
{
	static const int calls[] = { SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(clock_nanosleep) };
	const struct walls w = {
		.name = "mica-vnc",
		.memory_bytes = 512 * MIB, /* the picture, and what eight clients' encoders hold */
		.calls = calls,
		.ncalls = ARRAY_LEN(calls),
	};

	return walls_put(&w, e);
}
