/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cache.c - see cache.h. */
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/decode/decode.h"
#include "cpu/soft/direct/direct.h"
#include "cpu/soft/memory/mmu.h"
#include "cpu/soft/run/core.h"
#include "cpu/soft/raise.h"
#include "cpu/soft/jit/jit.h"

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define HASH_BYTES (sizeof(u64) * CACHE_WAYS << CACHE_HASH_BITS)

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

int cache_new(struct soft_vm *vm, size_t arena_bytes, struct err *e)
{
	struct code_cache *k = xcalloc(1, sizeof(*k));

	pthread_mutex_init(&k->lock, NULL);
	pthread_mutex_init(&k->excl_lock, NULL);
	k->arena_bytes = arena_bytes;
	k->used = 16; /* offset 0 means none */
	k->npages = ram_pages(vm->ram);
	vm->cache = k;
	k->arena = map(arena_bytes);
	k->hash = map(HASH_BYTES);
	k->page_flags = map(k->npages);
	k->page_head = map(k->npages * sizeof(*k->page_head));
	k->code_chunks = map(k->npages * sizeof(*k->code_chunks));
	k->quiet = map(k->npages);
	if (!k->arena || !k->hash || !k->page_flags || !k->page_head || !k->code_chunks || !k->quiet) {
		int code = errno;
		cache_free(vm);
		return err_sys(e, code, "cannot reserve memory for the code cache");
	}
	return 0;
}

void cache_free(struct soft_vm *vm)
{
	struct code_cache *k = vm->cache;

	if (!k)
		return;
	if (k->arena)
		munmap(k->arena, k->arena_bytes);
	if (k->hash)
		munmap(k->hash, HASH_BYTES);
	if (k->page_flags)
		munmap((void *)k->page_flags, k->npages);
	if (k->page_head)
		munmap(k->page_head, k->npages * sizeof(*k->page_head));
	if (k->code_chunks)
		munmap((void *)k->code_chunks, k->npages * sizeof(*k->code_chunks));
	if (k->quiet)
		munmap(k->quiet, k->npages);
	pthread_mutex_destroy(&k->lock);
	pthread_mutex_destroy(&k->excl_lock);
	free(k);
	vm->cache = NULL;
}

/* ---- exclusive sections ---- */

static void futex(_Atomic u32 *word, int op, u32 val)
{
	syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, val, NULL, NULL, 0);
}

void cache_enter_guest(struct soft_cpu *c)
{
	struct code_cache *k = c->vm->cache;

	for (;;) {
		atomic_store(&c->in_guest, 1);
		if (likely(!atomic_load(&k->excl)))
			return;
		atomic_store(&c->in_guest, 0);
		futex(&k->excl, FUTEX_WAIT, 1);
	}
}

void cache_exclusive_begin(struct soft_vm *vm, struct soft_cpu *c)
{
	struct code_cache *k = vm->cache;

	if (c)
		atomic_store(&c->in_guest, 0);
	pthread_mutex_lock(&k->excl_lock);
	atomic_store(&k->excl, 1);
	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct soft_cpu *o = vm->cpu[i];
		if (o == c)
			continue;
		for (unsigned spins = 0; atomic_load(&o->in_guest); spins++) {
			if (!(atomic_fetch_or(&o->pending, PEND_QUIESCE) & PEND_QUIESCE))
				direct_kick(o);
			if (spins < 200)
				__builtin_ia32_pause();
			else
				sched_yield();
		}
	}
}

void cache_exclusive_end(struct soft_vm *vm, struct soft_cpu *c)
{
	struct code_cache *k = vm->cache;

	atomic_store(&k->excl, 0);
	futex(&k->excl, FUTEX_WAKE, INT_MAX);
	pthread_mutex_unlock(&k->excl_lock);
	if (c)
		cache_enter_guest(c);
}

/* ---- blocks ---- */

static inline u64 hash_of(u64 phys, u32 mode)
{
	return (phys ^ ((u64)mode << 60)) * 0x9e3779b97f4a7c15ull;
}

static inline u64 *set_of(struct code_cache *k, u64 hash)
{
	return &k->hash[(hash >> (64 - CACHE_HASH_BITS)) * CACHE_WAYS];
}

/* What a block is found by in its set. */
static inline u64 way_of(u64 hash, u32 ref)
{
	return hash << CACHE_HASH_BITS >> 32 << 32 | ref;
}

