/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slirp_wire.h - the guest's end of a real mica-slirp's wire, and sockets of the host: for tests of the user network.
 */
#ifndef SLIRP_WIRE_H
#define SLIRP_WIRE_H

#include "base/base.h"
#include "base/clock.h"
#include "net/net.h"
#include "patience.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>

#define IP_GUEST 0x0a00020fu
#define IP_HOST 0x0a000202u

static const u8 mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

struct net {
	int fd;
	pid_t pid;
	u8 gw[6]; /* the gateway's MAC, from ARP */
	u8 f[NET_FRAME_MAX];
	size_t n;
};

/* ---- bytes ---- */

static inline void put16(u8 *p, unsigned v)
{
	p[0] = (u8)(v >> 8);
	p[1] = (u8)v;
}
static inline void put32(u8 *p, u32 v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}
static inline unsigned get16(const u8 *p)
{
	return (unsigned)(p[0] << 8 | p[1]);
}
static inline u32 get32(const u8 *p)
{
	return (u32)get16(p) << 16 | get16(p + 2);
}

static inline u32 sum(u32 s, const u8 *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		s += i & 1 ? p[i] : (u32)p[i] << 8;
	return s;
}
static inline unsigned fold(u32 s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return ~s & 0xffff;
}

/* ---- frames ---- */

static inline void wire_send(struct net *n, const u8 *f, size_t len)
{
	assert_int_equal(send(n->fd, f, len, 0), len);
}

/* A frame with an IPv4 packet around `len` bytes of payload already at f + 34. */
static inline void ip_send(struct net *n, u8 *f, u8 proto, u32 src, u32 dst, size_t len)
{
	u8 *ip = f + 14, *l4 = f + 34;

	memcpy(f, n->gw, 6);
	memcpy(f + 6, mac, 6);
	put16(f + 12, 0x0800);
	memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, (unsigned)(20 + len));
	ip[8] = 64;
	ip[9] = proto;
	put32(ip + 12, src);
	put32(ip + 16, dst);
	put16(ip + 10, fold(sum(0, ip, 20)));
	unsigned at = proto == 6 ? 16 : 6;
	put16(l4 + at, 0);
	u32 s = sum(proto + (u32)len, ip + 12, 8);
	put16(l4 + at, fold(sum(s, l4, len)));
	wire_send(n, f, 34 + len);
}

static inline void arp_answer(struct net *n)
{
	u8 f[42];

	memcpy(f, n->f + 6, 6);
	memcpy(f + 6, mac, 6);
	memcpy(f + 12, n->f + 12, 8);
	put16(f + 20, 2);
	memcpy(f + 22, mac, 6);
	put32(f + 28, IP_GUEST);
	memcpy(f + 32, n->f + 22, 10);
	wire_send(n, f, sizeof(f));
}

static inline bool wire_recv(struct net *n, int timeout_ms)
{
	struct pollfd p = { .fd = n->fd, .events = POLLIN };

	if (poll(&p, 1, timeout_ms) <= 0)
		return false;
	ssize_t r = recv(n->fd, n->f, sizeof(n->f), 0);
	assert_true(r > 0);
	n->n = (size_t)r;
	return true;
}

/* The next frame that is an IPv4 packet of this protocol; questions by ARP are answered on the way. */
static inline void ip_recv(struct net *n, u8 proto)
{
	u64 end = clock_mono_ns() + patient(10 * NSEC_PER_SEC);

	while (clock_mono_ns() < end) {
		if (!wire_recv(n, 1000))
			continue;
		if (n->n < NET_FRAME_MIN)
			continue; /* how the back end is */
		unsigned type = get16(n->f + 12);
		if (type == 0x0806 && get16(n->f + 20) == 1 && get32(n->f + 38) == IP_GUEST)
			arp_answer(n);
		if (type != 0x0800 || n->f[14 + 9] != proto)
			continue;
		assert_int_equal(fold(sum(0, n->f + 14, 20)), 0);
		return;
	}
	fail_msg("no packet of protocol %u came", proto);
}

