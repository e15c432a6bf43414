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
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/direct/direct_tables.h"
#include "cpu/soft/direct/direct.h"
#include "cpu/soft/memory/mmu.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define BUCKETS 16384u
#define NONE (~0u)
#define AROUND_MIN \
	16u /* pages looked at around a fault: a power of two, up to what one paging entry of 2 MiB spans \
	     */
#define AROUND_MAX 512u
#define AROUND_EXEC 64u
#define PAGES_MAX (1u << 18)
#define ENTRIES_MAX (PAGES_MAX + 4 * AROUND_MAX) /* what faults may add before direct_map_sync() drops all */
#define AREAS_MAX 32768u                         /* VMAs that the host may have made for it since all was dropped */
#define AREAS_FULL 60000u                        /* what is never reached: the host's limit is 65,530 for a process */
#define AREA_BYTES 256u                          /* of the host's memory */
#define BUDGET_ALL (32 * MIB)
#define BUDGET_FLOOR (28 * MIB)
#define KEPT_MAX 4

struct dpage {
	u64 vpn;
	u64 page;                   /* of RAM */
	u32 next_v, next_p, prev_p; /* many may be of one page: that of zeros */
	u8 prot;                    /* 0: this entry is free */
	bool stale;
};
struct direct_map {
	struct dpage *e; /* ENTRIES_MAX; untouched ones cost nothing */
	u32 n;           /* used at some time */
	u32 live, free;
	u32 by_vpn[BUCKETS], by_page[BUCKETS];
	u32 *stale, nstale; /* to be looked at before the next start */
	bool all_stale, drop;
	u32 areas, faults;
	struct kept {
		u64 page;
		u32 times;
	} kept[64]; /* from executing a page, by hash */
	u64 last_lin;
	u32 repeated; /* faults at last_lin that we thought to have served */
	u64 bytes;    /* its part of direct.bytes */
	struct direct_tables tables;
};

static void clear(struct direct_map *m)
{
	/* Not what the next one will touch at once. */
	if (m->n > 1024) {
		madvise(m->e + 1024, (ENTRIES_MAX - 1024) * sizeof(*m->e), MADV_DONTNEED);
		madvise(m->stale + 1024, (ENTRIES_MAX - 1024) * sizeof(*m->stale), MADV_DONTNEED);
	}
	m->n = m->live = m->nstale = m->areas = 0;
	m->free = NONE;
	m->all_stale = m->drop = false;
	memset(m->kept, 0, sizeof(m->kept));
	memset(m->by_vpn, 0xff, sizeof(m->by_vpn));
	memset(m->by_page, 0xff, sizeof(m->by_page));
	direct_tables_clear(&m->tables);
}

static void account(struct soft_cpu *c, struct direct_map *m)
{
	u64 now = (u64)m->tables.live * DIRECT_TABLES_PAGE + (u64)m->areas * AREA_BYTES +
		  (u64)m->n * (sizeof(*m->e) + sizeof(*m->stale));

	atomic_fetch_add_explicit(&c->vm->direct.bytes, now - m->bytes, memory_order_relaxed);
	m->bytes = now;
}

static bool over_budget(const struct soft_cpu *c, const struct direct_map *m)
{
	const struct direct *d = &c->vm->direct;

	return m->areas > AREAS_MAX || m->live > PAGES_MAX ||
	       (atomic_load_explicit(&d->bytes, memory_order_relaxed) > BUDGET_ALL && m->bytes > BUDGET_FLOOR / d->n);
}

struct direct_map *direct_map_new(void)
{
	struct direct_map *m = xcalloc(1, sizeof(*m));

	/* Nothing is allocated later: glibc's heaps look into /proc when they shrink, and the filter forbids it. */
	m->e = mmap(NULL, ENTRIES_MAX * sizeof(*m->e), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	m->stale = mmap(NULL, ENTRIES_MAX * sizeof(*m->stale), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->e == MAP_FAILED || m->stale == MAP_FAILED) {
		direct_map_free(m);
		return NULL;
	}
	clear(m);
	return m;
}

void direct_map_free(struct direct_map *m)
{
	if (!m)
		return;
	if (m->e != MAP_FAILED)
		munmap(m->e, ENTRIES_MAX * sizeof(*m->e));
	if (m->stale != MAP_FAILED)
		munmap(m->stale, ENTRIES_MAX * sizeof(*m->stale));
	free(m);
}

static u32 bucket(u64 n)
{
	return (u32)(n * 0x9e3779b97f4a7c15ull >> 50) & (BUCKETS - 1);
}

static u32 find(const struct direct_map *m, u64 vpn)
{
	u32 i = m->by_vpn[bucket(vpn)];

	while (i != NONE && m->e[i].vpn != vpn)
		i = m->e[i].next_v;
	return i;
}

static void unlink_page(struct direct_map *m, u32 i)
{
	struct dpage *e = &m->e[i];

	if (e->prev_p == NONE)
		m->by_page[bucket(e->page)] = e->next_p;
	else
		m->e[e->prev_p].next_p = e->next_p;
	if (e->next_p != NONE)
		m->e[e->next_p].prev_p = e->prev_p;
}

static void link_page(struct direct_map *m, u32 i, u64 page)
{
	u32 *p = &m->by_page[bucket(page)];

	m->e[i].page = page;
	m->e[i].next_p = *p;
	m->e[i].prev_p = NONE;
	if (*p != NONE)
		m->e[*p].prev_p = i;
	*p = i;
}

static void forget(struct direct_map *m, u32 i)
{
	u32 *p = &m->by_vpn[bucket(m->e[i].vpn)];

	unlink_page(m, i);
	direct_tables_remove(&m->tables, m->e[i].vpn);
	while (*p != i)
		p = &m->e[*p].next_v;
	*p = m->e[i].next_v;
	m->e[i].prot = 0;
	m->e[i].next_v = m->free;
	m->free = i;
	m->live--;
}

static struct dpage *add(struct direct_map *m, u64 vpn, u64 page)
{
	u32 i = m->free;

