/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nd_broker.c - see nd_broker.h. */
#include "netdisk/nd_broker.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/un.h>

#define TIMEOUT_MS 10000

struct question {
	u32 connect; /* else: resolve */
	char host[256], port[8];
};

struct reply {
	s32 res;
	struct nd_addresses a;
};

static int link_fd = -1;
/* The C library's own: those of nd_shim.c have the same names, and ask here. */
static int (*look_up)(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out);
static void (*let_go)(struct addrinfo *a);

/* ---- the broker ---- */

static int resolve(struct nd_addresses *out, const struct question *q)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *list;

	if (look_up(q->host, q->port, &hints, &list))
		return -ENOENT;
	for (const struct addrinfo *a = list; a && out->n < ND_ADDRESSES_MAX; a = a->ai_next)
		if (a->ai_addrlen <= sizeof(out->at[0]))
			memcpy(&out->at[out->n++], a->ai_addr, a->ai_addrlen);
	let_go(list);
	return out->n ? 0 : -ENOENT;
}

static int reach(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || !*path || strlen(path) >= sizeof(a.sun_path))
		return -EINVAL;
	memcpy(a.sun_path, path, strlen(path) + 1);
	return connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : steal_fd(&fd);
}

static void send_reply(int fd, const struct reply *r, int pass)
{
	struct iovec iov = { (void *)(uintptr_t)r, sizeof(*r) };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} c = { 0 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (pass >= 0) {
		m.msg_control = c.room;
		m.msg_controllen = sizeof(c.room);
		c.h.cmsg_level = SOL_SOCKET;
		c.h.cmsg_type = SCM_RIGHTS;
		c.h.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&c.h), &pass, sizeof(int));
	}
	sendmsg(fd, &m, MSG_NOSIGNAL);
}

static void serve(int fd, const char *path)
{
	struct question q;

	while (recv(fd, &q, sizeof(q), 0) == sizeof(q)) {
		struct reply r = { 0 };
		auto_close int pass = -1;
		q.host[sizeof(q.host) - 1] = q.port[sizeof(q.port) - 1] = '\0';
		if (q.connect)
			r.res = pass = reach(path);
		else
			r.res = resolve(&r.a, &q);
		send_reply(fd, &r, pass);
	}
}

int nd_broker_start(const char *socket, struct err *e)
{
	int sv[2];

	*(void **)&look_up = dlsym(RTLD_NEXT, "getaddrinfo");
	*(void **)&let_go = dlsym(RTLD_NEXT, "freeaddrinfo");
	must(look_up && let_go);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(e, errno, "cannot make a socket pair");
	pid_t pid = fork();
	if (pid < 0) {
		close(sv[0]);
		close(sv[1]);
		return err_sys(e, errno, "cannot start a process that looks up names");
	}
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (int fd = 3; fd < 1024; fd++)
			if (fd != sv[1])
				close(fd);
		serve(sv[1], socket);
		_exit(0);
	}
	close(sv[1]);
	link_fd = sv[0];
	return 0;
}

/* ---- who asks ---- */

/* Answers that came too late are thrown away. */
static void forget_late(void)
{
	struct reply r;

	while (recv(link_fd, &r, sizeof(r), MSG_DONTWAIT) > 0)
		;
}

static int ask(const struct question *q, struct reply *r, int *pass)
{
	struct pollfd p = { .fd = link_fd, .events = POLLIN };
	struct iovec iov = { r, sizeof(*r) };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} c = { 0 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.room, .msg_controllen = sizeof(c.room) };

	forget_late();
	if (send(link_fd, q, sizeof(*q), MSG_NOSIGNAL) < 0)
		return -errno;
	if (poll(&p, 1, TIMEOUT_MS) <= 0)
		return -ETIMEDOUT;
	if (recvmsg(link_fd, &m, MSG_CMSG_CLOEXEC) != sizeof(*r))
		return -EPIPE;
	if (m.msg_controllen && c.h.cmsg_type == SCM_RIGHTS && c.h.cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(pass, CMSG_DATA(&c.h), sizeof(int));
	return r->res;
}

int nd_broker_resolve(struct nd_addresses *out, const char *host, const char *port)
{
	struct question q = { 0 };
	struct reply r;
	int none = -1;

	snprintf(q.host, sizeof(q.host), "%s", host);
	snprintf(q.port, sizeof(q.port), "%s", port);
	int res = ask(&q, &r, &none);
	if (res < 0)
		return res;
	*out = r.a;
	return out->n && out->n <= ND_ADDRESSES_MAX ? 0 : -ENOENT;
}

int nd_broker_connect(void)
{
	const struct question q = { .connect = 1 };
	struct reply r;
	int fd = -1;
	int res = ask(&q, &r, &fd);

	return res < 0 ? res : fd < 0 ? -EPIPE : fd;
}
