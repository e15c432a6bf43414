/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_virtio_input.c - keyboard and tablet, with a driver of our own: what they say they are, events, no buffers. */
#include "base/state.h"
#include "device/class.h"
#include "device/input/key.h"
#include "virtio_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

#define BUF 0x100000
#define A 0x1eu

static struct virtio_rig V;
static unsigned nbuf; /* given so far, 8 bytes each, round and round */

static int setup(void **state)
{
	virtio_rig_up(&V, 16 * MIB);
	nbuf = 0;
	return 0;
}

static int teardown(void **state)
{
	virtio_rig_down(&V);
	return 0;
}

static void start(bool tablet)
{
	virtio_rig_take(&V, virtio_input_new(V.ram, V.loop, tablet));
	virtio_rig_start(&V, 64, 0);
}

static void give(unsigned n)
{
	while (n--) {
		struct vdesc d = { .addr = BUF + 8 * (nbuf++ % 64), .len = 8 };
		vd_add(&V.q[0], &d, 0, 1);
	}
	vd_kick(&V.q[0]);
}

/* The next event is this one. */
static void event(u16 type, u16 code, u32 value)
{
	u32 id = 0, len = 0;

	assert_true(vd_used(&V.q[0], &id, &len));
	assert_int_equal(len, 8);
	const u8 *p = V.ram->host + BUF + 8 * id;
	assert_int_equal(ld_le16(p), type);
	assert_int_equal(ld_le16(p + 2), code);
	assert_int_equal(ld_le32(p + 4), value);
}

static void no_event(void)
{
	u32 id, len;

	assert_false(vd_used(&V.q[0], &id, &len));
}

/* What is selected so; returns its size. */
static unsigned config(u8 select, u8 subsel, u8 data[128])
{
	u8 what[2] = { select, subsel }, cfg[136];

	virtio_lock(V.dev);
	V.dev->cls->cfg_write(V.dev, 0, what, 2);
	V.dev->cls->cfg_read(V.dev, 0, cfg, sizeof(cfg));
	virtio_unlock(V.dev);
	assert_int_equal(cfg[0], select);
	assert_int_equal(cfg[1], subsel);
	memcpy(data, cfg + 8, 128);
	return cfg[2];
}

static void says_what_it_is(void **state)
{
	u8 d[128];

	start(false);
	assert_int_equal(config(1, 0, d), strlen("Mica virtio keyboard"));
	assert_string_equal((char *)d, "Mica virtio keyboard");
	assert_true(config(0x11, 1, d) > 0);
	assert_true(d[30 / 8] >> 30 % 8 & 1 && d[103 / 8] >> 103 % 8 & 1 && d[122 / 8] >> 122 % 8 & 1);
	assert_int_equal(d[0] & 1, 0);
	assert_int_equal(config(0x11, 0x11, d), 1);
	assert_int_equal(config(0x11, 0x14, d), 1);
	assert_int_equal(config(0x11, 3, d), 0); /* no axes */
	assert_int_equal(config(0x12, 0, d), 0);
	assert_int_equal(config(0x55, 0xaa, d), 0);
	virtio_free(steal(&V.dev));
	start(true);
	assert_int_equal(config(0x11, 3, d), 1);
	assert_int_equal(d[0], 3);
	assert_int_equal(config(0x12, 1, d), 20);
	assert_int_equal(ld_le32(d + 4), 0x7fff);
	assert_int_equal(config(0x12, 2, d), 0);
	assert_int_equal(config(3, 0, d), 7);
	assert_int_equal(ld_le16(d), 6);
}

static void keys(void **state)
{
	const u16 press[] = { A | KEY_DOWN, A, KEY_E0 | 0x48 | KEY_DOWN };

	virtio_rig_take(&V, virtio_input_new(V.ram, V.loop, false));
	assert_int_equal(virtio_input_keys(V.dev, press, 3), -EAGAIN); /* no driver */
	virtio_rig_start(&V, 64, 0);
	give(3);
	assert_int_equal(virtio_input_keys(V.dev, press, 3), 0);
	event(1, 30, 1);
	event(0, 0, 0);
	event(1, 30, 0);
	no_event();
	assert_true(V.irqs[0] > 0);
	give(10);
	event(0, 0, 0);
	event(1, 103, 1);
	event(0, 0, 0);
	no_event();
	/* All or none, when too many wait. */
	static u16 many[1024];
	for (unsigned i = 0; i < ARRAY_LEN(many); i++)
		many[i] = A;
	assert_int_equal(virtio_input_keys(V.dev, many, 1024), 0);
	assert_int_equal(virtio_input_keys(V.dev, many, 100), -EBUSY);
	virtio_rig_start(&V, 64, 0);
	give(2);
	no_event(); /* what was typed before a reset is not typed after it */
}

