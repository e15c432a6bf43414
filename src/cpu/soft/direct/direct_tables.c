/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direct_tables.c - regions by hash, and up to two levels of their own kind above each. See direct_tables.h. */
#include "cpu/soft/direct/direct_tables.h"

#include <string.h>

#define NONE (~0u)
#define LEVELS 3u

static u64 key_of(unsigned level, u64 vpn)
{
	return (u64)level << 60 | vpn >> (9 * level);
}

static u32 bucket(u64 key)
{
	return (u32)(key * 0x9e3779b97f4a7c15ull >> 48) & (DIRECT_TABLES_BUCKETS - 1);
}

static u32 find(const struct direct_tables *t, u64 key)
{
	u32 i = t->bucket[bucket(key)];

	while (i != NONE && t->t[i].key != key)
		i = t->t[i].next;
	return i;
}

void direct_tables_clear(struct direct_tables *t)
{
	t->n = t->live = 0;
	t->free = NONE;
	memset(t->bucket, 0xff, sizeof(t->bucket));
}

void direct_tables_add(struct direct_tables *t, u64 vpn)
{
	for (unsigned level = 1; level <= LEVELS; level++) {
		u64 key = key_of(level, vpn);
		u32 i = find(t, key);
		if (i != NONE) {
			t->t[i].used++;
			return;
		}
		i = t->free;
		if (i != NONE) {
			t->free = t->t[i].next;
		} else {
			must(t->n < DIRECT_TABLES_MAX);
			i = t->n++;
		}
		u32 *head = &t->bucket[bucket(key)];
		t->t[i] = (struct dtable){ .key = key, .next = *head, .used = 1 };
		*head = i;
		t->live++;
	}
}

void direct_tables_remove(struct direct_tables *t, u64 vpn)
{
	for (unsigned level = 1; level <= LEVELS; level++) {
		u64 key = key_of(level, vpn);
		u32 *p = &t->bucket[bucket(key)];
		while (*p != NONE && t->t[*p].key != key)
			p = &t->t[*p].next;
		must(*p != NONE);
		struct dtable *d = &t->t[*p];
		if (--d->used)
			return;
		u32 i = *p;
		*p = d->next;
		d->next = t->free;
		t->free = i;
		t->live--;
	}
}

void direct_tables_note(struct direct_tables *t, u64 vpn, unsigned shift)
{
	if (shift == PAGE_SHIFT)
		return;
	/* One of 4 MiB is in two regions: taken for one of the next size, more is dropped than must be. */
	u32 i = find(t, key_of(shift > 21 ? 2 : 1, vpn));
	must(i != NONE);
	t->t[i].large = true;
}

unsigned direct_tables_shift(const struct direct_tables *t, u64 vpn)
{
	u32 i = find(t, key_of(2, vpn));

	if (i == NONE)
		return PAGE_SHIFT; /* nothing at all */
	if (t->t[i].large)
		return 30;
	i = find(t, key_of(1, vpn));
	return i != NONE && t->t[i].large ? 21 : PAGE_SHIFT;
}

bool direct_tables_has(const struct direct_tables *t, u64 vpn)
{
	return find(t, key_of(1, vpn)) != NONE;
}
