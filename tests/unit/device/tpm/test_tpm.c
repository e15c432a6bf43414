/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_tpm.c - a TPM as its driver uses it, with the test as swtpm: commands, localities, saved, and swtpm gone. */
#include "base/clock.h"
#include "base/loop.h"
#include "base/ram.h"
#include "base/state.h"
#include "device/class.h"
#include "machine/layout.h"
#include "machine/machine.h"
#include "machine/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cmocka.h>

#define READY 0x40u
#define GO 0x20u
#define DATA 0x10u
#define EXPECT 0x08u
#define OK "\0\0\0\0"

extern const struct device_class tpm_tis_device_class;

static struct ram *ram;
static struct loop *loop;
static struct loop_timer timer;
static struct machine *m;
static struct device *dev;
static int data, control; /* swtpm's ends */

static void stop(void *opaque)
{
	loop_stop(loop);
}

static void spin(void)
{
	loop_timer_arm(&timer, clock_mono_ns() + 5000000);
	loop_run(loop);
}

/* swtpm says this when it is asked next, by whoever waits for it. */
static void will_say(const char *p, size_t bytes)
{
	assert_int_equal(send(control, p, bytes, MSG_NOSIGNAL), bytes);
}

/* What it was told. */
static void told(const char *p, size_t bytes)
{
	u8 buf[256];

	assert_int_equal(recv(control, buf, bytes, MSG_DONTWAIT), bytes);
	assert_memory_equal(buf, p, bytes);
}

static void make(void)
{
	struct device_args a = { .id = "tpm0", .slot = -1 };
	int d[2], c[2];

	assert_int_equal(ram_new_with_room(&ram, 2 * MIB, MEMORY_ROOM, NULL), 0);
	assert_int_equal(loop_new(&loop, NULL), 0);
	loop_timer_init(loop, &timer, stop, NULL);
	struct machine_config mc = { .ram = ram, .loop = loop, .ncpus = 1 };
	assert_int_equal(machine_new(&m, &mc, NULL), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, d), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, c), 0);
	data = d[0];
	control = c[0];
	a.fd = d[1];
	a.control_fd = c[1];
	will_say(OK, 4);
	assert_int_equal(tpm_tis_device_class.new(&dev, m, &a, NULL), 0);
	told("\0\0\0\2\0\0\0\1", 8);
}

static int up(void **state)
{
	make();
	return 0;
}

static int down(void **state)
{
	machine_free(m);
	loop_timer_fini(&timer);
	loop_free(loop);
	ram_free(ram);
	close(data);
	close(control);
	return 0;
}

static u32 get(unsigned locality, unsigned reg, unsigned bytes)
{
	return (u32)bus_mmio_read(machine_bus(m), LAYOUT_TPM + 0x1000 * locality + reg, bytes);
}

static void put(unsigned locality, unsigned reg, unsigned bytes, u32 v)
{
	bus_mmio_write(machine_bus(m), LAYOUT_TPM + 0x1000 * locality + reg, bytes, v);
}

static u32 sts(void)
{
	return get(0, 0x18, 4);
}

static const u8 startup[12] = { 0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0 };

static void type(const u8 *p, unsigned bytes)
{
	put(0, 0, 1, 2);
	put(0, 0x18, 4, READY);
	assert_true(sts() & READY);
	for (unsigned i = 0; i < bytes; i++)
		put(0, 0x24, 1, p[i]);
}

/* The response, by bytes. */
static unsigned response(u8 *out)
{
	unsigned n = 0;

	for (; sts() & DATA; n++)
		out[n] = (u8)get(0, 0x24, 1);
	return n;
}

