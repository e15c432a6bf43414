/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_virtio_packed.c - packed virtqueues against a driver of our own, good and bad. */
#include "base/log.h"
#include "base/state.h"
#include "virtio_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

#define RING 0x10000ull
#define DRIVER 0x11000ull
#define DEVICE 0x12000ull
#define TABLE 0x20000ull
#define BUF 0x40000ull
#define PACKED (1ull << VIRTIO_F_RING_PACKED)
#define INDIRECT (1ull << VIRTIO_F_RING_INDIRECT_DESC)
#define EVENTS (1ull << VIRTIO_F_RING_EVENT_IDX)

static struct {
	struct virtio_rig v;
	unsigned size, at, used_at;
	bool wrap, used_wrap;
	unsigned notified;
	struct virtio_chain ch, more[8];
} F;

static void t_notify(struct virtio_dev *d, unsigned q)
{
	F.notified++;
}

static void t_free(struct virtio_dev *d)
{
}

static const struct virtio_class t_class = { .name = "virtio-test", .id = 99, .notify = t_notify, .free = t_free };

static void start(unsigned size, u64 features)
{
	struct virtio_dev *d = F.v.dev;

	virtio_lock(d);
	virtio_set_status(d, 0);
	virtio_set_status(d, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER);
	d->features = features | PACKED | 1ull << VIRTIO_F_VERSION_1;
	virtio_set_status(d, VIRTIO_S_FEATURES_OK);
	assert_true(d->status & VIRTIO_S_FEATURES_OK);
	memset(F.v.ram->host + RING, 0, 0x3000);
	d->queue[0].size = (u16)size;
	d->queue[0].desc = RING;
	d->queue[0].avail = DRIVER;
	d->queue[0].used = DEVICE;
	virtio_queue_enable(d, 0);
	virtio_set_status(d, VIRTIO_S_DRIVER_OK);
	virtio_unlock(d);
	F.size = size;
	F.at = F.used_at = 0;
	F.wrap = F.used_wrap = true;
	memset(F.v.irqs, 0, sizeof(F.v.irqs));
}

static int setup(void **state)
{
	memset(&F, 0, sizeof(F));
	virtio_rig_up(&F.v, 1 * MIB);
	virtio_rig_take(&F.v, virtio_new(&t_class, F.v.ram, NULL, 1, NULL));
	start(16, 0);
	return 0;
}

static int teardown(void **state)
{
	virtio_rig_down(&F.v);
	return 0;
}

static u8 *at(gpa_t a)
{
	return F.v.ram->host + a;
}

/* One descriptor; the driver moves on. */
static void put(u64 addr, u32 bytes, u16 id, unsigned flags)
{
	u8 *p = at(RING) + 16 * F.at;

	st_le64(p, addr);
	st_le32(p + 8, bytes);
	st_le16(p + 12, id);
	st_le16(p + 14, (u16)(flags | (F.wrap ? 0x80 : 0x8000)));
	if (++F.at == F.size) {
		F.at = 0;
		F.wrap = !F.wrap;
	}
}

/* n buffers of 16 bytes, the last nin writable. */
static void add(unsigned n, unsigned nin, u16 id)
{
	for (unsigned i = 0; i < n; i++)
		put(BUF + 64 * i, 16, id, (i + 1 < n ? 1 : 0) | (i >= n - nin ? 2 : 0));
}

/* The next used descriptor, which passes n places. False: there is none. */
static bool used(u16 *id, u32 *bytes, unsigned n)
{
	const u8 *p = at(RING) + 16 * F.used_at;
	u16 flags = ld_le16(p + 14);

	if (!(flags & 0x80) != !F.used_wrap || !(flags & 0x8000) != !F.used_wrap)
		return false;
	*id = ld_le16(p + 12);
	*bytes = ld_le32(p + 8);
	assert_int_equal(!(flags & 2), !*bytes);
	F.used_at += n;
	if (F.used_at >= F.size) {
		F.used_at -= F.size;
		F.used_wrap = !F.used_wrap;
	}
	return true;
}

static int pop(struct virtio_chain *ch)
{
	return virtio_pop(F.v.dev, 0, ch);
}

