/* SPDX-License-Identifier: GPL-2.0-or-later */
/* helper.c - see helper.h. */
#include "base/helper.h"
#include "base/err_wire.h"
#include "base/i18n.h"
#include "base/namespaces.h"
#include "base/process.h"
#include "base/program_path.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define START_TIMEOUT_MS 20000

/* ---- starting one ---- */

static int spawn(pid_t *pid, const char *path, char *const argv[], const int *fds, unsigned n)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&at);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
	for (unsigned i = 0; i < n; i++)
		posix_spawn_file_actions_adddup2(&fa, fds[i], HELPER_FD + (int)i);
	posix_spawn_file_actions_addclosefrom_np(&fa, HELPER_FD + (int)n);
	/* A session of its own: Ctrl-C at the terminal is not for it. */
	posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&at, &none);
	posix_spawnattr_setsigdefault(&at, &all);
	auto_free char **env = process_environment();
	r = posix_spawn(pid, path, &fa, &at, argv, env);
	posix_spawnattr_destroy(&at);
	posix_spawn_file_actions_destroy(&fa);
	return -r;
}

int helper_spawn(pid_t *pid, const char *path, char *const argv[], int theirs, const int *extra, unsigned n,
		 struct err *e)
{
	int fds[1 + HELPER_EXTRA_MAX], r = 0;

	must(n <= HELPER_EXTRA_MAX);
	/* Above those that it gets: dup2() one after the other overwrites none that is still to come. */
	for (unsigned i = 0; i <= n; i++) {
		fds[i] = fcntl(i ? extra[i - 1] : theirs, F_DUPFD_CLOEXEC, HELPER_FD + 1 + HELPER_EXTRA_MAX);
		if (fds[i] < 0)
			r = err_sys(e, errno, "cannot start %s", path);
	}
	if (r == 0 && (r = spawn(pid, path, argv, fds, n + 1)) < 0)
		err_sys(e, -r, "cannot start %s", path);
	for (unsigned i = 0; i <= n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return r;
}

/* Nothing but its version: it works; else an error. */
static int await_hello(int fd, const char *name, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	u8 buf[ERR_WIRE_BYTES];
	int r;

	do
		r = poll(&p, 1, START_TIMEOUT_MS);
	while (r < 0 && errno == EINTR);
	ssize_t n = r > 0 ? recv(fd, buf, sizeof(buf), MSG_DONTWAIT) : -1;
	if (n <= 0)
		return err_set(e, EPIPE, "%s ended before it was ready", name);
	if (n == sizeof(MICA_VERSION) && !memcmp(buf, MICA_VERSION, sizeof(MICA_VERSION)))
		return 0;
	return err_unpack(e, buf, (size_t)n);
}

int helper_start(char *const argv[], const int *extra, unsigned n, struct err *e)
{
	char path[4200];
	int sv[2];
	pid_t pid;
	int r = program_find(path, sizeof(path), argv[0], e);

	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(e, errno, "cannot make a socket pair");
	auto_close int ours = sv[0], theirs = sv[1];
	if ((r = helper_spawn(&pid, path, argv, theirs, extra, n, e)) < 0)
		return r;
	close(steal_fd(&theirs));
	if ((r = await_hello(ours, argv[0], e)) < 0) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return r;
	}
	return steal_fd(&ours);
}

/* ---- in the helper ---- */

void helper_begin(const char *name, unsigned nextra)
{
	int keep[1 + HELPER_EXTRA_MAX], type;
	socklen_t len = sizeof(type);
	struct rlimit nothing = { 0, 0 };

	i18n_init();
	if (getsockopt(HELPER_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
		fprintf(stderr, _("%s: a part of mica, started by it; there is nothing to run here\n"), name);
		exit(2);
	}
	for (unsigned i = 0; i <= nextra; i++)
		keep[i] = HELPER_FD + (int)i;
	process_alone(keep, nextra + 1);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &nothing);
}

void helper_hello(const struct err *e)
{
	u8 buf[ERR_WIRE_BYTES];

	if (!e) {
		if (send(HELPER_FD, MICA_VERSION, sizeof(MICA_VERSION), MSG_NOSIGNAL) < 0)
			_exit(1);
		return;
	}
	send(HELPER_FD, buf, err_pack(e, buf), MSG_NOSIGNAL);
	_exit(1);
}

/* A mount of its own: from a descriptor of it no ".." leads anywhere. */
static int open_self(void)
{
	if (mount("/proc/self/fd", "/proc", NULL, MS_BIND, NULL) < 0)
		return -errno;
	int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int root_at(const char *dir, bool readonly)
{
	struct mount_attr a = { .attr_set =
				    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (readonly ? (u64)MOUNT_ATTR_RDONLY : 0) };

	/* Of a mount that we did not make only the whole tree may be taken along. */
	if (mount(dir, dir, NULL, MS_BIND | MS_REC, NULL) < 0 || chdir(dir) < 0 ||
	    syscall(SYS_mount_setattr, AT_FDCWD, ".", AT_RECURSIVE, &a, sizeof(a)) < 0 ||
	    syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

int helper_confine(const char *dir, bool readonly, int *self, struct err *e)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };
	int r = namespaces_enter(false);

	if (r < 0)
		return err_set(e, EPERM,
			       "this host has no user namespaces for everybody (%s), and without them nothing would "
			       "keep a process within %s",
			       strerror(-r), dir);
	auto_free char *real = realpath(dir, NULL); /* before /proc is something else */
	if (!real)
		return err_sys(e, errno, "%s", dir);
	if (self && (r = *self = open_self()) < 0)
		return err_sys(e, -r, "cannot keep a process within %s", dir);
	r = root_at(real, readonly);
	if (r == 0 && syscall(SYS_capset, &h, none) < 0)
		r = -errno;
	if (r < 0)
		return err_sys(e, -r, "cannot keep a process within %s", dir);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* A change of credentials clears it, so not before. The socket's end says the same, later. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	return 0;
}
