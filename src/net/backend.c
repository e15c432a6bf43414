/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backend.c - the first words between a VM and the process behind its network card (net.h). */
#include "base/err_wire.h"
#include "net/net.h"

#include <poll.h>
#include <sys/socket.h>

int net_hello_read(struct net_backend *b, const u8 *msg, size_t n, struct err *e)
{
	if (n < NET_HELLO_BYTES || n >= NET_FRAME_MIN || msg[0] != NET_MSG_HELLO)
		return err_set(e, EPROTO, "the network's process said something else than hello");
	if (msg[1] != NET_VERSION)
		return err_set(e, EPROTONOSUPPORT,
			       "the network's process speaks version %u of its protocol, not %d; both are to be of one "
			       "version of Mica",
			       msg[1], NET_VERSION);
	u32 mtu = ld_le32(msg + offsetof(struct net_hello, mtu));
	u32 flags = ld_le32(msg + offsetof(struct net_hello, flags));
	if (mtu < NET_MTU_MIN || mtu > NET_MTU_MAX)
		return err_set(e, EPROTO, "the network's process says frames of %u bytes; there are from %d to %d", mtu,
			       NET_MTU_MIN, NET_MTU_MAX);
	if (flags & ~NET_HELLO_CHECKED)
		return err_set(
		    e, EPROTONOSUPPORT,
		    "the network's process says of its frames what this version of Mica does not know (flags "
		    "%#x)",
		    flags & ~NET_HELLO_CHECKED);
	b->mtu = mtu;
	b->checked = flags & NET_HELLO_CHECKED;
	return 0;
}

int net_backend_open(struct net_backend *b, int fd, int timeout_ms, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	u8 buf[1 + ERR_WIRE_BYTES] = { 0 };
	int type = 0, r;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET)
		return err_set(e, EINVAL, "descriptor %d is no network: a SOCK_SEQPACKET socket is needed", fd);
	do
		r = poll(&p, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return err_set(e, ETIMEDOUT, "the network's process did not become ready in %d s", timeout_ms / 1000);
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n <= 0)
		return err_set(e, EPIPE, "the network's process ended before it was ready");
	if (buf[0] == NET_MSG_FAILED)
		return err_unpack(e, buf + 1, (size_t)n - 1);
	struct net_backend said = { .fd = fd };
	r = net_hello_read(&said, buf, (size_t)n, e);
	if (r == 0)
		*b = said;
	return r;
}

void net_backend_close(struct net_backend *b)
{
	if (b->fd >= 0)
		close(steal_fd(&b->fd));
}

void net_say_hello(int fd, unsigned mtu, u32 flags)
{
	struct net_hello h = { .msg = NET_MSG_HELLO, .version = NET_VERSION, .mtu = mtu, .flags = flags };

	send(fd, &h, sizeof(h), MSG_NOSIGNAL);
}

void net_say_failed(int fd, const struct err *why)
{
	u8 buf[1 + ERR_WIRE_BYTES] = { NET_MSG_FAILED };

	send(fd, buf, 1 + err_pack(why, buf + 1), MSG_NOSIGNAL);
}
