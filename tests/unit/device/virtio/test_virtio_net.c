/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_virtio_net.c - network device: frames between rings and a socket. */
#include "device/class.h"
#include "net/net.h"
#include "virtio_rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <cmocka.h>

#define BUF 0x100000
#define HDR 12
#define F_CSUM (1ull << 0)
#define F_GUEST_CSUM (1ull << 1)
#define F_MTU (1ull << 3)
#define F_MRG (1ull << 15)
#define F_STATUS (1ull << 16)

static const u8 mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };

static struct fix {
	struct virtio_rig v;
	int wire; /* the other end */
	u8 frame[NET_FRAME_MAX + 1];
} F;

static int setup(void **state)
{
	struct virtio_dev *d;
	int sv[2];

	virtio_rig_up(&F.v, 4 * MIB);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sv), 0);
	F.wire = sv[0];
	assert_int_equal(virtio_net_new(&d, F.v.ram, F.v.loop, sv[1], mac, NULL), 0);
	virtio_rig_take(&F.v, d);
	return 0;
}

static int teardown(void **state)
{
	virtio_rig_down(&F.v);
	if (F.wire >= 0)
		close(F.wire);
	return 0;
}

/* A frame whose bytes tell their place and number. */
static size_t make(unsigned number, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		F.frame[i] = (u8)(number * 31 + i + (i >> 8));
	return bytes;
}

static void wire_send(unsigned number, size_t bytes)
{
	assert_int_equal(send(F.wire, F.frame, make(number, bytes), 0), bytes);
}

static ssize_t wire_recv(void *buf, size_t cap)
{
	return recv(F.wire, buf, cap, MSG_DONTWAIT);
}

/* A receive buffer of `bytes` at its own place. */
static gpa_t rx_add(unsigned slot, u32 bytes)
{
	gpa_t at = BUF + slot * 0x10000ull / 8;
	struct vdesc d = { .addr = at, .len = bytes };

	memset(F.v.ram->host + at, 0xee, bytes);
	vd_add(&F.v.q[0], &d, 0, 1);
	return at;
}

static void tx_add(const void *frame, u32 bytes, u32 split, const u8 hdr[HDR])
{
	gpa_t at = BUF + 0x200000;
	struct vdesc d[2] = { { .addr = at, .len = HDR + split }, { .addr = at + 0x40000, .len = bytes - split } };

	memcpy(F.v.ram->host + at, hdr, HDR);
	memcpy(F.v.ram->host + at + HDR, frame, split);
	memcpy(F.v.ram->host + at + 0x40000, (const u8 *)frame + split, bytes - split);
	vd_add(&F.v.q[1], d, bytes > split ? 2 : 1, 0);
}

static const u8 plain[HDR];

static void config(void **state)
{
	u8 c[12];

	F.v.dev->cls->cfg_read(F.v.dev, 0, c, 12);
	assert_memory_equal(c, mac, 6);
	assert_int_equal(ld_le16(c + 6), 1);
	/* segmentation of any kind is not offered: nobody would do it */
	assert_int_equal(F.v.dev->features_offered & 0x7f80, 0);
	assert_int_equal(F.v.dev->features_offered & (F_CSUM | F_GUEST_CSUM | F_MRG | F_STATUS),
			 F_CSUM | F_GUEST_CSUM | F_MRG | F_STATUS);
	assert_int_equal(F.v.dev->features_offered >> 3 & 1, 0);
	virtio_net_set_mtu(F.v.dev, 65520);
	assert_int_equal(F.v.dev->features_offered >> 3 & 1, 1);
	F.v.dev->cls->cfg_read(F.v.dev, 10, c, 2);
	assert_int_equal(ld_le16(c), 65520);
}