static void command(void **state)
{
	u8 buf[64];

	assert_int_equal(get(0, 0xf00, 4), 0x00011014);
	assert_int_equal(get(0, 0x30, 1) & 15, 0);
	assert_int_equal(get(0, 0, 1), 0x81);
	assert_int_equal(sts(), 0xffffffff); /* nobody's */
	type(startup, 5);
	assert_true(sts() & EXPECT);
	put(0, 0x18, 4, GO); /* too soon */
	assert_int_equal(recv(control, buf, 1, MSG_DONTWAIT), -1);
	for (unsigned i = 5; i < 12; i++)
		put(0, 0x80, 1, startup[i]);
	assert_false(sts() & EXPECT);
	put(0, 0x24, 1, 0x99); /* one too many is lost */
	put(0, 0x18, 4, GO);
	assert_false(sts() & (READY | DATA));
	/* It is told who, then what. */
	told("\0\0\0\5\0\0\0\0", 8);
	assert_int_equal(recv(data, buf, sizeof(buf), MSG_DONTWAIT), -1);
	will_say(OK, 4);
	spin();
	assert_int_equal(recv(data, buf, sizeof(buf), MSG_DONTWAIT), 12);
	assert_memory_equal(buf, startup, 12);
	/* Its response, in pieces. */
	assert_int_equal(send(data, "\x80\1\0\0", 4, 0), 4);
	spin();
	assert_false(sts() & DATA);
	assert_int_equal(send(data, "\0\x0c\0\0\0\0\xab\xcd", 8, 0), 8);
	spin();
	assert_int_equal(sts() >> 8 & 0xffff, 12);
	assert_int_equal(response(buf), 12);
	assert_int_equal(buf[11], 0xcd);
	assert_int_equal(get(0, 0x24, 4), 0xffffffff);
	put(0, 0x18, 4, 2); /* once more */
	assert_int_equal(response(buf), 12);
	/* The next one needs no locality. */
	type(startup, 12);
	put(0, 0x18, 4, GO);
	assert_int_equal(recv(data, buf, sizeof(buf), MSG_DONTWAIT), 12);
	/* Nobody wants its response. */
	put(0, 0x18, 4, READY);
	assert_false(sts() & READY);
	assert_int_equal(send(data, "\x80\1\0\0\0\x0a\0\0\0\0", 10, 0), 10);
	spin();
	assert_true(sts() & READY);
	/* Of a length that there is not. */
	static const u8 huge[6] = { 0x80, 1, 0xff, 0, 0, 0 }, tiny[6] = { 0x80, 1, 0, 0, 0, 6 };
	type(tiny, 6);
	put(0, 0x18, 4, GO);
	assert_int_equal(response(buf), 10);
	assert_int_equal(buf[9], 0x42);
	type(huge, 6);
	for (unsigned i = 0; i < 5000; i++)
		put(0, 0x24, 1, 0);
	put(0, 0x18, 4, GO);
	assert_int_equal(response(buf), 10);
	assert_int_equal(recv(data, buf, sizeof(buf), MSG_DONTWAIT), -1);
}

static void localities(void **state)
{
	put(0, 0, 1, 2);
	assert_int_equal(get(0, 0, 1), 0xa1);
	put(1, 0, 1, 2);
	assert_int_equal(get(1, 0, 1), 0x83);
	assert_int_equal(get(0, 0, 1), 0xa5); /* somebody waits */
	put(2, 0, 1, 8);                      /* and somebody takes */
	assert_int_equal(get(0, 0, 1), 0x95);
	assert_int_equal(get(2, 0, 1) & 0x20, 0x20);
	put(1, 0, 1, 8); /* from below: no */
	assert_int_equal(get(2, 0, 1) & 0x20, 0x20);
	put(0, 0, 1, 0x10);
	assert_int_equal(get(0, 0, 1) & 0x10, 0);
	put(2, 0, 1, 0x20);
	assert_int_equal(get(1, 0, 1), 0xa1); /* who waited */
	put(1, 0, 1, 0x20);
	assert_int_equal(get(1, 0, 1), 0x81);
	put(4, 0, 1, 2);
	assert_int_equal(get(4, 0, 1), 0x81);
	assert_int_equal(get(1, 0x18, 4), 0xffffffff);
}

