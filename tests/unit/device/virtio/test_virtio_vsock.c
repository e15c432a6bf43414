/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_virtio_vsock.c - the socket device: a driver of our own at one side, Unix sockets at the other, and the test as
 * mica-vsock. */
#include "base/state.h"
#include "device/virtio/virtio_vsock_int.h"
#include "virtio_rig.h"
#include "vsock/vsock.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#define CID 7
#define PKT 0x100000ull  /* what the driver sends */
#define BUFS 0x200000ull /* and where it receives: BUF_BYTES each */
#define BUF_BYTES 0x5000u
#define NBUFS 8

enum { RXQ, TXQ, EVENTQ };

static u32 buf_alloc, fwd_cnt; /* what the driver says of its room */

static struct fix {
	struct virtio_rig v;
	int link; /* the test's end */
	char path[64];
} F;

static int rig_up(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int sv[2], fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	buf_alloc = 1 << 20;
	fwd_cnt = 0;
	virtio_rig_up(&F.v, 16 * MIB);
	snprintf(F.path, sizeof(F.path), "/tmp/mica-vsock-test-%d", getpid());
	unlink(F.path);
	strcpy(sa.sun_path, F.path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) | listen(fd, 512), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	F.link = sv[0];
	virtio_rig_take(&F.v, virtio_vsock_new(F.v.ram, F.v.loop, CID, fd, sv[1]));
	virtio_rig_start(&F.v, 16, 0);
	for (unsigned i = 0; i < NBUFS; i++) {
		struct vdesc d = { .addr = BUFS + i * BUF_BYTES, .len = BUF_BYTES };
		vd_add(&F.v.q[RXQ], &d, 0, 1);
	}
	return 0;
}

static int rig_down(void **state)
{
	virtio_rig_down(&F.v);
	close(F.link);
	unlink(F.path);
	return 0;
}

static void spin(void)
{
	loop_timer_arm(&F.v.stop, clock_mono_ns() + 500000);
	loop_run(F.v.loop);
}

static int client(const char *hello)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(sa.sun_path, F.path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(write(fd, hello, strlen(hello)), strlen(hello));
	spin();
	return fd;
}

/* ---- the driver ---- */

static void say_from(u64 cid, u32 guest, u32 host, u16 op, u32 flags, const void *data, u32 len)
{
	struct vsock_hdr h = { .src_cid = cid,
			       .dst_cid = 2,
			       .src_port = guest,
			       .dst_port = host,
			       .len = len,
			       .type = 1,
			       .op = op,
			       .flags = flags,
			       .buf_alloc = buf_alloc,
			       .fwd_cnt = fwd_cnt };
	u64 at = PKT + F.v.q[TXQ].avail_idx % 16 * 0x10000;
	struct vdesc d = { .addr = at, .len = (u32)sizeof(h) + len };
	u32 id, n;

	memcpy(F.v.ram->host + at, &h, sizeof(h));
	if (len)
		memcpy(F.v.ram->host + at + sizeof(h), data, len);
	vd_add(&F.v.q[TXQ], &d, 1, 0);
	vd_kick(&F.v.q[TXQ]);
	spin();
	while (vd_used(&F.v.q[TXQ], &id, &n))
		;
}

static void say(u32 guest, u32 host, u16 op, u32 flags, const void *data, u32 len)
{
	say_from(CID, guest, host, op, flags, data, len);
}

/* The next packet; its buffer goes back to the device. data: BUF_BYTES. */
static bool hear(struct vsock_hdr *h, u8 *data)
{
	u32 id, len;

	spin();
	if (!vd_used(&F.v.q[RXQ], &id, &len))
		return false;
	u8 *at = F.v.ram->host + BUFS + id * BUF_BYTES;
	memcpy(h, at, sizeof(*h));
	assert_int_equal(len, sizeof(*h) + h->len);
	if (data)
		memcpy(data, at + sizeof(*h), h->len);
	vd_avail(&F.v.q[RXQ], (u16)id);
	vd_kick(&F.v.q[RXQ]);
	assert_int_equal(h->src_cid, 2);
	assert_int_equal(h->dst_cid, CID);
	return true;
}

static void expect(struct vsock_hdr *h, u8 *data, u32 guest, u32 host, u16 op)
{
	assert_true(hear(h, data));
	assert_int_equal(h->op, op);
	assert_int_equal(h->dst_port, guest);
	assert_int_equal(h->src_port, host);
}

static void expect_text(int fd, const char *text)
{
	char buf[64] = "";

	assert_int_equal(recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT), strlen(text));
	assert_string_equal(buf, text);
}

