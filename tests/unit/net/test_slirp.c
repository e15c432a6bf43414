/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The user network from the guest's side of the wire: raw frames to a real mica-slirp. */
#include "slirp_wire.h"

/* ---- tests ---- */

static void dhcp(void **state)
{
	struct net *n = start(NULL, 0);
	u8 f[34 + 8 + 300] = { 0 }, *d = f + 42;

	(void)state;
	put16(f + 34, 68);
	put16(f + 36, 67);
	put16(f + 38, 308);
	d[0] = 1;
	d[1] = 1;
	d[2] = 6;
	put32(d + 4, 0xdeadbeef);
	memcpy(d + 28, mac, 6);
	put32(d + 236, 0x63825363);
	memcpy(d + 240, "\x35\x01\x01\xff", 4); /* DISCOVER */
	memset(n->gw, 0xff, 6);
	ip_send(n, f, 17, 0, 0xffffffff, 308);
	ip_recv(n, 17);
	u8 *r = n->f + 42;
	assert_int_equal(get16(n->f + 36), 68);
	assert_int_equal(r[0], 2);
	assert_int_equal(get32(r + 4), 0xdeadbeef);
	assert_int_equal(get32(r + 16), IP_GUEST);
	unsigned seen = 0;
	for (u8 *o = r + 240; o < n->f + n->n && *o != 0xff; o += *o ? 2 + o[1] : 1) {
		if (o[0] == 53) {
			assert_int_equal(o[2], 2); /* OFFER */
			seen |= 1;
		} else if (o[0] == 3) {
			assert_int_equal(get32(o + 2), IP_HOST);
			seen |= 2;
		} else if (o[0] == 6) {
			assert_int_equal(get32(o + 2), 0x0a000203);
			seen |= 4;
		}
	}
	assert_int_equal(seen, 7);
	end(n);
}

static void tcp_out(void **state)
{
	struct net *n = start(NULL, 0);
	unsigned port;
	int l = host_socket(SOCK_STREAM, &port);
	u32 seq;
	u8 fl;
	char buf[100];

	(void)state;
	tcp_send(n, 40000, port, 1000, 0, SYN, "");
	tcp_recv(n, &seq, &fl);
	assert_int_equal(fl & (SYN | ACK | RST), SYN | ACK);
	assert_int_equal(get32(tcp(n) + 8), 1001);
	tcp_send(n, 40000, port, 1001, seq + 1, ACK, "");
	tcp_send(n, 40000, port, 1001, seq + 1, ACK | PSH, "GET /\r\n");
	int c = accept(l, NULL, NULL);
	assert_int_equal(host_read(c, buf, sizeof(buf)), 7);
	assert_string_equal(buf, "GET /\r\n");
	assert_int_equal(write(c, "hello guest", 11), 11);
	assert_string_equal(tcp_recv(n, &seq, &fl), "hello guest");
	tcp_send(n, 40000, port, 1008, seq + 11, ACK, "");
	close(c);
	tcp_recv(n, &seq, &fl);
	assert_true(fl & FIN);
	/* nobody there: a reset, not silence */
	close(l);
	tcp_send(n, 40001, port, 1000, 0, SYN, "");
	tcp_recv(n, &seq, &fl);
	assert_true(fl & RST);
	end(n);
}

static void udp_out(void **state)
{
	struct net *n = start(NULL, 0);
	unsigned port;
	int s = host_socket(SOCK_DGRAM, &port);
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	u8 f[34 + 12];
	char buf[10];

	(void)state;
	put16(f + 34, 5000);
	put16(f + 36, port);
	put16(f + 38, 12);
	memcpy(f + 42, "ping", 4);
	ip_send(n, f, 17, IP_GUEST, IP_HOST, 12);
	assert_int_equal(recvfrom(s, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len), 4);
	assert_int_equal(sendto(s, "pong!", 5, 0, (struct sockaddr *)&from, len), 5);
	ip_recv(n, 17);
	assert_int_equal(get32(n->f + 26), IP_HOST);
	assert_int_equal(get16(n->f + 34), port);
	assert_int_equal(get16(n->f + 36), 5000);
	assert_memory_equal(n->f + 42, "pong!", 5);
	close(s);
	end(n);
}

