/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_process.c - what a process keeps of what it was started with. tests/cli/test_vm.py sees it of the real ones. */
#include "base/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool is_null(int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat("/dev/null", &b) == 0 && a.st_rdev == b.st_rdev;
}

static int alone(void)
{
	struct rlimit r;
	struct sigaction sa;
	sigset_t set;

	for (int fd = 3; fd < 60; fd++)
		dup2(2, fd);
	dup2(2, 900);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	umask(0);
	process_alone((const int[]){ 50, -1, 7, 8, 7 }, 5);
	for (int fd = 3; fd < 1000; fd++)
		if ((fcntl(fd, F_GETFD) >= 0) != (fd == 7 || fd == 8 || fd == 50))
			return 1;
	if (!is_null(0) || !is_null(1) || fcntl(2, F_GETFD) < 0)
		return 2;
	if (sigaction(SIGHUP, NULL, &sa) || sa.sa_handler != SIG_DFL)
		return 3;
	if (sigprocmask(SIG_BLOCK, NULL, &set) || sigismember(&set, SIGTERM))
		return 4;
	if (umask(0) != 077 || getrlimit(RLIMIT_CORE, &r) || r.rlim_max)
		return 5;
	return getsid(0) == getpid() ? 0 : 6;
}

/* Standard output may be what was given. */
static int keeps_stdout(void)
{
	int fd = open("/", O_RDONLY | O_PATH);

	dup2(fd, 1);
	process_alone((const int[]){ 1 }, 1);
	return !(is_null(0) && !is_null(1) && fcntl(3, F_GETFD) < 0);
}

static int closed(void)
{
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	process_std_fds();
	if (!is_null(0) || !is_null(1) || !is_null(2))
		return 1;
	return fcntl(3, F_GETFD) >= 0; /* cmocka has nothing open */
}

static void test_alone(void **state)
{
	(void)state;
	assert_int_equal(in_child(alone), 0);
	assert_int_equal(in_child(keeps_stdout), 0);
}

static void test_std_fds(void **state)
{
	(void)state;
	for (int fd = 3; fd < 20; fd++) /* the test runner's */
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (fcntl(3, F_GETFD) >= 0)
		close(3);
	assert_int_equal(in_child(closed), 0);
}

static void test_environment(void **state)
{
	(void)state;
	clearenv();
	setenv("LANG", "ko_KR.UTF-8", 1);
	setenv("LC_MESSAGES", "C", 1);
	setenv("MICA_HELPER_DIR", "/x", 1);
	setenv("LANGX", "no", 1);
	setenv("LD_PRELOAD", "no", 1);
	setenv("AWS_SECRET", "no", 1);
	setenv("LD_LIBRARY_PATH", "/lib", 1);
	setenv("LC", "no", 1);
	char **env = process_environment();
	size_t n = 0;
	for (; env[n]; n++)
		assert_null(strstr(env[n], "=no"));
	assert_int_equal(n, 4);
	free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_std_fds),
		cmocka_unit_test(test_environment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
