/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bus.c - look-up of who answers at an address.
 *
 * Theory of operation: each address space is one sorted array of fixed capacity, read under a sequence
 * counter: a reader copies the entry it wants and looks again whether a writer came by; it takes no
 * lock and writes nothing shared. Writers (guests moving BARs, rare) serialize on a mutex and make the
 * counter odd while they edit. Nothing is allocated by what a guest does.
 *
 * I/O ports may nest: a region wholly inside another answers the accesses that fit into it (the reset
 * register 0xcf9 inside the PCI address register 0xcf8-0xcfb), the outer one the rest. Memory may not.
 *
 * An access that crosses the end of its region is split into bytes, so that a device never sees an
 * offset beyond its size. An access that had looked up before an unmap may still arrive just after
 * it: what `dev` points to lives as long as the vCPUs run.
 */
#include "machine/bus.h"

#include "machine/doorbell.h"

#include <pthread.h>
#include <sched.h>

#define BUS_REGIONS_MAX 256
#define NO_PARENT (-1)

struct entry {
	u64 first, last; /* inclusive, so that the end of the address space needs no special case */
	struct io_region *r;
	int parent; /* the innermost region around this one */
};

struct space {
	u32 seq; /* odd while being edited */
	unsigned n;
	bool nests;
	struct entry e[BUS_REGIONS_MAX];
};

struct bus {
	pthread_mutex_t lock; /* writers of both spaces */
	struct space mmio, pio;
	struct doorbell_maker maker; /* set NULL: nobody offers doorbells */
};

struct hit {
	const struct io_ops *ops;
	void *dev;
	u64 base;
};

struct bus *bus_new(void)
{
	struct bus *b = xcalloc(1, sizeof(*b));

	pthread_mutex_init(&b->lock, NULL);
	b->pio.nests = true;
	return b;
}

void bus_free(struct bus *b)
{
	if (!b)
		return;
	pthread_mutex_destroy(&b->lock);
	free(b);
}

enum { NOBODY = -1, SEVERAL = -2 };

/*
 * The innermost entry that holds all of [first, last]; NOBODY when no entry holds any of it; SEVERAL
 * when it has to be split. Bounded whatever it reads.
 */
static int find(const struct space *s, u64 first, u64 last)
{
	unsigned n = MIN(__atomic_load_n(&s->n, __ATOMIC_RELAXED), BUS_REGIONS_MAX), lo = 0, hi = n;
	int found = NOBODY;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (__atomic_load_n(&s->e[mid].first, __ATOMIC_RELAXED) <= first)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < n && __atomic_load_n(&s->e[lo].first, __ATOMIC_RELAXED) <= last)
		found = SEVERAL;
	for (int i = (int)lo - 1, steps = 0; i >= 0 && i < BUS_REGIONS_MAX && steps < BUS_REGIONS_MAX; steps++) {
		u64 end = __atomic_load_n(&s->e[i].last, __ATOMIC_RELAXED);

		if (end >= last)
			return i;
		if (end >= first)
			found = SEVERAL;
		i = __atomic_load_n(&s->e[i].parent, __ATOMIC_RELAXED);
	}
	return found;
}

/* Who takes the access: fills *h, or says NOBODY or SEVERAL. */
static int lookup(const struct space *s, u64 first, unsigned bytes, struct hit *h)
{
	u64 last = first + bytes - 1;

	if (unlikely(last < first))
		return SEVERAL; /* around the end of the address space */
	for (;;) {
		u32 seq = __atomic_load_n(&s->seq, __ATOMIC_ACQUIRE);
		struct io_region *r = NULL;
		u64 base = 0;

		if (unlikely(seq & 1)) {
			sched_yield();
			continue;
		}
		int i = find(s, first, last);
		if (i >= 0) {
			r = __atomic_load_n(&s->e[i].r, __ATOMIC_RELAXED);
			base = __atomic_load_n(&s->e[i].first, __ATOMIC_RELAXED);
		}
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (unlikely(__atomic_load_n(&s->seq, __ATOMIC_RELAXED) != seq))
			continue;
		if (i >= 0)
			*h = (struct hit){ .ops = r->ops, .dev = r->dev, .base = base };
		return i;
	}
}

