/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_cache.c - see image_cache.h. */
#include "block/image_cache.h"
#include "image/image.h"

#define FINE 65536u
#define COARSE 4096u
#define COARSE_SHIFT 25u
#define SPREAD 64u /* granules that one answer fills at most */

struct entry {
	struct image_cache_run r;
	u32 epoch;
};

struct image_cache {
	unsigned shift;
	bool readonly;
	u32 epoch; /* entries of another one are void; 0 is never one */
	struct entry coarse[COARSE], fine[FINE];
};

/* Fibonacci hashing: neighbours go far from each other, and no stride of a file system's meets itself. */
static unsigned hash(u64 n, unsigned entries)
{
	return (unsigned)((n * 0x9e3779b97f4a7c15ull) >> 32) & (entries - 1);
}

struct image_cache *image_cache_new(u64 unit, bool readonly)
{
	struct image_cache *c = xcalloc(1, sizeof(*c)); /* what is not touched takes no memory */
	unsigned shift = unit ? (unsigned)__builtin_ctzll(unit) : 16;

	c->shift = MIN(MAX(shift, 12u), 21u);
	c->readonly = readonly;
	c->epoch = 1;
	return c;
}

void image_cache_free(struct image_cache *c)
{
	free(c);
}

static bool hit(const struct image_cache *c, const struct entry *e, u64 off)
{
	return e->epoch == c->epoch && off >= e->r.start && off < e->r.end;
}

bool image_cache_find(const struct image_cache *c, u64 off, struct image_cache_run *out)
{
	const struct entry *e = &c->fine[hash(off >> c->shift, FINE)];

	if (!hit(c, e, off)) {
		e = &c->coarse[hash(off >> COARSE_SHIFT, COARSE)];
		if (!hit(c, e, off))
			return false;
	}
	*out = e->r;
	out->off += off - out->start;
	out->start = off;
	return true;
}

static bool lasts(const struct image_cache *c, const struct image_cache_run *r)
{
	return c->readonly || (r->kind == IMAGE_DATA && r->in_place);
}

void image_cache_put(struct image_cache *c, const struct image_cache_run *r, u64 at)
{
	u64 first = MAX(r->start, at) >> c->shift, last = (r->end - 1) >> c->shift;
	bool whole = lasts(c, r);

	if (whole && r->end - r->start >= 1ull << COARSE_SHIFT)
		c->coarse[hash(at >> COARSE_SHIFT, COARSE)] = (struct entry){ *r, c->epoch };
	last = MIN(last, first + SPREAD - 1);
	for (u64 g = first; g <= last; g++) {
		struct entry *e = &c->fine[hash(g, FINE)];
		*e = (struct entry){ *r, c->epoch };
		if (whole)
			continue;
		e->r.start = MAX(r->start, g << c->shift);
		e->r.end = MIN(r->end, (g + 1) << c->shift);
		e->r.off += e->r.start - r->start;
	}
}

void image_cache_placed(struct image_cache *c, u64 off, u64 bytes)
{
	u64 first = off >> c->shift, last = (off + bytes - 1) >> c->shift;

	if (last - first >= FINE) {
		image_cache_forget(c);
		return;
	}
	for (u64 g = first; g <= last; g++) {
		struct entry *e = &c->fine[hash(g, FINE)];
		if (e->r.end > off && e->r.start < off + bytes)
			e->epoch = 0;
	}
}

void image_cache_forget(struct image_cache *c)
{
	if (++c->epoch)
		return;
	memset(c->fine, 0, sizeof(c->fine)); /* all numbers were used once */
	memset(c->coarse, 0, sizeof(c->coarse));
	c->epoch = 1;
}
