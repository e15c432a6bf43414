/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cache.c - see cache.h. */
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/blocks/page_blocks.h"
#include "cpu/soft/give_back.h"
#include "cpu/soft/hooks.h"

#include <sys/mman.h>

#define HASH_BYTES (sizeof(u64) * CACHE_WAYS << CACHE_HASH_BITS)
#define SPARE_BYTES (sizeof(u32) << CACHE_SPARE_BITS)

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
	k->page_blocks = map(k->npages * sizeof(*k->page_blocks));
	k->code_chunks = map(k->npages * sizeof(*k->code_chunks));
	k->quiet = map(k->npages);
	k->spare = map(SPARE_BYTES);
	if (!k->arena || !k->hash || !k->spare || !k->page_flags || !k->page_blocks || !k->code_chunks || !k->quiet) {
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
	if (k->page_blocks)
		munmap(k->page_blocks, k->npages * sizeof(*k->page_blocks));
	if (k->code_chunks)
		munmap((void *)k->code_chunks, k->npages * sizeof(*k->code_chunks));
	if (k->quiet)
		munmap(k->quiet, k->npages);
	if (k->spare)
		munmap(k->spare, SPARE_BYTES);
	pthread_mutex_destroy(&k->lock);
	pthread_mutex_destroy(&k->excl_lock);
	free(k);
	vm->cache = NULL;
}

/* ---- blocks ---- */

