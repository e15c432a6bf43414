/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_direct_isolation.c - what a runner has mapped is what the guest's kernel last said, also where it says it with
 * few words or the host refuses; and it is never more than the host can bear.
 */
#include "direct_rig.h"

#include <errno.h>
#include <sys/resource.h>

#define G 0x100ull
#define GONE 0xf004ull /* reads(): page not present */
#define GONE_W 0xf006ull

enum how { DIRECTLY, INTERPRETED, TRANSLATED, HOWS };

static struct rig *open_how(enum how how)
{
	struct soft_options o = { .direct = how == DIRECTLY ? SOFT_DIRECT_ALWAYS : SOFT_DIRECT_OFF,
				  .translate = how == INTERPRETED ? SOFT_TRANSLATE_OFF : SOFT_TRANSLATE_ON,
				  .heat = how == TRANSLATED };

	return open_rig_as("mica-v2", 1, &o);
}

/* Every way that this host allows. */
static void ways(void (*scenario)(struct rig *))
{
	for (enum how how = why_not ? INTERPRETED : DIRECTLY; how < HOWS; how++) {
		struct rig *r = open_how(how);
		scenario(r);
		assert_true(how != DIRECTLY || stats(r)->starts > 0);
		close_rig(r);
	}
}

static u64 calls(struct rig *r, u64 lin)
{
	struct frame *f = r->frame[0];

	f->rip = user(u_call);
	f->rsp = USTACK - 0x100;
	f->rdi = lin;
	f = go(r, 0);
	return f->vec == V_SYSCALL ? (u32)f->rax : f->vec == EXC_PF ? 0xf000 + f->err : 0xe000;
}
/* A page of code that calls() can tell from others. */
static void put_code(struct rig *r, gpa_t gpa, u8 n)
{
	const u8 code[] = { 0xb8, n, 0, 0, 0, 0xc3 }; /* mov $n, %eax; ret */

	assert_int_equal(ram_put(r->ram, gpa, code, sizeof(code)), 0);
}

/* ---- one INVLPG is for the whole of a large page (SDM 3A 4.10.4.1) ---- */

static void large_page(struct rig *r, unsigned level, u64 lin, gpa_t base)
{
	u64 e = pte(r, 0, lin, level), size = level == 2 ? GIB : 2 * MIB;
	gpa_t first = base + 0x5000, last = base + (level == 2 ? LARGE(1) : 0x180000), code = base + 0x1c0000;

	set64(r, first, 0x1111);
	set64(r, last, 0x2222);
	put_code(r, code, 7);
	set64(r, e, base | P | W | U | PS | A | D);
	assert_int_equal(reads(r, lin + first - base), 0x1111);
	assert_int_equal(writes(r, lin + last - base), 0);
	assert_int_equal(calls(r, lin + code - base), 7);
	set64(r, last, 0x2222);
	/* Taken away: whatever address in it is named. */
	set64(r, e, 0);
	kernel_does(r, 0, DO_INVLPG, lin + size - 0x1000, 0);
	assert_int_equal(writes(r, lin + last - base), GONE_W);
	assert_int_equal(reads(r, lin + first - base), GONE);
	assert_int_equal(calls(r, lin + code - base) & ~0x10ull, GONE);
	assert_int_equal(*word(r, last), 0x2222);
	/* Only ever executed. */
	set64(r, e, base | P | U | PS | A);
	assert_int_equal(calls(r, lin + code - base), 7);
	set64(r, e, 0);
	kernel_does(r, 0, DO_INVLPG, lin, 0);
	assert_int_equal(calls(r, lin + code - base) & ~0x10ull, GONE);
}

static void do_large_pages(struct rig *r)
{
	enter(r, 0, 0, 0);
	large_page(r, 2, GIB * 200, 0);
	large_page(r, 1, GIB * 201, LARGE(2));
	large_page(r, 2, 0x7000 * GIB, 0);
}
static void large_pages(void **state)
{
	ways(do_large_pages);
}

