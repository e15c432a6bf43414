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
 * aligned). host = (u8 *)(lin + addend) */
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
/*
 * An empty slot's tags: no page that is asked for there. Nearly always 0, so that what is not used takes no memory.
 * Page 0 is asked for in its own slot, and in that of the last page, by an access that reaches over the end of all
 * addresses.
 */
#define TLB_SLOT_LAST (TLB_SIZE - 2) /* tlb_hash(~0) */
static inline u64 tlb_none(unsigned slot)
{
	return slot == 0 || slot == TLB_SLOT_LAST;
}
static inline void tlb_drop(struct tlb_entry *table, unsigned slot)
{
	struct tlb_entry *e = &table[slot];

	e->rtag = e->wtag = e->xtag = tlb_none(slot);
}
/* An empty table, of one that is zeroes. */
static inline void tlb_begin(struct tlb_entry *table)
{
	tlb_drop(table, 0);
	tlb_drop(table, TLB_SLOT_LAST);
}

/* ---- tables of the guest's that page walks came through: see memory/walk.c ---- */
#define WALK_W 1u
#define WALK_U 2u
#define WALK_NX 4u
struct walk_known {
	u64 key; /* walk_key(); 0: empty */
	u8 *table;
	u8 level; /* 0: of pages, 1: of 2 MiB */
	bool readonly;
	u8 rights; /* WALK_*, of the levels above */
};
/* 2 MiB of a large page of the supervisor's alone, that was walked to by way of TLB_SUPER; all of it lies together in
 * the host: see memory/large.h */
struct walk_large {
	u64 key; /* walk_key(), level 0 */
	u64 addend;
	bool writable; /* and dirty */
};
#define WALK_PTS 512
#define WALK_PDS 16
#define WALK_LARGES 256u
/* Of the PCID in use; like a processor's, INVLPG and a change of CR3 empty it whole. */
struct walk_cache {
	u64 flushes;
	struct walk_known pt[WALK_PTS], pd[WALK_PDS];
	struct walk_large large[WALK_LARGES];
};
static inline unsigned walk_slot(u64 lin, unsigned level)
{
	u64 n = lin >> (21 + 9 * level);

	return (unsigned)(n ^ n >> 9) & ((level ? WALK_PDS : WALK_PTS) - 1u);
}
/* In 4-level paging 27 bits of an address are left. */
static inline u64 walk_key(const struct walk_cache *k, u64 lin, unsigned level)
{
	return (k->flushes + 1) << 27 | (lin >> (21 + 9 * level) & 0x7ffffff);
}
static inline struct walk_large *walk_large_of(struct walk_cache *k, u64 lin)
{
	return &k->large[walk_slot(lin, 0) % WALK_LARGES];
}
static inline void walks_forget(struct walk_cache *k)
{
	k->flushes++;
}

#endif
