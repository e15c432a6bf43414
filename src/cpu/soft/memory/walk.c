/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * walk.c - page walks: what the guest's paging structures say of a linear address.
 *
 * The guest's vector registers may be live in the host's: no vector instruction here (meson.build).
 */
#include "cpu/soft/memory/walk.h"

#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/hooks.h"

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
	/* From MAXPHYADDR on, up to bit 51 (SDM 3A 4.4.2, 4.5). */
	return 0x0010000000000000ull - (1ull << c->vm->phys_bits);
}

bool mmu_pdptes_ok(const struct soft_cpu *c, u64 cr3)
{
	for (unsigned i = 0; i < 4; i++) {
		bool readonly;
		const u8 *p = ram_find(c->ram, (cr3 & 0xffffffe0ull) + 8 * i, 8, &readonly);
		u64 v = p ? __atomic_load_n((const u64 *)(const void *)p, __ATOMIC_RELAXED) : 0;

		if ((v & PTE_P) && (v & (phys_reserved(c) | PDPTE_RSVD)))
			return false;
	}
	return true;
}

/*
 * What a walk in 4-level paging begins with, where that is known (SDM 3A 4.10.3, "paging-structure caches"): the lowest
 * table on the way to lin that was walked since something was forgotten. NULL: at the root.
 */
static const struct walk_known *known_table(const struct soft_cpu *c, gva_t lin)
{
	const struct walk_cache *k = &c->tables->walks;
	const struct walk_known *pt = &k->pt[walk_slot(lin, 0)], *pd = &k->pd[walk_slot(lin, 1)];

	if (pt->key == walk_key(k, lin, 0))
		return pt;
	return pd->key == walk_key(k, lin, 1) ? pd : NULL;
}

static void know_table(struct soft_cpu *c, gva_t lin, unsigned level, u8 *entry, bool readonly, u8 rights)
{
	struct walk_cache *k = &c->tables->walks;
	struct walk_known *w = level ? &k->pd[walk_slot(lin, 1)] : &k->pt[walk_slot(lin, 0)];

	*w = (struct walk_known){
		.key = walk_key(k, lin, level),
		.table = (u8 *)((uintptr_t)entry & PAGE_MASK), /* guest memory begins at a page of the host's */
		.level = (u8)level,
		.readonly = readonly,
		.rights = rights,
	};
}

