/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mica-slirp - the user network of one VM: libslirp between a socket of Ethernet frames (fd 3, see
 * net.h) and ordinary sockets of this host. Started by mica-net, ends when the socket closes.
 *
 * Theory: one thread, one poll(). Frames that the VMM does not take at once wait in a bounded queue;
 * as long as any waits, the host's sockets are not read, so that TCP slows its peers down by itself
 * and nothing has to be thrown away. Frames from the VMM are always taken: they carry the
 * acknowledgements that make room.
 *
 * Order at the start: bind forwarded ports and read resolv.conf with the user's rights, then the
 * sandbox, then tell the VMM, then the first frame.
 */
#include "base/base.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/i18n.h"
#include "base/log.h"
#include "base/process.h"
#include "net/net.h"
#include "net/slirp_dhcp.h"
#include "net/slirp_host.h"
#include "net/slirp_http.h"
#include "net/slirp_limit.h"
#include "net/slirp_sandbox.h"
#include "net/slirp_tftp.h"

#include <arpa/inet.h>
#include <glib.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <slirp/libslirp.h>
#include <sys/socket.h>

#define QUEUE_FRAMES 1024u
#define QUEUE_BYTES (8u << 20)
#define BATCH 16

struct frame {
	struct frame *next;
	size_t bytes;
	u8 data[];
};

struct timer {
	struct timer *next;
	SlirpTimerId id;
	void *cb_opaque;
	s64 expire_ms; /* -1: not armed */
};

struct net {
	Slirp *slirp;
	struct frame *head, **tail;
	unsigned frames;
	size_t frame_bytes;
	struct timer *timers;
	struct pollfd *pfd;
	unsigned npfd, cap;
	struct slirp_dhcp dhcp;
};

/* ---- frames to the VMM ---- */

/* 0, or -errno. The end of the VMM is the end of us: _exit(), as nothing is to be put in order. */
static int frame_send(const void *buf, size_t len)
{
	for (;;) {
		if (send(NET_FRAMES_FD, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
			_exit(0);
		return -errno;
	}
}

static ssize_t send_packet(const void *buf, size_t len, void *opaque)
{
	struct net *n = opaque;
	u8 more[2048 + SLIRP_DHCP_MORE];

	if (len > NET_FRAME_MAX)
		return (ssize_t)len;
	if (slirp_dhcp_answer(&n->dhcp, buf, &len, more))
		buf = more;
	if (!n->head) {
		int r = frame_send(buf, len);
		if (r != -EAGAIN && r != -ENOBUFS)
			return (ssize_t)len;
	}
	if (n->frames >= QUEUE_FRAMES || n->frame_bytes + len > QUEUE_BYTES)
		return (ssize_t)len; /* a wire loses frames */
	struct frame *f = xcalloc(1, sizeof(*f) + len);
	f->bytes = len;
	memcpy(f->data, buf, len);
	*n->tail = f;
	n->tail = &f->next;
	n->frames++;
	n->frame_bytes += len;
	return (ssize_t)len;
}

static void flush_queue(struct net *n)
{
	while (n->head) {
		struct frame *f = n->head;
		int r = frame_send(f->data, f->bytes);
		if (r == -EAGAIN || r == -ENOBUFS)
			return;
		n->head = f->next;
		if (!n->head)
			n->tail = &n->head;
		n->frames--;
		n->frame_bytes -= f->bytes;
		free(f);
	}
}

/* ---- frames from the VMM ---- */

static void receive(struct net *n)
{
	static u8 buf[BATCH][NET_FRAME_MAX + 1];
	struct mmsghdr m[BATCH];
	struct iovec iov[BATCH];

	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ buf[i], sizeof(buf[i]) };
		m[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov[i], .msg_iovlen = 1 } };
	}
	int got = recvmmsg(NET_FRAMES_FD, m, BATCH, MSG_DONTWAIT, NULL);
	if (got < 0 && errno != EAGAIN && errno != EINTR)
		_exit(0);
	for (int i = 0; i < got; i++) {
		if (!m[i].msg_len)
			_exit(0); /* end of file: the VMM never sends an empty frame */
		if (m[i].msg_len < NET_FRAME_MIN || m[i].msg_len > NET_FRAME_MAX)
			continue;
		slirp_dhcp_asked(&n->dhcp, buf[i], m[i].msg_len);
		slirp_input(n->slirp, buf[i], (int)m[i].msg_len);
	}
}

/* ---- libslirp's callbacks ---- */

