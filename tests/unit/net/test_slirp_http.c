/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_slirp_http.c - files by HTTP from the guest's side of the wire, and what DHCP tells firmware that boots by it.
 */
#include "net/slirp_http.h"
#include "slirp_wire.h"

#include <sys/stat.h>

#define BIG 300000

static char top[] = "/tmp/mica-http-XXXXXX";
static u8 big[BIG];

static void put_file(const char *name, const void *data, size_t n)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, n), n);
	close(fd);
}

static int set_up(void **state)
{
	(void)state;
	for (unsigned i = 0; i < BIG; i++)
		big[i] = (u8)(i ^ i >> 8);
	assert_non_null(mkdtemp(top));
	assert_int_equal(chdir(top), 0);
	assert_int_equal(mkdir("given", 0700), 0);
	put_file("secret", "secret", 6);
	put_file("given/a", "this is a", 9);
	put_file("given/boot", "MZ program", 10);
	put_file("given/big.iso", big, BIG);
	assert_int_equal(symlink("../secret", "given/outside"), 0);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "given/a",       "given/boot", "given/big.iso",
					     "given/outside", "given",      "secret" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		remove(names[i]);
	return rmdir(top);
}

static struct net *given(const char *bootfile)
{
	const struct net_user_boot boot = { .tftp = "given", .bootfile = bootfile };
	struct net *n = calloc(1, sizeof(*n));
	struct net_backend b;
	struct err e;

	if (net_user_start(&b, NULL, 0, &boot, &e) < 0)
		fail_msg("%s", e.msg);
	n->fd = b.fd;
	n->pid = b.pid;
	arp_gateway(n);
	return n;
}

/* ---- a connection ---- */

struct client {
	unsigned port;
	u32 seq, ack;
	char text[BIG + 4096];
	size_t got;
	bool ended;
};

static void client_open(struct net *n, struct client *c, unsigned port)
{
	u8 fl;

	memset(c, 0, sizeof(*c));
	c->port = port;
	tcp_send(n, port, SLIRP_HTTP_PORT, 1000, 0, SYN, "");
	do
		tcp_recv(n, &c->ack, &fl);
	while (get16(tcp(n) + 2) != port); /* what other connections have to say has its time */
	assert_int_equal(fl & (SYN | ACK | RST), SYN | ACK);
	c->seq = 1001;
	c->ack++;
	tcp_send(n, port, SLIRP_HTTP_PORT, c->seq, c->ack, ACK, "");
}

static void client_send(struct net *n, struct client *c, const char *text)
{
	tcp_send(n, c->port, SLIRP_HTTP_PORT, c->seq, c->ack, ACK | PSH, text);
	c->seq += (u32)strlen(text);
}

/* Until that many bytes have come, or the other end ends it. */
static void client_take(struct net *n, struct client *c, size_t want)
{
	while (c->got < want && !c->ended) {
		ip_recv(n, 6);
		u8 *t = tcp(n);
		size_t header = (size_t)(t[12] >> 4) * 4, len = get16(n->f + 16) - 20u - header;
		assert_false(t[13] & RST);
		if (get16(t + 2) != c->port || get32(t + 4) != c->ack)
			continue; /* again, or of another connection */
		assert_true(c->got + len < sizeof(c->text));
		memcpy(c->text + c->got, t + header, len);
		c->got += len;
		c->ack += (u32)len + (t[13] & FIN ? 1u : 0u);
		c->ended = t[13] & FIN;
		if (len || c->ended)
			tcp_send(n, c->port, SLIRP_HTTP_PORT, c->seq, c->ack, ACK, "");
	}
	c->text[c->got] = 0;
}

/* The answer to one request on a connection of its own, which ends then. */
static struct client *ask(struct net *n, const char *request)
{
	static struct client c;
	static unsigned port = 20000;

	client_open(n, &c, port++);
	client_send(n, &c, request);
	client_take(n, &c, SIZE_MAX);
	return &c;
}

static const char *body(const struct client *c)
{
	const char *at = strstr(c->text, "\r\n\r\n");

	assert_non_null(at);
	return at + 4;
}

#define CLOSE "Connection: close\r\n\r\n"

static void files(void **state)
{
	static const char *const none[] = { "/outside", "/../secret", "/%2e%2e/secret", "/given/a", "/",
					    "//",       "/a/",        "/etc/passwd" };
	struct net *n = given(NULL);
	char text[200];

	(void)state;
	struct client *c = ask(n, "GET /a HTTP/1.1\r\n" CLOSE);
	assert_memory_equal(c->text, "HTTP/1.1 200 OK\r\n", 17);
	assert_non_null(strstr(c->text, "\r\nContent-Length: 9\r\n"));
	assert_string_equal(body(c), "this is a");
	c = ask(n, "HEAD /boot HTTP/1.1\r\n" CLOSE);
	assert_non_null(strstr(c->text, "\r\nContent-Length: 10\r\n"));
	assert_non_null(strstr(c->text, "\r\nContent-Type: application/efi\r\n"));
	assert_string_equal(body(c), "");
	c = ask(n, "GET /big.iso HTTP/1.0\r\n\r\n");
	assert_non_null(strstr(c->text, "\r\nContent-Type: application/vnd.efi-iso\r\n"));
	assert_int_equal(c->text + c->got - body(c), BIG);
	assert_memory_equal(body(c), big, BIG);
	c = ask(n, "GET /big.iso HTTP/1.1\r\nRange: bytes=100000-100009\r\n" CLOSE);
	assert_memory_equal(c->text, "HTTP/1.1 206 ", 13);
	assert_non_null(strstr(c->text, "\r\nContent-Range: bytes 100000-100009/300000\r\n"));
	assert_int_equal(c->text + c->got - body(c), 10);
	assert_memory_equal(body(c), big + 100000, 10);
	c = ask(n, "GET /a HTTP/1.1\r\nRange: bytes=9-\r\n" CLOSE);
	assert_memory_equal(c->text, "HTTP/1.1 416 ", 13);
	assert_non_null(strstr(c->text, "\r\nContent-Range: bytes */9\r\n"));
	c = ask(n, "POST /a HTTP/1.1\r\n\r\n");
	assert_memory_equal(c->text, "HTTP/1.1 501 ", 13);
	for (unsigned i = 0; i < ARRAY_LEN(none); i++) {
		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" CLOSE, none[i]);
		c = ask(n, text);
		if (strncmp(c->text, "HTTP/1.1 404 ", 13) || strstr(c->text, "secret"))
			fail_msg("%s: %s", none[i], c->text);
	}
	end(n);
}

