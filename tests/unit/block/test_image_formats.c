/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_image_formats.c - what a VM's process knows of formats (names and signs) beside the formats themselves, which it
 * does not have: each image that one takes for something the other takes for the same.
 */
#include "block/format.h"
#include "image/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static void test_every_format_has_a_row(void **state)
{
	const struct image_format *f;

	(void)state;
	for (unsigned i = 0; (f = image_format_at(i)); i++) {
		const struct blk_format *b = blk_format_find(f->name);
		if (!b || b->layer || !b->open)
			fail_msg("%s has no row in block/format.c", f->name);
		/* A name that is made for it is one that counts. */
		if (f != &image_raw &&
		    (!b->extensions || strncmp(b->extensions, f->extensions, strcspn(f->extensions, ","))))
			fail_msg("%s: its images' names end with %s", f->name, f->extensions);
	}
}

/* An image as create() makes it. */
static void test_signs(void **state)
{
	const struct image_format *f;

	(void)state;
	for (unsigned i = 0; (f = image_format_at(i)); i++) {
		char path[] = "/var/tmp/mica-sign-XXXXXX", name[64];
		u8 head[BLK_PROBE_BYTES] = { 0 }, tail[BLK_PROBE_BYTES] = { 0 };
		int fd = mkstemp(path);
		struct image_create c = { .bytes = 64 * MIB };
		struct err e = { 0 };

		assert_true(fd >= 0);
		assert_int_equal(image_file_open(&c.file, fd, 0, path, false, &e), 0);
		if (f->creates && f->create(&c, &e) < 0)
			fail_msg("%s: %s", f->name, e.msg);
		assert_int_equal(image_pread(c.file, head, sizeof(head), 0), 0);
		if (c.file->bytes >= sizeof(tail))
			assert_int_equal(image_pread(c.file, tail, sizeof(tail), c.file->bytes - sizeof(tail)), 0);
		snprintf(name, sizeof(name), "x.%.*s", (int)strcspn(f->extensions, ","), f->extensions);
		const struct blk_format *seen = blk_format_probe(name, head, sizeof(head), tail);
		if (f->creates && f != &image_raw)
			assert_string_equal(seen ? seen->name : "none", f->name);
		else
			assert_null(seen);
		image_file_close(c.file);
		unlink(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_format_has_a_row),
					    cmocka_unit_test(test_signs) };
	return cmocka_run_group_tests_name("image_formats", tests, NULL, NULL);
}
