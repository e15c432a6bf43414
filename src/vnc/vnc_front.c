/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vnc_front.c - see vnc_front.h. Here: clients' sockets, TLS by GnuTLS, and copying. */
#include "vnc/vnc_front.h"
#include "base/clock.h"
#include "vnc/vnc.h"

#include <poll.h>
#include <sys/socket.h>

#define GUESTS_MAX (2 * VNC_CLIENTS_MAX)      /* half of them may still have to say who they are */
#define FIRST_NS (NSEC_PER_SEC / 5)           /* a browser has begun by then */
#define ADMIT_NS (10 * NSEC_PER_SEC)          /* until the handshake of TLS is done, which programs do alone */
#define ADMIT_BY_HAND_NS (120 * NSEC_PER_SEC) /* ... and until somebody has looked at the certificate and typed */
#define ROUNDS 4                              /* of copying, before others have their turn */

/* ---- the certificate ---- */

int vnc_front_load(struct vnc_front *f, const char *cert, const char *key, struct err *e)
{
	int r;

	if ((r = gnutls_certificate_allocate_credentials(&f->cred)) < 0 ||
	    (r = gnutls_certificate_set_x509_key_file(f->cred, cert, key ? key : cert, GNUTLS_X509_FMT_PEM)) < 0)
		return err_set(e, EINVAL, "vnc: the certificate %s and its key %s cannot be used: %s", cert,
			       key ? key : cert, gnutls_strerror(r));
	return 0;
}

void vnc_front_unload(struct vnc_front *f)
{
	if (f->cred)
		gnutls_certificate_free_credentials(f->cred);
	f->cred = NULL;
}

/* ---- TLS ---- */

static bool secure(struct vnc_guest *g)
{
	if (gnutls_init(&g->tls, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0)
		return false;
	gnutls_transport_set_int(g->tls, g->fd);
	return gnutls_priority_set_direct(g->tls, "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1", NULL) >= 0 &&
	       gnutls_credentials_set(g->tls, GNUTLS_CRD_CERTIFICATE, g->front->cred) >= 0;
}

static bool later(ssize_t r)
{
	return r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED;
}

/* True: it is done. */
static bool shake(struct vnc_guest *g)
{
	int r = g->tls || secure(g) ? gnutls_handshake(g->tls) : GNUTLS_E_INTERNAL_ERROR;

	if (r >= 0) {
		vnc_greet_secured(g);
		g->until_ns = clock_mono_ns() + ADMIT_BY_HAND_NS;
	} else if (!later(r) && gnutls_error_is_fatal(r)) {
		g->step = VNC_AT_FAIL;
	}
	return r >= 0;
}

/* ---- bytes; > 0: so many, 0: not now, < 0: no more ---- */

static ssize_t come(struct vnc_guest *g)
{
	size_t room = sizeof(g->up.b) - g->up.n;
	ssize_t r;

	if (!room)
		return 0;
	if (g->tls) {
		r = gnutls_record_recv(g->tls, g->up.b + g->up.n, room);
		if (later(r) || (r < 0 && !gnutls_error_is_fatal((int)r)))
			return 0;
	} else {
		/* No byte of TLS itself. */
		room = MIN(room, g->step == VNC_AT_VERSION    ? 12u
				 : g->step == VNC_AT_VENCRYPT ? 2u
				 : g->step == VNC_AT_SUBTYPE  ? 4u
							      : 1u);
		r = g->up.n < room ? recv(g->fd, g->up.b + g->up.n, room - g->up.n, 0) : 0;
		if (g->up.n >= room || (r < 0 && (errno == EAGAIN || errno == EINTR)))
			return 0;
	}
	if (r <= 0)
		return -1;
	g->up.n += (size_t)r;
	return r;
}

static ssize_t go_out(struct vnc_guest *g)
{
	ssize_t r;

	if (!g->down.n)
		return 0;
	if (g->tls) {
		r = gnutls_record_send(g->tls, g->stuck ? NULL : g->down.b, g->stuck ? 0 : g->down.n);
		g->stuck = later(r);
		if (g->stuck)
			return 0;
	} else {
		r = send(g->fd, g->down.b, g->down.n, MSG_NOSIGNAL);
		if (r < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
	}
	if (r <= 0)
		return -1;
	vnc_take(&g->down, (size_t)r);
	return r;
}

/* ---- the door ---- */

static bool open_inner(struct vnc_guest *g)
{
	char kind = g->web ? VNC_DOOR_ANY : VNC_DOOR_ADMITTED;
	union {
		struct cmsghdr h;
		char b[CMSG_SPACE(sizeof(int))];
	} c = { 0 };
	struct iovec v = { &kind, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = c.b, .msg_controllen = sizeof(c.b) };
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) < 0)
		return false;
	c.h = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&c.h), &sv[1], sizeof(int));
	bool ok = sendmsg(g->front->door, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
	close(sv[1]);
	g->inner = sv[0];
	g->swallow = g->web ? 0 : 12;
	g->until_ns = 0;
	return ok;
}

/* ---- copying ---- */

static ssize_t from_inner(struct vnc_guest *g)
{
	size_t room = g->swallow ? MIN(g->swallow, sizeof(g->down.b) - g->down.n) : sizeof(g->down.b) - g->down.n;
	ssize_t r = !room || g->stuck ? 0 : recv(g->inner, g->down.b + g->down.n, room, 0);

	if (!room || g->stuck || (r < 0 && (errno == EAGAIN || errno == EINTR)))
		return 0;
	if (r <= 0)
		return -1;
	if (g->swallow)
		g->swallow -= (unsigned)r;
	else
		g->down.n += (size_t)r;
	return r;
}