static inline struct block *at(struct code_cache *k, u32 ref)
{
	return (struct block *)(void *)(k->arena + (size_t)ref * 16);
}

/* phys2 for find(): whatever page the block reaches into */
#define ANY_PAGE (UINT64_MAX - 1)

static struct block *find(struct code_cache *k, u64 phys, u64 phys2, u32 mode)
{
	u64 hash = hash_of(phys, mode), *set = set_of(k, hash), tag = way_of(hash, 0);

	for (unsigned i = 0; i < CACHE_WAYS; i++) {
		u64 way = __atomic_load_n(&set[i], __ATOMIC_ACQUIRE);
		if ((way ^ tag) > UINT32_MAX || !(u32)way)
			continue;
		struct block *b = at(k, (u32)way);
		if (b->phys == phys && b->mode == mode && !b->dead &&
		    (b->phys2 == UINT64_MAX || phys2 == ANY_PAGE || b->phys2 == phys2))
			return b;
	}
	return NULL;
}

/* Where there is no room another block is not found any more, and decoded again when it is come to. */
static void hash_in(struct code_cache *k, const struct block *b, u32 ref)
{
	u64 hash = hash_of(b->phys, b->mode), *set = set_of(k, hash);
	unsigned i = 0;

	while (i < CACHE_WAYS && (u32)set[i])
		i++;
	if (i == CACHE_WAYS)
		i = ref % CACHE_WAYS;
	__atomic_store_n(&set[i], way_of(hash, ref), __ATOMIC_RELEASE);
}

static void hash_out(struct code_cache *k, const struct block *b)
{
	u64 *set = set_of(k, hash_of(b->phys, b->mode));
	u32 ref = (u32)(((const u8 *)b - k->arena) / 16);

	for (unsigned i = 0; i < CACHE_WAYS; i++)
		if ((u32)set[i] == ref)
			__atomic_store_n(&set[i], 0, __ATOMIC_RELEASE);
}

/* The block that c->op belongs to, where that is easy to tell; it may be dead. */
static const struct block *running(const struct soft_cpu *c, const struct uop *op)
{
	if (c->jit.in_uop)
		return c->jit.in_block;
	gva_t lin = c->gpr[GPR_BLK];
	const struct jc_entry *e = &c->jc[jc_hash(lin)];
	const struct block *b = e->block;
	return b && (uintptr_t)op >= (uintptr_t)b->op && (uintptr_t)op < (uintptr_t)(b->op + b->nops) ? b : NULL;
}

bool cache_running_overlaps(struct soft_cpu *c, u64 off, u64 bytes)
{
	struct code_cache *k = c->vm->cache;
	u64 page = off >> PAGE_SHIFT;
	gva_t lin = c->mode & MODE_CODE64 ? c->gpr[GPR_BLK] : (u32)(c->eff_base[SEG_CS] + c->gpr[GPR_BLK]);
	const struct tlb_entry *e = &c->tlbs[c->cpl == 3 ? TLB_USER : TLB_SUPER][tlb_hash(lin)];
	bool found = false, hit = false;
	const struct uop *op = c->op;

	if (c->stepping)
		return false; /* nothing after this instruction is decoded yet */
	const struct block *r = running(c, op);
	if (likely(r))
		return cache_overlaps(r, off, bytes);
	pthread_mutex_lock(&k->lock);
	for (u32 ref = k->page_head[page]; ref && !found;) {
		const struct block *b = at(k, ref);
		ref = b->next_on_page[b->phys >> PAGE_SHIFT != page];
		found = (uintptr_t)op >= (uintptr_t)b->op && (uintptr_t)op < (uintptr_t)(b->op + b->nops);
		hit = found && cache_overlaps(b, off, bytes);
	}
	pthread_mutex_unlock(&k->lock);
	if (found)
		return hit;
	/* It lies on another page, or is dead and on no list. */
	u64 at_host = lin + e->addend - (u64)(uintptr_t)c->ram->host;
	bool elsewhere =
	    e->xtag == (lin & PAGE_MASK) && at_host >> PAGE_SHIFT != page &&
	    (lin & (PAGE_BYTES - 1)) <= PAGE_BYTES - 15; /* else one instruction may reach over the border */
	return !elsewhere;
}

