/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mmu.c - linear to physical: page walks, the software TLB, and every access that misses it.
 *
 * The tables of a vCPU (c->tlbs) belong to its thread. Two things come from other threads, under
 * c->tlb_lock: taking back write permission of a page that becomes code (mmu_protect_code), so the
 * owner fills entries under the same lock, where there are other vCPUs.
 *
 * A store that misses may be to a page with decoded code on it. If it hits the very block that is
 * running, the instruction is abandoned before the store and run again alone (core_redo_stepped), so
 * that the next instruction is decoded from the new bytes; else it stores and drops the blocks it
 * overlaps (INV-CACHE-2).
 *
 * Address spaces. What holds for one PCID alone - TLB_USER, TLB_SUPER_AC, the user's jump cache - exists
 * SPACE_COUNT times; the least recently used one is emptied when a PCID comes that has none. CR3 then only turns
 * a few pointers, and the checks of the fast paths know nothing of PCIDs. TLB_SUPER and its jump cache are one
 * for all: they are emptied with the address space, unless they hold nothing but global pages.
 */
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/direct/direct.h"
#include "cpu/soft/memory/mmu.h"
#include "cpu/soft/system/system.h"
#include "cpu/soft/memory/access.h"
#include "cpu/soft/raise.h"
#include "cpu/soft/jit/jit.h"

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

/* What #AC wants of an operand (SDM 3A table 6-7; the same on AMD's processors): vectors of 32 bytes 16, the x87's ten
 * bytes 8, its environments and images words or dwords. Anything else is its handler's. */
static inline unsigned alignment(unsigned bytes)
{
	if (bytes == 10)
		return 8;
	return bytes <= 108 ? MIN(bytes & -bytes, 16u) : 1;
}

/* #AC comes after the page fault (SDM 3A 6.9): call this when the access is known to be allowed. */
static inline void check_align(struct soft_cpu *c, enum tlb_index idx, gva_t lin, unsigned bytes)
{
	if (unlikely(idx == TLB_USER_ALIGN) && (lin & (alignment(bytes) - 1)))
		soft_raise(c, EXC_AC, 0);
}