static void rounds(void **state)
{
	static const unsigned sizes[] = { 16, 7, 3, 256 };
	u16 id;
	u32 n;

	for (unsigned s = 0; s < ARRAY_LEN(sizes); s++) {
		start(sizes[s], 0);
		assert_int_equal(pop(&F.ch), 0);
		for (unsigned i = 0; i < 2000; i++) {
			unsigned descs = 1 + i % 3, nin = i % (descs + 1);
			add(descs, nin, (u16)(i * 7));
			assert_int_equal(pop(&F.ch), 1);
			assert_int_equal(F.ch.nout, descs - nin);
			assert_int_equal(F.ch.nin, nin);
			assert_int_equal(F.ch.head, (u16)(i * 7));
			assert_int_equal(pop(&F.more[0]), 0);
			assert_false(used(&id, &n, descs));
			virtio_push(F.v.dev, 0, &F.ch, 5);
			virtio_signal(F.v.dev, 0);
			assert_int_equal(F.v.irqs[0], i + 1);
			assert_true(used(&id, &n, descs));
			assert_int_equal(id, (u16)(i * 7));
			assert_int_equal(n, nin ? 5 : 0);
			assert_false(used(&id, &n, 1));
		}
	}
	assert_int_equal(F.v.dev->status & VIRTIO_S_NEEDS_RESET, 0);
}

/* In any order; each says by its id which it was. */
static void out_of_order_and_all_at_once(void **state)
{
	u16 id;
	u32 n;

	for (unsigned round = 0; round < 40; round++) {
		for (unsigned i = 0; i < 5; i++)
			add(1 + i % 2, 1, (u16)i);
		for (unsigned i = 0; i < 5; i++)
			assert_int_equal(pop(&F.more[i]), 1);
		assert_int_equal(pop(&F.ch), 0);
		for (unsigned i = 5; i--;) {
			virtio_push_part(F.v.dev, 0, &F.more[i], i + 1);
			assert_false(used(&id, &n, 1)); /* the first is not there yet, so nobody looks behind it */
		}
		virtio_push_end(F.v.dev, 0);
		for (unsigned i = 5; i--;) {
			assert_true(used(&id, &n, 1 + i % 2));
			assert_int_equal(id, i);
			assert_int_equal(n, i + 1);
		}
	}
}

static void back(void **state)
{
	for (unsigned round = 0; round < 50; round++) {
		add(2, 1, 1);
		add(3, 1, 2);
		assert_int_equal(pop(&F.more[0]), 1);
		assert_int_equal(pop(&F.more[1]), 1);
		virtio_unpop(F.v.dev, 0, &F.more[1]);
		virtio_unpop(F.v.dev, 0, &F.more[0]);
		assert_int_equal(pop(&F.more[0]), 1);
		assert_int_equal(F.more[0].head, 1);
		assert_int_equal(pop(&F.more[1]), 1);
		assert_int_equal(F.more[1].head, 2);
		virtio_push_batch(F.v.dev, 0, F.more, (const u32[]){ 1, 1 }, 2);
	}
}

static void tables(void **state)
{
	start(16, INDIRECT);
	for (unsigned i = 0; i < 100; i++) {
		u8 *t = at(TABLE) + 16 * i;
		st_le64(t, BUF + 64 * i);
		st_le32(t + 8, 16);
		st_le16(t + 14, i >= 60 ? 2 : 0);
	}
	put(TABLE, 1600, 77, 4);
	assert_int_equal(pop(&F.ch), 1);
	assert_int_equal(F.ch.nout, 60);
	assert_int_equal(F.ch.nin, 40);
	assert_int_equal(F.ch.head, 77);
	assert_int_equal(F.ch.places, 1);
}

/* Interrupts and notifications as the other side asks for them. */
static void events(void **state)
{
	u16 id;
	u32 n;

	start(8, EVENTS);
	for (unsigned i = 0; i < 200; i++) {
		/* For the second of four. */
		unsigned ask = (F.used_at + 1) % 8;
		bool wrap = ask ? F.used_wrap ^ (F.used_at + 1 > 8) : !F.used_wrap;
		st_le16(at(DRIVER), (u16)(ask | (wrap ? 0x8000 : 0)));
		st_le16(at(DRIVER) + 2, 2);
		unsigned was = F.v.irqs[0];
		for (unsigned k = 0; k < 4; k++) {
			add(1, 1, (u16)k);
			assert_int_equal(pop(&F.ch), 1);
			virtio_push(F.v.dev, 0, &F.ch, 1);
			virtio_signal(F.v.dev, 0);
			/* The very first signal is given in any case. */
			assert_int_equal(F.v.irqs[0] - was, (k >= 1) + (i == 0));
			assert_true(used(&id, &n, 1));
		}
	}
	st_le16(at(DRIVER) + 2, 1);
	unsigned was = F.v.irqs[0];
	for (unsigned k = 0; k < 40; k++) {
		add(1, 1, 0);
		assert_int_equal(pop(&F.ch), 1);
		virtio_push(F.v.dev, 0, &F.ch, 1);
		virtio_signal(F.v.dev, 0);
	}
	assert_int_equal(F.v.irqs[0], was);
	/* What the device says: here, or not at all. */
	assert_false(virtio_notify_enable(F.v.dev, 0));
	assert_int_equal(ld_le16(at(DEVICE) + 2), 2);
	assert_int_equal(ld_le16(at(DEVICE)), F.at | (F.wrap ? 0x8000 : 0));
	virtio_notify_disable(F.v.dev, 0);
	assert_int_equal(ld_le16(at(DEVICE) + 2), 1);
	add(1, 1, 0);
	assert_true(virtio_notify_enable(F.v.dev, 0));
}