static void transmit(void **state)
{
	u8 got[2000];
	u32 id, len;

	virtio_rig_start(&F.v, 64, 0);
	for (unsigned split = 1; split <= 1514; split += 89) {
		make(split, 1514);
		tx_add(F.frame, 1514, split, plain);
		vd_kick(&F.v.q[1]);
		assert_int_equal(wire_recv(got, sizeof(got)), 1514);
		assert_memory_equal(got, F.frame, 1514);
		assert_true(vd_used(&F.v.q[1], &id, &len));
		assert_int_equal(len, 0);
	}
	assert_true(F.v.irqs[1] > 0);
	assert_int_equal(F.v.irqs[0], 0);
	/* too short, no header, unknown segmentation: back without a frame, the device lives on */
	make(0, 200);
	tx_add(F.frame, 13, 13, plain);
	tx_add(F.frame, 100, 100, (const u8[HDR]){ 0, 1 });
	struct vdesc d = { .addr = BUF, .len = 5 };
	vd_add(&F.v.q[1], &d, 1, 0);
	d.len = HDR + NET_FRAME_MAX + 1;
	vd_add(&F.v.q[1], &d, 1, 0);
	vd_add(&F.v.q[1], &d, 0, 1);
	vd_kick(&F.v.q[1]);
	for (int i = 0; i < 5; i++)
		assert_true(vd_used(&F.v.q[1], &id, &len));
	assert_int_equal(wire_recv(got, sizeof(got)), -1);
	assert_int_equal(F.v.dev->status & VIRTIO_S_NEEDS_RESET, 0);
}

static u16 sum16(const u8 *p, size_t n)
{
	u32 s = 0;

	for (size_t i = 0; i < n; i++)
		s += i & 1 ? p[i] : (u32)p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (u16)s;
}

static void checksums(void **state)
{
	u8 got[2000], h[HDR] = { 1 };
	u32 id, len;

	virtio_rig_start(&F.v, 64, F_CSUM);
	for (size_t n = 60; n < 200; n++) {
		make((unsigned)n, n);
		st_le16(h + 6, 34);
		st_le16(h + 8, 16);
		tx_add(F.frame, (u32)n, 20, h);
		vd_kick(&F.v.q[1]);
		assert_int_equal(wire_recv(got, sizeof(got)), n);
		/* summed with its checksum it is all ones, and no other byte changed */
		u16 seed = (u16)(F.frame[50] << 8 | F.frame[51]);
		u32 s = sum16(got + 34, n - 34) + seed;
		s = (s & 0xffff) + (s >> 16);
		assert_int_equal(s, 0xffff);
		memcpy(F.frame + 50, got + 50, 2);
		assert_memory_equal(got, F.frame, n);
	}
	/* fields that lead out of the frame send nothing */
	static const u16 bad[][2] = { { 65535, 65535 }, { 199, 0 }, { 200, 0 }, { 34, 165 }, { 0, 65535 } };
	make(0, 200);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		st_le16(h + 6, bad[i][0]);
		st_le16(h + 8, bad[i][1]);
		tx_add(F.frame, 200, 20, h);
		vd_kick(&F.v.q[1]);
		assert_int_equal(wire_recv(got, sizeof(got)), -1);
	}
	while (vd_used(&F.v.q[1], &id, &len))
		;
	assert_int_equal(F.v.dev->status & VIRTIO_S_NEEDS_RESET, 0);
	/* not negotiated: the flag means nothing and the frame goes as it is */
	virtio_rig_start(&F.v, 64, 0);
	tx_add(F.frame, 200, 20, h);
	vd_kick(&F.v.q[1]);
	assert_int_equal(wire_recv(got, sizeof(got)), 200);
	assert_memory_equal(got, F.frame, 200);
}

/* A wire that takes no more: the guest's frames wait, in order, and none is lost or doubled. */
static void transmit_stall(void **state)
{
	static u8 got[70000];
	unsigned sent = 0, seen = 0, used = 0;
	u32 id, len;

	virtio_rig_start(&F.v, 64, 0);
	while (seen < 300) {
		while (sent < 300 && sent - used < 32) {
			gpa_t at = BUF + (sent % 32) * 0x8000;
			struct vdesc d = { .addr = at, .len = HDR + 20000 };
			memset(F.v.ram->host + at, 0, HDR);
			make(sent, 20000);
			memcpy(F.v.ram->host + at + HDR, F.frame, 20000);
			vd_add(&F.v.q[1], &d, 1, 0);
			sent++;
		}
		vd_kick(&F.v.q[1]);
		while (vd_used(&F.v.q[1], &id, &len))
			used++;
		if (seen == 0)
			assert_true(used < 32);
		for (int i = 0; i < 5 && seen < 300; i++) {
			ssize_t r = wire_recv(got, sizeof(got));
			if (r < 0)
				break;
			assert_int_equal(r, 20000);
			make(seen, 20000);
			assert_memory_equal(got, F.frame, 20000);
			seen++;
		}
		virtio_rig_spin(&F.v);
	}
	while (vd_used(&F.v.q[1], &id, &len))
		used++;
	assert_int_equal(used, 300);
}

