/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_pages.h - the pages that a runner has mapped: found by address and by page of RAM, and the orders that change
 * them. Inside of direct/. All under c->tlb_lock.
 */
#ifndef MICA_SOFT_DIRECT_PAGES_H
#define MICA_SOFT_DIRECT_PAGES_H

#include "cpu/soft/direct/direct_map.h"
#include "cpu/soft/direct/direct_tables.h"
#include "cpu/soft/memory/mmu.h"

#define BUCKETS 16384u
#define NONE (~0u)
#define AROUND_MAX 512u /* pages looked at around a fault, at most */
#define PAGES_MAX (1u << 18)
#define ENTRIES_MAX (PAGES_MAX + 4 * AROUND_MAX) /* what faults may add before direct_map_sync() drops all */

struct dpage {
	u64 vpn;
	u64 page;                   /* of RAM */
	u32 next_v, next_p, prev_p; /* many may be of one page: that of zeros */
	u8 prot;                    /* 0: this entry is free */
	bool stale;
};
struct direct_map {
	struct dpage *e; /* ENTRIES_MAX; untouched ones cost nothing */
	u32 n;           /* used at some time */
	u32 live, free;
	u32 by_vpn[BUCKETS], by_page[BUCKETS];
	u32 *stale, nstale; /* to be looked at before the next start */
	bool all_stale, drop;
	u32 areas, faults;
	struct kept {
		u64 page;
		u32 times;
	} kept[64]; /* from executing a page, by hash */
	u64 last_lin;
	u32 repeated; /* faults at last_lin that we thought to have served */
	u64 bytes;    /* its part of direct.bytes */
	struct direct_tables tables;
};

static inline u32 dpages_bucket(u64 n)
{
	return (u32)(n * 0x9e3779b97f4a7c15ull >> 50) & (BUCKETS - 1);
}

static inline u32 dpages_find(const struct direct_map *m, u64 vpn)
{
	u32 i = m->by_vpn[dpages_bucket(vpn)];

	while (i != NONE && m->e[i].vpn != vpn)
		i = m->e[i].next_v;
	return i;
}

/* Forget all pages: nothing is mapped any more. */
void dpages_clear(struct direct_map *m);
/* Update the VM's account of what runners cost the host by this one's part. */
void dpages_account(struct soft_cpu *c, struct direct_map *m);
bool dpages_over_budget(const struct soft_cpu *c, const struct direct_map *m);
/* One more, at page number vpn; the caller sets prot. */
struct dpage *dpages_add(struct direct_map *m, u64 vpn, u64 page);
void dpages_forget(struct direct_map *m, u32 i);
/* Entry i shows another page of RAM from now on: take it from the list of the old one, and put it into that of the
 * new one. */
void dpages_unlink(struct direct_map *m, u32 i);
void dpages_link(struct direct_map *m, u32 i, u64 page);
/* Remember the size of the guest's page that vpn is a piece of: an INVLPG of any address in it is for vpn. */
void dpages_note(struct soft_cpu *c, struct direct_map *m, u64 vpn, const struct mmu_user *u);
/* Compare entry i with the guest's page tables before the next start. */
void dpages_mark(struct direct_map *m, u32 i);
/* Queue a system call for the next start. One for the next page joins the one before. < 0: all will be dropped, see
 * INV-MAP-1. */
int dpages_order(struct runner *r, u64 nr, u64 vpn, unsigned prot, u64 page);
void dpages_order_drop(struct soft_cpu *c, struct runner *r);

#endif
