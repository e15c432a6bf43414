/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_vhost.c - disks and network cards that a vhost-user back end serves: a driver of our own at one side, a back end
 * of our own at the other, which dies, comes back, and writes what it likes.
 */
#include "base/state.h"
#include "device/class.h"
#include "vhost_peer.h"
#include "virtio_rig.h"
#include "vsock/vsock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define AT 0x100000ull
#define SECTORS 2048ull
#define RING_FEATURES (1ull << VIRTIO_F_RING_EVENT_IDX | 1ull << VIRTIO_F_RING_INDIRECT_DESC)
#define BASE (1ull << VIRTIO_F_VERSION_1 | 1ull << VHOST_F_PROTOCOL_FEATURES)
#define F_FLUSH 9
#define F_NET_MQ 22

static struct {
	struct virtio_rig v;
	struct vhost_peer peer[2];
	int helper;
	u64 wrote;
	unsigned news;
} F;

static void on_wrote(void *opaque, u64 off, u64 bytes)
{
	F.wrote += bytes;
}

static void on_news(void *opaque, enum device_news what)
{
	F.news += what == DEVICE_LINK;
}

static void rig(void)
{
	memset(&F, 0, sizeof(F));
	virtio_rig_up(&F.v, 4 * MIB);
	F.v.ram->watch.wrote = on_wrote;
}

static struct vhost_peer *a_peer(unsigned i, u64 more, u64 queues)
{
	struct vhost_peer *p = &F.peer[i];

	*p = (struct vhost_peer){ .features = BASE | more,
				  .protocol = 1 << VHOST_PROTOCOL_F_MQ | 1 << VHOST_PROTOCOL_F_REPLY_ACK |
					      1 << VHOST_PROTOCOL_F_CONFIG,
				  .queues = queues };
	st_le64(p->config, SECTORS);
	st_le32(p->config + 12, 200); /* seg_max */
	st_le16(p->config + 34, 99);
	return p;
}

static int helper(void)
{
	int sv[2];

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == 0);
	F.helper = sv[0];
	return sv[1];
}

static void disk(u64 ring_features)
{
	struct virtio_dev *d;
	struct err e;

	rig();
	struct vhost_peer *p = a_peer(0, 1ull << 2 | 1ull << F_FLUSH | ring_features, 4);
	if (vhost_user_blk_new(&d, F.v.ram, F.v.loop, peer_up(p), helper(), 2, &e) < 0)
		fail_msg("%s", e.msg);
	virtio_rig_take(&F.v, d);
	virtio_rig_start(&F.v, 256, d->features_offered & ~(1ull << VIRTIO_F_RING_EVENT_IDX));
	assert_true(peer_started(p, 2));
}

static void down(void)
{
	virtio_rig_down(&F.v);
	close(F.helper);
	for (unsigned i = 0; i < 2; i++)
		if (F.peer[i].fd)
			peer_down(&F.peer[i]);
}

/* Request i: 16 bytes to read, 512 and a status to write. */
static void request(unsigned q, unsigned i)
{
	u64 at = AT + i * 4096;
	const struct vdesc seg[3] = { { at, 16 }, { at + 1024, 512 }, { at + 2048, 1 } };

	memset(F.v.ram->host + at, (int)(0x40 + i), 4096);
	vd_add(&F.v.q[q], seg, 1, 2);
	vd_kick(&F.v.q[q]);
}

/* The back end does it; returns the head. */
static unsigned serve(struct vhost_peer *p, unsigned q, unsigned i, bool three)
{
	int head = peer_next(p, q);
	unsigned flags;
	u32 bytes;

	assert_true(head >= 0);
	u8 *b = peer_seg(p, q, (unsigned)head, 0, &bytes, &flags);
	assert_int_equal(bytes, 16);
	assert_int_equal(*b, 0x40 + i);
	assert_false(flags & 2);
	b = peer_seg(p, q, (unsigned)head, 1, &bytes, &flags);
	assert_int_equal(bytes, 512);
	assert_true(flags & 2);
	memset(b, (int)(0x80 + i), bytes);
	b = peer_seg(p, q, (unsigned)head, 2, &bytes, &flags);
	assert_int_equal(bytes, 1);
	*b = 0;
	assert_true(three && !peer_seg(p, q, (unsigned)head, 3, &bytes, &flags));
	return (unsigned)head;
}

