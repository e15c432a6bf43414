/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_qcow2.c - qcow2 images: what is refused, mended, kept, and what others made. */
#include "image_memory.h"
#include "qcow2_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define FILE_MAX (64 * MIB)
#define DISK (8 * MIB)

static void st_be32(u8 *p, u32 v)
{
	st_le32(p, __builtin_bswap32(v));
}

static u64 ld_be64(const u8 *p)
{
	return __builtin_bswap64(ld_le64(p));
}

static void st_be64(u8 *p, u64 v)
{
	st_le64(p, __builtin_bswap64(v));
}

static struct image_memory *create(const char *a, const char *b)
{
	const char *const options[] = { a, b, NULL };
	struct image_memory *f = image_memory_new(NULL, 0, 0, false, FILE_MAX);
	const struct image_create c = { .file = &f->file, .bytes = DISK, .options = options };
	struct err e;

	if (image_qcow2.create(&c, &e) < 0)
		fail_msg("%s", e.msg);
	return f;
}

static struct image_memory *again(const struct image_memory *f)
{
	return image_memory_new(f->bytes, f->file.bytes, 0, false, FILE_MAX);
}

static struct image *open_with(struct image_memory *f, struct image_open o)
{
	struct image *m;
	struct err e;

	o.file = &f->file;
	if (image_open(&m, NULL, false, &o, &e) < 0)
		fail_msg("%s", e.msg);
	return m;
}

static void refused(struct image_memory *f, bool readonly, const char *words)
{
	const struct image_open o = { .file = &f->file, .readonly = readonly };
	struct image *m;
	struct err e = { 0 };

	assert_true(image_open(&m, &image_qcow2, false, &o, &e) < 0);
	if (!strstr(e.msg, words))
		fail_msg("\"%s\" does not say \"%s\"", e.msg, words);
}

/* "Header": each field with a value that cannot be. */
static void header(void **state)
{
	static const struct {
		u32 at, v;
		const char *words;
	} cases[] = {
		{ 0, 0x514649fa, "no qcow2 image" },
		{ 4, 4, "version 4" },
		{ 4, 1, "version 1" },
		{ 12, 0x00020000, "backing_file_size" },
		{ 12, 8, "backing_file_size" },
		{ 20, 8, "2^8 bytes" },
		{ 20, 22, "2^22 bytes" },
		{ 20, 0xffffffff, "bytes; from 512" },
		{ 24, 0x80000000, "size" },
		{ 24, 0x00000400, "l1_size" },
		{ 32, 1, "encrypted" },
		{ 32, 2, "encrypted" },
		{ 36, 0xffffffff, "l1_size" },
		{ 36, 0, "l1_size" },
		{ 40, 0x01000000, "l1_table_offset" },
		{ 44, 0x00030200, "l1_table_offset" },
		{ 44, 0, "l1_table_offset" },
		{ 48, 0xffffffff, "refcount_table_offset" },
		{ 52, 1, "refcount_table_offset" },
		{ 56, 0, "refcount_table_clusters" },
		{ 56, 0xffffffff, "refcount_table_clusters" },
		{ 60, 0xffffffff, "snapshots" },
		{ 60, 1, "snapshots" },
		{ 76, 1u << 3, "compression_type" },
		{ 76, 1u << 2, "another file" },
		{ 76, 1u << 5, "bit 5" },
		{ 72, 1u << 31, "bit 63" },
		{ 92, 2, "autoclear_features" },
		{ 92, 1, "autoclear_features" },
		{ 96, 7, "refcount_order" },
		{ 100, 96, "header_length" },
		{ 100, 108, "header_length" },
		{ 100, 0xfffffff8, "header_length" },
		{ 116, 0x00100000, "header extension" },
	};
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct image_memory *f = create(NULL, NULL);
		st_be32(f->bytes + cases[i].at, cases[i].v);
		refused(f, true, cases[i].words);
		image_file_close(&f->file);
	}
}

