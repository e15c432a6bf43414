/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vcpu.c - what other threads ask of a vCPU. */
#include "cpu/soft/hooks.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wake(struct soft_cpu *c)
{
	atomic_fetch_add(&c->wake_seq, 1);
	if (atomic_load(&c->sleeping))
		syscall(SYS_futex, &c->wake_seq, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

void core_request(struct soft_cpu *c, u32 bits)
{
	atomic_fetch_or(&c->pending, bits);
	c->hooks->kick(c);
	wake(c);
}