/* Set bits in a paging entry as the processor does: atomically, and only if it is unchanged. */
static bool pte_set(struct soft_cpu *c, u8 *p, unsigned bytes, u64 old, u64 bits)
{
	(void)c;
	if (bytes == 8)
		return __atomic_compare_exchange_n((u64 *)(void *)p, &old, old | bits, false, __ATOMIC_SEQ_CST,
						   __ATOMIC_SEQ_CST);
	u32 o = (u32)old;
	return __atomic_compare_exchange_n((u32 *)(void *)p, &o, o | (u32)bits, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

static u64 phys_reserved(const struct soft_cpu *c)
{
	(void)c;
	/* MAXPHYADDR of every model is at most 46 (leaf 0x80000008); bits up to 51 are reserved. */
	return 0x000fc00000000000ull;
}

bool mmu_pdptes_ok(const struct soft_cpu *c, u64 cr3)
{
	for (unsigned i = 0; i < 4; i++) {
		const u8 *p = ram_ptr(c->ram, (cr3 & 0xffffffe0ull) + 8 * i, 8);
		u64 v = p ? __atomic_load_n((const u64 *)(const void *)p, __ATOMIC_RELAXED) : 0;

		if ((v & PTE_P) && (v & (phys_reserved(c) | PDPTE_RSVD)))
			return false;
	}
	return true;
}

/*
 * Walk the guest's tables (SDM 3A 4.3-4.5). Returns 0, or the #PF error code + 1<<31. Sets A, and D
 * for writes, when the access is allowed.
 */
static u32 walk(struct soft_cpu *c, enum tlb_index idx, gva_t lin, enum mmu_access acc, struct walk *w)
{
	bool pae = c->cr4 & CR4_PAE, lma = c->efer & EFER_LMA, nxe = c->efer & EFER_NXE;
	bool user = is_user(idx), write = acc == ACC_W;
	u32 err = 1u << 31 | (user ? PF_U : 0) | (write ? PF_W : 0) |
		  (acc == ACC_X && ((pae && nxe) || (c->cr4 & CR4_SMEP)) ? PF_I : 0);
	u64 rsvd = phys_reserved(c) | (nxe ? 0 : PTE_NX);
	struct {
		u8 *p;
		u64 v;
	} lv[4];
	unsigned esize = pae ? 8 : 4, bits = pae ? 9 : 10;
	int top = lma ? 3 : pae ? 2 : 1, level;
	gpa_t table = lma ? c->cr3 & PTE_ADDR : pae ? c->cr3 & 0xffffffe0ull : c->cr3 & 0xfffff000ull;

	c->st.page_walk++;
again:
	w->writable = true;
	w->user = true;
	w->nx = false;
	for (level = top;; level--) {
		unsigned shift = PAGE_SHIFT + bits * (unsigned)level;
		u64 i = (lin >> shift) & ((1u << bits) - 1);
		gpa_t t = level == top ? table : lv[level + 1].v & PTE_ADDR;
		if (level == 2 && top == 2)
			i &= 3; /* PAE: 4 PDPTEs */
		u8 *p = ram_ptr(c->ram, t + i * esize, esize);
		u64 v;

		if (!p)
			return err; /* tables outside RAM read as not present */
		const u8 *real = p;
		if (unlikely(c->jit.ref))
			p = jit_check_view(c, p);
		v = esize == 8 ? __atomic_load_n((u64 *)(void *)p, __ATOMIC_RELAXED)
			       : __atomic_load_n((u32 *)(void *)p, __ATOMIC_RELAXED);
		lv[level].p = (u8 *)(uintptr_t)real;
		lv[level].v = v;
		if (!(v & PTE_P))
			return err;
		if (level == 2 && top == 2) {
			if (v & (rsvd | PDPTE_RSVD))
				return err | PF_P | PF_RSVD;
			continue; /* a PDPTE has no rights */
		}
		if (esize == 8 && (v & rsvd))
			return err | PF_P | PF_RSVD;
		w->writable &= !!(v & PTE_W);
		w->user &= !!(v & PTE_U);
		w->nx |= esize == 8 && (v & PTE_NX);
		if (level == 0)
			break;
		if (v & PTE_PS) {
			if (level == 3)
				return err | PF_P | PF_RSVD;
			if (esize == 4 && !(c->cr4 & CR4_PSE))
				continue;
			/* reserved address bits of a large page; bit 12 is PAT */
			u64 low = esize == 8 ? ((1ull << shift) - 1) & ~0x1fffull : 0x200000ull;
			if (v & low)
				return err | PF_P | PF_RSVD;
			break;
		}
	}

	u64 leaf = lv[level].v;
	unsigned shift = PAGE_SHIFT + bits * (unsigned)level;
	u64 base;
	if (esize == 4 && level == 1) /* PSE-36 */
		base = (leaf & 0xffc00000ull) | ((leaf & 0x1fe000ull) << 19);
	else
		base = leaf & PTE_ADDR & ~((1ull << shift) - 1);
	w->gpa = (base | (lin & ((1ull << shift) - 1))) & PAGE_MASK;
	w->global = (c->cr4 & CR4_PGE) && (leaf & PTE_G);
	w->shift = (u8)shift;

	/* Rights (SDM 3A 4.6). */
	if (user) {
		if (!w->user || (write && !w->writable) || (acc == ACC_X && w->nx))
			return err | PF_P;
	} else {
		if (write && !w->writable && (c->cr0 & CR0_WP))
			return err | PF_P;
		if (acc == ACC_X) {
			if (w->nx || (w->user && (c->cr4 & CR4_SMEP)))
				return err | PF_P;
		} else if (w->user && (c->cr4 & CR4_SMAP) && idx != TLB_SUPER_AC) {
			return err | PF_P;
		}
	}

	for (int i = top; i >= level; i--) {
		u64 want = PTE_A | (i == level && write ? PTE_D : 0);
		if (i == 2 && top == 2)
			continue; /* PDPTEs have no A */
		if (unlikely(c->jit.ref) && (lv[i].v & want) != want) {
			/* The copy, if there is one, and the original, which nobody will look at again. */
			u8 *copy = jit_check_view(c, lv[i].p);
			if (copy != lv[i].p) {
				pte_set(c, lv[i].p, esize, lv[i].v, want);
				pte_set(c, copy, esize, lv[i].v, want);
				lv[i].v |= want;
			}
		}
		if ((lv[i].v & want) != want) {
			if (!pte_set(c, lv[i].p, esize, lv[i].v, want))
				goto again; /* changed under us */
			u64 off = (u64)(lv[i].p - c->ram->host);
			if (unlikely(atomic_load_explicit(&c->vm->dirty.on, memory_order_relaxed)))
				dirty_mark(&c->vm->dirty, off >> PAGE_SHIFT);
			if (cache_page_flags(c->vm, off >> PAGE_SHIFT) & PAGE_CODE) {
				jit_vec_out(c);
				cache_wrote(c->vm, off, esize);
			}
			lv[i].v |= want;
		}
	}
	w->dirty = lv[level].v & PTE_D;
	return 0;
}

/* Of a page that may be written through this vCPU's table. */
static u8 write_flags(const struct soft_cpu *c, enum tlb_index idx)
{
	return (u8)(PAGE_WTLB | (idx == TLB_SUPER      ? PAGE_WSUPER
				 : idx == TLB_SUPER_AC ? PAGE_WSUPER_AC
						       : PAGE_WUSER(c->space)));
}

/* ---- for direct execution: what user code may do, beside the TLB ---- */

bool mmu_user_access(struct soft_cpu *c, gva_t lin, enum mmu_access acc)
{
	struct walk w;

	return !walk(c, TLB_USER, lin, acc, &w);
}

void mmu_user_look(const struct soft_cpu *c, gva_t lin, unsigned n, struct mmu_user *out)
{
	u64 rsvd = phys_reserved(c) | (c->efer & EFER_NXE ? 0 : PTE_NX), all = PTE_W, nx = 0, v = 0;
	gpa_t table = c->cr3 & PTE_ADDR;
	const u8 *p = NULL;
	unsigned shift;

	for (unsigned i = 0; i < n; i++)
		out[i].rights = 0;
	for (shift = PAGE_SHIFT + 27;; shift -= 9) {
		p = ram_ptr(c->ram, table + ((lin >> shift & 511) * 8), 8);
		if (!p)
			return;
		if (shift == PAGE_SHIFT)
			break;
		v = __atomic_load_n((const u64 *)(const void *)p, __ATOMIC_RELAXED);
		if ((v & (PTE_P | PTE_U | PTE_A)) != (PTE_P | PTE_U | PTE_A) || (v & rsvd))
			return;
		if (v & PTE_PS)
			break;
		all &= v;
		nx |= v;
		table = v & PTE_ADDR;
	}
	for (unsigned i = 0; i < n; i++, lin += PAGE_BYTES) {
		if (shift == PAGE_SHIFT)
			v = __atomic_load_n((const u64 *)(const void *)p + i, __ATOMIC_RELAXED);
		if ((v & (PTE_P | PTE_U | PTE_A)) != (PTE_P | PTE_U | PTE_A) || (v & rsvd))
			continue;
		u64 low = (1ull << shift) - 1;
		u64 page = ram_page(c->ram, ((v & PTE_ADDR & ~low) | (lin & low)) & PAGE_MASK);
		if (page == UINT64_MAX)
			continue;
		out[i].page = page;
		out[i].shift = (u8)shift;
		out[i].global = (c->cr4 & CR4_PGE) && (v & PTE_G);
		out[i].rights = (u8)(MMU_USER_R | ((v & all & PTE_W) && (v & PTE_D) ? MMU_USER_W : 0) |
				     ((nx | v) & PTE_NX ? 0 : MMU_USER_X));
	}
}

bool mmu_user_writes(struct soft_cpu *c, u64 page, bool written)
{
	_Atomic u8 *flags = &c->vm->cache->page_flags[page];
	u8 in = write_flags(c, TLB_USER);

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

static bool empty(const struct tlb_entry *e)
{
	return e->rtag == TLB_NONE && e->wtag == TLB_NONE && e->xtag == TLB_NONE;
}

static void note_filled(struct tlb_table *t, const struct tlb_entry *e)
{
	if (t->nfilled < TLB_LIST)
		t->filled[t->nfilled] = (u16)(e - t->e);
	if (t->nfilled <= TLB_LIST)
		t->nfilled++;
}

/*
 * Global translations that an address space's tables hold, by hash of their 2 MiB, for either half of addresses 32
 * marks: INVLPG is for those of every PCID (SDM 3A 4.10.4.1), and goes to the tables of the others only where there is
 * a mark. Mostly there is none: what kernels drop page by page is the user's, what is global their own.
 */
static unsigned half(gva_t lin)
{
	return (unsigned)(lin >> 63) * 32;
}

static u64 global_mark(gva_t lin)
{
	u64 n = lin >> 21;

	return 1ull << ((n ^ n >> 5 ^ n >> 10) & 31) << half(lin);
}

void mmu_note_global(struct soft_cpu *c, gva_t lin, unsigned shift)
{
	u64 marks = shift > 21 ? 0xffffffffull << half(lin) : global_mark(lin);

	c->globals[c->space] |= marks;
	c->any_global |= marks;
}

static unsigned large_mark(gva_t lin, unsigned shift)
{
	u64 n = lin >> shift;

	return (unsigned)(n ^ n >> 11) % TLB_LARGE_MARKS;
}

static void note_large(struct tlb_table *t, gva_t lin, unsigned shift)
{
	unsigned m = large_mark(lin, shift);

	t->any_large = true;
	if (shift == 30)
		t->huge |= 1ull << (m & 63);
	else
		t->large[m / 64] |= 1ull << (m % 64);
}

u8 *mmu_translate(struct soft_cpu *c, enum tlb_index idx, gva_t lin, enum mmu_access acc, gpa_t *gpa)
{
	struct tlb_table *table = (struct tlb_table *)(void *)c->tlbs[idx];
	struct tlb_entry *e = &table->e[tlb_hash(lin)];
	u64 page = lin & PAGE_MASK;
	struct walk w;

	if (c->cr0 & CR0_PG) {
		if ((c->efer & EFER_LMA) && !soft_canonical(lin)) {
			jit_vec_out(c);
			if (acc != ACC_X && c->op && c->op->seg == SEG_SS)
				soft_raise(c, EXC_SS, 0);
			soft_gp(c, 0);
		}
		u32 err = walk(c, idx, lin, acc, &w);
		if (unlikely(err)) {
			jit_vec_out(c);
			soft_raise_pf(c, lin, err & 0x7fffffff);
		}
	} else {
		w = (struct walk){ .gpa = page, .writable = true, .user = true, .dirty = true, .global = false };
	}
	*gpa = w.gpa | (lin & (PAGE_BYTES - 1));
	u8 *host = ram_ptr(c->ram, w.gpa, PAGE_BYTES);
	if (!host)
		return NULL;
	if (unlikely(idx == TLB_USER_ALIGN))
		return host + (lin & (PAGE_BYTES - 1)); /* it stays empty */

	/* Fill. What else may be done to this page by the same kind of looker, besides acc. */
	bool paging = c->cr0 & CR0_PG, user = is_user(idx);
	bool r = !paging || acc != ACC_X || user || !(w.user && (c->cr4 & CR4_SMAP) && idx != TLB_SUPER_AC);
	bool wr = r && w.dirty && (w.writable || (!user && !(c->cr0 & CR0_WP)));
	bool x = !paging || (user ? w.user && !w.nx : !w.nx && !(w.user && (c->cr4 & CR4_SMEP)));
	u64 pg = (u64)(host - c->ram->host) >> PAGE_SHIFT;
	_Atomic u8 *flags = &c->vm->cache->page_flags[pg];

	c->st.tlb_fill++;
	if (unlikely(c->dr7 & 0xff) && (c->dr7 & 0x33330000u)) {
		r = wr = false; /* data breakpoints watch in the slow path */
	}
	if (unlikely(atomic_load_explicit(&c->vm->dirty.on, memory_order_relaxed))) {
		/* The first store to a page comes here, and is told. */
		if (acc == ACC_W)
			dirty_mark(&c->vm->dirty, pg);
		else
			wr = wr && dirty_known(&c->vm->dirty, pg);
	}
	if (unlikely(c->jit.ref)) {
		u8 *copy = jit_check_page(c, host, acc == ACC_W);
		wr = wr && copy != host;
		host = copy;
	}
	bool locked = c->vm->ncpus > 1, code = false;
	if (locked)
		pthread_mutex_lock(&c->tlb_lock);
	if (wr) {
		u8 f = atomic_load_explicit(flags, memory_order_relaxed), in = write_flags(c, idx);
		if ((f & in) != in)
			f = atomic_fetch_or(flags, in);
		code = atomic_load(flags) & PAGE_CODE;
	}
	if (empty(e))
		note_filled(table, e);
	e->rtag = r ? page : TLB_NONE;
	e->wtag = !wr ? TLB_NONE : code && !c->jit.ref ? page | TLB_CODE : code ? TLB_NONE : page;
	e->xtag = x ? page : TLB_NONE;
	e->addend = (u64)(uintptr_t)host - page;
	if (locked)
		pthread_mutex_unlock(&c->tlb_lock);
	if (idx != TLB_SUPER) {
		if (w.global)
			mmu_note_global(c, lin, w.shift);
	} else if (!w.global) {
		c->super_nonglobal = true;
	}
	if (w.shift > PAGE_SHIFT)
		note_large(table, lin, w.shift);
	return host + (lin & (PAGE_BYTES - 1));
}

static void take_back(struct tlb_table *t, u64 host)
{
	bool listed = t->nfilled <= TLB_LIST;
	u32 n = listed ? t->nfilled : TLB_SIZE;

	for (u32 k = 0; k < n; k++) {
		struct tlb_entry *e = &t->e[listed ? t->filled[k] : k];
		u64 tag = __atomic_load_n(&e->wtag, __ATOMIC_RELAXED);
		/* Its owner may be emptying it: then it stays empty. */
		if (tag != TLB_NONE && tag + e->addend == host)
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
		jit_protect(o, host);
		direct_protect(o, page);
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
		__atomic_store_n(&t->e[k].wtag, TLB_NONE, __ATOMIC_RELAXED);
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
		jit_protect(c, 0);
		direct_protect(c, UINT64_MAX);
		pthread_mutex_unlock(&c->tlb_lock);
	}
}

void mmu_code_check(struct soft_cpu *c, const u8 *host, u64 bytes)
{
	if (!c->redo_step && cache_running_overlaps(c, (u64)(host - c->ram->host), bytes))
		core_redo_stepped(c);
}

static inline bool is_code(struct soft_cpu *c, const u8 *host)
{
	return !c->jit.ref && cache_page_flags(c->vm, (u64)(host - c->ram->host) >> PAGE_SHIFT) & PAGE_CODE;
}

/* p was written, on a PAGE_CODE page. */
static inline void code_written(struct soft_cpu *c, const u8 *p, unsigned bytes)
{
	u64 off = (u64)(p - c->ram->host);

	if (c->vm->ncpus > 1)
		atomic_thread_fence(memory_order_seq_cst); /* INV-CACHE-4 */
	if (cache_matters(c->vm, off, bytes))
		cache_invalidate_ram(c->vm, off, bytes);
}

static void data_bp(struct soft_cpu *c, gva_t lin, unsigned bytes, bool write)
{
	if (unlikely((c->dr7 & 0xff) && (c->dr7 & 0x33330000u)))
		soft_data_breakpoint(c, lin, bytes, write);
}

static u64 mmio_read(struct soft_cpu *c, gpa_t gpa, unsigned bytes)
{
	jit_check_no_effects(c);
	c->st.mmio++;
	return c->bus->mmio_read(c->bus->opaque, c->index, gpa, bytes);
}

static void mmio_write(struct soft_cpu *c, gpa_t gpa, unsigned bytes, u64 v)
{
	jit_check_no_effects(c);
	c->st.mmio++;
	c->bus->mmio_write(c->bus->opaque, c->index, gpa, bytes, v);
}

static u64 host_ld(const u8 *p, unsigned bytes)
{
	switch (bytes) {
	case 1:
		return *(const volatile u8 *)p;
	case 2:
		return *(const volatile guest_u16 *)(const void *)p;
	case 4:
		return *(const volatile guest_u32 *)(const void *)p;
	default:
		return *(const volatile guest_u64 *)(const void *)p;
	}
}

static void host_st(u8 *p, unsigned bytes, u64 v)
{
	switch (bytes) {
	case 1:
		*(volatile u8 *)p = (u8)v;
		break;
	case 2:
		*(volatile guest_u16 *)(void *)p = (u16)v;
		break;
	case 4:
		*(volatile guest_u32 *)(void *)p = (u32)v;
		break;
	default:
		*(volatile guest_u64 *)(void *)p = v;
		break;
	}
}

/* The next page's first linear address; wraps at 4 GiB outside long mode. */
static gva_t wrap(const struct soft_cpu *c, gva_t lin)
{
	return c->mode & MODE_CODE64 ? lin : (u32)lin;
}

static bool crosses(gva_t lin, unsigned bytes)
{
	return (lin & (PAGE_BYTES - 1)) + bytes > PAGE_BYTES;
}

static u64 ld_slow(struct soft_cpu *c, enum tlb_index idx, gva_t lin, unsigned bytes)
{
	gpa_t gpa;

	data_bp(c, lin, bytes, false);
	if (likely(!crosses(lin, bytes))) {
		u8 *p = mmu_translate(c, idx, lin, ACC_R, &gpa);
		check_align(c, idx, lin, bytes);
		return p ? host_ld(p, bytes) : mmio_read(c, gpa, bytes);
	}
	unsigned n1 = (unsigned)(PAGE_BYTES - (lin & (PAGE_BYTES - 1)));
	gpa_t gpa2;
	u8 *p1 = mmu_translate(c, idx, lin, ACC_R, &gpa);
	u8 *p2 = mmu_translate(c, idx, wrap(c, lin + n1), ACC_R, &gpa2);
	check_align(c, idx, lin, bytes);
	u64 v = 0;
	for (unsigned i = 0; i < bytes; i++) {
		u64 b = i < n1 ? (p1 ? p1[i] : mmio_read(c, gpa + i, 1))
			       : (p2 ? p2[i - n1] : mmio_read(c, gpa2 + i - n1, 1));
		v |= b << (8 * i);
	}
	return v;
}

static void st_ram(struct soft_cpu *c, u8 *p, unsigned bytes, u64 v)
{
	if (likely(!is_code(c, p))) {
		host_st(p, bytes, v);
		return;
	}
	mmu_code_check(c, p, bytes);
	host_st(p, bytes, v);
	code_written(c, p, bytes);
}

/* To write: the walk can be spared where it was done, and only code is in the way. */
static u8 *translate_w(struct soft_cpu *c, enum tlb_index idx, gva_t lin, gpa_t *gpa)
{
	const struct tlb_entry *e = &c->tlbs[idx][tlb_hash(lin)];
	u8 *p = (u8 *)(uintptr_t)(lin + e->addend);

	if (e->wtag == ((lin & PAGE_MASK) | TLB_CODE) && is_code(c, p))
		return p;
	return mmu_translate(c, idx, lin, ACC_W, gpa);
}

static void st_slow(struct soft_cpu *c, enum tlb_index idx, gva_t lin, unsigned bytes, u64 v)
{
	gpa_t gpa;

	data_bp(c, lin, bytes, true);
	if (likely(!crosses(lin, bytes))) {
		u8 *p = translate_w(c, idx, lin, &gpa);
		check_align(c, idx, lin, bytes);
		if (p)
			st_ram(c, p, bytes, v);
		else
			mmio_write(c, gpa, bytes, v);
		return;
	}
	unsigned n1 = (unsigned)(PAGE_BYTES - (lin & (PAGE_BYTES - 1)));
	gpa_t gpa2;
	u8 *p1 = mmu_translate(c, idx, lin, ACC_W, &gpa);
	u8 *p2 = mmu_translate(c, idx, wrap(c, lin + n1), ACC_W, &gpa2);
	check_align(c, idx, lin, bytes);
	if (p1 && is_code(c, p1))
		mmu_code_check(c, p1, n1);
	if (p2 && is_code(c, p2))
		mmu_code_check(c, p2, bytes - n1);
	for (unsigned i = 0; i < bytes; i++, v >>= 8) {
		u8 *p = i < n1 ? p1 : p2;
		unsigned off = i < n1 ? i : i - n1;
		gpa_t g = (i < n1 ? gpa : gpa2) + off;
		if (p)
			st_ram(c, p + off, 1, v & 0xff);
		else
			mmio_write(c, g, 1, v & 0xff);
	}
}

static inline u64 ld(struct soft_cpu *c, enum tlb_index idx, gva_t lin, unsigned bytes)
{
	const struct tlb_entry *e = &c->tlbs[idx][tlb_hash(lin)];

	if (likely(((lin + bytes - 1) & PAGE_MASK) == e->rtag))
		return host_ld((const u8 *)(uintptr_t)(lin + e->addend), bytes);
	return ld_slow(c, idx, lin, bytes);
}

static inline void st(struct soft_cpu *c, enum tlb_index idx, gva_t lin, unsigned bytes, u64 v)
{
	const struct tlb_entry *e = &c->tlbs[idx][tlb_hash(lin)];

	if (likely(((lin + bytes - 1) & PAGE_MASK) == e->wtag))
		host_st((u8 *)(uintptr_t)(lin + e->addend), bytes, v);
	else
		st_slow(c, idx, lin, bytes, v);
}

/* Which table c->tlb is: not by CPL, which an instruction may have changed on its way. */
static inline enum tlb_index table_in_use(const struct soft_cpu *c)
{
	enum tlb_index idx = TLB_USER;

	while (c->tlbs[idx] != c->tlb)
		idx++;
	return idx;
}

u8 soft_ld8(struct soft_cpu *c, gva_t lin)
{
	return (u8)ld(c, table_in_use(c), lin, 1);
}
u16 soft_ld16(struct soft_cpu *c, gva_t lin)
{
	return (u16)ld(c, table_in_use(c), lin, 2);
}
u32 soft_ld32(struct soft_cpu *c, gva_t lin)
{
	return (u32)ld(c, table_in_use(c), lin, 4);
}
u64 soft_ld64(struct soft_cpu *c, gva_t lin)
{
	return ld(c, table_in_use(c), lin, 8);
}
void soft_st8(struct soft_cpu *c, gva_t lin, u8 v)
{
	st(c, table_in_use(c), lin, 1, v);
}
void soft_st16(struct soft_cpu *c, gva_t lin, u16 v)
{
	st(c, table_in_use(c), lin, 2, v);
}
void soft_st32(struct soft_cpu *c, gva_t lin, u32 v)
{
	st(c, table_in_use(c), lin, 4, v);
}
void soft_st64(struct soft_cpu *c, gva_t lin, u64 v)
{
	st(c, table_in_use(c), lin, 8, v);
}
u64 soft_ld(struct soft_cpu *c, gva_t lin, unsigned bytes)
{
	return ld(c, table_in_use(c), lin, bytes);
}
void soft_st(struct soft_cpu *c, gva_t lin, unsigned bytes, u64 v)
{
	st(c, table_in_use(c), lin, bytes, v);
}

u64 soft_ld_priv(struct soft_cpu *c, gva_t lin, unsigned bytes, bool user)
{
	return ld(c, user ? TLB_USER : TLB_SUPER, lin, bytes);
}
void soft_st_priv(struct soft_cpu *c, gva_t lin, unsigned bytes, u64 v, bool user)
{
	st(c, user ? TLB_USER : TLB_SUPER, lin, bytes, v);
}

static void probe(struct soft_cpu *c, enum tlb_index idx, gva_t lin, unsigned bytes, bool write)
{
	gpa_t gpa;

	do {
		unsigned n = (unsigned)MIN((u64)bytes, PAGE_BYTES - (lin & (PAGE_BYTES - 1)));
		const struct tlb_entry *e = &c->tlbs[idx][tlb_hash(lin)];
		if ((write ? e->wtag : e->rtag) != (lin & PAGE_MASK))
			mmu_translate(c, idx, lin, write ? ACC_W : ACC_R, &gpa);
		bytes -= n;
		lin = wrap(c, lin + n);
	} while (bytes);
}
void soft_probe(struct soft_cpu *c, gva_t lin, unsigned bytes, bool write)
{
	probe(c, table_in_use(c), lin, bytes, write);
}
void soft_probe_priv(struct soft_cpu *c, gva_t lin, unsigned bytes, bool write, bool user)
{
	probe(c, user ? TLB_USER : TLB_SUPER, lin, bytes, write);
}

void soft_check_align(struct soft_cpu *c, gva_t lin, unsigned bytes, unsigned align, bool write)
{
	enum tlb_index idx = table_in_use(c);

	if (unlikely(idx == TLB_USER_ALIGN) && (lin & (align - 1))) {
		probe(c, idx, lin, bytes, write);
		check_align(c, idx, lin, align);
	}
}

static void ld_bytes(struct soft_cpu *c, gva_t lin, void *buf, unsigned bytes, unsigned align)
{
	enum tlb_index idx = table_in_use(c);
	u8 *out = buf;

	const struct tlb_entry *te = &c->tlbs[idx][tlb_hash(lin)];
	if (likely(((lin + bytes - 1) & PAGE_MASK) == te->rtag && bytes <= PAGE_BYTES)) {
		memcpy(buf, (const void *)(uintptr_t)(lin + te->addend), bytes);
		return;
	}
	data_bp(c, lin, bytes, false);
	soft_check_align(c, lin, bytes, align, false);
	if (crosses(lin, bytes))
		probe(c, idx, lin, bytes, false);
	while (bytes) {
		unsigned n = (unsigned)MIN((u64)bytes, PAGE_BYTES - (lin & (PAGE_BYTES - 1)));
		gpa_t gpa;
		u8 *p = mmu_translate(c, idx, lin, ACC_R, &gpa);
		if (p) {
			memcpy(out, p, n);
		} else {
			for (unsigned i = 0; i < n;) {
				unsigned k = n - i >= 8 && !((gpa + i) & 7)   ? 8
					     : n - i >= 4 && !((gpa + i) & 3) ? 4
									      : 1;
				u64 v = mmio_read(c, gpa + i, k);
				memcpy(out + i, &v, k);
				i += k;
			}
		}
		out += n;
		bytes -= n;
		lin = wrap(c, lin + n);
	}
}

void soft_ld_bytes(struct soft_cpu *c, gva_t lin, void *buf, unsigned bytes)
{
	ld_bytes(c, lin, buf, bytes, alignment(bytes));
}
void soft_ld_bytes_any(struct soft_cpu *c, gva_t lin, void *buf, unsigned bytes)
{
	ld_bytes(c, lin, buf, bytes, 1);
}

static void st_bytes(struct soft_cpu *c, gva_t lin, const void *buf, unsigned bytes, unsigned align)
{
	enum tlb_index idx = table_in_use(c);
	const u8 *in = buf;

	const struct tlb_entry *te = &c->tlbs[idx][tlb_hash(lin)];
	if (likely(((lin + bytes - 1) & PAGE_MASK) == te->wtag && bytes <= PAGE_BYTES)) {
		memcpy((void *)(uintptr_t)(lin + te->addend), buf, bytes);
		return;
	}
	data_bp(c, lin, bytes, true);
	soft_check_align(c, lin, bytes, align, true);
	if (crosses(lin, bytes))
		probe(c, idx, lin, bytes, true);
	while (bytes) {
		unsigned n = (unsigned)MIN((u64)bytes, PAGE_BYTES - (lin & (PAGE_BYTES - 1)));
		gpa_t gpa;
		u8 *p = mmu_translate(c, idx, lin, ACC_W, &gpa);
		if (p) {
			bool code = is_code(c, p);
			if (code)
				mmu_code_check(c, p, n);
			memcpy(p, in, n);
			if (code)
				code_written(c, p, n);
		} else {
			for (unsigned i = 0; i < n;) {
				unsigned k = n - i >= 8 && !((gpa + i) & 7)   ? 8
					     : n - i >= 4 && !((gpa + i) & 3) ? 4
									      : 1;
				u64 v = 0;
				memcpy(&v, in + i, k);
				mmio_write(c, gpa + i, k, v);
				i += k;
			}
		}
		in += n;
		bytes -= n;
		lin = wrap(c, lin + n);
	}
}

void soft_st_bytes(struct soft_cpu *c, gva_t lin, const void *buf, unsigned bytes)
{
	st_bytes(c, lin, buf, bytes, alignment(bytes));
}
void soft_st_bytes_any(struct soft_cpu *c, gva_t lin, const void *buf, unsigned bytes)
{
	st_bytes(c, lin, buf, bytes, 1);
}

void *soft_rmw_ptr(struct soft_cpu *c, gva_t lin, unsigned bytes)
{
	const struct tlb_entry *e = &c->tlb[tlb_hash(lin)];
	gpa_t gpa;

	if (likely(((lin + bytes - 1) & PAGE_MASK) == e->wtag))
		return (void *)(uintptr_t)(lin + e->addend);
	data_bp(c, lin, bytes, true);
	if (crosses(lin, bytes)) {
		probe(c, table_in_use(c), lin, bytes, true);
		check_align(c, table_in_use(c), lin, bytes);
		/* It may be a locked one: nobody else runs between its load and its store. Alone, for no block
		 * survives the waiting for sure. */
		if (c->vm->ncpus > 1 && bytes <= 8) {
			if (!c->redo_step)
				core_redo_stepped(c);
			if (!c->exclusive) {
				cache_exclusive_begin(c->vm, c);
				c->exclusive = true;
			}
		}
		return NULL;
	}
	u8 *p = translate_w(c, table_in_use(c), lin, &gpa);
	check_align(c, table_in_use(c), lin, bytes);
	if (!p)
		return NULL;
	if (is_code(c, p)) {
		u64 off = (u64)(p - c->ram->host);
		mmu_code_check(c, p, bytes);
		if (c->vm->ncpus == 1) {
			/* Nothing is decoded between here and the caller's write. */
			if (cache_matters(c->vm, off, bytes))
				cache_invalidate_ram(c->vm, off, bytes);
			return p;
		}
		/* The caller writes after we return, so what INV-CACHE-2 wants is done by running the
		 * instruction alone and dropping the blocks when it is done. */
		if (!c->redo_step)
			core_redo_stepped(c);
		c->redo_off = off;
		c->redo_bytes = bytes;
	}
	return p;
}

/*
 * ---- forgetting ----
 * Only the vCPU's own thread empties entries, without the lock: another thread that looks at one meanwhile
 * (mmu_protect_code) takes back what is being taken back.
 */

static void table_clear(struct tlb_table *t)
{
	bool listed = t->nfilled <= TLB_LIST;
	u32 n = listed ? t->nfilled : TLB_SIZE;

	for (u32 k = 0; k < n; k++) {
		struct tlb_entry *e = &t->e[listed ? t->filled[k] : k];
		e->rtag = e->wtag = e->xtag = TLB_NONE;
	}
	__atomic_store_n(&t->nfilled, 0, __ATOMIC_RELEASE);
	if (t->any_large) {
		t->any_large = false;
		t->huge = 0;
		memset(t->large, 0, sizeof(t->large));
	}
}

static void tables_init(struct tlb_table *t, struct jc_table *j)
{
	t->nfilled = TLB_LIST + 1;
	table_clear(t);
	if (j)
		jc_clear(j);
}

void soft_tlb_init(struct soft_cpu *c)
{
	c->tables = calloc(1, sizeof(*c->tables));
	must(c->tables);
	tables_init(&c->tables->super, &c->tables->jc_super);
	tables_init(&c->tables->align, NULL);
	c->tlbs[TLB_SUPER] = c->tables->super.e;
	c->tlbs[TLB_USER_ALIGN] = c->tables->align.e;
	c->jcs[0] = c->tables->jc_super.e;
	soft_tlb_flush(c, true);
}

void soft_tlb_fini(struct soft_cpu *c)
{
	free(c->tables);
}

void mmu_jc_clear(struct soft_cpu *c)
{
	jc_clear(&c->tables->jc_super);
	for (unsigned s = 0; s < SPACE_COUNT; s++)
		jc_clear(&c->tables->jc_user[s]);
	c->tlb_epoch++;
}

static void space_clear(struct soft_cpu *c, unsigned s)
{
	if (!c->spaces[s].ready)
		return;
	c->st.space_flush++;
	c->globals[s] = 0;
	direct_flush(c, s);
	table_clear(&c->tables->space[s].user);
	table_clear(&c->tables->space[s].super_ac);
	jc_clear(&c->tables->jc_user[s]);
	jit_forget_space(c, s);
	if (s == c->space) {
		c->tlb_epoch++;
		jit_flush(c, TLB_USER);
		jit_flush(c, TLB_SUPER_AC);
	}
}

static void super_clear(struct soft_cpu *c)
{
	table_clear(&c->tables->super);
	jc_clear(&c->tables->jc_super);
	jit_flush(c, TLB_SUPER);
	c->super_nonglobal = false;
}

/* Supervisor entries outlive their address space when all were global and hold no user page. */
static void super_clear_private(struct soft_cpu *c)
{
	if (c->super_nonglobal || !(c->cr4 & CR4_SMAP) || !(c->cr4 & CR4_SMEP))
		super_clear(c);
}

static unsigned pcid_of(const struct soft_cpu *c)
{
	return c->cr4 & CR4_PCIDE ? (unsigned)(c->cr3 & 0xfff) : 0;
}

/* SPACE_COUNT: there is none. */
static unsigned space_find(const struct soft_cpu *c, unsigned pcid)
{
	unsigned s = 0;

	while (s < SPACE_COUNT && !(c->spaces[s].used && c->spaces[s].pcid == pcid))
		s++;
	return s;
}

/* The PCID in CR3 has an address space, and it is in use. */
static void space_use(struct soft_cpu *c)
{
	unsigned pcid = pcid_of(c), s = space_find(c, pcid);

	if (s == SPACE_COUNT) {
		s = 0;
		for (unsigned i = 1; i < SPACE_COUNT; i++)
			if (c->spaces[i].stamp < c->spaces[s].stamp)
				s = i;
		if (c->spaces[s].ready) {
			space_clear(c, s);
		} else {
			tables_init(&c->tables->space[s].user, &c->tables->jc_user[s]);
			tables_init(&c->tables->space[s].super_ac, NULL);
			__atomic_store_n(&c->spaces[s].ready, true, __ATOMIC_RELEASE);
		}
		c->spaces[s].pcid = (u16)pcid;
		c->spaces[s].used = true;
	}
	c->spaces[s].stamp = ++c->space_clock;
	if (s == c->space && c->tlb) {
		direct_switched(c);
		return;
	}
	c->st.space_switch++;
	c->space = s;
	c->tlbs[TLB_USER] = c->tables->space[s].user.e;
	c->tlbs[TLB_SUPER_AC] = c->tables->space[s].super_ac.e;
	c->jcs[1] = c->tables->jc_user[s].e;
	c->tlb = c->tlbs[mmu_index(c)];
	c->jc = c->jcs[c->cpl == 3];
	c->tlb_epoch++;
	jit_switch(c);
	direct_switched(c);
}

void soft_tlb_flush(struct soft_cpu *c, bool global)
{
	unsigned s;

	if (global) {
		for (s = 0; s < SPACE_COUNT; s++) {
			space_clear(c, s);
			c->spaces[s].used = false;
			c->spaces[s].stamp = 0;
		}
		super_clear(c);
	} else {
		s = space_find(c, pcid_of(c));
		if (s < SPACE_COUNT)
			space_clear(c, s);
		super_clear_private(c);
	}
	space_use(c);
}

void soft_tlb_switch(struct soft_cpu *c)
{
	if (c->spaces[c->space].pcid == pcid_of(c)) {
		direct_switched(c);
		return;
	}
	super_clear_private(c);
	space_use(c);
}

void soft_tlb_flush_pcid(struct soft_cpu *c, unsigned pcid)
{
	unsigned s = space_find(c, pcid);

	if (s == c->space)
		soft_tlb_flush(c, false);
	else if (s < SPACE_COUNT)
		space_clear(c, s);
}

void soft_tlb_flush_pcids(struct soft_cpu *c)
{
	for (unsigned s = 0; s < SPACE_COUNT; s++)
		if (s != c->space)
			space_clear(c, s);
	soft_tlb_flush(c, false);
}

/* Drop lin's page, of whatever size it may be, and return the binary logarithm of what was dropped. */
static unsigned table_flush_page(struct tlb_table *t, gva_t lin, unsigned large)
{
	struct tlb_entry *e = &t->e[tlb_hash(lin)];
	unsigned shift = PAGE_SHIFT, m = large_mark(lin, large);

	if (t->any_large)
		shift = t->huge >> (large_mark(lin, 30) & 63) & 1 ? 30
			: t->large[m / 64] >> (m % 64) & 1        ? large
								  : shift;
	if (likely(shift == PAGE_SHIFT)) {
		e->rtag = e->wtag = e->xtag = TLB_NONE;
		return shift;
	}
	u64 size = 1ull << shift, start = lin & ~(size - 1);
	bool listed = t->nfilled <= TLB_LIST;
	u32 n = listed ? t->nfilled : TLB_SIZE;
	for (u32 k = 0; k < n; k++) {
		e = &t->e[listed ? t->filled[k] : k];
		if (e->rtag - start < size || e->wtag - start < size || e->xtag - start < size)
			e->rtag = e->wtag = e->xtag = TLB_NONE;
	}
	return shift;
}

#define JC_SALTS (3ull << 61)

/* Forget what lies in [from, from + bytes), of n slots from `slot` on. */
static void jc_forget(struct jc_table *t, unsigned slot, unsigned n, u64 from, u64 bytes)
{
	for (unsigned run = slot / JC_RUN; run < (slot + n) / JC_RUN; run++)
		if (t->used[run / 64] >> (run % 64) & 1)
			for (unsigned i = run * JC_RUN; i < (run + 1) * JC_RUN; i++)
				if ((t->e[i].key & ~JC_SALTS) - from < bytes)
					t->e[i].key = JC_NONE(i);
}

/* Drop the blocks of lin's page of 1 << shift bytes, and those that reach into it from the page before. */
static void jc_flush(struct jc_table *t, gva_t lin, unsigned shift)
{
	u64 size = 1ull << shift, start = lin & ~(size - 1), before = (start - PAGE_BYTES) & ~JC_SALTS;

	if (unlikely(!start)) {
		jc_clear(t); /* the page before it is the last one, whatever that is in this mode */
		return;
	}
	if (!(t->halves >> (lin >> 63) & 1))
		return;
	if (shift == PAGE_SHIFT) {
		jc_forget(t, jc_page_slot(lin), JC_PAGE_SLOTS, before, size + PAGE_BYTES);
		jc_forget(t, jc_page_slot(lin - PAGE_BYTES), JC_PAGE_SLOTS, before, size + PAGE_BYTES);
		return;
	}
	jc_forget(t, 0, JC_SIZE, before, size + PAGE_BYTES);
}

static void space_flush_page(struct soft_cpu *c, unsigned s, gva_t lin)
{
	unsigned large = c->cr4 & CR4_PAE ? 21 : 22;
	unsigned a = table_flush_page(&c->tables->space[s].user, lin, large);

	unsigned b = table_flush_page(&c->tables->space[s].super_ac, lin, large);
	jc_flush(&c->tables->jc_user[s], lin, a);
	jit_flush_page(c, s, TLB_USER, lin, a);
	if (unlikely(c->direct.of[s]))
		direct_flush_page(c, s, lin);
	jit_flush_page(c, s, TLB_SUPER_AC, lin, b);
}

static void flush_page(struct soft_cpu *c, gva_t lin)
{
	space_flush_page(c, c->space, lin);
	unsigned shift = table_flush_page(&c->tables->super, lin, c->cr4 & CR4_PAE ? 21 : 22);
	jc_flush(&c->tables->jc_super, lin, shift);
	jit_flush_page(c, c->space, TLB_SUPER, lin, shift);
	/* All the supervisor's code is fetched by way of TLB_SUPER. */
	if (unlikely(shift != PAGE_SHIFT))
		jit_flush_ac_jumps(c, lin, shift);
}

/* The other address spaces. */
static cold_ void flush_global_page(struct soft_cpu *c, gva_t lin)
{
	u64 mark = global_mark(lin);

	c->any_global = 0;
	for (unsigned s = 0; s < SPACE_COUNT; s++) {
		if ((c->globals[s] & mark) && s != c->space)
			space_flush_page(c, s, lin);
		c->any_global |= c->globals[s];
	}
}

void soft_tlb_flush_page(struct soft_cpu *c, gva_t lin)
{
	flush_page(c, lin);
	if (unlikely(c->any_global & global_mark(lin)))
		flush_global_page(c, lin);
}

void soft_tlb_flush_pcid_page(struct soft_cpu *c, unsigned pcid, gva_t lin)
{
	unsigned s = space_find(c, pcid);

	if (s == c->space)
		flush_page(c, lin);
	else if (s < SPACE_COUNT)
		space_flush_page(c, s, lin);
}
