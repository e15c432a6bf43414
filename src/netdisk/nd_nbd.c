/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nd_nbd.c - NBD, by libnbd: it has the protocol (the NBD project's proto document) with structured replies and TLS,
 * and leaves waiting to its caller.
 *
 * A handle is one connection. When that dies, libnbd ends all commands with an error of its own; these go nowhere, as
 * the core sends the same requests again.
 */
#include "netdisk/nd.h"
#include "netdisk/nd_broker.h"
#include "netdisk/nd_shim.h"

#include <libnbd.h>

#define NBD_FLIGHT 32u
#define DONE_MAX (NETDISK_SLOTS + 2)

struct nbd {
	struct nbd_handle *h;
	bool up, ending;
	unsigned flight;
	/* what has ended in this turn */
	struct nd *d;
	struct {
		struct nd_io *io;
		int res;
	} done[DONE_MAX];
	unsigned ndone;
};

static int nbd_open(struct nd *d, struct err *e)
{
	struct nbd *n = xcalloc(1, sizeof(*n));

	(void)e;
	n->d = d;
	d->own = n;
	return 0;
}

static int fail(struct err *e)
{
	const char *why = nbd_get_error();

	return err_set(e, nbd_get_errno() ? nbd_get_errno() : EIO, "%s", why ? why : "NBD");
}

static void nbd_disconnect(struct nd *d)
{
	struct nbd *n = d->own;

	if (!n->h)
		return;
	n->ending = true;
	nbd_close(n->h);
	n->h = NULL;
	n->up = n->ending = false;
	n->flight = n->ndone = 0;
}

static int nbd_connect(struct nd *d, struct err *e)
{
	struct nbd *n = d->own;
	int r;

	n->h = nbd_create();
	if (!n->h || nbd_set_export_name(n->h, d->url.name) < 0 || nbd_set_full_info(n->h, true) < 0)
		return fail(e);
	if (d->url.tls &&
	    (nbd_set_tls(n->h, LIBNBD_TLS_REQUIRE) < 0 || nbd_set_tls_certificates(n->h, ND_TLS_DIR) < 0 ||
	     nbd_set_tls_verify_peer(n->h, true) < 0 || (d->user && nbd_set_tls_username(n->h, d->user) < 0)))
		return fail(e);
	if (*d->url.host)
		return nbd_aio_connect_tcp(n->h, d->url.host, d->url.port) < 0 ? fail(e) : 0;
	r = nd_broker_connect();
	if (r < 0)
		return err_sys(e, -r, "cannot connect to '%s'", d->url.socket);
	return nbd_aio_connect_socket(n->h, r) < 0 ? fail(e) : 0;
}

static unsigned nbd_poll_fds(struct nd *d, struct pollfd p[ND_POLL_MAX], int *timeout_ms)
{
	struct nbd *n = d->own;
	unsigned dir = nbd_aio_get_direction(n->h);

	/* libnbd goes on inside of any call as far as it can: something may have happened that no descriptor tells of.
	 */
	if (n->ndone || (!n->up && nbd_aio_is_ready(n->h) > 0) || nbd_aio_is_dead(n->h) > 0 ||
	    nbd_aio_is_closed(n->h) > 0)
		*timeout_ms = 0;
	p[0] = (struct pollfd){ .fd = nbd_aio_get_fd(n->h) };
	p[0].events |= dir & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0;
	p[0].events |= dir & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0;
	return 1;
}

static int came_up(struct nd *d, struct err *e)
{
	struct nbd *n = d->own;
	s64 bytes = nbd_get_size(n->h), least = nbd_get_block_size(n->h, LIBNBD_SIZE_MINIMUM),
	    most = nbd_get_block_size(n->h, LIBNBD_SIZE_MAXIMUM);
	u32 flags = 0;

	if (bytes < 0)
		return fail(e);
	if (least > 512 || (most > 0 && most < (s64)NETDISK_WINDOW))
		return err_set(e, ENOTSUP,
			       "the server wants requests of %lld to %lld bytes; 512 and %llu must be among them",
			       (long long)least, (long long)most, (unsigned long long)NETDISK_WINDOW);
	flags |= nbd_is_read_only(n->h) > 0 ? NETDISK_READONLY : 0;
	flags |= nbd_can_trim(n->h) > 0 ? NETDISK_CAN_DISCARD : 0;
	flags |= nbd_can_zero(n->h) > 0 ? NETDISK_CAN_ZERO : 0;
	n->up = true;
	nd_up(d, (u64)bytes, flags, nbd_can_flush(n->h) > 0);
	return 0;
}

static int nbd_service(struct nd *d, const struct pollfd *p, unsigned np, struct err *e)
{
	struct nbd *n = d->own;
	int r = 0;

	if (np && p[0].revents & (POLLIN | POLLHUP | POLLERR) &&
	    nbd_aio_get_direction(n->h) & LIBNBD_AIO_DIRECTION_READ)
		r = nbd_aio_notify_read(n->h);
	else if (np && p[0].revents & (POLLOUT | POLLHUP | POLLERR))
		r = nbd_aio_notify_write(n->h);
	if (r < 0)
		fail(e);
	bool gone = r < 0 || nbd_aio_is_dead(n->h) > 0 || nbd_aio_is_closed(n->h) > 0;
	for (unsigned i = 0; i < n->ndone; i++) {
		if (n->done[i].res < 0 && (gone || n->done[i].res == -ESHUTDOWN)) {
			gone = true;
			continue;
		}
		n->flight--;
		nd_done(d, n->done[i].io, n->done[i].res);
	}
	n->ndone = 0;
	if (gone) {
		if (r >= 0)
			err_set(e, EPIPE, "the server has closed the connection");
		return -ENOLINK;
	}
	if (!n->up && nbd_aio_is_ready(n->h) > 0 && came_up(d, e) < 0)
		return -ENOLINK;
	return 0;
}

static int completed(void *io, int *error)
{
	struct nd_io *i = io;
	struct nbd *n = i->own;

	if (!n->ending && n->ndone < DONE_MAX) {
		n->done[n->ndone].io = i;
		n->done[n->ndone++].res = -*error;
	}
	return 1; /* the command is retired */
}

static int nbd_start(struct nd *d, struct nd_io *io)
{
	struct nbd *n = d->own;
	const nbd_completion_callback done = { .callback = completed, .user_data = io };
	s64 r = -1;

	if (n->flight >= NBD_FLIGHT)
		return -EAGAIN;
	io->own = n;
	switch (io->op) {
	case NETDISK_READ:
		r = nbd_aio_pread(n->h, io->data, io->bytes, io->off, done, 0);
		break;
	case NETDISK_WRITE:
		r = nbd_aio_pwrite(n->h, io->data, io->bytes, io->off, done, 0);
		break;
	case NETDISK_FLUSH:
		r = nbd_aio_flush(n->h, done, 0);
		break;
	case NETDISK_DISCARD:
		r = nbd_aio_trim(n->h, io->bytes, io->off, done, 0);
		break;
	case NETDISK_ZERO:
		r = nbd_aio_zero(n->h, io->bytes, io->off, done, io->unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE);
		break;
	}
	if (r < 0) /* the connection is dead, which service() finds; or libnbd's rules are broken */
		return nbd_aio_is_ready(n->h) > 0 || nbd_aio_is_processing(n->h) > 0 ? -EINVAL : -EAGAIN;
	n->flight++;
	return 0;
}

const struct nd_proto nd_proto_nbd = {
	.name = "NBD",
	.open = nbd_open,
	.connect = nbd_connect,
	.poll = nbd_poll_fds,
	.service = nbd_service,
	.start = nbd_start,
	.disconnect = nbd_disconnect,
};
