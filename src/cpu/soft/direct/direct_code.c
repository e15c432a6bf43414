/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_code.c - what was looked at in a page that runners execute stays true. See direct.h.
 *
 * Before a page is mapped for executing it is guarded: it becomes a page of code, as those are that blocks were decoded
 * from (cache.h, PAGE_CODE), with all its chunks in use. So whoever writes there (translated code of any vCPU, a
 * device, another runner) comes through cache_invalidate_ram(). That ends the guard, and no runner may execute the page
 * until it has been looked at again.
 *
 * INV-DIRECT-5: A runner has PROT_EXEC only for a page that is guarded, or its vCPU was kicked since the guard ended.
 * The mark in vm->direct.code is cleared after the write, and before the mappings are looked for, under tlb_lock. Who
 * maps a page for executing looks at mark and bytes under that lock.
 */
#include "cpu/soft/direct/direct_code.h"

#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/direct/direct.h"
#include "cpu/soft/direct/direct_map.h"
#include "cpu/soft/memory/mmu.h"

#include <string.h>
#include <sys/mman.h>

/* A mark: 0, or what the page was found to be as code of 64 or of 32 bits, and of the bytes around it a hash. */
#define MARK_KIND 7u
#define MARK_GUARDED 1u /* nobody has looked yet */
#define MARK_KINDS(code32) (code32 ? 5u : 2u)
#define MARK_OF(kind, code32) ((u32)(kind) + MARK_KINDS(code32))

static size_t marks_bytes(const struct soft_vm *vm)
{
	return vm->cache->npages * sizeof(*vm->direct.code);
}

bool direct_code_init(struct soft_vm *vm)
{
	void *p =
	    mmap(NULL, marks_bytes(vm), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	vm->direct.code = p == MAP_FAILED ? NULL : p;
	return vm->direct.code;
}

void direct_code_fini(struct soft_vm *vm)
{
	if (vm->direct.code)
		munmap((void *)vm->direct.code, marks_bytes(vm));
	vm->direct.code = NULL;
}

void direct_code_guard(struct soft_cpu *c, const struct mmu_user *u, unsigned n)
{
	struct code_cache *k = c->vm->cache;
	_Atomic u32 *code = c->vm->direct.code;
	u64 page[DIRECT_GUARD_MAX];
	unsigned todo = 0;

	for (unsigned i = 0; i < n; i++)
		if ((u[i].rights & MMU_USER_X) && !atomic_load_explicit(&code[u[i].page], memory_order_relaxed))
			page[todo++] = u[i].page;
	if (!todo)
		return;
	mmu_protect_pages(c, page, todo);
	c->jit.beside.len = 0;
	pthread_mutex_lock(&k->lock);
	for (unsigned i = 0; i < todo; i++)
		if (cache_page_flags(c->vm, page[i]) &
		    PAGE_CODE) { /* else somebody has just written it: another time */
			atomic_store(&k->code_chunks[page[i]], ~0ull);
			k->quiet[page[i]] = 0;
			atomic_store(&code[page[i]], MARK_GUARDED);
		}
	pthread_mutex_unlock(&k->lock);
}

static u32 hash_of(const u8 *p, unsigned n, u64 h)
{
	for (unsigned i = 0; i < n; i += 8)
		h = (h ^ ld_le64(p + i)) * 0x9e3779b97f4a7c15ull;
	return (u32)(h >> 32) & ~MARK_KIND;
}

enum page_kind direct_code_kind(struct soft_cpu *c, const struct mmu_user *u, bool code32)
{
	_Atomic u32 *mark = &c->vm->direct.code[u->page];
	u32 was = atomic_load(mark), around = 0;
	const u8 *p[3];

	if (!was)
		return PAGE_NEVER;
	for (int i = -1; i <= 1; i++)
		p[i + 1] = u[i].rights & MMU_USER_X ? c->ram->host + (u[i].page << PAGE_SHIFT) : NULL;
	if (p[0])
		around = hash_of(p[0] + PAGE_BYTES - DIRECT_SCAN_BEFORE, DIRECT_SCAN_BEFORE, 1);
	if (p[2])
		around = hash_of(p[2], DIRECT_SCAN_BEHIND, around + 2);
	u32 known = (was & MARK_KIND) - MARK_KINDS(code32);
	if (was > MARK_KIND && (was & ~MARK_KIND) == around && known <= PAGE_NEVER)
		return (enum page_kind)known;
	const struct direct_host *host = &c->vm->direct.host;
	enum page_kind kind = code32 ? direct_scan32(host, p[0], p[1], p[2]) : direct_scan(host, p[0], p[1], p[2]);
	/* Unless it was written meanwhile. */
	atomic_compare_exchange_strong(mark, &was, around | MARK_OF(kind, code32));
	return was ? kind : PAGE_NEVER;
}

/* No runner has the page for executing from its next start on. */
static void take_from_all(struct soft_vm *vm, u64 page)
{
	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct soft_cpu *c = vm->cpu[i];
		pthread_mutex_lock(&c->tlb_lock);
		bool had = direct_map_revoke(c, page);
		pthread_mutex_unlock(&c->tlb_lock);
		if (had)
			direct_kick(c);
	}
}

void direct_code_written(struct soft_vm *vm, u64 page)
{
	if (atomic_exchange(&vm->direct.code[page], 0))
		take_from_all(vm, page);
}

void direct_code_forget(struct soft_vm *vm)
{
	if (!vm->direct.code)
		return;
	madvise((void *)vm->direct.code, marks_bytes(vm), MADV_DONTNEED);
	for (unsigned i = 0; i < vm->ncpus; i++) {
		pthread_mutex_lock(&vm->cpu[i]->tlb_lock);
		direct_map_revoke(vm->cpu[i], UINT64_MAX);
		pthread_mutex_unlock(&vm->cpu[i]->tlb_lock);
	}
}

void direct_code_release(struct soft_cpu *c, u64 page)
{
	struct soft_vm *vm = c->vm;

	if (!atomic_load_explicit(&vm->direct.code[page], memory_order_relaxed) || !cache_release(vm, page))
		return;
	atomic_store(&vm->direct.code[page], 0);
	take_from_all(vm, page);
	if (vm->ncpus > 1) {
		/* Others that execute it have stopped after this. */
		cache_exclusive_begin(vm, c);
		cache_exclusive_end(vm, c);
	}
}