static void assert_served(unsigned q, unsigned i, u32 bytes)
{
	u32 id, len;

	assert_true(vd_used(&F.v.q[q], &id, &len));
	assert_int_equal(len, bytes);
	assert_int_equal(F.v.ram->host[AT + i * 4096 + 1024], 0x80 + i);
	assert_int_equal(F.v.ram->host[AT + i * 4096 + 2048], 0);
}

static void io(u64 ring_features)
{
	disk(ring_features);
	struct vhost_peer *p = &F.peer[0];
	u8 cfg[60];

	/* The rings of the two sides have each its own features. */
	assert_int_equal(p->accepted, BASE | ring_features | 1ull << 2 | 1ull << F_FLUSH);
	F.v.dev->cls->cfg_read(F.v.dev, 0, cfg, sizeof(cfg));
	assert_int_equal(ld_le64(cfg), SECTORS);
	assert_int_equal(ld_le32(cfg + 12), VIRTIO_CHAIN_MAX - 2);
	assert_int_equal(ld_le16(cfg + 34), 2);
	assert_true(peer_kicks(p, 0));
	for (unsigned round = 0; round < 300; round++) {
		unsigned q = round & 1;
		request(q, 0);
		request(q, 1);
		assert_true(peer_kicks(p, q) > 0);
		unsigned a = serve(p, q, 0, true), b = serve(p, q, 1, true);
		F.wrote = 0;
		F.v.irqs[q] = 0;
		peer_use(p, q, b, 513); /* in another order */
		virtio_rig_spin(&F.v);
		assert_served(q, 1, 513);
		assert_true(F.wrote >= 513);
		assert_int_equal(F.v.irqs[q], 1);
		peer_use(p, q, a, 100000); /* more than there is */
		virtio_rig_spin(&F.v);
		assert_served(q, 0, 513);
		assert_int_equal(peer_next(p, q), -1);
		if (round == 2)
			round = 250;
	}
	down();
}

static void plain_rings(void **state)
{
	io(0);
}

static void indirect_with_events(void **state)
{
	io(RING_FEATURES);
}

/* More descriptors than a ring without indirect ones has: the rest stays in the guest's queue. */
static void full(void **state)
{
	disk(0);
	struct vhost_peer *p = &F.peer[0];
	unsigned n = 0;
	int head[256];

	for (unsigned i = 0; i < 85; i++)
		request(0, 0);
	while (n < 256 && (head[n] = peer_next(p, 0)) >= 0)
		n++;
	assert_int_equal(n, 85); /* of three each; the guest's own ring has no room for more */
	for (unsigned i = 0; i < n; i++)
		peer_use(p, 0, (u32)head[n - 1 - i], 513);
	virtio_rig_spin(&F.v);
	assert_int_equal(vd_used_idx(&F.v.q[0]), 85);
	for (unsigned i = 0; i < 85; i++)
		request(0, 0);
	for (n = 0; n < 256 && peer_next(p, 0) >= 0;)
		n++;
	assert_int_equal(n, 85);
	down();
}

static void reset_waits_and_stops(void **state)
{
	disk(RING_FEATURES);
	struct vhost_peer *p = &F.peer[0];

	virtio_rig_start(&F.v, 256, F.v.dev->features_offered & ~(1ull << VIRTIO_F_RING_EVENT_IDX));
	assert_true(peer_started(p, 4));
	assert_int_equal(p->ring[0].stopped, 1);
	assert_int_equal(p->ring[1].stopped, 1);
	request(0, 3);
	peer_use(p, 0, serve(p, 0, 3, true), 513);
	/* It is done with before the reset ends, and told to nobody. */
	F.wrote = 0;
	virtio_rig_start(&F.v, 256, F.v.dev->features_offered & ~(1ull << VIRTIO_F_RING_EVENT_IDX));
	assert_true(F.wrote >= 513);
	assert_int_equal(vd_used_idx(&F.v.q[0]), 0);
	down();
}

