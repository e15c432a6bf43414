/* SPDX-License-Identifier: GPL-2.0-or-later */
/* process.c - see process.h. */
#include "base/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

void process_std_fds(void)
{
	int fd;

	/* The lowest free number is what open() gives. */
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd < STDERR_FILENO);
	if (fd < 0)
		_exit(1);
	if (fd > STDERR_FILENO)
		close(fd);
}

static bool kept(int fd, const int *keep, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (keep[i] == fd)
			return true;
	return false;
}

/* The lowest of keep that is fd or above; -1: none. */
static int next_kept(int fd, const int *keep, unsigned n)
{
	int low = -1;

	for (unsigned i = 0; i < n; i++)
		if (keep[i] >= fd && (low < 0 || keep[i] < low))
			low = keep[i];
	return low;
}

static void close_others(const int *keep, unsigned n)
{
	for (int fd = STDERR_FILENO + 1;;) {
		int next = next_kept(fd, keep, n);

		if (next < 0) {
			close_range((unsigned)fd, ~0u, 0);
			return;
		}
		if (next > fd)
			close_range((unsigned)fd, (unsigned)next - 1, 0);
		fd = next + 1;
	}
}

static void usual_signals(void)
{
	struct sigaction sa;
	sigset_t none;

	/* Handlers do not survive exec, so these are what somebody wanted ignored. */
	for (int s = 1; s <= SIGRTMAX; s++)
		if (sigaction(s, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
			signal(s, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void process_alone(const int *keep, unsigned n)
{
	struct rlimit no_core = { 0, 0 };

	process_std_fds();
	close_others(keep, n);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++)
		if (null >= 0 && !kept(fd, keep, n))
			dup2(null, fd);
	if (null >= 0)
		close(null);
	usual_signals();
	umask(077);
	setrlimit(RLIMIT_CORE, &no_core);
	setsid();
}

/* ---- the environment ---- */

/* Names; one that ends in '*' is a beginning. */
static const char *const wanted[] = {
	"LANG",
	"LANGUAGE",
	"LC_*",            /* messages */
	"TMPDIR",          /* where snapshot=on writes */
	"MICA_*",          /* our own */
	"LD_LIBRARY_PATH", /* libraries in a place of their own: ours need the same ones */
	"ASAN_OPTIONS",
	"UBSAN_OPTIONS",
	"LSAN_OPTIONS",
	"LLVM_PROFILE_FILE",
	"GCOV_PREFIX*", /* builds for tests */
};

static bool is_wanted(const char *var)
{
	size_t n = strcspn(var, "=");

	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		size_t w = strlen(wanted[i]);
		bool begins = wanted[i][w - 1] == '*';

		w -= begins;
		if ((begins ? n >= w : n == w) && !strncmp(var, wanted[i], w))
			return true;
	}
	return false;
}

char **process_environment(void)
{
	size_t n = 0, all = 0;

	while (environ && environ[all])
		all++;
	char **env = xcalloc(all + 1, sizeof(*env));
	for (size_t i = 0; i < all; i++)
		if (is_wanted(environ[i]))
			env[n++] = environ[i];
	return env;
}
