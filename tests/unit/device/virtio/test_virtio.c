/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_virtio.c - virtio core: rings against a driver of our own, good and bad; the entropy device. */
#include "virtio_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define RINGS RIG_RINGS
#define BUF 0x40000

struct fix {
	struct virtio_rig v;
	unsigned notified, resets, frees;
	u64 wrote_bytes;
	struct virtio_chain ch;
};
static struct fix F;

static void t_notify(struct virtio_dev *d, unsigned q)
{
	F.notified++;
}
static void t_reset(struct virtio_dev *d)
{
	F.resets++;
	assert_int_equal(virtio_pop(d, 0, &F.ch), 0);
}
static void t_free(struct virtio_dev *d)
{
	F.frees++;
}
static const struct virtio_class t_class = {
	.name = "virtio-test",
	.id = 99,
	.features = 1,
	.notify = t_notify,
	.reset = t_reset,
	.free = t_free,
};
static void t_wrote(void *opaque, gpa_t gpa, u64 bytes)
{
	F.wrote_bytes += bytes;
}

static void start(u64 features)
{
	virtio_rig_start(&F.v, 16, features);
	assert_int_equal(F.v.dev->status & VIRTIO_S_DRIVER_OK, VIRTIO_S_DRIVER_OK);
	memset(F.v.irqs, 0, sizeof(F.v.irqs));
	F.v.cfg_irqs = F.notified = F.resets = 0;
	F.wrote_bytes = 0;
}

/* Without a loop: visits have no end. */
static int setup(void **state)
{
	memset(&F, 0, sizeof(F));
	virtio_rig_up(&F.v, 1 * MIB);
	F.v.ram->watch.wrote = t_wrote;
	virtio_rig_take(&F.v, virtio_new(&t_class, F.v.ram, NULL, 2, NULL));
	start(1ull << VIRTIO_F_RING_INDIRECT_DESC);
	return 0;
}
static int teardown(void **state)
{
	virtio_rig_down(&F.v);
	assert_int_equal(F.frees, 1);
	return 0;
}

static void broken_after_pop(void)
{
	assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 0);
	assert_true(F.v.dev->status & VIRTIO_S_NEEDS_RESET);
	assert_int_equal(F.v.cfg_irqs, 1);
	/* Empty from then on, no second interrupt */
	assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 0);
	vd_kick(&F.v.q[0]);
	assert_int_equal(F.notified, 0);
	assert_int_equal(F.v.cfg_irqs, 1);
}

static void test_direct(void **state)
{
	struct vdesc seg[] = { { BUF, 16 }, { BUF + 0x100, 8 }, { BUF + 0x200, 10 }, { BUF + 0x300, 1 } };

	assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 0);
	for (unsigned i = 0; i < 24; i++)
		F.v.ram->host[BUF + (i < 16 ? i : 0x100 + i - 16)] = (u8)i;
	for (unsigned round = 0; round < 1000; round++) {
		vd_add(&F.v.q[0], seg, 2, 2);
		vd_kick(&F.v.q[0]);
		assert_int_equal(F.notified, round + 1);
		assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 1);
		assert_int_equal(F.ch.nout, 2);
		assert_int_equal(F.ch.nin, 2);
		assert_int_equal(F.ch.out_bytes, 24);
		assert_int_equal(F.ch.in_bytes, 11);
		u8 b[32];
		assert_int_equal(virtio_chain_read(&F.ch, 10, b, sizeof(b)), 14);
		for (unsigned i = 0; i < 14; i++)
			assert_int_equal(b[i], 10 + i);
		assert_int_equal(virtio_chain_write(&F.ch, 9, "xyz", 3), 2);
		assert_int_equal(F.v.ram->host[BUF + 0x209], 'x');
		assert_int_equal(F.v.ram->host[BUF + 0x300], 'y');
		F.wrote_bytes = 0;
		virtio_push(F.v.dev, 0, &F.ch, 11);
		assert_true(F.wrote_bytes >= 11 + 8 + 2);
		virtio_signal(F.v.dev, 0);
		assert_int_equal(F.v.irqs[0], round + 1);
		virtio_signal(F.v.dev, 0);
		assert_int_equal(F.v.irqs[0], round + 1);
		u32 id, len;
		assert_true(vd_used(&F.v.q[0], &id, &len));
		assert_int_equal(id, F.ch.head);
		assert_int_equal(len, 11);
		assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 0);
	}
	assert_int_equal(F.v.dev->status & VIRTIO_S_NEEDS_RESET, 0);
}

