/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cache.h - the store of decoded blocks, shared by all vCPUs of a VM.
 *
 * Theory of operation
 *
 * Blocks live in one bounded arena, filled from the front; when it is full, everything is dropped
 * at a moment when no vCPU runs translated code (exclusive section). A hash on (physical address,
 * code size) finds them; lists per RAM page (page_blocks.h) find those to drop when the page is written.
 *
 * Self-modifying code. page_flags[] has a byte for each RAM page:
 *   PAGE_CODE   some block was decoded from here: no vCPU may hold a fast write entry (wtag) for it,
 *               so that every store comes through the slow path of memory/access.c and is seen.
 *   PAGE_WTLB   some vCPU may hold a fast write entry, and PAGE_W* say in which tables.
 * code_chunks[] has a bit for each 64 bytes of such a page: set where blocks were made from. A store to other
 * chunks needs no more than to see that. Blocks die one by one, but the page stays protected until it has been
 * written for a while with nothing decoded from it (CACHE_QUIET): pages that are patched do not go back and forth.
 * INV-CACHE-1: a block is decoded only after PAGE_CODE was set and every fast write entry was taken
 *   back, with every store that was under way through one finished (exclusive section).
 * INV-CACHE-2: whoever writes a PAGE_CODE page writes first and invalidates after, under the lock;
 *   decoding holds the lock. So a block that was decoded from old bytes is dropped by the writer.
 * INV-CACHE-4: whoever finds a chunk's bit clear after its write (or before it, where there is one vCPU, which
 *   does not decode in between) need not invalidate: decoding sets the bits before it reads the bytes, and both
 *   sides have a full barrier in between. A block that runs on though it is dead has no bits: what stores to the
 *   running block is found by looking at that block.
 * INV-CACHE-3: memory of a dead block is reused only inside an exclusive section; but where there is one vCPU, the
 *   block that is decoded from the same place takes the memory of the dead one, if that was never translated. Whoever
 *   still points to it (jump caches, links) wants what begins there. Only who comes from there himself has to see that
 *   it is another one: `generation` has changed.
 *
 * Locks: cache->lock; taken last, nothing is waited for under it. Exclusive sections are entered with
 * no lock held.
 */
#ifndef MICA_SOFT_CACHE_H
#define MICA_SOFT_CACHE_H

#include "cpu/soft/blocks/jump_cache.h"
#include "cpu/soft/vm.h"

#define PAGE_CODE 1u
#define PAGE_WTLB 2u
#define PAGE_WSUPER 4u                         /* TLB_SUPER */
#define PAGE_WSUPER_AC 8u                      /* TLB_SUPER_AC of any address space */
#define PAGE_WUSER(space) (16u << ((space)&3)) /* TLB_USER of this one, and of the others alike */
#define PAGE_WANY 0xfeu

#define CACHE_CHUNK_BITS 6 /* 64 of them in a page */
#define CACHE_QUIET 32     /* writes to a page without blocks until it is no code page any more */
#define CACHE_HASH_BITS 16 /* sets */
#define CACHE_WAYS 8u      /* a cache line */
#define CACHE_SPARE_BITS 13
#define BLOCK_INSNS_MAX 48
#define BLOCK_UOPS_MAX (BLOCK_INSNS_MAX * 3 + 2) /* op_jit_heat before, op_end behind */

struct code_cache {
	pthread_mutex_t lock;
	u8 *arena;
	size_t arena_bytes, used;
	u64 *hash;                /* sets of CACHE_WAYS: arena offset / 16 (0: none), and above it bits of the hash */
	_Atomic u8 *page_flags;   /* by RAM page index */
	_Atomic u64 *code_chunks; /* by RAM page; changed under the lock */
	u8 *quiet;                /* by RAM page: writes since it had a block */
	u32 *page_blocks;         /* arena offset / 16 of the page's struct page_blocks, 0 none */
	u32 *spare; /* by hash of where they were decoded from: arena offset / 16, dead blocks to be reused */
	u64 npages;
	u64 generation;    /* of the arena: bumped at every reset, and when the memory of a dead block is reused */
	_Atomic bool full; /* there is no more room for translations: reset at the next block */

	/* exclusive sections */
	pthread_mutex_t excl_lock;
	_Atomic u32 excl; /* futex word: 1 while a section is open */
	_Atomic u32 held; /* vCPUs that wait for one and come back to a block: nothing may be emptied */
	u64 resets, invalidated;
};

int cache_new(struct soft_vm *vm, size_t arena_bytes, struct err *e);
void cache_free(struct soft_vm *vm);

#define CACHE_ANY_PAGE (UINT64_MAX - 1)
/* The block at phys that reaches into the page of phys2: UINT64_MAX: none; CACHE_ANY_PAGE: whatever. Or NULL: it may be
 * there, and is not found any more. Without the lock it may die at any time. */