static inline u64 hash_of(u64 phys, u32 mode)
{
	return (phys ^ ((u64)mode << 56)) * 0x9e3779b97f4a7c15ull;
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

struct block *cache_find(struct code_cache *k, u64 phys, u64 phys2, u32 mode)
{
	u64 hash = hash_of(phys, mode), *set = set_of(k, hash), tag = way_of(hash, 0);

	for (unsigned i = 0; i < CACHE_WAYS; i++) {
		u64 way = __atomic_load_n(&set[i], __ATOMIC_ACQUIRE);
		if ((way ^ tag) > UINT32_MAX || !(u32)way)
			continue;
		struct block *b = at(k, (u32)way);
		if (b->phys == phys && b->mode == mode && !b->dead &&
		    (b->phys2 == UINT64_MAX || phys2 == CACHE_ANY_PAGE || b->phys2 == phys2))
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

static struct page_blocks *blocks_on(const struct code_cache *k, u64 page)
{
	u32 ref = k->page_blocks[page];

	return ref ? (struct page_blocks *)(void *)(k->arena + (size_t)ref * 16) : NULL;
}

/* Among the blocks of a list. */
static const struct block *block_in(struct code_cache *k, u32 ref, unsigned side, const struct uop *op)
{
	while (ref) {
		const struct block *b = at(k, ref);
		if ((uintptr_t)op >= (uintptr_t)b->op && (uintptr_t)op < (uintptr_t)(b->op + b->nops))
			return b;
		ref = b->next_on_page[side];
	}
	return NULL;
}

/* The block on that page whose uop it is; it may be dead. NULL: it is on no list. */
static const struct block *block_of(struct code_cache *k, u64 page, const struct uop *op)
{
	const struct page_blocks *p = blocks_on(k, page);
	const struct block *b = p ? block_in(k, p->incoming, 1, op) : NULL;

	for (u64 todo = p ? p->starts : 0; todo && !b; todo &= todo - 1)
		b = block_in(k, p->head[__builtin_ctzll(todo)], 0, op);
	return b;
}

bool cache_running_overlaps(struct soft_cpu *c, u64 off, u64 bytes)
{
	struct code_cache *k = c->vm->cache;
	u64 page = off >> PAGE_SHIFT;
	gva_t lin = c->mode & MODE_CODE64 ? c->gpr[GPR_BLK] : (u32)(c->eff_base[SEG_CS] + c->gpr[GPR_BLK]);
	const struct tlb_entry *e = &c->tlbs[c->cpl == 3 ? TLB_USER : TLB_SUPER][tlb_hash(lin)];
	const struct uop *op = c->op;

	if (c->stepping)
		return false; /* nothing after this instruction is decoded yet */
	const struct block *r = running(c, op);
	if (likely(r))
		return cache_overlaps(r, off, bytes);
	pthread_mutex_lock(&k->lock);
	r = block_of(k, page, op);
	bool hit = r && cache_overlaps(r, off, bytes);
	pthread_mutex_unlock(&k->lock);
	if (r)
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
	vm->hooks->killed(vm, b);
	hash_out(k, b);
	k->invalidated++;
}

/* Code that is patched again and again would go through the arena from end to end, each time on fresh memory. */
static u32 *spare_of(struct code_cache *k, u64 phys, u32 mode)
{
	return &k->spare[hash_of(phys, mode) >> (64 - CACHE_SPARE_BITS)];
}

static size_t block_bytes(const struct block *b)
{
	return ROUND_UP(sizeof(*b) + b->nops * sizeof(b->op[0]), 16);
}

/* b died, and is on no list any more. */
static void keep_spare(struct soft_vm *vm, const struct block *b)
{
	struct code_cache *k = vm->cache;

	if (vm->ncpus == 1 && !b->jit.bytes && b->phys2 == UINT64_MAX)
		*spare_of(k, b->phys, b->mode) = (u32)(((const u8 *)b - k->arena) / 16);
}

/* The dead block that was decoded from there; 0: none. */
static u32 find_spare(struct code_cache *k, u64 phys, u32 mode)
{
	u32 ref = *spare_of(k, phys, mode);
	const struct block *b = at(k, ref);

	return ref && b->phys == phys && b->mode == mode ? ref : 0;
}

bool cache_is_patched(struct code_cache *k, u64 phys, u32 mode)
{
	u32 ref = find_spare(k, phys, mode);

	return ref && at(k, ref)->patches.n >= BLOCK_PATCHES_MANY && at(k, ref)->patches.n != BLOCK_PATCHES_NEVER;
}

/* A dead block whose memory `made` may have; 0: none. *patches: what is known of that place. */
static u32 take_spare(struct code_cache *k, const struct block *made, struct block_patches *patches)
{
	u32 *spare = spare_of(k, made->phys, made->mode), ref = find_spare(k, made->phys, made->mode);
	const struct block *b = at(k, ref);

	*patches = ref ? b->patches : (struct block_patches){ 0 };
	if (!ref || block_bytes(b) < block_bytes(made))
		return 0;
	*spare = 0;
	k->generation++;
	return ref;
}

/* Bytes that were written, and the chunks whose bits have to be found anew: those, and all of who died. */
struct written {
	u64 off, bytes, chunks;
	unsigned killed;
};

/* b dies of that write. Counted are writes in a row to the same few bytes. */
static void note_patch(struct block *b, const struct written *w)
{
	struct block_patches *p = &b->patches;
	u64 at = w->off - b->phys, end = at + w->bytes;

	p->bytes = 0; /* and what it was of b's uops that died with it */
	if (w->off < b->phys || end > b->bytes || w->bytes > BLOCK_PATCH_MAX) {
		p->n = 0; /* it is made anew, or more than a constant */
		return;
	}
	u16 first = (u16)MIN(p->first, at), last = (u16)MAX(p->last, end - 1);
	if (p->n == 0 || last - first >= BLOCK_PATCH_MAX)
		*p = (struct block_patches){ .n = 1, .first = (u16)at, .last = (u16)(end - 1) };
	else if (p->n != BLOCK_PATCHES_NEVER)
		*p = (struct block_patches){ .n = (u8)MIN(p->n + 1, BLOCK_PATCHES_NEVER - 1),
					     .first = first,
					     .last = last };
}

/* Is it only what its translation reads from there at each execution? */
static bool constant_only(const struct block *b, const struct written *w)
{
	u64 at = b->phys + b->patches.at;

	return b->patches.bytes && w->off >= at && w->off + w->bytes <= at + b->patches.bytes;
}

/* Takes the dead from a list, and those who die now. */
static void sweep(struct soft_vm *vm, u32 *head, unsigned side, struct written *w)
{
	struct code_cache *k = vm->cache;

	for (u32 *p = head; *p;) {
		struct block *b = at(k, *p);
		u32 *next = &b->next_on_page[side];

		if (!b->dead && (!cache_overlaps(b, w->off, w->bytes) || constant_only(b, w))) {
			p = next;
			continue;
		}
		*p = *next;
		w->chunks |= cache_block_chunks(b, w->off >> PAGE_SHIFT);
		if (b->dead)
			continue;
		note_patch(b, w);
		kill_block(vm, b);
		if (side == 0)
			keep_spare(vm, b);
		w->killed++;
	}
}

static void sweep_all(struct soft_vm *vm, struct page_blocks *p, u64 lists, struct written *w)
{
	for (; lists; lists &= lists - 1) {
		unsigned s = (unsigned)__builtin_ctzll(lists);

		sweep(vm, &p->head[s], 0, w);
		if (!p->head[s])
			p->starts &= ~(1ull << s);
	}
	if (p->incoming)
		sweep(vm, &p->incoming, 1, w);
	if (!p->starts)
		p->wide = false;
}

/* What the blocks need of these chunks. */
static u64 chunks_in_use(struct code_cache *k, const struct page_blocks *p, u64 page, u64 chunks)
{
	u64 used = 0;

	for (u64 lists = page_blocks_near(p, chunks); lists; lists &= lists - 1)
		for (u32 ref = p->head[__builtin_ctzll(lists)]; ref; ref = at(k, ref)->next_on_page[0])
			used |= at(k, ref)->dead ? 0 : cache_block_chunks(at(k, ref), page);
	for (u32 ref = p->incoming; ref; ref = at(k, ref)->next_on_page[1])
		used |= at(k, ref)->dead ? 0 : cache_block_chunks(at(k, ref), page);
	return used & chunks;
}

/* After a write that killed whom it had to. A page that nothing is decoded from any more becomes free in the end. */
static void settle(struct soft_vm *vm, const struct written *w)
{
	struct code_cache *k = vm->cache;
	u64 page = w->off >> PAGE_SHIFT, chunks = w->chunks;
	struct page_blocks *p = blocks_on(k, page);
	u64 used = p ? chunks_in_use(k, p, page, chunks) : 0;

	/* Bits may be set that nobody needs: of blocks that died otherwise, and of a page that was guarded. */
	if ((!used && ++k->quiet[page] >= CACHE_QUIET) || w->bytes >= PAGE_BYTES / 2 ||
	    (vm->direct.code && atomic_load_explicit(&vm->direct.code[page], memory_order_relaxed))) {
		bool quiet = k->quiet[page] >= CACHE_QUIET || w->bytes >= PAGE_BYTES / 2;

		chunks = ~0ull;
		used = p ? chunks_in_use(k, p, page, chunks) : 0;
		if (quiet && !used)
			atomic_fetch_and(&k->page_flags[page], (u8)~PAGE_CODE);
		if (quiet)
			k->quiet[page] = 0;
	}
	atomic_store(&k->code_chunks[page], (atomic_load(&k->code_chunks[page]) & ~chunks) | used);
}

unsigned cache_invalidate_ram(struct soft_vm *vm, u64 off, u64 bytes)
{
	struct code_cache *k = vm->cache;
	u64 page = off >> PAGE_SHIFT;
	struct written w = { off, bytes, cache_chunks(off, bytes), 0 };

	if (!(atomic_load(&k->page_flags[page]) & PAGE_CODE) || !cache_matters(vm, off, bytes))
		return 0;
	pthread_mutex_lock(&k->lock);
	struct page_blocks *p = blocks_on(k, page);
	if (p)
		sweep_all(vm, p, page_blocks_near(p, w.chunks), &w);
	settle(vm, &w);
	pthread_mutex_unlock(&k->lock);
	if (unlikely(vm->direct.code && atomic_load_explicit(&vm->direct.code[page], memory_order_relaxed)))
		vm->hooks->guarded_written(vm, page);
	return w.killed;
}

bool cache_release(struct soft_vm *vm, u64 page)
{
	struct code_cache *k = vm->cache;
	struct written nothing = { page << PAGE_SHIFT, 0, 0, 0 };

	pthread_mutex_lock(&k->lock);
	struct page_blocks *p = blocks_on(k, page);
	if (p)
		sweep_all(vm, p, p->starts, &nothing);
	bool free = !p || (!p->starts && !p->incoming);
	if (free) {
		atomic_store(&k->code_chunks[page], 0);
		atomic_fetch_and(&k->page_flags[page], (u8)~PAGE_CODE);
	}
	pthread_mutex_unlock(&k->lock);
	return free;
}

void cache_reaches(struct soft_vm *vm, const struct block *b)
{
	u64 page = b->phys >> PAGE_SHIFT;

	page_blocks_reach(blocks_on(vm->cache, page), page_blocks_chunk(b->phys), cache_block_chunks(b, page));
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

void cache_reset(struct soft_vm *vm)
{
	struct code_cache *k = vm->cache;

	pthread_mutex_lock(&k->lock);
	for (u64 i = 0; i < k->npages; i++) {
		if (k->page_blocks[i])
			k->page_blocks[i] = 0;
		if (atomic_load_explicit(&k->page_flags[i], memory_order_relaxed) & PAGE_CODE) {
			atomic_fetch_and(&k->page_flags[i], (u8)~PAGE_CODE);
			atomic_store(&k->code_chunks[i], 0);
		}
	}
	memset(k->hash, 0, HASH_BYTES);
	memset(k->spare, 0, SPARE_BYTES);
	k->used = 16;
	k->generation++;
	k->resets++;
	for (unsigned i = 0; i < vm->ncpus; i++)
		jc_clear_all(vm->cpu[i]);
	atomic_store(&k->full, false);
	pthread_mutex_unlock(&k->lock);
}

void cache_give_back(struct soft_vm *vm)
{
	struct code_cache *k = vm->cache;

	give_back(k->arena, k->arena_bytes);
	give_back(k->hash, HASH_BYTES);
	for (unsigned i = 0; i < vm->ncpus; i++)
		jc_give_back(vm->cpu[i]);
}

/* There is room for it. */
static struct page_blocks *make_blocks_on(struct code_cache *k, u64 page)
{
	if (!k->page_blocks[page]) {
		k->page_blocks[page] = (u32)(k->used / 16);
		k->used += sizeof(struct page_blocks);
		memset(blocks_on(k, page), 0, sizeof(struct page_blocks));
	}
	return blocks_on(k, page);
}

struct block *cache_add(struct soft_vm *vm, const struct block *made)
{
	struct code_cache *k = vm->cache;
	size_t bytes = sizeof(*made) + made->nops * sizeof(made->op[0]);
	u64 page = made->phys >> PAGE_SHIFT, page2 = made->phys2 >> PAGE_SHIFT;

	if (atomic_load(&k->full) || k->used + block_bytes(made) + 2 * sizeof(struct page_blocks) > k->arena_bytes)
		return NULL;
	struct page_blocks *p = make_blocks_on(k, page);
	struct block_patches patches;
	u32 ref = take_spare(k, made, &patches);
	if (!ref) {
		ref = (u32)(k->used / 16);
		k->used += block_bytes(made);
	}
	struct block *b = at(k, ref);

	memcpy(b, made, bytes);
	b->patches = patches;
	page_blocks_add(p, b, ref, cache_block_chunks(b, page));
	if (b->phys2 != UINT64_MAX) {
		p = make_blocks_on(k, page2);
		b->next_on_page[1] = p->incoming;
		p->incoming = ref;
	}
	hash_in(k, b, ref);
	return b;
}
