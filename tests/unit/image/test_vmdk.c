/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_vmdk.c - VMDK images. */
#include "image/vmdk_int.h"
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DISK_BYTES (5 * MIB + 512)

static const char *const zeroed_options[] = { "zeroed_grain=on", NULL };
static const char *const stream_options[] = { "subformat=streamOptimized", NULL };
static const char *const flat_options[] = { "subformat=monolithicFlat", NULL };
static const struct rig_try sparse = {
	.format = "vmdk", .bytes = DISK_BYTES, .qemu_checks = true, .metadata = 34 * KIB, .seed = 31
};
static const struct rig_try zeroed = { .format = "vmdk",
				       .bytes = 9 * MIB,
				       .options = zeroed_options,
				       .qemu_options = "-o zeroed_grain=on",
				       .qemu_checks = true,
				       .metadata = 1024,
				       .seed = 32 };

static void chance(void **state)
{
	rig_try_chance(&sparse);
	rig_try_chance(&zeroed);
}

static void crashes(void **state)
{
	rig_try_crashes(&sparse);
}

static void qemu_reads(void **state)
{
	rig_try_qemu_reads(&sparse);
	rig_try_qemu_reads(&zeroed);
}

static void qemu_writes(void **state)
{
	rig_try_qemu_writes(&sparse);
	rig_try_qemu_writes(&zeroed);
}

static void mutations(void **state)
{
	rig_try_mutations(&sparse, 400);
}

/* ---- compressed ---- */

static void some_data(u8 *disk, u64 bytes, u64 seed)
{
	for (unsigned i = 0; i < 20; i++) {
		u64 off = rig_random(&seed) % (bytes - 40 * KIB);
		u8 with = (u8)rig_random(&seed);
		for (unsigned j = 0; j < 40 * KIB; j++)
			disk[off + j] = i % 2 ? (u8)rig_random(&seed) : with;
	}
}

/* By whole grains, compressed, in order: as a conversion does; then some sectors again. */
static void write_stream(struct image_file *f, u8 *disk, u64 bytes)
{
	struct image *m = rig_open(f, "vmdk", false, NULL);
	u32 grain = m->cluster_bytes;

	for (u64 off = 0; off < bytes; off += grain) {
		size_t n = (size_t)MIN(grain, bytes - off);
		assert_int_equal(m->ops->write_compressed(m, off, disk + off, n), 0);
	}
	assert_int_equal(image_flush(m), 0);
	rig_compare(m, disk, bytes);
	memset(disk + MIB, 0x3c, 100 * KIB);
	assert_int_equal(image_write(m, MIB, disk + MIB, 100 * KIB), 0);
	memset(disk + 2 * MIB + 512, 0, 70 * KIB);
	assert_int_equal(image_write_zeroes(m, 2 * MIB + 512, 70 * KIB, false), 0);
	rig_compare(m, disk, bytes);
	assert_int_equal(image_close(m), 0);
}

static void stream(void **state)
{
	auto_free u8 *disk = xcalloc(1, DISK_BYTES);
	struct image_file *f = rig_file(0, "stream.vmdk");

	some_data(disk, DISK_BYTES, 33);
	rig_create(f, "vmdk", DISK_BYTES, stream_options);
	write_stream(f, disk, DISK_BYTES);
	struct image *m = rig_open(f, "vmdk", true, NULL);
	rig_compare(m, disk, DISK_BYTES);
	rig_check(m, 0);
	struct image_run run;
	assert_int_equal(image_map(m, MIB, 4096, &run), 0);
	assert_true(run.kind == IMAGE_COOKED && run.compressed);
	assert_int_equal(image_close(m), 0);
	rig_refused(f, "vmdk", NULL, "written once");
	rig_save(f, "stream.vmdk");
	struct image_file *now = rig_again(f);
	assert_int_equal(image_resize_file(now, now->bytes - 512), 0);
	rig_refused(f, "vmdk", NULL, "no footer");
	image_file_close(now);
	image_file_close(f);
	if (!rig_have_qemu())
		return;
	rig_save_bytes(disk, DISK_BYTES, "raw");
	assert_int_equal(rig_run("qemu-img check -f vmdk stream.vmdk"), 0);
	assert_int_equal(rig_run("qemu-img compare -f vmdk -F raw stream.vmdk raw"), 0);
	assert_int_equal(rig_run("qemu-img convert -f raw -O vmdk -o subformat=streamOptimized raw theirs.vmdk"), 0);
	f = rig_load(0, "theirs.vmdk");
	m = rig_open(f, "vmdk", true, NULL);
	rig_compare(m, disk, DISK_BYTES);
	rig_check(m, 0);
	assert_int_equal(image_close(m), 0);
	image_file_close(f);
}

