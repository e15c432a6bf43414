/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_choose.c - does an address space do better in its runner or in translated code?
 *
 * Whoever has a runner goes both ways in turn, a *leg* of some returns to CPL 3 each, and what it takes from one return
 * to the next is compared. The way that takes less has the next leg to itself, which is so long that trying the other
 * one afterwards costs one part in TRY_SHARE.
 *
 * Everything counts: the code itself, stops and starts, pages that are mapped and looked at again, translating, the
 * guest's kernel. It varies much from return to return, so it is averaged over some returns of each way. It is CPU
 * time, the vCPU's and the runner's: on a busy host either may wait for longer than it runs, and a short leg sees less
 * of that than a long one.
 *
 * Code that computes for long from one stop of its runner to the next needs no such proof (pace_far_ns()).
 *
 * No floating point here: MXCSR is the guest's.
 *
 * A process that keeps mapping, unmapping and faulting - a JIT compiler that changes the rights of its pages, a garbage
 * collector - pays two stops of its runner for each page fault, and has all its pages compared after each flush of the
 * TLB. It loses comparison after comparison. Even then the guards on its pages of code (direct_code.c) and the marking
 * of pages at each INVLPG cost something in translated code. So after LOST_MAX losses in a row it is barred: it gives
 * the runner back and gets none for a while. Then it has another chance, and is barred for twice as long when it loses
 * again.
 *
 * Stops that come between two returns to CPL 3 are direct_pace.c's. Who makes too many of them is barred at once.
 */
#include "base/clock.h"
#include "cpu/soft/direct/direct_runner.h"
#include "cpu/soft/direct/direct_who.h"
#include "cpu/soft/vm.h"

#define TRY 12u          /* returns of a leg that tries a way */
#define TRY_NS 300000ull /* or fewer, but two, that would take so long directly */
#define TRY_SHARE 40u
#define LEG_NS 100000000ull /* no longer than that: a process changes */
#define MEMORY 64u          /* returns that an average is of */
#define LOST_MAX 4u
#define LOST_AGAIN 1u /* ... of one that was barred before */
#define BAR_NS 500000000ull
#define BAR_MAX_NS 4000000000ull

static void leg(struct runner *r, bool direct, bool trial, u64 returns)
{
	struct direct_way *w = &r->way;

	w->direct = direct;
	w->trial = trial;
	w->leg = (u32)returns;
	w->n = w->part_n = w->stops = 0;
	w->ns = w->part_ns = 0;
	w->began.awake_ns = w->since;
	w->began.thread_ns = clock_thread_ns();
	w->began.runner_ns = runner_cpu_ns(r);
}

void direct_way_begin(struct runner *r, u64 now_ns)
{
	r->way = (struct direct_way){ .since = now_ns };
	pace_begin(&r->pace);
	leg(r, true, true, TRY);
}

/* CPU time of a leg that is over. The thread's CPU time covers all that the vCPU did meanwhile. This address space is
 * charged in proportion to its part of the time. */
static u64 spent(const struct direct_way *w, u64 runner_ns)
{
	u64 all = w->since - w->began.awake_ns, thread = clock_thread_ns() - w->began.thread_ns;

	return (all > w->ns ? mul_div(thread, w->ns, all) : thread) + runner_ns;
}

/* ns from one return to the next; 0: not known. */
static u64 each(const struct direct_cost *k)
{
	return k->n ? MAX(k->ns / k->n, 1ull) : 0;
}

/* Older measurements count for MEMORY returns at most, and for at most four times as much as the new one: processes
 * change. */
static void learn(struct direct_cost *k, u64 ns, u64 n)
{
	u64 most = MIN(4 * n, (u64)MEMORY);

	if (k->n > most) {
		k->ns = mul_div(k->ns, most, k->n);
		k->n = most;
	}
	k->ns += ns;
	k->n += n;
}

/* ---- who may not ---- */

static unsigned slot_of(u64 root)
{
	return (unsigned)((root >> 5) * 0x9e3779b97f4a7c15ull >> 32) % DIRECT_BARS;
}

/* A hash of the tables that the user half of the address space begins with. They stay for as long as a process lives,
 * and are others where its page with the root is a new process's. */
static u64 tables_of(const struct soft_cpu *c, u64 root)
{
	const u8 *p = ram_ptr_ro(c->ram, root, PAGE_BYTES);
	u64 hash = 1;

	for (unsigned i = 0; p && i < 256; i++)
		hash = (hash ^ (ld_le64(p + 8 * (size_t)i) & 0x000ffffffffff000ull)) * 0x9e3779b97f4a7c15ull;
	return hash;
}

bool direct_way_barred(struct soft_cpu *c, u64 root)
{
	struct direct_bar *b = &c->direct.bar[slot_of(root)];

	if (b->root == root && b->tables != tables_of(c, root))
		*b = (struct direct_bar){ 0 };
	return b->root == root && clock_mono_ns() < b->until_ns;
}