	if (i != NONE) {
		m->free = m->e[i].next_v;
	} else {
		must(m->n < ENTRIES_MAX); /* direct_map_sync() sees to it before each fault */
		i = m->n++;
	}
	u32 *p = &m->by_vpn[bucket(vpn)];
	m->e[i] = (struct dpage){ .vpn = vpn, .next_v = *p };
	*p = i;
	link_page(m, i, page);
	direct_tables_add(&m->tables, vpn);
	m->live++;
	return &m->e[i];
}

/* What an INVLPG that is for this page will have to name. */
static void note(struct soft_cpu *c, struct direct_map *m, u64 vpn, const struct mmu_user *u)
{
	direct_tables_note(&m->tables, vpn, u->shift);
	if (unlikely(u->global))
		mmu_note_global(c, vpn << PAGE_SHIFT, u->shift);
}

static void mark(struct direct_map *m, u32 i)
{
	if (m->e[i].stale || m->all_stale)
		return;
	must(m->nstale < ENTRIES_MAX); /* each is in it once */
	m->e[i].stale = true;
	m->stale[m->nstale++] = i;
}

/* ---- orders ---- */

/* Together with the one before, where they are neighbours. < 0: all will be dropped, see INV-MAP-1. */
static int order(struct runner *r, u64 nr, u64 vpn, unsigned prot, u64 page)
{
	u64 at = vpn << PAGE_SHIFT, off = page << PAGE_SHIFT;

	if (r->ncommands) {
		struct runner_command *k = &r->command[r->ncommands - 1];
		if (k->nr == nr && k->a[0] + k->a[1] == at && (nr == SYS_munmap || k->a[2] == prot) &&
		    (nr != SYS_mmap || k->a[5] + k->a[1] == off)) {
			k->a[1] += PAGE_BYTES;
			return 0;
		}
	}
	int code = 0;
	if (r->ncommands == RUNNER_COMMANDS)
		code = runner_flush(r);
	/* In the middle of an area it makes three of it, or two. */
	r->map->areas += nr == SYS_munmap ? 1 : 2;
	if (code == 0 && r->map->areas > AREAS_FULL)
		code = -ENOMEM;
	if (code == 0 && !runner_queue(r, nr, at, PAGE_BYTES, nr == SYS_munmap ? 0 : prot,
				       nr == SYS_mmap ? MAP_SHARED | MAP_FIXED | MAP_POPULATE : 0,
				       nr == SYS_mmap ? r->ram_fd : 0, nr == SYS_mmap ? off : 0))
		code = -ENOSPC;
	if (code < 0)
		r->map->drop = true;
	return code;
}

static void order_drop(struct soft_cpu *c, struct runner *r)
{
	u64 rest = RUNNER_BASE + RUNNER_BYTES;

	c->direct.st.drops++;
	clear(r->map);
	r->ncommands = 0;
	runner_queue(r, SYS_munmap, 0, RUNNER_BASE, 0, 0, 0, 0);
	runner_queue(r, SYS_munmap, rest, USER_TOP - rest, 0, 0, 0, 0);
}

/* ---- what the guest invalidated ---- */

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
		code = order(r, SYS_munmap, e->vpn, 0, 0);
		forget(r->map, i);
		return code;
	}
	note(c, r->map, e->vpn, &u);
	if (e->prot & ~may) {
		e->prot &= may;
		code = order(r, SYS_mprotect, e->vpn, e->prot, 0);
	}
	return code;
}

