/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_err.c - errors: English text, what it is made of, translation as a whole, names. */
#include "base/err_wire.h"
#include "base/i18n.h"
#include "base/program_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_text(void **state)
{
	struct err e;

	assert_int_equal(err_set(&e, ENOENT, "%s: %5d|%-4u|%#llx|%zu|%.2s|%*d|%.*s|%c|%%", "a", -3, 7u, 0x1fffffffffull,
				 (size_t)9, "xyz", 4, 5, 3, "abcdef", 'c'),
			 -ENOENT);
	assert_string_equal(e.msg, "a:    -3|7   |0x1fffffffff|9|xy|   5|abc|c|%");
	assert_int_equal(e.code, ENOENT);
	assert_int_equal(err_sys(&e, EACCES, "cannot open %s", "x"), -EACCES);
	assert_string_equal(e.msg, "cannot open x: Permission denied");
	assert_int_equal(err_prefix(&e, "--%s", "disk"), -EACCES);
	assert_string_equal(e.msg, "--disk: cannot open x: Permission denied");
	err_set(&e, EINVAL, "%s: %s", "path", MSG("it is too short"));
	assert_string_equal(e.msg, "path: it is too short");
	/* Nobody asks for the text. */
	assert_int_equal(err_set(NULL, EINVAL, "%d", 1), -EINVAL);
	assert_int_equal(err_prefix(NULL, "x"), -EIO);
}

/* What a message quotes may be anybody's: no format of theirs is carried out, no control character leaves. */
static void test_quoted(void **state)
{
	struct err e;

	err_set(&e, EINVAL, "%s", "%s%n%d\033[31m");
	assert_string_equal(e.msg, "%s%n%d?[31m");
	assert_string_equal(err_local(&e), e.msg);
	err_begin(&e, EINVAL);
	err_add(&e, ERR_FORMAT, "%n %s %5$s %9999999999d %");
	err_add(&e, ERR_ARG, "one");
	err_end(&e);
	assert_string_equal(e.msg, "? ? ? ? ?");
}

static void test_long(void **state)
{
	static char path[5000];
	struct err e;

	memset(path, 'x', sizeof(path) - 1);
	err_set(&e, ENOENT, "%s: %s: %s: %s", path, path, path, path);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	for (int i = 0; i < 20; i++)
		err_prefix(&e, "%s: %d", path, i);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	assert_true(e.used <= sizeof(e.items));
	/* Cut between characters. */
	for (size_t i = 0; i + 3 < sizeof(path); i += 3)
		memcpy(path + i, "각", 3);
	err_set(&e, ENOENT, "%s%s", path, path);
	assert_int_equal(strlen(e.msg) % 3, 0);
	err_set(&e, ENOENT, "a%s%s", path, path);
	assert_int_equal(strlen(e.msg) % 3, 1);
}

static void test_items(void **state)
{
	static const struct err_item want[] = {
		{ ERR_FORMAT, "restore" }, { ERR_FORMAT, "%s %u: %s" }, { ERR_ARG, "pci" },
		{ ERR_ARG, "3" },          { ERR_PHRASE, "no" },        { ERR_ERRNO, "2" },
	};
	struct err_item it;
	struct err e;
	size_t at = 0;

	err_sys(&e, ENOENT, "%s %u: %s", "pci", 3u, MSG("no"));
	err_prefix(&e, "restore");
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_true(err_next(&e, &at, &it));
		assert_int_equal(it.kind, want[i].kind);
		assert_string_equal(it.text, want[i].text);
	}
	assert_false(err_next(&e, &at, &it));
}

static void test_names(void **state)
{
	struct err e;

	err_set(&e, ENOSPC, "x");
	assert_string_equal(err_name(&e), "no-space");
	err_set(&e, ELIBACC, "x");
	assert_string_equal(err_name(&e), "failed");
	assert_int_equal(err_named(&e, "too-many-clients"), -ELIBACC);
	assert_string_equal(err_name(&e), "too-many-clients");
	err_prefix(&e, "y");
	assert_string_equal(err_name(&e), "too-many-clients");
	err_set(&e, ENOENT, "z");
	assert_string_equal(err_name(&e), "not-found");
	/* The C library's words, whose translations may be there. */
	for (int code = 1; code < 134; code++)
		if (strerrordesc_np(code))
			assert_string_equal(err_errno_text(code), strerrordesc_np(code));
}

