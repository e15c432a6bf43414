/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_sandbox.c - what the sandbox refuses, and what it still lets through; each in a child of its own. */
#include "vmm/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int null_fd = -1;

/* Run fn in the sandbox; wait status of the child. */
static int in_sandbox(int (*fn)(void))
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct err e;
		sandbox_malloc();
		sandbox_isolate();
		if (sandbox_lock(&e) < 0)
			_exit(99);
		_exit(fn());
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int try_open(void)
{
	return open("/etc/passwd", O_RDONLY) >= 0;
}
static int try_exec(void)
{
	char *argv[] = { (char *)(uintptr_t) "/bin/true", NULL };
	return execv(argv[0], argv);
}
static int try_fork(void)
{
	return fork() < 0;
}
static int try_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}
static int try_connect(void)
{
	struct sockaddr sa = { .sa_family = AF_UNSPEC };
	return connect(null_fd, &sa, sizeof(sa));
}
static int try_mmap_exec(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}
static int try_mprotect_exec(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? 98 : mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0;
}
static int try_ptrace(void)
{
	return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
static int try_kill_parent(void)
{
	return kill(getppid(), 0);
}
static int try_tgkill_parent(void)
{
	return (int)syscall(SYS_tgkill, 1, 1, 0);
}
static int try_stat(void)
{
	struct stat st;
	return stat("/", &st);
}
static int try_uring_setup(void)
{
	return (int)syscall(SYS_io_uring_setup, 4, NULL);
}
static int try_prctl(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
static int try_ioctl(void)
{
	return (int)syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x");
}
static int try_i386(void)
{
	long r;
	/* getpid through the 32-bit entry: another architecture's numbers must not slip by. */
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20l) : "memory", "r8", "r9", "r10", "r11");
	return (int)r & 1;
}

static const struct {
	const char *name;
	int (*fn)(void);
} refused[] = {
	{ "open", try_open },
	{ "execve", try_exec },
	{ "fork", try_fork },
	{ "socket", try_socket },
	{ "connect", try_connect },
	{ "mmap PROT_EXEC", try_mmap_exec },
	{ "mprotect PROT_EXEC", try_mprotect_exec },
	{ "ptrace", try_ptrace },
	{ "kill", try_kill_parent },
	{ "tgkill of another process", try_tgkill_parent },
	{ "stat by path", try_stat },
	{ "io_uring_setup", try_uring_setup },
	{ "prctl", try_prctl },
	{ "ioctl", try_ioctl },
	{ "32-bit system call", try_i386 },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		int status = in_sandbox(refused[i].fn);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("%s was not stopped (wait status %#x)", refused[i].name, status);
	}
}

/* What the VMM's threads live from. */
static int work(void)
{
	static char big[300000];
	char c;

	for (size_t n = 1; n < 64u << 20; n *= 3) {
		void *p = malloc(n), *q;
		if (!p || !(q = realloc(p, n * 2)))
			return 1;
		free(q);
	}
	if (write(null_fd, big, sizeof(big)) != sizeof(big) || read(null_fd, &c, 1) != 0)
		return 2;
	struct timespec ts = { 0, 1000000 };
	if (nanosleep(&ts, NULL) || fprintf(stderr, "%s", "") < 0 || strerror(EBADF) == NULL)
		return 3;
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
		return 4;
	return 0;
}

static void test_allowed(void **state)
{
	(void)state;
	assert_int_equal(in_sandbox(work), 0);
}

/* A thread that was there before gives much memory back after the lock. */
static int start_fd[2];
static void *give_back(void *arg)
{
	static void *p[64];
	char c;

	(void)arg;
	void *first = malloc(1000); /* its arena, if it has one */
	if (read(start_fd[0], &c, 1) != 1)
		return (void *)1;
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		p[i] = malloc(100000);
	for (size_t i = ARRAY_LEN(p); i--;)
		free(p[i]);
	free(first);
	return NULL;
}

static void test_malloc_of_threads(void **state)
{
	assert_int_equal(pipe(start_fd), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		pthread_t t;
		void *failed;
		sandbox_malloc();
		sandbox_isolate();
		if (pthread_create(&t, NULL, give_back, NULL))
			_exit(99);
		usleep(10000);
		if (sandbox_lock(NULL) < 0 || write(start_fd[1], "x", 1) != 1 || pthread_join(t, &failed) || failed)
			_exit(98);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* A thread started before the lock is under it too. */
static int go[2];
static void *late_open(void *arg)
{
	char c;
	(void)arg;
	if (read(go[0], &c, 1) == 1)
		open("/etc/passwd", O_RDONLY);
	return NULL;
}

static void test_all_threads(void **state)
{
	(void)state;
	assert_int_equal(pipe(go), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		pthread_t t;
		sandbox_isolate();
		if (pthread_create(&t, NULL, late_open, NULL) || sandbox_lock(NULL) < 0)
			_exit(99);
		if (write(go[1], "x", 1) != 1)
			_exit(98);
		pthread_join(t, NULL);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

/* Isolation without the filter: what is left to see. */
static void test_isolated(void **state)
{
	(void)state;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit r;
		sandbox_isolate();
		if (access("/etc", F_OK) == 0 || access("/proc/self", F_OK) == 0)
			_exit(1);
		if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
			_exit(2);
		if (getrlimit(RLIMIT_CORE, &r) || r.rlim_max != 0)
			_exit(3);
		if (prctl(PR_CAPBSET_READ, 0, 0, 0, 0) != 0 || chroot("/") == 0)
			_exit(4);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 1 && geteuid() != 0) {
		print_message("this host has no user namespaces: the root directory stays\n");
		skip();
	}
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),           cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_malloc_of_threads), cmocka_unit_test(test_all_threads),
		cmocka_unit_test(test_isolated),
	};
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
