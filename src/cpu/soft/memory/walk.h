/* SPDX-License-Identifier: GPL-2.0-or-later */
/* walk.h - the guest's paging structures, for memory/ alone. */
#ifndef MICA_SOFT_WALK_H
#define MICA_SOFT_WALK_H

#include "cpu/soft/memory/mmu.h"

#define PTE_P 0x1ull
#define PTE_W 0x2ull
#define PTE_U 0x4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_PS 0x80ull
#define PTE_G 0x100ull
#define PTE_NX 0x8000000000000000ull
#define PTE_ADDR 0x000ffffffffff000ull
#define PDPTE_RSVD (PTE_NX | 0x1e6ull) /* and the bits no address has: SDM 3A table 4-8 */

#define PF_P 1u
#define PF_W 2u
#define PF_U 4u
#define PF_RSVD 8u
#define PF_I 16u

struct walk {
	gpa_t gpa; /* of the page containing lin, 4 KiB */
	bool writable, user, nx, global, dirty;
	u8 shift; /* of the page's size */
};

static inline bool is_user(enum tlb_index idx)
{
	return idx == TLB_USER || idx == TLB_USER_ALIGN;
}

/*
 * Walk the guest's tables (SDM 3A 4.3-4.5). Returns 0, or the #PF error code + 1<<31. Sets A, and D
 * for writes, when the access is allowed.
 */
u32 mmu_walk(struct soft_cpu *c, enum tlb_index idx, gva_t lin, enum mmu_access acc, struct walk *w);

#endif
