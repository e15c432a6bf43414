/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spaces.c - address spaces, and forgetting what was translated.
 *
 * What holds for one PCID alone - TLB_USER, TLB_SUPER_AC, the user's jump cache - exists SPACE_COUNT times; the least
 * recently used one is emptied when a PCID comes that has none. CR3 then only turns a few pointers, and the checks of
 * the fast paths know nothing of PCIDs. TLB_SUPER and its jump cache are one for all: they are emptied with the address
 * space, unless they hold nothing but global pages.
 *
 * Only the vCPU's own thread empties entries, without the lock: another thread that looks at one meanwhile
 * (mmu_protect_code) takes back what is being taken back.
 *
 * The guest's vector registers may be live in the host's: no vector instruction here (meson.build).
 */
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/hooks.h"
#include "cpu/soft/memory/mmu.h"
#include "cpu/soft/memory/tlb_table.h"

static void table_clear(struct tlb_table *t)
{
	bool listed = t->nfilled <= TLB_LIST;
	u32 n = listed ? t->nfilled : TLB_SIZE;

	for (u32 k = 0; k < n; k++)
		tlb_drop(t->e, listed ? t->filled[k] : k);
	__atomic_store_n(&t->nfilled, 0, __ATOMIC_RELEASE);
	if (t->any_large) {
		t->any_large = false;
		t->huge = 0;
		memset(t->large, 0, sizeof(t->large));
	}
}

/* Both are zeroes. */
static void tables_init(struct tlb_table *t, struct jc_table *j)
{
	must(tlb_hash(UINT64_MAX) == TLB_SLOT_LAST);
	tlb_begin(t->e);
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

static void space_clear(struct soft_cpu *c, unsigned s)
{
	if (!c->spaces[s].ready)
		return;
	c->st.space_flush++;
	c->globals[s] = 0;
	table_clear(&c->tables->space[s].user);
	table_clear(&c->tables->space[s].super_ac);
	jc_clear(&c->tables->jc_user[s]);
	if (s == c->space)
		c->tlb_epoch++;
	c->hooks->space_forgotten(c, s);
}

static void super_clear(struct soft_cpu *c)
{
	table_clear(&c->tables->super);
	jc_clear(&c->tables->jc_super);
	c->super_nonglobal = false;
	c->hooks->super_forgotten(c);
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
		c->hooks->switched(c, false);
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
	c->hooks->switched(c, true);
}

void soft_tlb_flush(struct soft_cpu *c, bool global)
{
	unsigned s;

	walks_forget(&c->tables->walks);
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

void soft_tlb_forget(struct soft_cpu *c)
{
	walks_forget(&c->tables->walks);
	for (unsigned s = 0; s < SPACE_COUNT; s++)
		space_clear(c, s);
	super_clear(c);
}

void soft_tlb_switch(struct soft_cpu *c)
{
	walks_forget(&c->tables->walks);
	if (c->spaces[c->space].pcid == pcid_of(c)) {
		c->hooks->switched(c, false);
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
	unsigned shift = PAGE_SHIFT, m = tlb_large_mark(lin, large);

	if (t->any_large)
		shift = t->huge >> (tlb_large_mark(lin, 30) & 63) & 1 ? 30
			: t->large[m / 64] >> (m % 64) & 1            ? large
								      : shift;
	if (likely(shift == PAGE_SHIFT)) {
		tlb_drop(t->e, tlb_hash(lin));
		return shift;
	}
	u64 size = 1ull << shift, start = lin & ~(size - 1);
	bool listed = t->nfilled <= TLB_LIST;
	u32 n = listed ? t->nfilled : TLB_SIZE;
	for (u32 k = 0; k < n; k++) {
		unsigned slot = listed ? t->filled[k] : k;
		const struct tlb_entry *e = &t->e[slot];
		if (e->rtag - start < size || e->wtag - start < size || e->xtag - start < size)
			tlb_drop(t->e, slot);
	}
	return shift;
}

static void space_flush_page(struct soft_cpu *c, unsigned s, gva_t lin)
{
	unsigned large = c->cr4 & CR4_PAE ? 21 : 22;
	unsigned a = table_flush_page(&c->tables->space[s].user, lin, large);

	unsigned b = table_flush_page(&c->tables->space[s].super_ac, lin, large);
	jc_flush(&c->tables->jc_user[s], lin, a);
	c->hooks->space_page_forgotten(c, s, lin, a, b);
}

static void flush_page(struct soft_cpu *c, gva_t lin)
{
	space_flush_page(c, c->space, lin);
	unsigned shift = table_flush_page(&c->tables->super, lin, c->cr4 & CR4_PAE ? 21 : 22);
	jc_flush(&c->tables->jc_super, lin, shift);
	c->hooks->super_page_forgotten(c, lin, shift);
}

/* The other address spaces. */
static cold_ void flush_global_page(struct soft_cpu *c, gva_t lin)
{
	u64 mark = tlb_global_mark(lin);

	c->any_global = 0;
	for (unsigned s = 0; s < SPACE_COUNT; s++) {
		if ((c->globals[s] & mark) && s != c->space)
			space_flush_page(c, s, lin);
		c->any_global |= c->globals[s];
	}
}

void soft_tlb_flush_page(struct soft_cpu *c, gva_t lin)
{
	walks_forget(&c->tables->walks);
	flush_page(c, lin);
	if (unlikely(c->any_global & tlb_global_mark(lin)))
		flush_global_page(c, lin);
}

void soft_tlb_flush_pcid_page(struct soft_cpu *c, unsigned pcid, gva_t lin)
{
	unsigned s = space_find(c, pcid);

	walks_forget(&c->tables->walks);
	if (s == c->space)
		flush_page(c, lin);
	else if (s < SPACE_COUNT)
		space_flush_page(c, s, lin);
}
