/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mica-net - keeps the user network of one VM going: starts mica-slirp and starts it again when it died.
 *
 * Theory: a guest can bring libslirp down (it has, by memory, by bugs), and mica-vmm cannot start processes any more.
 * So this process stands between them, with the rights of the user and nothing to attack: it holds the socket of frames
 * (fd 3) open, so that mica-vmm sees no end of it, but never reads from it. What mica-slirp was in the middle of is
 * lost as on a cut wire; frames that the guest sent meanwhile wait in the socket. Each mica-slirp is a new program, not
 * a fork: what a guest learned of the old one's addresses is worth nothing.
 *
 *   serving   mica-slirp runs. It died: NET_MSG_DOWN to mica-vmm, then waiting
 *   waiting   a while that doubles, so that a guest that kills it again and again costs little
 *
 * The end: the other end of fd 3 closes; mica-slirp sees that itself, sends on what it was given, and exits with 0. Or
 * the first mica-slirp finds a fault in what it was asked for (NET_EXIT_REFUSED; it told mica-vmm the text).
 */
#include "base/clock.h"
#include "base/i18n.h"
#include "base/log.h"
#include "base/process.h"
#include "base/program_path.h"
#include "net/net.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define WAIT_FIRST_MS 50
#define WAIT_MAX_MS 500           /* of one that was ready: back within a second, whatever happens how often */
#define WAIT_MAX_UNREADY_MS 10000 /* of one that does not come up */
#define GOOD_LIFE_NS (10 * NSEC_PER_SEC)
#define END_MS 2000

struct child {
	pid_t pid;
	int pidfd, ready; /* an eventfd that counts once it serves */
	u64 began_ns;
};

/* Has mica-vmm closed its end? */
static bool vmm_gone(int timeout_ms)
{
	struct pollfd p = { .fd = NET_FRAMES_FD };

	return poll(&p, 1, timeout_ms) > 0;
}

static int start(struct child *c, const char *path, char **argv)
{
	posix_spawn_file_actions_t fa;
	int r;

	*c = (struct child){ .pidfd = -1, .began_ns = clock_mono_ns() };
	c->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->ready < 0)
		return -errno;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, c->ready, NET_READY_FD);
	r = posix_spawn(&c->pid, path, &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	if (r == 0 && (c->pidfd = pidfd_open(c->pid, 0)) < 0) {
		r = errno;
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
	}
	if (r)
		close(c->ready);
	return -r;
}

/* Wait for its end; returns its wait status. Once mica-vmm is gone it has END_MS for what it was given. */
static int await_end(struct child *c, bool *was_ready)
{
	struct pollfd p[2] = { { .fd = c->pidfd, .events = POLLIN }, { .fd = NET_FRAMES_FD } };
	int status = 0, timeout = -1;
	u64 n;

	for (;;) {
		int r = poll(p, 2, timeout);
		if (r < 0 && errno == EINTR)
			continue;
		if (r > 0 && p[0].revents)
			break;
		if (timeout < 0) { /* mica-vmm's end */
			p[1].fd = -1;
			timeout = END_MS;
			continue;
		}
		kill(c->pid, SIGKILL);
		timeout = END_MS;
	}
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	*was_ready = read(c->ready, &n, sizeof(n)) == sizeof(n);
	close(c->ready);
	close(c->pidfd);
	return status;
}

/* status: of waitpid(), or -errno of its start. */
static void say(int status, unsigned times)
{
	char how[200];

	if (times & (times - 1)) /* once, twice, four times, ...: a guest can make this happen */
		return;
	if (status < 0)
		snprintf(how, sizeof(how), _("cannot be started (%s)"), strerror(-status));
	else if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), _("was ended by signal %d (%s)"), WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(how, sizeof(how), _("ended with status %d"), WEXITSTATUS(status));
	if (times == 1)
		log_warn("the user network's process (mica-slirp) %s, 1 time so far: it is started again; the guest's "
			 "connections are lost",
			 how);
	else
		log_warn("the user network's process (mica-slirp) %s, %u times so far: it is started again; the "
			 "guest's connections are lost",
			 how, times);
}

int main(int argc, char **argv)
{
	static char again[] = "--again", name[] = "mica-slirp";
	const u8 down = NET_MSG_DOWN;
	bool ever_ready = false;
	int wait_ms = WAIT_FIRST_MS, type;
	unsigned times = 0;
	socklen_t len = sizeof(type);
	char path[4200];
	struct child c;
	struct err e;

	i18n_init();
	if (getsockopt(NET_FRAMES_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
		fprintf(stderr, _("%s: a part of mica, started by it; there is nothing to run here\n"), "mica-net");
		return 2;
	}
	process_alone((const int[]){ NET_FRAMES_FD }, 1);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (program_find(path, sizeof(path), name, &e) < 0) {
		net_say_failed(NET_FRAMES_FD, &e);
		return NET_EXIT_REFUSED;
	}
	auto_free char **args = xcalloc((size_t)argc + 2, sizeof(*args));
	args[0] = name;
	memcpy(args + 1, argv + 1, (size_t)(argc - 1) * sizeof(*args));

	while (!vmm_gone(0)) {
		bool was_ready = false;
		int status = start(&c, path, args);
		if (status == 0) {
			status = await_end(&c, &was_ready);
			if (status == 0)
				return 0;
		}
		ever_ready |= was_ready;
		if (!ever_ready) /* mica-vmm waits for it, and says what is wrong */
			return status > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
		say(status, ++times);
		if (was_ready && send(NET_FRAMES_FD, &down, 1, MSG_NOSIGNAL) < 0)
			return 0;
		if (was_ready && clock_mono_ns() - c.began_ns > GOOD_LIFE_NS)
			wait_ms = WAIT_FIRST_MS;
		if (vmm_gone(wait_ms))
			return 0;
		wait_ms = MIN(2 * wait_ms, was_ready ? WAIT_MAX_MS : WAIT_MAX_UNREADY_MS);
		args[1] = again;
		memcpy(args + 2, argv + 1, (size_t)(argc - 1) * sizeof(*args));
	}
	return 0;
}
