/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_timers.c - 8254, MC146818 and the ACPI registers against clocks that the test turns. */
#include "base/clock.h"
#include "machine/acpi_pm.h"
#include "machine/layout.h"
#include "machine/pit.h"
#include "machine/rtc.h"
#include "patience.h"
#include "machine/tick.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static u64 now;
static struct bus *bus;
static bool wire;
static unsigned edges;

static u64 fake_ns(void)
{
	return now;
}

static void set_wire(void *opaque, unsigned gsi, bool level)
{
	if (level && !wire)
		__atomic_add_fetch(&edges, 1, __ATOMIC_SEQ_CST);
	wire = level;
}

static const struct irq_line line = { .set = set_wire };

static void w(u16 port, u8 v)
{
	bus_pio_write(bus, port, 1, v);
}

static u8 r(u16 port)
{
	return (u8)bus_pio_read(bus, port, 1);
}

static int up(void **state)
{
	bus = bus_new();
	wire = false;
	edges = 0;
	now = 1000 * NSEC_PER_SEC;
	return 0;
}

static int down(void **state)
{
	bus_free(bus);
	return 0;
}

/* ---- PIT ---- */

static void ticks(u64 n)
{
	now += mul_div(n, NSEC_PER_SEC, PIT_HZ) + 1;
}

static u16 read16(u16 port)
{
	u8 low = r(port);

	return (u16)(low | r(port) << 8);
}

static bool out2(void)
{
	return r(0x61) & 0x20;
}

static void pit_modes(void **state)
{
	struct pit *p;

	assert_int_equal(pit_new(&p, bus, NULL, line, fake_ns), 0);
	/* Mode 0 on channel 2, as kernels calibrate with */
	w(0x61, 1);
	w(0x43, 0xb0);
	assert_false(out2());
	w(0x42, 0xe8);
	w(0x42, 0x03);
	assert_false(out2());
	ticks(400);
	assert_int_equal(read16(0x42), 600);
	w(0x61, 0); /* the gate stops it */
	ticks(5000);
	assert_int_equal(read16(0x42), 600);
	w(0x61, 1);
	ticks(599);
	assert_false(out2());
	ticks(2);
	assert_true(out2());
	assert_in_range(read16(0x42), 0xfffd, 0xffff); /* counts on through zero */

	/* Mode 2: counts N..1, wraps; latch holds while time goes on */
	w(0x43, 0x34);
	w(0x40, 0x00);
	w(0x40, 0x10);
	ticks(4096 + 96);
	w(0x43, 0x00);
	ticks(1000);
	assert_int_equal(read16(0x40), 4000);
	assert_int_equal(read16(0x40), 3000);

	/* Mode 3 on channel 2: half high, half low */
	w(0x43, 0xb6);
	w(0x42, 0x64);
	w(0x42, 0x00);
	ticks(10);
	assert_true(out2());
	ticks(50);
	assert_false(out2());
	ticks(41);
	assert_true(out2());

	/* Mode 1: waits for the gate's rise, one pulse low */
	w(0x61, 0);
	w(0x43, 0xb2);
	w(0x42, 0x64);
	w(0x42, 0x00);
	ticks(500);
	assert_true(out2());
	w(0x61, 1);
	assert_false(out2());
	ticks(101);
	assert_true(out2());

	/* BCD, low byte only, and read-back of status and count together */
	w(0x43, 0x91);
	w(0x42, 0x99);
	ticks(10);
	assert_int_equal(r(0x42), 0x89);
	w(0x43, 0xc8);
	assert_int_equal(r(0x42) & 0x3f, 0x11);
	assert_int_equal(r(0x42), 0x89);
	/* A count of 0 is the largest */
	w(0x43, 0x30);
	w(0x40, 0);
	w(0x40, 0);
	ticks(1);
	assert_int_equal(read16(0x40), 0xffff);
	/* Refresh toggles */
	u8 a = r(0x61) & 0x10;
	now += 15085;
	assert_int_not_equal(r(0x61) & 0x10, a);
	pit_free(p);
}

