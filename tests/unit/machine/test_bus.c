/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_bus.c - look-up, overlap, nesting and splitting of bus accesses. */
#include "machine/bus.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct dev {
	u64 last_off, last_val;
	unsigned last_bytes, reads, writes;
	u64 answer;
};

static u64 dev_read(void *opaque, u64 off, unsigned bytes)
{
	struct dev *d = opaque;

	d->last_off = off;
	d->last_bytes = bytes;
	d->reads++;
	return d->answer;
}

static void dev_write(void *opaque, u64 off, unsigned bytes, u64 val)
{
	struct dev *d = opaque;

	d->last_off = off;
	d->last_bytes = bytes;
	d->last_val = val;
	d->writes++;
}

static const struct io_ops ops = { .read = dev_read, .write = dev_write };
static const struct io_ops byte_ops = { .read = dev_read, .write = dev_write, .max_bytes = 1 };

#define REGION(d) \
	{ \
		.ops = &ops, .dev = &(d) \
	}

static void lookup(void **state)
{
	struct bus *b = bus_new();
	struct dev d[3] = { { .answer = 0x1111 }, { .answer = 0x2222 }, { .answer = ~0ull } };
	struct io_region r[3] = { REGION(d[0]), REGION(d[1]), REGION(d[2]) };

	assert_int_equal(bus_map_mmio(b, &r[1], 0x5000, 0x1000), 0);
	assert_int_equal(bus_map_mmio(b, &r[0], 0x1000, 0x1000), 0);
	assert_int_equal(bus_map_mmio(b, &r[2], 0xfffffffffffff000, 0x1000), 0);
	assert_int_equal(bus_mmio_read(b, 0x1ffc, 4), 0x1111);
	assert_int_equal(d[0].last_off, 0xffc);
	assert_int_equal(bus_mmio_read(b, 0x5000, 4), 0x2222);
	assert_int_equal(bus_mmio_read(b, 0x4fff, 1), 0xff);
	assert_int_equal(bus_mmio_read(b, 0x6000, 8), UINT64_MAX);
	assert_int_equal(bus_mmio_read(b, 0xfffffffffffffff8, 8), UINT64_MAX);
	assert_int_equal(d[2].reads, 1);
	/* Across the end of the address space: two bytes are the device's, none wraps to 0. */
	bus_mmio_read(b, 0xfffffffffffffffe, 4);
	assert_int_equal(d[2].reads, 3);
	bus_mmio_write(b, 0x5008, 2, 0xabcdef);
	assert_int_equal(d[1].last_val, 0xcdef);
	bus_unmap_mmio(b, &r[1]);
	bus_unmap_mmio(b, &r[1]);
	assert_int_equal(bus_mmio_read(b, 0x5000, 4), 0xffffffff);
	assert_int_equal(bus_map_mmio(b, &r[1], 0x2000, 0x1000), 0);
	assert_int_equal(bus_mmio_read(b, 0x2000, 2), 0x2222);
	bus_free(b);
}

static void overlap(void **state)
{
	struct bus *b = bus_new();
	struct dev d = { 0 };
	struct io_region a = REGION(d), c = REGION(d);

	assert_int_equal(bus_map_mmio(b, &a, 0x1000, 0x1000), 0);
	assert_int_equal(bus_map_mmio(b, &c, 0x1fff, 0x10), -EBUSY);
	assert_int_equal(bus_map_mmio(b, &c, 0x0, 0x1001), -EBUSY);
	assert_int_equal(bus_map_mmio(b, &c, 0x1400, 0x10), -EBUSY); /* memory does not nest */
	assert_int_equal(bus_map_mmio(b, &c, 0x800, 0x10000), -EBUSY);
	assert_int_equal(bus_map_mmio(b, &c, 0x3000, 0), -EINVAL);
	assert_int_equal(bus_map_mmio(b, &c, UINT64_MAX - 1, 16), -EINVAL);
	assert_false(c.mapped);
	assert_int_equal(bus_map_mmio(b, &c, 0x2000, 0x10), 0);
	bus_unmap_mmio(b, &a);
	bus_unmap_mmio(b, &c);
	assert_int_equal(bus_map_pio(b, &a, 0xfff0, 0x10), 0);
	assert_int_equal(bus_map_pio(b, &c, 0xfff8, 0x10), -EINVAL);
	bus_free(b);
}

/* 0xcf9 inside 0xcf8..0xcff, in both orders of mapping. */
static void nesting(void **state)
{
	for (int order = 0; order < 2; order++) {
		struct bus *b = bus_new();
		struct dev outer = { .answer = 0x80000000 }, inner = { .answer = 0x06 }, high = { .answer = 7 };
		struct io_region ro = REGION(outer), ri = REGION(inner), rh = REGION(high), rx = REGION(high);

		if (order)
			assert_int_equal(bus_map_pio(b, &ri, 0xcf9, 1), 0);
		assert_int_equal(bus_map_pio(b, &ro, 0xcf8, 8), 0);
		if (!order)
			assert_int_equal(bus_map_pio(b, &ri, 0xcf9, 1), 0);
		assert_int_equal(bus_map_pio(b, &rh, 0xd00, 4), 0);
		assert_int_equal(bus_map_pio(b, &rx, 0xcf9, 1), -EBUSY); /* twice the same */
		assert_int_equal(bus_map_pio(b, &rx, 0xcfe, 4), -EBUSY); /* half in, half out */
		assert_int_equal(bus_pio_read(b, 0xcf8, 4), 0x80000000);
		assert_int_equal(bus_pio_read(b, 0xcf9, 1), 0x06);
		assert_int_equal(inner.last_off, 0);
		assert_int_equal(bus_pio_read(b, 0xcfc, 4), 0x80000000);
		assert_int_equal(outer.last_off, 4);
		assert_int_equal(bus_pio_read(b, 0xcfa, 1), 0); /* past the inner one: the outer again */
		assert_int_equal(outer.last_off, 2);
		bus_pio_write(b, 0xcf9, 2, 0x1234);
		assert_int_equal(inner.writes, 0);
		assert_int_equal(outer.last_off, 1);
		assert_int_equal(bus_pio_read(b, 0xd00, 1), 7);
		bus_unmap_pio(b, &ro);
		assert_int_equal(bus_pio_read(b, 0xcf9, 1), 0x06);
		assert_int_equal(bus_pio_read(b, 0xcf8, 1), 0xff);
		bus_free(b);
	}
}