/* A ring that makes no sense ends the connection, and nothing else. */
static void hostile_rings(void **state)
{
	for (unsigned how = 0; how < 4; how++) {
		disk(RING_FEATURES);
		struct vhost_peer *p = &F.peer[0];
		request(0, 0);
		unsigned head = serve(p, 0, 0, true);
		if (how == 0)
			peer_set_used(p, 0, 700), peer_call(p, 0);
		else if (how == 1)
			peer_use(p, 0, 60000, 1);
		else if (how == 2)
			peer_use(p, 0, (head + 1) % 256, 1);
		else
			peer_use(p, 0, head, 513);
		virtio_rig_spin(&F.v);
		bool up = how == 3;
		if (up) { /* twice */
			request(0, 1);
			peer_use(p, 0, head ^ 1, 513);
			virtio_rig_spin(&F.v);
		}
		/* The next one is asked for. */
		struct vsock_ask ask;
		assert_int_equal(recv(F.helper, &ask, sizeof(ask), MSG_DONTWAIT), sizeof(ask));
		assert_int_equal(vd_used_idx(&F.v.q[0]), up);
		assert_false(F.v.dev->status & VIRTIO_S_NEEDS_RESET);
		down();
	}
}

static void answer(int fd)
{
	struct vsock_answer a = { .error = fd < 0 ? ECONNREFUSED : 0 };
	struct iovec iov = { &a, sizeof(a) };
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(sizeof(int))];
	} c = { .h = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		memcpy(CMSG_DATA(&c.h), &fd, sizeof(fd));
		m.msg_control = &c;
		m.msg_controllen = sizeof(c);
	}
	assert_int_equal(sendmsg(F.helper, &m, 0), sizeof(a));
	if (fd >= 0)
		close(fd);
}

static void asked(void)
{
	struct vsock_ask ask;

	for (unsigned i = 0; i < 400; i++) {
		virtio_rig_spin(&F.v);
		if (recv(F.helper, &ask, sizeof(ask), MSG_DONTWAIT) == sizeof(ask))
			return;
	}
	fail_msg("no other back end is asked for");
}

static void died_and_back(void **state)
{
	disk(RING_FEATURES);
	for (unsigned i = 0; i < 3; i++)
		request(0, i);
	unsigned head = serve(&F.peer[0], 0, 0, true);
	peer_use(&F.peer[0], 0, head, 513);
	virtio_rig_spin(&F.v);
	assert_served(0, 0, 513);
	peer_down(&F.peer[0]);
	F.peer[0].fd = 0;
	asked();
	answer(-1); /* nobody there */
	request(0, 3);
	asked();
	/* Another disk is no replacement. */
	struct vhost_peer *p = a_peer(1, 1ull << 2 | 1ull << F_FLUSH | RING_FEATURES, 4);
	st_le64(p->config, SECTORS + 1);
	answer(peer_up(p));
	asked();
	assert_int_equal(p->starts, 0);
	peer_down(p);
	p = a_peer(1, 1ull << 2 | 1ull << F_FLUSH | RING_FEATURES, 4);
	answer(peer_up(p));
	for (unsigned i = 0; i < 200 && __atomic_load_n(&p->starts, __ATOMIC_SEQ_CST) < 2; i++)
		virtio_rig_spin(&F.v);
	assert_true(peer_started(p, 2));
	virtio_rig_spin(&F.v);
	/* What was in flight, in order, and what came meanwhile. */
	for (unsigned i = 1; i < 4; i++)
		peer_use(p, 0, serve(p, 0, i, true), 513);
	virtio_rig_spin(&F.v);
	for (unsigned i = 1; i < 4; i++)
		assert_served(0, i, 513);
	down();
}

