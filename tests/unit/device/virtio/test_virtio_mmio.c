/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_virtio_mmio.c - virtio in memory as a driver finds it: registers and their widths, features, a queue, the shared
 * interrupt, reset, saved in use and loaded into another.
 */
#include "base/state.h"
#include "device/virtio/virtio_mmio.h"
#include "machine/layout.h"
#include "vdriver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

#define RINGS 0x10000
#define BUF 0x40000
#define N 9 /* slots 0 and 8 share a pin */

static struct ram *R;
static struct bus *B;
static struct slots *S;
static struct device *dev[N];
static struct virtio_dev *vd[N];
static unsigned pins, changes; /* pins: levels */
static u8 config[6];

static void pin(void *opaque, unsigned gsi, bool level)
{
	assert_in_range(gsi, 16, 23);
	pins = level ? pins | 1u << gsi : pins & ~(1u << gsi);
	changes++;
}

static void t_notify(struct virtio_dev *d, unsigned q)
{
	static struct virtio_chain ch;

	while (virtio_pop(d, q, &ch)) {
		virtio_chain_write(&ch, 0, "answer", 6);
		virtio_push(d, q, &ch, 6);
	}
	virtio_signal(d, q);
}

static void t_cfg_read(struct virtio_dev *d, unsigned off, void *buf, unsigned bytes)
{
	assert_true(off + bytes <= sizeof(config));
	memcpy(buf, config + off, bytes);
}

static void t_cfg_write(struct virtio_dev *d, unsigned off, const void *buf, unsigned bytes)
{
	assert_true(off + bytes <= sizeof(config));
	memcpy(config + off, buf, bytes);
}

static const struct virtio_class t_class = {
	.name = "virtio-test",
	.id = VIRTIO_ID_NET,
	.features = 1ull << 3 | 1ull << 40,
	.cfg_bytes = sizeof(config),
	.cfg_read = t_cfg_read,
	.cfg_write = t_cfg_write,
	.notify = t_notify,
};

static u32 rd(unsigned slot, unsigned off)
{
	return (u32)bus_mmio_read(B, LAYOUT_SLOTS + slot * LAYOUT_SLOT_BYTES + off, 4);
}

static void wr(unsigned slot, unsigned off, u32 val)
{
	bus_mmio_write(B, LAYOUT_SLOTS + slot * LAYOUT_SLOT_BYTES + off, 4, val);
}

static int setup(void **state)
{
	assert_int_equal(ram_new(&R, 1 * MIB, NULL), 0);
	B = bus_new();
	S = slots_new(pin, NULL);
	pins = changes = 0;
	for (unsigned i = 0; i < N; i++) {
		struct slot slot;
		vd[i] = virtio_new(&t_class, R, NULL, 3, NULL);
		assert_int_equal(slots_take(S, &slot), 0);
		assert_int_equal(slot.number, i);
		assert_int_equal(virtio_mmio_new(&dev[i], B, &slot, vd[i], NULL), 0);
		assert_ptr_equal(virtio_mmio_dev(dev[i]), vd[i]);
	}
	return 0;
}

static int teardown(void **state)
{
	for (unsigned i = 0; i < N; i++)
		dev[i]->ops->free(dev[i]);
	assert_int_equal(pins, 0);
	assert_int_equal(bus_mmio_read(B, LAYOUT_SLOTS, 4), 0xffffffff);
	slots_free(S);
	bus_free(B);
	ram_free(R);
	return 0;
}

/* As a driver starts (3.1.1, 4.2.3), with one queue. */
static struct vdriver start(unsigned slot, unsigned q)
{
	struct vdriver v = { .dev = vd[slot],
			     .q = q,
			     .size = 16,
			     .desc = RINGS + slot * 0x4000,
			     .avail = RINGS + 0x1000 + slot * 0x4000,
			     .used = RINGS + 0x2000 + slot * 0x4000 };

