/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tlb.h - the software TLB's tables, which fast paths look into. memory/ fills and empties them.
 */
#ifndef MICA_SOFT_TLB_H
#define MICA_SOFT_TLB_H

#include "base/base.h"

/* ---- software TLB ---- */
#define TLB_BITS 12
#define TLB_SIZE (1u << TLB_BITS)
/* An entry serves linear page L for an access when the tag for that access equals L (page
 * aligned). TLB_NONE never equals a page. host = (u8 *)(lin + addend) */
#define TLB_NONE 1ull
/* In wtag beside the page: it may be written, but has code on it, so that the slow path is to look. */
#define TLB_CODE 2ull
struct tlb_entry {
	u64 rtag, wtag, xtag;
	u64 addend;
};
/*
 * A table, and what makes forgetting cheap: emptying it costs as much as was filled, not as much as it could hold.
 * An INVLPG drops a large page whole, of which an entry is a piece of 4 KiB: the table keeps marks (by hash, so
 * that a mark may stand for several pages) of the large pages that it may hold pieces of.
 */
#define TLB_LIST 256u
#define TLB_LARGE_MARKS 2048
struct tlb_table {
	struct tlb_entry e[TLB_SIZE]; /* first: c->tlb points here */
	u32 nfilled;                  /* entries outside of filled[] are empty; above TLB_LIST: any may be full */
	bool any_large;
	u16 filled[TLB_LIST];
	u64 large[TLB_LARGE_MARKS / 64]; /* pages of 2 MiB (4 MiB without PAE) */
	u64 huge;                        /* of 1 GiB */
};
/* One table per way of looking: user, supervisor, supervisor with EFLAGS.AC (SMAP off), user with
 * alignment checks (CR0.AM and EFLAGS.AC), whose data accesses all take the slow path. */
enum tlb_index { TLB_USER, TLB_SUPER, TLB_SUPER_AC, TLB_USER_ALIGN, TLB_COUNT };
static inline unsigned tlb_hash(u64 lin)
{
	u64 p = lin >> PAGE_SHIFT;
	/* A sum, not an exclusive or: neighbours must never share an entry, or an access that crosses
	 * their border would find its last page's entry under its first page's index. */
	return (unsigned)(p + (p >> TLB_BITS)) & (TLB_SIZE - 1);
}

#endif