static void saved(void **state)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_file *s;
	struct err e;
	u8 buf[64];

	type(startup, 12);
	put(0, 0x18, 4, GO);
	assert_false(machine_quiesce(m)); /* it waits for the response */
	will_say(OK, 4);
	spin();
	assert_int_equal(send(data, "\x80\1\0\0\0\x0a\0\0\1\0", 10, 0), 10);
	spin();
	assert_true(machine_quiesce(m));
	assert_int_equal(get(0, 0x24, 1), 0x80);
	will_say(OK "\0\0\0\0\0\0\0\4\0\0\0\4perm", 20);
	will_say(OK "\0\0\0\0\0\0\0\3\0\0\0\3vol", 19);
	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	assert_int_equal(device_state(dev, s, &e), 0);
	assert_int_equal(state_finish(s, NULL), 0);
	state_free(s);
	down(NULL);

	make();
	assert_true(machine_quiesce(m));
	for (unsigned i = 0; i < 4; i++) /* stopped, two blobs, begun */
		will_say(OK, 4);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_load_new(&s, fd, NULL), 0);
	assert_int_equal(device_state(dev, s, &e), 0);
	state_free(s);
	close(fd);
	told("\0\0\0\x0e", 4);
	told("\0\0\0\x0d\0\0\0\1\0\0\0\1\0\0\0\4perm", 20);
	told("\0\0\0\x0d\0\0\0\1\0\0\0\2\0\0\0\3vol", 19);
	told("\0\0\0\2\0\0\0\0", 8);
	assert_int_equal(response(buf), 9);
	assert_int_equal(buf[7], 1);
	/* A reset: it begins anew, and nothing is left of what was on its way. */
	type(startup, 12);
	put(0, 0x18, 4, GO);
	told("\0\0\0\5\0\0\0\0", 8);
	for (unsigned i = 0; i < 3; i++)
		will_say(OK, 4);
	machine_reset(m);
	told("\0\0\0\x0e\0\0\0\2\0\0\0\1", 12);
	assert_int_equal(sts(), 0xffffffff);
}

/* The guest's driver is told of a failure, again and again; nobody waits, and the VM cannot be saved. */
static void gone(void **state)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_file *s;
	struct err e;
	u8 buf[64];

	type(startup, 12);
	put(0, 0x18, 4, GO);
	shutdown(data, SHUT_RDWR);
	shutdown(control, SHUT_RDWR);
	spin();
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(response(buf), 10);
		assert_memory_equal(buf, "\x80\1\0\0\0\x0a\0\0\1\1", 10);
		type(startup, 12);
		put(0, 0x18, 4, GO);
	}
	machine_reset(m);
	assert_true(machine_quiesce(m));
	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	assert_true(device_state(dev, s, &e) < 0);
	assert_non_null(strstr(e.msg, "swtpm"));
	state_free(s);
	close(fd);
}

/* What it must not say: a response to nothing, one that is too long. */
static void wrong(void **state)
{
	u8 buf[64];

	assert_int_equal(send(data, "\x80\1\0\0\0\x0a\0\0\0\0", 10, 0), 10);
	spin();
	type(startup, 12);
	put(0, 0x18, 4, GO);
	assert_int_equal(response(buf), 10);
	assert_int_equal(buf[9], 1);
	down(NULL);
	make();
	type(startup, 12);
	put(0, 0x18, 4, GO);
	will_say(OK, 4);
	spin();
	assert_int_equal(send(data, "\x80\1\0\0\x10\1\0\0\0\0", 10, 0), 10);
	spin();
	assert_int_equal(response(buf), 10);
	assert_int_equal(buf[9], 1);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, up, down)
	const struct CMUnitTest tests[] = { T(command), T(localities), T(saved), T(gone), T(wrong) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