static inline void arp_gateway(struct net *n)
{
	u8 f[42] = { 0 };

	memset(f, 0xff, 6);
	memcpy(f + 6, mac, 6);
	put16(f + 12, 0x0806);
	put16(f + 14, 1);
	put16(f + 16, 0x0800);
	f[18] = 6;
	f[19] = 4;
	put16(f + 20, 1);
	memcpy(f + 22, mac, 6);
	put32(f + 28, IP_GUEST);
	put32(f + 38, IP_HOST);
	wire_send(n, f, sizeof(f));
	do
		assert_true(wire_recv(n, (int)patient(10000)));
	while (n->n < NET_FRAME_MIN || get16(n->f + 12) != 0x0806 || get16(n->f + 20) != 2);
	assert_int_equal(get32(n->f + 28), IP_HOST);
	memcpy(n->gw, n->f + 22, 6);
}

static inline void tcp_send(struct net *n, unsigned sport, unsigned dport, u32 seq, u32 ack, u8 flags, const char *data)
{
	u8 f[1514];
	size_t len = strlen(data);

	put16(f + 34, sport);
	put16(f + 36, dport);
	put32(f + 38, seq);
	put32(f + 42, ack);
	f[46] = 5 << 4;
	f[47] = flags;
	put16(f + 48, 65000);
	put16(f + 50, 0);
	put16(f + 52, 0);
	memcpy(f + 54, data, len);
	ip_send(n, f, 6, IP_GUEST, IP_HOST, 20 + len);
}

#define FIN 1
#define SYN 2
#define RST 4
#define PSH 8
#define ACK 16

static inline u8 *tcp(struct net *n)
{
	return n->f + 14 + (n->f[14] & 15) * 4;
}

/* The next segment that carries data, SYN, FIN or RST; returns its data. */
static inline const char *tcp_recv(struct net *n, u32 *seq, u8 *flags)
{
	static char text[NET_FRAME_MAX];

	for (;;) {
		ip_recv(n, 6);
		u8 *t = tcp(n);
		size_t ipn = get16(n->f + 16), off = (size_t)((n->f[14] & 15) * 4 + (t[12] >> 4) * 4);
		assert_true(ipn >= off && ipn - off < sizeof(text));
		memcpy(text, n->f + 14 + off, ipn - off);
		text[ipn - off] = 0;
		*seq = get32(t + 4);
		*flags = t[13];
		if (ipn > off || t[13] & (SYN | FIN | RST))
			return text;
	}
}

/* ---- host side ---- */

static inline int host_socket(int type, unsigned *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

static inline unsigned free_port(int type)
{
	unsigned port;

	close(host_socket(type, &port));
	return port;
}

static inline int host_connect(int type, unsigned port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons((u16)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static inline size_t host_read(int fd, char *buf, size_t bytes)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, (int)patient(10000)), 1);
	ssize_t n = read(fd, buf, bytes - 1);
	assert_true(n >= 0);
	buf[n] = 0;
	return (size_t)n;
}

static inline struct net *start(const struct net_hostfwd *fwd, unsigned nfwd)
{
	struct net *n = calloc(1, sizeof(*n));
	struct err e = { 0 };

	struct net_backend b;

	if (net_user_start(&b, fwd, nfwd, NULL, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(b.mtu, NET_USER_MTU);
	assert_true(b.checked);
	n->fd = b.fd;
	n->pid = b.pid;
	arp_gateway(n);
	return n;
}

/* Closing the socket is what ends it, promptly and well. */
static inline void end(struct net *n)
{
	u64 give_up = clock_mono_ns() + patient(5 * NSEC_PER_SEC);
	int st = -1;

	close(n->fd);
	while (waitpid(n->pid, &st, WNOHANG) == 0) {
		assert_true(clock_mono_ns() < give_up);
		usleep(1000);
	}
	assert_true(WIFEXITED(st));
	assert_int_equal(WEXITSTATUS(st), 0);
	free(n);
}

/* mica-slirp itself, which its keeper (n->pid) started; 0: there is none now. */
static inline pid_t slirp_pid(struct net *n)
{
	char path[64], text[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)n->pid, (int)n->pid);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	pid_t pid = fgets(text, sizeof(text), f) ? atoi(text) : 0;
	fclose(f);
	return pid;
}

/* A line of its /proc/PID/status, as a number. */
static inline long slirp_status(pid_t pid, const char *key)
{
	char path[64], line[256];
	long v = -1;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			v = atol(line + strlen(key) + 1);
	fclose(f);
	return v;
}

#endif