static void test_unpop(void **state)
{
	struct vdesc a = { BUF, 4 }, b = { BUF, 5 };

	vd_add(&F.v.q[0], &a, 1, 0);
	vd_add(&F.v.q[0], &b, 1, 0);
	assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 1);
	assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 1);
	assert_int_equal(F.ch.out_bytes, 5);
	virtio_unpop(F.v.dev, 0, &F.ch);
	assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 1);
	assert_int_equal(F.ch.out_bytes, 5);
	assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 0);
}

static void put_table(gpa_t at, const struct vdesc *d, unsigned n)
{
	memcpy(F.v.ram->host + at, d, n * sizeof(*d));
}

static void test_indirect(void **state)
{
	struct vdesc t[VIRTIO_CHAIN_MAX + 1];
	struct vdesc direct = { BUF, 3 };

	for (unsigned i = 0; i <= VIRTIO_CHAIN_MAX; i++)
		t[i] = (struct vdesc){ BUF + i, 1, VD_NEXT | (i >= 100 ? VD_WRITE : 0), (u16)(i + 1) };
	t[VIRTIO_CHAIN_MAX - 1].flags &= (u16)~VD_NEXT;
	put_table(0x80000, t, VIRTIO_CHAIN_MAX);
	/* alone, and behind a direct descriptor */
	vd_set_desc(&F.v.q[0], 0, 0x80000, 16 * VIRTIO_CHAIN_MAX, VD_INDIRECT, 0);
	vd_avail(&F.v.q[0], 0);
	assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 1);
	assert_int_equal(F.ch.nout, 100);
	assert_int_equal(F.ch.nin, VIRTIO_CHAIN_MAX - 100);
	virtio_push(F.v.dev, 0, &F.ch, 0);
	vd_set_desc(&F.v.q[0], 1, direct.addr, direct.len, VD_NEXT, 2);
	vd_set_desc(&F.v.q[0], 2, 0x80000 + 16 * 10, 16 * 1, VD_INDIRECT, 0);
	t[10].flags = 0;
	put_table(0x80000, t, VIRTIO_CHAIN_MAX);
	vd_avail(&F.v.q[0], 1);
	assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 1);
	assert_int_equal(F.ch.nout, 2);
	assert_int_equal(F.ch.out_bytes, 4);
	/* one too many */
	t[10].flags = VD_NEXT;
	t[VIRTIO_CHAIN_MAX - 1].flags |= VD_NEXT;
	t[VIRTIO_CHAIN_MAX].flags = VD_WRITE;
	put_table(0x80000, t, VIRTIO_CHAIN_MAX + 1);
	vd_set_desc(&F.v.q[0], 0, 0x80000, 16 * (VIRTIO_CHAIN_MAX + 1), VD_INDIRECT, 0);
	vd_avail(&F.v.q[0], 0);
	broken_after_pop();
}

static void test_zero_length(void **state)
{
	struct vdesc seg[] = { { 0xdead0000, 0 }, { BUF, 4 }, { 0, 0 }, { BUF, 2 } };

	vd_add(&F.v.q[0], seg, 2, 2);
	assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 1);
	assert_int_equal(F.ch.nout, 1);
	assert_int_equal(F.ch.nin, 1);
}

static void test_event_idx(void **state)
{
	struct vdesc seg = { BUF, 4 };
	u8 *used_event = F.v.ram->host + RINGS + 0x1000 + 4 + 2 * 16;
	u8 *avail_event = F.v.ram->host + RINGS + 0x2000 + 4 + 8 * 16;

	start(1ull << VIRTIO_F_RING_EVENT_IDX);
	for (unsigned i = 0; i < 5; i++)
		vd_add(&F.v.q[0], &seg, 0, 1);
	st_le16(used_event, 2); /* interrupt when the third is used */
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 1);
		virtio_push(F.v.dev, 0, &F.ch, 0);
		if (i == 0) {
			/* The first signal has no "since": always an interrupt. */
			virtio_signal(F.v.dev, 0);
			assert_int_equal(F.v.irqs[0], 1);
		} else {
			virtio_signal(F.v.dev, 0);
			assert_int_equal(F.v.irqs[0], i < 2 ? 1 : 2);
		}
	}
	assert_int_equal(ld_le16(avail_event), 0);
	assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 0);
	assert_int_equal(ld_le16(avail_event), 5); /* asked for the next */
	virtio_notify_disable(F.v.dev, 0);
	vd_add(&F.v.q[0], &seg, 0, 1);
	assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 1);
	assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 0);
	assert_int_equal(ld_le16(avail_event), 5); /* not asked */
	vd_add(&F.v.q[0], &seg, 0, 1);
	assert_true(virtio_notify_enable(F.v.dev, 0));
	assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 1);
	assert_false(virtio_notify_enable(F.v.dev, 0));
	assert_int_equal(ld_le16(avail_event), 7);
}

