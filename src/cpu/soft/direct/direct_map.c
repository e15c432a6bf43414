/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_map.c - which guest pages a runner has mapped, and keeping them what the guest's page tables say.
 *
 * Pages come by the runner's page faults, and with each the accessed ones around it: a fault costs some 15
 * microseconds, mapping one more page one. They go when the guest's page tables do not allow them any more. That
 * is looked at before a start: of pages that were named (INVLPG), or of all (CR3).
 *
 * What a guest can make runners use of the host's memory is limited by dropping all of a runner's mappings: BUDGET_ALL
 * for the runners of a VM together, of which each is left BUDGET_FLOOR / their number whatever the others have. That is
 * at most 60 MiB, for the host's page tables and areas (VMAs) and for what is kept here; with what runners need
 * anyhow it is less than 64 MiB.
 *
 * INV-MAP-1: A command that fails leaves the runner with something that it should not have. So whoever learns of that
 * drops all (m->drop), before guest code is executed again.
 */
#include "cpu/soft/direct/direct.h"
#include "cpu/soft/direct/direct_pages.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static int check(struct soft_cpu *c, struct runner *r, u32 i)
{
	struct dpage *e = &r->map->e[i];
	struct mmu_user u;
	int code = 0;

	e->stale = false;
	if (!e->prot)
		return 0;
	c->direct.st.checks++;
	mmu_user_look(c, e->vpn << PAGE_SHIFT, 1, &u);
	unsigned may = u.rights & MMU_USER_R ? PROT_READ : 0;
	if ((u.rights & MMU_USER_X) && u.page == e->page && atomic_load(&c->vm->direct.code[e->page]))
		may |= PROT_EXEC;
	if ((e->prot & PROT_WRITE) && (u.rights & MMU_USER_W) && u.page == e->page && mmu_user_writes(c, u.page, false))
		may |= PROT_WRITE;
	if (!may || u.page != e->page) {
		code = dpages_order(r, SYS_munmap, e->vpn, 0, 0);
		dpages_forget(r->map, i);
		return code;
	}
	dpages_note(c, r->map, e->vpn, &u);
	if (e->prot & ~may) {
		e->prot &= may;
		code = dpages_order(r, SYS_mprotect, e->vpn, e->prot, 0);
	}
	return code;
}

int direct_map_sync(struct soft_cpu *c, struct runner *r)
{
	struct direct_map *m = r->map;
	int code = 0;

	pthread_mutex_lock(&c->tlb_lock);
	if (!m->drop && !dpages_over_budget(c, m) && m->all_stale) {
		u32 before = m->live;
		m->all_stale = false;
		m->nstale = 0;
		for (u32 i = 0; i < m->n && code == 0; i++)
			code = check(c, r, i);
		/* Page tables where those of a process that is gone were. */
		if (code == 0 && before > 32 && m->live < before / 4)
			code = -ESTALE;
	} else if (!m->drop && !dpages_over_budget(c, m)) {
		for (u32 k = 0; k < m->nstale && code == 0; k++)
			code = check(c, r, m->stale[k]);
		m->nstale = 0;
	}
	if (code != -ESTALE && r->alive && (m->drop || dpages_over_budget(c, m))) {
		dpages_order_drop(c, r);
		code = 0;
	}
	dpages_account(c, m);
	pthread_mutex_unlock(&c->tlb_lock);
	return code;
}

void direct_map_lost(struct soft_cpu *c, struct runner *r)
{
	pthread_mutex_lock(&c->tlb_lock);
	dpages_clear(r->map);
	dpages_account(c, r->map);
	pthread_mutex_unlock(&c->tlb_lock);
}

void direct_map_forget(struct runner *r)
{
	r->map->drop = true;
	r->map->faults = 0;
}

u32 direct_map_pages(const struct runner *r)
{
	return r->map->live;
}

void direct_flush(struct soft_cpu *c, unsigned space)
{
	struct runner *r = c->direct.of[space];

	if (!r)
		return;
	pthread_mutex_lock(&c->tlb_lock);
	r->map->all_stale = true;
	pthread_mutex_unlock(&c->tlb_lock);
}

static void mark_pages(struct direct_map *m, u64 vpn, u64 n)
{
	for (u64 k = 0; k < n; k++) {
		u32 i = dpages_find(m, vpn + k);
		if (i != NONE)
			dpages_mark(m, i);
	}
}

void direct_flush_page(struct soft_cpu *c, unsigned space, u64 lin)
{
	struct direct_map *m = c->direct.of[space]->map;

	pthread_mutex_lock(&c->tlb_lock);
	/* Its size is what it was when it was mapped: the TLB may never have seen it. */
	unsigned shift = direct_tables_shift(&m->tables, lin >> PAGE_SHIFT);
	u64 n = 1ull << (shift - PAGE_SHIFT), vpn = lin >> PAGE_SHIFT & ~(n - 1);
	if (shift <= 21)
		mark_pages(m, vpn, n);
	for (u64 k = 0; shift > 21 && k < n; k += 512)
		if (direct_tables_has(&m->tables, vpn + k))
			mark_pages(m, vpn + k, 512);
	pthread_mutex_unlock(&c->tlb_lock);
}

void direct_protect(struct soft_cpu *c, u64 page)
{
	for (unsigned k = 0; k < c->vm->direct.n; k++) {
		struct runner *r = c->vm->direct.r[k];
		if (__atomic_load_n(&r->cpu, __ATOMIC_RELAXED) != c)
			continue;
		struct direct_map *m = r->map;
		if (page == UINT64_MAX) {
			m->all_stale = true;
			continue;
		}
		for (u32 i = m->by_page[dpages_bucket(page)]; i != NONE; i = m->e[i].next_p)
			if (m->e[i].page == page && (m->e[i].prot & PROT_WRITE))
				dpages_mark(m, i);
	}
}

bool direct_map_revoke(struct soft_cpu *c, u64 page)
{
	bool had = false;

	for (unsigned k = 0; k < c->vm->direct.n; k++) {
		struct runner *r = c->vm->direct.r[k];
		if (__atomic_load_n(&r->cpu, __ATOMIC_RELAXED) != c)
			continue;
		struct direct_map *m = r->map;
		if (page == UINT64_MAX) {
			m->all_stale = had = true;
			continue;
		}
		for (u32 i = m->by_page[dpages_bucket(page)]; i != NONE; i = m->e[i].next_p)
			if (m->e[i].page == page && (m->e[i].prot & PROT_EXEC)) {
				dpages_mark(m, i);
				had = true;
			}
	}
	return had;
}
