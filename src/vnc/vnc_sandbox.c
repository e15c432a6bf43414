/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vnc_sandbox.c - the walls (base/walls.h) around libvncserver, which reads what peers on a network send. No socket is
 * made: clients come as connected ones.
 */
#include "base/walls.h"
#include "vnc/vnc.h"

#include <seccomp.h>

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
