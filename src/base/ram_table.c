/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ram_table.c - the table of extents: edits, and how they come into force. See ram.h. */
#include "base/ram.h"

#define GPA_END (1ull << 52) /* the largest physical address of the architecture (SDM 3A 4.1.4) */

void ram_init(struct ram *r)
{
	struct ram_extent all = { .name = "RAM", .bytes = r->bytes };

	pthread_mutex_init(&r->lock, NULL);
	u64 end = ROUND_UP(r->bytes, RAM_PIECE_ALIGN);
	r->ones_off = end + RAM_PIECE_ALIGN / 2; /* nothing beside it: tests have guard pages there */
	r->pieces = r->used = end + RAM_PIECE_ALIGN;
	must(r->used <= r->capacity);
	must(ram_add(r, &all, NULL) == 0 && ram_commit(r, NULL) == 0);
}

/* ---- edits ---- */

static bool whole_pages(u64 n)
{
	return n % PAGE_BYTES == 0;
}

/* Can x be entry `id`? r->lock held. */
static int check(const struct ram *r, int id, const struct ram_extent *x, struct err *e)
{
	if (!x->bytes || !whole_pages(x->gpa | x->bytes | x->off) || x->gpa >= GPA_END || x->bytes > GPA_END - x->gpa)
		return err_set(e, EINVAL, "%s: memory of %#llx bytes at %#llx is not in whole pages within 52 bits",
			       x->name, (unsigned long long)x->bytes, (unsigned long long)x->gpa);
	if (x->off > r->capacity || x->bytes > r->capacity - x->off)
		return err_set(e, EINVAL, "%s: guest memory has no %#llx bytes at offset %#llx", x->name,
			       (unsigned long long)x->bytes, (unsigned long long)x->off);
	for (int i = 0; i < RAM_EXTENTS_MAX; i++) {
		const struct ram_extent *o = &r->next[i];

		if (i != id && o->bytes && x->gpa < o->gpa + o->bytes && o->gpa < x->gpa + x->bytes)
			return err_set(e, EEXIST, "%s: at %#llx is %s already", x->name,
				       (unsigned long long)MAX(x->gpa, o->gpa), o->name);
	}
	return 0;
}

static void edited(struct ram *r)
{
	atomic_store_explicit(&r->edited, true, memory_order_release);
}

int ram_add(struct ram *r, const struct ram_extent *x, struct err *e)
{
	int id = 0, rc;

	pthread_mutex_lock(&r->lock);
	while (id < RAM_EXTENTS_MAX && r->next[id].bytes)
		id++;
	rc = check(r, id, x, e);
	if (rc == 0 && id == RAM_EXTENTS_MAX)
		rc = err_set(e, ENOSPC, "%s: there are %d pieces of memory already, and there can be no more", x->name,
			     RAM_EXTENTS_MAX);
	if (rc == 0) {
		r->next[id] = *x;
		edited(r);
	}
	pthread_mutex_unlock(&r->lock);
	return rc < 0 ? rc : id;
}

/* r->lock held. */
static struct ram_extent *entry(struct ram *r, int id)
{
	must(id >= 0 && id < RAM_EXTENTS_MAX && r->next[id].bytes);
	return &r->next[id];
}

void ram_remove(struct ram *r, int id)
{
	pthread_mutex_lock(&r->lock);
	*entry(r, id) = (struct ram_extent){ 0 };
	edited(r);
	pthread_mutex_unlock(&r->lock);
}

void ram_set_readonly(struct ram *r, int id, bool readonly)
{
	pthread_mutex_lock(&r->lock);
	struct ram_extent *x = entry(r, id);
	if (x->readonly != readonly) {
		x->readonly = readonly;
		edited(r);
	}
	pthread_mutex_unlock(&r->lock);
}

int ram_move(struct ram *r, int id, gpa_t gpa, struct err *e)
{
	pthread_mutex_lock(&r->lock);
	struct ram_extent *x = entry(r, id), to = *x;
	to.gpa = gpa;
	int rc = check(r, id, &to, e);
	if (rc == 0 && x->gpa != gpa) {
		x->gpa = gpa;
		edited(r);
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

/* ---- into force ---- */

static int by_gpa(const void *a, const void *b)
{
	const struct ram_range *x = a, *y = b;

	return x->gpa < y->gpa ? -1 : x->gpa > y->gpa;
}

static int by_size(const void *a, const void *b)
{
	const struct ram_range *x = a, *y = b;

	return x->bytes > y->bytes ? -1 : x->bytes < y->bytes;
}

static unsigned make_ranges(const struct ram_extent x[RAM_EXTENTS_MAX], struct ram_range out[RAM_EXTENTS_MAX])
{
	unsigned n = 0, merged = 0;

	for (int i = 0; i < RAM_EXTENTS_MAX; i++)
		if (x[i].bytes)
			out[n++] = (struct ram_range){ x[i].gpa, x[i].bytes, x[i].off, x[i].readonly };
	qsort(out, n, sizeof(*out), by_gpa);
	for (unsigned i = 0; i < n; i++) {
		struct ram_range *last = merged ? &out[merged - 1] : NULL;

		if (last && last->gpa + last->bytes == out[i].gpa && last->off + last->bytes == out[i].off &&
		    last->readonly == out[i].readonly)
			last->bytes += out[i].bytes;
		else
			out[merged++] = out[i];
	}
	qsort(out, merged, sizeof(*out), by_size);
	return merged;
}

/* Readers that are no vCPUs may be in the midst of it: they see seq, and look again. */
static void put_ranges(struct ram *r, const struct ram_range *x, unsigned n)
{
	__atomic_store_n(&r->seq, r->seq + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	__atomic_store_n(&r->nranges, n, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < n; i++) {
		__atomic_store_n(&r->range[i].gpa, x[i].gpa, __ATOMIC_RELAXED);
		__atomic_store_n(&r->range[i].bytes, x[i].bytes, __ATOMIC_RELAXED);
		__atomic_store_n(&r->range[i].off, x[i].off, __ATOMIC_RELAXED);
		__atomic_store_n(&r->range[i].readonly, x[i].readonly, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&r->seq, r->seq + 1, __ATOMIC_RELEASE);
}

int ram_commit(struct ram *r, struct err *e)
{
	struct ram_range ranges[RAM_EXTENTS_MAX];

	pthread_mutex_lock(&r->lock);
	bool any = atomic_exchange(&r->edited, false);
	if (any) {
		memcpy(r->now, r->next, sizeof(r->now));
		unsigned n = make_ranges(r->now, ranges);
		put_ranges(r, ranges, n);
	}
	pthread_mutex_unlock(&r->lock);
	return any && r->watch.committed ? r->watch.committed(r->watch.opaque, e) : 0;
}

void ram_wrote(const struct ram *r, gpa_t gpa, u64 bytes)
{
	while (bytes && r->watch.wrote) {
		bool readonly;
		u64 n = MIN(bytes, PAGE_BYTES - (gpa & (PAGE_BYTES - 1)));
		const u8 *p = ram_find_checked(r, gpa, bytes, &readonly);

		/* In one piece, as a rule; else page by page. */
		if (p)
			n = bytes;
		else
			p = ram_find_checked(r, gpa, n, &readonly);
		if (p)
			ram_wrote_at(r, (u64)(p - r->host), n);
		gpa += n;
		bytes -= n;
	}
}
