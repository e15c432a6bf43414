/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_fault.c - a runner's page faults: which pages it gets, and for what.
 */
#include "cpu/soft/direct/direct_code.h"
#include "cpu/soft/direct/direct_pages.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#define AROUND_MIN \
	16u /* pages looked at around a fault: a power of two, up to what one paging entry of 2 MiB spans \
	     */
#define AROUND_EXEC 64u
#define KEPT_MAX 4

/* The page asks for CPUID or XGETBV. Has the guest had its answer from us already, and is it kept from executing the
 * page again and again? Then it may. */
static bool insists(struct soft_cpu *c, struct direct_map *m, u64 page)
{
	struct direct *d = &c->vm->direct;

	if (__atomic_load_n(&d->shown[page % ARRAY_LEN(d->shown)], __ATOMIC_RELAXED) != page + 1)
		return false;
	struct kept *k = &m->kept[page % ARRAY_LEN(m->kept)];
	if (k->page != page)
		*k = (struct kept){ .page = page };
	return ++k->times > KEPT_MAX;
}

/* u[-1] and u[1] are its neighbours. */
static bool executable(struct soft_cpu *c, struct runner *r, const struct mmu_user *u, bool now)
{
	enum page_kind kind = direct_code_kind(c, u, r->code32);

	return kind == PAGE_PLAIN || (kind == PAGE_ASKS && now && insists(c, r->map, u->page));
}

/* PROT_* that the runner gets. now: this page faulted, it is not only beside one that did. */
static unsigned wanted(struct soft_cpu *c, struct runner *r, const struct mmu_user *u, bool write, bool exec, bool now)
{
	unsigned prot = PROT_READ;

	if (!(u->rights & MMU_USER_R))
		return 0;
	if (!exec && (u->rights & MMU_USER_W) && mmu_user_writes(c, u->page, write))
		prot |= PROT_WRITE;
	if (exec && (u->rights & MMU_USER_X) && executable(c, r, u, now))
		prot |= PROT_EXEC;
	return prot;
}

/* No page of RAM is writable through one mapping and executable through another: code that direct_scan.c has looked at
 * must stay as it was. */
static int take_away(struct runner *r, u64 vpn, u64 page, unsigned prot)
{
	struct direct_map *m = r->map;
	unsigned off = prot & PROT_WRITE ? PROT_EXEC : prot & PROT_EXEC ? PROT_WRITE : 0;
	int code = 0;

	for (u32 i = off ? m->by_page[dpages_bucket(page)] : NONE; i != NONE && code == 0; i = m->e[i].next_p) {
		struct dpage *e = &m->e[i];
		if (e->page == page && e->vpn != vpn && (e->prot & off)) {
			e->prot &= (u8)~off;
			code = dpages_order(r, SYS_mprotect, e->vpn, e->prot, 0);
		}
	}
	return code;
}

/* Is the page mapped for that at any address? */
static bool has(const struct direct_map *m, u64 page, unsigned prot)
{
	for (u32 i = m->by_page[dpages_bucket(page)]; i != NONE; i = m->e[i].next_p)
		if (m->e[i].page == page && (m->e[i].prot & prot))
			return true;
	return false;
}

/* Is the instruction at rip, or a part of it, on the page? Then it cannot be let write there. */
static bool executes(const struct direct_map *m, u64 rip, u64 page)
{
	u32 a = dpages_find(m, rip >> PAGE_SHIFT), b = dpages_find(m, (rip + 14) >> PAGE_SHIFT);

	return (a != NONE && m->e[a].page == page) || (b != NONE && m->e[b].page == page);
}

static int map_page(struct soft_cpu *c, struct runner *r, u64 vpn, const struct mmu_user *u, unsigned prot)
{
	struct direct_map *m = r->map;
	u64 page = u->page;
	u32 i = dpages_find(m, vpn);
	struct dpage *e;
	bool there = false; /* with other rights */
	int code;

	if (i == NONE) {
		e = dpages_add(m, vpn, page);
		dpages_note(c, m, vpn, u);
	} else {
		e = &m->e[i];
		dpages_note(c, m, vpn, u);
		if (e->page == page) {
			if (!(prot & PROT_WRITE))
				prot |= e->prot & PROT_EXEC;
			if ((e->prot & prot) == prot)
				return 0;
			there = e->prot;
		} else {
			dpages_unlink(m, i);
			dpages_link(m, i, page);
		}
	}
	e->prot = (u8)prot;
	c->direct.st.pages++;
	/* To map it anew is dear where it is alone: its page tables go and come. */
	code = dpages_order(r, there ? SYS_mprotect : SYS_mmap, vpn, prot, page);
	return code < 0 ? code : take_away(r, vpn, page, prot);
}

