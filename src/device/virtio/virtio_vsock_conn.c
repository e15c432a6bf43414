/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_vsock_conn.c - connections of a socket device; see virtio_vsock_int.h. */
#include "base/log.h"
#include "device/virtio/virtio_vsock_int.h"
#include "vsock/vsock.h"

#include <ctype.h>
#include <sys/socket.h>

#define PORT_FIRST (1u << 30) /* of clients of the host; below are those that somebody listens at */
#define ACCEPTS 16            /* in a turn */
#define BIT(op) (1u << VSOCK_OP_##op)

static void on_fd(void *opaque, u32 events);
static void on_listen(void *opaque, u32 events);

static struct vsock_conn *new_conn(struct vsock *v, enum conn_state state, int fd)
{
	for (unsigned i = 0; i < VSOCK_CONNS; i++) {
		struct vsock_conn *c = &v->conn[i];
		if (c->state == CONN_FREE) {
			*c = (struct vsock_conn){ .v = v, .state = state, .fd = fd };
			return c;
		}
	}
	return NULL;
}

struct vsock_conn *vsock_find(struct vsock *v, u32 guest_port, u32 host_port)
{
	for (unsigned i = 0; i < VSOCK_CONNS; i++) {
		struct vsock_conn *c = &v->conn[i];
		if (c->state >= CONN_REQUESTED && c->state <= CONN_CLOSING && c->host_port == host_port &&
		    c->guest_port == guest_port)
			return c;
	}
	return NULL;
}

static u32 queued(const struct vsock_conn *c)
{
	return c->put - c->got;
}

/* ---- what is watched ---- */

/* Nothing that is there already: the loop would come for it in every turn. */
static void watch(struct vsock_conn *c)
{
	bool in = c->state == CONN_HELLO ||
		  (c->state == CONN_OPEN && !c->readable && !c->ended && !(c->guest_shut & VSOCK_SHUT_RCV));
	u32 events = (in ? EPOLLIN : 0) | (queued(c) ? EPOLLOUT : 0);

	if (!events && c->hup) {
		if (c->watched)
			loop_del(c->v->loop, &c->lf);
		c->watched = false;
	} else if (c->watched) {
		loop_mod(c->v->loop, &c->lf, events);
	} else if (c->fd >= 0) {
		c->watched = loop_add(c->v->loop, &c->lf, c->fd, events, on_fd, c) == 0;
	}
}

static void drop_fd(struct vsock_conn *c)
{
	if (c->watched)
		loop_del(c->v->loop, &c->lf);
	if (c->fd >= 0)
		close(c->fd);
	free(c->ring);
	c->watched = false;
	c->fd = -1;
	c->ring = NULL;
	c->put = c->got;
}

static void watch_listener(struct vsock *v, bool on)
{
	if (on == v->listening || v->listen_fd < 0)
		return;
	if (on)
		loop_add(v->loop, &v->listen_lf, v->listen_fd, EPOLLIN, on_listen, v);
	else
		loop_del(v->loop, &v->listen_lf);
	v->listening = on;
}

static void end(struct vsock_conn *c)
{
	drop_fd(c);
	c->state = CONN_FREE;
	c->pending = 0;
	watch_listener(c->v, true);
}

/* The guest is told that it is over. */
static void reset(struct vsock_conn *c)
{
	drop_fd(c);
	c->state = CONN_CLOSING;
	c->pending = BIT(RST);
}

static void on_tidy(void *opaque)
{
	struct vsock *v = opaque;

	virtio_lock(v->d);
	for (unsigned i = 0; i < VSOCK_CONNS; i++)
		if (v->conn[i].state == CONN_GONE)
			end(&v->conn[i]);
	watch_listener(v, true);
	virtio_unlock(v->d);
}

void vsock_conns_forget(struct vsock *v)
{
	for (unsigned i = 0; i < VSOCK_CONNS; i++) {
		if (v->conn[i].state == CONN_FREE)
			continue;
		v->conn[i].state = CONN_GONE;
		v->conn[i].pending = 0;
	}
	loop_timer_arm(&v->tidy, 0);
}