static void guest_error(const char *msg, void *opaque)
{
	(void)opaque;
	log_guest("user network: %s", msg);
}

static s64 clock_get_ns(void *opaque)
{
	(void)opaque;
	return (s64)clock_mono_ns();
}

static void *timer_new_opaque(SlirpTimerId id, void *cb_opaque, void *opaque)
{
	struct net *n = opaque;
	struct timer *t = xcalloc(1, sizeof(*t));

	*t = (struct timer){ .next = n->timers, .id = id, .cb_opaque = cb_opaque, .expire_ms = -1 };
	n->timers = t;
	return t;
}

static void timer_free(void *timer, void *opaque)
{
	struct net *n = opaque;

	for (struct timer **p = &n->timers; *p; p = &(*p)->next)
		if (*p == timer) {
			*p = (*p)->next;
			free(timer);
			return;
		}
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
	(void)opaque;
	((struct timer *)timer)->expire_ms = expire_ms;
}

static void poll_fd_nothing(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

static void notify_nothing(void *opaque)
{
	(void)opaque; /* one thread: the loop looks anyway */
}

static void run_timers(struct net *n)
{
	s64 now = (s64)(clock_mono_ns() / 1000000);

	for (struct timer *t = n->timers; t; t = t->next)
		if (t->expire_ms >= 0 && t->expire_ms <= now) {
			t->expire_ms = -1;
			slirp_handle_timer(n->slirp, t->id, t->cb_opaque);
		}
}

static u32 until_timer(const struct net *n, u32 timeout)
{
	s64 now = (s64)(clock_mono_ns() / 1000000);

	for (const struct timer *t = n->timers; t; t = t->next)
		if (t->expire_ms >= 0)
			timeout = MIN(timeout, (u32)MAX(t->expire_ms - now, 0));
	return timeout;
}

static int add_poll(int fd, int events, void *opaque)
{
	struct net *n = opaque;
	short ev = 0;

	if (n->npfd == n->cap) {
		n->cap = MAX(64u, n->cap * 2);
		n->pfd = xrealloc(n->pfd, n->cap * sizeof(*n->pfd));
	}
	ev |= events & SLIRP_POLL_IN ? POLLIN : 0;
	ev |= events & SLIRP_POLL_OUT ? POLLOUT : 0;
	ev |= events & SLIRP_POLL_PRI ? POLLPRI : 0;
	n->pfd[n->npfd] = (struct pollfd){ .fd = fd, .events = ev };
	return (int)n->npfd++;
}

static int get_revents(int idx, void *opaque)
{
	const struct net *n = opaque;
	int ev = 0;

	if (idx < 0 || (unsigned)idx >= n->npfd)
		return 0;
	short r = n->pfd[idx].revents;
	ev |= r & POLLIN ? SLIRP_POLL_IN : 0;
	ev |= r & POLLOUT ? SLIRP_POLL_OUT : 0;
	ev |= r & POLLPRI ? SLIRP_POLL_PRI : 0;
	ev |= r & (POLLERR | POLLNVAL) ? SLIRP_POLL_ERR : 0;
	ev |= r & POLLHUP ? SLIRP_POLL_HUP : 0;
	return ev;
}

noreturn_ static void run(struct net *n)
{
	for (;;) {
		u32 timeout = UINT32_MAX;
		bool paused = n->head;

		n->npfd = 0;
		add_poll(NET_FRAMES_FD, SLIRP_POLL_IN | (paused ? SLIRP_POLL_OUT : 0), n);
		if (!paused) {
			slirp_pollfds_fill(n->slirp, &timeout, add_poll, n);
			slirp_http_fill(add_poll, n);
		}
		timeout = until_timer(n, timeout);
		int r = poll(n->pfd, n->npfd, timeout > INT32_MAX ? -1 : (int)timeout);
		if (r < 0 && errno != EINTR)
			_exit(1);
		short frames = r > 0 ? n->pfd[0].revents : (short)0;
		if (frames & POLLOUT)
			flush_queue(n);
		if (frames & (POLLIN | POLLHUP | POLLERR))
			receive(n);
		if (!paused) {
			slirp_pollfds_poll(n->slirp, r < 0, get_revents, n);
			if (r > 0)
				slirp_http_serve(get_revents, n);
		}
		run_timers(n);
	}
}

/* ---- the start ---- */

static bool again; /* one was running before us and died */

noreturn_ static void fail(const struct err *e)
{
	if (again) /* mica-vmm takes frames now; mica-net tries once more */
		log_error("%s", err_local(e));
	else
		net_say_failed(NET_FRAMES_FD, e);
	exit(NET_EXIT_REFUSED);
}

static void glib_log(const gchar *domain, GLogLevelFlags level, const gchar *msg, gpointer opaque)
{
	(void)opaque;
	if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING))
		log_guest("user network: %s: %s", domain ? domain : "?", msg);
}