u32 mmu_walk(struct soft_cpu *c, enum tlb_index idx, gva_t lin, enum mmu_access acc, struct walk *w)
{
	bool pae = c->cr4 & CR4_PAE, lma = c->efer & EFER_LMA, nxe = c->efer & EFER_NXE;
	bool user = is_user(idx), write = acc == ACC_W;
	u32 err = 1u << 31 | (user ? PF_U : 0) | (write ? PF_W : 0) |
		  (acc == ACC_X && ((pae && nxe) || (c->cr4 & CR4_SMEP)) ? PF_I : 0);
	u64 rsvd = phys_reserved(c) | (nxe ? 0 : PTE_NX);
	struct {
		u8 *p;
		u64 v;
		bool readonly;
		u8 rights; /* of the levels above it */
	} lv[4];
	unsigned esize = pae ? 8 : 4, bits = pae ? 9 : 10;
	int top = lma ? 3 : pae ? 2 : 1, first, level;
	gpa_t table = lma ? c->cr3 & PTE_ADDR : pae ? c->cr3 & 0xffffffe0ull : c->cr3 & 0xfffff000ull;
	const struct walk_known *known = lma && likely(!c->jit.ref) ? known_table(c, lin) : NULL;
	u32 why; /* of a fault: bits of its error code */
	u8 rights;

	c->st.page_walk++;
again:
	first = known ? known->level : top;
	rights = known ? known->rights : WALK_W | WALK_U;
	for (level = first;; level--) {
		unsigned shift = PAGE_SHIFT + bits * (unsigned)level;
		u64 i = (lin >> shift) & ((1u << bits) - 1);
		u8 *p;
		u64 v;

		if (level == 2 && top == 2)
			i &= 3; /* PAE: 4 PDPTEs */
		if (level == first && known) {
			p = known->table + i * 8;
			lv[level].readonly = known->readonly;
		} else {
			gpa_t t = level == top ? table : lv[level + 1].v & PTE_ADDR;
			p = ram_find(c->ram, t + i * esize, esize, &lv[level].readonly);
		}
		why = 0;
		if (!p)
			goto fault; /* tables outside of memory read as not present */
		const u8 *real = p;
		if (unlikely(c->jit.ref))
			p = c->hooks->ref_view(c, p);
		v = esize == 8 ? __atomic_load_n((u64 *)(void *)p, __ATOMIC_RELAXED)
			       : __atomic_load_n((u32 *)(void *)p, __ATOMIC_RELAXED);
		lv[level].p = (u8 *)(uintptr_t)real;
		lv[level].v = v;
		lv[level].rights = rights;
		if (!(v & PTE_P))
			goto fault;
		why = PF_P | PF_RSVD;
		if (level == 2 && top == 2) {
			if (v & (rsvd | PDPTE_RSVD))
				goto fault;
			continue; /* a PDPTE has no rights */
		}
		if (esize == 8 && (v & rsvd))
			goto fault;
		rights &= (u8) ~((v & PTE_W ? 0 : WALK_W) | (v & PTE_U ? 0 : WALK_U));
		rights |= esize == 8 && (v & PTE_NX) ? WALK_NX : 0;
		if (level == 0)
			break;
		if (v & PTE_PS) {
			if (level == 3)
				goto fault;
			if (esize == 4 && !(c->cr4 & CR4_PSE))
				continue;
			/* reserved address bits of a large page; bit 12 is PAT */
			u64 low = esize == 8 ? ((1ull << shift) - 1) & ~0x1fffull : 0x200000ull;
			if (v & low)
				goto fault;
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
	w->writable = rights & WALK_W;
	w->user = rights & WALK_U;
	w->nx = rights & WALK_NX;
	w->gpa = (base | (lin & ((1ull << shift) - 1))) & PAGE_MASK;
	w->global = (c->cr4 & CR4_PGE) && (leaf & PTE_G);
	w->shift = (u8)shift;

	/* Rights (SDM 3A 4.6). */
	why = PF_P;
	if (user) {
		if (!w->user || (write && !w->writable) || (acc == ACC_X && w->nx))
			goto fault;
	} else {
		if (write && !w->writable && (c->cr0 & CR0_WP))
			goto fault;
		if (acc == ACC_X) {
			if (w->nx || (w->user && (c->cr4 & CR4_SMEP)))
				goto fault;
		} else if (w->user && (c->cr4 & CR4_SMAP) && idx != TLB_SUPER_AC) {
			goto fault;
		}
	}

	for (int i = first; i >= level; i--) {
		u64 want = PTE_A | (i == level && write ? PTE_D : 0);
		if (i == 2 && top == 2)
			continue; /* PDPTEs have no A */
		if (unlikely(lv[i].readonly))
			continue; /* the write goes nowhere */
		if (unlikely(c->jit.ref) && (lv[i].v & want) != want) {
			/* The copy, if there is one, and the original, which nobody will look at again. */
			u8 *copy = c->hooks->ref_view(c, lv[i].p);
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
				c->hooks->vec_out(c);
				cache_wrote(c->vm, off, esize);
			}
			lv[i].v |= want;
		}
	}
	w->dirty = lv[level].v & PTE_D;
	if (lma && likely(!c->jit.ref))
		for (int i = level; i < MIN(first, 2); i++)
			know_table(c, lin, (unsigned)i, lv[i].p, lv[i].readonly, lv[i].rights);
	return 0;

fault:
	/* Not by what memory says any more, maybe: a page fault forgets what it came from (SDM 3A 4.10.4.1). */
	if (known) {
		known = NULL;
		goto again;
	}
	return err | why;
}

/* ---- for direct execution: what user code may do, beside the TLB ---- */

bool mmu_user_access(struct soft_cpu *c, gva_t lin, enum mmu_access acc)
{
	struct walk w;

	return !mmu_walk(c, TLB_USER, lin, acc, &w);
}

/* The same in 32-bit paging and in PAE paging, page by page: these have two levels with rights. */
static void look_legacy(const struct soft_cpu *c, gva_t lin, unsigned n, struct mmu_user *out)
{
	const u64 need = PTE_P | PTE_U | PTE_A;
	bool pae = c->cr4 & CR4_PAE, readonly;
	unsigned bytes = pae ? 8 : 4, bits = pae ? 9 : 10, large = PAGE_SHIFT + bits;
	u64 rsvd = !pae ? 0 : phys_reserved(c) | (c->efer & EFER_NXE ? 0 : PTE_NX);
	gpa_t top = c->cr3 & (pae ? 0xffffffe0ull : 0xfffff000ull);

	for (unsigned i = 0; i < n; i++, lin += PAGE_BYTES) {
		u64 e[2] = { 0 }; /* page-directory entry, page-table entry */
		gpa_t table = top;
		unsigned shift;

		out[i].rights = 0;
		if (lin >> 32 || !(c->cr0 & CR0_PG))
			continue;
		if (pae) {
			const u8 *p = ram_find(c->ram, table + (lin >> 30) * 8, 8, &readonly);
			u64 v = p ? __atomic_load_n((const u64 *)(const void *)p, __ATOMIC_RELAXED) : 0;
			if (!(v & PTE_P) || (v & (rsvd | PDPTE_RSVD)))
				continue;
			table = v & PTE_ADDR;
		}
		for (unsigned level = 0;; level++) {
			shift = level ? PAGE_SHIFT : large;
			const u8 *p =
			    ram_find(c->ram, table + (lin >> shift & ((1u << bits) - 1)) * bytes, bytes, &readonly);
			if (p)
				e[level] = pae ? __atomic_load_n((const u64 *)(const void *)p, __ATOMIC_RELAXED)
					       : __atomic_load_n((const u32 *)(const void *)p, __ATOMIC_RELAXED);
			if ((e[level] & need) != need || (e[level] & rsvd))
				break;
			if (level || ((e[0] & PTE_PS) && (pae || (c->cr4 & CR4_PSE)))) {
				out[i].rights = MMU_USER_R;
				break;
			}
			table = e[0] & PTE_ADDR;
		}
		if (!out[i].rights)
			continue;
		bool leaf = shift == PAGE_SHIFT;
		u64 v = e[leaf], both = leaf ? e[0] & e[1] : v, any = e[0] | e[1], low = (1ull << shift) - 1;
		u64 base =
		    leaf || pae ? v & PTE_ADDR & ~low : (v & 0xffc00000ull) | (v & 0x1fe000ull) << 19; /* PSE-36 */
		const u8 *host = ram_find(c->ram, (base | (lin & low)) & PAGE_MASK, PAGE_BYTES, &readonly);
		if (!host || (!leaf && (v & (pae ? low & ~0x1fffull : 0x200000ull)))) {
			out[i].rights = 0;
			continue;
		}
		out[i].page = (u64)(host - c->ram->host) >> PAGE_SHIFT;
		out[i].shift = (u8)shift;
		out[i].global = (c->cr4 & CR4_PGE) && (v & PTE_G);
		out[i].rights |= (u8)(((both & PTE_W) && (v & PTE_D) && !readonly ? MMU_USER_W : 0) |
				      (pae && (any & PTE_NX) ? 0 : MMU_USER_X));
	}
}

void mmu_user_look(const struct soft_cpu *c, gva_t lin, unsigned n, struct mmu_user *out)
{
	if (!(c->efer & EFER_LMA)) {
		look_legacy(c, lin, n, out);
		return;
	}
	u64 rsvd = phys_reserved(c) | (c->efer & EFER_NXE ? 0 : PTE_NX), all = PTE_W, nx = 0, v = 0;
	gpa_t table = c->cr3 & PTE_ADDR;
	const u8 *p = NULL;
	unsigned shift;
	bool readonly;

	for (unsigned i = 0; i < n; i++)
		out[i].rights = 0;
	for (shift = PAGE_SHIFT + 27;; shift -= 9) {
		p = ram_find(c->ram, table + ((lin >> shift & 511) * 8), 8, &readonly);
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
		const u8 *host =
		    ram_find(c->ram, ((v & PTE_ADDR & ~low) | (lin & low)) & PAGE_MASK, PAGE_BYTES, &readonly);
		if (!host)
			continue;
		out[i].page = (u64)(host - c->ram->host) >> PAGE_SHIFT;
		out[i].shift = (u8)shift;
		out[i].global = (c->cr4 & CR4_PGE) && (v & PTE_G);
		out[i].rights = (u8)(MMU_USER_R | ((v & all & PTE_W) && (v & PTE_D) && !readonly ? MMU_USER_W : 0) |
				     ((nx | v) & PTE_NX ? 0 : MMU_USER_X));
	}
}
