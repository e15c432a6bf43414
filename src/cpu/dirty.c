/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dirty.c - see dirty.h. */
#include "cpu/dirty.h"

#define WORD_BYTES (64ull * PAGE_BYTES) /* of memory that a word of the bitmap is for */

void dirty_mark_range(struct dirty *d, u64 off, u64 bytes)
{
	for (u64 page = off >> PAGE_SHIFT; page <= (off + bytes - 1) >> PAGE_SHIFT; page++)
		dirty_mark(d, page);
}

static bool has_word(const struct dirty_log *l, u64 word)
{
	return word - l->first < l->words;
}

/* Take a word's bits, and leave them to the other logs that watch the word. */
static u64 take(struct dirty *d, enum cpu_log who, u64 word)
{
	u64 v = 0;

	if (atomic_load_explicit(&d->bits[word], memory_order_relaxed))
		v = atomic_exchange(&d->bits[word], 0);
	for (unsigned i = 0; v && i < CPU_LOGS; i++)
		if (i != (unsigned)who && has_word(&d->log[i], word))
			d->log[i].kept[word - d->log[i].first] |= v;
	return v;
}

void dirty_start(struct dirty *d, const struct ram *r, enum cpu_log who, u64 off, u64 bytes)
{
	struct dirty_log *l = &d->log[who];
	u64 first = off / WORD_BYTES, words = ROUND_UP(bytes, WORD_BYTES) / WORD_BYTES;

	must(!l->words && bytes && off % RAM_PIECE_ALIGN == 0 && bytes <= r->capacity - off);
	if (!d->bits)
		d->bits = xcalloc(ram_pages(r) / 64, sizeof(*d->bits));
	for (u64 w = 0; w < words; w++)
		take(d, who, first + w);
	l->kept = xcalloc(words, sizeof(*l->kept));
	l->first = first;
	l->words = words;
	atomic_store(&d->on, true);
}

void dirty_take(struct dirty *d, enum cpu_log who, u64 *bitmap)
{
	struct dirty_log *l = &d->log[who];

	for (u64 w = 0; w < l->words; w++) {
		u64 v = take(d, who, l->first + w) | l->kept[w];

		if (v) {
			bitmap[w] |= v;
			l->kept[w] = 0;
		}
	}
}

bool dirty_any(const struct dirty *d, enum cpu_log who)
{
	const struct dirty_log *l = &d->log[who];

	for (u64 w = 0; w < l->words; w++)
		if (l->kept[w] || atomic_load(&d->bits[l->first + w]))
			return true;
	return false;
}

void dirty_stop(struct dirty *d, enum cpu_log who)
{
	struct dirty_log *l = &d->log[who];
	bool on = false;

	l->words = 0;
	free(steal(&l->kept));
	for (unsigned i = 0; i < CPU_LOGS; i++)
		on |= d->log[i].words != 0;
	atomic_store(&d->on, on);
}

void dirty_fini(struct dirty *d)
{
	for (unsigned i = 0; i < CPU_LOGS; i++)
		free(d->log[i].kept);
	free((void *)d->bits);
}

bool dirty_watches(const struct dirty *d, u64 off, u64 bytes)
{
	for (unsigned i = 0; i < CPU_LOGS; i++) {
		u64 from = d->log[i].first * WORD_BYTES, all = d->log[i].words * WORD_BYTES;

		if (all && off < from + all && from < off + bytes)
			return true;
	}
	return false;
}