static void *run_loop(void *l)
{
	loop_run(l);
	return NULL;
}

static void pit_interrupts(void **state)
{
	struct loop *l;
	struct pit *p;
	pthread_t t;

	assert_int_equal(loop_new(&l, NULL), 0);
	assert_int_equal(pit_new(&p, bus, l, line, clock_mono_ns), 0);
	pthread_create(&t, NULL, run_loop, l);
	u64 start = clock_mono_ns();
	w(0x43, 0x34); /* 1193 ticks: 1 ms */
	w(0x40, 0xa9);
	w(0x40, 0x04);
	while (__atomic_load_n(&edges, __ATOMIC_SEQ_CST) < 4 && clock_mono_ns() - start < patient(10 * NSEC_PER_SEC))
		usleep(100);
	assert_true(edges >= 4);
	assert_true(clock_mono_ns() - start >= 3900000);
	w(0x43, 0x30); /* mode 0: once */
	usleep(3000);
	unsigned before = __atomic_load_n(&edges, __ATOMIC_SEQ_CST);
	w(0x40, 0xa9);
	w(0x40, 0x04);
	start = clock_mono_ns();
	while (__atomic_load_n(&edges, __ATOMIC_SEQ_CST) == before &&
	       clock_mono_ns() - start < patient(10 * NSEC_PER_SEC))
		usleep(100);
	usleep(10000);
	assert_int_equal(__atomic_load_n(&edges, __ATOMIC_SEQ_CST), before + 1);
	loop_stop(l);
	pthread_join(t, NULL);
	pit_free(p);
	loop_free(l);
}

static u64 taken_count;
static bool all_taken;
static u64 count_taken(void *opaque)
{
	return all_taken ? ++taken_count : taken_count;
}

/* Ticks in 300 ms of a PIT that counts to 2: merged, and fewer still where nobody takes any (machine/tick.h). */
static void pit_fastest(void **state)
{
	struct irq_line heard = { .set = set_wire, .taken = count_taken };
	struct loop *l;
	struct pit *p;
	pthread_t t;

	assert_int_equal(loop_new(&l, NULL), 0);
	for (unsigned k = 0; k < 2; k++) {
		all_taken = k;
		edges = 0;
		assert_int_equal(pit_new(&p, bus, l, heard, clock_mono_ns), 0);
		pthread_create(&t, NULL, run_loop, l);
		u64 start = clock_mono_ns();
		w(0x43, 0x34);
		w(0x40, 2);
		w(0x40, 0);
		usleep(300000);
		unsigned n = __atomic_load_n(&edges, __ATOMIC_SEQ_CST);
		u64 ms = (clock_mono_ns() - start) / 1000000;
		assert_in_range(n, 3, ms * 1000000 / (k ? TICK_MERGED_NS : TICK_UNHEARD_NS) + 8);
		/* The count can be read as ever. */
		w(0x43, 0);
		unsigned low = r(0x40);
		assert_in_range(low | r(0x40) << 8, 1, 2);
		loop_stop(l);
		pthread_join(t, NULL);
		pit_free(p);
	}
	loop_free(l);
}

/* ---- RTC ---- */

static u8 cmos(u8 reg)
{
	w(0x70, reg);
	return r(0x71);
}

static void cmos_set(u8 reg, u8 v)
{
	w(0x70, reg);
	w(0x71, v);
}