/* ---- editing, under b->lock ---- */

static void edit_begin(struct space *s)
{
	__atomic_store_n(&s->seq, s->seq + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void edit_end(struct space *s)
{
	__atomic_store_n(&s->seq, s->seq + 1, __ATOMIC_RELEASE);
}

static void put_entry(struct space *s, unsigned i, const struct entry *e)
{
	__atomic_store_n(&s->e[i].first, e->first, __ATOMIC_RELAXED);
	__atomic_store_n(&s->e[i].last, e->last, __ATOMIC_RELAXED);
	__atomic_store_n(&s->e[i].r, e->r, __ATOMIC_RELAXED);
}

/* Entries are sorted by first ascending, then by last descending: a parent precedes its children. */
static void link_parents(struct space *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		int p = (int)i - 1;

		while (p >= 0 && s->e[p].last < s->e[i].last)
			p = s->e[p].parent;
		__atomic_store_n(&s->e[i].parent, p < 0 ? NO_PARENT : p, __ATOMIC_RELAXED);
	}
}

static bool may_coexist(const struct space *s, const struct entry *a, const struct entry *b)
{
	if (a->last < b->first || b->last < a->first)
		return true;
	if (!s->nests || (a->first == b->first && a->last == b->last))
		return false;
	return (a->first <= b->first && a->last >= b->last) || (b->first <= a->first && b->last >= a->last);
}

static void tell_latches(struct bus *b, const struct io_region *r, bool pio, bool on)
{
	for (const struct io_latch *l = r->latches; l && b->maker.latch; l = l->next)
		b->maker.latch(b->maker.opaque, pio, r->base + l->off, l->bytes, on);
}

static int space_add(struct space *s, struct io_region *r, u64 base, u64 bytes)
{
	struct entry e = { .first = base, .last = base + bytes - 1, .r = r, .parent = NO_PARENT };
	unsigned at = 0;

	must(!r->mapped);
	if (bytes == 0 || e.last < e.first)
		return -EINVAL;
	if (s->n == BUS_REGIONS_MAX)
		return -ENOSPC;
	for (unsigned i = 0; i < s->n; i++) {
		if (!may_coexist(s, &s->e[i], &e))
			return -EBUSY;
		if (s->e[i].first < e.first || (s->e[i].first == e.first && s->e[i].last > e.last))
			at = i + 1;
	}
	edit_begin(s);
	for (unsigned i = s->n; i > at; i--)
		put_entry(s, i, &s->e[i - 1]);
	put_entry(s, at, &e);
	__atomic_store_n(&s->n, s->n + 1, __ATOMIC_RELAXED);
	link_parents(s);
	edit_end(s);
	r->base = base;
	r->bytes = bytes;
	r->mapped = true;
	return 0;
}

static void space_del(struct space *s, struct io_region *r)
{
	unsigned at = 0;

	if (!r->mapped)
		return;
	while (at < s->n && s->e[at].r != r)
		at++;
	must(at < s->n);
	edit_begin(s);
	for (unsigned i = at; i + 1 < s->n; i++)
		put_entry(s, i, &s->e[i + 1]);
	__atomic_store_n(&s->n, s->n - 1, __ATOMIC_RELAXED);
	link_parents(s);
	edit_end(s);
	r->mapped = false;
}

int bus_map_mmio(struct bus *b, struct io_region *r, gpa_t base, u64 bytes)
{
	pthread_mutex_lock(&b->lock);
	int rc = space_add(&b->mmio, r, base, bytes);
	if (rc == 0 && r->bells)
		doorbells_map(r->bells, base);
	if (rc == 0)
		tell_latches(b, r, false, true);
	pthread_mutex_unlock(&b->lock);
	return rc;
}

int bus_map_pio(struct bus *b, struct io_region *r, u16 base, u16 bytes)
{
	if ((u32)base + bytes > 0x10000)
		return -EINVAL;
	pthread_mutex_lock(&b->lock);
	int rc = space_add(&b->pio, r, base, bytes);
	if (rc == 0)
		tell_latches(b, r, true, true);
	pthread_mutex_unlock(&b->lock);
	return rc;
}

void bus_unmap_mmio(struct bus *b, struct io_region *r)
{
	pthread_mutex_lock(&b->lock);
	if (r->bells && r->mapped)
		doorbells_unmap(r->bells);
	if (r->mapped)
		tell_latches(b, r, false, false);
	space_del(&b->mmio, r);
	pthread_mutex_unlock(&b->lock);
}

void bus_unmap_pio(struct bus *b, struct io_region *r)
{
	pthread_mutex_lock(&b->lock);
	if (r->mapped)
		tell_latches(b, r, true, false);
	space_del(&b->pio, r);
	pthread_mutex_unlock(&b->lock);
}

void bus_offer_doorbells(struct bus *b, const struct doorbell_maker *m)
{
	b->maker = *m;
	/* The board's own chips are there already. */
	for (unsigned i = 0; i < b->mmio.n; i++)
		tell_latches(b, b->mmio.e[i].r, false, true);
	for (unsigned i = 0; i < b->pio.n; i++)
		tell_latches(b, b->pio.e[i].r, true, true);
}

void bus_add_latch(struct io_region *r, struct io_latch *l)
{
	must(!r->mapped);
	l->next = r->latches;
	r->latches = l;
}

void bus_add_doorbells(struct bus *b, struct io_region *r, u64 off, unsigned step, unsigned n)
{
	must(!r->mapped && !r->bells);
	if (b->maker.set)
		r->bells = doorbells_new(&b->maker, r, off, step, n);
}

void bus_del_doorbells(struct io_region *r)
{
	must(!r->mapped);
	doorbells_free(r->bells);
	r->bells = NULL;
}

/* ---- accesses ---- */

static u64 all_ones(unsigned bytes)
{
	return bytes >= 8 ? UINT64_MAX : (1ull << (bytes * 8)) - 1;
}

static u64 space_read(const struct space *s, u64 addr, unsigned bytes)
{
	struct hit h;
	u64 v = 0;
	int i = lookup(s, addr, bytes, &h);

	if (likely(i >= 0)) {
		unsigned part = h.ops->max_bytes ? MIN(h.ops->max_bytes, bytes) : bytes;

		if (!h.ops->read)
			return all_ones(bytes);
		for (unsigned at = 0; at < bytes; at += part)
			v |= (h.ops->read(h.dev, addr - h.base + at, part) & all_ones(part)) << (8 * at);
		return v;
	}
	if (i == NOBODY || bytes == 1)
		return all_ones(bytes);
	for (unsigned at = 0; at < bytes; at++)
		v |= (addr + at < addr ? 0xff : space_read(s, addr + at, 1)) << (8 * at);
	return v;
}

static void space_write(const struct space *s, u64 addr, unsigned bytes, u64 val)
{
	struct hit h;
	int i = lookup(s, addr, bytes, &h);

	if (likely(i >= 0)) {
		unsigned part = h.ops->max_bytes ? MIN(h.ops->max_bytes, bytes) : bytes;

		for (unsigned at = 0; h.ops->write && at < bytes; at += part)
			h.ops->write(h.dev, addr - h.base + at, part, (val >> (8 * at)) & all_ones(part));
		return;
	}
	if (i == NOBODY || bytes == 1)
		return;
	for (unsigned at = 0; at < bytes && addr + at >= addr; at++)
		space_write(s, addr + at, 1, (val >> (8 * at)) & 0xff);
}

u64 bus_mmio_read(struct bus *b, gpa_t gpa, unsigned bytes)
{
	return space_read(&b->mmio, gpa, bytes);
}

void bus_mmio_write(struct bus *b, gpa_t gpa, unsigned bytes, u64 val)
{
	space_write(&b->mmio, gpa, bytes, val);
}

u32 bus_pio_read(struct bus *b, u16 port, unsigned bytes)
{
	return (u32)space_read(&b->pio, port, bytes);
}

void bus_pio_write(struct bus *b, u16 port, unsigned bytes, u32 val)
{
	space_write(&b->pio, port, bytes, val);
}