/* Several requests, in pieces and at once, on one connection that goes on; a head without an end is not kept for ever.
 */
static void connections(void **state)
{
	struct net *n = given(NULL);
	static struct client c, more[SLIRP_HTTP_CONNECTIONS + 1];
	char junk[1001];
	u32 seq;
	u8 fl;

	(void)state;
	client_open(n, &c, 30000);
	client_send(n, &c, "GET /a HTT");
	client_send(n, &c, "P/1.1\r\n\r\nGET /boot HTTP/1.1\r\n\r\nGET /a HTTP/1.1\r\n" CLOSE);
	client_take(n, &c, SIZE_MAX);
	const char *first = body(&c);
	assert_memory_equal(first, "this is aHTTP/1.1 200 OK", 24);
	assert_string_equal(c.text + c.got - 9, "this is a");
	assert_non_null(strstr(first, "MZ program"));

	memset(junk, 'x', sizeof(junk) - 1);
	junk[sizeof(junk) - 1] = 0;
	client_open(n, &c, 30001);
	for (unsigned i = 0; i < 9; i++)
		client_send(n, &c, junk);
	client_take(n, &c, 13);
	assert_memory_equal(c.text, "HTTP/1.1 431 ", 13);

	/* As many as there may be; one more is reset; when one has ended, there is room again. */
	for (unsigned i = 0; i < SLIRP_HTTP_CONNECTIONS; i++)
		client_open(n, &more[i], 31000 + i);
	tcp_send(n, 32000, SLIRP_HTTP_PORT, 1000, 0, SYN, "");
	do
		tcp_recv(n, &seq, &fl);
	while (get16(tcp(n) + 2) != 32000);
	assert_true(fl & RST);
	client_send(n, &more[0], "GET /a HTTP/1.1\r\n" CLOSE);
	client_take(n, &more[0], SIZE_MAX);
	assert_string_equal(body(&more[0]), "this is a");
	client_open(n, &c, 32001);
	end(n);
}

/* ---- DHCP ---- */

/* A DISCOVER with these options; the answer's options, of which `code` is given back; NULL: it has none. */
static const u8 *discover(struct net *n, const char *class, u8 code)
{
	u8 f[34 + 8 + 300] = { 0 }, *d = f + 42, *o = d + 240;

	put16(f + 34, 68);
	put16(f + 36, 67);
	put16(f + 38, 308);
	memcpy(d, "\1\1\6", 3);
	put32(d + 4, 0xdeadbeef);
	memcpy(d + 28, mac, 6);
	put32(d + 236, 0x63825363);
	memcpy(o, "\x35\x01\x01", 3);
	o[3] = 60;
	o[4] = (u8)strlen(class);
	memcpy(o + 5, class, strlen(class));
	o[5 + strlen(class)] = 0xff;
	memset(n->gw, 0xff, 6);
	ip_send(n, f, 17, 0, 0xffffffff, 308);
	ip_recv(n, 17);
	size_t len = get16(n->f + 38);
	assert_int_equal(n->n, 34 + len);
	assert_int_equal(get16(n->f + 16), 20 + len);
	assert_int_equal(fold(sum(sum(17 + (u32)len, n->f + 26, 8), n->f + 34, len)), 0);
	for (const u8 *a = n->f + 42 + 240; a < n->f + n->n && *a != 0xff; a += *a ? 2 + a[1] : 1)
		if (*a == code)
			return a;
	return NULL;
}

static void dhcp(void **state)
{
	static const char url[] = "http://10.0.2.2/sub/boot.efi";
	struct net *n = given("sub/boot.efi");

	(void)state;
	for (int round = 0; round < 2; round++) {
		const u8 *o = discover(n, "HTTPClient:Arch:00016:UNDI:003001", 60);
		assert_non_null(o);
		assert_memory_equal(o, "\x3c\x0aHTTPClient", 12);
		o = discover(n, "HTTPClient:Arch:00016:UNDI:003001", 67);
		assert_non_null(o);
		assert_int_equal(o[1], sizeof(url) - 1);
		assert_memory_equal(o + 2, url, sizeof(url) - 1);
		/* Who boots by TFTP is told as before. */
		assert_null(discover(n, "PXEClient:Arch:00007:UNDI:003001", 60));
		assert_string_equal((const char *)n->f + 42 + 108, "sub/boot.efi");
	}
	end(n);
	n = given("http://192.0.2.1/x.efi");
	assert_non_null(discover(n, "HTTPClient", 60)); /* libslirp says it by itself */
	assert_string_equal((const char *)n->f + 42 + 108, "http://192.0.2.1/x.efi");
	end(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(files), cmocka_unit_test(connections),
					    cmocka_unit_test(dhcp) };

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