static void test_flags(void **state)
{
	struct vdesc seg = { BUF, 4 };

	st_le16(F.v.ram->host + F.v.q[0].avail, 1); /* no interrupts, please */
	vd_add(&F.v.q[0], &seg, 0, 1);
	assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 1);
	virtio_push(F.v.dev, 0, &F.ch, 0);
	virtio_signal(F.v.dev, 0);
	assert_int_equal(F.v.irqs[0], 0);
	virtio_notify_disable(F.v.dev, 0);
	assert_int_equal(ld_le16(F.v.ram->host + F.v.q[0].used), 1);
	assert_false(virtio_notify_enable(F.v.dev, 0));
	assert_int_equal(ld_le16(F.v.ram->host + F.v.q[0].used), 0);
}

/* ---- the driver breaks the rules: each starts afresh ---- */

static void bad_chain(const struct vdesc *d, unsigned n, u16 head)
{
	start(1ull << VIRTIO_F_RING_INDIRECT_DESC);
	for (unsigned i = 0; i < n; i++)
		vd_set_desc(&F.v.q[0], i, d[i].addr, d[i].len, d[i].flags, d[i].next);
	vd_avail(&F.v.q[0], head);
	broken_after_pop();
}

static void test_bad(void **state)
{
	struct vdesc loop[] = { { BUF, 1, VD_NEXT, 1 }, { BUF, 1, VD_NEXT, 0 } };
	struct vdesc self[] = { { BUF, 0, VD_NEXT, 0 } };
	struct vdesc order[] = { { BUF, 1, VD_NEXT | VD_WRITE, 1 }, { BUF, 1, 0, 0 } };
	struct vdesc out[] = { { 1 * MIB - 1, 2, 0, 0 } };
	struct vdesc far[] = { { UINT64_MAX - 1, 16, 0, 0 } };
	struct vdesc next[] = { { BUF, 1, VD_NEXT, 16 } };
	struct vdesc ind_next[] = { { BUF, 16, VD_NEXT | VD_INDIRECT, 1 }, { BUF, 1, 0, 0 } };
	struct vdesc ind_len[] = { { BUF, 17, VD_INDIRECT, 0 } };
	struct vdesc ind_zero[] = { { BUF, 0, VD_INDIRECT, 0 } };
	struct vdesc ind_far[] = { { 1 * MIB - 16, 32, VD_INDIRECT, 0 } };
	struct vdesc ind_ind[] = { { 0x80000, 16, VD_INDIRECT, 0 } };
	struct vdesc in_table = { BUF, 16, VD_INDIRECT, 0 };

	bad_chain(loop, 2, 0);
	bad_chain(self, 1, 0);
	bad_chain(order, 2, 0);
	bad_chain(out, 1, 0);
	bad_chain(far, 1, 0);
	bad_chain(next, 1, 0);
	bad_chain(out, 0, 16);
	bad_chain(out, 0, 0xffff);
	bad_chain(ind_next, 2, 0);
	bad_chain(ind_len, 1, 0);
	bad_chain(ind_zero, 1, 0);
	bad_chain(ind_far, 1, 0);
	put_table(0x80000, &in_table, 1);
	bad_chain(ind_ind, 1, 0);
	/* an indirect table of zero-length descriptors in a loop */
	in_table = (struct vdesc){ BUF, 0, VD_NEXT, 0 };
	put_table(0x80000, &in_table, 1);
	bad_chain(ind_ind, 1, 0);
	/* ... and a long one without a loop */
	for (unsigned i = 0; i < 8192; i++) {
		in_table.next = (u16)(i + 1);
		put_table(0x80000 + 16 * i, &in_table, 1);
	}
	struct vdesc ind_long[] = { { 0x80000, 16 * 8192, VD_INDIRECT, 0 } };
	bad_chain(ind_long, 1, 0);
	/* indirect, not negotiated */
	struct vdesc ok = { BUF, 1, 0, 0 };
	put_table(0x80000, &ok, 1);
	start(0);
	vd_set_desc(&F.v.q[0], 0, 0x80000, 16, VD_INDIRECT, 0);
	vd_avail(&F.v.q[0], 0);
	broken_after_pop();
	/* the available index jumps */
	start(0);
	F.v.q[0].avail_idx = 16;
	vd_avail(&F.v.q[0], 0);
	broken_after_pop();
	/* a reset heals */
	start(0);
	vd_add(&F.v.q[0], &ok, 1, 0);
	assert_int_equal(virtio_pop(F.v.dev, 0, &F.ch), 1);
}

