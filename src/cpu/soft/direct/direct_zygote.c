/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_zygote.c - runners made while the VM runs: when they are first needed, and in the place of dead ones.
 *
 * A guest can kill its runner: where the host's kernel writes signal frames with the process's own protection keys, one
 * WRPKRU does it. New processes are beyond what mica-vmm's system-call filter allows. So one is made before the filter
 * is on, which waits for a byte on a socket, makes a runner, and sends its descriptors: the zygote. The runner is a
 * child of mica-vmm's. From the socket the zygote reads nothing but the byte, and it has no other descriptor but guest
 * RAM's; it ends with mica-vmm.
 *
 * vCPUs do not wait for it: they ask, and at some later time look for the answer. For a runner that has been alive they
 * ask once in RENEW_NS at most, so that a guest that kills its runners again and again keeps the host from nothing.
 */
#include "cpu/soft/direct/direct_zygote.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RENEW_NS 1000000000ull

struct answer {
	u64 secret;
	s32 pid;
	u32 cpuid_faults;
	u32 how; /* enum birth */
	u32 pad;
};
union control {
	struct cmsghdr align;
	u8 b[CMSG_SPACE(3 * sizeof(int))];
};

static void send_answer(int fd, const struct runner_birth *b, enum birth how)
{
	struct answer a = { b->secret, b->pid, b->cpuid_faults, how, 0 };
	int fds[3] = { b->pidfd, b->listener, b->shared };
	struct iovec v = { &a, sizeof(a) };
	union control u = { 0 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	if (how == BIRTH_OK) {
		m.msg_control = &u;
		m.msg_controllen = sizeof(u);
		u.align = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(fds)),
					    .cmsg_level = SOL_SOCKET,
					    .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&u.align), fds, sizeof(fds));
	}
	while (sendmsg(fd, &m, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

/* Every descriptor but these two goes. */
static void close_others(unsigned a, unsigned b)
{
	unsigned low = MIN(a, b), high = MAX(a, b);

	if (low)
		syscall(SYS_close_range, 0, low - 1, 0);
	if (high > low + 1)
		syscall(SYS_close_range, low + 1, high - 1, 0);
	syscall(SYS_close_range, high + 1, ~0u, 0);
}

noreturn_ static void zygote(int fd, int ram_fd, pid_t parent)
{
	syscall(SYS_setsid);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_NAME, "mica-direct-new", 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	close_others((unsigned)fd, (unsigned)ram_fd);
	while (syscall(SYS_getppid) == parent) {
		struct runner_birth b;
		u8 byte;
		ssize_t n = read(fd, &byte, 1);

		if (n == 0 || (n < 0 && errno != EINTR))
			break;
		if (n < 0)
			continue;
		enum birth how = runner_birth(&b, ram_fd, parent, CLONE_PARENT);
		if (how != BIRTH_OK && b.pidfd >= 0)
			syscall(SYS_pidfd_send_signal, b.pidfd, SIGKILL, NULL, 0);
		send_answer(fd, &b, how);
		runner_birth_close(&b);
	}
	for (;;)
		syscall(SYS_exit_group, 0);
}

bool direct_zygote_new(struct direct_zygote *z, int ram_fd)
{
	int pair[2];

	*z = (struct direct_zygote){ .pidfd = -1, .socket = -1 };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	pid_t self = getpid();
	long pid = syscall(SYS_clone, (unsigned long)(CLONE_PIDFD | SIGCHLD), NULL, &z->pidfd, NULL, 0);
	if (pid == 0)
		zygote(pair[1], ram_fd, self);
	close(pair[1]);
	if (pid < 0) {
		z->pidfd = -1;
		close(pair[0]);
		return false;
	}
	z->socket = pair[0];
	return true;
}

/* enum birth; -EAGAIN: not yet; else the zygote is gone. */
static int answer(int fd, struct runner_birth *b)
{
	struct answer a;
	struct iovec v = { &a, sizeof(a) };
	union control u = { 0 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u) };
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fds[3];

	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (n != sizeof(a))
		return -EPIPE;
	if (a.how != BIRTH_OK)
		return (int)a.how;
	const struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	if (!h || h->cmsg_len != CMSG_LEN(sizeof(fds)))
		return BIRTH_NO_MEMORY; /* for descriptors */
	memcpy(fds, CMSG_DATA(h), sizeof(fds));
	*b = (struct runner_birth){ a.pid, fds[0], fds[1], fds[2], a.secret, a.cpuid_faults };
	return BIRTH_OK;
}

void direct_zygote_free(struct direct_zygote *z)
{
	struct runner_birth b;
	siginfo_t si;

	if (z->pidfd < 0)
		return;
	/* One that it is making is a child of ours, which only its answer names. */
	if (z->asked) {
		struct pollfd p = { .fd = z->socket, .events = POLLIN };
		poll(&p, 1, 1000);
	}
	syscall(SYS_pidfd_send_signal, z->pidfd, SIGKILL, NULL, 0);
	waitid(P_PIDFD, (id_t)z->pidfd, &si, WEXITED);
	if (z->asked && answer(z->socket, &b) == BIRTH_OK) {
		syscall(SYS_pidfd_send_signal, b.pidfd, SIGKILL, NULL, 0);
		waitid(P_PIDFD, (id_t)b.pidfd, &si, WEXITED);
		runner_birth_close(&b);
	}
	close(z->pidfd);
	if (z->socket >= 0)
		close(z->socket);
	z->pidfd = z->socket = -1;
}

void direct_zygote_stop(struct direct_zygote *z)
{
	if (z->socket >= 0)
		close(z->socket);
	z->socket = -1;
	z->asked = false;
}

bool direct_zygote_renew(struct direct_zygote *z, struct runner *dead, u64 now_ns, enum birth *how)
{
	struct runner_birth b;

	if (z->socket < 0)
		return false;
	if (!z->asked) {
		if (now_ns < z->not_before_ns)
			return false;
		if (dead->pid) /* it has been alive */
			z->not_before_ns = now_ns + RENEW_NS;
		z->asked = send(z->socket, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
		return false;
	}
	int code = answer(z->socket, &b);
	if (code == -EAGAIN)
		return false;
	z->asked = false;
	if (code < 0) {
		direct_zygote_stop(z);
		return false;
	}
	*how = (enum birth)code;
	if (code == BIRTH_OK && !runner_adopt(dead, &b))
		*how = BIRTH_NO_START;
	if (*how != BIRTH_OK)
		z->not_before_ns = now_ns + RENEW_NS;
	return true;
}
