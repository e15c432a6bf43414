/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_vdi.c - VDI images. */
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *const whole[] = { "static=on", NULL };
static const struct rig_try dynamic = {
	.format = "vdi", .bytes = 9 * MIB + 1536, .qemu_checks = true, .metadata = 600, .seed = 11
};
static const struct rig_try fixed = { .format = "vdi",
				      .bytes = 5 * MIB,
				      .options = whole,
				      .qemu_options = "-o static=on",
				      .qemu_checks = true,
				      .metadata = 600,
				      .seed = 12 };

static void chance(void **state)
{
	rig_try_chance(&dynamic);
	rig_try_chance(&fixed);
}

static void crashes(void **state)
{
	rig_try_crashes(&dynamic);
}

static void qemu_reads(void **state)
{
	rig_try_qemu_reads(&dynamic);
	rig_try_qemu_reads(&fixed);
}

static void qemu_writes(void **state)
{
	rig_try_qemu_writes(&dynamic);
	rig_try_qemu_writes(&fixed);
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
		{ 0x4c, 4, "differencing" },
		{ 0x1b8, 1, "differencing" },
		{ 0x44, 0x10000, "version 1.0" },
		{ 0x178, 3 * MIB, "blocks of 3145728" },
		{ 0x180, 1, "no room for all of its" },
		{ 0x154, 0xfffffe00u, "no room for all" },
		{ 0x200, 5, "behind the end" },
	};
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct image_file *f = rig_file(0, "bad");
		rig_create(f, "vdi", 4 * MIB, NULL);
		st_le32(rig_bytes(f) + cases[i].at, cases[i].v);
		rig_refused(f, "vdi", NULL, cases[i].words);
		image_file_close(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chance),      cmocka_unit_test(crashes),   cmocka_unit_test(qemu_reads),
		cmocka_unit_test(qemu_writes), cmocka_unit_test(mutations), cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests_name("vdi", tests, NULL, NULL);
}