static void receive(void **state)
{
	u32 id, len;

	virtio_rig_start(&F.v, 64, 0);
	gpa_t a = rx_add(0, 1526), b = rx_add(1, 1526);
	vd_kick(&F.v.q[0]);
	wire_send(1, 60);
	wire_send(2, 1514);
	virtio_rig_spin(&F.v);
	assert_true(vd_used(&F.v.q[0], &id, &len));
	assert_int_equal(len, HDR + 60);
	make(1, 60);
	assert_memory_equal(F.v.ram->host + a + HDR, F.frame, 60);
	assert_int_equal(F.v.ram->host[a + HDR + 60], 0xee);
	assert_memory_equal(F.v.ram->host + a, "\0\0\0\0\0\0\0\0\0\0\1\0", HDR);
	assert_true(vd_used(&F.v.q[0], &id, &len));
	assert_int_equal(len, HDR + 1514);
	make(2, 1514);
	assert_memory_equal(F.v.ram->host + b + HDR, F.frame, 1514);
	assert_true(F.v.irqs[0] > 0);
	/* without mergeable buffers a frame that is too long is dropped, and the buffer stays */
	rx_add(0, 1526);
	vd_kick(&F.v.q[0]);
	wire_send(3, 1515);
	wire_send(4, 100);
	virtio_rig_spin(&F.v);
	assert_true(vd_used(&F.v.q[0], &id, &len));
	assert_int_equal(len, HDR + 100);
	assert_false(vd_used(&F.v.q[0], &id, &len));
}

/* A long frame over several buffers; too few of them, and it waits whole. */
static void receive_merged(void **state)
{
	u32 id, len;
	gpa_t at[40];
	size_t n = 20000, done = 0;

	virtio_rig_start(&F.v, 64, F_MRG);
	at[0] = rx_add(0, HDR); /* the smallest that is allowed */
	for (unsigned i = 1; i < 5; i++)
		at[i] = rx_add(i, 1536);
	vd_kick(&F.v.q[0]);
	wire_send(7, n);
	virtio_rig_spin(&F.v);
	assert_false(vd_used(&F.v.q[0], &id, &len));
	wire_send(8, 100); /* behind it */
	for (unsigned i = 5; i < 16; i++) {
		at[i] = rx_add(i, 1536);
		vd_kick(&F.v.q[0]);
		virtio_rig_spin(&F.v);
	}
	make(7, n);
	for (unsigned i = 0; done < n; i++) {
		assert_true(vd_used(&F.v.q[0], &id, &len));
		if (i == 0) {
			assert_int_equal(len, HDR);
			assert_int_equal(ld_le16(F.v.ram->host + at[0] + 10), 15);
			continue;
		}
		assert_int_equal(len, MIN(1536, n - done));
		assert_memory_equal(F.v.ram->host + at[i], F.frame + done, len);
		done += len;
		if (done == n)
			assert_int_equal(i, 14);
	}
	assert_true(vd_used(&F.v.q[0], &id, &len));
	assert_int_equal(len, HDR + 100);
	assert_false(vd_used(&F.v.q[0], &id, &len));
}

/* ---- frames that are longer than the driver was told ---- */

#define TCP_HEADERS 54 /* Ethernet, IPv4, TCP */

static void put16(u8 *p, unsigned v)
{
	p[0] = (u8)(v >> 8);
	p[1] = (u8)v;
}

