/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_who.h - which address space has which runner, and who is let in. Inside of direct/.
 */
#ifndef MICA_SOFT_DIRECT_WHO_H
#define MICA_SOFT_DIRECT_WHO_H

#include "base/clock.h"
#include "cpu/soft/direct/direct_runner.h"
#include "cpu/soft/vm.h"

/* Time that c did not sleep. */
static inline u64 direct_awake_ns(const struct soft_cpu *c)
{
	return clock_mono_ns() - c->st.idle_ns;
}
/* c looks at the n-th return to CPL 3 from now on. */
static inline void direct_spare(struct soft_cpu *c, s64 n)
{
	c->direct.spare = c->direct.spare_from = c->direct.seen_spare = n;
}
/* Can what comes next be executed directly? 64-bit code of a kernel that keeps its segments as all do, and nothing that
 * wants to see each instruction. */
bool direct_possible(const struct soft_cpu *c);
/* The address space in use gets a runner, if it may and there is one. */
void direct_let_in(struct soft_cpu *c);
/* With d->lock, or before there are vCPUs: r was to get a process, and this is what became of it. False: it has none.
 */
bool direct_born(struct direct *d, struct runner *r, enum birth how);
/* Nobody has r any more. */
void direct_give_back(struct soft_cpu *c, struct runner *r);

#endif