static void empty_stream(void **state)
{
	auto_free u8 *disk = xcalloc(1, MIB);
	struct image_file *f = rig_file(0, "empty.vmdk");

	rig_create(f, "vmdk", MIB, stream_options);
	for (unsigned i = 0; i < 2; i++) { /* it is whole without a write, and with none */
		struct image *m = rig_open(f, "vmdk", i, NULL);
		rig_compare(m, disk, MIB);
		assert_int_equal(image_close(m), 0);
	}
	image_file_close(f);
}

static void stream_mutations(void **state)
{
	auto_free u8 *disk = xcalloc(1, DISK_BYTES);
	struct image_file *f = rig_file(0, "stream.vmdk");
	u64 seed = 34;

	some_data(disk, DISK_BYTES, 34);
	rig_create(f, "vmdk", DISK_BYTES, stream_options);
	write_stream(f, disk, DISK_BYTES);
	struct image_file *now = rig_again(f);
	for (unsigned i = 0; i < 300; i++) {
		struct image_file *bad = rig_file_of(0, "bad", rig_bytes(f), (size_t)now->bytes);
		bad->readonly = true;
		u64 at = rig_random(&seed) % (i % 3 ? 4 * KIB : now->bytes);
		rig_bytes(bad)[i % 2 ? now->bytes - 1 - at : at] = (u8)rig_random(&seed);
		rig_poke(bad, "vmdk", NULL);
		struct image_open io = { .file = rig_again(bad), .readonly = true };
		struct image *m;
		struct err e;
		u8 buf[4096];
		if (image_open(&m, image_format_find("vmdk"), false, &io, &e) < 0) {
			image_file_close(io.file);
		} else {
			for (u64 off = 0; off + sizeof(buf) <= m->bytes && off < DISK_BYTES; off += 64 * KIB)
				if (image_read(m, off, buf, sizeof(buf)) < 0)
					break;
			image_close(m);
		}
		image_file_close(bad);
	}
	image_file_close(now);
	image_file_close(f);
}

/* ---- in many files ---- */

static void flat(void **state)
{
	struct image_file *text = rig_file(0, "flat.vmdk"), *data = rig_file(1, "flat-flat.vmdk");
	struct image_create c = { .file = text,
				  .bytes = MIB,
				  .data_file = data,
				  .data_file_name = "flat-flat.vmdk",
				  .options = flat_options };
	auto_free u8 *disk = xcalloc(1, MIB);
	struct rig_opener o = { 0 };
	struct err e = { 0 };

	assert_int_equal(image_vmdk.create(&c, &e), 0);
	rig_opener_add(&o, "flat-flat.vmdk", data, NULL);
	rig_play(text, "vmdk", &o, disk, MIB, 100, 35);
	rig_refused(text, "vmdk", NULL, "an extent in another file");
	if (rig_have_qemu()) {
		rig_save(text, "flat.vmdk");
		rig_save(data, "flat-flat.vmdk");
		rig_save_bytes(disk, MIB, "raw");
		assert_int_equal(rig_run("qemu-img compare -f vmdk -F raw flat.vmdk raw"), 0);
	}
	struct image_file *now = rig_again(data);
	assert_int_equal(image_resize_file(now, MIB - 512), 0);
	rig_refused(text, "vmdk", &o, "cut short");
	image_file_close(now);
	image_file_close(text);
	image_file_close(data);
}

static void split(void **state)
{
	static const char *const kinds[] = { "twoGbMaxExtentSparse", "twoGbMaxExtentFlat" };
	static const char *const names[] = { "split-s001.vmdk", "split-f001.vmdk" };

	if (!rig_have_qemu())
		skip();
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
		auto_free u8 *disk = xcalloc(1, 3 * MIB);
		struct rig_opener o = { 0 };
		some_data(disk, 3 * MIB, 36);
		rig_save_bytes(disk, 3 * MIB, "raw");
		assert_int_equal(rig_run("qemu-img convert -f raw -O vmdk -o subformat=%s raw split.vmdk", kinds[i]),
				 0);
		struct image_file *text = rig_load(0, "split.vmdk"), *part = rig_load(1, names[i]);
		rig_opener_add(&o, names[i], part, NULL);
		struct image *m = rig_open(text, "vmdk", true, &o);
		rig_compare(m, disk, 3 * MIB);
		assert_int_equal(image_close(m), 0);
		rig_play(text, "vmdk", &o, disk, 3 * MIB, 60, 37);
		rig_save(text, "split.vmdk");
		rig_save(part, names[i]);
		rig_save_bytes(disk, 3 * MIB, "raw");
		assert_int_equal(rig_run("qemu-img compare -f vmdk -F raw split.vmdk raw"), 0);
		image_file_close(text);
		image_file_close(part);
	}
}