static unsigned get16(const u8 *p)
{
	return (unsigned)(p[0] << 8 | p[1]);
}

/* A TCP segment in one frame, its payload as of make(). */
static void make_segment(unsigned number, size_t bytes)
{
	u8 *f = F.frame;

	make(number, bytes);
	memset(f + 12, 0, TCP_HEADERS - 12);
	memcpy(f + 12, "\x08\0\x45", 3);
	put16(f + 16, (unsigned)bytes - 14);
	f[22] = 64;
	f[23] = 6;
	memcpy(f + 26, "\x0a\0\2\2\x0a\0\2\x0f", 8);
	put16(f + 40, 1000); /* the sequence number's lower half */
	f[46] = 5 << 4;
	f[47] = 0x18; /* ACK, PSH */
}

/* As sum16(), of a segment with its pseudo header. */
static u16 segment_sum(const u8 *f, size_t bytes)
{
	u8 all[2048] = { 0 };

	memcpy(all, f + 26, 8);
	all[9] = 6;
	put16(all + 10, (unsigned)bytes - 34);
	memcpy(all + 12, f + 34, bytes - 34);
	return sum16(all, 12 + bytes - 34);
}

/* A driver that does not ask for the MTU gets TCP in segments that fit into 1500 bytes, as its buffers allow. */
static void receive_cut(void **state)
{
	const size_t bytes = 8000;
	size_t done = TCP_HEADERS;
	u32 id, len = 0;

	virtio_net_set_mtu(F.v.dev, 65520);
	virtio_rig_start(&F.v, 64, 0);
	make_segment(9, bytes);
	assert_int_equal(send(F.wire, F.frame, bytes, 0), bytes);
	while (done < bytes) { /* one buffer at a time: the rest waits */
		gpa_t at = rx_add(0, 1526);
		vd_kick(&F.v.q[0]);
		virtio_rig_spin(&F.v);
		assert_true(vd_used(&F.v.q[0], &id, &len));
		const u8 *f = F.v.ram->host + at + HDR;
		size_t n = len - HDR, payload = n - TCP_HEADERS;
		assert_true(n > TCP_HEADERS && n <= 1514);
		assert_int_equal(get16(f + 16), n - 14);
		assert_int_equal(get16(f + 40), 1000 + done - TCP_HEADERS);
		assert_int_equal(f[47], done + payload == bytes ? 0x18 : 0x10);
		assert_int_equal(sum16(f + 14, 20), 0xffff);
		assert_int_equal(segment_sum(f, n), 0xffff);
		assert_memory_equal(f + TCP_HEADERS, F.frame + done, payload);
		done += payload;
	}
	assert_int_equal(done, bytes);
	/* the next one is a frame as it came */
	gpa_t at = rx_add(1, 1526);
	vd_kick(&F.v.q[0]);
	wire_send(4, 100);
	virtio_rig_spin(&F.v);
	assert_true(vd_used(&F.v.q[0], &id, &len));
	assert_int_equal(len, HDR + 100);
	make(4, 100);
	assert_memory_equal(F.v.ram->host + at + HDR, F.frame, 100);
	assert_false(vd_used(&F.v.q[0], &id, &len));
}

/* One that asked gets the frame whole. */
static void receive_mtu(void **state)
{
	u32 id, len;

	virtio_net_set_mtu(F.v.dev, 65520);
	virtio_rig_start(&F.v, 64, F_MTU);
	gpa_t at = rx_add(0, 9000);
	vd_kick(&F.v.q[0]);
	make_segment(9, 8000);
	assert_int_equal(send(F.wire, F.frame, 8000, 0), 8000);
	virtio_rig_spin(&F.v);
	assert_true(vd_used(&F.v.q[0], &id, &len));
	assert_int_equal(len, HDR + 8000);
	assert_memory_equal(F.v.ram->host + at + HDR, F.frame, 8000);
}