/* "Feature name table": what the image itself calls a feature that is not known. */
static void feature_name(void **state)
{
	struct image_memory *f = create(NULL, NULL);
	u8 *entry = f->bytes + 112 + 8; /* the first extension is the table */

	st_be32(f->bytes + 76, 1u << 20);
	entry[1] = 20;
	memcpy(entry + 2, "time travel\0\0", 13);
	refused(f, true, "time travel");
	image_file_close(&f->file);
}

/* Bits that nobody here knows are cleared before the first write, and not by reading. */
static void autoclear(void **state)
{
	struct image_memory *f = create(NULL, NULL), *copy;

	st_be32(f->bytes + 92, 1u << 9);
	for (int readonly = 1; readonly >= 0; readonly--) {
		struct image *m = open_with(again(f), (struct image_open){ .readonly = readonly });
		copy = image_memory_of(m->file);
		assert_int_equal(copy->bytes[94], readonly ? 2 : 0);
		assert_int_equal(image_close(m), 0);
	}
	image_file_close(&f->file);
}

/* Another backing image: what others keep in the header stays. */
static void set_backing(void **state)
{
	struct image_memory *f = create("cluster_size=4k", NULL);
	u8 *at = f->bytes + 112;

	st_be32(at, 0x12345678);
	st_be32(at + 4, 5);
	memcpy(at + 8, "hello\0\0\0\0\0\0\0\0\0\0", 16);
	struct image *m = open_with(f, (struct image_open){ 0 });
	assert_int_equal(m->ops->set_backing(m, "other.raw", "raw", NULL), 0);
	struct image_memory *copy = again(f);
	assert_int_equal(image_close(m), 0);
	m = open_with(copy, (struct image_open){ .no_backing = true });
	assert_string_equal(m->backing_name, "other.raw");
	assert_string_equal(m->backing_format, "raw");
	assert_memory_equal(copy->bytes + 112, "\x12\x34\x56\x78\0\0\0\5hello\0\0\0", 16);
	char *too_long = xcalloc(1, IMAGE_NAME_MAX + 1);
	memset(too_long, 'x', IMAGE_NAME_MAX);
	assert_int_equal(m->ops->set_backing(m, too_long, "raw", NULL), -ENAMETOOLONG);
	free(too_long);
	assert_string_equal(m->backing_name, "other.raw");
	assert_int_equal(image_close(m), 0);
}

static void fill(u8 *buf, u64 n, u64 seed)
{
	for (u64 i = 0; i < n; i += 8)
		st_le64(buf + i, rig_random(&seed));
}

static void put(struct image *m, u64 off, u64 n, u64 seed)
{
	u8 *buf = xcalloc(1, n);

	fill(buf, n, seed);
	assert_int_equal(image_write(m, off, buf, n), 0);
	free(buf);
}

static void has(struct image *m, u64 off, u64 n, u64 seed)
{
	u8 *buf = xcalloc(1, n), *want = xcalloc(1, n);

	fill(want, n, seed);
	assert_int_equal(image_read(m, off, buf, n), 0);
	assert_memory_equal(buf, want, n);
	free(buf);
	free(want);
}

static struct image_check check(struct image *m, enum image_fix fix)
{
	struct image_check c = { 0 };
	struct err e;

	if (m->ops->check(m, &c, fix, &e) < 0)
		fail_msg("%s", e.msg);
	return c;
}

/* An image with data, closed; its table of counts is where the header says. */
static struct image_memory *with_data(const char *a, const char *b)
{
	struct image_memory *f = create(a, b);
	struct image *m = open_with(f, (struct image_open){ 0 });

	put(m, 0, 1 * MIB, 1);
	put(m, 4 * MIB + 512, 100 * KIB, 2);
	assert_int_equal(image_flush(m), 0);
	struct image_memory *copy = again(f);
	assert_int_equal(image_close(m), 0);
	return copy;
}

