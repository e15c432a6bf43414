/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rig_tries.c - see rig.h. Here: what every format is put through. */
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static u64 disk_bytes(struct image_file *f, const char *format)
{
	struct image *m = rig_open(f, format, true, NULL);
	u64 bytes = m->bytes;

	assert_int_equal(image_close(m), 0);
	return bytes;
}

void rig_try_chance(const struct rig_try *t)
{
	struct image_file *f = rig_file(0, "chance");

	rig_create(f, t->format, t->bytes, t->options);
	u64 bytes = disk_bytes(f, t->format);
	auto_free u8 *disk = xcalloc(1, (size_t)bytes);
	assert_true(bytes >= t->bytes);
	rig_play(f, t->format, NULL, disk, bytes, 150, t->seed);
	image_file_close(f);
}

void rig_try_crashes(const struct rig_try *t)
{
	struct image_file *f = rig_file(0, "crash");

	rig_create(f, t->format, t->bytes, t->options);
	rig_crashes(f, t->format, disk_bytes(f, t->format), 40, 25, t->seed);
	image_file_close(f);
}

void rig_try_qemu_reads(const struct rig_try *t)
{
	struct image_file *f = rig_file(0, "ours");

	if (!rig_have_qemu())
		skip();
	rig_create(f, t->format, t->bytes, t->options);
	u64 bytes = disk_bytes(f, t->format);
	auto_free u8 *disk = xcalloc(1, (size_t)bytes);
	rig_play(f, t->format, NULL, disk, bytes, 60, t->seed);
	rig_save(f, "ours");
	rig_save_bytes(disk, bytes, "raw");
	image_file_close(f);
	if (t->qemu_checks)
		assert_int_equal(rig_run("qemu-img check -f %s ours", t->format), 0);
	assert_int_equal(rig_run("qemu-img compare -f %s -F raw ours raw", t->format), 0);
}

void rig_try_qemu_writes(const struct rig_try *t)
{
	auto_free u8 *disk = xcalloc(1, (size_t)t->bytes);
	u64 seed = t->seed;

	if (!rig_have_qemu())
		skip();
	for (unsigned i = 0; i < 12; i++) {
		u64 off = rig_random(&seed) % (t->bytes - 32 * KIB);
		for (unsigned j = 0; j < 32 * KIB; j++)
			disk[off + j] = (u8)rig_random(&seed);
	}
	rig_save_bytes(disk, t->bytes, "raw");
	assert_int_equal(
	    rig_run("qemu-img convert -f raw -O %s %s raw theirs", t->format, t->qemu_options ? t->qemu_options : ""),
	    0);
	struct image_file *f = rig_load(0, "theirs");
	u64 bytes = disk_bytes(f, t->format);
	auto_free u8 *all = xcalloc(1, (size_t)bytes);
	memcpy(all, disk, (size_t)t->bytes);
	struct image *m = rig_open(f, t->format, true, NULL);
	rig_compare(m, all, bytes);
	rig_check(m, 0);
	assert_int_equal(image_close(m), 0);
	rig_play(f, t->format, NULL, all, bytes, 60, seed);
	rig_save(f, "theirs");
	rig_save_bytes(all, bytes, "raw");
	image_file_close(f);
	if (t->qemu_checks)
		assert_int_equal(rig_run("qemu-img check -f %s theirs", t->format), 0);
	assert_int_equal(rig_run("qemu-img compare -f %s -F raw theirs raw", t->format), 0);
}

void rig_try_mutations(const struct rig_try *t, unsigned n)
{
	struct image_file *f = rig_file(0, "seed");
	u64 seed = t->seed;

	rig_create(f, t->format, t->bytes, t->options);
	u64 bytes = disk_bytes(f, t->format);
	auto_free u8 *disk = xcalloc(1, (size_t)bytes);
	rig_play(f, t->format, NULL, disk, bytes, 20, t->seed);
	struct image_file *now = rig_again(f);
	for (unsigned i = 0; i < n; i++) {
		struct image_file *bad = rig_file_of(0, "mutated", rig_bytes(f), (size_t)now->bytes);
		for (unsigned j = 1 + rig_random(&seed) % 4; j--;) {
			static const u8 liked[] = { 0, 1, 0x7f, 0x80, 0xff };
			u64 at = rig_random(&seed) % (rig_random(&seed) % 8 ? t->metadata : now->bytes);
			rig_bytes(bad)[at] =
			    rig_random(&seed) % 2 ? liked[rig_random(&seed) % sizeof(liked)] : (u8)rig_random(&seed);
		}
		if (rig_random(&seed) % 8 == 0)
			assert_int_equal(image_resize_file(bad, rig_random(&seed) % now->bytes), 0);
		rig_poke(bad, t->format, NULL);
		image_file_close(bad);
	}
	image_file_close(now);
	image_file_close(f);
}

void rig_refused(struct image_file *f, const char *format, struct rig_opener *o, const char *words)
{
	struct image_open io = { .file = rig_again(f), .opener = o ? &o->opener : NULL };
	struct err e = { 0 };
	struct image *m;

	assert_true(image_open(&m, image_format_find(format), false, &io, &e) < 0);
	if (!strstr(e.msg, words))
		fail_msg("\"%s\" does not say \"%s\"", e.msg, words);
	image_file_close(io.file);
}
