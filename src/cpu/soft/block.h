/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * block.h - a block of decoded instructions, the tables that find one by where it is in the guest's address space, and
 * the tables of an address space. blocks/ owns the blocks, memory/ the tables.
 */
#ifndef MICA_SOFT_BLOCK_H
#define MICA_SOFT_BLOCK_H

#include "cpu/soft/jit_state.h"
#include "cpu/soft/tlb.h"
#include "cpu/soft/uop.h"

#include <stdatomic.h>

/* What has been written of a block, with those that were decoded from the same place before it; one vCPU. */
struct block_patches {
	u8 n;            /* how often; BLOCK_PATCHES_NEVER: and it is of no use to know */
	u8 bytes;        /* > 0: the translation reads those at `at`, from the block's start (jit/jit_constant.h) */
	bool wide;       /* ... for an operand of 64 bits */
	u16 first, last; /* the bytes that were written lie between */
	u16 at;
	uop_fn *fn; /* of the uop whose constant that is */
};
#define BLOCK_PATCHES_MANY 8
#define BLOCK_PATCH_MAX 8 /* bytes: the longest constant */
#define BLOCK_PATCHES_NEVER 255

/* What is looked at whenever a block is come to lies together: from jit.far on to op[0]. */
struct block {
	struct jit_block jit;
	u64 phys;            /* of the first byte: offset into guest RAM */
	u64 phys2;           /* of the first byte past the page border, UINT64_MAX: none */
	u32 next_on_page[2]; /* arena offset / 16 of the next block that touches phys, phys2 */
	struct block_patches patches;
	u16 bytes;
	u16 nops;
	u8 mode;          /* soft_code_key() */
	bool whole;       /* goes on behind branches that may not be taken */
	_Atomic u16 dead; /* invalidated: find another */
	struct uop op[];
};

/* Virtual jump cache: RIP -> block, per vCPU; [0] supervisor, [1] CPL 3. */
#define JC_BITS 16
#define JC_SIZE (1u << JC_BITS)
/* All blocks of one page lie in one run of slots, so that INVLPG can drop them. */
#define JC_PAGE_SLOTS 512
#define JC_RUN 32 /* slots that are emptied together */
#define JC_PAGES 4096
static inline unsigned jc_page_slot(u64 lin)
{
	u64 p = lin >> PAGE_SHIFT;
	return (unsigned)(p ^ (p >> 7)) % (JC_SIZE / JC_PAGE_SLOTS) * JC_PAGE_SLOTS;
}
static inline unsigned jc_hash(u64 lin)
{
	return jc_page_slot(lin) + ((unsigned)(lin ^ (lin >> 9)) & (JC_PAGE_SLOTS - 1));
}
static inline unsigned jc_page(u64 lin)
{
	u64 p = lin >> PAGE_SHIFT;
	return (unsigned)(p ^ (p >> 10)) % JC_PAGES;
}
/* An empty one has a key that is asked for elsewhere only: 0, and 1 in slot 0. So what is not used takes no memory. */
#define JC_NONE(slot) ((slot) ? 0ull : 1ull)
struct jc_entry {
	u64 key; /* linear address of the block ^ mode salt */
	struct block *block;
};
struct jc_table {
	struct jc_entry e[JC_SIZE];      /* first: c->jc points here */
	u64 used[JC_SIZE / JC_RUN / 64]; /* by run: may hold something */
	u64 pages[JC_PAGES / 64];        /* by hash of the page: ... of it */
	u8 halves;                       /* 1: ... of the lower half of addresses, 2: of the upper */
};

/*
 * Address spaces (memory/spaces.c): what is only true for one PCID (SDM 3A 4.10.1). Without CR4.PCIDE all is PCID 0.
 * TLB_SUPER and the supervisor's jump cache belong to all: nearly all kernels map themselves by global pages.
 */
#define SPACE_COUNT JIT_SPACES /* Linux uses six PCIDs on a processor, and 0 */
struct space {
	u16 pcid;
	bool used;  /* ... of that PCID */
	bool ready; /* its tables were begun */
	u64 stamp;  /* of the last switch to it */
};
/* Away from struct soft_cpu, so that what is not used costs no memory. */
struct soft_tables {
	struct tlb_table super, align;
	struct {
		struct tlb_table user, super_ac;
	} space[SPACE_COUNT];
	struct jc_table jc_super, jc_user[SPACE_COUNT];
	struct walk_cache walks;
};

#endif