static void forwarded(void **state)
{
	struct net_hostfwd fwd[2] = { { .host_port = (u16)free_port(SOCK_STREAM), .guest_port = 22 },
				      { .udp = true, .host_port = (u16)free_port(SOCK_DGRAM), .guest_port = 53 } };
	struct net *n = start(fwd, 2);
	u32 seq;
	u8 fl;
	char buf[100];

	(void)state;
	int c = host_connect(SOCK_STREAM, fwd[0].host_port);
	tcp_recv(n, &seq, &fl);
	assert_int_equal(fl & (SYN | ACK), SYN);
	assert_int_equal(get32(n->f + 30), IP_GUEST);
	unsigned sport = get16(tcp(n));
	assert_int_equal(get16(tcp(n) + 2), 22);
	tcp_send(n, 22, sport, 7000, seq + 1, SYN | ACK, "");
	tcp_send(n, 22, sport, 7001, seq + 1, ACK | PSH, "SSH-2.0\r\n");
	assert_int_equal(host_read(c, buf, sizeof(buf)), 9);
	assert_string_equal(buf, "SSH-2.0\r\n");
	assert_int_equal(write(c, "SSH-1.0\r\n", 9), 9);
	assert_string_equal(tcp_recv(n, &seq, &fl), "SSH-1.0\r\n");
	close(c);

	int u = host_connect(SOCK_DGRAM, fwd[1].host_port);
	assert_int_equal(write(u, "query", 5), 5);
	ip_recv(n, 17);
	assert_int_equal(get16(n->f + 36), 53);
	assert_memory_equal(n->f + 42, "query", 5);
	close(u);
	end(n);
}

static void port_taken(void **state)
{
	unsigned port;
	struct err e = { 0 };
	struct net_backend b;

	(void)state;
	for (int udp = 0; udp < 2; udp++) {
		int l = host_socket(udp ? SOCK_DGRAM : SOCK_STREAM, &port), one = 1;
		struct net_hostfwd fwd = { .udp = udp, .host_port = (u16)port, .guest_port = 22 };
		char want[64];
		/* also when the owner would share */
		setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		assert_true(net_user_start(&b, &fwd, 1, NULL, &e) < 0);
		snprintf(want, sizeof(want), "%s port %u", udp ? "udp" : "tcp", port);
		assert_non_null(strstr(e.msg, want));
		assert_non_null(strstr(e.msg, "Address already in use"));
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing left behind */
		close(l);
	}
	struct net_hostfwd far = { .host_addr = "192.0.2.1", .host_port = 4000, .guest_port = 22 };
	assert_true(net_user_start(&b, &far, 1, NULL, &e) < 0);
	assert_non_null(strstr(e.msg, "192.0.2.1"));
	setenv("MICA_HELPER_DIR", "/nonexistent", 1);
	assert_int_equal(net_user_start(&b, NULL, 0, NULL, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "mica-net"));
}

/* Anything may come from a guest. */
static void hostile(void **state)
{
	struct net *n = start(NULL, 0);
	static u8 f[NET_FRAME_MAX];
	u64 r = 88172645463325252ull;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		size_t len = 0;
		for (size_t j = 0; j < 128; j++) {
			r ^= r << 13;
			r ^= r >> 7;
			r ^= r << 17;
			f[j] = (u8)r;
		}
		len = i % 500 == 0 ? sizeof(f) : 1 + r % 127;
		memcpy(f, n->gw, 6);
		if (i & 1)
			put16(f + 12, (const unsigned[]){ 0x0800, 0x0806, 0x86dd, 0x0800 }[r >> 60 & 3]);
		if (i & 2) { /* an IPv4 header right enough to look further */
			f[14] = 0x45;
			put16(f + 16, (unsigned)(len > 14 ? len - 14 : 0));
			f[20] = f[21] = 0;
			f[23] = (const u8[]){ 6, 17, 1, 2 }[r >> 58 & 3];
			put32(f + 26, IP_GUEST);
			put32(f + 30, i & 4 ? IP_HOST : 0x0a000203);
			put16(f + 24, 0);
			put16(f + 24, fold(sum(0, f + 14, 20)));
		}
		wire_send(n, f, len);
		while (wire_recv(n, 0))
			;
	}
	while (wire_recv(n, 200))
		;
	u8 gw[6];
	memcpy(gw, n->gw, 6);
	arp_gateway(n);
	assert_memory_equal(gw, n->gw, 6);
	end(n);
}

#define CONNS 60
#define EACH 60000