/* Damage done to counts and flags is found, told apart, and mended; the data is there all the time. */
static void repair(void **state)
{
	enum { LEAK, LOW, NO_BLOCK, NO_TABLE, FLAG, KINDS };

	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct image_memory *f = with_data("cluster_size=4k", NULL);
		u64 rt = ld_be64(f->bytes + 48), block = ld_be64(f->bytes + rt), l1 = ld_be64(f->bytes + 40);
		u64 l2 = ld_be64(f->bytes + l1) & 0x00fffffffffffe00ull, used = f->file.bytes / 4096;

		if (kind == LEAK) {
			assert_int_equal(image_resize_file(&f->file, f->file.bytes + 8192), 0);
			f->bytes[block + 2 * used + 1] = 1;
		} else if (kind == LOW) {
			f->bytes[block + 2 * 20 + 1] = 0;
		} else if (kind == NO_BLOCK) {
			st_be64(f->bytes + rt, 0);
		} else if (kind == NO_TABLE) {
			memset(f->bytes + rt, 0x55, 4096);
		} else {
			f->bytes[l2] ^= 0x80;
		}
		struct image *m = open_with(f, (struct image_open){ .checking = true });
		struct image_check c = check(m, IMAGE_FIX_NONE);
		assert_int_equal(c.leaked, kind == LEAK);
		assert_int_equal(!c.corrupt, kind == LEAK);
		c = check(m, IMAGE_FIX_LEAKS);
		assert_int_equal(c.leaked_fixed, kind == LEAK);
		c = check(m, IMAGE_FIX_ALL);
		assert_int_equal(c.corrupt, c.corrupt_fixed);
		assert_int_equal(c.leaked, c.leaked_fixed);
		c = check(m, IMAGE_FIX_NONE);
		assert_int_equal(c.corrupt, 0);
		assert_int_equal(c.leaked, 0);
		has(m, 0, 1 * MIB, 1);
		put(m, 512 * KIB, 3 * MIB, 3);
		has(m, 4 * MIB + 512, 100 * KIB, 2);
		assert_int_equal(check(m, IMAGE_FIX_NONE).corrupt, 0);
		assert_int_equal(image_close(m), 0);
	}
}

/* The dirty bit: counts are made right by opening for writing. The corrupt bit: only reading, until it is mended. */
static void bits(void **state)
{
	struct image_memory *f = with_data("cluster_size=4k", "lazy_refcounts=on");
	u64 block = ld_be64(f->bytes + ld_be64(f->bytes + 48));

	memset(f->bytes + block + 40, 0, 60);
	f->bytes[79] |= 1;
	struct image *m = open_with(again(f), (struct image_open){ 0 });
	struct image_check c = check(m, IMAGE_FIX_NONE);
	assert_int_equal(c.corrupt + c.leaked, 0);
	has(m, 0, 1 * MIB, 1);
	assert_int_equal(image_memory_of(m->file)->bytes[79] & 1, 0);
	put(m, 0, 4096 * 3, 4);
	put(m, 6 * MIB, 4096 * 3, 4);
	assert_int_equal(image_flush(m), 0);
	assert_int_equal(image_memory_of(m->file)->bytes[79] & 1, 1);
	assert_int_equal(image_close(m), 0);

	f->bytes[79] = 2;
	refused(f, false, "marked as corrupt");
	m = open_with(again(f), (struct image_open){ .readonly = true });
	has(m, 0, 1 * MIB, 1);
	assert_int_equal(image_close(m), 0);
	m = open_with(f, (struct image_open){ .checking = true });
	c = check(m, IMAGE_FIX_ALL);
	assert_true(c.corrupt > 0 && c.corrupt == c.corrupt_fixed);
	assert_int_equal(f->bytes[79], 0);
	put(m, 3 * MIB, 4096, 5);
	assert_int_equal(image_close(m), 0);
}

