/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direct_pages.c - the pages that a runner has mapped, and the orders that change them. See direct_pages.h. */
#include "cpu/soft/direct/direct_pages.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define AREAS_MAX 32768u  /* VMAs that the host may have made for it since all was dropped */
#define AREAS_FULL 60000u /* what is never reached: the host's limit is 65,530 for a process */
#define AREA_BYTES 256u   /* of the host's memory */
#define BUDGET_ALL (32 * MIB)
#define BUDGET_FLOOR (28 * MIB)

void dpages_clear(struct direct_map *m)
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

void dpages_account(struct soft_cpu *c, struct direct_map *m)
{
	u64 now = (u64)m->tables.live * DIRECT_TABLES_PAGE + (u64)m->areas * AREA_BYTES +
		  (u64)m->n * (sizeof(*m->e) + sizeof(*m->stale));

	atomic_fetch_add_explicit(&c->vm->direct.bytes, now - m->bytes, memory_order_relaxed);
	m->bytes = now;
}

bool dpages_over_budget(const struct soft_cpu *c, const struct direct_map *m)
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
	return m; /* nothing of it is touched before there is a runner */
}

void direct_map_begin(struct direct_map *m)
{
	dpages_clear(m);
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

void dpages_unlink(struct direct_map *m, u32 i)
{
	struct dpage *e = &m->e[i];

	if (e->prev_p == NONE)
		m->by_page[dpages_bucket(e->page)] = e->next_p;
	else
		m->e[e->prev_p].next_p = e->next_p;
	if (e->next_p != NONE)
		m->e[e->next_p].prev_p = e->prev_p;
}

void dpages_link(struct direct_map *m, u32 i, u64 page)
{
	u32 *p = &m->by_page[dpages_bucket(page)];

	m->e[i].page = page;
	m->e[i].next_p = *p;
	m->e[i].prev_p = NONE;
	if (*p != NONE)
		m->e[*p].prev_p = i;
	*p = i;
}

void dpages_forget(struct direct_map *m, u32 i)
{
	u32 *p = &m->by_vpn[dpages_bucket(m->e[i].vpn)];

	dpages_unlink(m, i);
	direct_tables_remove(&m->tables, m->e[i].vpn);
	while (*p != i)
		p = &m->e[*p].next_v;
	*p = m->e[i].next_v;
	m->e[i].prot = 0;
	m->e[i].next_v = m->free;
	m->free = i;
	m->live--;
}

struct dpage *dpages_add(struct direct_map *m, u64 vpn, u64 page)
{
	u32 i = m->free;

	if (i != NONE) {
		m->free = m->e[i].next_v;
	} else {
		must(m->n < ENTRIES_MAX); /* direct_map_sync() sees to it before each fault */
		i = m->n++;
	}
	u32 *p = &m->by_vpn[dpages_bucket(vpn)];
	m->e[i] = (struct dpage){ .vpn = vpn, .next_v = *p };
	*p = i;
	dpages_link(m, i, page);
	direct_tables_add(&m->tables, vpn);
	m->live++;
	return &m->e[i];
}

void dpages_note(struct soft_cpu *c, struct direct_map *m, u64 vpn, const struct mmu_user *u)
{
	direct_tables_note(&m->tables, vpn, u->shift);
	if (unlikely(u->global))
		mmu_note_global(c, vpn << PAGE_SHIFT, u->shift);
}

void dpages_mark(struct direct_map *m, u32 i)
{
	if (m->e[i].stale || m->all_stale)
		return;
	must(m->nstale < ENTRIES_MAX); /* each is in it once */
	m->e[i].stale = true;
	m->stale[m->nstale++] = i;
}

/* ---- orders ---- */

int dpages_order(struct runner *r, u64 nr, u64 vpn, unsigned prot, u64 page)
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

void dpages_order_drop(struct soft_cpu *c, struct runner *r)
{
	u64 rest = RUNNER_BASE + RUNNER_BYTES;

	c->direct.st.drops++;
	dpages_clear(r->map);
	r->ncommands = 0;
	runner_queue(r, SYS_munmap, 0, RUNNER_BASE, 0, 0, 0, 0);
	runner_queue(r, SYS_munmap, rest, USER_TOP - rest, 0, 0, 0, 0);
}
