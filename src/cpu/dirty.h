/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dirty.h - pages of the file that were written: a bitmap that several threads set bits in, and the logs that one
 * thread makes of it. For engines.
 *
 * Each log (enum cpu_log) watches a piece of the file. They share one bitmap, since an engine can watch a page only
 * once: who takes a bit leaves it to the other logs that watch the page, in `kept`.
 *
 * Threads: dirty_mark(), dirty_mark_range() and the questions: any. The logs: one at a time.
 */
#ifndef MICA_CPU_DIRTY_H
#define MICA_CPU_DIRTY_H

#include "cpu/cpu.h"

#include <stdatomic.h>

struct dirty_log {
	_Atomic u64 first, words; /* of the bitmap; words 0: it is off */
	u64 *kept;                /* what others took */
};

struct dirty {
	_Atomic bool on;   /* some log is */
	_Atomic u64 *bits; /* by page number; made at the first start, kept until the end: late markers find it */
	struct dirty_log log[CPU_LOGS];
};

static inline void dirty_mark(struct dirty *d, u64 page)
{
	u64 bit = 1ull << (page % 64);

	if (!(atomic_load_explicit(&d->bits[page / 64], memory_order_relaxed) & bit))
		atomic_fetch_or(&d->bits[page / 64], bit);
}

static inline bool dirty_watched(const struct dirty *d, u64 page)
{
	for (unsigned i = 0; i < CPU_LOGS; i++)
		if (page / 64 - atomic_load_explicit(&d->log[i].first, memory_order_relaxed) <
		    atomic_load_explicit(&d->log[i].words, memory_order_relaxed))
			return true;
	return false;
}

/* May the page be written unseen: because that is known already, or nobody wants to know? */
static inline bool dirty_known(const struct dirty *d, u64 page)
{
	return (atomic_load(&d->bits[page / 64]) >> (page % 64) & 1) || !dirty_watched(d, page);
}

/* [off, off + bytes) of the file was written. */
void dirty_mark_range(struct dirty *d, u64 off, u64 bytes);

/* The logs as in cpu.h. What an engine keeps elsewhere (KVM's own bitmaps) is in `bits` before each of these. */
void dirty_start(struct dirty *d, const struct ram *r, enum cpu_log who, u64 off, u64 bytes);
void dirty_take(struct dirty *d, enum cpu_log who, u64 *bitmap);
void dirty_stop(struct dirty *d, enum cpu_log who);
/* Is there anything for dirty_take()? */
bool dirty_any(const struct dirty *d, enum cpu_log who);
void dirty_fini(struct dirty *d);
/* Does any log watch some page of [off, off + bytes)? */
bool dirty_watches(const struct dirty *d, u64 off, u64 bytes);

#endif
