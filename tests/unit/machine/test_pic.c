/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_pic.c - the 8259 pair: initialization, priorities, EOI forms, cascade, ELCR. */
#include "machine/pic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct bus *bus;
static struct pic *pic;
static bool out;

static void output(void *opaque, bool level)
{
	out = level;
}

static void w(u16 port, u8 v)
{
	bus_pio_write(bus, port, 1, v);
}

static u8 r(u16 port)
{
	return (u8)bus_pio_read(bus, port, 1);
}

static void init(u8 icw4)
{
	w(0x20, 0x11);
	w(0x21, 0x20);
	w(0x21, 0x04);
	w(0x21, icw4);
	w(0xa0, 0x11);
	w(0xa1, 0x28);
	w(0xa1, 0x02);
	w(0xa1, icw4);
	w(0x21, 0);
	w(0xa1, 0);
}

static int up(void **state)
{
	out = false;
	bus = bus_new();
	assert_int_equal(pic_new(&pic, bus, output, NULL), 0);
	init(1);
	return 0;
}

static int down(void **state)
{
	pic_free(pic);
	bus_free(bus);
	return 0;
}

static void pulse(unsigned irq)
{
	pic_set_irq(pic, irq, true);
	pic_set_irq(pic, irq, false);
}

static void priorities(void **state)
{
	pulse(5);
	assert_true(out);
	pulse(3);
	assert_int_equal(r(0x20), 1 << 5 | 1 << 3);
	assert_int_equal(pic_ack(pic), 0x23);
	assert_false(out); /* 5 is lower than what is in service */
	pulse(1);
	assert_true(out);
	assert_int_equal(pic_ack(pic), 0x21);
	w(0x20, 0x0b);
	assert_int_equal(r(0x20), 1 << 3 | 1 << 1);
	w(0x20, 0x20); /* non-specific: the highest, 1 */
	assert_int_equal(r(0x20), 1 << 3);
	assert_false(out);
	w(0x20, 0x63); /* specific */
	assert_true(out);
	assert_int_equal(pic_ack(pic), 0x25);
	w(0x20, 0x20);
	assert_int_equal(pic_ack(pic), -1);
}

static void cascade(void **state)
{
	pulse(8);
	assert_true(out);
	pulse(3);
	assert_int_equal(pic_ack(pic), 0x28); /* the slave sits at 2, above 3 */
	w(0x20, 0x0b);
	assert_int_equal(r(0x20), 1 << 2);
	w(0xa0, 0x0b);
	assert_int_equal(r(0xa0), 1);
	pulse(12);
	assert_false(out);
	w(0xa0, 0x20);
	w(0x20, 0x20);
	assert_true(out);
	assert_int_equal(pic_ack(pic), 0x2c);
	w(0xa0, 0x64);
	w(0x20, 0x62);
	assert_int_equal(pic_ack(pic), 0x23);
}

static void masks_and_levels(void **state)
{
	w(0x21, 0xff);
	pulse(4);
	assert_false(out);
	assert_int_equal(r(0x21), 0xff);
	w(0x21, 0xef); /* the edge was latched */
	assert_true(out);
	assert_int_equal(pic_ack(pic), 0x24);
	w(0x20, 0x20);
	w(0x21, 0);

	w(0x4d0, 0xff);
	w(0x4d1, 0xff);
	assert_int_equal(bus_pio_read(bus, 0x4d0, 2), 0xdef8);
	pic_set_irq(pic, 5, true);
	assert_int_equal(pic_ack(pic), 0x25);
	w(0x20, 0x20);
	assert_true(out); /* still asserted */
	pic_set_irq(pic, 5, false);
	assert_false(out);
	assert_int_equal(pic_ack(pic), -1);
}

static void rotation(void **state)
{
	pulse(0);
	assert_int_equal(pic_ack(pic), 0x20);
	w(0x20, 0xa0); /* rotate on non-specific EOI: 0 is lowest now */
	pulse(0);
	pulse(7);
	assert_int_equal(pic_ack(pic), 0x27);
	w(0x20, 0x20);
	assert_int_equal(pic_ack(pic), 0x20);
	w(0x20, 0x20);
	w(0x20, 0xc3); /* set priority: 3 lowest, 4 highest */
	pulse(3);
	pulse(4);
	assert_int_equal(pic_ack(pic), 0x24);
}

static void special_modes(void **state)
{
	init(3); /* automatic EOI */
	pulse(6);
	assert_int_equal(pic_ack(pic), 0x26);
	w(0x20, 0x0b);
	assert_int_equal(r(0x20), 0);
	init(1);
	/* Special mask mode: what is masked while in service no longer holds lower ones back. */
	pulse(1);
	assert_int_equal(pic_ack(pic), 0x21);
	pulse(6);
	assert_false(out);
	w(0x20, 0x68);
	w(0x21, 0x02);
	assert_true(out);
	assert_int_equal(pic_ack(pic), 0x26);
	/* Poll: the read is the acknowledge. */
	init(1);
	pulse(3);
	w(0x20, 0x0c);
	assert_int_equal(r(0x20), 0x83);
	assert_false(out);
	w(0x20, 0x0c);
	assert_int_equal(r(0x20), 0x00);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(priorities), T(cascade), T(masks_and_levels), T(rotation), T(special_modes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
