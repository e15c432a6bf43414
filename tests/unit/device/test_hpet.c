/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_hpet.c - the HPET on a board: counter, timers once and over and over, the wires it takes over, saved. */
#include "base/clock.h"
#include "base/state.h"
#include "device/class.h"
#include "machine/layout.h"
#include "machine/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

extern const struct device_class hpet_device_class;

static struct ram *ram;
static struct loop *loop;
static struct loop_timer timer;
static struct machine *m;
static struct device *dev;

static void stop(void *opaque)
{
	loop_stop(loop);
}

static void spin(unsigned ms)
{
	loop_timer_arm(&timer, clock_mono_ns() + ms * 1000000ull);
	loop_run(loop);
}

static u64 get(unsigned reg)
{
	return bus_mmio_read(machine_bus(m), LAYOUT_HPET + reg, 8);
}

static void put(unsigned reg, u64 v)
{
	bus_mmio_write(machine_bus(m), LAYOUT_HPET + reg, 8, v);
}

static void put32(unsigned reg, u32 v)
{
	bus_mmio_write(machine_bus(m), LAYOUT_HPET + reg, 4, v);
}

static void out(u16 port, u8 v)
{
	bus_pio_write(machine_bus(m), port, 1, v);
}

/* Lines of the 8259s that rose and were not taken. */
static unsigned requests(void)
{
	out(0x20, 0x0a);
	out(0xa0, 0x0a);
	return bus_pio_read(machine_bus(m), 0x20, 1) | bus_pio_read(machine_bus(m), 0xa0, 1) << 8;
}

/* Both anew, which forgets requests. */
static void init_pics(void)
{
	for (u16 p = 0x20; p <= 0xa0; p = (u16)(p + 0x80)) {
		out(p, 0x11);
		out((u16)(p + 1), 0x20);
		out((u16)(p + 1), p == 0x20 ? 4 : 2);
		out((u16)(p + 1), 1);
		out((u16)(p + 1), 0xff);
	}
}

static int up(void **state)
{
	const struct device_args a = { .id = "hpet0", .slot = -1 };

	assert_int_equal(ram_new(&ram, 2 * MIB, NULL), 0);
	assert_int_equal(loop_new(&loop, NULL), 0);
	loop_timer_init(loop, &timer, stop, NULL);
	struct machine_config mc = { .ram = ram, .loop = loop, .ncpus = 1 };
	assert_int_equal(machine_new(&m, &mc, NULL), 0);
	assert_int_equal(hpet_device_class.new(&dev, m, &a, NULL), 0);
	init_pics();
	return 0;
}

static int down(void **state)
{
	machine_free(m);
	loop_timer_fini(&timer);
	loop_free(loop);
	ram_free(ram);
	return 0;
}

static void counter(void **state)
{
	assert_int_equal(get(0) >> 32, 10000000);
	assert_int_equal(get(0) & 0xffff, 0xa201);
	put(0xf0, 0xffffffff0ull);
	assert_int_equal(get(0xf0), 0xffffffff0ull);
	put(0x10, 1);
	u64 a = clock_mono_ns(), c = get(0xf0);
	spin(5);
	u64 d = get(0xf0), b = clock_mono_ns();
	assert_in_range((d - c) * 10, 5000000, b - a);
	assert_int_equal(bus_mmio_read(machine_bus(m), LAYOUT_HPET + 0xf4, 4), d >> 32);
	put32(0xf0, 0); /* not while it is on */
	assert_true(get(0xf0) >= d);
	put(0x10, 0);
	d = get(0xf0);
	put32(0xf4, 7);
	assert_int_equal(get(0xf0), 7ull << 32 | (u32)d);
}

static void once(void **state)
{
	put(0x120, 4 | 6 << 9); /* timer 1, an edge at IRQ 6 */
	put(0x128, 300000);
	put(0x10, 1);
	assert_int_equal(requests() & 0xc0, 0);
	while (!(requests() & 0x40))
		spin(1);
	assert_true(get(0xf0) >= 300000);
	init_pics();
	spin(5);
	assert_int_equal(requests() & 0x40, 0);
	/* A level, until its status is written. */
	put(0x140, 6 | 7 << 9);
	put(0x148, get(0xf0) + 100000);
	while (!(requests() & 0x80))
		spin(1);
	assert_int_equal(get(0x20), 4);
	put(0x20, 4);
	assert_int_equal(get(0x20), 0);
	/* A wire that is not its own to drive. */
	put(0x140, 4 | 11 << 9);
	put(0x148, get(0xf0) + 100);
	spin(5);
	assert_int_equal(requests() & 0x800, 0);
}

