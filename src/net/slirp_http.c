/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slirp_http.c - see slirp_http.h. */
#include "net/slirp_http.h"
#include "base/base.h"
#include "base/log.h"
#include "net/http_request.h"
#include "net/slirp_limit.h"
#include "net/slirp_tftp.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define HEAD_MAX 8192 /* of a request */
#define PIECE (64 * KIB)

/* A connection either waits for a request's head (nout == 0), or has an answer that is being sent: out, then the file.
 */
struct conn {
	int fd;   /* -1: none */
	int poll; /* poll()'s index */
	char in[HEAD_MAX];
	size_t nin;
	char out[512];
	size_t nout, sent;
	int file; /* -1: no more of it */
	u64 at, end;
	bool last; /* closed behind the answer */
};

static struct conn conns[SLIRP_HTTP_CONNECTIONS];
static bool serving;

void slirp_http_init(void)
{
	for (unsigned i = 0; i < SLIRP_HTTP_CONNECTIONS; i++)
		conns[i].fd = conns[i].file = -1;
	serving = true;
}

/* ---- connections come ---- */

static bool is_ours(int fd, const struct sockaddr *to, socklen_t len)
{
	int type = 0;
	socklen_t n = sizeof(type);

	if (!serving || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_STREAM)
		return false;
	if (to->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
		const struct sockaddr_in *a = (const void *)to;
		return a->sin_port == htons(SLIRP_HTTP_PORT) && a->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
	}
	if (to->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
		const struct sockaddr_in6 *a = (const void *)to;
		return a->sin6_port == htons(SLIRP_HTTP_PORT) && IN6_IS_ADDR_LOOPBACK(&a->sin6_addr);
	}
	return false;
}

/* As connect(). fd keeps its number and, as libslirp has made it so, does not block. */
static int take(int fd)
{
	struct conn *c = conns;
	int pair[2];

	while (c < conns + SLIRP_HTTP_CONNECTIONS && c->fd >= 0)
		c++;
	if (c == conns + SLIRP_HTTP_CONNECTIONS ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		errno = ECONNREFUSED;
		return -1;
	}
	int r = slirp_limit_reached(pair[1]) ? -1 : (int)syscall(SYS_dup3, pair[0], fd, O_CLOEXEC);
	close(pair[0]);
	if (r < 0) {
		close(pair[1]);
		errno = ECONNREFUSED;
		return -1;
	}
	c->fd = pair[1];
	c->poll = -1;
	c->nin = c->nout = 0;
	return 0;
}

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	if (is_ours(fd, to, len))
		return take(fd);
	return (int)syscall(SYS_connect, fd, to, len);
}

/* ---- answers ---- */

static void end_file(struct conn *c)
{
	if (c->file >= 0)
		close(c->file);
	c->file = -1;
}

static void end_conn(struct conn *c)
{
	end_file(c);
	close(c->fd);
	c->fd = -1;
}

static const char *reason(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} known[] = { { 200, "OK" },
		      { 206, "Partial Content" },
		      { 400, "Bad Request" },
		      { 404, "Not Found" },
		      { 414, "URI Too Long" },
		      { 416, "Range Not Satisfiable" },
		      { 431, "Request Header Fields Too Large" },
		      { 501, "Not Implemented" },
		      { 505, "HTTP Version Not Supported" } };

	for (unsigned i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].status == status)
			return known[i].text;
	return "?";
}

/* UEFI 2.10, 24.7.3.2: firmware starts what is said to be a program or a disk, whatever its name. */
static const char *kind_of(int file, const char *path)
{
	const char *dot = strrchr(path, '.');
	char magic[2] = "";

	if (lseek(file, 0, SEEK_SET) == 0 && read(file, magic, 2) == 2 && !memcmp(magic, "MZ", 2))
		return "application/efi";
	if (dot && !strcasecmp(dot, ".iso"))
		return "application/vnd.efi-iso";
	if (dot && !strcasecmp(dot, ".img"))
		return "application/vnd.efi-img";
	return "application/octet-stream";
}