/* A client of the host's at port 80 of the guest; *port: its own. */
static int connected(u32 *port)
{
	struct vsock_hdr h;
	char ok[32];
	int fd = client("CONNECT 80\n");

	assert_true(hear(&h, NULL));
	assert_int_equal(h.op, VSOCK_OP_REQUEST);
	assert_int_equal(h.dst_port, 80);
	assert_true(h.src_port >= 1u << 30);
	assert_true(h.buf_alloc > 0);
	*port = h.src_port;
	say(80, *port, VSOCK_OP_RESPONSE, 0, NULL, 0);
	snprintf(ok, sizeof(ok), "OK %u\n", *port);
	expect_text(fd, ok);
	return fd;
}

static void answer_ask(u32 port, int fd)
{
	struct vsock_ask ask;
	struct vsock_answer a = { .error = fd < 0 ? ECONNREFUSED : 0 };
	struct iovec iov = { &a, sizeof(a) };
	char buf[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	assert_int_equal(recv(F.link, &ask, sizeof(ask), MSG_DONTWAIT), sizeof(ask));
	assert_int_equal(ask.port, port);
	a.ticket = ask.ticket;
	if (fd >= 0) {
		m.msg_control = buf;
		m.msg_controllen = sizeof(buf);
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		*h = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
				       .cmsg_level = SOL_SOCKET,
				       .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(F.link, &m, 0), sizeof(a));
	if (fd >= 0)
		close(fd);
	spin();
}

/* ---- tests ---- */

static void from_host(void **state)
{
	u8 data[BUF_BYTES];
	struct vsock_hdr h;
	u32 port;
	int fd = connected(&port);

	assert_int_equal(write(fd, "hello", 5), 5);
	expect(&h, data, 80, port, VSOCK_OP_RW);
	assert_int_equal(h.len, 5);
	assert_memory_equal(data, "hello", 5);
	say(80, port, VSOCK_OP_RW, 0, "world", 5);
	expect_text(fd, "world");
	/* its end, and the guest's, one after the other */
	shutdown(fd, SHUT_WR);
	expect(&h, NULL, 80, port, VSOCK_OP_SHUTDOWN);
	assert_int_equal(h.flags, VSOCK_SHUT_SEND);
	say(80, port, VSOCK_OP_RW, 0, "!", 1);
	say(80, port, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH, NULL, 0);
	expect(&h, NULL, 80, port, VSOCK_OP_RST);
	expect_text(fd, "!");
	expect_text(fd, "");
	close(fd);
	/* it is gone: what still comes is refused */
	say(80, port, VSOCK_OP_RW, 0, "x", 1);
	expect(&h, NULL, 80, port, VSOCK_OP_RST);
	assert_false(hear(&h, NULL));
}

static void clients_that_are_wrong(void **state)
{
	static const char *const words[] = { "CONNECT\n",
					     "CONNECT x\n",
					     "CONNECT 4294967296\n",
					     "GET / HTTP/1.0\r\n\r\n",
					     "CONNECT 1 2\n",
					     "\n",
					     "0123456789012345678901234567890123456789" };
	struct vsock_hdr h;

	for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
		int fd = client(words[i]);
		char c;
		ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);
		assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
		close(fd);
		assert_false(hear(&h, NULL));
	}
	/* in pieces, and with the guest's first bytes right behind */
	int fd = client("CONN");
	assert_int_equal(write(fd, "ECT 5\nab", 8), 8);
	assert_true(hear(&h, NULL));
	assert_int_equal(h.dst_port, 5);
	u32 port = h.src_port;
	say(5, port, VSOCK_OP_RESPONSE, 0, NULL, 0);
	expect(&h, NULL, 5, port, VSOCK_OP_RW);
	assert_int_equal(h.len, 2);
	close(fd);
	expect(&h, NULL, 5, port, VSOCK_OP_SHUTDOWN);
	assert_int_equal(h.flags, VSOCK_SHUT_BOTH);
	say(5, port, VSOCK_OP_RST, 0, NULL, 0);
	/* one that gave up before the guest said anything */
	fd = client("CONNECT 6\n");
	assert_true(hear(&h, NULL));
	port = h.src_port;
	close(fd);
	expect(&h, NULL, 6, port, VSOCK_OP_RST);
	/* and one that the guest does not want */
	fd = client("CONNECT 6\n");
	assert_true(hear(&h, NULL));
	say(6, h.src_port, VSOCK_OP_RST, 0, NULL, 0);
	expect_text(fd, "");
	close(fd);
}

