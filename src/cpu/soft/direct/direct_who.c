/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_who.c - which address space has which runner, and who is let in. See direct.h.
 *
 * A VM has two runners for each vCPU, which are dead (without a process) until somebody needs them. A vCPU takes a free
 * one for an address space that computes; when there is none it takes the least recently used of its own. Only its
 * owner may take a runner away.
 */
#include "cpu/soft/direct/direct_who.h"

#include "cpu/soft/direct/direct.h"
#include "cpu/soft/direct/direct_map.h"
#include "cpu/soft/direct/direct_regs.h"
#include "cpu/soft/direct/direct_zygote.h"

/* An address space is let in when an interrupt finds it at CPL 3, as did the last one so long ago, and kernels were
 * entered no more often since than once in pace_entry_ns(). */
#define WINDOW_NS 2000000ull
#define IDLE_NS 50000000ull /* a runner not used for so long may be given to somebody else */

static u64 root_of(const struct soft_cpu *c)
{
	return c->cr3 & 0x000ffffffffff000ull;
}

/* The PCID that its address space had is another one's. */
static void detach(struct soft_cpu *c, struct runner *r)
{
	if (r->space != DIRECT_NOWHERE)
		c->direct.of[r->space] = NULL;
	r->space = DIRECT_NOWHERE;
}

/* One of c's own that has the address space in use, known by its page tables. NULL: none. */
static struct runner *attach(struct soft_cpu *c)
{
	struct direct *d = &c->vm->direct;

	for (unsigned i = 0; i < d->n; i++) {
		struct runner *r = d->r[i];
		if (__atomic_load_n(&r->cpu, __ATOMIC_RELAXED) != c || r->cr3 != root_of(c))
			continue;
		detach(c, r);
		r->space = c->space;
		c->direct.of[c->space] = r;
		/* What was invalidated in between nobody told it. */
		direct_flush(c, c->space);
		return r;
	}
	return NULL;
}

bool direct_born(struct direct *d, struct runner *r, enum birth how)
{
	if (how != BIRTH_OK) {
		/* A host that refuses the first one refuses all. */
		if (!d->born) {
			d->why = runner_birth_text(how);
			if (how != BIRTH_NO_MEMORY)
				direct_zygote_stop(&d->zygote);
		}
		return false;
	}
	direct_map_begin(r->map);
	if (!d->born) {
		struct direct_price price = d->price;
		d->host = r->host;
		runner_measure(r, &price);
		__atomic_store_n(&d->price.thread_ns, price.thread_ns, __ATOMIC_RELAXED);
		__atomic_store_n(&d->price.runner_ns, price.runner_ns, __ATOMIC_RELAXED);
		d->why = NULL;
		d->born = true;
	}
	return true;
}

/* With d->lock: one that is dead and nobody's comes to life. */
static bool renew(struct direct *d, u64 now)
{
	enum birth how;

	for (unsigned i = 0; i < d->n; i++)
		if (!d->r[i]->alive && !d->r[i]->cpu)
			return direct_zygote_renew(&d->zygote, d->r[i], now, &how) && direct_born(d, d->r[i], how);
	return false;
}

/* With d->lock: the one to take for c; `more`: it may have another one. */
static struct runner *choose_runner(const struct soft_cpu *c, u64 now, bool more)
{
	const struct direct *d = &c->vm->direct;
	struct runner *best = NULL;

	for (unsigned i = 0; i < d->n; i++) {
		struct runner *r = d->r[i];
		/* Another vCPU's own is only its to take away. */
		if (r->alive && ((!r->cpu && more) || (r->cpu == c && now - r->used_ns > IDLE_NS)) &&
		    (!best || !r->cpu || (best->cpu && r->used_ns < best->used_ns)))
			best = r;
	}
	return best;
}

/* For an address space of c that has none: a free one, or who has not used his for the longest time. */
static struct runner *take(struct soft_cpu *c)
{
	struct direct *d = &c->vm->direct;
	struct runner *best;
	unsigned own = 0;
	u64 now = clock_mono_ns();

	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < d->n; i++)
		own += d->r[i]->cpu == c;
	bool more = own < MAX(d->n / c->vm->ncpus, 1u);
	best = choose_runner(c, now, more);
	if (more && (!best || best->cpu) && renew(d, now))
		best = choose_runner(c, now, more);
	if (best) {
		detach(c, best);
		/* Or the next process could read the last one's addresses, registers, and what it left for it to find.
		 */
		runner_wipe(best);
		c->direct.own += !best->cpu;
		pthread_mutex_lock(&c->tlb_lock);
		__atomic_store_n(&best->cpu, c, __ATOMIC_RELAXED);
		direct_map_forget(best);
		pthread_mutex_unlock(&c->tlb_lock);
		best->space = c->space;
		best->cr3 = root_of(c);
		direct_way_begin(best, direct_awake_ns(c));
		best->fault.waits = best->resumes = false;
		best->used_ns = now;
		c->direct.of[c->space] = best;
	}
	pthread_mutex_unlock(&d->lock);
	return best;
}

