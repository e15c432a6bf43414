/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fetch.c - the block at a linear address: found, or its bytes fetched, decoded and kept (INV-CACHE-1, -2, -4 in
 * blocks/cache.h).
 */
#include "cpu/soft/run/fetch.h"

#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/decode/decode.h"
#include "cpu/soft/direct/direct.h"
#include "cpu/soft/jit/jit.h"
#include "cpu/soft/memory/mmu.h"
#include "cpu/soft/raise.h"

#include <sched.h>

static u8 *fetch(struct soft_cpu *c, gva_t lin)
{
	enum tlb_index idx = c->cpl == 3 ? TLB_USER : TLB_SUPER;
	const struct tlb_entry *e = &c->tlbs[idx][tlb_hash(lin)];
	gpa_t gpa;

	if (likely(e->xtag == (lin & PAGE_MASK)))
		return (u8 *)(uintptr_t)(lin + e->addend);
	u8 *p = mmu_translate(c, idx, lin, ACC_X, &gpa);
	return p;
}

/* Drops everything, unless another vCPU has done so since the arena's `generation`. */
static __attribute__((noinline)) void make_room(struct soft_cpu *c, u64 generation)
{
	struct code_cache *k = c->vm->cache;

	cache_exclusive_begin(c->vm, c);
	if (atomic_load(&k->held)) {
		sched_yield(); /* again, when they are back in their blocks */
	} else if (k->generation == generation) {
		cache_reset(c->vm);
		jit_reset(c->vm);
		direct_code_forget(c->vm);
		c->st.flush_code++;
	}
	cache_exclusive_end(c->vm, c);
}

static struct block *get(struct soft_cpu *c, gva_t lin, bool whole)
{
	struct code_cache *k = c->vm->cache;
	u8 mode = soft_code_key(c);
	u64 remaps = c->remaps;
	u8 *p = fetch(c, lin);
	u64 phys = (u64)(p - c->ram->host), page = phys >> PAGE_SHIFT, page2 = 0;
	unsigned room = (unsigned)(PAGE_BYTES - (lin & (PAGE_BYTES - 1)));
	u8 *p2 = NULL;
	struct block *b = cache_find(k, phys, CACHE_ANY_PAGE, mode);

	if (likely(b && b->phys2 == UINT64_MAX))
		return b;
	c->st.blocks_run_slow++;
	if (b) {
		/* It reaches into the next page, which may be another one by now. */
		p2 = fetch(c,
			   c->mode & MODE_CODE64 ? (lin | (PAGE_BYTES - 1)) + 1 : (u32)((lin | (PAGE_BYTES - 1)) + 1));
		b = cache_find(k, phys, (u64)(p2 - c->ram->host), mode);
		if (b && b->phys2 != UINT64_MAX)
			return b;
	}
	_Alignas(16) u8 mem[sizeof(struct block) + BLOCK_UOPS_MAX * sizeof(struct uop)];
	struct block *tmp = (struct block *)(void *)mem;
	for (;;) {
		bool span = room < 15;
		u64 phys2 = UINT64_MAX;
		u8 bytes[30];

		mmu_protect_code(c, page);
		/* Others have run since it was fetched: is it still there? */
		if (unlikely(c->remaps != remaps))
			return get(c, lin, whole);
		pthread_mutex_lock(&k->lock);
		if (!(cache_page_flags(c->vm, page) & PAGE_CODE)) {
			pthread_mutex_unlock(&k->lock);
			continue;
		}
		memset(tmp, 0, sizeof(*tmp));
		tmp->phys = phys;
		tmp->mode = mode;
		b = cache_find(k, phys, CACHE_ANY_PAGE, mode);
		if (b && b->phys2 == UINT64_MAX) {
			pthread_mutex_unlock(&k->lock);
			return b;
		}
		c->jit.beside.len = 0;
		/* INV-CACHE-4: where it may reach, until it is known where it does. */
		u64 had = atomic_fetch_or(&k->code_chunks[page], cache_chunks(phys, BLOCK_INSNS_MAX * 15)), had2 = 0;
		bool patched = cache_is_patched(k, phys, mode);
		if (!decode_block(c, tmp, p, room, BLOCK_INSNS_MAX, whole || patched)) {
			must(span);
			atomic_store(&k->code_chunks[page], had);
			/* One instruction over the border: its second page may fault. */
			pthread_mutex_unlock(&k->lock);
			p2 = fetch(c, c->mode & MODE_CODE64 ? (lin | (PAGE_BYTES - 1)) + 1
							    : (u32)((lin | (PAGE_BYTES - 1)) + 1));
			phys2 = (u64)(p2 - c->ram->host);
			page2 = phys2 >> PAGE_SHIFT;
			mmu_protect_code(c, page);
			mmu_protect_code(c, page2);
			if (unlikely(c->remaps != remaps))
				return get(c, lin, whole);
			pthread_mutex_lock(&k->lock);
			if (!(cache_page_flags(c->vm, page) & PAGE_CODE) ||
			    !(cache_page_flags(c->vm, page2) & PAGE_CODE)) {
				pthread_mutex_unlock(&k->lock);
				continue;
			}
			b = cache_find(k, phys, phys2, mode);
			if (b) {
				pthread_mutex_unlock(&k->lock);
				return b;
			}
			had = atomic_fetch_or(&k->code_chunks[page], cache_chunks(phys, room));
			had2 = atomic_fetch_or(&k->code_chunks[page2], cache_chunks(phys2, 15));
			memcpy(bytes, p, room);
			memcpy(bytes + room, p2, 15);
			must(decode_block(c, tmp, bytes, room + 15, 1, true));
			/* The bytes may have changed since the first try: it may be short now. */
			if (tmp->bytes <= room) {
				phys2 = UINT64_MAX;
				atomic_store(&k->code_chunks[page2], had2);
			}
		}
		tmp->phys2 = phys2;
		atomic_store(&k->code_chunks[page], had | cache_block_chunks(tmp, page));
		k->quiet[page] = 0;
		if (phys2 != UINT64_MAX) {
			atomic_store(&k->code_chunks[page2], had2 | cache_chunks(phys2, tmp->bytes - room));
			k->quiet[page2] = 0;
		}

		b = cache_add(c->vm, tmp);
		if (!b) {
			u64 generation = k->generation;
			pthread_mutex_unlock(&k->lock);
			make_room(c, generation);
			continue;
		}
		if (patched && b->op[0].fn == c->vm->ends->first)
			b->op[0].imm = 1; /* worth a translation at once (jit/jit_constant.h) */
		c->st.blocks_decoded++;
		c->st.uops_decoded += b->nops;
		pthread_mutex_unlock(&k->lock);
		if (unlikely(c->trace & TRACE_BLOCK))
			fprintf(stderr, "cpu%u block at %llx, RAM %llx: %u bytes, %u uops, %u-bit code\n", c->index,
				(unsigned long long)lin, (unsigned long long)phys, b->bytes, b->nops,
				mode & MODE_CODE64   ? 64
				: mode & MODE_CODE32 ? 32
						     : 16);
		return b;
	}
}

struct block *fetch_block(struct soft_cpu *c, gva_t lin)
{
	return get(c, lin, false);
}

struct block *fetch_block_whole(struct soft_cpu *c, gva_t lin, struct block *b)
{
	cache_kill(c->vm, b);
	return get(c, lin, true);
}
