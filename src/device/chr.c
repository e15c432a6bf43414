/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * chr.c - console byte pipes; see chr.h.
 *
 * Theory: bytes towards the host go into a ring. A UART hands them over one at a time, so they are
 * not written at once: the first byte into an empty ring arms a timer 1 ms away, and what came by
 * then leaves in one write(2). A ring that holds RING_EAGER bytes is written by the caller itself.
 * When the fd takes no more, `blocked` is set, the loop watches for EPOLLOUT and writers only queue;
 * a full ring loses its oldest bytes.
 *
 * Bytes from the host are read into `in` and offered to the device. What it leaves stays there, and
 * nothing more is read (the fd is not even watched) until chr_ready().
 *
 * Lock order: a device's lock, then chr.lock. The receive callback is called without chr.lock.
 */
#include "device/chr.h"

#include "base/clock.h"
#include "device/chr_port.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define RING_BYTES 65536u /* power of two */
#define RING_EAGER 2048u
#define FLUSH_NS 1000000ull
#define PUMP_ROUNDS 16

struct chr {
	struct loop *loop;
	struct loop_timer out_timer, in_timer;
	struct chr_port port[2];

	/* the loop's thread only */
	int listen_fd;
	struct loop_fd listen_lf;
	u8 in_buf[4096];
	size_t in_off, in_len;

	pthread_mutex_t lock; /* guards what follows */
	struct chr_port *in, *out;
	size_t (*recv)(void *opaque, const u8 *buf, size_t bytes);
	void *recv_opaque;
	u8 ring[RING_BYTES];
	u32 put, got; /* free-running; put - got bytes are queued */
	bool blocked, broken, armed;
};

static void on_port(void *opaque, u32 events);
static void on_listen(void *opaque, u32 events);

static u32 queued(const struct chr *c)
{
	return c->put - c->got;
}

static void write_some_locked(struct chr *c)
{
	if (!c->out) {
		/* A listening console keeps its last bytes for who comes; else nobody will. */
		if (c->listen_fd < 0)
			c->got = c->put;
		return;
	}
	while (queued(c) && !c->blocked && !c->broken) {
		u32 at = c->got % RING_BYTES, n = queued(c), first = MIN(n, RING_BYTES - at);
		struct iovec iov[2] = { { c->ring + at, first }, { c->ring, n - first } };
		struct msghdr mh = { .msg_iov = iov, .msg_iovlen = n > first ? 2 : 1 };
		ssize_t w = c->out->is_socket ? sendmsg(c->out->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT)
					      : writev(c->out->fd, iov, (int)mh.msg_iovlen);
		if (w > 0)
			c->got += (u32)w;
		else if (w < 0 && errno == EINTR)
			continue;
		else if (w < 0 && errno == EAGAIN)
			c->blocked = true;
		else
			c->broken = true;
	}
}

/* The reader is gone, or nothing more comes from the host. Loop's thread. */
static void drop_client(struct chr *c)
{
	pthread_mutex_lock(&c->lock);
	c->in = c->out = NULL;
	c->blocked = c->broken = false;
	chr_port_fini(&c->port[0]);
	pthread_mutex_unlock(&c->lock);
	c->in_off = c->in_len = 0;
	loop_add(c->loop, &c->listen_lf, c->listen_fd, EPOLLIN, on_listen, c);
}

static void flush_on_loop(struct chr *c)
{
	pthread_mutex_lock(&c->lock);
	c->armed = false;
	write_some_locked(c);
	bool broken = c->broken;
	if (broken && c->listen_fd < 0) {
		c->got = c->put;
		if (c->out != c->in)
			chr_port_want(c->out, 0);
		c->out = NULL;
		c->broken = false;
	} else if (c->out) {
		u32 other = c->out == c->in ? c->out->want & EPOLLIN : 0;
		chr_port_want(c->out, other | (c->blocked ? EPOLLOUT : 0));
	}
	pthread_mutex_unlock(&c->lock);
	if (broken && c->listen_fd >= 0)
		drop_client(c);
}

static void on_out_timer(void *opaque)
{
	flush_on_loop(opaque);
}

static void want_input(struct chr *c, bool yes)
{
	pthread_mutex_lock(&c->lock);
	if (c->in)
		chr_port_want(c->in, (c->in->want & EPOLLOUT) | (yes ? EPOLLIN : 0));
	pthread_mutex_unlock(&c->lock);
}

static void input_ended(struct chr *c)
{
	if (c->listen_fd >= 0) {
		drop_client(c);
		return;
	}
	want_input(c, false);
	pthread_mutex_lock(&c->lock);
	c->in = NULL;
	pthread_mutex_unlock(&c->lock);
}

/* Read and offer until one side has had enough. Loop's thread. */
static void pump(struct chr *c)
{
	for (int round = 0; round < PUMP_ROUNDS; round++) {
		pthread_mutex_lock(&c->lock);
		size_t (*fn)(void *, const u8 *, size_t) = c->recv;
		void *arg = c->recv_opaque;
		int fd = c->in ? c->in->fd : -1;
		pthread_mutex_unlock(&c->lock);

		if (!fn) {
			want_input(c, false);
			return;
		}
		if (c->in_off == c->in_len) {
			if (fd < 0)
				return;
			ssize_t n = read(fd, c->in_buf, sizeof(c->in_buf));
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0 && errno == EAGAIN) {
				want_input(c, true);
				return;
			}
			if (n <= 0) {
				input_ended(c);
				return;
			}
			c->in_off = 0;
			c->in_len = (size_t)n;
		}
		size_t left = c->in_len - c->in_off, took = fn(arg, c->in_buf + c->in_off, left);
		must(took <= left);
		c->in_off += took;
		if (took < left) {
			want_input(c, false);
			return;
		}
	}
	loop_timer_arm(&c->in_timer, 0);
}