bool direct_map_fault(struct soft_cpu *c, struct runner *r, u64 lin, u64 error, bool ahead)
{
	struct direct_map *m = r->map;
	bool write = error & 2, exec = error & 16;
	struct mmu_user look[AROUND_MAX + 2], *u = look + 1; /* and the neighbours */

	if (lin >= (c->mode & MODE_LMA ? USER_TOP : 1ull << 32) || lin - RUNNER_BASE < RUNNER_BYTES)
		return false;
	/* Some hosts report a fault that is over already; a page that we cannot help with comes again and again. */
	m->repeated = lin == m->last_lin && !ahead ? m->repeated + 1 : 0;
	m->last_lin = lin;
	if (m->repeated > 3)
		return false;
	if (!ahead && !mmu_user_access(c, lin, exec ? ACC_X : write ? ACC_W : ACC_R))
		return false;
	/* To look for instructions in a page costs as much as mapping one. */
	unsigned around = MIN(AROUND_MIN << MIN(m->faults / 4, 5u), exec ? AROUND_EXEC : AROUND_MAX);
	u64 vpn = lin >> PAGE_SHIFT, first = vpn & ~(u64)(around - 1);
	unsigned at = (unsigned)(vpn - first);
	int code = 0;

	m->faults++;
	if (exec || write) {
		/* What is found here is looked at again under the lock. */
		mmu_user_look(c, first << PAGE_SHIFT, around, u);
		if (exec)
			direct_code_guard(c, u, around);
		else if (u[at].rights & MMU_USER_W)
			direct_code_release(c, u[at].page);
	}
	pthread_mutex_lock(&c->tlb_lock);
	mmu_user_look(c, first << PAGE_SHIFT, around, u);
	if (exec) {
		mmu_user_look(c, (first - 1) << PAGE_SHIFT, 1, &u[-1]);
		mmu_user_look(c, (first + around) << PAGE_SHIFT, 1, &u[around]);
	}
	unsigned prot = wanted(c, r, &u[at], write, exec, !ahead);
	bool ok = prot && (!write || (prot & PROT_WRITE)) && (!exec || (prot & PROT_EXEC));
	if (write && ok && executes(m, (u64)r->uc->uc_mcontext.gregs[REG_RIP], u[at].page))
		ok = false;
	if (!write && (prot & PROT_WRITE) && has(m, u[at].page, PROT_EXEC))
		prot &= ~(unsigned)PROT_WRITE;
	if (ok && (first << PAGE_SHIFT) - RUNNER_BASE >= RUNNER_BYTES) {
		for (unsigned i = 0; i < around && code == 0; i++) {
			u64 v = first + i;
			unsigned p = prot;
			if ((v << PAGE_SHIFT) - RUNNER_BASE < RUNNER_BYTES)
				continue;
			if (i != at) {
				u32 known = u[i].rights ? dpages_find(m, v) : NONE;
				if (!u[i].rights || (known != NONE && m->e[known].page == u[i].page &&
						     !m->e[known].stale && (m->e[known].prot & PROT_EXEC || !exec) &&
						     (m->e[known].prot & PROT_WRITE || !(u[i].rights & MMU_USER_W))))
					continue;
				p = wanted(c, r, &u[i], false, exec, false);
				if ((p & PROT_WRITE) && has(m, u[i].page, PROT_EXEC))
					p &= ~(unsigned)PROT_WRITE;
				if ((p & PROT_EXEC) && has(m, u[i].page, PROT_WRITE))
					p &= ~(unsigned)PROT_EXEC;
			}
			if (p)
				code = map_page(c, r, v, &u[i], p);
		}
		c->direct.st.maps++;
		dpages_account(c, m);
	}
	pthread_mutex_unlock(&c->tlb_lock);
	return ok && code == 0;
}