/* Small pages become a large one of the same memory, properly flushed; from then on one INVLPG is for all of them. */
static void do_sizes_change(struct rig *r)
{
	u64 lin = GIB * 300;

	enter(r, 0, 0, 0);
	for (unsigned level = 1; level <= 2; level++, lin += GIB) {
		gpa_t base = level == 2 ? 0 : LARGE(2), at_ = level == 2 ? FRAME(5) : LARGE(2) + 0x5000;
		set64(r, at_, 0x500 + level);
		map(r, 0, lin + at_ - base, at_, P | W | U | NX | A | D);
		assert_int_equal(reads(r, lin + at_ - base), 0x500 + level);
		u64 e = pte(r, 0, lin, level), was = *word(r, e);
		set64(r, e, base | P | W | U | NX | PS | A | D);
		kernel_does(r, 0, DO_CR3, 0, root(0));
		/* All is looked at, and that page is not touched. */
		assert_int_equal(reads(r, CODE), *word(r, BLOB));
		set64(r, e, 0);
		kernel_does(r, 0, DO_INVLPG, lin, 0);
		assert_int_equal(reads(r, lin + at_ - base), GONE);
		/* In small pieces again: there INVLPG of one is for that one at least. */
		set64(r, e, was);
		assert_int_equal(reads(r, lin + at_ - base), 0x500 + level);
		map(r, 0, lin + at_ - base, 0, 0);
		kernel_does(r, 0, DO_INVLPG, lin + at_ - base, 0);
		assert_int_equal(reads(r, lin + at_ - base), GONE);
	}
}
static void sizes_change(void **state)
{
	ways(do_sizes_change);
}

/* ---- INVLPG of a global page is for all PCIDs (SDM 3A 4.10.4.1) ---- */

static void in_space(struct rig *r, unsigned s)
{
	kernel_does(r, 0, DO_CR3, 0, root(s) | s | CR3_NO_FLUSH);
}

static void global_page(struct rig *r, unsigned level, u64 lin, gpa_t a, gpa_t b)
{
	u64 bits = P | W | U | G | A | D | (level ? PS : 0), off = level ? 0x3000 : 0;

	set64(r, a + off, 0x100);
	set64(r, b + off, 0x101);
	put_code(r, a + off + 0x40, 1);
	put_code(r, b + off + 0x40, 2);
	for (unsigned s = 1; s <= 2; s++) {
		set64(r, pte(r, s, lin, level), a | bits);
		in_space(r, s);
		assert_int_equal(reads(r, lin + off), 0x100);
		assert_int_equal(calls(r, lin + off + 0x40), 1);
	}
	for (unsigned s = 1; s <= 2; s++)
		set64(r, pte(r, s, lin, level), b | bits);
	kernel_does(r, 0, DO_INVLPG, lin + off, 0); /* in space 2 */
	assert_int_equal(reads(r, lin + off), 0x101);
	in_space(r, 1);
	assert_int_equal(reads(r, lin + off), 0x101);
	assert_int_equal(calls(r, lin + off + 0x40), 2);
	assert_int_equal(writes(r, lin + off + 8), 0);
	assert_int_equal(*word(r, a + off + 8), 0);
}
static void do_global_pages(struct rig *r)
{
	enter(r, 0, 1, 0);
	global_page(r, 0, DATA, FRAME(0), FRAME(1));
	global_page(r, 1, GIB * 100, LARGE(2), LARGE(3));
	/* What was mapped before all was looked at, and kept. */
	set64(r, FRAME(2), 0x102);
	set64(r, FRAME(3), 0x103);
	for (unsigned s = 1; s <= 2; s++) {
		map(r, s, DATA + 0x1000, FRAME(2), P | W | U | G | NX | A | D);
		in_space(r, s);
		assert_int_equal(reads(r, DATA + 0x1000), 0x102);
		kernel_does(r, 0, DO_CR3, 0, root(s) | s);
		assert_int_equal(reads(r, CODE), *word(r, BLOB));
	}
	map(r, 1, DATA + 0x1000, FRAME(3), P | W | U | G | NX | A | D);
	kernel_does(r, 0, DO_INVLPG, DATA + 0x1000, 0);
	assert_int_equal(reads(r, DATA + 0x1000), 0x102);
	in_space(r, 1);
	assert_int_equal(reads(r, DATA + 0x1000), 0x103);
}
static void global_pages(void **state)
{
	ways(do_global_pages);
}

/* ---- a command that fails ---- */