int direct_map_sync(struct soft_cpu *c, struct runner *r)
{
	struct direct_map *m = r->map;
	int code = 0;

	pthread_mutex_lock(&c->tlb_lock);
	if (!m->drop && !over_budget(c, m) && m->all_stale) {
		u32 before = m->live;
		m->all_stale = false;
		m->nstale = 0;
		for (u32 i = 0; i < m->n && code == 0; i++)
			code = check(c, r, i);
		/* Page tables where those of a process that is gone were. */
		if (code == 0 && before > 32 && m->live < before / 4)
			code = -ESTALE;
	} else if (!m->drop && !over_budget(c, m)) {
		for (u32 k = 0; k < m->nstale && code == 0; k++)
			code = check(c, r, m->stale[k]);
		m->nstale = 0;
	}
	if (code != -ESTALE && r->alive && (m->drop || over_budget(c, m))) {
		order_drop(c, r);
		code = 0;
	}
	account(c, m);
	pthread_mutex_unlock(&c->tlb_lock);
	return code;
}

void direct_map_lost(struct soft_cpu *c, struct runner *r)
{
	pthread_mutex_lock(&c->tlb_lock);
	clear(r->map);
	account(c, r->map);
	pthread_mutex_unlock(&c->tlb_lock);
}

void direct_map_forget(struct runner *r)
{
	r->map->drop = true;
	r->map->faults = 0;
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
		u32 i = find(m, vpn + k);
		if (i != NONE)
			mark(m, i);
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
		for (u32 i = m->by_page[bucket(page)]; i != NONE; i = m->e[i].next_p)
			if (m->e[i].page == page && (m->e[i].prot & PROT_WRITE))
				mark(m, i);
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
		for (u32 i = m->by_page[bucket(page)]; i != NONE; i = m->e[i].next_p)
			if (m->e[i].page == page && (m->e[i].prot & PROT_EXEC)) {
				mark(m, i);
				had = true;
			}
	}
	return had;
}

/* ---- page faults ---- */

/* It has asked, from this page, and is kept from executing it again and again. */
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

/* u: in an array, between its neighbours. */
static bool executable(struct soft_cpu *c, struct runner *r, const struct mmu_user *u, bool now)
{
	enum page_kind kind = direct_code_kind(c, u);

	return kind == PAGE_PLAIN || (kind == PAGE_ASKS && now && insists(c, r->map, u->page));
}

/* now: this page is the reason. */
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

/* What is executed is not written at the same time, by no mapping: what may not be executed was looked for before. */
static int take_away(struct runner *r, u64 vpn, u64 page, unsigned prot)
{
	struct direct_map *m = r->map;
	unsigned off = prot & PROT_WRITE ? PROT_EXEC : prot & PROT_EXEC ? PROT_WRITE : 0;
	int code = 0;

	for (u32 i = off ? m->by_page[bucket(page)] : NONE; i != NONE && code == 0; i = m->e[i].next_p) {
		struct dpage *e = &m->e[i];
		if (e->page == page && e->vpn != vpn && (e->prot & off)) {
			e->prot &= (u8)~off;
			code = order(r, SYS_mprotect, e->vpn, e->prot, 0);
		}
	}
	return code;
}

/* Is the page mapped for that at any address? */
static bool has(const struct direct_map *m, u64 page, unsigned prot)
{
	for (u32 i = m->by_page[bucket(page)]; i != NONE; i = m->e[i].next_p)
		if (m->e[i].page == page && (m->e[i].prot & prot))
			return true;
	return false;
}

/* Is the instruction at rip, or a part of it, on the page? Then it cannot be let write there. */
static bool executes(const struct direct_map *m, u64 rip, u64 page)
{
	u32 a = find(m, rip >> PAGE_SHIFT), b = find(m, (rip + 14) >> PAGE_SHIFT);

	return (a != NONE && m->e[a].page == page) || (b != NONE && m->e[b].page == page);
}

static int map_page(struct soft_cpu *c, struct runner *r, u64 vpn, const struct mmu_user *u, unsigned prot)
{
	struct direct_map *m = r->map;
	u64 page = u->page;
	u32 i = find(m, vpn);
	struct dpage *e;
	int code;

	if (i == NONE) {
		e = add(m, vpn, page);
		note(c, m, vpn, u);
	} else {
		e = &m->e[i];
		note(c, m, vpn, u);
		if (e->page == page) {
			if (!(prot & PROT_WRITE))
				prot |= e->prot & PROT_EXEC;
			if ((e->prot & prot) == prot)
				return 0;
		} else {
			unlink_page(m, i);
			link_page(m, i, page);
		}
	}
	e->prot = (u8)prot;
	c->direct.st.pages++;
	code = order(r, SYS_mmap, vpn, prot, page);
	return code < 0 ? code : take_away(r, vpn, page, prot);
}

bool direct_map_fault(struct soft_cpu *c, struct runner *r, u64 lin, u64 error, bool ahead)
{
	struct direct_map *m = r->map;
	bool write = error & 2, exec = error & 16;
	struct mmu_user look[AROUND_MAX + 2], *u = look + 1; /* and the neighbours */

	if (lin >= USER_TOP || lin - RUNNER_BASE < RUNNER_BYTES)
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
				u32 known = u[i].rights ? find(m, v) : NONE;
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
		account(c, m);
	}
	pthread_mutex_unlock(&c->tlb_lock);
	return ok && code == 0;
}