/* A driver that is signalled after more than a round hears of it. */
static void a_round_without_a_signal(void **state)
{
	start(4, EVENTS);
	st_le16(at(DRIVER) + 2, 0);
	for (unsigned lap = 1; lap < 6; lap++) {
		unsigned was = F.v.irqs[0];
		for (unsigned k = 0; k < 4 * lap; k++) {
			add(1, 1, 0);
			assert_int_equal(pop(&F.ch), 1);
			virtio_push(F.v.dev, 0, &F.ch, 1);
		}
		virtio_signal(F.v.dev, 0);
		assert_int_equal(F.v.irqs[0], was + 1);
	}
}

static void hostile(void **state)
{
	for (unsigned how = 0; how < 9; how++) {
		start(how == 8 ? 256 : 4, how == 6 ? 0 : INDIRECT);
		switch (how) {
		case 0: /* a chain that is as long as the ring, and goes on */
			for (unsigned i = 0; i < 4; i++)
				put(BUF, 16, 0, 1);
			break;
		case 1:
			put(0xffffffff000, 16, 0, 0);
			break;
		case 2:
			put(BUF, 16, 0, 1 | 2);
			put(BUF, 16, 0, 0);
			break;
		case 3:
			put(TABLE, 16, 0, 4 | 1);
			break;
		case 4:
			put(BUF, 16, 0, 1);
			put(TABLE, 16, 0, 4);
			break;
		case 5: /* a table in a table */
			st_le16(at(TABLE) + 14, 4);
			put(TABLE, 16, 0, 4);
			break;
		case 6:
			put(TABLE, 16, 0, 4);
			break;
		case 7:
			put(TABLE, 15, 0, 4);
			break;
		case 8: /* too many segments */
			for (unsigned i = 0; i < VIRTIO_CHAIN_MAX + 1; i++)
				put(BUF, 16, 0, 1);
			break;
		}
		assert_int_equal(pop(&F.ch), 0);
		assert_true(F.v.dev->status & VIRTIO_S_NEEDS_RESET);
	}
	/* A saved place that the ring does not have. */
	start(4, 0);
	F.v.dev->queue[0].last_avail = 0x7fff;
	assert_int_equal(pop(&F.ch), 0);
	assert_true(F.v.dev->status & VIRTIO_S_NEEDS_RESET);
}

static void saved(void **state)
{
	int fd = memfd_create("state", 0);
	struct state_file *s;
	struct err e;

	for (unsigned i = 0; i < 21; i++) {
		add(1, 1, (u16)i);
		assert_int_equal(pop(&F.ch), 1);
		virtio_push(F.v.dev, 0, &F.ch, 1);
	}
	assert_int_equal(state_save_new(&s, fd, &e), 0);
	assert_int_equal(state_section(s, "t", 0, 1, &e), 0);
	virtio_state(F.v.dev, s);
	assert_int_equal(state_end(s, &e), 0);
	assert_int_equal(state_finish(s, &e), 0);
	state_free(s);
	struct virtio_queue was = F.v.dev->queue[0];
	virtio_lock(F.v.dev);
	virtio_set_status(F.v.dev, 0);
	virtio_unlock(F.v.dev);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(state_load_new(&s, fd, &e), 0);
	assert_int_equal(state_section(s, "t", 0, 1, &e), 0);
	virtio_state(F.v.dev, s);
	assert_int_equal(state_end(s, &e), 0);
	state_free(s);
	close(fd);
	assert_int_equal(F.v.dev->queue[0].last_avail, was.last_avail);
	assert_int_equal(F.v.dev->queue[0].used_idx, was.used_idx);
	add(1, 1, 500);
	assert_int_equal(pop(&F.ch), 1);
	assert_int_equal(F.ch.head, 500);
}

int main(void)
{
	log_level = LOG_LVL_ERROR;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rounds, setup, teardown),
		cmocka_unit_test_setup_teardown(out_of_order_and_all_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(back, setup, teardown),
		cmocka_unit_test_setup_teardown(tables, setup, teardown),
		cmocka_unit_test_setup_teardown(events, setup, teardown),
		cmocka_unit_test_setup_teardown(a_round_without_a_signal, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(saved, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
