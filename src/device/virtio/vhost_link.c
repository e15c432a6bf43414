/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhost_link.c - see vhost_link.h. */
#include "device/virtio/vhost_link.h"
#include "base/clock.h"
#include "base/i18n.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#define FLAGS_VERSION 1u /* bits 0 and 1 */
#define FLAGS_REPLY 4u
#define FLAGS_NEED_REPLY 8u

static int end(struct vhost_link *l, int code)
{
	l->state = VHOST_DOWN;
	return -code;
}

/* ---- out ---- */

int vhost_link_send(struct vhost_link *l, u32 request, const void *payload, u32 bytes, const int *fds, unsigned nfds,
		    bool reply)
{
	/* SET_MEM_TABLE has no reply of its own: with REPLY_ACK one is asked for. */
	bool ack = reply && request == VHOST_SET_MEM_TABLE;
	struct vhost_head h = { request, FLAGS_VERSION | (ack ? FLAGS_NEED_REPLY : 0), bytes };
	struct iovec iov[2] = { { &h, sizeof(h) }, { (void *)(uintptr_t)payload, bytes } };
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(sizeof(int) * VHOST_FDS_MAX)];
	} c = { 0 };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = bytes ? 2 : 1 };

	if (l->state == VHOST_DOWN)
		return -ENOTCONN;
	must(nfds <= VHOST_FDS_MAX);
	if (nfds) {
		m.msg_control = &c;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		c.h = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int) * nfds),
					.cmsg_level = SOL_SOCKET,
					.cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&c.h), fds, sizeof(int) * nfds);
	}
	if (reply && l->n == VHOST_EXPECT_MAX) {
		err_set(&l->why, EPROTO, "it leaves too many requests unanswered");
		return end(l, EPROTO);
	}
	ssize_t n = sendmsg(l->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n != (ssize_t)(sizeof(h) + bytes)) {
		int code = n < 0 ? errno : EAGAIN;
		err_sys(&l->why, code, "it takes no messages");
		return end(l, code);
	}
	if (reply)
		l->expect[(l->first + l->n++) % VHOST_EXPECT_MAX] = (u8)request;
	return 0;
}

int vhost_link_send_u64(struct vhost_link *l, u32 request, u64 v)
{
	return vhost_link_send(l, request, &v, sizeof(v), NULL, 0, false);
}

int vhost_link_send_vring(struct vhost_link *l, u32 request, u32 index, u32 num, bool reply)
{
	struct vhost_vring_state s = { index, num };

	return vhost_link_send(l, request, &s, sizeof(s), NULL, 0, reply);
}

int vhost_link_send_fd(struct vhost_link *l, u32 request, u32 index, int fd)
{
	u64 v = index;

	return vhost_link_send(l, request, &v, sizeof(v), &fd, 1, false);
}

static int ask(struct vhost_link *l, u32 request)
{
	return vhost_link_send(l, request, NULL, 0, NULL, 0, true);
}

/* ---- the greeting: each reply leads to the next question ---- */

static int ask_config(struct vhost_link *l)
{
	struct vhost_config c = { .bytes = l->config_bytes };

	if (!l->config_bytes) {
		l->state = VHOST_UP;
		return 0;
	}
	return vhost_link_send(l, VHOST_GET_CONFIG, &c, (u32)offsetof(struct vhost_config, data) + l->config_bytes,
			       NULL, 0, true);
}

static int greet(struct vhost_link *l, u32 request, u64 v)
{
	static const u64 wanted =
	    1ull << VHOST_PROTOCOL_F_MQ | 1ull << VHOST_PROTOCOL_F_REPLY_ACK | 1ull << VHOST_PROTOCOL_F_CONFIG;
	int r;

	switch (request) {
	case VHOST_GET_FEATURES:
		l->features = v;
		if (v >> VHOST_F_PROTOCOL_FEATURES & 1)
			return ask(l, VHOST_GET_PROTOCOL_FEATURES);
		err_set(&l->why, EPROTONOSUPPORT, "it is too old: it knows no protocol features");
		return end(l, EPROTONOSUPPORT);
	case VHOST_GET_PROTOCOL_FEATURES:
		l->protocol = v & wanted;
		if (!l->config_bytes)
			l->protocol &= ~(1ull << VHOST_PROTOCOL_F_CONFIG);
		else if (!(v >> VHOST_PROTOCOL_F_CONFIG & 1)) {
			err_set(&l->why, EPROTONOSUPPORT, "it does not tell its configuration: is it for disks?");
			return end(l, EPROTONOSUPPORT);
		}
		if ((r = vhost_link_send_u64(l, VHOST_SET_PROTOCOL_FEATURES, l->protocol)) < 0 ||
		    (r = vhost_link_send(l, VHOST_SET_OWNER, NULL, 0, NULL, 0, false)) < 0)
			return r;
		return l->protocol >> VHOST_PROTOCOL_F_MQ & 1 ? ask(l, VHOST_GET_QUEUE_NUM) : ask_config(l);
	case VHOST_GET_QUEUE_NUM:
		l->queues = (unsigned)MIN(v, 1024);
		return ask_config(l);
	default:
		return 0;
	}
}

