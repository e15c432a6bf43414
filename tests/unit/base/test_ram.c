/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_ram.c - guest RAM: loading in large pieces, giving back; as root, as nobody, and where the host allows no tmpfs.
 */
#include "base/ram.h"

#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <cmocka.h>

#define RAM_BYTES (64 * MIB)
#define AT (16 * MIB)
#define IMAGE_BYTES (4 * MIB + 12345)

static u8 pattern(u64 i)
{
	return (u8)(i * 7 + (i >> 12));
}

static u64 used(const struct ram *r)
{
	struct stat st;

	must(fstat(r->memfd, &st) == 0);
	must((u64)st.st_size == r->capacity);
	return (u64)st.st_blocks * 512;
}

static void write_image(const struct ram *r, u64 at)
{
	u8 *image = malloc(IMAGE_BYTES);

	must(image);
	for (u64 i = 0; i < IMAGE_BYTES; i++)
		image[i] = pattern(i);
	must(pwrite(r->memfd, image, IMAGE_BYTES, (off_t)at) == IMAGE_BYTES);
	free(image);
}

static bool has_image(const struct ram *r, u64 at)
{
	for (u64 i = 0; i < IMAGE_BYTES; i++)
		if (r->host[at + i] != pattern(i))
			return false;
	return true;
}

static bool zeros(const struct ram *r, u64 from, u64 to)
{
	for (u64 i = from; i < to; i++)
		if (r->host[i])
			return false;
	return true;
}

/* Does the host give shared memory as it is touched, page by page? */
static bool by_pages(void)
{
	auto_fclose FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "re");
	char line[128] = "";

	return !f || !fgets(line, sizeof(line), f) || strstr(line, "[never]") || strstr(line, "[advise]");
}

/* Also run in children, so no asserts; expect_tmpfs: 0, 1, or -1 where the host decides. */
static void load(int expect_tmpfs)
{
	struct ram *r;
	struct err e;

	must(ram_new(&r, RAM_BYTES, &e) == 0);
	must(expect_tmpfs < 0 || expect_tmpfs == (r->tmpfs >= 0));
	r->host[0x400] = 1; /* what lies below stays */
	bool large = ram_load_begin(r, AT);
	must(large == (r->tmpfs >= 0));
	write_image(r, AT);
	if (large)
		ram_load_end(r);
	must(r->host[0x400] == 1 && has_image(r, AT));
	u64 most = ROUND_UP(IMAGE_BYTES, PAGE_BYTES) + PAGE_BYTES;
	must(used(r) <= most || !by_pages());

	/* Pages come one by one again. */
	r->host[40 * MIB] = 1;
	must(used(r) <= most + PAGE_BYTES || !by_pages());
	must(zeros(r, AT - MIB, AT) && zeros(r, AT + IMAGE_BYTES, AT + IMAGE_BYTES + MIB));

	/* Above something that is there already: refused, and it is still there. */
	must(!ram_load_begin(r, AT));
	must(!ram_load_begin(r, 40 * MIB) && r->host[40 * MIB] == 1);

	/* Giving back one page of a large piece. */
	must(ram_discard(r, AT + 3 * PAGE_BYTES, PAGE_BYTES) == 0);
	must(zeros(r, AT + 3 * PAGE_BYTES, AT + 4 * PAGE_BYTES));
	must(r->host[AT + 3 * PAGE_BYTES - 1] == pattern(3 * PAGE_BYTES - 1));
	must(r->host[AT + 4 * PAGE_BYTES] == pattern(4 * PAGE_BYTES));

	ram_settle(r);
	must(r->tmpfs < 0 && !ram_load_begin(r, 50 * MIB));
	write_image(r, 50 * MIB);
	must(has_image(r, 50 * MIB));
	ram_free(r);
}

static void in_child(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		fn();
		_exit(0);
	}
	assert_true(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void as_we_are(void **state)
{
	(void)state;
	load(-1);
}

static void nobody(void)
{
	must(geteuid() || (setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0));
	load(-1);
}

static void as_nobody(void **state)
{
	(void)state;
	in_child(nobody);
}

static void no_tmpfs(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	must(ctx && seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(fsopen), 0) == 0 && seccomp_load(ctx) == 0);
	load(0);
}

static void without_tmpfs(void **state)
{
	(void)state;
	in_child(no_tmpfs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_we_are),
		cmocka_unit_test(as_nobody),
		cmocka_unit_test(without_tmpfs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
