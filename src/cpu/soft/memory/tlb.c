/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tlb.c - filling the software TLB: a linear address to a host address, by a page walk.
 *
 * The tables of a vCPU (c->tlbs) belong to its thread. Other threads take back the right to write to a page that
 * becomes code (protect.c), under c->tlb_lock; so the owner fills entries under the same lock, where there are other
 * vCPUs.
 *
 * The guest's vector registers may be live in the host's: no vector instruction here (meson.build).
 */
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/hooks.h"
#include "cpu/soft/memory/tlb_table.h"
#include "cpu/soft/memory/walk.h"
#include "cpu/soft/raise.h"

void mmu_note_global(struct soft_cpu *c, gva_t lin, unsigned shift)
{
	u64 marks = shift > 21 ? 0xffffffffull << tlb_half(lin) : tlb_global_mark(lin);

	c->globals[c->space] |= marks;
	c->any_global |= marks;
}

/* The walk w of TLB_SUPER to lin is good for 2 MiB around it (large.h). */
static void note_large(struct soft_cpu *c, gva_t lin, const struct walk *w, bool writable)
{
	const u64 all = 2 * MIB;
	struct walk_cache *k = &c->tables->walks;
	bool readonly;
	u8 *host = ram_find(c->ram, w->gpa & ~(all - 1), all, &readonly);

	if (host)
		*walk_large_of(k, lin) = (struct walk_large){
			.key = walk_key(k, lin, 0),
			.addend = (u64)(uintptr_t)host - (lin & ~(all - 1)),
			.writable = writable && !readonly,
		};
}

u8 *mmu_translate(struct soft_cpu *c, enum tlb_index idx, gva_t lin, enum mmu_access acc, gpa_t *gpa)
{
	struct tlb_table *table = (struct tlb_table *)(void *)c->tlbs[idx];
	struct tlb_entry *e = &table->e[tlb_hash(lin)];
	u64 page = lin & PAGE_MASK;
	struct walk w;

	if (c->cr0 & CR0_PG) {
		if ((c->efer & EFER_LMA) && !soft_canonical(lin)) {
			c->hooks->vec_out(c);
			if (acc != ACC_X && c->op && c->op->seg == SEG_SS)
				soft_raise(c, EXC_SS, 0);
			soft_gp(c, 0);
		}
		u32 err = mmu_walk(c, idx, lin, acc, &w);
		if (unlikely(err)) {
			c->hooks->vec_out(c);
			soft_raise_pf(c, lin, err & 0x7fffffff);
		}
	} else {
		w = (struct walk){ .gpa = page, .writable = true, .user = true, .dirty = true, .global = false };
	}
	*gpa = w.gpa | (lin & (PAGE_BYTES - 1));
	bool readonly, nothing = false;
	u8 *host = ram_find(c->ram, w.gpa, PAGE_BYTES, &readonly);
	if (unlikely(!host || (readonly && acc == ACC_W))) {
		if (acc != ACC_X)
			return NULL;
		/* Nobody answers: all ones, FF /7, which is #UD. */
		nothing = true;
		c->hooks->vec_out(c);
		host = c->ram->host + ram_ones(c->ram);
	}
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
	if (unlikely(readonly))
		wr = false; /* stores are the bus's */
	if (unlikely(nothing))
		r = wr = false;          /* ... and here loads, too */
	if (unlikely(dr7_any(c->dr7))) { /* they watch in the slow path */
		r = r && !mmu_breakpoint_on_page(c, lin, ACC_R);
		wr = wr && !mmu_breakpoint_on_page(c, lin, ACC_W);
	}
	if (unlikely(atomic_load_explicit(&c->vm->dirty.on, memory_order_relaxed))) {
		/* The first store to a page comes here, and is told. */
		if (acc == ACC_W)
			dirty_mark(&c->vm->dirty, pg);
		else
			wr = wr && dirty_known(&c->vm->dirty, pg);
	}
	if (unlikely(c->jit.ref)) {
		u8 *copy = c->hooks->ref_page(c, host, acc == ACC_W);
		wr = wr && copy != host;
		host = copy;
	}
	bool locked = c->vm->ncpus > 1, code = false;
	if (locked)
		pthread_mutex_lock(&c->tlb_lock);
	if (wr) {
		u8 f = atomic_load_explicit(flags, memory_order_relaxed), in = tlb_write_flags(c, idx);
		if ((f & in) != in)
			f = atomic_fetch_or(flags, in);
		code = atomic_load(flags) & PAGE_CODE;
	}
	u64 none = tlb_none((unsigned)(e - table->e));
	if (tlb_empty(table, e))
		tlb_note_filled(table, e);
	e->rtag = r ? page : none;
	e->wtag = !wr ? none : code && !c->jit.ref ? page | TLB_CODE : code ? none : page;
	e->xtag = x ? page : none;
	e->addend = (u64)(uintptr_t)host - page;
	if (locked)
		pthread_mutex_unlock(&c->tlb_lock);
	if (idx != TLB_SUPER) {
		if (w.global)
			mmu_note_global(c, lin, w.shift);
	} else if (!w.global) {
		c->super_nonglobal = true;
	}
	if (w.shift > PAGE_SHIFT) {
		tlb_note_large(table, lin, w.shift);
		if (idx == TLB_SUPER && !w.user && (c->efer & EFER_LMA) && likely(!c->jit.ref))
			note_large(c, lin, &w, w.dirty && (w.writable || !(c->cr0 & CR0_WP)));
	}
	return host + (lin & (PAGE_BYTES - 1));
}
