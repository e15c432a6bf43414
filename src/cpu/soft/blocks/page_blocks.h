/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * page_blocks.h - the blocks of one page of RAM, by the chunks (cache.h) in which they begin. Inside of cache.c.
 *
 * Whoever writes to a page looks only at blocks that may reach to where he writes: a compiler that fills a page with
 * functions, one after the other, would otherwise walk past all of them for each. How far the blocks of a list reach
 * is kept with it, and only grows until the list is empty.
 *
 * It lies in the arena, and goes with it. Blocks that died stay on their lists until somebody walks along.
 */
#ifndef MICA_SOFT_PAGE_BLOCKS_H
#define MICA_SOFT_PAGE_BLOCKS_H

#include "cpu/soft/blocks/cache.h"

#define PAGE_CHUNKS (PAGE_BYTES >> CACHE_CHUNK_BITS)
/* A block reaches that far at most, but for what its translation relies on. */
#define BLOCK_CHUNKS ((BLOCK_INSNS_MAX * 15u + (1u << CACHE_CHUNK_BITS) - 1) >> CACHE_CHUNK_BITS)

struct page_blocks {
	u64 starts;                               /* lists that have something */
	u32 incoming;                             /* blocks whose second part is here; linked by next_on_page[1] */
	bool wide;                                /* some list reaches further than blocks do */
	u8 first[PAGE_CHUNKS], last[PAGE_CHUNKS]; /* the chunks between which a list's blocks lie */
	u32 head[PAGE_CHUNKS];                    /* arena offset / 16; linked by next_on_page[0] */
} __attribute__((aligned(16)));

static inline unsigned page_blocks_chunk(u64 off)
{
	return (unsigned)(off & ~PAGE_MASK) >> CACHE_CHUNK_BITS;
}

/* The blocks of list `start` need these chunks, too. */
static inline void page_blocks_reach(struct page_blocks *p, unsigned start, u64 chunks)
{
	u8 first = (u8)__builtin_ctzll(chunks), last = (u8)(63 - __builtin_clzll(chunks));

	p->first[start] = MIN(p->first[start], first);
	p->last[start] = MAX(p->last[start], last);
	p->wide |= first < start || last > start + BLOCK_CHUNKS;
}

static inline void page_blocks_add(struct page_blocks *p, struct block *b, u32 ref, u64 chunks)
{
	unsigned start = page_blocks_chunk(b->phys);

	if (!(p->starts >> start & 1)) {
		p->first[start] = p->last[start] = (u8)start;
		p->head[start] = 0;
		p->starts |= 1ull << start;
	}
	page_blocks_reach(p, start, chunks);
	b->next_on_page[0] = p->head[start];
	p->head[start] = ref;
}

/* The lists (a bit each) whose blocks may need one of the chunks from the first to the last of these. */
static inline u64 page_blocks_near(const struct page_blocks *p, u64 chunks)
{
	unsigned first = (unsigned)__builtin_ctzll(chunks), last = 63u - (unsigned)__builtin_clzll(chunks);
	u64 lists = p->starts;

	if (!p->wide)
		lists &= (~0ull << (first > BLOCK_CHUNKS ? first - BLOCK_CHUNKS : 0)) & (~0ull >> (63 - last));
	for (u64 todo = lists; todo; todo &= todo - 1) {
		unsigned s = (unsigned)__builtin_ctzll(todo);
		if (p->first[s] > last || p->last[s] < first)
			lists &= ~(1ull << s);
	}
	return lists;
}

#endif
