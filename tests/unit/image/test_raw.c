/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_raw.c - raw images, by the rig that the other formats are tested with. */
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DISK_BYTES (512u * KIB)

static void chance(void **state)
{
	auto_free u8 *disk = xcalloc(1, DISK_BYTES);
	struct image_file *f = rig_file(0, "raw");

	rig_create(f, "raw", DISK_BYTES, NULL);
	rig_play(f, "raw", NULL, disk, DISK_BYTES, 300, 1);
	image_file_close(f);
}

static void crash(void **state)
{
	struct image_file *f = rig_file(0, "raw");

	rig_create(f, "raw", DISK_BYTES, NULL);
	rig_crashes(f, "raw", DISK_BYTES, 100, 20, 2);
	image_file_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(chance), cmocka_unit_test(crash) };

	return cmocka_run_group_tests_name("raw", tests, NULL, NULL);
}
