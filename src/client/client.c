/* SPDX-License-Identifier: GPL-2.0-or-later */
/* client.c - see client.h. Here: the connection, its bytes, requests and answers. */
#include "client/client.h"
#include "base/clock.h"
#include "client/client_int.h"
#include "vmm/err_json.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define READ_BYTES 4096

/* ---- life ---- */

struct client *client_new(int fd)
{
	struct client *c = xcalloc(1, sizeof(*c));

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	c->fd = fd;
	c->next_id = 1;
	return c;
}

int client_connect(struct client **out, const char *path, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = { .tv_sec = CLIENT_CONNECT_MS / 1000 };

	if (fd < 0)
		return err_sys(e, errno, "cannot make a socket");
	if (strlen(path) >= sizeof(a.sun_path))
		return err_set(e, ENAMETOOLONG, "%s: the path of a socket has at most %zu bytes", path,
			       sizeof(a.sun_path) - 1);
	memcpy(a.sun_path, path, strlen(path) + 1);
	/* Waits only where more clients than listen(2) keeps are at the door. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return err_sys(e, errno, "%s: cannot reach a VM there", path);
	*out = client_new(steal_fd(&fd));
	return 0;
}

void client_set_ops(struct client *c, const struct client_ops *ops)
{
	c->ops = *ops;
}

static void destroy(struct client *c)
{
	if (c->loop)
		loop_timer_fini(&c->timer);
	free(c->in);
	free(c);
}

/* Take a request out of the list and answer it. */
static void answer(struct client *c, struct client_req **at, const json_t *result, const struct err *e)
{
	struct client_req *r = *at;

	*at = r->next;
	c->nreqs--;
	if (r->fn)
		r->fn(r->opaque, result, e);
	free(r);
}

static void close_down(struct client *c)
{
	if (c->fd < 0)
		return;
	if (c->loop)
		loop_del(c->loop, &c->lf);
	close(steal_fd(&c->fd));
	while (c->out) {
		struct client_out *o = c->out;
		c->out = o->next;
		if (o->fd >= 0)
			close(o->fd);
		free(o);
	}
	c->out_tail = NULL;
}

/* The connection is over. */
static void end(struct client *c, const struct err *why)
{
	if (c->fd < 0)
		return;
	close_down(c);
	while (c->reqs && !c->freed)
		answer(c, &c->reqs, NULL, why);
	if (c->ops.end && !c->freed)
		c->ops.end(c->ops.opaque, why);
}

void client_free(struct client *c)
{
	struct err e;

	if (!c || c->freed)
		return;
	c->freed = true;
	close_down(c);
	err_set(&e, ECANCELED, "the connection to the VM was closed here");
	while (c->reqs)
		answer(c, &c->reqs, NULL, &e);
	if (!c->busy)
		destroy(c);
}

/* ---- out ---- */

static int send_some(const struct client_out *o)
{
	struct iovec iov = { (char *)(uintptr_t)o->text + o->done, o->bytes - o->done };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} cmsg = { .bytes = { 0 } };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (o->fd >= 0) { /* with the first byte */
		mh.msg_control = &cmsg;
		mh.msg_controllen = sizeof(cmsg);
		struct cmsghdr *h = CMSG_FIRSTHDR(&mh);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &o->fd, sizeof(o->fd));
	}
	ssize_t n;
	do
		n = sendmsg(o->sock, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

static void write_out(struct client *c)
{
	while (c->out) {
		struct client_out *o = c->out;
		int n = send_some(o);
		if (n == -EAGAIN)
			return;
		if (n < 0) {
			c->deaf = -n; /* what the VM said before its end is still to be read */
			return;
		}
		if (o->fd >= 0)
			close(steal_fd(&o->fd));
		o->done += (size_t)n;
		if (o->done < o->bytes)
			return;
		c->out = o->next;
		if (!c->out)
			c->out_tail = NULL;
		free(o);
	}
}

int client_request(struct client *c, const char *command, json_t *more, int pass_fd, u64 timeout_ms,
		   client_reply_fn *fn, void *opaque, struct err *e)
{
	json_t *o = more ? more : json_object();
	int copy = -1;

	json_object_set_new(o, "command", json_string(command));
	json_object_set_new(o, "id", json_integer((json_int_t)c->next_id));
	auto_free char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (c->fd < 0)
		return err_set(e, ENOTCONN, "the VM has ended, or its connection");
	if (!text)
		return err_set(e, EILSEQ, "%s: the request has a text that is not valid UTF-8", command);
	if (c->nreqs == CLIENT_REQUESTS_MAX)
		return err_set(e, EBUSY, "%d requests to the VM wait for their answers already", CLIENT_REQUESTS_MAX);
	if (pass_fd >= 0 && (copy = fcntl(pass_fd, F_DUPFD_CLOEXEC, 3)) < 0)
		return err_sys(e, errno, "%s: cannot pass the descriptor on", command);
	size_t n = strlen(text);
	struct client_out *out = xcalloc(1, sizeof(*out) + n + 1);
	*out = (struct client_out){ .sock = c->fd, .fd = copy, .bytes = n + 1 };
	memcpy(out->text, text, n);
	out->text[n] = '\n';
	*(c->out_tail ? &c->out_tail->next : &c->out) = out;
	c->out_tail = out;

	struct client_req *r = xcalloc(1, sizeof(*r)), **at = &c->reqs;
	r->id = c->next_id++;
	r->fn = fn;
	r->opaque = opaque;
	r->deadline_ns = timeout_ms ? clock_mono_ns() + timeout_ms * 1000000 : UINT64_MAX;
	while (*at)
		at = &(*at)->next;
	*at = r;
	c->nreqs++;
	if (c->out == out) /* nothing waits before it; its failure is heard of in client_step() */
		write_out(c);
	client_watch(c);
	return 0;
}

/* ---- in ---- */

static void on_line(struct client *c, const char *line, size_t len)
{
	json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const char *event = json_string_value(json_object_get(o, "event"));
	const json_t *id = json_object_get(o, "id"), *result = json_object_get(o, "result");
	struct err e;

	if (event) {
		if (c->ops.event)
			c->ops.event(c->ops.opaque, event, json_object_get(o, "data"));
	} else if (json_is_boolean(json_object_get(o, "ok")) && json_is_integer(id)) {
		struct client_req **at = &c->reqs;
		bool ok = json_is_true(json_object_get(o, "ok")) && result;

		while (*at && (json_int_t)(*at)->id != json_integer_value(id))
			at = &(*at)->next;
		if (!ok)
			err_from_json(&e, o);
		if (*at) /* else too late: nobody waits for it */
			answer(c, at, ok ? result : NULL, ok ? NULL : &e);
	} else {
		/* It refuses us, or it is no VM. */
		if (json_is_false(json_object_get(o, "ok")))
			err_from_json(&e, o);
		else
			err_set(&e, EPROTO, "the VM gave an answer that makes no sense");
		end(c, &e);
	}
	json_decref(o);
}

static void take_lines(struct client *c)
{
	size_t at = 0;
	char *nl;

	while (c->fd >= 0 && (nl = memchr(c->in + at, '\n', c->in_len - at))) {
		size_t n = (size_t)(nl - (c->in + at));
		if (n)
			on_line(c, c->in + at, n);
		at += n + 1;
	}
	c->in_len -= at;
	memmove(c->in, c->in + at, c->in_len);
}

static void read_in(struct client *c)
{
	struct err e;

	if (c->in_room - c->in_len < READ_BYTES) {
		c->in_room = 2 * c->in_room + READ_BYTES;
		c->in = xrealloc(c->in, c->in_room);
	}
	ssize_t n = recv(c->fd, c->in + c->in_len, c->in_room - c->in_len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		err_set(&e, EPIPE, "the VM ended without an answer");
		end(c, &e);
		return;
	}
	c->in_len += (size_t)n;
	take_lines(c);
	if (c->fd >= 0 && c->in_len > CLIENT_LINE_MAX) {
		err_set(&e, EPROTO, "the VM gave an answer that is longer than any");
		end(c, &e);
	}
}

static void time_out(struct client *c)
{
	struct client_req **at = &c->reqs;
	u64 now = clock_mono_ns();
	struct err e;

	while (*at && !c->freed)
		if ((*at)->deadline_ns <= now) {
			err_set(&e, ETIMEDOUT, "the VM did not answer in time; it may be overloaded, or hang");
			answer(c, at, NULL, &e);
			at = &c->reqs; /* the callback may have changed the list */
		} else {
			at = &(*at)->next;
		}
}

/* ---- turns ---- */

int client_fd(const struct client *c)
{
	return c->fd;
}

short client_wants(const struct client *c)
{
	return (short)(POLLIN | (c->out && !c->deaf ? POLLOUT : 0));
}

u64 client_deadline(const struct client *c)
{
	u64 first = UINT64_MAX;

	for (const struct client_req *r = c->reqs; r; r = r->next)
		first = MIN(first, r->deadline_ns);
	return first;
}

void client_step(struct client *c)
{
	struct err e;

	c->busy++;
	if (c->fd >= 0 && !c->deaf)
		write_out(c);
	if (c->fd >= 0)
		read_in(c);
	if (c->fd >= 0 && c->deaf && c->deaf != EPIPE && c->deaf != ECONNRESET) {
		err_sys(&e, c->deaf, "cannot talk to the VM");
		end(c, &e);
	}
	if (!c->freed)
		time_out(c);
	if (!--c->busy && c->freed)
		destroy(c);
	else
		client_watch(c);
}