/* ---- in ---- */

static int odd(struct vhost_link *l)
{
	err_set(&l->why, EPROTO, "it sends what is no reply");
	return end(l, EPROTO);
}

/* A whole message is in l->in. */
static int take(struct vhost_link *l)
{
	const u8 *payload = l->in.bytes + sizeof(l->in.head);
	u32 request = l->in.head.request, bytes = l->in.head.bytes;

	if (!l->n || l->expect[l->first] != request ||
	    (l->in.head.flags & (FLAGS_REPLY | 3)) != (FLAGS_REPLY | FLAGS_VERSION))
		return odd(l);
	l->first = (l->first + 1) % VHOST_EXPECT_MAX;
	l->n--;
	if (request == VHOST_GET_CONFIG) {
		u32 n = ld_le32(payload + 4);
		if (bytes < offsetof(struct vhost_config, data) || n != l->config_bytes ||
		    bytes - offsetof(struct vhost_config, data) < n) {
			err_set(&l->why, EPROTO, "it does not tell its configuration: is it for disks?");
			return end(l, EPROTO);
		}
		memcpy(l->config, payload + offsetof(struct vhost_config, data), n);
		l->state = VHOST_UP;
		return 0;
	}
	if (bytes != sizeof(u64)) /* a number, or a struct vhost_vring_state */
		return odd(l);
	if (request == VHOST_SET_MEM_TABLE && ld_le64(payload)) {
		err_set(&l->why, EIO, "it cannot use the guest's memory");
		return end(l, EIO);
	}
	return l->state == VHOST_GREETING ? greet(l, request, ld_le64(payload)) : 0;
}

int vhost_link_read(struct vhost_link *l)
{
	int r = 0;

	/* Bounded: only what is due is taken, and it is due once. */
	while (r == 0 && l->state != VHOST_DOWN) {
		size_t want = sizeof(l->in.head);
		if (l->got >= want) {
			if (l->in.head.bytes > sizeof(struct vhost_config))
				return odd(l);
			want += l->in.head.bytes;
		}
		if (l->got == want) {
			l->got = 0;
			r = take(l);
			continue;
		}
		/* Descriptors that nobody asked for are not received: recv(2) has no place for them. */
		ssize_t n = recv(l->fd, l->in.bytes + l->got, want - l->got, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n <= 0) {
			err_set(&l->why, ENOTCONN, "it has closed the connection");
			return end(l, ENOTCONN);
		}
		l->got += (size_t)n;
		if (l->got == sizeof(l->in.head) && !l->in.head.bytes)
			return odd(l);
	}
	return l->state == VHOST_DOWN ? -ENOTCONN : r;
}

int vhost_link_wait(struct vhost_link *l, u64 until_ns)
{
	int r = 0;

	while ((r = vhost_link_read(l)) == 0 && (l->state != VHOST_UP || l->n)) {
		u64 now = clock_mono_ns();
		struct pollfd p = { .fd = l->fd, .events = POLLIN };

		if (now >= until_ns) {
			err_set(&l->why, ETIMEDOUT, "it does not answer");
			return end(l, ETIMEDOUT);
		}
		poll(&p, 1, (int)MIN((until_ns - now) / 1000000 + 1, 1000));
	}
	return r;
}

/* ---- life ---- */

void vhost_link_begin(struct vhost_link *l, int fd, unsigned config_bytes)
{
	must(config_bytes <= VHOST_CONFIG_MAX);
	*l = (struct vhost_link){ .state = VHOST_GREETING, .fd = fd, .config_bytes = config_bytes, .queues = 2 };
	if (!config_bytes)
		l->queues = 2; /* without MQ: a pair */
	else
		l->queues = 1;
	ask(l, VHOST_GET_FEATURES);
}

void vhost_link_close(struct vhost_link *l)
{
	l->state = VHOST_DOWN;
	l->n = 0;
	if (l->fd >= 0)
		close(steal_fd(&l->fd));
}
