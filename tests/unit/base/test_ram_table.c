/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_ram_table.c - the table of extents: what may be in it, what is found, and when an edit is seen. */
#include "base/ram.h"
#include "machine/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define RAM_BYTES (8 * MIB)
#define ROOM (2 * MIB)
#define ROM_AT 0xfff00000ull

static struct ram *r;
static struct err err;
static unsigned commits;
static u64 wrote_off, wrote_bytes;

static int setup(void **state)
{
	commits = 0;
	wrote_off = wrote_bytes = 0;
	memset(&err, 0, sizeof(err));
	return ram_new_with_room(&r, RAM_BYTES, ROOM, &err);
}

static int teardown(void **state)
{
	ram_free(r);
	return 0;
}

static int add(const char *name, gpa_t gpa, u64 bytes, u64 off, bool readonly)
{
	struct ram_extent x = { .name = name, .gpa = gpa, .bytes = bytes, .off = off, .readonly = readonly };

	return ram_add(r, &x, &err);
}

static void commit(void)
{
	assert_int_equal(ram_commit(r, &err), 0);
	assert_false(ram_edited(r));
}

/* As it comes: one extent, all of the RAM from 0 on. */
static void flat(void **state)
{
	assert_ptr_equal(ram_ptr(r, 0, RAM_BYTES), r->host);
	assert_ptr_equal(ram_ptr(r, RAM_BYTES - 1, 1), r->host + RAM_BYTES - 1);
	assert_ptr_equal(ram_ptr(r, 4096, 0), r->host + 4096);
	assert_null(ram_ptr(r, RAM_BYTES, 1));
	assert_null(ram_ptr(r, RAM_BYTES - 1, 2));
	assert_null(ram_ptr(r, UINT64_MAX, 1));
	assert_null(ram_ptr(r, UINT64_MAX - 3, 8));
	assert_null(ram_ptr(r, 0, UINT64_MAX));
	assert_int_equal(ram_page(r, 5 * MIB + 7), 5 * MIB / PAGE_BYTES);
	assert_true(ram_page(r, RAM_BYTES) == UINT64_MAX);
}

static void edits_wait(void **state)
{
	u64 off;

	assert_int_equal(ram_take(r, MIB, &off, &err), 0);
	assert_true(off >= RAM_BYTES && off % RAM_PIECE_ALIGN == 0);
	int id = add("a ROM", ROM_AT, MIB, off, true);
	assert_true(id > 0);
	assert_true(ram_edited(r));
	assert_null(ram_ptr_ro(r, ROM_AT, 1)); /* not before it is in force */
	commit();
	assert_ptr_equal(ram_ptr_ro(r, ROM_AT + 5, 16), r->host + off + 5);
	assert_null(ram_ptr(r, ROM_AT + 5, 16)); /* not to write */
	assert_int_equal(ram_page(r, ROM_AT), off / PAGE_BYTES);
	ram_remove(r, id);
	assert_non_null(ram_ptr_ro(r, ROM_AT, 1));
	commit();
	assert_null(ram_ptr_ro(r, ROM_AT, 1));
	/* An edit that changes nothing is none. */
	ram_set_readonly(r, 0, false);
	assert_int_equal(ram_move(r, 0, 0, &err), 0);
	assert_false(ram_edited(r));
}

static void read_only(void **state)
{
	u8 buf[16] = { 1, 2, 3 }, back[16];

	ram_set_readonly(r, 0, true);
	commit();
	assert_int_equal(ram_put(r, 0x1000, buf, sizeof(buf)), -EFAULT);
	assert_int_equal(ram_zero(r, 0x1000, 1), -EFAULT);
	assert_int_equal(ram_discard(r, 0, PAGE_BYTES), -EFAULT);
	assert_int_equal(ram_put_rom(r, 0x1000, buf, sizeof(buf)), 0);
	assert_int_equal(ram_get(r, 0x1000, back, sizeof(back)), 0);
	assert_memory_equal(buf, back, sizeof(buf));
	ram_set_readonly(r, 0, false);
	commit();
	assert_int_equal(ram_put(r, 0x1000, buf, sizeof(buf)), 0);
}

static void refused(int got, int code, const char *what)
{
	assert_int_equal(got, -code);
	assert_int_equal(err.code, code);
	if (!strstr(err.msg, what))
		fail_msg("\"%s\" says nothing of \"%s\"", err.msg, what);
}

