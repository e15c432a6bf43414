/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dirty.h - a bitmap of RAM pages that several threads set bits in and one takes them out of. For engines. */
#ifndef MICA_CPU_DIRTY_H
#define MICA_CPU_DIRTY_H

#include "base/ram.h"

#include <stdatomic.h>

struct dirty {
	_Atomic bool on;
	u64 words;
	_Atomic u64 *bits; /* made at the first start, kept until the end: late markers find it */
};

static inline void dirty_mark(struct dirty *d, u64 page)
{
	u64 bit = 1ull << (page % 64);

	if (!(atomic_load_explicit(&d->bits[page / 64], memory_order_relaxed) & bit))
		atomic_fetch_or(&d->bits[page / 64], bit);
}

static inline bool dirty_has(const struct dirty *d, u64 page)
{
	return atomic_load(&d->bits[page / 64]) >> (page % 64) & 1;
}

/* A device wrote [gpa, gpa + bytes); RAM or not. */
static inline void dirty_mark_range(struct dirty *d, const struct ram *r, gpa_t gpa, u64 bytes)
{
	for (u64 at = gpa & PAGE_MASK; at < gpa + bytes; at += PAGE_BYTES) {
		u64 page = ram_page(r, at);

		if (page != UINT64_MAX)
			dirty_mark(d, page);
	}
}

static inline void dirty_clear(struct dirty *d, const struct ram *r)
{
	d->words = ROUND_UP(r->bytes >> PAGE_SHIFT, 64) / 64;
	if (!d->bits)
		d->bits = xcalloc(d->words, sizeof(*d->bits));
	for (u64 i = 0; i < d->words; i++)
		atomic_store_explicit(&d->bits[i], 0, memory_order_relaxed);
}

static inline void dirty_take(struct dirty *d, u64 *bitmap)
{
	for (u64 i = 0; i < d->words; i++)
		if (atomic_load_explicit(&d->bits[i], memory_order_relaxed))
			bitmap[i] |= atomic_exchange(&d->bits[i], 0);
}

#endif
