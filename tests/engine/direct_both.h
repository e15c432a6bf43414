/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direct_both.h - for tests of direct execution: scenarios that are gone through directly and interpreted,
 * and must come out alike; random numbers for them. */
#ifndef MICA_TEST_DIRECT_BOTH_H
#define MICA_TEST_DIRECT_BOTH_H

#include "direct_rig.h"

/* Through the scenario directly and interpreted; both must come out alike. */
static inline void both(const char *model, void (*scenario)(struct rig *))
{
	struct rig *r[2];

	need();
	for (unsigned i = 0; i < 2; i++) {
		r[i] = open_rig(model, 1, !i);
		assert_true(i || r[i]->soft->direct.n);
		scenario(r[i]);
		if (!i)
			assert_true(stats(r[i])->starts > 0);
		else
			assert_int_equal(stats(r[i])->starts, 0);
	}
	for (unsigned i = 0; i < MAX(r[0]->nlog, r[1]->nlog); i++)
		if (i >= r[0]->nlog || i >= r[1]->nlog || r[0]->log[i] != r[1]->log[i])
			fail_msg("note %u: %llx directly, %llx interpreted", i,
				 (unsigned long long)(i < r[0]->nlog ? r[0]->log[i] : 0),
				 (unsigned long long)(i < r[1]->nlog ? r[1]->log[i] : 0));
	close_rig(r[0]);
	close_rig(r[1]);
}

static u64 rng_state = 1;
static inline u64 rnd(void)
{
	u64 z = (rng_state += 0x9e3779b97f4a7c15ull);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}
static inline void random_registers(struct frame *f)
{
	u64 *v = &f->r15;

	for (unsigned i = 0; i < 15; i++)
		v[i] = rnd();
}

#endif