static void poor_greetings(void **state)
{
	static const struct {
		enum peer_fault fault;
		const char *says;
	} bad[] = { { PEER_WRONG_REQUEST, "no reply" },
		    { PEER_LONG, "no reply" },
		    { PEER_NO_FLAG, "no reply" },
		    { PEER_SHORT, "no reply" },
		    { PEER_CLOSES, "closed" } };
	struct virtio_dev *d;
	struct err e;

	for (unsigned i = 0; i < ARRAY_LEN(bad) + 3; i++) {
		rig();
		struct vhost_peer *p = a_peer(0, 0, 4);
		const char *says = "";
		if (i < ARRAY_LEN(bad)) {
			p->fault = bad[i].fault;
			says = bad[i].says;
		} else if (i == ARRAY_LEN(bad)) {
			p->features = 1ull << VHOST_F_PROTOCOL_FEATURES;
			says = "before VIRTIO 1.0";
		} else if (i == ARRAY_LEN(bad) + 1) {
			p->features = 1ull << VIRTIO_F_VERSION_1;
			says = "too old";
		} else {
			p->protocol = 0;
			says = "configuration";
		}
		assert_true(vhost_user_blk_new(&d, F.v.ram, F.v.loop, peer_up(p), helper(), 2, &e) < 0);
		if (!strstr(e.msg, says))
			fail_msg("%u: '%s' in '%s'", i, says, e.msg);
		peer_down(p);
		close(F.helper);
		loop_timer_fini(&F.v.stop);
		loop_free(F.v.loop);
		ram_free(F.v.ram);
	}
}

/* ---- network cards ---- */

static void card(unsigned pairs)
{
	static const u8 mac[6] = { 2, 3, 4, 5, 6, 7 };
	const struct device_listener l = { .fn = on_news };
	struct virtio_dev *d;
	struct err e;

	rig();
	struct vhost_peer *p = a_peer(0, 1ull << 15 | RING_FEATURES, 2);
	if (vhost_user_net_new(&d, F.v.ram, F.v.loop, peer_up(p), helper(), pairs, mac, &l, &e) < 0)
		fail_msg("%s", e.msg);
	virtio_rig_take(&F.v, d);
	virtio_rig_start(&F.v, 64, d->features_offered & ~(1ull << VIRTIO_F_RING_EVENT_IDX));
	assert_true(peer_started(p, 2));
}

static void buffers(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct vdesc seg = { AT + i * 4096, 2048 };
		vd_add(&F.v.q[0], &seg, 0, 1);
	}
	vd_kick(&F.v.q[0]);
}

/* A frame in two buffers is seen whole. */
static void merged_frames(void **state)
{
	card(1);
	struct vhost_peer *p = &F.peer[0];

	buffers(4);
	int a = peer_next(p, 0), b = peer_next(p, 0);
	assert_true(a >= 0 && b >= 0);
	u8 *used = peer_at(p, p->ring[0].addr.used, true);
	st_le32(used + 4, (u32)a);
	st_le32(used + 8, 2048);
	st_le32(used + 12, (u32)b);
	st_le32(used + 16, 10);
	peer_set_used(p, 0, 2);
	peer_call(p, 0);
	virtio_rig_spin(&F.v);
	u32 id, len;
	assert_true(vd_used(&F.v.q[0], &id, &len) && len == 2048);
	assert_true(vd_used(&F.v.q[0], &id, &len) && len == 10);
	assert_int_equal(F.v.irqs[0], 1);
	down();
}