/* A VMM that takes no frames for a while: more than the socket holds waits, all arrives, once and in order. */
static void back_pressure(void **state)
{
	struct net *n = start(NULL, 0);
	unsigned port, left = CONNS;
	int l = host_socket(SOCK_STREAM, &port), c[CONNS];
	u32 next[CONNS], first[CONNS], seq;
	u8 fl;
	static u8 data[EACH];

	(void)state;
	for (unsigned i = 0; i < EACH; i++)
		data[i] = (u8)(i % 251);
	for (unsigned i = 0; i < CONNS; i++) {
		tcp_send(n, 40000 + i, port, 1000, 0, SYN, "");
		tcp_recv(n, &seq, &fl);
		assert_int_equal(get16(tcp(n) + 2), 40000 + i);
		next[i] = first[i] = seq + 1;
		tcp_send(n, 40000 + i, port, 1001, seq + 1, ACK, "");
		c[i] = accept(l, NULL, NULL);
	}
	for (unsigned i = 0; i < CONNS; i++)
		assert_int_equal(write(c[i], data, EACH), EACH);
	usleep(200000);
	while (left) {
		ip_recv(n, 6);
		unsigned i = get16(tcp(n) + 2) - 40000;
		size_t len = get16(n->f + 16) - 20u - (tcp(n)[12] >> 4) * 4u;
		assert_true(i < CONNS);
		if (!len)
			continue;
		assert_int_equal(get32(tcp(n) + 4), next[i]);
		assert_memory_equal(tcp(n) + 20, data + (next[i] - first[i]), len);
		next[i] += (u32)len;
		if (next[i] - first[i] == EACH)
			left--;
	}
	for (unsigned i = 0; i < CONNS; i++)
		close(c[i]);
	close(l);
	end(n);
}

/* Frames of 64 KiB both ways, for a guest that says it takes them. */
static void large_frames(void **state)
{
	struct net *n = start(NULL, 0);
	unsigned port;
	int l = host_socket(SOCK_STREAM, &port);
	static u8 f[NET_FRAME_MAX], data[60000], back[60000];
	u32 seq;
	u8 fl;

	(void)state;
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i % 251);
	put16(f + 34, 40000);
	put16(f + 36, port);
	put32(f + 38, 1000);
	f[46] = 6 << 4;
	f[47] = SYN;
	put16(f + 48, 65000);
	put32(f + 54, 0x02040000 | (NET_USER_MTU - 40)); /* MSS */
	ip_send(n, f, 6, IP_GUEST, IP_HOST, 24);
	tcp_recv(n, &seq, &fl);
	assert_int_equal(fl & (SYN | ACK), SYN | ACK);
	assert_int_equal(get32(tcp(n) + 20), 0x02040000 | (NET_USER_MTU - 40));
	put32(f + 38, 1001);
	put32(f + 42, seq + 1);
	f[46] = 5 << 4;
	f[47] = ACK | PSH;
	memcpy(f + 54, data, sizeof(data));
	ip_send(n, f, 6, IP_GUEST, IP_HOST, 20 + sizeof(data));
	int c = accept(l, NULL, NULL);
	assert_int_equal(recv(c, back, sizeof(back), MSG_WAITALL), sizeof(back));
	assert_memory_equal(back, data, sizeof(data));
	assert_int_equal(write(c, data, sizeof(data)), sizeof(data));
	size_t got = 0, most = 0;
	while (got < sizeof(data)) {
		ip_recv(n, 6);
		size_t len = get16(n->f + 16) - 40u;
		if (!len || get32(tcp(n) + 4) != seq + 1 + got)
			continue;
		assert_memory_equal(tcp(n) + 20, data + got, len);
		got += len;
		most = MAX(most, len);
		tcp_send(n, 40000, port, 1001 + sizeof(data), seq + 1 + (u32)got, ACK, "");
	}
	assert_true(most > 20000);
	close(c);
	close(l);
	end(n);
}

static void locked_in(void **state)
{
	struct net *n = start(NULL, 0);
	char path[64], line[256];
	unsigned seen = 0;

	(void)state;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)slirp_pid(n));
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		seen |= strcmp(line, "NoNewPrivs:\t1\n") == 0 ? 1 : 0;
		seen |= strcmp(line, "Seccomp:\t2\n") == 0 ? 2 : 0;
		seen |= strcmp(line, "CapEff:\t0000000000000000\n") == 0 ? 4 : 0;
		seen |= strcmp(line, "CapPrm:\t0000000000000000\n") == 0 ? 8 : 0;
	}
	fclose(f);
	assert_int_equal(seen, 15);
	end(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dhcp),         cmocka_unit_test(tcp_out),   cmocka_unit_test(udp_out),
		cmocka_unit_test(forwarded),    cmocka_unit_test(hostile),   cmocka_unit_test(back_pressure),
		cmocka_unit_test(large_frames), cmocka_unit_test(locked_in), cmocka_unit_test(port_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