	memset(R->host + v.desc, 0, 0x4000);
	wr(slot, 0x70, 0);
	wr(slot, 0x70, 3);
	wr(slot, 0x24, 1);
	wr(slot, 0x20, 1); /* VERSION_1 */
	wr(slot, 0x24, 0);
	wr(slot, 0x20, 8);
	wr(slot, 0x70, 11);
	assert_int_equal(rd(slot, 0x70), 11);
	wr(slot, 0x30, q);
	assert_int_equal(rd(slot, 0x34), 256);
	assert_int_equal(rd(slot, 0x44), 0);
	wr(slot, 0x38, 16);
	wr(slot, 0x80, (u32)v.desc);
	wr(slot, 0x84, 0);
	wr(slot, 0x90, (u32)v.avail);
	wr(slot, 0x94, 0);
	wr(slot, 0xa0, (u32)v.used);
	wr(slot, 0xa4, 0);
	wr(slot, 0x44, 1);
	assert_int_equal(rd(slot, 0x44), 1);
	wr(slot, 0x70, 15);
	assert_int_equal(rd(slot, 0x70), 15);
	return v;
}

static void test_registers(void **state)
{
	assert_int_equal(rd(0, 0), 0x74726976);
	assert_int_equal(rd(0, 4), 2);
	assert_int_equal(rd(0, 8), VIRTIO_ID_NET);
	assert_int_equal(rd(0, 0x10) & 8, 8);
	wr(0, 0x14, 1);
	assert_int_equal(rd(0, 0x10), 1 | 1 << 2 | 1 << 8);
	wr(0, 0x14, 2);
	assert_int_equal(rd(0, 0x10), 0);
	assert_int_equal(rd(0, 0xb0), 0xffffffff); /* no shared memory */
	assert_int_equal(rd(0, 0xb4), 0xffffffff);
	/* There are three queues. */
	wr(0, 0x30, 3);
	assert_int_equal(rd(0, 0x34), 0);
	wr(0, 0x44, 1);
	assert_int_equal(rd(0, 0x44), 0);
	/* A feature that was not offered. */
	wr(0, 0x70, 3);
	wr(0, 0x24, 1);
	wr(0, 0x20, 1 | 1 << 9);
	wr(0, 0x70, 11);
	assert_int_equal(rd(0, 0x70), 3);
	/* Other widths and read-only registers do nothing. */
	assert_int_equal(bus_mmio_read(B, LAYOUT_SLOTS, 2), 0);
	assert_int_equal(bus_mmio_read(B, LAYOUT_SLOTS + 0x70, 1), 0);
	bus_mmio_write(B, LAYOUT_SLOTS + 0x70, 1, 0);
	assert_int_equal(rd(0, 0x70), 3);
	wr(0, 0x34, 1);
	/* The device's configuration: any width. */
	memcpy(config, "abcdef", 6);
	assert_int_equal(bus_mmio_read(B, LAYOUT_SLOTS + 0x105, 1), 'f');
	assert_int_equal(bus_mmio_read(B, LAYOUT_SLOTS + 0x102, 2), 'c' | 'd' << 8);
	assert_int_equal(rd(0, 0x104), 'e' | 'f' << 8);
	assert_int_equal(rd(0, 0x108), 0);
	bus_mmio_write(B, LAYOUT_SLOTS + 0x101, 1, 'x');
	assert_int_equal(config[1], 'x');
	bus_mmio_write(B, LAYOUT_SLOTS + 0x104, 4, 0); /* beyond its end */
	assert_int_equal(config[4], 'e');
	assert_int_equal(rd(1, 0x70), 0); /* the next slot is another device */
}

