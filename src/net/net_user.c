/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * net_user.c - start the user network (mica-net, which starts mica-slirp) and learn whether it works.
 *
 * The helpers get their end of the socket as fd 3; what is said on it first is net.h's.
 */
#include "net/net.h"
#include "base/helper.h"
#include "base/log.h"
#include "base/program_path.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

_Static_assert(NET_FRAMES_FD == HELPER_FD, "what helper_spawn() gives it");

#define START_TIMEOUT_MS 20000
#define SOCKET_BYTES (1 << 20) /* asked for; the kernel gives what wmem_max allows */

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
	r = helper_spawn(&pid, path, argv, theirs, NULL, 0, e);
	while (n)
		free(argv[--n]);
	free(argv);
	if (r < 0)
		return r;
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
