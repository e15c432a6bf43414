/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_pcid.c - which translations the software engine keeps, and which it forgets: PCIDs, global and large pages.
 *
 * An entry is known to be kept when a change of the page table behind it goes unseen. That is this engine's
 * business and no promise of the architecture; what must be seen is tests/machine/kernel/pcid64.c's.
 */
#include "../fake_bus.h"
#include "test_engine.h"
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/memory/access.h"
#include "cpu/soft/memory/large.h"
#include "cpu/soft/memory/mmu.h"
#include "cpu/soft/run/core.h"
#include "cpu/soft/system/system.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define RAM_BYTES (32 * MIB)
/* Space i: PML4 at ROOT(i), then PDPT, PD, PT. */
#define ROOT(i) (0x100000u + 0x4000u * (i))
#define USER 0x400000ull /* by 4 KiB: PD entry 2 */
#define LARGE 0x600000ull
#define KERNEL 0xffff800000400000ull /* the same tables, by PML4 entry 256 */
#define P 1ull
#define W 2ull
#define U 4ull
#define AD 0x60ull
#define PS 0x80ull
#define G 0x100ull

static struct ram *ram;
static struct cpu_vm *vm;
static struct cpu_model *model;
static struct soft_cpu *c;

/* Nothing is run that would ask for more. */
static const struct cpu_bus bus = { FAKE_BUS };

static void put64(u64 at, u64 v)
{
	assert_int_equal(ram_put(ram, at, &v, 8), 0);
}

/* The page of space i at `page` (of 8 from USER and KERNEL on) is frame `f`, whose first bytes say so. */
static void map(unsigned i, unsigned page, unsigned f, u64 bits)
{
	u64 at = 0x1000000 + 0x1000ull * f;

	put64(at, f);
	put64(ROOT(i) + 0x3000 + 8 * page, at | P | W | AD | bits);
}
static void map_large(unsigned i, unsigned f)
{
	u64 at = 0x800000 + 0x200000ull * f;

	put64(at, f);
	put64(at + 0x100000, f);
	put64(ROOT(i) + 0x2000 + 8 * 3, at | P | W | U | AD | PS);
}

static void load(unsigned i, bool keep)
{
	c->cr3 = ROOT(i) | i;
	if (keep)
		soft_tlb_switch(c);
	else
		soft_tlb_flush(c, false);
}
static u64 user(u64 lin)
{
	return soft_ld_priv(c, lin, 8, true);
}
static u64 super(u64 lin)
{
	return soft_ld_priv(c, lin, 8, false);
}

static int setup(void **unused)
{
	struct cpu_state s = { 0 };
	struct err e;

	if (ram_new(&ram, RAM_BYTES, &e) < 0 || cpu_model_new(&model, "mica-v2", 1, &e) < 0 ||
	    test_vm_new(&vm, &bus, ram, model, 1, &e) < 0) {
		print_error("%s\n", e.msg);
		return -1;
	}
	for (unsigned i = 0; i < 32; i++) {
		put64(ROOT(i), (ROOT(i) + 0x1000) | P | W | U | AD);
		put64(ROOT(i) + 8 * 256, (ROOT(i) + 0x1000) | P | W | U | AD);
		put64(ROOT(i) + 0x1000, (ROOT(i) + 0x2000) | P | W | U | AD);
		put64(ROOT(i) + 0x2000 + 8 * 2, (ROOT(i) + 0x3000) | P | W | U | AD);
	}
	cpu_get_state(cpu_vm_cpu(vm, 0), &s);
	s.cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_ET | CR0_NE;
	s.cr3 = ROOT(0);
	s.cr4 = CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP;
	s.efer = EFER_LME | EFER_LMA | EFER_NXE;
	s.seg[SEG_CS].ar = 0xa09b;
	s.seg[SEG_SS].ar = 0xc093;
	if (cpu_set_state(cpu_vm_cpu(vm, 0), &s, &e) < 0)
		return -1;
	c = soft_cpu_of(cpu_vm_cpu(vm, 0));
	return 0;
}

static int teardown(void **unused)
{
	cpu_vm_free(vm);
	cpu_model_free(model);
	ram_free(ram);
	return 0;
}