static void test_queue(void **state)
{
	struct vdriver v = start(0, 1), w = start(8, 0);
	struct vdesc seg = { BUF, 16 };
	u32 id, len;

	vd_add(&v, &seg, 0, 1);
	wr(0, 0x50, 0); /* another queue */
	assert_int_equal(pins, 0);
	wr(0, 0x50, 1);
	assert_true(vd_used(&v, &id, &len));
	assert_int_equal(len, 6);
	assert_memory_equal(R->host + BUF, "answer", 6);
	assert_int_equal(pins, 1 << 16);
	assert_int_equal(rd(0, 0x60), 1);
	/* The pin is up until both that share it are done. */
	vd_add(&w, &seg, 0, 1);
	wr(8, 0x50, 0);
	assert_int_equal(changes, 1);
	wr(0, 0x64, 1);
	assert_int_equal(rd(0, 0x60), 0);
	assert_int_equal(pins, 1 << 16);
	wr(8, 0x64, 1);
	assert_int_equal(pins, 0);
	virtio_lock(vd[0]);
	virtio_config_changed(vd[0]);
	virtio_unlock(vd[0]);
	assert_int_equal(rd(0, 0x60), 2);
	assert_int_equal(rd(0, 0xfc), 1);
	wr(0, 0x64, 2);
	/* A ready queue does not move; stopped, it is as new. */
	wr(0, 0x30, 1);
	wr(0, 0x80, 0);
	vd_add(&v, &seg, 0, 1);
	wr(0, 0x50, 1);
	assert_true(vd_used(&v, &id, &len));
	wr(0, 0x44, 0);
	assert_int_equal(rd(0, 0x44), 0);
	vd_add(&v, &seg, 0, 1);
	wr(0, 0x50, 1);
	assert_false(vd_used(&v, &id, &len));
	/* A broken ring waits for a reset, which lowers the wire. */
	wr(0, 0x80, 0xfffff000);
	wr(0, 0x44, 1);
	assert_int_equal(rd(0, 0x70) & 64, 64);
	assert_int_equal(pins, 1 << 16);
	wr(0, 0x50, 0xffffffff);
	device_reset(dev[0]);
	assert_int_equal(rd(0, 0x70), 0);
	assert_int_equal(pins, 0);
}

static void test_state(void **state)
{
	struct vdriver v = start(8, 2);
	struct vdesc seg = { BUF, 16 };
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_file *s;
	struct err e;
	u32 id, len;

	vd_add(&v, &seg, 0, 1);
	wr(8, 0x50, 2);
	assert_int_equal(state_save_new(&s, fd, &e), 0);
	for (unsigned i = 0; i < N; i++) {
		assert_true(device_quiesce(dev[i]));
		assert_int_equal(device_state(dev[i], s, &e), 0);
	}
	state_free(s);
	for (unsigned i = 0; i < N; i++)
		dev[i]->ops->reset(dev[i]);
	assert_int_equal(pins, 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_load_new(&s, fd, &e), 0);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(device_state(dev[i], s, &e), 0);
	state_free(s);
	close(fd);
	for (unsigned i = 0; i < N; i++)
		device_resume(dev[i]);
	assert_int_equal(rd(8, 0x70), 15);
	assert_int_equal(rd(8, 0x60), 1);
	assert_int_equal(pins, 1 << 16);
	assert_int_equal(rd(8, 0x44), 1); /* the selected queue */
	assert_true(vd_used(&v, &id, &len));
	vd_add(&v, &seg, 0, 1);
	wr(8, 0x50, 2);
	assert_true(vd_used(&v, &id, &len));
}

static void test_room(void **state)
{
	struct slot slot;

	for (unsigned i = N; i < LAYOUT_SLOTS_MAX; i++)
		assert_int_equal(slots_take(S, &slot), 0);
	assert_int_equal(slots_take(S, &slot), -ENOSPC);
	assert_int_equal(slots_taken(S), LAYOUT_SLOTS_MAX);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_registers), T(test_queue), T(test_state), T(test_room) };
	return cmocka_run_group_tests_name("virtio-mmio", tests, NULL, NULL);
}
