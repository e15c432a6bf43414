/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_choose.h - does an address space do better in its runner or in translated code? Inside of direct/;
 * direct_choose.c tells how that is found out.
 */
#ifndef MICA_SOFT_DIRECT_CHOOSE_H
#define MICA_SOFT_DIRECT_CHOOSE_H

#include "base/base.h"

struct runner;
struct soft_cpu;

struct direct_way {
	bool direct;            /* in this leg */
	bool trial;             /* it is there to see what the way that lost costs now */
	u32 leg;                /* returns to CPL 3 until it is over */
	u32 n, part_n;          /* ... since it began */
	u64 ns, since, part_ns; /* time since then; until `since` it is in ns */
	u32 stops;              /* of the runner in this leg */
	struct {
		u64 awake_ns, thread_ns, runner_ns; /* time awake, CPU time of the vCPU's thread and of the runner */
	} began;
	struct direct_cost {
		u64 ns, n; /* of so many returns; n is 0: not known */
	} cost[2];         /* translated, direct */
	u32 lost;          /* comparisons in a row that direct execution has lost */
	s64 left;          /* of c->direct.spare, when another address space came */
};
enum direct_choice {
	CHOICE_TRANSLATED,
	CHOICE_DIRECT,
	CHOICE_BAR, /* translated, and it is to be barred: direct_bar() */
};

/* An address space has just been given this runner, and begins with a leg in it. */
void direct_way_begin(struct runner *r, u64 now_ns);
/* n returns to CPL 3 after the last call: which way to go now. now_ns: time during which c did not sleep. */
enum direct_choice direct_choose(struct soft_cpu *c, struct runner *r, u32 n, u64 now_ns);
/* In a leg of translated code: there were so few returns to CPL 3 in took_ns that what was found out before does not
 * hold any more. */
bool direct_way_outdated(const struct direct_way *w, u64 took_ns, u64 returns);
/* r's address space gives it back, and gets none for a while. */
void direct_bar(struct soft_cpu *c, struct runner *r);
/* May the address space of these page tables not have a runner now? */
bool direct_way_barred(struct soft_cpu *c, u64 root);

#endif
