/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_slirp_tftp.c - files by TFTP: those of the folder, and none beside it, however they are asked for. */
#include "slirp_wire.h"

#include <sys/stat.h>

#define RRQ 1 /* RFC 1350, 5 */
#define DATA 3
#define ERROR 5

static char top[] = "/tmp/mica-tftp-XXXXXX";

static void put_file(const char *name, const char *text)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* top/given is the folder; top/secret lies beside it. */
static int set_up(void **state)
{
	char path[200];

	(void)state;
	assert_non_null(mkdtemp(top));
	assert_int_equal(chdir(top), 0);
	assert_int_equal(mkdir("given", 0700), 0);
	assert_int_equal(mkdir("given/sub", 0700), 0);
	put_file("secret", "secret");
	put_file("given/a", "this is a");
	put_file("given/sub/b", "this is b");
	assert_int_equal(symlink("sub/b", "given/inside"), 0);
	assert_int_equal(symlink("../secret", "given/outside"), 0);
	snprintf(path, sizeof(path), "%s/secret", top);
	assert_int_equal(symlink(path, "given/absolute"), 0);
	assert_int_equal(symlink("..", "given/up"), 0);
	assert_int_equal(mkfifo("given/fifo", 0600), 0);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "given/sub/b",   "given/sub",      "given/a",  "given/inside",
					     "given/outside", "given/absolute", "given/up", "given/fifo",
					     "given",         "secret" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		remove(names[i]);
	return rmdir(top);
}

/* The opcode of the answer, which is in n->f + 42; its text is ended by a zero. */
static unsigned ask(struct net *n, unsigned port, const char *name)
{
	u8 f[600] = { 0 };
	size_t len = 0;
	u8 *p = f + 42;

	put16(p, RRQ);
	len = 2 + strlen(name) + 1;
	memcpy(p + 2, name, strlen(name));
	memcpy(p + len, "octet", 6);
	len += 6;
	put16(f + 34, port);
	put16(f + 36, 69);
	put16(f + 38, (unsigned)(8 + len));
	ip_send(n, f, 17, IP_GUEST, IP_HOST, 8 + len);
	ip_recv(n, 17);
	assert_int_equal(get16(n->f + 36), port);
	n->f[34 + get16(n->f + 38)] = '\0';
	return get16(n->f + 42);
}

static void files(void **state)
{
	const struct net_user_boot boot = { .tftp = "given", .bootfile = "sub/b" };
	static const char *const none[] = {
		"outside",     "absolute", "up/secret", "fifo", "sub", "../secret",     "sub/../../secret",
		"/etc/passwd", "/tmp",     "given/a",   "",     "a/",  "proc/self/mem", "etc/resolv.conf"
	};
	struct net_backend b;
	struct err e;
	struct net *n = calloc(1, sizeof(*n));

	(void)state;
	if (net_user_start(&b, NULL, 0, &boot, &e) < 0)
		fail_msg("%s", e.msg);
	n->fd = b.fd;
	n->pid = b.pid;
	arp_gateway(n);
	for (unsigned round = 0; round < 30; round++) { /* more than there are sessions */
		assert_int_equal(ask(n, 2000 + 3 * round, "a"), DATA);
		assert_string_equal((char *)n->f + 46, "this is a");
		assert_int_equal(ask(n, 2001 + 3 * round, "/sub//b"), DATA);
		assert_string_equal((char *)n->f + 46, "this is b");
		assert_int_equal(ask(n, 2002 + 3 * round, "inside"), DATA);
		assert_string_equal((char *)n->f + 46, "this is b");
	}
	for (unsigned i = 0; i < ARRAY_LEN(none); i++)
		if (ask(n, 3000 + i, none[i]) != ERROR)
			fail_msg("'%s' was given", none[i]);
	end(n);
}

static void refused(void **state)
{
	const struct net_user_boot boot = { .tftp = "nowhere" };
	struct net_backend b;
	struct err e;

	(void)state;
	assert_int_equal(net_user_start(&b, NULL, 0, &boot, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "nowhere: cannot read it"));
}

/* Without a folder there is no file. */
static void off(void **state)
{
	struct net *n = start(NULL, 0);

	(void)state;
	assert_int_equal(ask(n, 2000, "a"), ERROR);
	assert_int_equal(ask(n, 2001, "/etc/resolv.conf"), ERROR);
	end(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(files), cmocka_unit_test(refused), cmocka_unit_test(off) };

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
