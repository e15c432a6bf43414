/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_e1000.c - Intel's network cards as a driver finds them: identity, NVM and PHY, rings both ways, offloads,
 * filters, interrupts, the link, frames that are too long, a full socket, reset, saved in the middle of a frame.
 */
#include "base/clock.h"
#include "base/loop.h"
#include "base/state.h"
#include "device/e1000/e1000.h"
#include "net/net.h"
#include "unit/machine/pci_rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cmocka.h>

#define RAM_BYTES (4 * MIB)
#define TX 0x1000u
#define RX 0x2000u
#define RX1 0x3000u
#define DATA 0x10000u
#define BUFS 0x100000u /* of 2 KiB */
#define ENTRIES 16u

static const u8 mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };

static struct {
	struct pci_rig rig;
	struct ram *ram;
	struct loop *loop;
	struct loop_timer stop;
	int wire;
	u32 regs;
	unsigned tail, rx_tail, head;
	struct device *d;
	bool level;
	unsigned news;
} F;

static u8 frame[NET_FRAME_MAX + 1];

static void stop(void *opaque)
{
	loop_stop(F.loop);
}

static void spin(unsigned ms)
{
	loop_timer_arm(&F.stop, clock_mono_ns() + ms * 1000000ull);
	loop_run(F.loop);
}

static void on_wire(void *opaque, unsigned gsi, bool level)
{
	F.level = level;
}

static void news(void *opaque, enum device_news what)
{
	F.news += what == DEVICE_LINK;
}

static u32 get(u32 reg)
{
	return (u32)bus_mmio_read(F.rig.bus, F.regs + reg, 4);
}

static void put(u32 reg, u32 v)
{
	bus_mmio_write(F.rig.bus, F.regs + reg, 4, v);
}

static void card(enum e1000_kind kind, unsigned mtu)
{
	struct device_args a = { .id = "net0", .slot = -1, .mtu = mtu, .checked = true, .listener = { news, NULL } };
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sv), 0);
	F.wire = sv[0];
	a.fd = sv[1];
	memcpy(a.mac, mac, 6);
	assert_int_equal(e1000_new(&F.d, kind, F.rig.pci, F.ram, F.loop, &a, NULL), 0);
	assert_int_equal(pci_bus_assign(F.rig.pci), 0);
	F.regs = cfg_bar(F.rig.bus, 1, 0);
}

static void up(enum e1000_kind kind, unsigned mtu)
{
	memset(&F, 0, sizeof(F));
	must(ram_new(&F.ram, RAM_BYTES, NULL) == 0 && loop_new(&F.loop, NULL) == 0);
	loop_timer_init(F.loop, &F.stop, stop, NULL);
	pci_rig_up(&F.rig);
	F.rig.on_wire = on_wire;
	card(kind, mtu);
}

static int down(void **state)
{
	pci_rig_down(&F.rig);
	close(F.wire);
	loop_timer_fini(&F.stop);
	loop_free(F.loop);
	ram_free(F.ram);
	return 0;
}

/* Rings on, with so many receive descriptors; the link is up. */
static void start(unsigned rx_buffers, u32 rctl)
{
	put(0x3800, TX);
	put(0x3808, ENTRIES * 16);
	put(0x2800, RX);
	put(0x2808, ENTRIES * 16);
	for (unsigned i = 0; i < ENTRIES; i++) {
		memset(F.ram->host + RX + 16 * i, 0, 16);
		st_le64(F.ram->host + RX + 16 * i, BUFS + 2048 * i);
	}
	put(0x2818, rx_buffers);
	F.rx_tail = rx_buffers;
	put(0x0400, 2 | 8);
	put(0x0100, 2 | 1u << 15 | 1u << 26 | rctl); /* EN, BAM, SECRC */
	spin(40);
	get(0xc0);
}

static int setup_new(void **state)
{
	up(E1000_82574, 1500);
	return 0;
}

static int setup_old(void **state)
{
	up(E1000_82540, 1500);
	return 0;
}

static int setup_long(void **state)
{
	up(E1000_82574, NET_USER_MTU);
	return 0;
}