/* Tables that lead to themselves, and data that would overwrite tables: an error, and the image is marked. */
static void circles(void **state)
{
	struct image_memory *f = with_data("cluster_size=4k", NULL);
	u64 l1 = ld_be64(f->bytes + 40);

	st_be64(f->bytes + l1 + 8, l1 | 1ull << 63);
	struct image *m = open_with(again(f), (struct image_open){ .readonly = true });
	struct image_run run;
	for (u64 off = 2 * MIB; off < 4 * MIB; off += run.bytes)
		if (image_map(m, off, 4 * MIB - off, &run) < 0)
			run.bytes = 4096;
	assert_true(check(m, IMAGE_FIX_NONE).corrupt > 0);
	assert_int_equal(image_close(m), 0);

	/* All counts are 0: the first free cluster would be the header. */
	u64 block = ld_be64(f->bytes + ld_be64(f->bytes + 48));
	memset(f->bytes + block, 0, 4096);
	m = open_with(f, (struct image_open){ 0 });
	u8 sector[512] = { 1 };
	assert_int_equal(image_write(m, 7 * MIB, sector, sizeof(sector)), -EIO);
	assert_int_equal(f->bytes[79], 2);
	assert_int_equal(image_write(m, 7 * MIB, sector, sizeof(sector)), -EIO);
	image_close(m);
}

/* What lies together is told as one run, and is written in place. */
static void runs(void **state)
{
	struct image_memory *f = create(NULL, NULL);
	struct image *m = open_with(f, (struct image_open){ 0 });
	struct image_run run;

	put(m, 0, 6 * MIB, 1);
	assert_int_equal(image_map(m, 512, DISK - 512, &run), 0);
	assert_int_equal(run.kind, IMAGE_DATA);
	assert_int_equal(run.bytes, 6 * MIB - 512);
	assert_true(run.in_place);
	assert_int_equal(image_prepare(m, 4096, 5 * MIB, &run), 0);
	assert_true(run.in_place && run.bytes == 5 * MIB);
	assert_int_equal(image_map(m, 6 * MIB, 2 * MIB, &run), 0);
	assert_int_equal(run.kind, IMAGE_ZERO);
	assert_int_equal(run.bytes, 2 * MIB);
	assert_int_equal(image_write_zeroes(m, 1 * MIB, 1 * MIB, true), 0);
	assert_int_equal(image_map(m, 0, DISK, &run), 0);
	assert_int_equal(run.bytes, 1 * MIB);
	assert_int_equal(image_map(m, 1 * MIB, DISK - MIB, &run), 0);
	assert_true(run.kind == IMAGE_ZERO && run.bytes == 1 * MIB);
	assert_int_equal(image_close(m), 0);
}

/* A room that was given up is used again, once a flush has made that durable. */
static void room(void **state)
{
	struct image_memory *f = create(NULL, NULL);
	struct image *m = open_with(f, (struct image_open){ 0 });

	put(m, 0, 4 * MIB, 1);
	assert_int_equal(image_flush(m), 0);
	u64 bytes = f->file.bytes;
	for (u64 i = 0; i < 10; i++) {
		assert_int_equal(image_discard(m, 0, 4 * MIB), 0);
		assert_int_equal(image_flush(m), 0);
		put(m, 4 * MIB * (i & 1), 4 * MIB, i);
		assert_int_equal(image_discard(m, 4 * MIB * !(i & 1), 4 * MIB), 0);
		assert_int_equal(image_flush(m), 0);
	}
	assert_true(f->file.bytes <= bytes + 5 * MIB);
	struct image_check c = check(m, IMAGE_FIX_NONE);
	assert_int_equal(c.corrupt + c.leaked, 0);
	assert_int_equal(image_close(m), 0);
}

static void save(struct rig *r, const char *name, const u8 *bytes, u64 n)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	assert_non_null(f = fopen(path, "w"));
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