static void from_guest(void **state)
{
	struct vsock_hdr h;
	u8 data[BUF_BYTES];
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	say(1000, 52, VSOCK_OP_REQUEST, 0, NULL, 0);
	assert_false(hear(&h, NULL));
	answer_ask(52, sv[1]);
	expect(&h, NULL, 1000, 52, VSOCK_OP_RESPONSE);
	say(1000, 52, VSOCK_OP_RW, 0, "ping", 4);
	expect_text(sv[0], "ping");
	assert_int_equal(write(sv[0], "pong", 4), 4);
	expect(&h, data, 1000, 52, VSOCK_OP_RW);
	assert_memory_equal(data, "pong", 4);
	/* refused */
	say(1001, 53, VSOCK_OP_REQUEST, 0, NULL, 0);
	answer_ask(53, -1);
	expect(&h, NULL, 1001, 53, VSOCK_OP_RST);
	/* the same pair of ports again is a mistake that ends the connection */
	say(1000, 52, VSOCK_OP_REQUEST, 0, NULL, 0);
	expect(&h, NULL, 1000, 52, VSOCK_OP_RST);
	expect_text(sv[0], "");
	close(sv[0]);
	/* without mica-vsock there is nobody to connect to */
	say(1002, 54, VSOCK_OP_REQUEST, 0, NULL, 0);
	close(F.link);
	F.link = -1;
	expect(&h, NULL, 1002, 54, VSOCK_OP_RST);
	say(1003, 55, VSOCK_OP_REQUEST, 0, NULL, 0);
	expect(&h, NULL, 1003, 55, VSOCK_OP_RST);
}