static void a_command_fails(void **state)
{
	enum { ALIASES = 1200 }; /* more than fit between two starts */
	const u64 alias = 0x200000000ull, b = 0x300000000ull;

	need();
	struct rig *r = open_rig("mica-v2", 1, true);
	struct frame *f = enter(r, 0, 1, 0);
	/* Of a page of code a runner has many mappings, so that writing it takes many commands. */
	put_code(r, FRAME(700), 1);
	for (u64 i = 0; i < ALIASES; i++)
		map(r, 1, alias + i * 4096, FRAME(700), P | U | A);
	for (u64 i = 0; i < ALIASES; i++)
		assert_int_equal(calls(r, alias + i * 4096), 1);
	for (unsigned i = 0; i < 3; i++) {
		set64(r, FRAME(600 + i), 0x600 + i);
		map(r, 1, b + 4096 * i, FRAME(600 + i), P | W | U | NX | A | D);
	}
	set64(r, FRAME(650), 0x650);
	assert_int_equal(writes(r, b), 0);
	assert_int_equal(reads(r, b + 4096), 0x601);
	/* A fault, upon which the kernel maps a page and takes back its neighbour. */
	assert_int_equal(writes(r, b + 8 * 4096), GONE_W);
	map(r, 1, b + 8 * 4096, FRAME(700), P | W | U | NX | A | D);
	map(r, 1, b + 4096, FRAME(650), P | W | U | NX | A | D);
	kernel_does(r, 0, DO_INVLPG, b + 4096, 0);
	/* From now on the host refuses to map. */
	struct runner *x = cpu_of(r, 0)->direct.now;
	struct rlimit none = { 4096, RLIM_INFINITY }, was;
	assert_non_null(x);
	assert_int_equal(prlimit(x->pid, RLIMIT_AS, &none, &was), 0);
	f = go(r, 0);
	assert_int_equal(f->vec, V_SYSCALL);
	assert_int_equal(reads(r, b + 4096), 0x650);
	assert_int_equal(writes(r, b + 4096), 0);
	assert_int_equal(*word(r, FRAME(601)), 0x601);
	assert_int_equal(*word(r, FRAME(650)), b + 4096);
	/* And no longer. */
	assert_int_equal(prlimit(x->pid, RLIMIT_AS, &was, NULL), 0);
	u64 stopped = stops(r, DX_SYSCALL);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(reads(r, b + 4096), b + 4096);
	assert_true(stops(r, DX_SYSCALL) > stopped);
	assert_int_equal(stops(r, DX_LOST), 0);
	close_rig(r);
}

/* ---- what runners cost the host ---- */

#define LIMIT_KIB (60 * 1024)          /* direct_map.c */
#define LIMIT_AREAS (32 * 1024u + 100) /* the host's is 65,530 */

static u64 status_kib(int pid, const char *key)
{
	char path[64], line[256];
	u64 v = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			v = strtoull(line + strlen(key) + 1, NULL, 10);
	if (f)
		fclose(f);
	return v;
}
static unsigned areas(int pid)
{
	char path[64];
	unsigned n = 0;
	int ch;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	FILE *f = fopen(path, "r");
	while (f && (ch = fgetc(f)) != EOF)
		n += ch == '\n';
	if (f)
		fclose(f);
	return n;
}

struct cost {
	u64 tables_kib, bytes; /* of all at once */
	unsigned areas;        /* of one */
};
static void look(struct rig *r, struct cost *most)
{
	struct direct *d = &r->soft->direct;
	u64 kib = 0;

	for (unsigned i = 0; i < d->n; i++) {
		kib += status_kib(d->r[i]->pid, "VmPTE");
		most->areas = MAX(most->areas, areas(d->r[i]->pid));
	}
	most->tables_kib = MAX(most->tables_kib, kib);
	most->bytes = MAX(most->bytes, (u64)atomic_load(&d->bytes));
}

static void touch(struct rig *r, unsigned cpu, u64 lin)
{
	struct frame *f = r->frame[cpu];

	f->rip = user(u_read);
	f->rdi = lin;
	f = go(r, cpu);
	if (f->vec != V_SYSCALL)
		fail_msg("vector %llx at %llx", (unsigned long long)f->vec, (unsigned long long)lin);
}