/* Images that qemu-img made, of every kind: read, written to, and still whole for it. */
static void others(void **state)
{
	static const char *const kinds[] = {
		"-o compat=0.10",
		"-c -o compat=0.10,cluster_size=4k",
		"-c",
		"-c -o compression_type=zstd,cluster_size=2M",
		"-c -o extended_l2=on,cluster_size=32k",
		"-o preallocation=metadata,lazy_refcounts=on",
		"-o refcount_bits=1",
		"-o data_file=data,data_file_raw=on",
	};
	struct rig r;
	u8 *plain = xcalloc(1, DISK), *buf = xcalloc(1, DISK);

	if (!rig_has_qemu())
		skip();
	rig_init(&r);
	fill(plain + 64 * KIB, 1 * MIB, 1);
	memset(plain + 2 * MIB, 'x', 3 * MIB);
	for (u64 i = 6 * MIB; i < 7 * MIB; i++)
		plain[i] = (u8)(i * i / 5);
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
		bool snapshots = !strstr(kinds[i], "data_file") && !strstr(kinds[i], "refcount_bits=1");
		save(&r, "plain", plain, DISK);
		rig_qemu(&r, 1, "convert -f raw -O qcow2 %s plain image", kinds[i]);
		if (snapshots)
			rig_qemu(&r, 1, "snapshot -c theirs image");
		else /* qemu-img applies no snapshot beside a bitmap */
			rig_qemu(&r, 1, "bitmap --add image bits");
		struct image *m = rig_open(&r, "image", false);
		assert_int_equal(image_read(m, 0, buf, DISK), 0);
		assert_memory_equal(buf, plain, DISK);
		assert_int_equal(check(m, IMAGE_FIX_NONE).corrupt, 0);
		put(m, 1000 * 512, 2 * MIB, i);
		assert_int_equal(image_write_zeroes(m, 5 * MIB + 512, 700 * KIB, false), 0);
		assert_int_equal(image_read(m, 0, buf, DISK), 0);
		struct image_snapshot list[2];
		assert_int_equal(m->ops->snapshots(m, list, 2), snapshots);
		if (snapshots) {
			assert_string_equal(list[0].name, "theirs");
			assert_int_equal(list[0].disk_bytes, DISK);
			assert_int_equal(m->ops->snapshot(m, IMAGE_SNAPSHOT_CREATE, "ours", NULL), 0);
			put(m, 0, 512, 9);
		}
		rig_close(m);
		rig_qemu(&r, 1, "check image");
		if (snapshots)
			rig_qemu(&r, 1, "snapshot -a ours image");
		save(&r, "plain", buf, DISK);
		rig_qemu(&r, 1, "compare -f qcow2 -F raw image plain");
		if (!snapshots)
			continue;
		m = rig_open(&r, "image", false);
		assert_int_equal(m->ops->snapshot(m, IMAGE_SNAPSHOT_APPLY, "theirs", NULL), 0);
		assert_int_equal(m->ops->snapshot(m, IMAGE_SNAPSHOT_DELETE, "ours", NULL), 0);
		assert_int_equal(m->ops->snapshot(m, IMAGE_SNAPSHOT_DELETE, "theirs", NULL), 0);
		assert_int_equal(image_read(m, 0, buf, DISK), 0);
		assert_memory_equal(buf, plain, DISK);
		rig_close(m);
		rig_qemu(&r, 1, "check image");
	}
	rig_fini(&r);
	free(plain);
	free(buf);
}

/* A bitmap that should have followed our writes says that it has not; the others stay as they are. */
static void bitmaps(void **state)
{
	struct rig r;

	if (!rig_has_qemu())
		skip();
	rig_init(&r);
	rig_qemu(&r, 1, "create -f qcow2 image 8M");
	rig_qemu(&r, 1, "bitmap --add image follows");
	rig_qemu(&r, 1, "bitmap --add --disable image rests");
	rig_close(rig_open(&r, "image", true));
	rig_qemu(&r, 1, "info image");
	struct image *m = rig_open(&r, "image", false);
	put(m, 0, 1 * MIB, 1);
	assert_int_equal(m->ops->resize(m, 16 * MIB, NULL), -ENOTSUP);
	rig_close(m);
	rig_qemu(&r, 1, "check image");
	char command[256];
	snprintf(command, sizeof(command),
		 "cd %s && qemu-img info image | grep -A3 flags: | tr -d ' \\n' >out && grep -q "
		 "'in-use.*auto.*name:follows' out",
		 r.dir);
	assert_int_equal(system(command), 0);
	rig_fini(&r);
}