static void on_in_timer(void *opaque)
{
	pump(opaque);
}

static void on_port(void *opaque, u32 events)
{
	struct chr *c = opaque;

	/* Which fd it was does not matter: both are non-blocking and looking costs one call. */
	pthread_mutex_lock(&c->lock);
	bool was_blocked = c->blocked;
	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		c->blocked = false;
	pthread_mutex_unlock(&c->lock);
	if (was_blocked)
		flush_on_loop(c);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		pump(c);
}

static void on_listen(void *opaque, u32 events)
{
	struct chr *c = opaque;
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	loop_del(c->loop, &c->listen_lf);
	pthread_mutex_lock(&c->lock);
	struct chr_port *p = &c->port[0];
	*p = (struct chr_port){ .fd = fd,
				.is_socket = true,
				.owned = true,
				.restore_flags = -1,
				.polled = true,
				.loop = c->loop,
				.ready = on_port,
				.opaque = c };
	c->in = c->out = p;
	c->blocked = c->broken = false;
	pthread_mutex_unlock(&c->lock);
	want_input(c, true);
	flush_on_loop(c);
}

static struct chr *alloc(struct loop *loop)
{
	struct chr *c = xcalloc(1, sizeof(*c));
	struct sigaction sa;

	/* A reader that goes away is no reason to die. */
	if (sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
	c->loop = loop;
	c->listen_fd = -1;
	c->port[0].fd = c->port[1].fd = -1;
	pthread_mutex_init(&c->lock, NULL);
	loop_timer_init(loop, &c->out_timer, on_out_timer, c);
	loop_timer_init(loop, &c->in_timer, on_in_timer, c);
	return c;
}

int chr_new(struct chr **out, struct loop *loop, int in_fd, int out_fd, struct err *e)
{
	struct chr *c = alloc(loop);
	int r = 0;

	if (in_fd >= 0) {
		r = chr_port_init(&c->port[0], in_fd, in_fd != out_fd);
		if (!r)
			r = chr_port_poll(&c->port[0], c->loop, on_port, c);
		c->in = &c->port[0];
	}
	if (!r && out_fd >= 0 && out_fd == in_fd) {
		c->out = c->in;
	} else if (!r && out_fd >= 0) {
		r = chr_port_init(&c->port[1], out_fd, true);
		if (!r)
			r = chr_port_poll(&c->port[1], c->loop, on_port, c);
		c->out = &c->port[1];
	}
	if (r < 0) {
		chr_free(c);
		return err_sys(e, -r, "cannot use file descriptors %d and %d as a console", in_fd, out_fd);
	}
	*out = c;
	return 0;
}

int chr_new_listen(struct chr **out, struct loop *loop, int listen_fd, struct err *e)
{
	struct chr *c = alloc(loop);
	int fl = fcntl(listen_fd, F_GETFL), r = fl < 0 || fcntl(listen_fd, F_SETFL, fl | O_NONBLOCK) < 0 ? -errno : 0;

	c->listen_fd = listen_fd;
	if (!r)
		r = loop_add(loop, &c->listen_lf, listen_fd, EPOLLIN, on_listen, c);
	if (r < 0) {
		chr_free(c);
		return err_sys(e, -r, "cannot listen on the console socket");
	}
	*out = c;
	return 0;
}

void chr_free(struct chr *c)
{
	if (!c)
		return;
	chr_flush(c, 0);
	loop_timer_fini(&c->out_timer);
	loop_timer_fini(&c->in_timer);
	chr_port_fini(&c->port[0]);
	chr_port_fini(&c->port[1]);
	loop_del(c->loop, &c->listen_lf);
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void chr_write(struct chr *c, const void *buf, size_t bytes)
{
	const u8 *p = buf;

	pthread_mutex_lock(&c->lock);
	while (bytes) {
		u32 n = (u32)MIN(bytes, RING_BYTES / 2), at = c->put % RING_BYTES, first = MIN(n, RING_BYTES - at);

		if (RING_BYTES - queued(c) < n) {
			write_some_locked(c);
			if (RING_BYTES - queued(c) < n)
				c->got += n - (RING_BYTES - queued(c));
		}
		memcpy(c->ring + at, p, first);
		memcpy(c->ring, p + first, n - first);
		c->put += n;
		p += n;
		bytes -= n;
	}
	if (queued(c) >= RING_EAGER && !c->blocked)
		write_some_locked(c);
	/* Also when write_some_locked() found the fd blocked: the loop is to watch it. */
	if (queued(c) && !c->armed) {
		c->armed = true;
		loop_timer_arm(&c->out_timer, clock_mono_ns() + FLUSH_NS);
	}
	pthread_mutex_unlock(&c->lock);
}

void chr_set_recv(struct chr *c, size_t (*recv)(void *, const u8 *, size_t), void *opaque)
{
	pthread_mutex_lock(&c->lock);
	c->recv = recv;
	c->recv_opaque = opaque;
	pthread_mutex_unlock(&c->lock);
	if (recv)
		chr_ready(c);
}

void chr_ready(struct chr *c)
{
	loop_timer_arm(&c->in_timer, 0);
}

void chr_flush(struct chr *c, int timeout_ms)
{
	u64 end = clock_mono_ns() + (u64)MAX(timeout_ms, 0) * 1000000ull;

	for (;;) {
		pthread_mutex_lock(&c->lock);
		bool was = c->blocked;
		c->blocked = false;
		write_some_locked(c);
		bool done = !queued(c) || c->broken || !c->out;
		c->blocked |= was && !done;
		pthread_mutex_unlock(&c->lock);
		if (done || clock_mono_ns() >= end)
			return;
		usleep(1000);
	}
}