/* Spaces 1 and 2 have been seen, both are changed, and 2 is in use. */
static void two(void)
{
	soft_tlb_flush(c, true);
	for (unsigned i = 1; i <= 2; i++) {
		map(i, 0, 10 * i, U);
		map(i, 1, 10 * i + 1, U);
		load(i, true);
		assert_int_equal(user(USER), 10 * i);
		assert_int_equal(user(USER + 0x1000), 10 * i + 1);
		map(i, 0, 10 * i + 5, U);
		map(i, 1, 10 * i + 6, U);
	}
}
static void is(unsigned i, u64 first, u64 second)
{
	load(i, true);
	assert_int_equal(user(USER), first);
	assert_int_equal(user(USER + 0x1000), second);
}

static void switches_keep(void **unused)
{
	two();
	u64 epoch = c->tlb_epoch;
	for (unsigned n = 0; n < 5; n++) {
		is(1, 10, 11);
		is(2, 20, 21);
	}
	assert_true(c->tlb_epoch >= epoch + 9);
	/* The same PCID again is no change at all. */
	epoch = c->tlb_epoch;
	load(2, true);
	assert_int_equal(c->tlb_epoch, epoch);
}

static void loads_flush_one(void **unused)
{
	two();
	load(1, false);
	is(1, 15, 16);
	is(2, 20, 21);
	/* A PCID that comes from state, or by CR4, is as good as one by CR3. */
	two();
	u64 epoch = c->tlb_epoch;
	soft_tlb_flush(c, false);
	assert_int_not_equal(c->tlb_epoch, epoch);
	is(2, 25, 26);
	is(1, 10, 11);
}

static void invpcid_types(void **unused)
{
	two();
	soft_tlb_flush_pcid_page(c, 1, USER + 0x1234);
	is(1, 10, 16);
	is(2, 20, 21);
	soft_tlb_flush_pcid_page(c, 2, USER);
	is(2, 25, 21);
	two();
	soft_tlb_flush_pcid(c, 1);
	is(1, 15, 16);
	is(2, 20, 21);
	soft_tlb_flush_pcid(c, 2);
	is(2, 25, 26);
	two();
	soft_tlb_flush_pcid(c, 77); /* nothing is known of it */
	soft_tlb_flush_pcid_page(c, 77, USER);
	is(1, 10, 11);
	is(2, 20, 21);
	soft_tlb_flush_pcids(c);
	is(1, 15, 16);
	is(2, 25, 26);
	two();
	soft_tlb_flush(c, true);
	is(1, 15, 16);
	is(2, 25, 26);
}

static void global_pages(void **unused)
{
	for (unsigned i = 1; i <= 2; i++)
		map(i, 2, 30, G);
	soft_tlb_flush(c, true);
	load(1, true);
	assert_int_equal(super(KERNEL + 0x2000), 30);
	for (unsigned i = 1; i <= 2; i++)
		map(i, 2, 31, G);
	/* Kept by everything that is not said to take global pages along... */
	load(1, false);
	load(2, true);
	soft_tlb_flush_pcid(c, 2);
	soft_tlb_flush_pcids(c);
	assert_int_equal(super(KERNEL + 0x2000), 30);
	/* ... and dropped by what is. */
	soft_tlb_flush_page(c, KERNEL + 0x2000);
	assert_int_equal(super(KERNEL + 0x2000), 31);
	for (unsigned i = 1; i <= 2; i++)
		map(i, 2, 32, G);
	soft_tlb_flush(c, true);
	assert_int_equal(super(KERNEL + 0x2000), 32);
}

/* Space 1's tables of 4 KiB pages are those of space `of` from now on. */
static void table_of(unsigned of)
{
	put64(ROOT(1) + 0x2000 + 8 * 2, (ROOT(of) + 0x3000) | P | W | U | AD);
}

/* What a walk came through is where the next one begins, until something is forgotten, or it would fault. */
static void tables_are_known(void **unused)
{
	for (unsigned i = 1; i <= 2; i++)
		for (unsigned page = 0; page < 4; page++)
			map(i, page, 10 * i + page, U);
	put64(ROOT(1) + 0x3000 + 8 * 2, 0);
	load(1, false);
	assert_int_equal(user(USER), 10);
	table_of(2);
	assert_int_equal(user(USER + 0x1000), 11);
	assert_int_equal(user(USER + 0x2000), 22); /* not there in the old table */
	assert_int_equal(user(USER + 0x3000), 23); /* which is forgotten therefore */
	/* INVLPG forgets all of them, whatever page it is for; so does another address space. */
	load(1, false);
	assert_int_equal(user(USER), 20);
	table_of(1);
	soft_tlb_flush_page(c, KERNEL + 0x5000);
	assert_int_equal(user(USER + 0x1000), 11);
	table_of(2);
	load(2, true);
	load(1, true);
	assert_int_equal(user(USER + 0x3000), 23);
	/* The rights of the tables above it go with a table. */
	put64(ROOT(1) + 0x2000 + 8 * 2, (ROOT(2) + 0x3000) | P | U | AD);
	load(1, false);
	assert_int_equal(user(USER), 20);
	assert_true(mmu_user_access(c, USER + 0x1000, ACC_R));
	assert_false(mmu_user_access(c, USER + 0x1000, ACC_W));
	table_of(1);
}

