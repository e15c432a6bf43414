/* SPDX-License-Identifier: GPL-2.0-or-later */
/* halt_poll.c - see halt_poll.h. */
#include "cpu/soft/halt_poll.h"

static void rest(struct halt_poll *p, u64 now_ns)
{
	p->rest_ns = p->rest_ns && p->paid < HALT_PAID ? MIN(2 * p->rest_ns, HALT_REST_MAX_NS) : HALT_REST_MIN_NS;
	p->rest_until_ns = now_ns + p->rest_ns;
	p->vain = p->paid = p->shorts = 0;
}

bool halt_poll_wanted(const struct halt_poll *p, u64 now_ns)
{
	return p->shorts >= HALT_SHORT_RUN && now_ns >= p->rest_until_ns;
}

void halt_poll_ended(struct halt_poll *p, u64 now_ns, enum halt_poll_end how)
{
	switch (how) {
	case HALT_FOUND:
		if (p->vain)
			p->vain--;
		if (p->paid < HALT_PAID)
			p->paid++;
		break;
	case HALT_NOTHING:
		if (++p->vain == HALT_VAIN_MAX)
			rest(p, now_ns);
		break;
	case HALT_GAP:
		rest(p, now_ns);
		break;
	}
}

void halt_poll_slept(struct halt_poll *p, u64 halted_ns)
{
	if (halted_ns >= HALT_SHORT_NS)
		p->shorts = 0;
	else if (p->shorts < HALT_SHORT_RUN)
		p->shorts++;
}

bool halt_poll_looks(const struct halt_poll *p, u64 now_ns)
{
	return now_ns - p->looked_ns >= HALT_LOOK_NS;
}

void halt_poll_look(struct halt_poll *p, u64 now_ns, u64 switches)
{
	bool recent = now_ns - p->looked_ns < HALT_LOOK_OLD_NS, crowded = recent && switches != p->switches;

	p->looked_ns = now_ns;
	p->switches = switches;
	if (crowded)
		rest(p, now_ns);
}
