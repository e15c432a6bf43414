/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_pv.c - kvmclock as a guest computes it, hypercalls, and the reset ports. */
#include "machine/lapic.h"
#include "machine/pv.h"
#include "machine/reset_ports.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "unit/cpu/fake_cpu.h" /* defines cpu_*: in one file per test */

#define NCPUS 3

static struct ram *ram;
static struct loop *loop;
static struct lapics *lapics;
static struct pv *pv;
static struct cpu cpus[NCPUS];

static void no_eoi(void *opaque, u8 vector)
{
}

static int no_ack(void *opaque)
{
	return -1;
}

static int up(void **state)
{
	struct lapic_hooks h = { .eoi = no_eoi, .pic_ack = no_ack };

	memset(cpus, 0, sizeof(cpus));
	assert_int_equal(ram_new(&ram, 2 * MIB, NULL), 0);
	assert_int_equal(loop_new(&loop, NULL), 0);
	lapics = lapic_new(loop, NCPUS, &h);
	pv = pv_new(ram, lapics, NCPUS);
	for (unsigned i = 0; i < NCPUS; i++) {
		lapic_attach(lapics, i, &cpus[i]);
		pv_attach(pv, i, &cpus[i]);
	}
	return 0;
}

static int down(void **state)
{
	pv_free(pv);
	lapic_free(lapics);
	loop_free(loop);
	ram_free(ram);
	return 0;
}

/* The guest's formula (Linux Documentation/virt/kvm/x86/msr.rst). */
static u64 guest_time(gpa_t gpa, u64 tsc)
{
	const u8 *s = ram_ptr(ram, gpa, 32);
	u64 delta = tsc - ld_le64(s + 8);
	s8 shift = (s8)s[28];

	assert_int_equal(ld_le32(s) & 1, 0);
	delta = shift < 0 ? delta >> -shift : delta << shift;
	return ld_le64(s + 16) + (u64)(((unsigned __int128)delta * ld_le32(s + 24)) >> 32);
}

/* The guest's clock and the host's at one moment, within 20 us. */
static void both_clocks(u64 *guest, u64 *host)
{
	do {
		*host = clock_mono_ns();
		*guest = guest_time(0x1000, cpu_tsc(&cpus[0]));
	} while (clock_mono_ns() - *host > 20000);
}

static void clock_rate(void **state)
{
	u64 v;

	assert_true(pv_msr_write(pv, 0, 0x4b564d01, 0x1001));
	assert_true(pv_msr_read(pv, 0, 0x4b564d01, &v));
	assert_int_equal(v, 0x1001);
	u64 t0, m0, t1, m1;
	both_clocks(&t0, &m0);
	assert_in_range(t0, 0, 60 * NSEC_PER_SEC); /* since the VM began */
	usleep(100000);
	both_clocks(&t1, &m1);
	u64 real = m1 - m0;
	assert_in_range(t1 - t0, real - real / 500, real + real / 500);
	/* Every vCPU gets the same pair: equal TSC, equal time */
	assert_true(pv_msr_write(pv, 1, 0x4b564d01, 0x2001));
	assert_memory_equal(ram_ptr(ram, 0x1008, 24), ram_ptr(ram, 0x2008, 24), 24);
	assert_int_equal(ram_ptr(ram, 0x1000, 32)[29], 1);
	/* One whose TSC was moved: its own pair, not stable, and still the right time */
	cpus[2].tsc_offset = 123456789012;
	assert_true(pv_msr_write(pv, 2, 0x4b564d01, 0x3001));
	assert_int_equal(ram_ptr(ram, 0x3000, 32)[29], 0);
	u64 tsc = cpu_tsc(&cpus[0]), a = guest_time(0x1000, tsc), b = guest_time(0x3000, tsc + 123456789012);
	assert_in_range(b, a - 100000, a + 100000);
}

static void wall_clock(void **state)
{
	assert_true(pv_msr_write(pv, 0, 0x4b564d01, 0x1001));
	assert_true(pv_msr_write(pv, 0, 0x4b564d00, 0x5000));
	const u8 *s = ram_ptr(ram, 0x5000, 12);
	u64 wall = ld_le32(s + 4) * NSEC_PER_SEC + ld_le32(s + 8);
	u64 before = clock_real_ns(), t = wall + guest_time(0x1000, cpu_tsc(&cpus[0])), after = clock_real_ns();

	assert_in_range(t, before - 1000000000, after + 1000000000);
	assert_int_equal(ld_le32(s) & 1, 0);
}

static void bad_addresses(void **state)
{
	assert_false(pv_msr_write(pv, 0, 0x4b564d01, 2 * MIB - 16 + 1));
	assert_false(pv_msr_write(pv, 0, 0x4b564d01, 0xfee00001));
	assert_false(pv_msr_write(pv, 0, 0x4b564d00, UINT64_MAX - 4));
	assert_true(pv_msr_write(pv, 0, 0x4b564d01, 0)); /* off */
	assert_false(pv_msr(0x4b564d04));
}