static u64 with_ac(u64 lin)
{
	c->sysflags |= FL_AC;
	soft_mode_changed(c);
	u64 v = soft_ld64(c, lin);
	c->sysflags &= ~FL_AC;
	soft_mode_changed(c);
	return v;
}

/* What an address space holds by itself: INVLPG drops global pages of all of them, and only those (SDM 3A 4.10.4.1). */
static void global_pages_of_others(void **unused)
{
	struct block b = { .phys2 = UINT64_MAX };

	soft_tlb_flush(c, true);
	for (unsigned i = 1; i <= 3; i++) {
		map_large(i, 0);
		map(i, 2, 60, U | G);
		map(i, 3, 70, G);
		load(i, true);
		assert_int_equal(user(LARGE), 0);
		assert_int_equal(user(USER + 0x2000), 60);
		assert_int_equal(with_ac(USER + 0x2000), 60);
		assert_int_equal(with_ac(KERNEL + 0x3000), 70);
		c->cpl = 3;
		soft_mode_changed(c);
		jc_set(c, &c->jc[jc_hash(USER + 0x2008)], USER + 0x2008, &b);
		c->cpl = 0;
		soft_mode_changed(c);
	}
	for (unsigned i = 1; i <= 3; i++) {
		map_large(i, 1);
		map(i, 2, 61, U | G);
		map(i, 3, 71, G);
	}
	soft_tlb_flush_page(c, KERNEL + 0x3000);
	for (unsigned i = 1; i <= 3; i++) {
		load(i, true);
		assert_int_equal(with_ac(KERNEL + 0x3000), 71);
		assert_int_equal(user(USER + 0x2000), 60);
	}
	soft_tlb_flush_page(c, USER + 0x2000);
	for (unsigned i = 1; i <= 3; i++) {
		load(i, true);
		assert_int_equal(user(USER + 0x2000), 61);
		assert_int_equal(with_ac(USER + 0x2000), 61);
		assert_int_not_equal(c->jcs[1][jc_hash(USER + 0x2008)].key, USER + 0x2008);
	}
	/* The others' pages that are not global stay. */
	soft_tlb_flush_page(c, LARGE);
	assert_int_equal(user(LARGE), 1);
	for (unsigned i = 1; i <= 2; i++) {
		load(i, true);
		assert_int_equal(user(LARGE), 0);
		soft_tlb_flush_page(c, LARGE);
	}
	/* Large ones. */
	for (unsigned i = 1; i <= 2; i++) {
		put64(ROOT(i) + 0x2000 + 8 * 3, 0x800000 | P | W | U | AD | PS | G);
		load(i, true);
		assert_int_equal(user(LARGE + 0x100000), 0);
	}
	put64(0xb00000, 1);
	for (unsigned i = 1; i <= 2; i++)
		put64(ROOT(i) + 0x2000 + 8 * 3, 0xa00000 | P | W | U | AD | PS | G);
	soft_tlb_flush_page(c, LARGE);
	for (unsigned i = 1; i <= 2; i++) {
		load(i, true);
		assert_int_equal(user(LARGE + 0x100000), 1);
	}
	/* A space that is emptied has none, and does not ask to be looked at. */
	load(1, false);
	assert_int_equal(c->globals[c->space], 0);
	soft_tlb_flush(c, true);
	for (unsigned s = 0; s < SPACE_COUNT; s++)
		assert_int_equal(c->globals[s], 0);
}

/* The supervisor's pages that are not global are not taken along to another PCID. */
static void private_supervisor_pages(void **unused)
{
	map(1, 3, 40, 0);
	map(2, 3, 50, 0);
	soft_tlb_flush(c, true);
	for (unsigned n = 0; n < 3; n++)
		for (unsigned i = 1; i <= 2; i++) {
			load(i, true);
			assert_int_equal(super(KERNEL + 0x3000), 30 + 10 * i);
		}
}