static void periodic_in_place_of_the_8254(void **state)
{
	unsigned beats = 0;

	out(0x43, 0x34); /* channel 0 beats each millisecond */
	out(0x40, 0xa9);
	out(0x40, 0x04);
	spin(5);
	assert_int_equal(requests() & 1, 1);
	put(0x10, 2);
	init_pics();
	spin(10);
	assert_int_equal(requests() & 1, 0);
	/* As Linux does: first the comparator, then the period. */
	put32(0x100, 4 | 8 | 0x40 | 0x100);
	put32(0x108, 500000);
	put32(0x108, 300000);
	put(0x10, 3);
	for (u64 end = clock_mono_ns() + 5 * NSEC_PER_SEC; beats < 4 && clock_mono_ns() < end; spin(1))
		if (requests() & 1) {
			beats++;
			init_pics();
		}
	assert_int_equal(beats, 4);
	assert_true(get(0xf0) >= 500000 + 3 * 300000);
	assert_int_equal((get(0x108) - 500000) % 300000, 0);
	/* A period that nobody can serve leaves the loop alone. */
	put32(0x100, 4 | 8 | 0x40 | 0x100);
	put32(0x108, (u32)get(0xf0) + 10);
	put32(0x108, 1);
	struct loop_stats before, after;
	loop_get_stats(loop, &before);
	spin(20);
	loop_get_stats(loop, &after);
	assert_true(after.turns - before.turns < 2000);
	put(0x10, 0);
	spin(5);
	assert_int_equal(requests() & 1, 1); /* the 8254 has its wire again */
}

static void saved(void **state)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_file *s;

	put(0x100, 4 | 8 | 0x40);
	put(0x108, 1000000);
	put(0x10, 3);
	assert_true(machine_quiesce(m));
	u64 c = get(0xf0);
	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	assert_int_equal(device_state(dev, s, NULL), 0);
	assert_int_equal(state_finish(s, NULL), 0);
	state_free(s);
	machine_reset(m);
	assert_int_equal(get(0x10) | get(0xf0), 0);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(state_load_new(&s, fd, NULL), 0);
	assert_int_equal(device_state(dev, s, NULL), 0);
	state_free(s);
	close(fd);
	init_pics();
	machine_resume(m);
	assert_in_range(get(0xf0), c, c + 500000000);
	while (!(requests() & 1))
		spin(1);
	assert_true(get(0xf0) >= 1000000);
}

static void one_is_enough(void **state)
{
	const struct device_args a = { .id = "hpet1", .slot = -1 };
	struct device *d;
	struct err e;

	assert_int_equal(hpet_device_class.new(&d, m, &a, &e), -EBUSY);
	assert_string_equal(e.msg, "a machine has one hpet: leave the second one out");
	assert_int_equal(get(0) & 0xffff, 0xa201);
}

/* Random registers and values. */
static void hostile(void **state)
{
	u64 s = 1;

	for (unsigned i = 0; i < 20000; i++) {
		s ^= s << 13;
		s ^= s >> 7;
		s ^= s << 17;
		unsigned reg = s & 0x10 ? 0x100 + (s >> 8 & 0x78) : s >> 8 & 0x3ff, bytes = 1u << (s >> 5 & 3);
		u64 v = s >> 20 & (s & 1 ? ~0ull : 0x3f);
		if (s & 2)
			bus_mmio_write(machine_bus(m), LAYOUT_HPET + reg, bytes, v);
		else
			bus_mmio_read(machine_bus(m), LAYOUT_HPET + reg, bytes);
		if (i % 500 == 0)
			spin(1);
	}
	machine_reset(m);
	spin(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(counter, up, down),
		cmocka_unit_test_setup_teardown(once, up, down),
		cmocka_unit_test_setup_teardown(periodic_in_place_of_the_8254, up, down),
		cmocka_unit_test_setup_teardown(saved, up, down),
		cmocka_unit_test_setup_teardown(one_is_enough, up, down),
		cmocka_unit_test_setup_teardown(hostile, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