/* One table of each level for all of a space's addresses: 12 KiB. Of each 2 MiB one page is there. */
static void all_the_same(struct rig *r, unsigned s)
{
	gpa_t pdpt = r->next_table, pd = pdpt + 0x1000, pt = pd + 0x1000;

	r->next_table += 0x3000;
	for (unsigned i = 0; i < 512; i++) {
		set64(r, pdpt + 8 * i, pd | P | W | U | A);
		set64(r, pd + 8 * i, pt | P | W | U | A);
	}
	set64(r, pt, FRAME(7) | P | W | U | A | D | NX);
	for (unsigned i = 1; i < 200; i++)
		if (i != (RUNNER_BASE >> 39) && i != (USTACK >> 39))
			set64(r, root(s) + 8 * i, pdpt | P | W | U | A);
}

/* Few tables of the guest's, and one page in each GiB: the host needs two tables for each. */
static void page_tables(void **state)
{
	enum { CPUS = 2, ACCESSES = 8000 };
	const u64 step = 6 * GIB;
	struct soft_options o = { .direct = SOFT_DIRECT_ALWAYS };
	struct cost most = { 0 };
	u64 drops = 0;

	need();
	struct rig *r = open_rig_as("mica-v2", CPUS, &o);
	for (unsigned s = 1; s <= 2; s++)
		all_the_same(r, s);
	for (unsigned s = 1; s <= 2; s++)
		for (unsigned cpu = 0; cpu < CPUS; cpu++) {
			u64 lin = 512 * GIB;
			enter(r, cpu, s, 0);
			/* Two that are full, then two beside them. */
			for (unsigned k = 0; k < (s == 1 ? ACCESSES / 5 * (cpu + 1) : ACCESSES); k++, lin += step) {
				while (lin >> 39 == RUNNER_BASE >> 39)
					lin += step;
				must(lin >> 39 < 200);
				touch(r, cpu, lin);
				if (k % 512 == 511)
					look(r, &most);
			}
			look(r, &most);
			usleep(60000); /* a runner is given to another space after a while only */
		}
	for (unsigned cpu = 0; cpu < CPUS; cpu++)
		drops += cpu_of(r, cpu)->direct.st.drops;
	print_message("%llu drops: at most %llu KiB of page tables, %llu KiB in all\n", (unsigned long long)drops,
		      (unsigned long long)most.tables_kib, (unsigned long long)most.bytes / 1024);
	assert_in_range(most.tables_kib, 8 * 1024, LIMIT_KIB);
	assert_in_range(most.bytes, 8 * MIB, LIMIT_KIB * KIB);
	close_rig(r);
}

/* Memory in one piece, of which every other page is then made read-only. */
static void many_areas(void **state)
{
	enum { PIECES = 32, PAGES = 2048, FIRST = 2048 };
	struct cost most = { 0 };

	need();
	struct rig *r = open_rig("mica-v2", 1, true);
	enter(r, 0, 1, 0);
	for (unsigned k = 0; k < PIECES; k++) {
		u64 base = 4 * GIB + k * PAGES * 4096ull;
		for (u64 i = 0; i < PAGES; i++)
			map(r, 1, base + i * 4096, (FIRST + i) * 4096, P | W | U | NX | A | D);
		for (u64 i = 0; i < PAGES; i += 16)
			assert_int_equal(writes(r, base + i * 4096), 0);
		for (u64 i = 1; i < PAGES; i += 2)
			map(r, 1, base + i * 4096, (FIRST + i) * 4096, P | U | NX | A | D);
		kernel_does(r, 0, DO_CR3, 0, root(1) | 1);
		assert_int_equal(writes(r, base), 0);
		assert_int_equal(writes(r, base + 4096), 0xf007);
		look(r, &most);
	}
	print_message("%llu drops, at most %u areas\n", (unsigned long long)stats(r)->drops, most.areas);
	assert_in_range(most.areas, 16 * 1024, LIMIT_AREAS);
	close_rig(r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_pages),     cmocka_unit_test(sizes_change), cmocka_unit_test(global_pages),
		cmocka_unit_test(a_command_fails), cmocka_unit_test(page_tables),  cmocka_unit_test(many_areas),
	};

	rig_begin();
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
