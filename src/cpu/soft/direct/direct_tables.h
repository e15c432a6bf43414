/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_tables.h - the host's page tables that a runner's mappings need, and which of the guest's pages the mappings
 * are pieces of. Inside of the software engine.
 *
 * A page table of the host spans 2 MiB, 1 GiB or 512 GiB and exists while anything in that is mapped. So a guest that
 * uses few tables of its own for many addresses has the host make as many as there are addresses: they are counted
 * here, region by region, so that they can be limited (direct_map.c).
 *
 * A region knows, too, whether a page of the guest's of 2 MiB, or 1 GiB, was mapped in it: INVLPG drops the whole page
 * whatever address in it is named (SDM 3A 4.10.4.1), and which size it had is only known from when it was mapped.
 */
#ifndef MICA_SOFT_DIRECT_TABLES_H
#define MICA_SOFT_DIRECT_TABLES_H

#include "base/base.h"

#define DIRECT_TABLES_MAX 16384u /* more than any runner may have, see direct_map.c's budget */
#define DIRECT_TABLES_BUCKETS 4096u
#define DIRECT_TABLES_PAGE 4096u /* bytes of the host's memory for each */

struct direct_tables {
	struct dtable {
		u64 key;
		u32 next;
		u16 used;   /* pages, or tables one level down, that it has */
		bool large; /* pieces of larger pages of the guest's were mapped in it */
	} t[DIRECT_TABLES_MAX];
	u32 bucket[DIRECT_TABLES_BUCKETS];
	u32 n, live, free;
};

void direct_tables_clear(struct direct_tables *t);
/* A page more, or less, at page number vpn. */
void direct_tables_add(struct direct_tables *t, u64 vpn);
void direct_tables_remove(struct direct_tables *t, u64 vpn);
/* The page at vpn, which was added, is a piece of one of 1 << shift bytes. */
void direct_tables_note(struct direct_tables *t, u64 vpn, unsigned shift);
/* May INVLPG of an address in the page vpn be for more than that page? The binary logarithm of the size, 12, 21 or 30.
 */
unsigned direct_tables_shift(const struct direct_tables *t, u64 vpn);
/* Is anything mapped in the 2 MiB around vpn? */
bool direct_tables_has(const struct direct_tables *t, u64 vpn);

#endif
