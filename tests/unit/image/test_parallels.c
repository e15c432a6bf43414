/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_parallels.c - Parallels images. */
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *const small[] = { "cluster_size=64k", NULL };
static const struct rig_try dynamic = {
	.format = "parallels", .bytes = 9 * MIB + 1536, .qemu_checks = true, .metadata = 128, .seed = 11
};
static const struct rig_try small_clusters = { .format = "parallels",
					       .bytes = 5 * MIB,
					       .options = small,
					       .qemu_options = "-o cluster_size=65536",
					       .qemu_checks = true,
					       .metadata = 128,
					       .seed = 12 };

static void chance(void **state)
{
	rig_try_chance(&dynamic);
	rig_try_chance(&small_clusters);
}

static void crashes(void **state)
{
	rig_try_crashes(&dynamic);
}

static void qemu_reads(void **state)
{
	rig_try_qemu_reads(&dynamic);
	rig_try_qemu_reads(&small_clusters);
}

static void qemu_writes(void **state)
{
	rig_try_qemu_writes(&dynamic);
	rig_try_qemu_writes(&small_clusters);
}

static void mutations(void **state)
{
	rig_try_mutations(&dynamic, 300);
}

static void refusals(void **state)
{
	static const struct {
		u32 at, v;
		const char *words;
	} cases[] = {
		{ 0, 0, "no Parallels image" },  { 16, 3, "version 3" },        { 28, 0, "clusters of 0" },
		{ 28, 12, "clusters of 12" },    { 32, 1, "has 1 entries" },    { 32, 0xffffffff, "behind the end" },
		{ 40, 0x7fffffff, "too large" }, { 56, 5, "format extension" }, { 64, 50, "behind the end" },
	};
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct image_file *f = rig_file(0, "bad");
		rig_create(f, "parallels", 4 * MIB, NULL);
		st_le32(rig_bytes(f) + cases[i].at, cases[i].v);
		rig_refused(f, "parallels", NULL, cases[i].words);
		image_file_close(f);
	}
}

/* The older kind, in which entries are sectors, and whose header says nothing of where data begins. */
static void old(void **state)
{
	auto_free u8 *disk = xcalloc(1, 4 * MIB);
	struct image_file *f = rig_file(0, "old");

	rig_create(f, "parallels", 4 * MIB, small);
	memcpy(rig_bytes(f), "WithoutFreeSpace", 16);
	st_le32(rig_bytes(f) + 48, 0);
	rig_play(f, "parallels", NULL, disk, 4 * MIB, 100, 53);
	if (rig_have_qemu()) {
		rig_save(f, "old");
		rig_save_bytes(disk, 4 * MIB, "raw");
		assert_int_equal(rig_run("qemu-img compare -f parallels -F raw old raw"), 0);
	}
	image_file_close(f);
}

/* The header says that it is in use from the first write to the end. */
static void in_use(void **state)
{
	struct image_file *f = rig_file(0, "used");
	u8 sector[512] = "x";

	rig_create(f, "parallels", 4 * MIB, NULL);
	struct image *m = rig_open(f, "parallels", false, NULL);
	assert_int_equal(ld_le32(rig_bytes(f) + 44), 0);
	assert_int_equal(image_write(m, 0, sector, sizeof(sector)), 0);
	assert_int_equal(ld_le32(rig_bytes(f) + 44), 0x746f6e59);
	assert_int_equal(image_close(m), 0);
	assert_int_equal(ld_le32(rig_bytes(f) + 44), 0);
	image_file_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chance),      cmocka_unit_test(crashes),   cmocka_unit_test(qemu_reads),
		cmocka_unit_test(qemu_writes), cmocka_unit_test(mutations), cmocka_unit_test(refusals),
		cmocka_unit_test(old),         cmocka_unit_test(in_use),
	};

	return cmocka_run_group_tests_name("parallels", tests, NULL, NULL);
}