void direct_give_back(struct soft_cpu *c, struct runner *r)
{
	struct direct *d = &c->vm->direct;

	pthread_mutex_lock(&d->lock);
	detach(c, r);
	c->direct.own--;
	if (c->direct.now == r)
		c->direct.now = NULL;
	pthread_mutex_lock(&c->tlb_lock);
	__atomic_store_n(&r->cpu, NULL, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&c->tlb_lock);
	pthread_mutex_unlock(&d->lock);
}

void direct_switched(struct soft_cpu *c)
{
	struct runner *r = c->direct.of[c->space], *old = c->direct.now;

	if (c->direct.own && (!r || r->cr3 != root_of(c))) {
		if (r)
			detach(c, r);
		r = attach(c);
	}
	if (r == old)
		return;
	u64 now = direct_awake_ns(c);
	if (old) {
		if (!old->way.direct)
			old->way.n += (u32)(c->direct.spare_from - c->direct.spare);
		old->way.ns += now - old->way.since;
		old->way.left = c->direct.spare;
	}
	if (r)
		r->way.since = now;
	c->direct.now = r;
	c->direct.seen_ns = now;
	direct_spare(c, r ? r->way.left : c->vm->direct.always ? 0 : DIRECT_NEVER);
}

bool direct_possible(const struct soft_cpu *c)
{
	const struct cpu_seg *s = c->seg;
	u64 end = c->vm->direct.base_end;

	if (unlikely(end && (s[SEG_FS].base >= end || s[SEG_GS].base >= end)))
		return false;
	return c->cpl == 3 && (c->mode & (MODE_CODE64 | MODE_LMA | MODE_PE)) == (MODE_CODE64 | MODE_LMA | MODE_PE) &&
	       s[SEG_CS].sel == USER_CS && s[SEG_SS].sel == USER_SS && !s[SEG_DS].sel && !s[SEG_ES].sel &&
	       !s[SEG_FS].sel && !s[SEG_GS].sel && !(c->sysflags & (FL_TF | FL_IOPL | FL_RF | FL_VM | LOST_FLAGS)) &&
	       (c->sysflags & FL_IF) && !(c->dr7 & 0xff) && !c->shadow && mmu_index(c) == TLB_USER && !c->trace &&
	       !c->jit.check && (c->vec_ok & c->vm->direct.vec_ok) == c->vm->direct.vec_ok && soft_canonical(c->rip) &&
	       soft_canonical(s[SEG_FS].base) && soft_canonical(s[SEG_GS].base);
}

void direct_let_in(struct soft_cpu *c)
{
	if (c->direct.of[c->space] || !direct_possible(c) || direct_way_barred(c, root_of(c)) || !take(c))
		return;
	c->direct.st.let_in++;
	c->direct.now = c->direct.of[c->space];
	direct_spare(c, 0);
}

void direct_interrupt(struct soft_cpu *c)
{
	if (!c->vm->direct.n || c->vm->direct.always)
		return;
	/* What comes is a return to CPL 3 like any other: a program that is stopped by interrupts alone is judged by
	 * them. */
	if (c->direct.now)
		c->direct.now->resumes = false;
	const struct direct_price price = { __atomic_load_n(&c->vm->direct.price.thread_ns, __ATOMIC_RELAXED),
					    __atomic_load_n(&c->vm->direct.price.runner_ns, __ATOMIC_RELAXED) };
	u64 now = direct_awake_ns(c), took = now - c->direct.seen_ns;
	s64 entries = c->direct.seen_spare - c->direct.spare;

	if (took < WINDOW_NS)
		return;
	/* By everybody together; and two such interrupts in a row, as in a kernel that works for long there are few,
	 * too. */
	bool user = c->cpl == 3, computes = user && c->direct.seen_user && (u64)entries * pace_entry_ns(&price) <= took;
	c->direct.seen_ns = now;
	c->direct.seen_user = user;
	if (!c->direct.now) {
		direct_spare(c, DIRECT_NEVER);
		if (computes)
			direct_let_in(c);
		return;
	}
	/* It computes for longer than it did when translated code was found to be right: the rest of the leg is not
	 * waited for. */
	if (computes && direct_way_outdated(&c->direct.now->way, took, (u64)entries)) {
		c->direct.spare_from -= c->direct.spare;
		c->direct.spare = 0;
		c->direct.now->way.leg = 1;
	}
	c->direct.seen_spare = c->direct.spare;
}