/*
 * b stays on the lists of its pages, dead, and in code_chunks: they may be long, and whoever walks one drops what is
 * dead from it. Too many chunks only cost a look.
 */
static void kill_block(struct soft_vm *vm, struct block *b)
{
	struct code_cache *k = vm->cache;

	atomic_store(&b->dead, 1);
	jit_kill(vm, b);
	hash_out(k, b);
	k->invalidated++;
}

unsigned cache_invalidate_ram(struct soft_vm *vm, u64 off, u64 bytes)
{
	struct code_cache *k = vm->cache;
	u64 page = off >> PAGE_SHIFT, chunks = 0;
	unsigned killed = 0;

	if (!(atomic_load(&k->page_flags[page]) & PAGE_CODE) || !cache_matters(vm, off, bytes))
		return 0;
	pthread_mutex_lock(&k->lock);
	for (u32 *p = &k->page_head[page]; *p;) {
		struct block *b = at(k, *p);
		u32 *next = &b->next_on_page[b->phys >> PAGE_SHIFT != page];
		if (b->dead) {
			*p = *next;
		} else if (cache_overlaps(b, off, bytes)) {
			*p = *next;
			kill_block(vm, b);
			killed++;
		} else {
			chunks |= cache_block_chunks(b, page);
			p = next;
		}
	}
	atomic_store(&k->code_chunks[page], chunks);
	if (!chunks && (++k->quiet[page] >= CACHE_QUIET || bytes >= PAGE_BYTES / 2))
		atomic_fetch_and(&k->page_flags[page], (u8)~PAGE_CODE);
	pthread_mutex_unlock(&k->lock);
	if (unlikely(vm->direct.code && atomic_load_explicit(&vm->direct.code[page], memory_order_relaxed)))
		direct_code_written(vm, page);
	return killed;
}

bool cache_release(struct soft_vm *vm, u64 page)
{
	struct code_cache *k = vm->cache;

	pthread_mutex_lock(&k->lock);
	for (u32 *p = &k->page_head[page]; *p;) {
		struct block *b = at(k, *p);
		if (!b->dead)
			break;
		*p = b->next_on_page[b->phys >> PAGE_SHIFT != page];
	}
	bool free = !k->page_head[page];
	if (free) {
		atomic_store(&k->code_chunks[page], 0);
		atomic_fetch_and(&k->page_flags[page], (u8)~PAGE_CODE);
	}
	pthread_mutex_unlock(&k->lock);
	return free;
}

void cache_wrote(struct soft_vm *vm, u64 off, u64 bytes)
{
	/* The caller has written: INV-CACHE-4. */
	atomic_thread_fence(memory_order_seq_cst);
	while (bytes) {
		u64 n = MIN(bytes, PAGE_BYTES - (off & (PAGE_BYTES - 1)));

		cache_invalidate_ram(vm, off, n);
		off += n;
		bytes -= n;
	}
}

void cache_kill(struct soft_vm *vm, struct block *b)
{
	pthread_mutex_lock(&vm->cache->lock);
	if (!b->dead)
		kill_block(vm, b);
	pthread_mutex_unlock(&vm->cache->lock);
}

static void reset(struct soft_vm *vm)
{
	struct code_cache *k = vm->cache;

	pthread_mutex_lock(&k->lock);
	for (u64 i = 0; i < k->npages; i++) {
		if (k->page_head[i])
			k->page_head[i] = 0;
		if (atomic_load_explicit(&k->page_flags[i], memory_order_relaxed) & PAGE_CODE) {
			atomic_fetch_and(&k->page_flags[i], (u8)~PAGE_CODE);
			atomic_store(&k->code_chunks[i], 0);
		}
	}
	memset(k->hash, 0, HASH_BYTES);
	k->used = 16;
	k->generation++;
	k->resets++;
	for (unsigned i = 0; i < vm->ncpus; i++)
		mmu_jc_clear(vm->cpu[i]);
	jit_reset(vm);
	atomic_store(&k->full, false);
	pthread_mutex_unlock(&k->lock);
	direct_code_forget(vm);
}

void jc_clear(struct jc_table *t)
{
	for (unsigned w = 0; w < ARRAY_LEN(t->used); w++)
		for (; t->used[w]; t->used[w] &= t->used[w] - 1) {
			unsigned run = w * 64 + (unsigned)__builtin_ctzll(t->used[w]);
			memset(&t->e[run * JC_RUN], 0, JC_RUN * sizeof(t->e[0]));
		}
	t->e[0].key = JC_NONE(0);
	t->halves = 0;
}

