/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_vpc.c - VHD images. */
#include "image/vpc_int.h"
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *const exact[] = { "force_size=on", NULL };
static const char *const fixed_options[] = { "subformat=fixed", "force_size=on", NULL };
static const struct rig_try dynamic = { .format = "vpc", .bytes = 17 * MIB, .metadata = 2048, .seed = 21 };
static const struct rig_try dynamic_exact = { .format = "vpc",
					      .bytes = 9 * MIB + 1536,
					      .options = exact,
					      .qemu_options = "-o force_size=on",
					      .metadata = 2048,
					      .seed = 22 };
static const struct rig_try fixed = { .format = "vpc",
				      .bytes = 3 * MIB,
				      .options = fixed_options,
				      .qemu_options = "-o subformat=fixed,force_size=on",
				      .metadata = 2048,
				      .seed = 23 };

static void chance(void **state)
{
	rig_try_chance(&dynamic);
	rig_try_chance(&dynamic_exact);
	rig_try_chance(&fixed);
}

static void crashes(void **state)
{
	rig_try_crashes(&dynamic_exact);
}

static void qemu_reads(void **state)
{
	rig_try_qemu_reads(&dynamic);
	rig_try_qemu_reads(&dynamic_exact);
	rig_try_qemu_reads(&fixed);
}

static void qemu_writes(void **state)
{
	rig_try_qemu_writes(&dynamic);
	rig_try_qemu_writes(&dynamic_exact);
	rig_try_qemu_writes(&fixed);
}

static void mutations(void **state)
{
	rig_try_mutations(&dynamic_exact, 300);
}

/* ---- sizes: what qemu-img makes of the same numbers ---- */

static void sizes(void **state)
{
	static const u64 all[] = { 1 * MIB, 100 * MIB + 512, 504 * MIB, 1025 * MIB, 9 * GIB, 40 * GIB, 140 * GIB };

	if (!rig_have_qemu())
		skip();
	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		assert_int_equal(rig_run("qemu-img create -f vpc size %llu", (unsigned long long)all[i]), 0);
		struct image_file *theirs = rig_load(0, "size"), *ours = rig_file(0, "size");
		rig_create(ours, "vpc", all[i], NULL);
		struct image *a = rig_open(theirs, "vpc", true, NULL), *b = rig_open(ours, "vpc", true, NULL);
		assert_int_equal(a->bytes, b->bytes);
		assert_int_equal(image_close(a), 0);
		assert_int_equal(image_close(b), 0);
		image_file_close(theirs);
		image_file_close(ours);
	}
}

/* ---- parents ---- */

static void sum(u8 *p, size_t n, size_t at)
{
	u32 s = 0;

	st_be32(p + at, 0);
	for (size_t i = 0; i < n; i++)
		s += p[i];
	st_be32(p + at, ~s);
}

/* Makes a dynamic image a child of `parent`: by a locator with a name from Windows, or by the header's name. */
static void make_child(struct image_file *f, struct image_file *parent, bool locator)
{
	static const char name[] = ".\\parent.vhd";
	struct image_file *now = rig_again(f);
	u64 end = now->bytes;
	u8 text[64] = { 0 };

	for (unsigned i = 0; i < sizeof(name) - 1; i++)
		text[i * 2 + !locator] = (u8)name[i];
	u8 *p = rig_bytes(f), *h = p + SECTOR;
	memcpy(h + DH_PARENT_UUID, rig_bytes(parent) + F_UUID, 16);
	if (!locator)
		memcpy(h + DH_PARENT_NAME, text, sizeof(text));
	st_be32(h + DH_LOCATORS, locator ? 0x57327275 : 0);
	st_be32(h + DH_LOCATORS + 4, SECTOR);
	st_be32(h + DH_LOCATORS + 8, 2 * (sizeof(name) - 1));
	st_be64(h + DH_LOCATORS + 16, end - SECTOR);
	sum(h, DH_BYTES, DH_SUM);
	st_be32(p + F_TYPE, TYPE_DIFF);
	sum(p, SECTOR, F_SUM);
	u8 footer[SECTOR];
	memcpy(footer, p, SECTOR);
	assert_int_equal(image_pwrite(now, text, sizeof(text), end - SECTOR), 0);
	assert_int_equal(image_pwrite(now, footer, SECTOR, end), 0);
	image_file_close(now);
}

static void parents(void **state)
{
	struct rig_opener o = { 0 };
	struct image_file *parent = rig_file(1, "parent.vhd");
	auto_free u8 *disk = xcalloc(1, (size_t)dynamic_exact.bytes);

	rig_create(parent, "vpc", dynamic_exact.bytes, exact);
	rig_play(parent, "vpc", NULL, disk, dynamic_exact.bytes, 40, 24);
	rig_opener_add(&o, "parent.vhd", parent, NULL);
	for (unsigned locator = 0; locator < 2; locator++) {
		auto_free u8 *child_disk = xcalloc(1, (size_t)dynamic_exact.bytes);
		struct image_file *child = rig_file(0, "child.vhd");
		rig_create(child, "vpc", dynamic_exact.bytes, exact);
		struct image *m = rig_open(child, "vpc", false, NULL);
		u8 data[8 * 512];
		memset(data, 0xcc, sizeof(data));
		assert_int_equal(image_write(m, MIB, data, sizeof(data)), 0);
		struct image_run run;
		assert_int_equal(image_map(m, MIB, sizeof(data), &run), 0);
		assert_int_equal(image_close(m), 0);
		/* Of its first block only these sectors, and one more, are the child's. */
		u8 *bits = rig_bytes(child) + run.off - MIB - SECTOR;
		memset(bits, 0, SECTOR);
		bits[MIB / SECTOR / 8] = 0xff;
		bits[3] = 0x20;
		make_child(child, parent, locator);
		memcpy(child_disk, disk, (size_t)dynamic_exact.bytes);
		memcpy(child_disk + MIB, data, sizeof(data));
		memset(child_disk + 26 * 512, 0, 512);
		m = rig_open(child, "vpc", true, &o);
		rig_compare(m, child_disk, dynamic_exact.bytes);
		assert_int_equal(image_close(m), 0);
		rig_play(child, "vpc", &o, child_disk, dynamic_exact.bytes, 60, 25);
		rig_refused(child, "vpc", NULL, "based on another image");
		rig_bytes(parent)[F_UUID] ^= 1;
		sum(rig_bytes(parent), SECTOR, F_SUM);
		struct image_file *now = rig_again(parent);
		u8 *last = rig_bytes(parent) + now->bytes - SECTOR;
		memcpy(last, rig_bytes(parent), SECTOR);
		rig_refused(child, "vpc", &o, "another image than");
		image_file_close(now);
		rig_bytes(parent)[F_UUID] ^= 1;
		sum(rig_bytes(parent), SECTOR, F_SUM);
		memcpy(last, rig_bytes(parent), SECTOR);
		image_file_close(child);
	}
	/* The parent was not written. */
	struct image *m = rig_open(parent, "vpc", true, NULL);
	rig_compare(m, disk, dynamic_exact.bytes);
	assert_int_equal(image_close(m), 0);
	image_file_close(parent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chance),      cmocka_unit_test(crashes),   cmocka_unit_test(qemu_reads),
		cmocka_unit_test(qemu_writes), cmocka_unit_test(mutations), cmocka_unit_test(sizes),
		cmocka_unit_test(parents),
	};

	return cmocka_run_group_tests_name("vpc", tests, NULL, NULL);
}