static void test_wire(void **state)
{
	static const char no_end[] = "\2\0\0\0\0\1abc", bad_kind[] = "\2\0\0\0\0\7abc";
	u8 buf[ERR_WIRE_BYTES];
	struct err e, got;

	err_sys(&e, ENOENT, "%s: %s", "x", MSG("it is too short"));
	err_named(&e, "too-long");
	err_prefix(&e, "restore");
	size_t n = err_pack(&e, buf);
	assert_int_equal(err_unpack(&got, buf, n), -ENOENT);
	assert_string_equal(got.msg, "restore: x: it is too short: No such file or directory");
	assert_string_equal(err_name(&got), "too-long");
	assert_memory_equal(got.items, e.items, e.used);
	/* Cut anywhere, or nonsense: an error of some kind, never a crash. */
	for (size_t i = 0; i < n; i++)
		assert_true(err_unpack(&got, buf, i) < 0 && got.code > 0);
	assert_int_equal(err_unpack(&got, no_end, sizeof(no_end) - 1), -EPROTO);
	assert_int_equal(err_unpack(&got, bad_kind, sizeof(bad_kind)), -EPROTO);
	assert_int_equal(err_unpack(&got, "\0\0\0\0", 5), -EPROTO);
	memset(buf, 'x', sizeof(buf));
	assert_int_equal(err_unpack(&got, buf, sizeof(buf)), -EPROTO);
}

/* Reordered, nested, with the text of the errno: no word of English. */
static void test_korean(void **state)
{
	struct err e;

	setenv("LC_ALL", "C.UTF-8", 1);
	setenv("LANGUAGE", "ko", 1);
	i18n_init();
	err_sys(&e, ENOENT, "cannot open %s %s", MSG("kernel"), "/k");
	assert_string_equal(e.msg, "cannot open kernel /k: No such file or directory");
	assert_string_equal(err_local(&e), "커널 /k을(를) 열 수 없습니다: 그런 파일이나 디렉터리가 없습니다");
	err_set(&e, EINVAL, "the VM was saved with %u CPUs, not %u", 1u, 2u);
	assert_string_equal(err_local(&e), "VM은 CPU 2개가 아니라 1개로 저장되었습니다");
	err_set(&e, EINVAL, "%s", "");
	assert_string_equal(err_local(&e), "");
	err_set(&e, EINVAL, "%s", "kernel"); /* somebody's file */
	assert_string_equal(err_local(&e), "kernel");
}

static void test_program(void **state)
{
	char path[4096], dir[4096];
	struct err e;

	unsetenv("MICA_HELPER_DIR");
	assert_int_equal(program_dir(dir, sizeof(dir)), 0);
	assert_int_equal(program_find(path, sizeof(path), "test_err", &e), 0);
	assert_memory_equal(path, dir, strlen(dir));
	assert_int_equal(program_find(path, sizeof(path), "no-such", &e), -ENOENT);
	assert_non_null(strstr(e.msg, "cannot find the program no-such in "));
	setenv("MICA_HELPER_DIR", "/nowhere", 1);
	assert_int_equal(program_find(path, sizeof(path), "test_err", &e), -ENOENT);
	assert_string_equal(e.msg, "there is no program test_err in /nowhere, which MICA_HELPER_DIR names");
	unsetenv("MICA_HELPER_DIR");
	assert_int_equal(program_find(path, 10, "test_err", &e), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),    cmocka_unit_test(test_quoted), cmocka_unit_test(test_long),
		cmocka_unit_test(test_items),   cmocka_unit_test(test_names),  cmocka_unit_test(test_korean),
		cmocka_unit_test(test_program), cmocka_unit_test(test_wire),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