/* No buffers: the wire fills up instead of frames being lost. */
static void receive_stall(void **state)
{
	unsigned sent = 0, got = 0;
	u32 id, len;

	virtio_rig_start(&F.v, 64, F_MRG);
	for (unsigned i = 0; i < 5; i++)
		virtio_rig_spin(&F.v);
	while (sent < 100000 && send(F.wire, F.frame, make(sent, 1000), MSG_DONTWAIT) > 0)
		sent++;
	virtio_rig_spin(&F.v);
	assert_true(sent > 10 && sent < 5000);
	struct timespec c0, c1;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &c0);
	for (int i = 0; i < 10; i++)
		virtio_rig_spin(&F.v);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &c1);
	assert_true((c1.tv_sec - c0.tv_sec) * 1000000000ll + c1.tv_nsec - c0.tv_nsec < 25000000);
	while (got < sent) {
		gpa_t at = rx_add(got % 8, 1536);
		vd_kick(&F.v.q[0]);
		for (int i = 0; i < 3 && !vd_used(&F.v.q[0], &id, &len); i++)
			virtio_rig_spin(&F.v);
		make(got, 1000);
		assert_memory_equal(F.v.ram->host + at + HDR, F.frame, 1000);
		got++;
	}
}

static void bad_buffers(void **state)
{
	virtio_rig_start(&F.v, 64, F_MRG);
	rx_add(0, HDR - 1);
	vd_kick(&F.v.q[0]);
	wire_send(0, 60);
	virtio_rig_spin(&F.v);
	assert_int_equal(F.v.dev->status & VIRTIO_S_NEEDS_RESET, VIRTIO_S_NEEDS_RESET);
	assert_true(F.v.cfg_irqs > 0);
	/* after a reset it works; the old frame is not delivered to the new driver */
	virtio_rig_start(&F.v, 64, 0);
	gpa_t at = rx_add(0, 1526);
	vd_kick(&F.v.q[0]);
	wire_send(1, 61);
	virtio_rig_spin(&F.v);
	make(1, 61);
	assert_memory_equal(F.v.ram->host + at + HDR, F.frame, 61);
}

/* One more frame; true when the device cannot get rid of it. */
static bool tx_stalled(void)
{
	u32 id, len;

	make(0, 100);
	tx_add(F.frame, 100, 100, plain);
	vd_kick(&F.v.q[1]);
	return !vd_used(&F.v.q[1], &id, &len);
}

static void wire_cut(void **state)
{
	u8 st[2];
	u32 id, len;

	virtio_rig_start(&F.v, 64, F_STATUS);
	close(F.wire);
	F.wire = -1;
	virtio_rig_spin(&F.v);
	virtio_rig_spin(&F.v);
	F.v.dev->cls->cfg_read(F.v.dev, 6, st, 2);
	assert_int_equal(ld_le16(st), 0);
	assert_int_equal(F.v.cfg_irqs, 1);
	make(0, 100);
	tx_add(F.frame, 100, 100, plain);
	vd_kick(&F.v.q[1]);
	assert_true(vd_used(&F.v.q[1], &id, &len));
}

/* The word of the back end for its frames reaches the driver that asked for it, and no other. */
static void checked_frames(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		bool asks = i & 1, says = i & 2;
		virtio_net_set_checked(F.v.dev, says);
		virtio_rig_start(&F.v, 64, asks ? F_GUEST_CSUM : 0);
		gpa_t at = rx_add(0, 1526);
		vd_kick(&F.v.q[0]);
		wire_send(i, 100);
		virtio_rig_spin(&F.v);
		assert_memory_equal(F.v.ram->host + at + HDR, F.frame, 100);
		assert_int_equal(F.v.ram->host[at], asks && says ? 2 : 0);
		assert_int_equal(F.v.ram->host[at + 1], 0);
	}
}

/* Another back end comes behind the card: what it says counts, and where that is less than the guest was told, or
 * nothing that can be understood, the link stays down. */
