/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mica-vsock - connects to Unix sockets for the guest of one VM; see vsock.h. Started by mica-vmm, ends when it does.
 *
 * It reads nothing but port numbers. Its sandbox: the folder of the sockets is its root, there is no network, and the
 * system calls that are left make Unix sockets, connect them and hand them over.
 */
#include "base/helper.h"
#include "base/log.h"
#include "vsock/vsock.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <sys/un.h>

/* connect(2) to a socket whose backlog is full waits, so it must not block: that is a refusal, too. */
static int connect_to(const char *name, bool itself, u32 port)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	int n = itself ? snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", name)
		       : snprintf(sa.sun_path, sizeof(sa.sun_path), "%s_%u", name, port);
	if (n >= (int)sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : steal_fd(&fd);
}

static bool answer(u32 ticket, int fd)
{
	struct vsock_answer a = { .ticket = ticket, .error = fd < 0 ? (u32)-fd : 0 };
	struct iovec iov = { &a, sizeof(a) };
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(sizeof(int))];
	} c = { 0 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		m.msg_control = &c;
		m.msg_controllen = sizeof(c);
		c.h = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
					.cmsg_level = SOL_SOCKET,
					.cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&c.h), &fd, sizeof(fd));
	}
	return sendmsg(HELPER_FD, &m, MSG_NOSIGNAL) >= 0;
}

static int filter(void)
{
	static const int allowed[] = {
		SCMP_SYS(recvfrom),   SCMP_SYS(sendto),          SCMP_SYS(brk),           SCMP_SYS(munmap),
		SCMP_SYS(sendmsg),    SCMP_SYS(connect),         SCMP_SYS(close),         SCMP_SYS(write),
		SCMP_SYS(exit_group), SCMP_SYS(restart_syscall), SCMP_SYS(clock_gettime), SCMP_SYS(rt_sigreturn),
	};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < ARRAY_LEN(allowed); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	if (!r)
		r = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	return r;
}

static int prepare(char *path, const char **name, struct err *e)
{
	char *slash = strrchr(path, '/');
	const char *dir = !slash ? "." : slash == path ? "/" : path;

	*name = slash ? slash + 1 : path;
	if (slash)
		*slash = '\0';
	int r = helper_confine(dir, true, NULL, e);
	if (r == -EPERM) { /* the filter stands alone: Unix sockets are all it could reach */
		log_debug("mica-vsock: %s", e->msg);
		r = chdir(dir) < 0 ? err_sys(e, errno, "%s", dir) : 0;
	}
	if (r == 0 && (r = filter()) < 0)
		r = err_sys(e, -r, "mica-vsock cannot lock itself in: system-call filter");
	return r;
}

int main(int argc, char **argv)
{
	struct vsock_ask ask;
	const char *name;
	struct err e;
	ssize_t n;

	helper_begin("mica-vsock", 0);
	bool itself = argc == 3 && !strcmp(argv[2], VSOCK_ITSELF);
	if (argc != 2 && !itself)
		return 2;
	helper_hello(prepare(argv[1], &name, &e) < 0 ? &e : NULL);
	while ((n = recv(HELPER_FD, &ask, sizeof(ask), 0)) == sizeof(ask) || (n < 0 && errno == EINTR)) {
		if (n < 0)
			continue;
		int fd = connect_to(name, itself, ask.port);
		if (!answer(ask.ticket, fd))
			break;
		if (fd >= 0)
			close(fd);
	}
	return 0;
}