static void places(void **state)
{
	start(true);
	assert_int_equal(virtio_input_point(V.dev, 100, 200, 0, 0), 0);
	assert_int_equal(virtio_input_point(V.dev, 101, 0x7fff, 0, 0), 0);
	assert_int_equal(virtio_input_point(V.dev, 5, 6, -1, 1), 0);
	assert_int_equal(virtio_input_point(V.dev, 5, 70000, 0, 4), 0);
	give(20);
	event(3, 0, 100); /* it became events before there were buffers */
	event(3, 1, 200);
	event(0, 0, 0);
	event(3, 0, 101);
	event(3, 1, 0x7fff);
	event(0, 0, 0);
	event(3, 0, 5);
	event(3, 1, 6);
	event(1, 0x110, 1);
	event(2, 8, 1);
	event(0, 0, 0);
	event(3, 0, 5);
	event(3, 1, 0x7fff);
	event(1, 0x110, 0);
	event(1, 0x112, 1);
	event(0, 0, 0);
	no_event();
	/* Any number of moves is one, and any number of clicks has a bound. */
	virtio_rig_start(&V, 64, 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(virtio_input_point(V.dev, i, i, 1, i / 10 & 1), 0);
	give(63);
	u32 id, len;
	unsigned n = 0;
	while (vd_used(&V.q[0], &id, &len))
		n++;
	assert_int_equal(n, 63);
}

/* In the middle of an event, into another device. */
static void saved(void **state)
{
	const u16 press[] = { A | KEY_DOWN, A };
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_file *s;

	start(false);
	give(1);
	assert_int_equal(virtio_input_keys(V.dev, press, 2), 0);
	event(1, 30, 1);
	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	assert_int_equal(state_section(s, "x", 0, 1, NULL), 0);
	virtio_state(V.dev, s);
	assert_int_equal(state_end(s, NULL), 0);
	assert_int_equal(state_finish(s, NULL), 0);
	state_free(s);
	virtio_free(steal(&V.dev));
	virtio_rig_take(&V, virtio_input_new(V.ram, V.loop, false));
	V.q[0].dev = V.dev;
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_load_new(&s, fd, NULL), 0);
	assert_int_equal(state_section(s, "x", 0, 1, NULL), 0);
	virtio_state(V.dev, s);
	assert_int_equal(state_end(s, NULL), 0);
	state_free(s);
	close(fd);
	give(5);
	event(0, 0, 0);
	event(1, 30, 0);
	event(0, 0, 0);
	no_event();
}

static void wrong_buffers(void **state)
{
	const u16 press = A | KEY_DOWN;
	struct vdesc d = { .addr = BUF, .len = 7 };

	start(false);
	vd_add(&V.q[0], &d, 0, 1);
	assert_int_equal(virtio_input_keys(V.dev, &press, 1), 0);
	assert_true(V.dev->status & VIRTIO_S_NEEDS_RESET);
	assert_int_equal(virtio_input_keys(V.dev, &press, 1), -EAGAIN);
	/* Lights, of any size. */
	virtio_rig_start(&V, 64, 0);
	d.len = 4096;
	vd_add(&V.q[1], &d, 1, 0);
	vd_kick(&V.q[1]);
	assert_int_equal(vd_used_idx(&V.q[1]), 1);
}

/* Each key that a keyboard has is known to both, and no two are the same. */
static void names_of_keys(void **state)
{
	static const u16 pairs[][3] = { { 0x1e, 4, 30 },          { 0x0b, 0x27, 11 },
					{ 0x1c, 0x28, 28 },       { KEY_E0 | 0x1c, 0x58, 96 },
					{ KEY_PAUSE, 0x48, 119 }, { KEY_HANGUL, 0x90, 122 },
					{ 0x2a, 0xe1, 42 },       { KEY_E0 | 0x5c, 0xe7, 126 },
					{ 0x58, 0x45, 88 },       { 0x56, 0x64, 86 } };
	bool usages[256] = { false }, codes[256] = { false };

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		assert_int_equal(key_usage(pairs[i][0]), pairs[i][1]);
		assert_int_equal(key_event_code(pairs[i][0]), pairs[i][2]);
	}
	for (unsigned key = 1; key <= KEY_HANGUL; key++) {
		if (key == 0x54) /* Print, with Alt */
			continue;
		u8 u = key_usage(key), c = key_event_code(key);
		assert_int_equal(!u, !c);
		assert_false((u && usages[u]) || (c && codes[c]));
		if (u)
			usages[u] = codes[c] = true;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(says_what_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(keys, setup, teardown),
		cmocka_unit_test_setup_teardown(places, setup, teardown),
		cmocka_unit_test_setup_teardown(saved, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_buffers, setup, teardown),
		cmocka_unit_test(names_of_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