static u8 *fetch(struct soft_cpu *c, gva_t lin)
{
	enum tlb_index idx = c->cpl == 3 ? TLB_USER : TLB_SUPER;
	const struct tlb_entry *e = &c->tlbs[idx][tlb_hash(lin)];
	gpa_t gpa;

	if (likely(e->xtag == (lin & PAGE_MASK)))
		return (u8 *)(uintptr_t)(lin + e->addend);
	u8 *p = mmu_translate(c, idx, lin, ACC_X, &gpa);
	if (!p)
		soft_gp(c, 0); /* code outside RAM: nothing here can be executed */
	return p;
}

static struct block *get(struct soft_cpu *c, gva_t lin, bool whole)
{
	struct code_cache *k = c->vm->cache;
	u32 mode = c->mode & MODE_CODE_MASK;
	u8 *p = fetch(c, lin);
	u64 phys = (u64)(p - c->ram->host), page = phys >> PAGE_SHIFT, page2 = 0;
	unsigned room = (unsigned)(PAGE_BYTES - (lin & (PAGE_BYTES - 1)));
	u8 *p2 = NULL;
	struct block *b = find(k, phys, ANY_PAGE, mode);

	if (likely(b && b->phys2 == UINT64_MAX))
		return b;
	c->st.blocks_run_slow++;
	if (b) {
		/* It reaches into the next page, which may be another one by now. */
		p2 = fetch(c,
			   c->mode & MODE_CODE64 ? (lin | (PAGE_BYTES - 1)) + 1 : (u32)((lin | (PAGE_BYTES - 1)) + 1));
		b = find(k, phys, (u64)(p2 - c->ram->host), mode);
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
		pthread_mutex_lock(&k->lock);
		if (!(cache_page_flags(c->vm, page) & PAGE_CODE)) {
			pthread_mutex_unlock(&k->lock);
			continue;
		}
		memset(tmp, 0, sizeof(*tmp));
		tmp->phys = phys;
		tmp->mode = (u8)mode;
		b = find(k, phys, ANY_PAGE, mode);
		if (b && b->phys2 == UINT64_MAX) {
			pthread_mutex_unlock(&k->lock);
			return b;
		}
		c->jit.beside.len = 0;
		/* INV-CACHE-4: where it may reach, until it is known where it does. */
		u64 had = atomic_fetch_or(&k->code_chunks[page], cache_chunks(phys, BLOCK_INSNS_MAX * 15)), had2 = 0;
		if (!decode_block(c, tmp, p, room, BLOCK_INSNS_MAX, whole)) {
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
			pthread_mutex_lock(&k->lock);
			if (!(cache_page_flags(c->vm, page) & PAGE_CODE) ||
			    !(cache_page_flags(c->vm, page2) & PAGE_CODE)) {
				pthread_mutex_unlock(&k->lock);
				continue;
			}
			b = find(k, phys, phys2, mode);
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

		size_t need = ROUND_UP(sizeof(struct block) + tmp->nops * sizeof(struct uop), 16);
		if (k->used + need > k->arena_bytes || atomic_load(&k->full)) {
			pthread_mutex_unlock(&k->lock);
			cache_exclusive_begin(c->vm, c);
			if (k->used + need > k->arena_bytes || atomic_load(&k->full)) {
				reset(c->vm);
				c->st.flush_code++;
			}
			cache_exclusive_end(c->vm, c);
			continue;
		}
		b = (struct block *)(void *)(k->arena + k->used);
		memcpy(b, tmp, sizeof(struct block) + tmp->nops * sizeof(struct uop));
		u32 ref = (u32)(k->used / 16);
		k->used += need;
		b->next_on_page[0] = k->page_head[page];
		k->page_head[page] = ref;
		if (phys2 != UINT64_MAX) {
			b->next_on_page[1] = k->page_head[page2];
			k->page_head[page2] = ref;
		}
		hash_in(k, b, ref);
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

struct block *cache_get(struct soft_cpu *c, gva_t lin)
{
	return get(c, lin, false);
}

struct block *cache_get_whole(struct soft_cpu *c, gva_t lin, struct block *b)
{
	cache_kill(c->vm, b);
	return get(c, lin, true);
}