/* Space that a conversion needs, as qemu-img says. */
static void measure(void **state)
{
	static const char *const options[] = { "cluster_size=64k", "cluster_size=512", "cluster_size=2M",
					       "extended_l2=on", "refcount_bits=64" };
	static const u64 sizes[] = { 1 * MIB, 10 * GIB, 37 * GIB + 512 };
	struct rig r;

	if (!rig_has_qemu())
		skip();
	rig_init(&r);
	for (unsigned i = 0; i < ARRAY_LEN(options) * ARRAY_LEN(sizes); i++) {
		const char *const o[] = { options[i % ARRAY_LEN(options)], NULL };
		u64 bytes = sizes[i / ARRAY_LEN(options)], out[2];
		unsigned long long needed, full;
		char path[128], line[2][128];
		rig_qemu(&r, 1, "measure -O qcow2 -o %s --size %llu", *o, (unsigned long long)bytes);
		snprintf(path, sizeof(path), "%s/qemu-img.out", r.dir);
		FILE *f = fopen(path, "r");
		assert_true(f && fgets(line[0], sizeof(line[0]), f) && fgets(line[1], sizeof(line[1]), f));
		fclose(f);
		assert_int_equal(sscanf(line[0], "required size: %llu", &needed), 1);
		assert_int_equal(sscanf(line[1], "fully allocated size: %llu", &full), 1);
		assert_int_equal(image_qcow2.measure(bytes, 0, o, out, NULL), 0);
		if (out[0] != needed || out[1] != full)
			fail_msg("%s, %llu bytes: %llu and %llu, not %llu and %llu", *o, (unsigned long long)bytes,
				 (unsigned long long)out[0], (unsigned long long)out[1], needed, full);
	}
	rig_fini(&r);
}

static void options(void **state)
{
	static const char *const bad[][3] = {
		{ "cluster_size=3k", NULL, "power of two" },
		{ "cluster_size=4M", NULL, "power of two" },
		{ "refcount_bits=3", NULL, "power of two" },
		{ "compat=2", NULL, "1.1 or 0.10" },
		{ "compat=0.10", "lazy_refcounts=on", "compat=0.10" },
		{ "extended_l2=on", "cluster_size=4k", "16k" },
		{ "data_file_raw=on", NULL, "data file" },
		{ "compression_type=lz4", NULL, "zlib or zstd" },
		{ "preallocation=full", NULL, "off or metadata" },
		{ "colour=red", NULL, "no such option" },
	};
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		const char *const list[] = { bad[i][0], bad[i][1], NULL };
		struct image_memory *f = image_memory_new(NULL, 0, 0, false, FILE_MAX);
		const struct image_create c = { .file = &f->file, .bytes = DISK, .options = list };
		struct err e = { 0 };
		assert_true(image_qcow2.create(&c, &e) < 0);
		if (!strstr(e.msg, bad[i][2]))
			fail_msg("\"%s\" does not say \"%s\"", e.msg, bad[i][2]);
		image_file_close(&f->file);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header),      cmocka_unit_test(feature_name), cmocka_unit_test(autoclear),
		cmocka_unit_test(set_backing), cmocka_unit_test(repair),       cmocka_unit_test(bits),
		cmocka_unit_test(circles),     cmocka_unit_test(runs),         cmocka_unit_test(room),
		cmocka_unit_test(others),      cmocka_unit_test(bitmaps),      cmocka_unit_test(measure),
		cmocka_unit_test(options),
	};

	return cmocka_run_group_tests_name("qcow2", tests, NULL, NULL);
}