static void rtc_formats(void **state)
{
	struct rtc *c;

	now = 1709251199 * NSEC_PER_SEC; /* Thu 2024-02-29 23:59:59 UTC */
	assert_int_equal(rtc_new(&c, bus, NULL, line, fake_ns), 0);
	assert_int_equal(cmos(0), 0x59);
	assert_int_equal(cmos(2), 0x59);
	assert_int_equal(cmos(4), 0x23);
	assert_int_equal(cmos(6), 5);
	assert_int_equal(cmos(7), 0x29);
	assert_int_equal(cmos(8), 0x02);
	assert_int_equal(cmos(9), 0x24);
	assert_int_equal(cmos(0x32), 0x20);
	assert_int_equal(cmos(0xd), 0x80);
	cmos_set(0xb, 0x06); /* binary, 24 h */
	assert_int_equal(cmos(4), 23);
	assert_int_equal(cmos(7), 29);
	cmos_set(0xb, 0x04); /* binary, 12 h */
	assert_int_equal(cmos(4), 0x80 | 11);
	cmos_set(0xb, 0x00);
	assert_int_equal(cmos(4), 0x80 | 0x11);
	now += NSEC_PER_SEC;
	assert_int_equal(cmos(4), 0x12); /* midnight is 12 AM */
	cmos_set(0xb, 0x02);
	assert_int_equal(cmos(7), 0x01);
	assert_int_equal(cmos(8), 0x03);
	/* Update in progress warns in the last 244 us */
	assert_int_equal(cmos(0xa) & 0x80, 0);
	now += NSEC_PER_SEC - 100000;
	assert_int_equal(cmos(0xa) & 0x80, 0x80);
	/* CMOS keeps bytes */
	cmos_set(0x40, 0xa5);
	assert_int_equal(cmos(0x40), 0xa5);
	rtc_free(c);
}

static void rtc_set(void **state)
{
	struct rtc *c;

	assert_int_equal(rtc_new(&c, bus, NULL, line, fake_ns), 0);
	cmos_set(0xb, 0x82); /* SET: time stands */
	cmos_set(0, 0x58);
	cmos_set(2, 0x30);
	cmos_set(4, 0x12);
	cmos_set(7, 0x31);
	cmos_set(8, 0x12);
	cmos_set(9, 0x99);
	cmos_set(0x32, 0x19);
	now += 5 * NSEC_PER_SEC;
	assert_int_equal(cmos(0), 0x58);
	cmos_set(0xb, 0x02);
	now += 3 * NSEC_PER_SEC;
	assert_int_equal(cmos(0), 0x01);
	assert_int_equal(cmos(2), 0x31);
	assert_int_equal(cmos(6), 6); /* 1999-12-31 was a Friday */
	cmos_set(4, 0x15);            /* one byte, without SET */
	assert_int_equal(cmos(4), 0x15);
	assert_int_equal(cmos(0x32), 0x19);
	rtc_free(c);
}

static void rtc_interrupts(void **state)
{
	struct rtc *c;

	now = 1709251199 * NSEC_PER_SEC; /* 23:59:59 */
	assert_int_equal(rtc_new(&c, bus, NULL, line, fake_ns), 0);
	cmos(0xc);
	now += NSEC_PER_SEC;
	assert_int_equal(cmos(0xc) & 0x90, 0x10); /* update happened; not enabled, no IRQ */
	assert_false(wire);
	cmos_set(0xb, 0x12);
	now += NSEC_PER_SEC;
	cmos(0xa);
	assert_true(wire);
	assert_int_equal(cmos(0xc) & 0x90, 0x90);
	assert_false(wire);
	assert_int_equal(cmos(0xc), 0);
	/* Alarm at xx:05:10, every hour */
	cmos_set(0xb, 0x22);
	cmos_set(1, 0x10);
	cmos_set(3, 0x05);
	cmos_set(5, 0xff);
	now += 308 * NSEC_PER_SEC; /* 00:05:09 */
	assert_int_equal(cmos(0xc) & 0x20, 0);
	now += NSEC_PER_SEC;
	assert_int_equal(cmos(0xc) & 0xa0, 0xa0);
	now += 3599 * NSEC_PER_SEC;
	assert_int_equal(cmos(0xc) & 0x20, 0);
	now += NSEC_PER_SEC;
	assert_int_equal(cmos(0xc) & 0xa0, 0xa0);
	/* Periodic: 1,024 Hz */
	cmos_set(0xb, 0x42);
	cmos_set(0xa, 0x26);
	cmos(0xc);
	now += 100000;
	assert_int_equal(cmos(0xc) & 0x40, 0);
	now += 1000000;
	assert_int_equal(cmos(0xc) & 0xc0, 0xc0);
	/* An alarm that can never come is no endless search */
	cmos_set(0xb, 0x22);
	cmos_set(5, 0x77);
	now += 86400 * NSEC_PER_SEC;
	assert_int_equal(cmos(0xc) & 0x20, 0);
	rtc_free(c);
}