static void saving_takes_buffers_back(void **state)
{
	card(1);
	struct vhost_peer *p = &F.peer[0];
	int head[5];

	buffers(5);
	for (unsigned i = 0; i < 5; i++)
		head[i] = peer_next(p, 0);
	peer_use(p, 0, (u32)head[1], 60); /* not the first */
	virtio_rig_spin(&F.v);
	assert_int_equal(vd_used_idx(&F.v.q[0]), 1);
	for (unsigned i = 0; i < 1000 && !virtio_quiesce(F.v.dev); i++)
		virtio_rig_spin(&F.v);
	assert_true(virtio_quiesce(F.v.dev));
	assert_int_equal(p->ring[0].stopped, 1);
	/* Three were not popped after all; the one before the used one came back empty. */
	assert_int_equal(F.v.dev->queue[0].last_avail, 2);
	assert_int_equal(vd_used_idx(&F.v.q[0]), 2);
	virtio_resume(F.v.dev);
	for (unsigned i = 0; i < 200 && __atomic_load_n(&p->starts, __ATOMIC_SEQ_CST) < 4; i++)
		virtio_rig_spin(&F.v);
	assert_true(peer_started(p, 4));
	for (unsigned i = 0; i < 3; i++)
		assert_true(peer_next(p, 0) >= 0);
	assert_int_equal(peer_next(p, 0), -1);
	down();
}

static void pairs_by_the_control_queue(void **state)
{
	card(2);
	struct vhost_peer *p = &F.peer[0];
	u8 *cmd = F.v.ram->host + AT, cfg[10];
	const struct vdesc seg[2] = { { AT, 4 }, { AT + 64, 1 } };

	F.v.dev->cls->cfg_read(F.v.dev, 0, cfg, sizeof(cfg));
	assert_int_equal(ld_le16(cfg + 8), 2);
	assert_true(F.v.dev->features_offered >> F_NET_MQ & 1);
	assert_false(p->ring[2].enabled);
	memcpy(cmd, "\4\0\2\0", 4);
	vd_add(&F.v.q[4], seg, 1, 1);
	vd_kick(&F.v.q[4]);
	assert_int_equal(cmd[64], 0);
	assert_true(peer_started(p, 4));
	assert_true(p->ring[2].enabled && p->ring[3].enabled);
	static const char *const wrong[] = { "\4\0\3\0", "\4\0\0\0", "\4\1\1\0", "\0\0\1\0" };
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		memcpy(cmd, wrong[i], 4);
		vd_add(&F.v.q[4], seg, 1, 1);
		vd_kick(&F.v.q[4]);
		assert_int_equal(cmd[64], 1);
	}
	down();
}

static void link_goes_with_the_back_end(void **state)
{
	card(1);
	u8 cfg[10];

	peer_down(&F.peer[0]);
	F.peer[0].fd = 0;
	asked();
	F.v.dev->cls->cfg_read(F.v.dev, 0, cfg, sizeof(cfg));
	assert_int_equal(ld_le16(cfg + 6), 0);
	assert_int_equal(F.news, 1);
	struct vhost_peer *p = a_peer(1, 1ull << 15 | RING_FEATURES, 2);
	answer(peer_up(p));
	for (unsigned i = 0; i < 200 && __atomic_load_n(&p->starts, __ATOMIC_SEQ_CST) < 2; i++)
		virtio_rig_spin(&F.v);
	F.v.dev->cls->cfg_read(F.v.dev, 0, cfg, sizeof(cfg));
	assert_int_equal(ld_le16(cfg + 6), 1);
	assert_int_equal(F.news, 2);
	down();
}

/* A reset does not wait for ever for one that says nothing. */
static void reset_leaves_a_silent_one(void **state)
{
	card(1);
	buffers(2);
	F.peer[0].fault = PEER_SILENT;
	u64 t = clock_mono_ns();
	virtio_lock(F.v.dev);
	virtio_set_status(F.v.dev, 0);
	virtio_unlock(F.v.dev);
	assert_true(clock_mono_ns() - t < 20000000000ull);
	assert_int_equal(F.v.dev->status, 0);
	asked();
	down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_rings),
		cmocka_unit_test(indirect_with_events),
		cmocka_unit_test(full),
		cmocka_unit_test(reset_waits_and_stops),
		cmocka_unit_test(hostile_rings),
		cmocka_unit_test(died_and_back),
		cmocka_unit_test(poor_greetings),
		cmocka_unit_test(merged_frames),
		cmocka_unit_test(saving_takes_buffers_back),
		cmocka_unit_test(pairs_by_the_control_queue),
		cmocka_unit_test(link_goes_with_the_back_end),
		cmocka_unit_test(reset_leaves_a_silent_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
