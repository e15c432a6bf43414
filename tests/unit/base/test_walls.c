/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_walls.c - behind the walls (walls.h) what is open goes on, and nothing else can be had. */
#include "base/walls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define PUT_FAILED 90
#define PIPE_FAILED 91

static bool no_file(void)
{
	return open("/", O_RDONLY) < 0 && errno == EPERM && open("/etc/passwd", O_RDONLY) < 0 && errno == EPERM;
}

static bool no_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0 && errno == EPERM && execl("/bin/true", "true", NULL) < 0 && errno == EPERM;
}

static bool no_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EPERM && socket(AF_INET, SOCK_STREAM, 0) < 0 &&
	       errno == EPERM;
}

static bool no_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0 || errno != EPERM)
		return false;
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
	       errno == EPERM;
}

static bool no_memory(void)
{
#ifdef __SANITIZE_ADDRESS__
	return true;
#else
	return mmap(NULL, 512 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM;
#endif
}

static bool (*const tries[])(void) = { no_file, no_process, no_socket, no_code, no_memory };

/* In a process of its own: 0, or which of `tries` got through, from 1 on. */
static int behind(const struct walls *w, int fd)
{
	char c;

	if (walls_put(w, NULL) < 0)
		return PUT_FAILED;
	if (write(fd, "x", 1) != 1 || read(fd, &c, 1) != 1)
		return PIPE_FAILED;
	for (size_t i = 0; i < ARRAY_LEN(tries); i++)
		if (!tries[i]())
			return (int)i + 1;
	return 0;
}

static int ended(const struct walls *w, int (*fn)(const struct walls *w, int fd))
{
	int sv[2], status;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(write(sv[1], "y", 1), 1);
	pid_t pid = fork();
	if (pid == 0)
		_exit(fn(w, sv[0]));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(sv[0]);
	close(sv[1]);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_nothing_else(void **state)
{
	const struct walls own = { .name = "test", .memory_bytes = 256 * MIB };
	struct walls hosts = own;

	hosts.host_network = true;
	assert_int_equal(ended(&own, behind), 0);
	assert_int_equal(ended(&hosts, behind), 0);
}

static int datagrams(void *f)
{
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_INET));
}

static int what_was_asked_for(const struct walls *w, int fd)
{
	if (walls_put(w, NULL) < 0)
		return PUT_FAILED;
	return socket(AF_INET, SOCK_DGRAM, 0) < 0 ? 1 : socket(AF_UNIX, SOCK_DGRAM, 0) >= 0 ? 2 : dup(fd) < 0 ? 3 : 0;
}

static void test_what_is_asked_for(void **state)
{
	static const int calls[] = { SCMP_SYS(dup) };
	const struct walls w = {
		.name = "test", .memory_bytes = 256 * MIB, .calls = calls, .ncalls = 1, .rules = datagrams
	};

	assert_int_equal(ended(&w, what_was_asked_for), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_else),
		cmocka_unit_test(test_what_is_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