/* ---- ACPI ---- */

static unsigned poweroffs;

static void on_poweroff(void *opaque)
{
	poweroffs++;
}

static u32 pm(unsigned off, unsigned bytes)
{
	return bus_pio_read(bus, (u16)(LAYOUT_ACPI_PM + off), bytes);
}

static void pm_set(unsigned off, unsigned bytes, u32 v)
{
	bus_pio_write(bus, (u16)(LAYOUT_ACPI_PM + off), bytes, v);
}

static void pm_timer(void **state)
{
	for (int wide = 0; wide < 2; wide++) {
		struct acpi_pm_config cfg = { .sci = line, .now_ns = fake_ns, .timer_32bit = wide };
		struct acpi_pm *a;

		now = 77 * NSEC_PER_SEC;
		assert_int_equal(acpi_pm_new(&a, bus, &cfg), 0);
		assert_int_equal(pm(8, 4), 0);
		now += NSEC_PER_SEC;
		assert_int_equal(pm(8, 4), 3579545);
		assert_int_equal(pm(8, 1), 3579545 & 0xff);
		now += 4 * NSEC_PER_SEC;
		assert_int_equal(pm(8, 4), wide ? 17897725 : 17897725 - (1 << 24));
		/* The top bit has toggled twice in 24 bits, not yet in 32. */
		assert_int_equal(pm(0, 2) & 1, !wide);
		pm_set(0, 2, 1);
		assert_int_equal(pm(0, 2), 0);
		pm_set(2, 2, 1);
		assert_false(wire);
		now += 600 * NSEC_PER_SEC;
		pm(0, 2);
		pm_set(2, 2, 1);
		assert_true(wire);
		pm_set(0, 2, 1);
		assert_false(wire);
		acpi_pm_free(a);
	}
}

static void pm_events(void **state)
{
	struct acpi_pm_config cfg = { .sci = line, .now_ns = fake_ns, .poweroff = on_poweroff };
	struct acpi_pm *a;

	poweroffs = 0;
	assert_int_equal(acpi_pm_new(&a, bus, &cfg), 0);
	assert_int_equal(pm(4, 2) & 1, 1); /* SCI_EN */
	acpi_pm_power_button(a);
	assert_false(wire);
	pm_set(2, 2, 0x100);
	assert_true(wire);
	assert_int_equal(pm(0, 4), 0x01000100);
	pm_set(0, 1, 0xff); /* the other byte: the button stays */
	assert_true(wire);
	pm_set(0, 2, 0x100);
	assert_false(wire);
	assert_int_equal(pm(2, 2), 0x100);
	/* GPE0 */
	acpi_pm_gpe(a, 3);
	assert_false(wire);
	pm_set(0x24, 4, 8);
	assert_true(wire);
	pm_set(0x20, 1, 8);
	assert_false(wire);
	/* Sleep: only S5's type with SLP_EN */
	pm_set(4, 2, LAYOUT_SLP_TYP_S5 << 10);
	pm_set(4, 2, 1 << 13 | ((LAYOUT_SLP_TYP_S5 + 1) & 7) << 10);
	assert_int_equal(poweroffs, 0);
	pm_set(4, 2, 1 << 13 | LAYOUT_SLP_TYP_S5 << 10);
	assert_int_equal(poweroffs, 1);
	assert_int_equal(pm(4, 2) & (1 << 13), 0);
	acpi_pm_free(a);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(pit_modes), T(pit_interrupts), T(pit_fastest), T(rtc_formats),
		T(rtc_set),   T(rtc_interrupts), T(pm_timer),    T(pm_events),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