static void test_bad_rings(void **state)
{
	static const struct {
		gpa_t desc, avail, used;
		u16 size;
	} bad[] = {
		{ RINGS + 8, RINGS + 0x1000, RINGS + 0x2000, 16 }, { RINGS, RINGS + 0x1001, RINGS + 0x2000, 16 },
		{ RINGS, RINGS + 0x1000, RINGS + 0x2002, 16 },     { 1 * MIB - 16, RINGS + 0x1000, RINGS + 0x2000, 16 },
		{ RINGS, 1 * MIB - 32, RINGS + 0x2000, 16 },       { RINGS, RINGS + 0x1000, 1 * MIB - 128, 16 },
		{ RINGS, RINGS + 0x1000, RINGS + 0x2000, 12 },     { RINGS, RINGS + 0x1000, RINGS + 0x2000, 0 },
		{ RINGS, RINGS + 0x1000, RINGS + 0x2000, 512 },
	};

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		virtio_set_status(F.v.dev, 0);
		F.v.dev->queue[0].desc = bad[i].desc;
		F.v.dev->queue[0].avail = bad[i].avail;
		F.v.dev->queue[0].used = bad[i].used;
		F.v.dev->queue[0].size = bad[i].size;
		virtio_queue_enable(F.v.dev, 0);
		assert_true(F.v.dev->status & VIRTIO_S_NEEDS_RESET);
		assert_false(F.v.dev->queue[0].ready);
	}
}

static void test_status(void **state)
{
	virtio_set_status(F.v.dev, 0);
	assert_int_equal(F.v.dev->status, 0);
	assert_int_equal(F.resets, 1);
	virtio_set_status(F.v.dev, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER);
	/* not offered */
	F.v.dev->features = 1ull << VIRTIO_F_VERSION_1 | 1ull << 50;
	virtio_set_status(F.v.dev, VIRTIO_S_FEATURES_OK);
	assert_int_equal(F.v.dev->status, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER);
	/* legacy */
	F.v.dev->features = 1;
	virtio_set_status(F.v.dev, VIRTIO_S_FEATURES_OK);
	assert_int_equal(F.v.dev->status, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER);
	/* out of order */
	virtio_set_status(F.v.dev, VIRTIO_S_DRIVER_OK);
	assert_true(F.v.dev->status & VIRTIO_S_NEEDS_RESET);
	assert_false(F.v.dev->status & VIRTIO_S_DRIVER_OK);
	/* NEEDS_RESET is not the driver's to set */
	virtio_set_status(F.v.dev, 0);
	virtio_set_status(F.v.dev, VIRTIO_S_NEEDS_RESET | VIRTIO_S_DRIVER);
	assert_int_equal(F.v.dev->status, VIRTIO_S_DRIVER);
}

static void test_rng(void **state)
{
	struct virtio_dev *d;
	struct vdriver v;
	struct vdesc seg[] = { { BUF, 64 }, { BUF + 0x1000, 8192 } };
	u32 id, len;

	assert_int_equal(virtio_rng_new(&d, F.v.ram, NULL, NULL), 0);
	vd_init(&v, d, 0, 16, RINGS);
	vd_start(d, 0);
	vd_add(&v, seg, 0, 1);
	vd_add(&v, seg, 0, 2);
	vd_add(&v, seg, 1, 0); /* nothing to fill */
	vd_kick(&v);
	assert_true(vd_used(&v, &id, &len));
	assert_int_equal(len, 64);
	assert_true(vd_used(&v, &id, &len));
	assert_int_equal(len, 4096);
	assert_true(vd_used(&v, &id, &len));
	assert_int_equal(len, 0);
	unsigned zeros = 0;
	for (unsigned i = 0; i < 4096 - 64; i++)
		zeros += F.v.ram->host[BUF + 0x1000 + i] == 0;
	assert_true(zeros < 100);
	for (unsigned i = 4096 - 64; i < 8192; i++)
		assert_int_equal(F.v.ram->host[BUF + 0x1000 + i], 0);
	virtio_free(d);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_direct), T(test_unpop), T(test_indirect),  T(test_zero_length), T(test_event_idx),
		T(test_flags),  T(test_bad),   T(test_bad_rings), T(test_status),      T(test_rng),
	};
	return cmocka_run_group_tests_name("virtio", tests, NULL, NULL);
}