static void answer(struct conn *c, const struct http_request *q, unsigned status)
{
	const char *kind = "text/plain";
	char where[80] = "";
	u64 length = 0;

	c->sent = 0;
	if (!status) {
		off_t size = 0;
		c->file = slirp_tftp_find(q->path, &size);
		status = c->file < 0 || size < 0 ? 404 : http_request_span(q, (u64)size, &c->at, &c->end);
		if (status == 416)
			snprintf(where, sizeof(where), "Content-Range: bytes */%lld\r\n", (long long)size);
		if (status == 206)
			snprintf(where, sizeof(where), "Content-Range: bytes %llu-%llu/%lld\r\n",
				 (unsigned long long)c->at, (unsigned long long)c->end - 1, (long long)size);
		if (status < 300) {
			kind = kind_of(c->file, q->path);
			length = c->end - c->at;
		}
		log_debug("http: %s: %u", q->path, status);
	}
	c->last = !q->keep;
	if (q->head || status >= 300)
		end_file(c);
	c->nout = (size_t)snprintf(c->out, sizeof(c->out),
				   "HTTP/1.1 %u %s\r\nServer: mica\r\nContent-Type: %s\r\nContent-Length: %llu\r\n"
				   "%sAccept-Ranges: bytes\r\n%s\r\n",
				   status, reason(status), kind, (unsigned long long)length, where,
				   c->last ? "Connection: close\r\n" : "");
}

/* The next request of what has come, if there is a whole one. */
static void next_request(struct conn *c)
{
	struct http_request q = { .keep = false };
	size_t n = http_request_length(c->in, c->nin);

	if (!n) {
		if (c->nin == HEAD_MAX)
			answer(c, &q, 431);
		return;
	}
	unsigned status = http_request_parse(&q, c->in, n);
	memmove(c->in, c->in + n, c->nin - n);
	c->nin -= n;
	answer(c, &q, status);
}

static bool may_wait(void)
{
	return errno == EAGAIN || errno == EINTR;
}

static void receive(struct conn *c)
{
	ssize_t n = recv(c->fd, c->in + c->nin, HEAD_MAX - c->nin, MSG_DONTWAIT);

	if (n > 0)
		c->nin += (size_t)n;
	else if (n == 0 || !may_wait())
		return end_conn(c);
	next_request(c);
}

/* A piece of a file into `buf`; 0: the end of it, which may have come early, as another program has cut it. */
static size_t piece(struct conn *c, u8 *buf)
{
	if (c->at >= c->end || lseek(c->file, (off_t)c->at, SEEK_SET) < 0)
		return 0;
	ssize_t n = read(c->file, buf, (size_t)MIN(c->end - c->at, (u64)PIECE));
	return n > 0 ? (size_t)n : 0;
}

static void send_on(struct conn *c)
{
	static u8 buf[PIECE];
	ssize_t n;

	if (c->sent < c->nout) {
		n = send(c->fd, c->out + c->sent, c->nout - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && !may_wait())
			return end_conn(c);
		c->sent += n > 0 ? (size_t)n : 0;
		if (c->sent < c->nout)
			return;
	}
	if (c->file >= 0) {
		size_t len = piece(c, buf);
		n = len ? send(c->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
		if (n < 0 && may_wait())
			return;
		if (n < 0 || (!len && c->at < c->end))
			return end_conn(c); /* its length was promised: the reader has to learn that it is not all */
		c->at += (u64)n;
		if (c->at < c->end)
			return;
		end_file(c);
	}
	if (c->last)
		return end_conn(c);
	c->nout = 0;
	next_request(c);
}

/* ---- turns ---- */

void slirp_http_fill(SlirpAddPollCb add, void *opaque)
{
	for (struct conn *c = conns; serving && c < conns + SLIRP_HTTP_CONNECTIONS; c++)
		if (c->fd >= 0)
			c->poll = add(c->fd, c->nout ? SLIRP_POLL_OUT : SLIRP_POLL_IN, opaque);
}

void slirp_http_serve(SlirpGetREventsCb revents, void *opaque)
{
	for (struct conn *c = conns; serving && c < conns + SLIRP_HTTP_CONNECTIONS; c++) {
		/* One that has come since poll() has no index: its turn is the next. */
		if (c->fd < 0 || c->poll < 0 || !revents(c->poll, opaque))
			continue;
		if (c->nout)
			send_on(c);
		else
			receive(c);
	}
}