static void hypercalls(void **state)
{
	for (unsigned i = 0; i < NCPUS; i++)
		lapic_mmio_write(lapics, i, 0xf0, 4, 0x1ff);
	assert_int_equal(pv_hypercall(pv, 0, 10, (u64[4]){ 5, 0, 0, 0x40 }), 2);
	assert_int_equal(lapic_intr_ack(lapics, 0), 0x40);
	assert_int_equal(lapic_intr_ack(lapics, 1), -1);
	assert_int_equal(lapic_intr_ack(lapics, 2), 0x40);
	assert_int_equal(pv_hypercall(pv, 0, 10, (u64[4]){ 2, 0, 1, 0x400 }), 1);
	assert_int_equal(cpus[2].nmis, 1);
	assert_int_equal(pv_hypercall(pv, 0, 10, (u64[4]){ ~0ull, ~0ull, UINT64_MAX - 3, 0x41 }), 0);
	assert_int_equal(pv_hypercall(pv, 0, 10, (u64[4]){ 1, 0, 0, 0x500 }), 0); /* INIT is not for this call */
	assert_int_equal(pv_hypercall(pv, 0, 5, (u64[4]){ 0, 1 }), 0);
	assert_int_equal(cpus[1].kicks, 1);
	assert_int_equal(pv_hypercall(pv, 0, 5, (u64[4]){ 0, 1ull << 40 }), 0);
	assert_int_equal(pv_hypercall(pv, 0, 11, (u64[4]){ 1 }), 0);
	assert_int_equal(pv_hypercall(pv, 0, 9, (u64[4]){ 0 }), -1000);
}

/* ---- reset ports ---- */

static unsigned resets;
static u32 exited;

static void on_reset(void *opaque)
{
	resets++;
}

static void on_exit_port(void *opaque, u32 value)
{
	exited = value;
}

static void reset_ports(void **state)
{
	struct reset_config cfg = { .debug_exit = true, .reset = on_reset, .debug_exited = on_exit_port };
	struct bus *b = bus_new();
	struct reset *r;

	resets = 0;
	assert_int_equal(reset_new(&r, b, &cfg), 0);
	bus_pio_write(b, 0xcf9, 1, 0x02);
	assert_int_equal(resets, 0);
	bus_pio_write(b, 0xcf9, 1, 0x06);
	assert_int_equal(resets, 1);
	reset_reset(r);
	/* A kernel waits for the input buffer to be empty, then pulses. */
	assert_int_equal(bus_pio_read(b, 0x64, 1) & 2, 0);
	bus_pio_write(b, 0x64, 1, 0xfe);
	assert_int_equal(resets, 2);
	bus_pio_write(b, 0x92, 1, 0x02);
	assert_int_equal(bus_pio_read(b, 0x92, 1), 0x02);
	assert_int_equal(resets, 2);
	bus_pio_write(b, 0x92, 1, 0x03);
	assert_int_equal(resets, 3);
	/* Self test, output port, A20 by the keyboard controller */
	bus_pio_write(b, 0x64, 1, 0xaa);
	assert_int_equal(bus_pio_read(b, 0x64, 1) & 1, 1);
	assert_int_equal(bus_pio_read(b, 0x60, 1), 0x55);
	assert_int_equal(bus_pio_read(b, 0x64, 1) & 1, 0);
	bus_pio_write(b, 0x64, 1, 0xd1);
	bus_pio_write(b, 0x60, 1, 0xdf);
	assert_int_equal(resets, 3);
	bus_pio_write(b, 0x64, 1, 0xd0);
	assert_int_equal(bus_pio_read(b, 0x60, 1), 0xdf);
	bus_pio_write(b, 0x60, 1, 0xf2); /* nobody there */
	assert_int_equal(bus_pio_read(b, 0x64, 1) & 0x41, 0x41);
	bus_pio_write(b, 0xf4, 4, 0x31);
	assert_int_equal(exited, 0x31);
	reset_free(r);
	cfg.debug_exit = false;
	assert_int_equal(reset_new(&r, b, &cfg), 0);
	bus_pio_write(b, 0xf4, 1, 0x32);
	assert_int_equal(exited, 0x31);
	reset_free(r);
	bus_free(b);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

static void stolen_time(void **state)
{
	const gpa_t gpa = 0x3000;
	u64 v, stolen;

	assert_false(pv_msr_write(pv, 0, 0x4b564d03, gpa | 3));        /* reserved bits */
	assert_false(pv_msr_write(pv, 0, 0x4b564d03, 1ull << 40 | 1)); /* no memory there */
	assert_true(pv_msr_write(pv, 0, 0x4b564d03, gpa | 1));
	assert_true(pv_msr_read(pv, 0, 0x4b564d03, &v) && v == (gpa | 1));
	u8 *s = ram_ptr(ram, gpa, 64);
	st_le64(s, 1000000); /* as saved */
	st_le32(s + 8, 6);

	/* It sleeps: nothing is stolen but what the host takes beside. */
	u64 most = UINT64_MAX;
	stolen = 1000000;
	for (unsigned i = 0; i < 20 && most >= 20000000; i++) { /* others may have the processors */
		u64 before = stolen;
		pv_park(pv, 0);
		usleep(50000);
		pv_unpark(pv, 0);
		stolen = ld_le64(s);
		assert_true(stolen >= before);
		most = MIN(most, stolen - before);
	}
	assert_true(most < 20000000);
	assert_int_equal(ld_le32(s + 8) & 1, 0);
	/* Its thread does not run though it does not sleep. */
	usleep(50000);
	pv_look(pv, 0);
	assert_true(ld_le64(s) >= stolen + 45000000);
	assert_int_equal(ld_le32(s + 8) & 1, 0);
	assert_true(ld_le32(s + 8) > 6);
	/* Off: left alone. */
	assert_true(pv_msr_write(pv, 0, 0x4b564d03, 0));
	stolen = ld_le64(s);
	usleep(3000);
	pv_look(pv, 0);
	assert_int_equal(ld_le64(s), stolen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(clock_rate), T(wall_clock),  T(bad_addresses),
		T(hypercalls), T(stolen_time), cmocka_unit_test(reset_ports),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