/* More PCIDs than address spaces: the least recently used one goes. */
static void eviction(void **unused)
{
	soft_tlb_flush(c, true);
	for (unsigned i = 1; i < 30; i++) {
		map(i, 0, 100 + i, U);
		load(i, true);
		assert_int_equal(user(USER), 100 + i);
		map(i, 0, 200 + i, U);
		load(1, true);
		assert_int_equal(user(USER), 101);
	}
	for (unsigned i = 30 - (SPACE_COUNT - 1); i < 30; i++) {
		load(i, true);
		assert_int_equal(user(USER), 100 + i);
	}
	load(2, true);
	assert_int_equal(user(USER), 202);
	/* PCID 1 was the oldest by then. */
	load(1, true);
	assert_int_equal(user(USER), 201);
}

/* Emptying goes by a list of what was filled, until that is too long. */
static void all_entries(void **unused)
{
	soft_tlb_flush(c, true);
	load(1, true);
	for (unsigned n = TLB_LIST - 1; n <= 512; n += 512 - TLB_LIST + 1) {
		for (unsigned i = 0; i < n; i++)
			map(1, i, 300 + i, U);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(user(USER + 0x1000ull * i), 300 + i);
		for (unsigned i = 0; i < n; i++)
			map(1, i, 1000 + i, U);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(user(USER + 0x1000ull * i), 300 + i);
		load(1, false);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(user(USER + 0x1000ull * i), 1000 + i);
		load(1, false);
	}
}

static void large_pages(void **unused)
{
	map(1, 0, 10, U);
	map_large(1, 0);
	soft_tlb_flush(c, true);
	load(1, true);
	assert_int_equal(user(USER), 10);
	assert_int_equal(user(LARGE), 0);
	assert_int_equal(user(LARGE + 0x100000), 0);
	map(1, 0, 11, U);
	map_large(1, 1);
	/* A small page beside it goes alone; */
	soft_tlb_flush_page(c, USER + 0x7000);
	assert_int_equal(user(USER), 10);
	assert_int_equal(user(LARGE), 0);
	/* the large one goes whole, and alone. */
	soft_tlb_flush_page(c, LARGE + 0x1ff000);
	assert_int_equal(user(USER), 10);
	assert_int_equal(user(LARGE), 1);
	assert_int_equal(user(LARGE + 0x100000), 1);
	/* Of a PCID that is not in use, too. */
	map_large(1, 2);
	load(2, true);
	soft_tlb_flush_pcid_page(c, 1, LARGE + 0x3000);
	load(1, true);
	assert_int_equal(user(LARGE), 2);
	assert_int_equal(user(LARGE + 0x100000), 2);
}

/* What translated code is told of them, without a walk. */
static void large_pages_whole(void **unused)
{
	const u64 lin = KERNEL + (LARGE - USER), at = ROOT(1) + 0x2000 + 8 * 3, page = 0x800000,
		  bits = P | W | AD | PS | G;
	const u64 host = (u64)(uintptr_t)ram->host + page - lin;
	u64 addend = 0;

	put64(at, page | bits);
	soft_tlb_flush(c, true);
	load(1, true);
	assert_false(mmu_large(c, lin, false, &addend));
	assert_int_equal(super(lin + 0x1000), 0);
	/* Any piece of it, from now on. */
	assert_true(mmu_large(c, lin + 0x1ff123, false, &addend));
	assert_int_equal(addend, host);
	assert_true(mmu_large(c, lin + 0x1ff123, true, &addend));
	assert_int_equal(addend, host);
	assert_true(cache_page_flags(c->vm, (page + 0x1ff000) >> PAGE_SHIFT) & PAGE_WSUPER);
	assert_false(mmu_large(c, lin + 0x200000, false, &addend));
	assert_false(mmu_large(c, LARGE, false, &addend));
	/* Stores to a piece with code, or that a dirty log waits for, or that is watched are for others to see. */
	mmu_protect_code(c, (page + 0x5000) >> PAGE_SHIFT);
	assert_false(mmu_large(c, lin + 0x5000, true, &addend));
	assert_true(mmu_large(c, lin + 0x5000, false, &addend));
	assert_true(mmu_large(c, lin + 0x6000, true, &addend));
	atomic_store(&c->vm->dirty.on, true);
	assert_false(mmu_large(c, lin + 0x6000, true, &addend));
	atomic_store(&c->vm->dirty.on, false);
	c->dr7 = 1;
	assert_false(mmu_large(c, lin + 0x6000, false, &addend));
	c->dr7 = 0x400;
	/* Each way to forget. */
	soft_tlb_flush_page(c, lin + 0x3000);
	assert_false(mmu_large(c, lin, false, &addend));
	super(lin);
	super(lin + 0x1000);
	load(1, false);
	assert_false(mmu_large(c, lin, false, &addend));
	super(lin + 0x2000); /* what was global is still in the table */
	assert_true(mmu_large(c, lin, false, &addend));
	load(2, true);
	assert_false(mmu_large(c, lin, false, &addend));
	load(1, true);
	super(lin + 0x3000);
	assert_true(mmu_large(c, lin, false, &addend));
	soft_tlb_forget(c);
	assert_false(mmu_large(c, lin, false, &addend));
	/* Not dirty, or not to be written: no stores. */
	put64(at, page | (bits & ~0x40ull));
	super(lin);
	assert_true(mmu_large(c, lin, false, &addend));
	assert_false(mmu_large(c, lin, true, &addend));
	put64(at, page | (bits & ~W));
	soft_tlb_forget(c);
	super(lin);
	assert_true(mmu_large(c, lin, false, &addend));
	assert_false(mmu_large(c, lin, true, &addend));
	/* The user's, which SMAP is for; and one that does not end in memory. */
	put64(at, page | bits | U);
	soft_tlb_forget(c);
	user(lin);
	assert_false(mmu_large(c, lin, false, &addend));
	put64(at, (RAM_BYTES - 0x200000) | bits);
	soft_tlb_forget(c);
	super(lin);
	assert_true(mmu_large(c, lin, false, &addend));
	put64(at, RAM_BYTES | bits);
	soft_tlb_forget(c);
	super(lin);
	assert_false(mmu_large(c, lin, false, &addend));
	put64(at, 0);
	soft_tlb_flush(c, true);
}

