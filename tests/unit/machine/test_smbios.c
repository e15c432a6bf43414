/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_smbios.c - the SMBIOS structures, walked as a guest walks them. */
#include "machine/layout.h"
#include "machine/smbios.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static u8 sum(const u8 *p, size_t n)
{
	u8 s = 0;

	while (n--)
		s = (u8)(s + *p++);
	return s;
}

/* The n-th structure of that type; NULL: none. Asserts that all lie inside. */
static const u8 *find(const struct smbios *s, u8 type, unsigned n)
{
	const u8 *p = s->tables, *end = p + s->bytes, *found = NULL;
	unsigned count = 0;

	while (p < end) {
		assert_true(p + 4 <= end && p + p[1] + 2 <= end);
		const u8 *q = p + p[1];
		while (q[0] || q[1]) {
			q++;
			assert_true(q + 2 <= end);
		}
		if (p[0] == type && n-- == 0)
			found = p;
		assert_true((size_t)(q + 2 - p) <= ld_le16(s->anchor + 8));
		count++;
		if (p[0] == 127)
			assert_ptr_equal(q + 2, end);
		p = q + 2;
	}
	assert_int_equal(count, ld_le16(s->anchor + 0x1c));
	return found;
}

static const char *string(const u8 *t, unsigned off)
{
	const char *p = (const char *)t + t[1];

	if (!t[off])
		return "";
	for (unsigned i = 1; i < t[off]; i++)
		p += strlen(p) + 1;
	return p;
}

static void test_tables(void **state)
{
	(void)state;
	char longest[200];
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	const struct smbios_identity id = { .manufacturer = "ACME",
					    .serial = "42",
					    .family = longest,
					    .uuid = { 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99 } };
	const struct smbios_board b = { .ncpus = 64, .low_bytes = 2 * GIB, .high_bytes = 1018 * GIB, .uefi = true };
	struct smbios s;

	smbios_build(&s, &b, &id);
	assert_int_equal(sum(s.anchor, 31), 0);
	assert_int_equal(sum(s.anchor + 16, 15), 0);
	assert_int_equal(ld_le16(s.anchor + 0x16), s.bytes);
	const u8 *t = find(&s, 1, 0);
	assert_string_equal(string(t, 4), "ACME");
	assert_string_equal(string(t, 5), "");
	assert_string_equal(string(t, 7), "42");
	assert_int_equal(strlen(string(t, 0x1a)), SMBIOS_TEXT_MAX);
	assert_memory_equal(t + 8, "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99", 10); /* its first three fields turned */
	t = find(&s, 0, 0);
	assert_int_equal(t[0x13], 1 << 4 | 1 << 3);
	assert_int_equal(strlen(string(t, 8)), 10);
	assert_int_equal(find(&s, 4, 0)[0x23], 64);
	assert_int_equal(ld_le32(find(&s, 16, 0) + 7), 1020u << 20);
	t = find(&s, 17, 0);
	assert_int_equal(ld_le16(t + 0xc), 0x7fff);
	assert_int_equal(ld_le32(t + 0x1c), 1020 << 10);
	assert_int_equal(ld_le32(find(&s, 19, 0) + 8), (2u << 20) - 1);
	assert_int_equal(ld_le32(find(&s, 19, 1) + 4), 4u << 20);
	assert_int_equal(ld_le32(find(&s, 19, 1) + 8), (1022u << 20) - 1);
	assert_non_null(find(&s, 3, 0));
	assert_non_null(find(&s, 32, 0));
	assert_null(find(&s, 2, 0));
	free(s.tables);
}

/* As a kernel without firmware finds it. */
static void test_in_rom(void **state)
{
	(void)state;
	const struct smbios_board b = { .ncpus = 1, .low_bytes = 16 * MIB };
	struct err e;
	struct smbios s;
	struct ram *ram;
	u8 a[31], *tables;

	smbios_build(&s, &b, NULL);
	assert_null(find(&s, 19, 1));
	assert_string_equal(string(find(&s, 1, 0), 5), "Mica Virtual Machine");
	assert_int_equal(ram_new(&ram, 16 * MIB, &e), 0);
	assert_int_equal(smbios_write(&s, ram, &e), 0);
	assert_int_equal(ram_get(ram, LAYOUT_SMBIOS, a, sizeof(a)), 0);
	assert_memory_equal(a, "_SM_", 4);
	assert_int_equal(sum(a, 31), 0);
	tables = xcalloc(1, s.bytes);
	assert_int_equal(ram_get(ram, ld_le32(a + 0x18), tables, s.bytes), 0);
	assert_memory_equal(tables, s.tables, s.bytes);
	free(tables);
	free(s.tables);
	ram_free(ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_tables), cmocka_unit_test(test_in_rom) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
