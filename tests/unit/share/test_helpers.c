/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_helpers.c - mica-share and mica-vsock as mica-vmm starts them: they work, are locked in, say why they cannot
 * begin, and end with their socket. */
#include "base/base.h"
#include "base/clock.h"
#include "share/share.h"
#include "vsock/vsock.h"

#include <dirent.h>
#include <linux/fuse.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

static char dir[64];

static int up(void **state)
{
	strcpy(dir, "/tmp/mica-helpers-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int down(void **state)
{
	auto_free char *line = xasprintf("rm -rf %s", dir);

	return system(line);
}

/* A field of /proc/PID/status. */
static unsigned long long status_of(pid_t pid, const char *field)
{
	auto_free char *path = xasprintf("/proc/%d/status", pid);
	auto_fclose FILE *f = fopen(path, "r");
	char line[256];
	size_t n = strlen(field);

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, n) && line[n] == ':')
			return strtoull(line + n + 1, NULL, strncmp(field, "Cap", 3) ? 10 : 16);
	return ~0ull;
}

/* Our child of that name. */
static pid_t child(const char *name)
{
	DIR *d = opendir("/proc");
	pid_t found = 0;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		auto_free char *path = xasprintf("/proc/%s/comm", e->d_name);
		pid_t pid = (pid_t)atoi(e->d_name);
		auto_fclose FILE *f = pid ? fopen(path, "r") : NULL;
		char comm[32] = "";
		if (f && fgets(comm, sizeof(comm), f) && !strncmp(comm, name, strlen(name)) &&
		    status_of(pid, "PPid") == (unsigned long long)getpid())
			found = pid;
	}
	closedir(d);
	return found;
}

static void expect_locked_in(const char *name)
{
	pid_t pid = child(name);

	assert_true(pid > 0);
	assert_int_equal(status_of(pid, "Seccomp"), 2);
	assert_int_equal(status_of(pid, "NoNewPrivs"), 1);
	assert_int_equal(status_of(pid, "CapEff"), 0);
	assert_int_equal(status_of(pid, "CapPrm"), 0);
}

static ssize_t answer(int fd, void *buf, size_t n)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 20000), 1);
	return recv(fd, buf, n, 0);
}

static void expect_end(int fd)
{
	int status;

	close(fd);
	assert_true(wait(&status) > 0);
#ifndef __SANITIZE_ADDRESS__ /* its look for leaks at the end is stopped by the filter */
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#endif
}

static void share(void **state)
{
	struct {
		struct share_msg m;
		struct fuse_in_header h;
		char name[8];
	} q = { .m = { .kind = SHARE_FUSE, .ticket = 5, .room = 4096 },
		.h = { .opcode = FUSE_LOOKUP, .nodeid = FUSE_ROOT_ID, .unique = 9 } };
	struct {
		struct share_msg m;
		struct fuse_out_header h;
		struct fuse_entry_out entry;
	} a;
	struct err e;
	auto_free char *file = xasprintf("%s/f", dir);
	int fd;

	assert_int_equal(mkdir(file, 0700), 0);
	fd = share_start(dir, false, &e);
	if (fd < 0 && strstr(e.msg, "user namespaces"))
		skip();
	assert_true(fd >= 0);
	expect_locked_in("mica-share");
	for (unsigned i = 0; i < 3; i++) {
		static const char *const names[] = { "f", "etc", ".." };
		static const int errors[] = { 0, -ENOENT, -EINVAL };
		strcpy(q.name, names[i]);
		assert_int_equal(send(fd, &q, sizeof(q.m) + sizeof(q.h) + strlen(q.name) + 1, 0) > 0, 1);
		assert_true(answer(fd, &a, sizeof(a)) >= (ssize_t)(sizeof(a.m) + sizeof(a.h)));
		assert_true(a.m.ticket == 5 && a.h.unique == 9);
		assert_int_equal(a.h.error, errors[i]);
	}
	expect_end(fd);
	auto_free char *none = xasprintf("%s/none", dir);
	assert_true(share_start(none, false, &e) < 0);
	assert_non_null(strstr(e.msg, "none: No such file"));
}

static void vsock(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	auto_free char *path = xasprintf("%s/v", dir);
	struct vsock_ask ask = { .port = 5, .ticket = 77 };
	char ctl[CMSG_SPACE(sizeof(int))];
	struct vsock_answer a;
	struct iovec iov = { &a, sizeof(a) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof(ctl) };
	struct err e;
	int l = socket(AF_UNIX, SOCK_STREAM, 0), got, fd;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s_5", path);
	assert_int_equal(bind(l, (struct sockaddr *)&sa, sizeof(sa)) | listen(l, 1), 0);
	fd = vsock_start(path, &e);
	assert_true(fd >= 0);
	expect_locked_in("mica-vsock");
	send(fd, &ask, sizeof(ask), 0);
	assert_int_equal(recvmsg(fd, &m, 0), sizeof(a));
	assert_true(a.ticket == 77 && a.error == 0);
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(got));
	int c = accept(l, NULL, NULL);
	assert_int_equal(write(got, "hi", 2), 2);
	assert_int_equal(read(c, ctl, 2), 2);
	close(got);
	close(c);
	close(l);
	ask.port = 6;
	send(fd, &ask, sizeof(ask), 0);
	assert_int_equal(answer(fd, &a, sizeof(a)), sizeof(a));
	assert_int_equal(a.error, ENOENT);
	expect_end(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(share, up, down),
					    cmocka_unit_test_setup_teardown(vsock, up, down) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