struct block *cache_find(struct code_cache *k, u64 phys, u64 phys2, u32 mode);
/* Keep a copy of a block that was made from its bytes under the lock, which is held; NULL: no room. */
struct block *cache_add(struct soft_vm *vm, const struct block *made);
/* Has what was decoded from there died often of writes to it? Under the lock. */
bool cache_is_patched(struct code_cache *k, u64 phys, u32 mode);
/* Drop everything, in an exclusive section; the translations are the caller's. */
void cache_reset(struct soft_vm *vm);
/* After a reset, in the same section: the host gets the memory back. */
void cache_give_back(struct soft_vm *vm);
/* What blocks take. */
static inline size_t cache_bytes(const struct soft_vm *vm)
{
	return vm->cache->used;
}
/* Drop blocks made from [off, off+bytes) of the file, within a page; any thread. Returns how many died. */
unsigned cache_invalidate_ram(struct soft_vm *vm, u64 off, u64 bytes);
/* The same for any length, after a write that was not a vCPU's. */
void cache_wrote(struct soft_vm *vm, u64 off, u64 bytes);
/* The page is no code page any more, unless there are blocks from it; true: so. */
bool cache_release(struct soft_vm *vm, u64 page);
void cache_kill(struct soft_vm *vm, struct block *b);
/* b's translation has been made, and may rely on more than b was made from. Under the lock. */
void cache_reaches(struct soft_vm *vm, const struct block *b);
/* May [off, off+bytes) of guest RAM, within a page, overlap the block that c->op belongs to? When that is
 * not sure (another vCPU has just dropped the block), yes. Decodes nothing, raises nothing. */
bool cache_running_overlaps(struct soft_cpu *c, u64 off, u64 bytes);

/* A vCPU enters and leaves guest code (safe points outside). */
void cache_enter_guest(struct soft_cpu *c);
static inline void cache_leave_guest(struct soft_cpu *c)
{
	atomic_store_explicit(&c->in_guest, 0, memory_order_release);
}
/* Every vCPU but c (may be NULL) is at a safe point between these. c itself must not be in a block
 * it will come back to. */
void cache_exclusive_begin(struct soft_vm *vm, struct soft_cpu *c);
void cache_exclusive_end(struct soft_vm *vm, struct soft_cpu *c);

static inline u8 cache_page_flags(const struct soft_vm *vm, u64 page)
{
	return atomic_load_explicit(&vm->cache->page_flags[page], memory_order_seq_cst);
}

/* The chunks of [off, off + bytes), from the page that off is in. */
static inline u64 cache_chunks(u64 off, u64 bytes)
{
	u64 first = off & ~PAGE_MASK, last = MIN(first + bytes, PAGE_BYTES) - 1;

	return (~0ull << (first >> CACHE_CHUNK_BITS)) & (~0ull >> (63 - (last >> CACHE_CHUNK_BITS)));
}
/* Must whoever wrote [off, off + bytes) of a PAGE_CODE page invalidate? Also, so as to be counted, where the page
 * has no blocks at all. */
static inline bool cache_matters(const struct soft_vm *vm, u64 off, u64 bytes)
{
	u64 chunks = atomic_load_explicit(&vm->cache->code_chunks[off >> PAGE_SHIFT], memory_order_relaxed);

	return !chunks || (chunks & cache_chunks(off, bytes));
}
/* Does what b was made from overlap [off, off + bytes)? b may be dead. */
static inline bool cache_overlaps(const struct block *b, u64 off, u64 bytes)
{
	u64 n1 = b->phys2 == UINT64_MAX ? b->bytes : PAGE_BYTES - (b->phys & (PAGE_BYTES - 1));
	if (off < b->phys + n1 && b->phys < off + bytes)
		return true;
	/* Its translation may rely on what comes behind its branches. */
	u64 at = off - (b->phys & PAGE_MASK);
	if (b->jit.far && b->jit.peek_hi && at < PAGE_BYTES && at < b->jit.peek_hi && at + bytes > b->jit.peek_lo)
		return true;
	return b->phys2 != UINT64_MAX && off < b->phys2 + (b->bytes - n1) && b->phys2 < off + bytes;
}
/* What b needs in the page's code_chunks. */
static inline u64 cache_block_chunks(const struct block *b, u64 page)
{
	u64 n1 = b->phys2 == UINT64_MAX ? b->bytes : PAGE_BYTES - (b->phys & (PAGE_BYTES - 1)), m = 0;

	if (b->phys >> PAGE_SHIFT == page) {
		m = cache_chunks(b->phys, n1);
		if (b->jit.far && b->jit.peek_hi > b->jit.peek_lo)
			m |= cache_chunks(b->jit.peek_lo, (u64)b->jit.peek_hi - b->jit.peek_lo);
	}
	if (b->phys2 != UINT64_MAX && b->phys2 >> PAGE_SHIFT == page)
		m |= cache_chunks(b->phys2, MAX(b->bytes - n1, 1u));
	return m;
}

#endif