int main(int argc, char **argv)
{
	static const SlirpCb cb = {
		.send_packet = send_packet,
		.guest_error = guest_error,
		.clock_get_ns = clock_get_ns,
		.timer_free = timer_free,
		.timer_mod = timer_mod,
		.register_poll_fd = poll_fd_nothing,
		.unregister_poll_fd = poll_fd_nothing,
		.notify = notify_nothing,
		.timer_new_opaque = timer_new_opaque,
	};
	SlirpConfig cfg = { .version = 4, .in_enabled = true, .if_mtu = NET_USER_MTU, .if_mru = NET_USER_MTU };
	static struct net n;
	struct err e;
	int type, i = 1;
	socklen_t len = sizeof(type);

	i18n_init();
	if (getsockopt(NET_FRAMES_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
		fprintf(stderr, _("%s: a part of mica, started by it; there is nothing to run here\n"), "mica-slirp");
		return 2;
	}
	process_alone((const int[]){ NET_FRAMES_FD, NET_READY_FD }, 2);
	/* A connection's buffers (192 KiB each way) are mappings of their own, whatever was freed before: they take
	 * room only as far as data lies in them, libslirp's realloc() of one moves no bytes, and a closed one's are the
	 * host's again. No pad: the heap would serve them from it. */
	mallopt(M_MMAP_THRESHOLD, 128 * KIB);
	mallopt(M_TOP_PAD, 0);
	signal(SIGPIPE, SIG_IGN);
	if (i < argc && strcmp(argv[i], "--again") == 0) {
		again = true;
		i++;
	}
	if (i < argc && strcmp(argv[i], "--debug") == 0) {
		log_level = LOG_LVL_DEBUG;
		i++;
	}
	g_log_set_default_handler(glib_log, NULL);
	slirp_host_init();

	inet_pton(AF_INET, "10.0.2.0", &cfg.vnetwork);
	inet_pton(AF_INET, "255.255.255.0", &cfg.vnetmask);
	inet_pton(AF_INET, "10.0.2.2", &cfg.vhost);
	inet_pton(AF_INET, "10.0.2.3", &cfg.vnameserver);
	inet_pton(AF_INET, "10.0.2.15", &cfg.vdhcp_start);
	cfg.in6_enabled = slirp_host_has_ipv6();
	inet_pton(AF_INET6, "fec0::", &cfg.vprefix_addr6);
	cfg.vprefix_len = 64;
	inet_pton(AF_INET6, "fec0::2", &cfg.vhost6);
	inet_pton(AF_INET6, "fec0::3", &cfg.vnameserver6);
	for (; i < argc && argv[i][0] == '-'; i++) {
		if (!strncmp(argv[i], "--tftp=", 7)) {
			if (slirp_tftp_open(argv[i] + 7, &e) < 0)
				fail(&e);
			cfg.tftp_path = SLIRP_TFTP_PREFIX;
			slirp_http_init();
		} else if (!strncmp(argv[i], "--bootfile=", 11)) {
			cfg.bootfile = argv[i] + 11;
			slirp_dhcp_init(&n.dhcp, cfg.bootfile);
		}
	}
	n.tail = &n.head;
	n.slirp = slirp_new(&cfg, &cb, &n);
	if (!n.slirp) {
		err_set(&e, EINVAL, "libslirp %s refuses its configuration", slirp_version_string());
		fail(&e);
	}
	for (; i < argc; i++)
		if (slirp_forward(n.slirp, argv[i], &e) < 0) {
			if (!again)
				fail(&e);
			/* Somebody took it in the moment between. */
			log_warn("%s; the network goes on without it", err_local(&e));
		}
	slirp_host_lock();
	slirp_limit_init();
	if (slirp_sandbox(&e) < 0)
		fail(&e);
	u64 one = 1;
	ssize_t w = write(NET_READY_FD, &one, sizeof(one));
	(void)w;
	net_say_hello(NET_FRAMES_FD, NET_USER_MTU, NET_HELLO_CHECKED);
	run(&n);
}