void direct_bar(struct soft_cpu *c, struct runner *r)
{
	struct direct_bar *b = &c->direct.bar[slot_of(r->cr3)];
	u64 wait = b->root == r->cr3 ? MIN(b->wait_ns * 2, BAR_MAX_NS) : BAR_NS;

	*b = (struct direct_bar){ r->cr3, tables_of(c, r->cr3), clock_mono_ns() + wait, wait };
	c->direct.st.barred++;
	direct_give_back(c, r);
	direct_spare(c, DIRECT_NEVER);
}

static bool was_barred(const struct soft_cpu *c, u64 root)
{
	return c->direct.bar[slot_of(root)].root == root;
}

/* It did well once: that is worth half of the next wait, and in the end nothing speaks against it any more. */
static void pardon(struct soft_cpu *c, u64 root)
{
	struct direct_bar *b = &c->direct.bar[slot_of(root)];

	if (!was_barred(c, root))
		return;
	b->wait_ns /= 2;
	if (b->wait_ns < BAR_NS)
		*b = (struct direct_bar){ 0 };
}

/* ---- legs ---- */

/* Both costs are known: the better way gets a leg. The one that is over took ns. */
static enum direct_choice compare(struct soft_cpu *c, struct runner *r, u64 ns)
{
	struct direct_way *w = &r->way;
	u64 cost[2] = { each(&w->cost[0]), each(&w->cost[1]) };
	bool direct = cost[1] <= cost[0];
	u64 own = w->n * cost[direct], price;

	/* A difference of an eighth is none. */
	if (direct) {
		w->lost = 0;
		if (cost[0] - cost[1] > cost[0] / 8)
			pardon(c, r->cr3);
	} else if (cost[1] - cost[0] > cost[0] / 8 && !c->vm->direct.always &&
		   ++w->lost >= (was_barred(c, r->cr3) ? LOST_AGAIN : LOST_MAX)) {
		return CHOICE_BAR;
	}
	/* Was it the loser's, then that is what trying it costs. */
	price = w->direct == direct ? TRY * (cost[!direct] - cost[direct]) : ns > own ? ns - own : 0;
	leg(r, direct, false, TRY + MIN(TRY_SHARE * price, LEG_NS) / MAX(cost[direct], 1ull));
	return direct ? CHOICE_DIRECT : CHOICE_TRANSLATED;
}

/* A leg is over, or is not worth its rest. */
static enum direct_choice next_leg(struct soft_cpu *c, struct runner *r)
{
	struct direct_way *w = &r->way;
	bool was = w->direct;
	u64 runner_ns = was ? runner_cpu_ns(r) - w->began.runner_ns : 0, ns = spent(w, runner_ns);

	learn(&w->cost[was], ns, MAX(w->n, 1u));
	if (was && runner_ns >= pace_far_ns(&c->vm->direct.price) * MAX(w->stops, 1u)) {
		w->lost = 0;
		pardon(c, r->cr3);
		leg(r, true, true, TRY);
		return CHOICE_DIRECT;
	}
	if (w->cost[!was].n && w->trial)
		return compare(c, r, ns);
	leg(r, !was, true, was ? MAX(MIN(TRY_NS / MAX(each(&w->cost[1]), 1ull), (u64)TRY), 2ull) : TRY);
	return w->direct ? CHOICE_DIRECT : CHOICE_TRANSLATED;
}

enum direct_choice direct_choose(struct soft_cpu *c, struct runner *r, u32 n, u64 now_ns)
{
	struct direct_way *w = &r->way;

	w->ns += now_ns - w->since;
	w->since = now_ns;
	w->n += n;
	if (w->n >= w->leg)
		return next_leg(c, r);
	if (!w->direct)
		return CHOICE_TRANSLATED;
	u64 other = each(&w->cost[0]), own = each(&w->cost[1]);
	if (w->trial && other && w->n >= 3 && w->ns > 4 * other * w->n)
		return next_leg(c, r); /* hopeless */
	if (w->n - w->part_n >= 32) {
		/* Returns come much faster than when this was found to be right. */
		u64 part = (w->ns - w->part_ns) / (w->n - w->part_n);
		if (own && part < own / 4) {
			w->cost[0] = (struct direct_cost){ 0 };
			w->cost[1] = (struct direct_cost){ part, 1 };
			leg(r, false, true, TRY);
			return CHOICE_TRANSLATED;
		}
		w->part_n = w->n;
		w->part_ns = w->ns;
	}
	return CHOICE_DIRECT;
}

bool direct_way_outdated(const struct direct_way *w, u64 took_ns, u64 returns)
{
	u64 known = each(&w->cost[0]);

	return !w->direct && took_ns / MAX(returns, 1ull) > 4 * known;
}
