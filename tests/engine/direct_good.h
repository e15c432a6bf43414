/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direct_good.h - for tests of direct execution: is everything as it should be after what a guest did, or what
 * happened to a runner? */
#ifndef MICA_TEST_DIRECT_GOOD_H
#define MICA_TEST_DIRECT_GOOD_H

#include "direct_rig.h"

/* After whatever it was: does an ordinary process still compute, and is it still executed directly? */
static inline void good_process(struct rig *r, unsigned space, bool direct)
{
	struct frame *f = enter(r, 0, space, user(u_mix));
	u64 starts = stats(r)->starts, want[15];
	bool pass = r->pass_intr;

	r->pass_intr = true;
	for (unsigned k = 0; k < 2; k++) {
		memset(f, 0, 15 * 8);
		f->rax = 1, f->r8 = 2, f->r10 = 3, f->r14 = 4;
		f->rbp = 50;
		f = go(r, 0);
		assert_int_equal(f->vec, V_SYSCALL);
		if (k)
			assert_memory_equal(want, f, sizeof(want));
		memcpy(want, f, sizeof(want));
		f->rip = user(u_mix);
		f->rflags = 0x202;
	}
	assert_int_equal(want[10], 0); /* RBP */
	if (direct)
		assert_true(stats(r)->starts > starts);
	r->pass_intr = pass;
}

static inline unsigned alive(struct rig *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->soft->direct.n; i++)
		n += r->soft->direct.r[i]->alive;
	return n;
}

#endif
