/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_boot_look.c - how a disk wants to be booted: what is found, and what is not although it looks alike. */
#include "vmm/boot_look.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define BYTES (256 * 1024u)

static u8 disk[BYTES];

static ssize_t from_memory(void *opaque, void *buf, size_t bytes, u64 off)
{
	(void)opaque;
	if (off > BYTES)
		return 0;
	size_t n = MIN(bytes, BYTES - off);
	memcpy(buf, disk + off, n);
	return (ssize_t)n;
}

static enum boot_found look(void)
{
	return boot_look_with(from_memory, NULL);
}

static int clean(void **state)
{
	(void)state;
	memset(disk, 0, sizeof(disk));
	return 0;
}

static void sign(void)
{
	st_le16(disk + 510, 0xaa55);
}

static void test_code(void **state)
{
	(void)state;
	assert_int_equal(look(), BOOT_NOTHING);
	sign();
	assert_int_equal(look(), BOOT_NOTHING); /* a partition table and no code */
	disk[440] = 1;                          /* the disk's number is none */
	assert_int_equal(look(), BOOT_NOTHING);
	disk[0] = 0xfa;
	assert_int_equal(look(), BOOT_BIOS);
	disk[511] = 0;
	assert_int_equal(look(), BOOT_NOTHING);
	sign();
	disk[446 + 16 + 4] = 0xef;
	assert_int_equal(look(), BOOT_UEFI);
}

static const u8 esp[16] = { 0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11,
			    0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b };

static void gpt(unsigned sector)
{
	u8 *h = disk + sector;

	memcpy(h, "EFI PART", 8);
	st_le64(h + 72, 2);
	st_le32(h + 80, 128);
	st_le32(h + 84, 128);
	memcpy(disk + 2 * sector + 5 * 128, esp, 16);
}

static void test_gpt(void **state)
{
	(void)state;
	gpt(512);
	sign();
	disk[0] = 0xfa; /* there is boot code for a BIOS as well */
	assert_int_equal(look(), BOOT_UEFI);
	st_le32(disk + 512 + 80, 5); /* not one of the table's */
	assert_int_equal(look(), BOOT_BIOS);
	st_le32(disk + 512 + 80, UINT32_MAX);
	assert_int_equal(look(), BOOT_UEFI);
	st_le32(disk + 512 + 84, 0);
	assert_int_equal(look(), BOOT_BIOS);
	st_le32(disk + 512 + 84, UINT32_MAX);
	assert_int_equal(look(), BOOT_BIOS);
	st_le32(disk + 512 + 84, 128);
	st_le64(disk + 512 + 72, UINT64_MAX / 512);
	assert_int_equal(look(), BOOT_BIOS);
	clean(NULL);
	gpt(4096);
	assert_int_equal(look(), BOOT_UEFI);
}

static void test_el_torito(void **state)
{
	u8 *catalog = disk + 20 * 2048;

	(void)state;
	memcpy(disk + 17 * 2048, "\0CD001\1EL TORITO SPECIFICATION", 30);
	st_le32(disk + 17 * 2048 + 0x47, 20);
	assert_int_equal(look(), BOOT_NOTHING);
	catalog[0] = 1;
	assert_int_equal(look(), BOOT_NOTHING);
	catalog[32] = 0x88;
	assert_int_equal(look(), BOOT_BIOS);
	catalog[64] = 0x90; /* a section of two entries, then one for EFI */
	st_le16(catalog + 66, 2);
	catalog[64 + 96] = 0x91;
	assert_int_equal(look(), BOOT_BIOS);
	catalog[64 + 96 + 1] = 0xef;
	assert_int_equal(look(), BOOT_UEFI);
	st_le16(catalog + 66, 0xffff); /* it says it is longer than the catalog */
	assert_int_equal(look(), BOOT_BIOS);
	catalog[1] = 0xef;
	assert_int_equal(look(), BOOT_UEFI);
	st_le32(disk + 17 * 2048 + 0x47, UINT32_MAX);
	assert_int_equal(look(), BOOT_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_code, clean),
		cmocka_unit_test_setup(test_gpt, clean),
		cmocka_unit_test_setup(test_el_torito, clean),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