static void credit(void **state)
{
	static u8 big[VSOCK_BUF_BYTES];
	struct vsock_hdr h;
	u8 data[BUF_BYTES];
	u32 port, got = 0;
	int fd, small = 4096, n;

	/* towards the guest: no more than it has room for */
	buf_alloc = 1000;
	fd = connected(&port);
	memset(big, 'a', sizeof(big));
	assert_int_equal(write(fd, big, 3000), 3000);
	expect(&h, data, 80, port, VSOCK_OP_RW);
	assert_int_equal(h.len, 1000);
	assert_false(hear(&h, NULL));
	fwd_cnt = 600;
	say(80, port, VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	expect(&h, data, 80, port, VSOCK_OP_RW);
	assert_int_equal(h.len, 600);
	fwd_cnt = 1600;
	buf_alloc = 1 << 20;
	say(80, port, VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	expect(&h, data, 80, port, VSOCK_OP_RW);
	assert_int_equal(h.len, 1400);
	/* from it: as much as was promised, while the host takes nothing; then it hears of the room */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	say(80, port, VSOCK_OP_CREDIT_REQUEST, 0, NULL, 0);
	expect(&h, NULL, 80, port, VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(h.buf_alloc, VSOCK_BUF_BYTES);
	u32 sent = 0, taken = h.fwd_cnt;
	while (sent - taken < VSOCK_BUF_BYTES) {
		u32 k = MIN(16000, VSOCK_BUF_BYTES - (sent - taken));
		say(80, port, VSOCK_OP_RW, 0, big, k);
		sent += k;
		while (hear(&h, NULL)) {
			assert_int_equal(h.op, VSOCK_OP_CREDIT_UPDATE);
			taken = h.fwd_cnt;
		}
	}
	while ((n = (int)recv(fd, data, sizeof(data), MSG_DONTWAIT)) > 0 || got < sent) {
		got += n > 0 ? (u32)n : 0;
		spin();
	}
	assert_int_equal(got, sent);
	assert_true(hear(&h, NULL) && h.op == VSOCK_OP_CREDIT_UPDATE);
	while (hear(&h, NULL))
		;
	/* who sends more than it may is cut off */
	for (unsigned i = 0; i < 64 && h.op != VSOCK_OP_RST; i++) {
		say(80, port, VSOCK_OP_RW, 0, big, 16000);
		while (hear(&h, NULL) && h.op != VSOCK_OP_RST)
			;
	}
	assert_int_equal(h.op, VSOCK_OP_RST);
	close(fd);
}

static void packets_that_are_wrong(void **state)
{
	struct vsock_hdr h;

	say_from(CID + 1, 1, 2, VSOCK_OP_RW, 0, "x", 1); /* another guest's: for nobody */
	assert_false(hear(&h, NULL));
	say(1, 2, VSOCK_OP_RST, 0, NULL, 0); /* never answered by its like */
	assert_false(hear(&h, NULL));
	say(1, 2, 99, 0, NULL, 0);
	expect(&h, NULL, 1, 2, VSOCK_OP_RST);
	/* more than can be answered: the queue waits, and nothing is lost */
	for (unsigned i = 0; i < VSOCK_REFUSED + NBUFS + 10; i++)
		say(i, 2, VSOCK_OP_SHUTDOWN, 0, NULL, 0);
	for (unsigned i = 0; i < VSOCK_REFUSED + NBUFS + 10; i++)
		expect(&h, NULL, i, 2, VSOCK_OP_RST);
	/* a length that the chain does not have */
	struct vdesc d = { .addr = PKT, .len = sizeof(h) };
	h = (struct vsock_hdr){ .src_cid = CID, .dst_cid = 2, .type = 1, .op = VSOCK_OP_RW, .len = 1 };
	memcpy(F.v.ram->host + PKT, &h, sizeof(h));
	vd_add(&F.v.q[TXQ], &d, 1, 0);
	vd_kick(&F.v.q[TXQ]);
	spin();
	assert_true(F.v.dev->status & VIRTIO_S_NEEDS_RESET);
}

/* No more than VSOCK_CONNS at a time; the others wait, and come when there is room. */
static void many(void **state)
{
	int fd[VSOCK_CONNS + 4];
	struct vsock_hdr h;
	unsigned heard = 0;

	for (unsigned i = 0; i < ARRAY_LEN(fd); i++)
		fd[i] = client("CONNECT 9\n");
	while (hear(&h, NULL))
		heard++;
	assert_int_equal(heard, VSOCK_CONNS);
	say(9, h.src_port, VSOCK_OP_RST, 0, NULL, 0);
	assert_true(hear(&h, NULL));
	/* a reset ends them all */
	virtio_rig_start(&F.v, 16, 0);
	spin();
	unsigned closed = 0;
	for (unsigned i = 0; i < ARRAY_LEN(fd); i++) {
		char c;
		closed += recv(fd[i], &c, 1, MSG_DONTWAIT) == 0;
		close(fd[i]);
	}
	assert_true(closed >= VSOCK_CONNS);
}

static void saved(void **state)
{
	struct state_file *s;
	struct err e;
	u32 port, id, len;
	struct vsock_hdr h;
	int fd = connected(&port), file = memfd_create("state", 0);

	assert_true(virtio_quiesce(F.v.dev));
	assert_int_equal(write(fd, "late", 4), 4);
	assert_false(hear(&h, NULL));
	assert_int_equal(state_save_new(&s, file, &e), 0);
	assert_int_equal(state_section(s, "virtio", 0, 1, &e), 0);
	virtio_state(F.v.dev, s);
	assert_int_equal(state_end(s, &e) | state_finish(s, &e), 0);
	state_free(s);
	/* whoever saved it may go on */
	virtio_resume(F.v.dev);
	expect(&h, NULL, 80, port, VSOCK_OP_RW);
	/* what was restored tells that there are no connections any more */
	assert_true(virtio_quiesce(F.v.dev));
	lseek(file, 0, SEEK_SET);
	assert_int_equal(state_load_new(&s, file, &e), 0);
	assert_int_equal(state_section(s, "virtio", 0, 1, &e), 0);
	virtio_state(F.v.dev, s);
	assert_int_equal(state_end(s, &e), 0);
	state_free(s);
	struct vdesc d = { .addr = PKT, .len = 4 };
	memset(F.v.ram->host + PKT, 0xff, 4);
	vd_add(&F.v.q[EVENTQ], &d, 0, 1);
	virtio_resume(F.v.dev);
	spin();
	assert_true(vd_used(&F.v.q[EVENTQ], &id, &len));
	assert_int_equal(len, 4);
	assert_int_equal(ld_le32(F.v.ram->host + PKT), 0);
	close(fd);
	close(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(from_host, rig_up, rig_down),
		cmocka_unit_test_setup_teardown(clients_that_are_wrong, rig_up, rig_down),
		cmocka_unit_test_setup_teardown(from_guest, rig_up, rig_down),
		cmocka_unit_test_setup_teardown(credit, rig_up, rig_down),
		cmocka_unit_test_setup_teardown(packets_that_are_wrong, rig_up, rig_down),
		cmocka_unit_test_setup_teardown(many, rig_up, rig_down),
		cmocka_unit_test_setup_teardown(saved, rig_up, rig_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