/* Of 4 MiB, without PAE. */
static void pages_of_4_mib(void **unused)
{
	u64 cr3 = c->cr3, cr4 = c->cr4, efer = c->efer, lin = 0x800000;

	c->cr3 = 0x80000;
	c->cr4 = CR4_PSE;
	c->efer = 0;
	soft_mode_changed(c);
	soft_tlb_flush(c, true);
	for (unsigned f = 0; f < 2; f++) {
		u64 at = 0x800000 + 0x400000ull * f;
		put64(at, 100 + f);
		put64(at + 0x3ff000, 200 + f);
		put64(0x80000 + 4 * 2, at | P | W | U | AD | PS);
		if (f)
			soft_tlb_flush_page(c, lin + 0x234567);
		assert_int_equal(user(lin), 100 + f);
		assert_int_equal(super(lin + 0x3ff000), 200 + f);
	}
	c->cr3 = cr3;
	c->cr4 = cr4;
	c->efer = efer;
	soft_mode_changed(c);
	soft_tlb_flush(c, true);
}

/* Blocks found by address: of their PCID, and dropped with their page, be it reached from the page before. */
static void jump_cache(void **unused)
{
	struct block b = { .phys2 = UINT64_MAX }, *in = &b;
	u64 lin = USER + 0x1ffb;

	soft_tlb_flush(c, true);
	c->cpl = 3;
	soft_mode_changed(c);
	load(1, true);
	jc_set(c, &c->jc[jc_hash(lin)], lin, in);
	jc_set(c, &c->jc[jc_hash(USER)], USER, in);
	load(2, true);
	assert_int_not_equal(c->jc[jc_hash(lin)].key, lin);
	load(1, true);
	assert_ptr_equal(c->jc[jc_hash(lin)].block, in);
	soft_tlb_flush_page(c, USER + 0x8000);
	assert_ptr_equal(c->jc[jc_hash(lin)].block, in);
	soft_tlb_flush_page(c, USER + 0x2000);
	assert_int_not_equal(c->jc[jc_hash(lin)].key, lin);
	assert_ptr_equal(c->jc[jc_hash(USER)].block, in);
	load(1, false);
	assert_int_not_equal(c->jc[jc_hash(USER)].key, USER);
	c->cpl = 0;
	soft_mode_changed(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(switches_keep),
		cmocka_unit_test(loads_flush_one),
		cmocka_unit_test(invpcid_types),
		cmocka_unit_test(global_pages),
		cmocka_unit_test(tables_are_known),
		cmocka_unit_test(global_pages_of_others),
		cmocka_unit_test(private_supervisor_pages),
		cmocka_unit_test(eviction),
		cmocka_unit_test(all_entries),
		cmocka_unit_test(large_pages),
		cmocka_unit_test(large_pages_whole),
		cmocka_unit_test(pages_of_4_mib),
		cmocka_unit_test(jump_cache),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