static void splitting(void **state)
{
	struct bus *b = bus_new();
	struct dev d = { .answer = 0x5a }, n = { .answer = 0xa5 };
	struct io_region r = REGION(d), s = { .ops = &byte_ops, .dev = &n };

	assert_int_equal(bus_map_pio(b, &r, 0x100, 3), 0);
	assert_int_equal(bus_pio_read(b, 0x102, 2), 0xff5a); /* one byte the device's, one nobody's */
	assert_int_equal(d.last_off, 2);
	assert_int_equal(d.last_bytes, 1);
	bus_pio_write(b, 0xff, 4, 0x44332211);
	assert_int_equal(d.writes, 3);
	assert_int_equal(d.last_val, 0x44);
	assert_int_equal(bus_map_pio(b, &s, 0x200, 4), 0);
	assert_int_equal(bus_pio_read(b, 0x200, 4), 0xa5a5a5a5);
	assert_int_equal(n.reads, 4);
	bus_pio_write(b, 0x202, 2, 0x7788);
	assert_int_equal(n.last_off, 3);
	assert_int_equal(n.last_val, 0x77);
	bus_free(b);
}

/* Readers beside a writer that moves a region: they see it at one place or nowhere, never a mixture. */
struct race {
	struct bus *b;
	bool stop;
};

static void *reader(void *opaque)
{
	struct race *r = opaque;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		u64 fixed = bus_mmio_read(r->b, 0x9008, 4), moving = bus_mmio_read(r->b, 0x1008, 4);

		if (fixed != 0x77)
			return "the region that stays was not found";
		if (moving != 0x55 && moving != 0xffffffff)
			return "the region that moves was mixed up";
	}
	return NULL;
}

static void racing(void **state)
{
	struct race r = { .b = bus_new() };
	struct dev fixed = { .answer = 0x77 }, moving = { .answer = 0x55 };
	struct io_region rf = REGION(fixed), rm = REGION(moving);
	pthread_t t;
	void *what;

	bus_map_mmio(r.b, &rf, 0x9000, 0x1000);
	pthread_create(&t, NULL, reader, &r);
	for (int i = 0; i < 20000; i++) {
		assert_int_equal(bus_map_mmio(r.b, &rm, i & 1 ? 0x1000 : 0x100000, 0x1000), 0);
		bus_unmap_mmio(r.b, &rm);
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	pthread_join(t, &what);
	assert_null(what);
	bus_free(r.b);
}

static struct {
	unsigned on, off;
	bool pio;
	u64 at;
	unsigned bytes;
} latched;

static int latch(void *opaque, bool pio, u64 at, unsigned bytes, bool on)
{
	latched.on += on;
	latched.off += !on;
	latched.pio = pio;
	latched.at = at;
	latched.bytes = bytes;
	return 0;
}

/* The engine hears of latches where their regions are, whichever came first. */
static void latches(void **state)
{
	const struct doorbell_maker m = { .latch = latch };
	struct io_latch l = { .off = 4, .bytes = 2 }, k = { .off = 0, .bytes = 1 };
	struct dev d = { 0 };
	struct io_region r = REGION(d), p = REGION(d);
	struct bus *b = bus_new();

	bus_add_latch(&p, &k);
	assert_int_equal(bus_map_pio(b, &p, 0x70, 2), 0);
	assert_int_equal(latched.on, 0);
	bus_offer_doorbells(b, &m);
	assert_true(latched.on == 1 && latched.pio && latched.at == 0x70 && latched.bytes == 1);
	bus_add_latch(&r, &l);
	assert_int_equal(bus_map_mmio(b, &r, 0x1000, 0x100), 0);
	assert_true(latched.on == 2 && !latched.pio && latched.at == 0x1004 && latched.bytes == 2);
	bus_unmap_mmio(b, &r);
	bus_unmap_mmio(b, &r);
	assert_true(latched.off == 1 && latched.at == 0x1004);
	assert_int_equal(bus_map_mmio(b, &r, 0x3000, 0x100), 0);
	assert_true(latched.on == 3 && latched.at == 0x3004);
	bus_unmap_mmio(b, &r);
	bus_unmap_pio(b, &p);
	assert_int_equal(latched.off, 3);
	bus_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lookup),    cmocka_unit_test(overlap), cmocka_unit_test(nesting),
		cmocka_unit_test(splitting), cmocka_unit_test(racing),  cmocka_unit_test(latches),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