/* Not before it was greeted: what has come by then would be looked at for WebSockets. */
static ssize_t to_inner(struct vnc_guest *g)
{
	ssize_t r = g->up.n && !g->swallow ? send(g->inner, g->up.b, g->up.n, MSG_NOSIGNAL) : 0;

	if (!g->up.n || g->swallow || (r < 0 && (errno == EAGAIN || errno == EINTR)))
		return 0;
	if (r <= 0)
		return -1;
	vnc_take(&g->up, (size_t)r);
	return r;
}

/* ---- a client ---- */

static bool begin(struct vnc_guest *g, u64 now)
{
	u8 first;
	ssize_t r = recv(g->fd, &first, 1, MSG_PEEK);

	if (r == 0 || (r < 0 && errno != EAGAIN && errno != EINTR) || (r > 0 && first != 0x16))
		return false; /* a browser without TLS, or nobody */
	if (r > 0) {          /* a TLS record of type handshake (RFC 8446 5.1) */
		g->web = true;
		g->step = VNC_AT_HANDSHAKE;
	} else if (now + ADMIT_NS >= g->until_ns + FIRST_NS) {
		vnc_greet_begin(g);
	}
	return true;
}

/* False: it is over. */
static bool go_on(struct vnc_guest *g, u64 now)
{
	if (g->until_ns && now >= g->until_ns)
		return false;
	if (g->step == VNC_AT_FIRST && !begin(g, now))
		return false;
	g->busy = false;
	for (unsigned i = 0; i < ROUNDS && g->step != VNC_AT_FIRST; i++) {
		bool more = false;
		ssize_t out = go_out(g), in = 0;

		if (out < 0)
			return false;
		if (g->step == VNC_AT_HANDSHAKE) {
			if (!g->down.n && shake(g))
				more = true;
		} else if (g->step == VNC_AT_FAIL) {
			return g->down.n && !g->stuck;
		} else if ((in = come(g)) < 0) {
			return false;
		}
		more |= out || in || vnc_greet(g);
		if (g->step == VNC_AT_COPY) {
			if (g->inner < 0 && !open_inner(g))
				return false;
			ssize_t a = to_inner(g), b = a < 0 ? -1 : from_inner(g);
			if (a < 0 || b < 0) {
				go_out(g);
				return false;
			}
			more |= a || b;
		}
		g->busy = more;
		if (!more)
			break;
	}
	return true;
}

static struct vnc_guest *make(const struct vnc_front *f, int fd, u64 now)
{
	struct vnc_guest *g = xcalloc(1, sizeof(*g));

	g->front = f;
	g->fd = fd;
	g->inner = -1;
	g->until_ns = now + ADMIT_NS;
	return g;
}

static void end(struct vnc_guest *g)
{
	if (g->tls)
		gnutls_deinit(g->tls);
	if (g->inner >= 0)
		close(g->inner);
	close(g->fd);
	free(g);
}

/* ---- all of them ---- */

struct guests {
	struct vnc_guest *v[GUESTS_MAX];
	unsigned n;
};

static void drop(struct guests *all, unsigned i)
{
	end(all->v[i]);
	memmove(&all->v[i], &all->v[i + 1], (--all->n - i) * sizeof(all->v[0]));
}

/* Who has waited longest to say who it is makes room. */
static void come_in(struct guests *all, const struct vnc_front *f, u64 now)
{
	int fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	for (unsigned i = 0; all->n == GUESTS_MAX && i < all->n; i++)
		if (all->v[i]->inner < 0)
			drop(all, i);
	if (all->n == GUESTS_MAX)
		close(fd);
	else
		all->v[all->n++] = make(f, fd, now);
}

/* In milliseconds, until something has to be done for it though nothing comes. */
static int patience(const struct vnc_guest *g, u64 now)
{
	u64 until = g->step == VNC_AT_FIRST ? g->until_ns - ADMIT_NS + FIRST_NS : g->until_ns;

	if (g->busy || (g->tls && g->up.n < sizeof(g->up.b) && gnutls_record_check_pending(g->tls)))
		return 0;
	if (!until)
		return 60 * 1000;
	return until <= now ? 0 : (int)((until - now) / (NSEC_PER_SEC / 1000)) + 1;
}

static void watch(struct pollfd p[2], const struct vnc_guest *g)
{
	bool in = g->step != VNC_AT_FAIL && g->up.n < sizeof(g->up.b);
	bool out =
	    g->down.n || g->stuck || (g->step == VNC_AT_HANDSHAKE && g->tls && gnutls_record_get_direction(g->tls));

	p[0] = (struct pollfd){ .fd = g->fd, .events = (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0)) };
	in = g->down.n < sizeof(g->down.b) && !g->stuck;
	p[1] = (struct pollfd){ .fd = g->inner,
				.events = (short)((in ? POLLIN : 0) | (g->up.n && !g->swallow ? POLLOUT : 0)) };
}

int vnc_front_serve(const struct vnc_front *f)
{
	static struct guests all;
	struct pollfd p[2 + 2 * GUESTS_MAX];

	for (;;) {
		int wait_ms = 60 * 1000;
		u64 now = clock_mono_ns();

		p[0] = (struct pollfd){ .fd = f->listen_fd, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = f->door, .events = POLLIN };
		for (unsigned i = 0; i < all.n; i++) {
			watch(&p[2 + 2 * i], all.v[i]);
			wait_ms = MIN(wait_ms, patience(all.v[i], now));
		}
		poll(p, 2 + 2 * all.n, wait_ms);
		if (p[1].revents)
			return 0; /* who serves is gone */
		now = clock_mono_ns();
		for (unsigned i = all.n; i--;)
			if (!go_on(all.v[i], now))
				drop(&all, i);
		if (p[0].revents)
			come_in(&all, f, now);
	}
}