static void overlaps(void **state)
{
	u64 off;

	assert_int_equal(ram_take(r, MIB, &off, &err), 0);
	refused(add("x", 0, PAGE_BYTES, off, false), EEXIST, "RAM");
	refused(add("x", RAM_BYTES - PAGE_BYTES, MIB, off, false), EEXIST, "RAM");
	int a = add("first", ROM_AT, MIB, off, true);
	assert_true(a > 0);
	/* Also what is not in force yet counts. */
	refused(add("x", ROM_AT + MIB - PAGE_BYTES, MIB, off, false), EEXIST, "first");
	refused(add("x", ROM_AT - PAGE_BYTES, MIB, off, false), EEXIST, "first");
	/* The same piece a second time is fine, at another address. */
	int b = add("second", ROM_AT - MIB, MIB, off, false);
	assert_true(b > 0 && b != a);
	refused(ram_move(r, b, ROM_AT - PAGE_BYTES, &err), EEXIST, "first");
	commit();
	*ram_ptr(r, ROM_AT - MIB + 9, 1) = 0x5a;
	assert_int_equal(*ram_ptr_ro(r, ROM_AT + 9, 1), 0x5a);
	/* One takes the other's place in a single step. */
	ram_remove(r, a);
	assert_int_equal(ram_move(r, b, ROM_AT, &err), 0);
	commit();
	assert_null(ram_ptr_ro(r, ROM_AT - MIB, 1));
	assert_int_equal(*ram_ptr(r, ROM_AT + 9, 1), 0x5a);
}

static void nonsense(void **state)
{
	u64 off;

	refused(add("x", ROM_AT + 1, MIB, 0, false), EINVAL, "whole pages");
	refused(add("x", ROM_AT, MIB + 1, 0, false), EINVAL, "whole pages");
	refused(add("x", ROM_AT, MIB, 1, false), EINVAL, "whole pages");
	refused(add("x", ROM_AT, 0, 0, false), EINVAL, "whole pages");
	refused(add("x", 1ull << 52, PAGE_BYTES, 0, false), EINVAL, "52 bits");
	refused(add("x", (1ull << 52) - PAGE_BYTES, MIB, 0, false), EINVAL, "52 bits");
	refused(add("x", UINT64_MAX & PAGE_MASK, MIB, 0, false), EINVAL, "52 bits");
	refused(add("x", ROM_AT, MIB, r->capacity, false), EINVAL, "offset");
	refused(add("x", ROM_AT, MIB, r->capacity - PAGE_BYTES, false), EINVAL, "offset");
	refused(ram_take(r, 2 * ROOM, &off, &err), ENOSPC, "no room");
	refused(ram_take(r, UINT64_MAX & PAGE_MASK, &off, &err), ENOSPC, "no room");
	assert_false(ram_edited(r));
}

static void full(void **state)
{
	for (int i = 1; i < RAM_EXTENTS_MAX; i++)
		assert_int_equal(add("one of many", ROM_AT + 2 * (u64)i * PAGE_BYTES, PAGE_BYTES, 0, i & 1), i);
	refused(add("x", ROM_AT, PAGE_BYTES, 0, false), ENOSPC, "no more");
	commit();
	for (int i = 1; i < RAM_EXTENTS_MAX; i++) {
		gpa_t at = ROM_AT + 2 * (u64)i * PAGE_BYTES;

		assert_ptr_equal(ram_ptr_ro(r, at, PAGE_BYTES), r->host);
		assert_int_equal(!ram_ptr(r, at, PAGE_BYTES), i & 1);
		assert_null(ram_ptr_ro(r, at + PAGE_BYTES, 1));
	}
	ram_remove(r, 7);
	assert_int_equal(add("in its place", ROM_AT, PAGE_BYTES, 0, false), 7);
}

/* Neighbours that go on into each other are one for lookups; those that do not are two. */
static void neighbours(void **state)
{
	ram_remove(r, 0);
	assert_true(add("low", 0, MIB, 0, false) >= 0);
	assert_true(add("high", MIB, RAM_BYTES - MIB, MIB, false) >= 0);
	commit();
	assert_int_equal(r->nranges, 1);
	assert_ptr_equal(ram_ptr(r, MIB - 8, 16), r->host + MIB - 8);

	int rom = add("ROM", RAM_BYTES, MIB, 0, true);
	commit();
	assert_int_equal(r->nranges, 2);
	assert_null(ram_ptr_ro(r, RAM_BYTES - 8, 16));
	assert_non_null(ram_ptr_ro(r, RAM_BYTES - 8, 8));
	ram_remove(r, rom);
	/* A hole. */
	ram_remove(r, 0);
	commit();
	assert_null(ram_ptr_ro(r, 0, 1));
	assert_null(ram_ptr_ro(r, MIB - 1, 2));
	assert_ptr_equal(ram_ptr(r, MIB, 1), r->host + MIB);
}

static void on_wrote(void *opaque, u64 off, u64 bytes)
{
	assert_ptr_equal(opaque, &commits);
	wrote_off = off;
	wrote_bytes += bytes;
}

