/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jump_cache.c - forgetting where blocks are in the guest's address space: struct jc_table.
 *
 * The guest's vector registers may be live in the host's: no vector instruction here (meson.build).
 */
#include "cpu/soft/blocks/jump_cache.h"
#include "cpu/soft/give_back.h"

void jc_clear(struct jc_table *t)
{
	for (unsigned w = 0; w < ARRAY_LEN(t->used); w++)
		for (; t->used[w]; t->used[w] &= t->used[w] - 1) {
			unsigned run = w * 64 + (unsigned)__builtin_ctzll(t->used[w]);
			memset(&t->e[run * JC_RUN], 0, JC_RUN * sizeof(t->e[0]));
		}
	t->e[0].key = JC_NONE(0);
	memset(t->pages, 0, sizeof(t->pages));
	t->halves = 0;
}

/* Forget what lies in [from, from + bytes), of n slots from `slot` on. */
static void jc_forget(struct jc_table *t, unsigned slot, unsigned n, u64 from, u64 bytes)
{
	for (unsigned run = slot / JC_RUN; run < (slot + n) / JC_RUN; run++)
		if (t->used[run / 64] >> (run % 64) & 1)
			for (unsigned i = run * JC_RUN; i < (run + 1) * JC_RUN; i++)
				if ((t->e[i].key & ~SOFT_SALTS) - from < bytes)
					t->e[i].key = JC_NONE(i);
}

/* Drop the blocks of lin's page of 1 << shift bytes, and those that reach into it from the page before. */
void jc_flush(struct jc_table *t, gva_t lin, unsigned shift)
{
	u64 size = 1ull << shift, start = lin & ~(size - 1), before = (start - PAGE_BYTES) & ~SOFT_SALTS;

	if (unlikely(!start)) {
		jc_clear(t); /* the page before it is the last one, whatever that is in this mode */
		return;
	}
	if (!(t->halves >> (lin >> 63) & 1))
		return;
	if (shift == PAGE_SHIFT) {
		/* Mostly a page of data: kernels drop those they map for a moment by the thousands. */
		for (u64 page = start - PAGE_BYTES; page != start + PAGE_BYTES; page += PAGE_BYTES)
			if (t->pages[jc_page(page) / 64] >> (jc_page(page) % 64) & 1)
				jc_forget(t, jc_page_slot(page), JC_PAGE_SLOTS, before, size + PAGE_BYTES);
		return;
	}
	jc_forget(t, 0, JC_SIZE, before, size + PAGE_BYTES);
}

void jc_clear_all(struct soft_cpu *c)
{
	jc_clear(&c->tables->jc_super);
	for (unsigned s = 0; s < SPACE_COUNT; s++)
		jc_clear(&c->tables->jc_user[s]);
	c->tlb_epoch++;
}

void jc_give_back(struct soft_cpu *c)
{
	for (unsigned s = 0; s <= SPACE_COUNT; s++) {
		struct jc_table *t = s < SPACE_COUNT ? &c->tables->jc_user[s] : &c->tables->jc_super;
		jc_clear(t);
		give_back(t->e, sizeof(t->e));
		t->e[0].key = JC_NONE(0);
	}
}