static void another_back_end(void **state)
{
	u8 st[2], down = NET_MSG_DOWN;
	struct net_hello h = { .msg = NET_MSG_HELLO, .version = NET_VERSION, .mtu = 1500, .flags = NET_HELLO_CHECKED };
	static const struct {
		size_t bytes;
		struct net_hello h;
	} bad[] = {
		{ 1, { NET_MSG_HELLO, NET_VERSION, 0, 1500, 0 } },   { 12, { NET_MSG_HELLO, 2, 0, 1500, 0 } },
		{ 12, { NET_MSG_HELLO, NET_VERSION, 0, 1499, 0 } },  { 12, { NET_MSG_HELLO, NET_VERSION, 0, 1500, 2 } },
		{ 12, { NET_MSG_FAILED, NET_VERSION, 0, 1500, 0 } },
	};

	virtio_rig_start(&F.v, 64, F_STATUS | F_GUEST_CSUM);
	gpa_t at = rx_add(0, 1526);
	vd_kick(&F.v.q[0]);
	assert_int_equal(send(F.wire, &down, 1, 0), 1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(send(F.wire, &bad[i].h, bad[i].bytes, 0), bad[i].bytes);
		virtio_rig_spin(&F.v);
		F.v.dev->cls->cfg_read(F.v.dev, 6, st, 2);
		assert_int_equal(ld_le16(st), 0);
	}
	assert_int_equal(send(F.wire, &h, sizeof(h), 0), sizeof(h));
	wire_send(1, 100);
	virtio_rig_spin(&F.v);
	F.v.dev->cls->cfg_read(F.v.dev, 6, st, 2);
	assert_int_equal(ld_le16(st), 1);
	assert_int_equal(F.v.ram->host[at], 2);
}

static void count_turns(void *opaque, enum device_news what)
{
	assert_int_equal(what, DEVICE_LINK);
	++*(unsigned *)opaque;
}

/* The back end dies and is started again: the link goes down and up; what the guest sends meanwhile is lost. */
static void wire_down_and_up(void **state)
{
	u8 st[2], buf[200];
	u8 down = NET_MSG_DOWN;
	u32 id, len;
	unsigned turns = 0;

	virtio_net_listen(F.v.dev, &(struct device_listener){ .fn = count_turns, .opaque = &turns });
	virtio_rig_start(&F.v, 64, F_STATUS);
	gpa_t at = rx_add(0, 1526);
	vd_kick(&F.v.q[0]);
	virtio_rig_spin(&F.v);
	/* the first word of a back end changes nothing */
	net_say_hello(F.wire, 1500, 0);
	virtio_rig_spin(&F.v);
	assert_int_equal(F.v.cfg_irqs, 0);
	/* the socket is full as nobody reads it any more: the guest is not stopped by that for long */
	for (unsigned i = 0; !tx_stalled(); i++)
		assert_true(i < 100000);
	assert_int_equal(send(F.wire, &down, 1, 0), 1);
	virtio_rig_spin(&F.v);
	virtio_rig_spin(&F.v);
	F.v.dev->cls->cfg_read(F.v.dev, 6, st, 2);
	assert_int_equal(ld_le16(st), 0);
	assert_int_equal(F.v.cfg_irqs, 1);
	assert_int_equal(turns, 1);
	assert_true(vd_used(&F.v.q[1], &id, &len)); /* thrown away */
	while (wire_recv(buf, sizeof(buf)) > 0)
		;
	net_say_hello(F.wire, 1500, 0);
	virtio_rig_spin(&F.v);
	F.v.dev->cls->cfg_read(F.v.dev, 6, st, 2);
	assert_int_equal(ld_le16(st), 1);
	assert_int_equal(F.v.cfg_irqs, 2);
	assert_int_equal(turns, 2);
	/* both ways, as before */
	make(3, 100);
	tx_add(F.frame, 100, 100, plain);
	vd_kick(&F.v.q[1]);
	assert_int_equal(wire_recv(buf, sizeof(buf)), 100);
	wire_send(4, 61);
	virtio_rig_spin(&F.v);
	make(4, 61);
	assert_memory_equal(F.v.ram->host + at + HDR, F.frame, 61);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(config),         T(transmit),         T(checksums),   T(transmit_stall), T(receive),
		T(receive_merged), T(receive_stall),    T(bad_buffers), T(wire_cut),       T(wire_down_and_up),
		T(checked_frames), T(another_back_end), T(receive_cut), T(receive_mtu),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