static int on_commit(void *opaque, struct err *e)
{
	++*(unsigned *)opaque;
	return commits == 3 ? err_set(e, EIO, "the third") : 0;
}

static void watched(void **state)
{
	u8 buf[3 * PAGE_BYTES] = { 0 };

	r->watch = (struct ram_watch){ .wrote = on_wrote, .committed = on_commit, .opaque = &commits };
	commit();
	assert_int_equal(commits, 0); /* nothing was edited */
	assert_int_equal(ram_move(r, 0, GIB, &err), 0);
	commit();
	assert_int_equal(commits, 1);
	/* The watcher hears of the file's offsets. */
	ram_put(r, GIB + 0x2345, buf, sizeof(buf));
	assert_int_equal(wrote_off, 0x2345);
	assert_int_equal(wrote_bytes, sizeof(buf));
	/* Piecemeal where it is not all in one range: what is no memory is left out. */
	wrote_bytes = 0;
	ram_wrote(r, GIB + RAM_BYTES - 10, 4096);
	assert_int_equal(wrote_bytes, 10);
	assert_int_equal(wrote_off, RAM_BYTES - 10);
	assert_int_equal(ram_move(r, 0, 0, &err), 0);
	commit();
	assert_int_equal(ram_move(r, 0, GIB, &err), 0);
	refused(ram_commit(r, &err), EIO, "the third");
	assert_non_null(ram_ptr(r, GIB, 1)); /* in force all the same */
}

static void ones(void **state)
{
	u64 off = ram_ones(r);

	for (unsigned i = 0; i < PAGE_BYTES; i++)
		assert_int_equal(r->host[off + i], 0xff);
	assert_int_equal(ram_ones(r), off);
	/* It is nobody's piece. */
	u64 mine;
	assert_int_equal(ram_take(r, PAGE_BYTES, &mine, &err), 0);
	assert_true(mine >= off + PAGE_BYTES);
}

/* ---- the board's ---- */

static void board(void **state)
{
	assert_int_equal(memory_lay_out(r, &err), 0);
	assert_ptr_equal(ram_ptr(r, 0x1000, 1), r->host + 0x1000);
	assert_ptr_equal(ram_ptr_ro(r, LAYOUT_ROM, LAYOUT_ROM_END - LAYOUT_ROM), r->host + LAYOUT_ROM);
	assert_ptr_equal(ram_ptr(r, MIB, RAM_BYTES - MIB), r->host + MIB);
	assert_null(ram_ptr_ro(r, RAM_BYTES, 1));
	assert_true(memory_low_end(r) == RAM_BYTES && memory_high_bytes(r) == 0);
	/* Again, as after a reset. */
	assert_int_equal(memory_lay_out(r, &err), 0);
	assert_ptr_equal(ram_ptr(r, MIB, 1), r->host + MIB);
	/* With a screen. */
	assert_ptr_equal(ram_ptr(r, 0, LAYOUT_ROM), r->host);
	memory_open_screen_hole(r);
	assert_int_equal(ram_commit(r, &err), 0);
	assert_ptr_equal(ram_ptr(r, 0, LAYOUT_VGA), r->host);
	assert_null(ram_ptr_ro(r, LAYOUT_VGA, 1));
	assert_null(ram_ptr_ro(r, LAYOUT_VGA_END - 1, 1));
	assert_ptr_equal(ram_ptr(r, LAYOUT_VGA_END, LAYOUT_ROM - LAYOUT_VGA_END), r->host + LAYOUT_VGA_END);
}

static void board_around_the_hole(void **state)
{
	struct ram *big;

	assert_int_equal(ram_new(&big, 5 * GIB, &err), 0);
	assert_int_equal(memory_lay_out(big, &err), 0);
	assert_ptr_equal(ram_ptr(big, 3 * GIB - 1, 1), big->host + 3 * GIB - 1);
	assert_null(ram_ptr_ro(big, 3 * GIB - 1, 2));
	assert_null(ram_ptr_ro(big, 3 * GIB, 1));
	assert_null(ram_ptr_ro(big, 4 * GIB - 1, 1));
	assert_ptr_equal(ram_ptr(big, 4 * GIB, 2 * GIB), big->host + 3 * GIB);
	assert_null(ram_ptr_ro(big, 6 * GIB, 1));
	assert_true(memory_high_bytes(big) == 2 * GIB);
	ram_free(big);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(flat),
		T(edits_wait),
		T(read_only),
		T(overlaps),
		T(nonsense),
		T(full),
		T(neighbours),
		T(watched),
		T(ones),
		T(board),
		T(board_around_the_hole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
