/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * protect.c - pages with code on them, and pages whose next store shall be seen: fast write entries are taken back from
 * every vCPU's tables, by any thread, under that vCPU's tlb_lock. INV-CACHE-1 (blocks/cache.h) rests on it.
 *
 * The guest's vector registers may be live in the host's: no vector instruction here (meson.build).
 */
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/hooks.h"
#include "cpu/soft/memory/mmu.h"
#include "cpu/soft/memory/tlb_table.h"

static void take_back(struct tlb_table *t, u64 host)
{
	bool listed = t->nfilled <= TLB_LIST;
	u32 n = listed ? t->nfilled : TLB_SIZE;

	for (u32 k = 0; k < n; k++) {
		unsigned slot = listed ? t->filled[k] : k;
		struct tlb_entry *e = &t->e[slot];
		u64 tag = __atomic_load_n(&e->wtag, __ATOMIC_RELAXED);
		/* Its owner may be emptying it: then it stays empty. */
		if (tag != tlb_none(slot) && tag + e->addend == host)
			__atomic_compare_exchange_n(&e->wtag, &tag, tag | TLB_CODE, false, __ATOMIC_RELAXED,
						    __ATOMIC_RELAXED);
	}
}

/* True: stores that had passed the tag test before it was taken back may be under way. */
static bool protect_page(struct soft_vm *vm, u64 page)
{
	u8 old = atomic_fetch_or(&vm->cache->page_flags[page], PAGE_CODE);

	if ((old & PAGE_CODE) || !(old & PAGE_WTLB))
		return false;
	u64 host = (u64)(uintptr_t)vm->ram->host + (page << PAGE_SHIFT);
	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct soft_cpu *o = vm->cpu[i];
		pthread_mutex_lock(&o->tlb_lock);
		if (old & PAGE_WSUPER)
			take_back(&o->tables->super, host);
		for (unsigned s = 0; s < SPACE_COUNT; s++) {
			if (!__atomic_load_n(&o->spaces[s].ready, __ATOMIC_ACQUIRE))
				continue;
			if (old & PAGE_WUSER(s))
				take_back(&o->tables->space[s].user, host);
			if (old & PAGE_WSUPER_AC)
				take_back(&o->tables->space[s].super_ac, host);
		}
		vm->hooks->protect(o, page);
		pthread_mutex_unlock(&o->tlb_lock);
	}
	atomic_fetch_and(&vm->cache->page_flags[page], (u8)~PAGE_WANY);
	return true;
}

void mmu_protect_pages(struct soft_cpu *c, const u64 *page, unsigned n)
{
	struct soft_vm *vm = c->vm;
	bool any = false;

	for (unsigned i = 0; i < n; i++)
		any |= protect_page(vm, page[i]);
	if (any && vm->ncpus > 1) {
		/* Those stores are finished after this. */
		c->st.ping++;
		cache_exclusive_begin(vm, c);
		cache_exclusive_end(vm, c);
	}
}

void mmu_protect_code(struct soft_cpu *c, u64 page)
{
	mmu_protect_pages(c, &page, 1);
}

static void protect_table(struct tlb_table *t)
{
	for (unsigned k = 0; k < TLB_SIZE; k++)
		if (t->e[k].wtag != tlb_none(k)) /* what is not used takes no memory */
			__atomic_store_n(&t->e[k].wtag, tlb_none(k), __ATOMIC_RELAXED);
}

void mmu_protect_all(struct soft_vm *vm)
{
	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct soft_cpu *c = vm->cpu[i];
		pthread_mutex_lock(&c->tlb_lock);
		protect_table(&c->tables->super);
		for (unsigned s = 0; s < SPACE_COUNT; s++)
			if (c->spaces[s].ready) {
				protect_table(&c->tables->space[s].user);
				protect_table(&c->tables->space[s].super_ac);
			}
		vm->hooks->protect(c, UINT64_MAX);
		pthread_mutex_unlock(&c->tlb_lock);
	}
}

bool mmu_user_writes(struct soft_cpu *c, u64 page, bool written)
{
	_Atomic u8 *flags = &c->vm->cache->page_flags[page];
	u8 in = tlb_write_flags(c, TLB_USER);

	if (unlikely(atomic_load_explicit(&c->vm->dirty.on, memory_order_relaxed))) {
		if (written)
			dirty_mark(&c->vm->dirty, page);
		else if (!dirty_known(&c->vm->dirty, page))
			return false;
	}
	u8 f = atomic_load_explicit(flags, memory_order_relaxed);
	if ((f & in) != in)
		atomic_fetch_or(flags, in);
	return !(atomic_load(flags) & PAGE_CODE);
}