/* ---- transmit ---- */

static void tx(u64 addr, u32 lower, u32 upper)
{
	u8 *d = F.ram->host + TX + 16 * F.tail;

	st_le64(d, addr);
	st_le32(d + 8, lower);
	st_le32(d + 12, upper);
	F.tail = (F.tail + 1) % ENTRIES;
}

/* The loop goes on where a visit was over. */
static ssize_t sent(void)
{
	ssize_t r = -1;

	for (unsigned i = 0; i < 3 && r < 0; i++) {
		if (i)
			spin(2);
		r = recv(F.wire, frame, sizeof(frame), MSG_DONTWAIT);
	}
	return r;
}

static u32 words(const u8 *p, size_t n)
{
	u32 s = 0;

	for (size_t i = 0; i < n; i += 2)
		s += (u32)p[i] << 8 | (i + 1 < n ? p[i + 1] : 0);
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

/* Are both checksums of a TCP or UDP frame over IPv4 right? */
static bool right(const u8 *f, size_t n)
{
	u32 tcp = (u32)(n - 34), s = words(f + 26, 8) + f[23] + tcp + words(f + 34, n - 34);

	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return words(f + 14, 20) == 0xffff && s == 0xffff && (u32)(f[16] << 8 | f[17]) == n - 14;
}

/* An IPv4 frame with `payload` bytes of TCP (20) or UDP (8) at DATA: checksums as drivers leave them. */
static u32 ip_frame(u8 *f, u8 proto, u32 payload, bool length_in_sum)
{
	u32 l4 = proto == 6 ? 20 : 8, all = 34 + l4 + payload, s;

	memset(f, 0, 34 + l4);
	memcpy(f, "\xff\xff\xff\xff\xff\xff\x52\x54\x00\x01\x02\x03\x08\x00\x45\x00", 16);
	f[16] = (u8)((all - 14) >> 8);
	f[17] = (u8)(all - 14);
	f[19] = 7;
	f[22] = 64;
	f[23] = proto;
	memcpy(f + 26, "\x0a\x00\x02\x0f\x0a\x00\x02\x02", 8);
	s = words(f + 26, 8) + proto + (length_in_sum ? l4 + payload : 0);
	s = (s & 0xffff) + (s >> 16);
	if (proto == 6) {
		f[46] = 0x50;
		f[47] = 0x19; /* ACK, PSH, FIN */
		f[50] = (u8)(s >> 8);
		f[51] = (u8)s;
	} else {
		f[38] = (u8)((8 + payload) >> 8);
		f[39] = (u8)(8 + payload);
		f[40] = (u8)(s >> 8);
		f[41] = (u8)s;
	}
	for (u32 i = 0; i < payload; i++)
		f[34 + l4 + i] = (u8)(i * 7 + (i >> 8));
	return all;
}

static void sends(void **state)
{
	u8 *d = F.ram->host + DATA;

	start(0, 0);
	for (unsigned i = 0; i < 200; i++)
		d[i] = (u8)i;
	put(0xd0, 1);
	tx(DATA, 100, 0);
	put(0x3818, F.tail);
	assert_int_equal(sent(), -1);         /* not its end */
	tx(DATA + 100, 100 | 0x0bu << 24, 0); /* EOP, IFCS, RS */
	put(0x3818, F.tail);
	assert_int_equal(sent(), 200);
	assert_memory_equal(frame, d, 200);
	assert_int_equal(get(0x3810), 2);
	assert_int_equal(F.ram->host[TX + 16 + 12], 1); /* DD */
	assert_true(F.level);
	assert_int_equal(get(0xc0) & 3, 3);
	assert_false(F.level);
	assert_int_equal(get(0x4080), 1);
	assert_int_equal(get(0x4080), 0); /* read, and cleared */
	/* A checksum by the descriptor itself; too long; nobody's memory. */
	memset(d, 0x11, 100);
	st_le16(d + 40, 0);
	tx(DATA, 100 | 40 << 16 | 0x0du << 24, 20 << 8);
	put(0x3818, F.tail);
	assert_int_equal(sent(), 100);
	assert_int_equal(words(frame + 20, 80), 0xffff);
	for (unsigned i = 0; i < 5; i++)
		tx(DATA, 0xffff | (i == 4 ? 9u << 24 : 0), 0);
	tx(1ull << 40, 60 | 9u << 24, 0);
	tx(DATA, 60 | 9u << 24, 0);
	put(0x3818, F.tail);
	assert_int_equal(sent(), 60);
	assert_int_equal(sent(), -1);
	/* A tag is put in. */
	put(0, get(0) | 1u << 30);
	tx(DATA, 60 | 0x49u << 24, 0x1234u << 16);
	put(0x3818, F.tail);
	assert_int_equal(sent(), 64);
	assert_memory_equal(frame + 12, "\x81\x00\x12\x34\x11", 5);
}

static void context(u8 proto, bool tse, u32 payload, u16 mss)
{
	u32 at = proto == 6 ? 50 : 40, header = proto == 6 ? 54 : 42;

	tx(14 | 24 << 8 | 33 << 16 | 34ull << 32 | (u64)at << 40,
	   payload | (0x22u | (proto == 6 ? 1 : 0) | (tse ? 4 : 0)) << 24, header << 8 | (u32)mss << 16);
}

static void finishes_checksums(void **state)
{
	start(0, 0);
	for (unsigned udp = 0; udp < 2; udp++) {
		u32 n = ip_frame(F.ram->host + DATA, udp ? 17 : 6, 333, true);
		context(udp ? 17 : 6, false, 0, 0);
		tx(DATA, n | 1u << 20 | 0x21u << 24, 3 << 8);
		put(0x3818, F.tail);
		assert_int_equal(sent(), n);
		assert_true(right(frame, n));
	}
}

static void segments(void **state)
{
	u32 n = ip_frame(F.ram->host + DATA, 6, 4000, false), seq = 0;

	start(0, 0);
	context(6, true, 4000, 1460);
	tx(DATA, 54 | 1u << 20 | 0x24u << 24, 3 << 8);
	tx(DATA + 54, (n - 54) | 1u << 20 | 0x25u << 24, 0);
	put(0x3818, F.tail);
	for (unsigned i = 0; i < 3; i++) {
		u32 payload = i < 2 ? 1460 : 1080;
		assert_int_equal(sent(), 54 + payload);
		assert_true(right(frame, 54 + payload));
		assert_int_equal(frame[19], 7 + i);
		assert_int_equal(frame[40] << 8 | frame[41], seq);
		assert_int_equal(frame[47], i < 2 ? 0x10 : 0x19);
		assert_memory_equal(frame + 54, F.ram->host + DATA + 54 + seq, payload);
		seq += payload;
	}
	assert_int_equal(sent(), -1);
	assert_int_equal(get(0x40f8), 1);
}

static void segments_whole(void **state)
{
	u32 n = ip_frame(F.ram->host + DATA, 6, 60000, false);

	start(0, 0);
	context(6, true, 60000, 1460);
	tx(DATA, n | 1u << 20 | 0x25u << 24, 3 << 8);
	put(0x3818, F.tail);
	assert_int_equal(sent(), n);
	assert_true(right(frame, n));
	/* Headers that lie elsewhere are no frame. */
	tx(14 | 24 << 8 | 33 << 16 | 34ull << 32 | 250ull << 40, 0x27u << 24, 54 << 8 | 1460u << 16);
	tx(DATA, n | 1u << 20 | 0x25u << 24, 3 << 8);
	put(0x3818, F.tail);
	assert_int_equal(sent(), -1);
	assert_int_equal(get(0x3810), F.tail);
}

/* Segments of one byte, as UDP, which are not put together: the visit ends before the frame does. */
static void tiny_segments(void **state)
{
	u32 n = ip_frame(F.ram->host + DATA, 17, 60000, false);
	u64 since = clock_mono_ns();

	start(0, 1u << 6); /* in loopback, where no socket is ever full */
	context(17, true, 60000, 1);
	tx(DATA, n | 1u << 20 | 0x25u << 24, 3 << 8);
	put(0x3818, F.tail);
	for (unsigned i = 0; i < 2000 && get(0x3810) != F.tail; i++)
		spin(1);
	assert_int_equal(get(0x3810), F.tail);
	assert_int_equal(get(0x40d4), 60000);
	struct loop_stats s;
	loop_get_stats(F.loop, &s);
	assert_true(s.longest_cpu_ns < 8000000);
	assert_true(clock_mono_ns() - since < 5 * NSEC_PER_SEC);
}

/* The socket takes no more: nothing is lost, and the ring fills up. */
static void full_socket(void **state)
{
	u32 n = ip_frame(F.ram->host + DATA, 6, 60000, false);
	unsigned all = 0, got = 0;

	start(0, 0);
	while (all < 100) {
		context(6, true, 60000, 1460);
		tx(DATA, n | 1u << 20 | 0x25u << 24, 3 << 8);
		put(0x3818, F.tail);
		if (get(0x3810) != F.tail)
			break;
		all++;
	}
	assert_true(all > 0 && all < 100);
	for (unsigned i = 0; i < 100 && got <= all; i++) {
		while (sent() == n) {
			assert_true(right(frame, n));
			got++;
		}
		spin(2);
	}
	assert_int_equal(got, all + 1);
	assert_int_equal(get(0x3810), F.tail);
}

/* ---- receive ---- */

static void wire_send(const void *f, size_t n)
{
	assert_int_equal(send(F.wire, f, n, 0), n);
	spin(2);
}

/* The next descriptor has a frame of so many bytes with this status; its buffer. NULL: there is none. */
static u8 *got(u32 bytes, u8 status)
{
	u8 *d = F.ram->host + RX + 16 * F.head;

	if (!(d[12] & 1))
		return NULL;
	assert_int_equal(ld_le16(d + 8), bytes);
	assert_int_equal(d[12] & 0x8b, status);
	F.head = (F.head + 1) % ENTRIES;
	return F.ram->host + ld_le64(d);
}

static void filters(void **state)
{
	u8 f[100] = { 0x52, 0x54, 0, 1, 2, 3, 1, 1, 1, 1, 1, 1, 0x12, 0x34, 9 };

	start(14, 0);
	wire_send(f, 100);
	assert_memory_equal(got(100, 3), f, 100);
	f[5] = 4; /* somebody else's */
	wire_send(f, 100);
	assert_null(got(100, 3));
	memset(f, 0xff, 6);
	wire_send(f, 20); /* short ones are filled up */
	assert_non_null(got(60, 0x83));
	put(0x100, get(0x100) & ~(1u << 15));
	wire_send(f, 100);
	assert_null(got(100, 3));
	/* A group: by its bit in the table, or all of them. */
	memcpy(f, "\x01\x00\x5e\x00\x00\xfb", 6);
	wire_send(f, 100);
	assert_null(got(100, 3));
	unsigned h = (0x00 >> 4 | 0xfb << 4) & 0xfff;
	put(0x5200 + 4 * (h >> 5), 1u << (h & 31));
	wire_send(f, 100);
	assert_non_null(got(100, 0x83));
	put(0x5200 + 4 * (h >> 5), 0);
	put(0x100, get(0x100) | 1u << 4);
	wire_send(f, 100);
	assert_non_null(got(100, 0x83));
	put(0x100, get(0x100) | 1u << 3); /* everybody's */
	memcpy(f, "\x02\x00\x5e\x00\x00\xfb", 6);
	wire_send(f, 100);
	assert_non_null(got(100, 0x83));
	/* Tags: taken out; only those of the table. */
	memcpy(f + 12, "\x81\x00\x20\x05\x08\x06", 6);
	put(0, get(0) | 1u << 30);
	wire_send(f, 100);
	u8 *p = got(96, 0x8b);
	assert_memory_equal(p + 6, "\1\1\1\1\1\1\x08\x06", 8);
	assert_int_equal(ld_le16(F.ram->host + RX + 16 * (F.head - 1) + 14), 0x2005);
	put(0x100, get(0x100) | 1u << 18);
	wire_send(f, 100);
	assert_null(got(96, 0x8b));
	put(0x5600, 1u << 5);
	wire_send(f, 100);
	assert_non_null(got(96, 0x8b));
	/* With its CRC. */
	memcpy(f, "123456789", 9);
	f[0] = 0x32;
	put(0x100, get(0x100) & ~(1u << 26));
	memset(f + 9, 0, 91);
	wire_send(f, 100);
	p = got(104, 0x83);
	u32 c = ~0u;
	for (unsigned i = 0; i < 104; i++)
		for (unsigned b = 0; b < 8; b++)
			c = c >> 1 ^ ((c ^ p[i] >> b) & 1 ? 0xedb88320 : 0);
	assert_int_equal(c, 0xdebb20e3); /* what is left over a frame and its CRC */
}

static void several_buffers_and_none(void **state)
{
	u32 n = ip_frame(frame, 17, 5000, true);

	start(2, 1u << 5); /* LPE: as it is */
	wire_send(frame, n);
	assert_null(got(2048, 1)); /* it takes three */
	wire_send(frame, 100);
	put(0x2818, 6);
	spin(2);
	assert_int_equal(got(2048, 1)[0], 0xff);
	assert_non_null(got(2048, 1));
	assert_non_null(got(n - 4096, 0x83));
	assert_non_null(got(100, 0x83));
	assert_null(got(0, 0));
	/* Threshold: a half of the ring is left, then less. */
	put(0x2818, 15);
	get(0xc0);
	for (unsigned i = 0; i < 2; i++)
		wire_send(frame, 100);
	assert_false(get(0xc8) & 0x10);
	wire_send(frame, 100);
	assert_true(get(0xc8) & 0x10);
}

/* Longer than the driver takes: TCP in segments, datagrams in fragments. */
static void cuts(void **state)
{
	static u8 f[5000];
	u32 n = ip_frame(f, 6, 4000, true), seq = 0;

	start(14, 0);
	wire_send(f, n);
	for (unsigned i = 0; i < 3; i++) {
		u32 payload = i < 2 ? 1460 : 1080;
		u8 *p = got(54 + payload, 0x83);
		assert_true(right(p, 54 + payload));
		assert_int_equal(p[40] << 8 | p[41], seq);
		assert_memory_equal(p + 54, f + 54 + seq, payload);
		seq += payload;
	}
	n = ip_frame(f, 17, 3000, true);
	wire_send(f, n);
	for (unsigned i = 0, off = 0; off < 3008; i++) {
		u32 payload = MIN(1480, 3008 - off);
		u8 *p = got(34 + payload, 0x83);
		assert_int_equal(words(p + 14, 20), 0xffff);
		assert_int_equal(p[20] << 8 | p[21], (off + payload < 3008 ? 0x2000 : 0) | off / 8);
		assert_memory_equal(p + 34, f + 34 + off, payload);
		off += payload;
	}
	st_le16(f + 12, 0x1234); /* what else it is cannot be cut */
	wire_send(f, n);
	assert_null(got(0, 0));
	assert_int_equal(get(0x40ac), 1);
}

static void newer_descriptors(void **state)
{
	u8 *d = F.ram->host + RX;
	u32 n = ip_frame(frame, 6, 1000, true);

	put(0x5008, 1u << 15);           /* extended */
	put(0x5000, 3u << 8 | 1u << 13); /* checksums; the hash instead of one */
	start(14, 0);
	wire_send(frame, n);
	assert_int_equal(ld_le32(d + 8) & 0x7f, 0x63); /* DD, EOP, TCP, IP */
	assert_int_equal(ld_le16(d + 12), n);
	/* RSS, with the example of the key's inventor: 66.9.149.187:2794 to 161.142.100.80:1766 */
	static const u8 key[40] = { 0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
				    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
				    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa };
	for (unsigned i = 0; i < 10; i++)
		put(0x5c80 + 4 * i, ld_le32(key + 4 * i));
	put(0x5818, 1 | 1u << 16);
	memcpy(frame + 26, "\x42\x09\x95\xbb\xa1\x8e\x64\x50\x0a\xea\x06\xe6", 12);
	wire_send(frame, n);
	assert_int_equal(ld_le32(d + 16 + 4), 0x51ccc178);
	assert_int_equal(ld_le32(d + 16), 1);
	/* Its queue by the table; split buffers of 128 bytes and twice 1 KiB there. */
	put(0x5c00 + (0x78 & 0x7c), 0x80u);
	for (unsigned i = 0; i < 4; i++) {
		st_le64(F.ram->host + RX1 + 8 * i, BUFS + 0x8000 + 0x1000 * i);
		st_le64(F.ram->host + RX1 + 32 + 8 * i, 0);
	}
	put(0x2900, RX1);
	put(0x2908, ENTRIES * 16);
	put(0x2918, 4);
	put(0x2170, 1 | 1 << 8 | 1 << 16);
	put(0x100, get(0x100) | 1u << 10);
	wire_send(frame, n);
	d = F.ram->host + RX1;
	assert_int_equal(ld_le32(d), 1 | 1 << 8);
	assert_int_equal(ld_le32(d + 8) & 3, 3);
	assert_int_equal(ld_le16(d + 12), 128);
	assert_int_equal(ld_le16(d + 18), n - 128);
	assert_memory_equal(F.ram->host + BUFS + 0x8000, frame, 128);
	assert_memory_equal(F.ram->host + BUFS + 0x9000, frame + 128, n - 128);
	assert_int_equal(get(0x2910), 2);
}

/* ---- interrupts ---- */

static void wire_interrupts(void **state)
{
	start(8, 0);
	put(0xd0, 0x80);
	frame[0] = 0xff;
	memset(frame, 0xff, 6);
	wire_send(frame, 60);
	assert_true(F.level);
	put(0xd8, 0x80);
	assert_false(F.level);
	put(0xd0, 0x80);
	assert_true(F.level);
	assert_int_equal(get(0xc0) & 0x80, 0x80);
	assert_false(F.level);
	/* The throttle: the second one comes 16.8 ms after the first. */
	put(0xc4, 0xffff);
	u64 since = clock_mono_ns();
	wire_send(frame, 60);
	assert_true(F.level);
	get(0xc0);
	wire_send(frame, 60);
	bool early = F.level;
	assert_true(!early || clock_mono_ns() - since > 16700000);
	spin(25);
	assert_true(F.level);
	get(0xc0);
	put(0xc4, 0);
	spin(20);
	/* RDTR: from the last frame on. */
	put(0x2820, 20000);
	since = clock_mono_ns();
	wire_send(frame, 60);
	early = F.level;
	assert_true(!early || clock_mono_ns() - since > 20000000);
	spin(30);
	assert_true(F.level);
}

static void msix(void **state)
{
	u32 table = cfg_bar(F.rig.bus, 1, 3);
	unsigned cap = 0x34;

	start(8, 0);
	for (cap = cfg_get(F.rig.bus, 1, 0x34, 1); cfg_get(F.rig.bus, 1, cap, 1) != 0x11;)
		cap = cfg_get(F.rig.bus, 1, cap + 1, 1);
	for (unsigned v = 0; v < 3; v++) {
		bus_mmio_write(F.rig.bus, table + 16 * v, 4, 0xfee02000);
		bus_mmio_write(F.rig.bus, table + 16 * v + 8, 4, 0x50 + v);
		bus_mmio_write(F.rig.bus, table + 16 * v + 12, 4, 0);
	}
	cfg_put(F.rig.bus, 1, cap + 2, 2, 0x8000);
	put(0xe4, 0x8 | 0x9 << 8 | 0xa << 16);
	put(0xdc, 0x00100000 | 0x00400000);
	put(0x18, get(0x18) | 1u << 24);
	put(0xd0, 0x01500004);
	F.rig.nmsi = 0;
	memset(frame, 0xff, 6);
	wire_send(frame, 60);
	assert_int_equal(F.rig.nmsi, 1);
	assert_int_equal(F.rig.msi_data, 0x50);
	assert_int_equal(get(0xd0), 0x01400004); /* masked until the driver says so */
	wire_send(frame, 60);
	assert_int_equal(F.rig.nmsi, 1);
	put(0xd0, 0x00100000);
	assert_int_equal(F.rig.nmsi, 2);
	memset(F.ram->host + DATA, 0, 60);
	tx(DATA, 60 | 9u << 24, 0);
	put(0x3818, F.tail);
	tx(DATA, 60 | 9u << 24, 0);
	F.ram->host[TX + 16 + 11] |= 8;
	put(0x3818, F.tail);
	assert_int_equal(F.rig.msi_data, 0x51);
	/* The link: its cause stays until it is read. */
	const u8 gone = NET_MSG_DOWN;
	wire_send(&gone, 1);
	assert_int_equal(F.rig.msi_data, 0x52);
	assert_int_equal(get(0xc0) & 0x01000004, 0x01000004);
	assert_int_equal(F.rig.nmsi, 4);
	assert_int_equal(F.rig.nwire, 0);
}

/* ---- identity ---- */

static void put_eecd(u32 v)
{
	put(0x10, v);
}

static u16 microwire(unsigned word)
{
	u32 out = 6u << 6 | word;
	u16 v = 0;

	put_eecd(0x40);
	assert_true(get(0x10) & 0x80);
	put_eecd(0x42);
	for (int i = 8; i >= 0; i--) {
		u32 di = out >> i & 1 ? 4 : 0;
		put_eecd(0x42 | di);
		put_eecd(0x43 | di);
		put_eecd(0x42 | di);
	}
	for (unsigned i = 0; i < 16; i++) {
		put_eecd(0x43);
		v = (u16)(v << 1 | (get(0x10) >> 3 & 1));
		put_eecd(0x42);
	}
	put_eecd(0);
	return v;
}

static u16 phy(unsigned reg)
{
	put(0x20, reg << 16 | 1u << 21 | 2u << 26);
	assert_true(get(0x20) >> 28 & 1);
	return (u16)get(0x20);
}

static void old_identity(void **state)
{
	u16 sum = 0;
	u32 io = cfg_bar(F.rig.bus, 1, 1);

	assert_int_equal(cfg_get(F.rig.bus, 1, 0, 4), 0x100e8086);
	assert_int_equal(cfg_get(F.rig.bus, 1, 8, 4) >> 8, 0x020000);
	for (unsigned i = 0; i < 64; i++) {
		put(0x14, 1 | i << 8);
		assert_true(get(0x14) & 0x10);
		assert_int_equal(get(0x14) >> 16, microwire(i));
		sum = (u16)(sum + (get(0x14) >> 16));
	}
	assert_int_equal(sum, 0xbaba);
	assert_int_equal(microwire(1), 0x0100);
	assert_int_equal(phy(2), 0x0141);
	assert_int_equal(phy(3), 0x0c20);
	put(0x20, 2u << 16 | 2u << 21 | 2u << 26);
	assert_true(get(0x20) >> 30 & 1); /* nobody there */
	bus_pio_write(F.rig.bus, (u16)io, 4, 0x5400);
	assert_int_equal(bus_pio_read(F.rig.bus, (u16)(io + 4), 4), 0x01005452);
	assert_int_equal(get(0x40), 0x01005452); /* where the 82542 had it */
	assert_int_equal(bus_mmio_read(F.rig.bus, F.regs + 0x5402, 2), 0x0100);
}

static void new_identity(void **state)
{
	assert_int_equal(cfg_get(F.rig.bus, 1, 0, 4), 0x10d38086);
	put(0x14, 1 | 2 << 2);
	assert_int_equal(get(0x14), (u32)(2 | 2 << 2) | 0x0302u << 16);
	assert_int_equal(phy(3), 0x0cb1);
	assert_true(get(8) & 1u << 19);
	put(0, get(0) | 4);
	assert_false(get(8) & 1u << 19); /* no longer the bus's master */
	put(0xb608, 1u << 24 | 100);
	put(0xb600, 0);
	spin(2);
	assert_true(get(0xb600) > 1000);
}

static void link_and_reset(void **state)
{
	struct net_hello h = { .msg = NET_MSG_HELLO, .version = NET_VERSION, .mtu = 1500 };
	const u8 gone = NET_MSG_DOWN;

	assert_false(get(8) & 2);
	start(8, 0);
	assert_true(get(8) & 2);
	assert_true(phy(1) & 4);
	put(0x20, 0x1340 | 0u << 16 | 1u << 21 | 1u << 26); /* negotiate anew */
	assert_false(get(8) & 2);
	spin(40);
	assert_true(get(8) & 2);
	wire_send(&gone, 1);
	assert_int_equal(F.news, 1);
	assert_false(get(8) & 2);
	wire_send(&h, sizeof(h));
	assert_int_equal(F.news, 2);
	assert_true(get(8) & 2);
	put(0, 1u << 26);
	assert_int_equal(get(0x100) | get(0x400) | get(0x3800) | get(0xd0), 0);
	assert_int_equal(get(0x5400), 0x01005452);
	assert_int_equal(get(0x5404), 0x80000302);
	/* The end of the network. */
	start(8, 0);
	close(F.wire);
	F.wire = -1;
	spin(5);
	assert_false(get(8) & 2);
	assert_int_equal(F.news, 3);
}

static void loopback(void **state)
{
	u8 *d = F.ram->host + DATA;

	start(8, 1u << 6);
	memcpy(d, mac, 6);
	memset(d + 6, 3, 94);
	tx(DATA, 100 | 9u << 24, 0);
	put(0x3818, F.tail);
	assert_memory_equal(got(100, 3), d, 100);
	assert_int_equal(sent(), -1);
}

/* Half a frame was taken; the other half comes when it was loaded into another card. */
static void saved(void **state)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	u8 *d = F.ram->host + DATA;
	struct state_file *s;

	start(8, 0);
	memset(d, 5, 200);
	put(0xd0, 0x85);
	tx(DATA, 100, 0);
	put(0x3818, F.tail);
	put(0x20, 0x1340 | 0u << 16 | 1u << 21 | 1u << 26);
	assert_true(pci_bus_quiesce(F.rig.pci));
	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	assert_int_equal(pci_bus_devices_state(F.rig.pci, s, NULL), 0);
	assert_int_equal(state_finish(s, NULL), 0);
	state_free(s);
	u32 icr = 0x04;
	pci_unplug(pci_dev_of(F.d));
	close(F.wire);
	card(E1000_82574, 1500);
	assert_true(pci_bus_quiesce(F.rig.pci));
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(state_load_new(&s, fd, NULL), 0);
	assert_int_equal(pci_bus_devices_state(F.rig.pci, s, NULL), 0);
	state_free(s);
	close(fd);
	pci_bus_resume(F.rig.pci);
	spin(2);
	assert_int_equal(get(0xd0), 0x85);
	assert_int_equal(get(0xc0) & icr, icr);
	tx(DATA + 100, 100 | 0x0bu << 24, 0);
	put(0x3818, F.tail);
	assert_int_equal(sent(), 200);
	assert_int_equal(frame[50] | frame[150], 5);
	memset(frame, 0xff, 6);
	wire_send(frame, 60);
	assert_non_null(got(60, 0x83));
	device_reset(F.d);
	assert_int_equal(get(0xd0), 0);
	assert_false(F.level);
}

int main(void)
{
#define ROW(kind, test) cmocka_unit_test_setup_teardown(test, setup_##kind, down)
	const struct CMUnitTest tests[] = {
		ROW(old, old_identity),
		ROW(new, new_identity),
		ROW(old, sends),
		ROW(new, sends),
		ROW(old, finishes_checksums),
		ROW(new, finishes_checksums),
		ROW(old, segments),
		ROW(new, segments),
		ROW(long, segments_whole),
		ROW(new, tiny_segments),
		ROW(long, full_socket),
		ROW(old, filters),
		ROW(new, filters),
		ROW(old, several_buffers_and_none),
		ROW(long, cuts),
		ROW(new, newer_descriptors),
		ROW(old, wire_interrupts),
		ROW(new, wire_interrupts),
		ROW(new, msix),
		ROW(new, link_and_reset),
		ROW(old, loopback),
		ROW(new, saved),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