/* Several extents of different kinds, by hand. */
static void mixed(void **state)
{
	static const char text[] = "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\r\n"
				   "createType=\"custom\"\n"
				   "RW 2048 FLAT \"a\" 8\n RW 4096 ZERO\nRW 2048 SPARSE \"b\"\n";
	struct image_file *f = rig_file_of(0, "mixed", text, sizeof(text) - 1), *a = rig_file(1, "a"),
			  *b = rig_file(2, "b");
	auto_free u8 *disk = xcalloc(1, 4 * MIB);
	struct rig_opener o = { 0 };

	assert_int_equal(image_resize_file(a, MIB + 4096), 0);
	rig_create(b, "vmdk", MIB, NULL);
	rig_opener_add(&o, "a", a, NULL);
	rig_opener_add(&o, "b", b, NULL);
	struct image *m = rig_open(f, "vmdk", false, &o);
	rig_compare(m, disk, 4 * MIB);
	memset(disk, 7, MIB);
	memset(disk + 3 * MIB, 9, MIB - 512);
	assert_int_equal(image_write(m, 0, disk, MIB), 0);
	assert_int_equal(image_write(m, 3 * MIB, disk + 3 * MIB, MIB - 512), 0);
	assert_int_equal(image_write(m, 2 * MIB, disk, 512), -EROFS);
	rig_compare(m, disk, 4 * MIB);
	assert_int_equal(image_close(m), 0);
	assert_int_equal(rig_bytes(a)[4096], 7);
	/* The first write of a session changes the CID. */
	assert_memory_not_equal(rig_bytes(f) + 36, "12345678", 8);
	assert_memory_equal(rig_bytes(f) + 32, "CID=", 4);
	image_file_close(f);
	image_file_close(a);
	image_file_close(b);
}

static void descriptors(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{ "CID=1\ncreateType=\"custom\"\n", "no extents" },
		{ "RW 5 ZERO\n", "createType" },
		{ "createType=\"x\"\nRW 0 ZERO\n", "cannot be" },
		{ "createType=\"x\"\nRW 99999999999999999999 ZERO\n", "no number" },
		{ "createType=\"x\"\nRW 99999999999999999 ZERO\n", "cannot be" },
		{ "createType=\"x\"\nRW 5 SESPARSE \"a\"\n", "SESPARSE" },
		{ "createType=\"x\"\nRW 5 FLAT a 0\n", "names no file" },
		{ "createType=\"x\"\nRW 5 FLAT \"nothing\" 0\n", "no such file" },
		{ "createType=\"x\"\nRW 5 FLAT \"a\" x\n", "no number" },
		{ "createType=\"x\"\nRW 5 FLAT \"a\" 18446744073709551615\n", "cut short" },
		{ "createType=\"x\"\nparentCID=12\nRW 5 ZERO\n", "does not name it" },
		{ "createType=\"x\"\nCID=123456789\nRW 5 ZERO\n", "no identifier" },
		{ "createType=\"x\"\nNOACCESS 5 ZERO\n", "not to be accessed" },
	};
	struct image_file *a = rig_file_of(1, "a", "12345", 5);
	struct rig_opener o = { 0 };

	rig_opener_add(&o, "a", a, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *text = xasprintf("# Disk DescriptorFile\n%s", cases[i].text);
		struct image_file *f = rig_file_of(0, "text", text, strlen(text));
		rig_refused(f, "vmdk", &o, cases[i].words);
		image_file_close(f);
	}
	image_file_close(a);
}

static void parents(void **state)
{
	auto_free u8 *disk = xcalloc(1, 2 * MIB);
	struct rig_opener o = { 0 };

	if (!rig_have_qemu())
		skip();
	some_data(disk, 2 * MIB, 38);
	rig_save_bytes(disk, 2 * MIB, "raw");
	assert_int_equal(rig_run("qemu-img convert -f raw -O vmdk raw parent.vmdk"), 0);
	assert_int_equal(rig_run("qemu-img create -f vmdk -b parent.vmdk -F vmdk child.vmdk"), 0);
	struct image_file *parent = rig_load(1, "parent.vmdk"), *child = rig_load(0, "child.vmdk");
	rig_opener_add(&o, "parent.vmdk", parent, NULL);
	rig_play(child, "vmdk", &o, disk, 2 * MIB, 60, 39);
	rig_save(child, "child.vmdk");
	rig_save_bytes(disk, 2 * MIB, "raw");
	assert_int_equal(rig_run("qemu-img compare -f vmdk -F raw child.vmdk raw"), 0);
	struct image *m = rig_open(parent, "vmdk", false, NULL);
	assert_int_equal(image_write(m, 0, disk, 512), 0);
	assert_int_equal(image_close(m), 0);
	rig_refused(child, "vmdk", &o, "was changed since");
	image_file_close(parent);
	image_file_close(child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chance),       cmocka_unit_test(crashes),   cmocka_unit_test(qemu_reads),
		cmocka_unit_test(qemu_writes),  cmocka_unit_test(mutations), cmocka_unit_test(stream),
		cmocka_unit_test(empty_stream), cmocka_unit_test(flat),      cmocka_unit_test(stream_mutations),
		cmocka_unit_test(split),        cmocka_unit_test(mixed),     cmocka_unit_test(descriptors),
		cmocka_unit_test(parents),
	};

	return cmocka_run_group_tests_name("vmdk", tests, NULL, NULL);
}
