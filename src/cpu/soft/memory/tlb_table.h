/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tlb_table.h - one table of the TLB: the list of what was filled, and the marks for large and global pages, so that
 * forgetting costs no more than learning did. For memory/ alone.
 */
#ifndef MICA_SOFT_TLB_TABLE_H
#define MICA_SOFT_TLB_TABLE_H

#include "cpu/soft/blocks/cache.h"

static inline bool tlb_empty(const struct tlb_table *t, const struct tlb_entry *e)
{
	u64 none = tlb_none((unsigned)(e - t->e));

	return e->rtag == none && e->wtag == none && e->xtag == none;
}

static inline void tlb_note_filled(struct tlb_table *t, const struct tlb_entry *e)
{
	if (t->nfilled < TLB_LIST)
		t->filled[t->nfilled] = (u16)(e - t->e);
	if (t->nfilled <= TLB_LIST)
		t->nfilled++;
}

/*
 * Global translations that an address space's tables hold, by hash of their 2 MiB, for either half of addresses 32
 * marks: INVLPG is for those of every PCID (SDM 3A 4.10.4.1), and goes to the tables of the others only where there is
 * a mark. Mostly there is none: what kernels drop page by page is the user's, what is global their own.
 */
static inline unsigned tlb_half(gva_t lin)
{
	return (unsigned)(lin >> 63) * 32;
}

static inline u64 tlb_global_mark(gva_t lin)
{
	u64 n = lin >> 21;

	return 1ull << ((n ^ n >> 5 ^ n >> 10) & 31) << tlb_half(lin);
}

static inline unsigned tlb_large_mark(gva_t lin, unsigned shift)
{
	u64 n = lin >> shift;

	return (unsigned)(n ^ n >> 11) % TLB_LARGE_MARKS;
}

static inline void tlb_note_large(struct tlb_table *t, gva_t lin, unsigned shift)
{
	unsigned m = tlb_large_mark(lin, shift);

	t->any_large = true;
	if (shift == 30)
		t->huge |= 1ull << (m & 63);
	else
		t->large[m / 64] |= 1ull << (m % 64);
}

/* Of a page that may be written through this vCPU's table. */
static inline u8 tlb_write_flags(const struct soft_cpu *c, enum tlb_index idx)
{
	return (u8)(PAGE_WTLB | (idx == TLB_SUPER      ? PAGE_WSUPER
				 : idx == TLB_SUPER_AC ? PAGE_WSUPER_AC
						       : PAGE_WUSER(c->space)));
}

#endif
