/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * net_user.c - start the user network (mica-net, which starts mica-slirp) and learn whether it works.
 *
 * The helpers get their end of the socket as fd 3; what is said on it first is net.h's.
 */
#include "net/net.h"
#include "base/log.h"
#include "base/process.h"
#include "base/program_path.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define START_TIMEOUT_MS 20000
#define SOCKET_BYTES (1 << 20) /* asked for; the kernel gives what wmem_max allows */

static int spawn(pid_t *pid, const char *path, char *const argv[], int fd)
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
	posix_spawn_file_actions_adddup2(&fa, fd, NET_FRAMES_FD);
	posix_spawn_file_actions_addclosefrom_np(&fa, NET_FRAMES_FD + 1);
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

int net_user_start(struct net_backend *b, const struct net_hostfwd *fwd, unsigned nfwd,
		   const struct net_user_boot *boot, struct err *e)
{
	auto_close int ours = -1, theirs = -1;
	char path[4200];
	int sv[2], bytes = SOCKET_BYTES, r;
	pid_t pid;

	r = program_find(path, sizeof(path), "mica-net", e);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(e, errno, "cannot make the user network's socket");
	ours = sv[0];
	theirs = sv[1];
	setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	setsockopt(theirs, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));

	unsigned n = 0;
	char **argv = xcalloc(nfwd + 5, sizeof(*argv));
	argv[n++] = xstrdup("mica-net");
	if (log_level >= LOG_LVL_DEBUG)
		argv[n++] = xstrdup("--debug");
	if (boot && boot->tftp)
		argv[n++] = xasprintf("--tftp=%s", boot->tftp);
	if (boot && boot->bootfile)
		argv[n++] = xasprintf("--bootfile=%s", boot->bootfile);
	for (unsigned i = 0; i < nfwd; i++)
		argv[n++] = xasprintf("%s:%s:%u-:%u", fwd[i].udp ? "udp" : "tcp", fwd[i].host_addr, fwd[i].host_port,
				      fwd[i].guest_port);
	r = spawn(&pid, path, argv, theirs);
	while (n)
		free(argv[--n]);
	free(argv);
	if (r < 0)
		return err_sys(e, -r, "cannot start %s", path);
	close(steal_fd(&theirs));
	r = net_backend_open(b, ours, START_TIMEOUT_MS, e);
	if (r < 0) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return err_prefix(e, "the user network");
	}
	steal_fd(&ours);
	b->pid = pid;
	return 0;
}
