/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * large.h - pages of 2 MiB and more that are the supervisor's, whole.
 *
 * The TLB knows a large page by pieces of 4 KiB, as rights to write go by those: each has flags of its own, and may be
 * code. A kernel that goes through much memory, by way of its map of all of it, finds most pieces in no table, and each
 * costs a walk. So what the last walks of TLB_SUPER said of 2 MiB is kept; a piece is then a look at its flags.
 * Forgotten with the tables that walks came through (walks_forget()), which is whenever anything of TLB_SUPER is.
 *
 * Only translated code asks here, for its own first level, and only where TLB_SUPER is in use: the marks that INVLPG
 * goes by, of large pages and of pages that are not global, were left there by the walk.
 */
#ifndef MICA_SOFT_LARGE_H
#define MICA_SOFT_LARGE_H

#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/memory/tlb_table.h"

/*
 * Linear addresses of lin's page plus *addend are host addresses, for loads, and with `write` for stores too. False:
 * not known. c->tlb_lock is held, where there are other vCPUs: then the right to write will be taken back as it is from
 * TLB_SUPER (protect.c).
 */
static inline bool mmu_large(struct soft_cpu *c, gva_t lin, bool write, u64 *addend)
{
	struct walk_cache *k = &c->tables->walks;
	const struct walk_large *w = walk_large_of(k, lin);

	if (w->key != walk_key(k, lin, 0) || unlikely(dr7_any(c->dr7)))
		return false;
	if (write) {
		u64 page = (lin + w->addend - (u64)(uintptr_t)c->ram->host) >> PAGE_SHIFT;
		_Atomic u8 *flags = &c->vm->cache->page_flags[page];
		u8 in = tlb_write_flags(c, TLB_SUPER);
		if (!w->writable || unlikely(atomic_load_explicit(&c->vm->dirty.on, memory_order_relaxed)))
			return false;
		if ((atomic_load_explicit(flags, memory_order_relaxed) & in) != in)
			atomic_fetch_or(flags, in);
		if (atomic_load(flags) & PAGE_CODE)
			return false;
	}
	*addend = w->addend;
	return true;
}

#endif