/* ---- guest to host ---- */

static void flush(struct vsock_conn *c)
{
	while (queued(c)) {
		u32 at = c->got % VSOCK_BUF_BYTES, n = MIN(queued(c), VSOCK_BUF_BYTES - at);
		ssize_t k = send(c->fd, c->ring + at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && errno == EAGAIN)
			break;
		if (k < 0) {
			reset(c);
			return;
		}
		c->got += (u32)k;
	}
	if (c->got - c->told >= VSOCK_BUF_BYTES / 4)
		c->pending |= BIT(CREDIT_UPDATE);
	if (!queued(c) && c->guest_shut == VSOCK_SHUT_BOTH) {
		reset(c);
		return;
	}
	if (!queued(c) && c->guest_shut & VSOCK_SHUT_SEND && !c->wr_shut) {
		shutdown(c->fd, SHUT_WR);
		c->wr_shut = true;
	}
	watch(c);
}

static void open_up(struct vsock_conn *c)
{
	c->state = CONN_OPEN;
	c->ring = xcalloc(1, VSOCK_BUF_BYTES);
	watch(c);
}

/* In answer to CONNECT; not of the stream, so it takes no credit. There is room: nothing was written before. */
static void say_ok(struct vsock_conn *c)
{
	char line[32];
	int n = snprintf(line, sizeof(line), "OK %u\n", c->host_port);

	if (send(c->fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n)
		reset(c);
	else
		open_up(c);
}

static void data(struct vsock_conn *c, u32 bytes)
{
	u64 off = sizeof(struct vsock_hdr);

	if (c->state != CONN_OPEN || c->guest_shut & VSOCK_SHUT_SEND || bytes > VSOCK_BUF_BYTES - queued(c)) {
		reset(c);
		return;
	}
	while (bytes) {
		u32 at = c->put % VSOCK_BUF_BYTES, n = MIN(bytes, VSOCK_BUF_BYTES - at);
		virtio_chain_read(&c->v->ch, off, c->ring + at, n);
		c->put += n;
		off += n;
		bytes -= n;
	}
	flush(c);
}

void vsock_packet(struct vsock_conn *c, const struct vsock_hdr *h)
{
	if (h->op == VSOCK_OP_RST) {
		end(c);
		return;
	}
	if (c->state == CONN_CLOSING)
		return;
	c->peer_buf_alloc = h->buf_alloc;
	c->peer_fwd_cnt = h->fwd_cnt;
	switch (h->op) {
	case VSOCK_OP_RESPONSE:
		if (c->state == CONN_REQUESTED && !c->pending)
			say_ok(c);
		else
			reset(c);
		break;
	case VSOCK_OP_RW:
		data(c, h->len);
		break;
	case VSOCK_OP_CREDIT_UPDATE:
		break;
	case VSOCK_OP_CREDIT_REQUEST:
		c->pending |= c->state == CONN_OPEN ? BIT(CREDIT_UPDATE) : 0;
		break;
	case VSOCK_OP_SHUTDOWN:
		c->guest_shut |= h->flags & VSOCK_SHUT_BOTH;
		if (c->state == CONN_OPEN)
			flush(c);
		else
			reset(c);
		break;
	default:
		reset(c);
	}
}

/* ---- connections that the guest begins ---- */

bool vsock_open(struct vsock *v, const struct vsock_hdr *h)
{
	struct vsock_ask ask = { .port = h->dst_port, .ticket = v->next_ticket++ };
	struct vsock_conn *c = v->link_fd >= 0 ? new_conn(v, CONN_OPENING, -1) : NULL;

	if (!c)
		return false;
	if (send(v->link_fd, &ask, sizeof(ask), MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof(ask)) {
		end(c);
		return false;
	}
	c->guest_port = h->src_port;
	c->host_port = h->dst_port;
	c->ticket = ask.ticket;
	c->peer_buf_alloc = h->buf_alloc;
	c->peer_fwd_cnt = h->fwd_cnt;
	return true;
}

/* An answer of mica-vsock's. Whoever has taken it over may send anything: what fits nothing is closed. */
static void opened(struct vsock *v, const struct vsock_answer *a, int fd)
{
	for (unsigned i = 0; i < VSOCK_CONNS; i++) {
		struct vsock_conn *c = &v->conn[i];
		if (c->state != CONN_OPENING || c->ticket != a->ticket)
			continue;
		if (a->error || fd < 0) {
			reset(c);
			break;
		}
		c->fd = fd;
		c->pending |= BIT(RESPONSE);
		open_up(c);
		return;
	}
	if (fd >= 0)
		close(fd);
}

static bool answer(struct vsock *v)
{
	struct vsock_answer a;
	int fd, r = vsock_answer_read(v->link_fd, &a, &fd);

	if (r > 0)
		opened(v, &a, fd);
	return r >= 0;
}

static void on_link(void *opaque, u32 events)
{
	struct vsock *v = opaque;

	virtio_lock(v->d);
	if (!answer(v)) {
		log_warn("mica-vsock has ended: the guest can no longer connect to the host");
		loop_del(v->loop, &v->link_lf);
		v->link_watched = false;
		close(steal_fd(&v->link_fd));
		for (unsigned i = 0; i < VSOCK_CONNS; i++)
			if (v->conn[i].state == CONN_OPENING)
				reset(&v->conn[i]);
	}
	vsock_pump(v);
	virtio_unlock(v->d);
}

/* ---- connections that the host begins ---- */

static void on_listen(void *opaque, u32 events)
{
	struct vsock *v = opaque;
	struct vsock_conn *c;
	int fd = -1;

	virtio_lock(v->d);
	for (unsigned i = 0; i < ACCEPTS; i++) {
		if (!(c = new_conn(v, CONN_HELLO, -1))) {
			watch_listener(v, false); /* until one has ended */
			break;
		}
		fd = accept4(v->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			c->state = CONN_FREE;
			if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
				log_warn("vsock: cannot take a connection: %s", strerror(errno));
				watch_listener(v, false);
			}
			break;
		}
		c->fd = fd;
		watch(c);
	}
	virtio_unlock(v->d);
}

/* "CONNECT 1024", the newline being gone. */
static bool parse_hello(struct vsock_conn *c)
{
	static const char word[] = "CONNECT ";
	char *end = NULL;

	c->hello[c->hello_bytes - 1] = '\0';
	if (strncmp(c->hello, word, sizeof(word) - 1) || !isdigit((unsigned char)c->hello[sizeof(word) - 1]))
		return false;
	unsigned long long port = strtoull(c->hello + sizeof(word) - 1, &end, 10);
	if (*end == '\r')
		end++;
	if (*end || port > UINT32_MAX)
		return false;
	c->guest_port = (u32)port;
	return true;
}

/* Not a byte behind the newline is taken: it is for the guest. */
static void hello(struct vsock_conn *c)
{
	char *to = c->hello + c->hello_bytes;
	ssize_t n = recv(c->fd, to, sizeof(c->hello) - c->hello_bytes, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	char *newline = n > 0 ? memchr(to, '\n', (size_t)n) : NULL;
	size_t take = newline ? (size_t)(newline + 1 - to) : (size_t)MAX(n, 0);
	if (n <= 0 || recv(c->fd, to, take, MSG_DONTWAIT) != (ssize_t)take) {
		end(c);
		return;
	}
	c->hello_bytes += (unsigned)take;
	if (!newline && c->hello_bytes < sizeof(c->hello))
		return;
	if (!newline || !parse_hello(c)) {
		end(c);
		return;
	}
	do
		c->host_port = c->v->next_port++ | PORT_FIRST;
	while (vsock_find(c->v, c->guest_port, c->host_port));
	c->state = CONN_REQUESTED;
	c->pending = BIT(REQUEST);
	watch(c);
}

static void on_fd(void *opaque, u32 events)
{
	struct vsock_conn *c = opaque;
	struct vsock *v = c->v;

	virtio_lock(v->d);
	c->hup |= (events & (EPOLLHUP | EPOLLERR)) != 0;
	switch (c->state) {
	case CONN_HELLO:
		hello(c);
		break;
	case CONN_REQUESTED: /* the client gave up; does the guest know of it? */
		if (c->hup && c->pending)
			end(c);
		else if (c->hup)
			reset(c);
		break;
	case CONN_OPEN:
		if (c->ended && c->hup) /* now it will read nothing either */
			c->pending |= BIT(SHUTDOWN);
		c->readable |= (events & EPOLLIN) || c->hup;
		flush(c);
		break;
	default:
		end(c);
	}
	vsock_pump(v);
	virtio_unlock(v->d);
}

/* ---- host to guest ---- */

static u32 credit(const struct vsock_conn *c)
{
	u32 flying = c->sent - c->peer_fwd_cnt;

	return flying < c->peer_buf_alloc ? c->peer_buf_alloc - flying : 0;
}

static bool can_read(const struct vsock_conn *c)
{
	return c->state == CONN_OPEN && c->readable && !c->ended && !(c->guest_shut & VSOCK_SHUT_RCV) && credit(c);
}

bool vsock_waits(const struct vsock_conn *c)
{
	return c->pending || can_read(c);
}

/* The order in which they are said. */
static bool next_word(struct vsock_conn *c, struct vsock_hdr *h)
{
	static const u16 order[] = { VSOCK_OP_REQUEST, VSOCK_OP_RESPONSE, VSOCK_OP_CREDIT_UPDATE, VSOCK_OP_RST };

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if (c->pending & 1u << order[i]) {
			c->pending &= ~(1u << order[i]);
			h->op = order[i];
			return true;
		}
	return false;
}

static bool next_data(struct vsock_conn *c, struct vsock_hdr *h, u32 room)
{
	if (!can_read(c))
		return false;
	ssize_t n = recv(c->fd, c->v->buf, MIN(room, credit(c)), MSG_DONTWAIT);
	if (n > 0) {
		h->op = VSOCK_OP_RW;
		h->len = (u32)n;
		c->sent += (u32)n;
		return true;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		c->readable = false;
	} else {
		c->ended = true;
		c->hup |= n < 0;
		c->pending |= BIT(SHUTDOWN);
	}
	watch(c);
	return false;
}

bool vsock_next(struct vsock_conn *c, struct vsock_hdr *h, u32 room)
{
	bool any = next_word(c, h) || next_data(c, h, room);

	if (!any && c->pending & BIT(SHUTDOWN)) {
		c->pending &= ~BIT(SHUTDOWN);
		h->op = VSOCK_OP_SHUTDOWN;
		h->flags = c->hup ? VSOCK_SHUT_BOTH : VSOCK_SHUT_SEND;
		any = true;
	}
	if (!any)
		return false;
	h->src_port = c->host_port;
	h->dst_port = c->guest_port;
	h->buf_alloc = VSOCK_BUF_BYTES;
	h->fwd_cnt = c->told = c->got;
	if (h->op == VSOCK_OP_RST)
		end(c);
	return true;
}

/* ---- beginning and end ---- */

void vsock_conns_init(struct vsock *v)
{
	for (unsigned i = 0; i < VSOCK_CONNS; i++)
		v->conn[i].fd = -1;
	loop_timer_init(v->loop, &v->tidy, on_tidy, v);
	watch_listener(v, true);
	if (v->link_fd >= 0)
		v->link_watched = loop_add(v->loop, &v->link_lf, v->link_fd, EPOLLIN, on_link, v) == 0;
}

void vsock_conns_fini(struct vsock *v)
{
	for (unsigned i = 0; i < VSOCK_CONNS; i++)
		if (v->conn[i].state != CONN_FREE)
			drop_fd(&v->conn[i]);
	watch_listener(v, false);
	if (v->link_watched)
		loop_del(v->loop, &v->link_lf);
	loop_timer_fini(&v->tidy);
	if (v->link_fd >= 0)
		close(v->link_fd);
	if (v->listen_fd >= 0)
		close(v->listen_fd);
}
