/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_boot_files.c - which file is handed out for which path, and what is said of what is no file. */
#include "vmm/boot_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

static char dir[64];

static int up(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/mica-boot-files-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return 0;
}

static int down(void **state)
{
	auto_free char *rm = xasprintf("rm -r %s", dir);
	return system(rm);
}

/* A file in dir that holds its own name. */
static char *make(const char *name)
{
	char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, name, strlen(name)), strlen(name));
	close(fd);
	return path;
}

static void expect(struct boot_files *f, const char *path, const char *content)
{
	char got[32] = { 0 };
	int fd = boot_files_hand_out(f, path);

	if (!content) {
		assert_int_equal(fd, -ENOENT);
		return;
	}
	assert_true(fd >= 0);
	assert_true(read(fd, got, sizeof(got) - 1) > 0);
	assert_string_equal(got, content);
	close(fd);
}

/* Names that are beginnings of one another, with and without the blank that ends a module's name. */
static void test_exact_names(void **state)
{
	auto_free char *kernel = make("my kernel"), *initrd = make("my"), *module = make("mo"), *other = make("mod");
	auto_free char *args = xasprintf("%s a b", module), *more = xasprintf("%s", other);
	char *modules[] = { args, more };
	struct vmm_config c = { .kernel = kernel, .initrd = initrd, .modules = modules, .nmodules = 2 };
	struct boot_files f = { 0 };
	struct err e;

	assert_int_equal(boot_files_open(&f, &c, &e), 0);
	for (unsigned again = 0; again < 2; again++) {
		expect(&f, kernel, "my kernel");
		expect(&f, initrd, "my");
		expect(&f, module, "mo");
		expect(&f, other, "mod");
	}
	expect(&f, args, NULL);
	expect(&f, dir, NULL);
	boot_files_close(&f);
}

static void refused(const char *kernel, const char *initrd, const char *module, const char *message)
{
	char *modules[] = { (char *)(uintptr_t)module };
	struct vmm_config c = { .kernel = (char *)(uintptr_t)kernel,
				.initrd = (char *)(uintptr_t)initrd,
				.modules = modules,
				.nmodules = module ? 1 : 0 };
	struct boot_files f = { 0 };
	struct err e = { 0 };

	assert_true(boot_files_open(&f, &c, &e) < 0);
	assert_string_equal(e.msg, message);
	boot_files_close(&f);
}

static void test_messages(void **state)
{
	auto_free char *good = make("good"), *none = xasprintf("%s/none", dir);
	auto_free char *fifo = xasprintf("%s/fifo", dir), *void_file = xasprintf("%s/void", dir);
	auto_free char *is_dir = xasprintf("--kernel: %s is a directory; name the file in it", dir);
	auto_free char *is_none = xasprintf("--initrd: %s: cannot open it: No such file or directory", none);
	auto_free char *is_fifo = xasprintf("--kernel: %s is a pipe, which can be read only once, and a guest may boot "
					    "again; write it to a file first",
					    fifo);
	auto_free char *is_void = xasprintf("--module: %s is empty; was it downloaded or built completely?", void_file);
	auto_free char *module = xasprintf("%s with words", void_file);

	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(close(open(void_file, O_WRONLY | O_CREAT, 0600)), 0);
	refused(dir, NULL, NULL, is_dir);
	refused(good, none, NULL, is_none);
	refused(fifo, NULL, NULL, is_fifo); /* and does not wait for a writer */
	refused(good, NULL, module, is_void);
	refused("/dev/null", NULL, NULL, "--kernel: /dev/null is a device or a socket; a regular file is needed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_exact_names, up, down),
		cmocka_unit_test_setup_teardown(test_messages, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
