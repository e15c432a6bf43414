/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_virtio_misc.c - console and balloon devices against a driver of our own. */
#include "device/chr.h"
#include "virtio_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#define BUF 0x100000

static struct fix {
	struct virtio_rig v;
	struct chr *chr;
	int host;
} F;

static int setup(void **state)
{
	int sv[2];

	virtio_rig_up(&F.v, 16 * MIB);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	F.host = sv[0];
	assert_int_equal(chr_new(&F.chr, F.v.loop, sv[1], sv[1], NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	virtio_free(steal(&F.v.dev));
	chr_free(F.chr);
	virtio_rig_down(&F.v);
	close(F.host);
	return 0;
}

static void add(unsigned q, gpa_t at, u32 len, bool in)
{
	struct vdesc d = { .addr = at, .len = len };
	vd_add(&F.v.q[q], &d, !in, in);
}

/* ---- console ---- */

static void console_out(void **state)
{
	char buf[100] = "";
	u32 id, len;

	struct virtio_dev *dev;
	assert_int_equal(virtio_console_new(&dev, F.v.ram, F.v.loop, F.chr, NULL), 0);
	virtio_rig_take(&F.v, dev);
	/* emergency write: no driver is up yet */
	F.v.dev->cls->cfg_write(F.v.dev, 8, "!\0\0\0", 4);
	virtio_rig_start(&F.v, 16, 0);
	memcpy(F.v.ram->host + BUF, "hello, world", 12);
	struct vdesc d[2] = { { .addr = BUF, .len = 5 }, { .addr = BUF + 5, .len = 7 } };
	vd_add(&F.v.q[1], d, 2, 0);
	vd_kick(&F.v.q[1]);
	assert_true(vd_used(&F.v.q[1], &id, &len));
	assert_int_equal(len, 0);
	virtio_rig_spin(&F.v);
	assert_int_equal(recv(F.host, buf, sizeof(buf), MSG_DONTWAIT), 13);
	assert_string_equal(buf, "!hello, world");
	/* a chain that covers memory over and over is not worked off */
	struct vdesc huge[12];
	for (unsigned i = 0; i < ARRAY_LEN(huge); i++)
		huge[i] = (struct vdesc){ .addr = 0, .len = 16 * MIB };
	vd_add(&F.v.q[1], huge, 12, 0);
	vd_kick(&F.v.q[1]);
	assert_true(F.v.dev->status & VIRTIO_S_NEEDS_RESET);
	assert_true(F.v.cfg_irqs > 0);
}

static void console_in(void **state)
{
	u32 id, len;

	struct virtio_dev *dev;
	assert_int_equal(virtio_console_new(&dev, F.v.ram, F.v.loop, F.chr, NULL), 0);
	virtio_rig_take(&F.v, dev);
	assert_int_equal(write(F.host, "early", 5), 5);
	virtio_rig_spin(&F.v);
	virtio_rig_start(&F.v, 16, 0);
	add(0, BUF, 3, true);
	vd_kick(&F.v.q[0]);
	virtio_rig_spin(&F.v);
	assert_true(vd_used(&F.v.q[0], &id, &len));
	assert_int_equal(len, 3);
	assert_memory_equal(F.v.ram->host + BUF, "ear", 3);
	add(0, BUF, 64, true);
	vd_kick(&F.v.q[0]);
	virtio_rig_spin(&F.v);
	assert_true(vd_used(&F.v.q[0], &id, &len));
	assert_int_equal(len, 2);
	assert_memory_equal(F.v.ram->host + BUF, "ly", 2);
	add(0, BUF, 64, true);
	add(0, BUF + 64, 64, true);
	vd_kick(&F.v.q[0]);
	assert_int_equal(write(F.host, "x", 1), 1);
	virtio_rig_spin(&F.v);
	assert_true(vd_used(&F.v.q[0], &id, &len));
	assert_int_equal(len, 1);
	/* a reset in between loses nothing that was not delivered */
	virtio_rig_start(&F.v, 16, 0);
	assert_int_equal(write(F.host, "yz", 2), 2);
	virtio_rig_spin(&F.v);
	virtio_rig_start(&F.v, 16, 0);
	add(0, BUF, 64, true);
	vd_kick(&F.v.q[0]);
	virtio_rig_spin(&F.v);
	assert_true(vd_used(&F.v.q[0], &id, &len));
	assert_int_equal(len, 2);
	assert_memory_equal(F.v.ram->host + BUF, "yz", 2);
	assert_true(virtio_rig_irqs(&F.v) > 0);
}

/* ---- balloon ---- */

static u64 backed(void)
{
	struct stat st;

	assert_int_equal(fstat(F.v.ram->memfd, &st), 0);
	return (u64)st.st_blocks * 512;
}

static void balloon(u64 features)
{
	struct virtio_dev *dev;
	assert_int_equal(virtio_balloon_new(&dev, F.v.ram, F.v.loop, NULL), 0);
	virtio_rig_take(&F.v, dev);
	virtio_rig_start(&F.v, 16, features);
	memset(F.v.ram->host + 8 * MIB, 0xaa, 8 * MIB);
}

static bool is_zero(u64 at, u64 bytes)
{
	for (u64 i = 0; i < bytes; i++)
		if (F.v.ram->host[at + i])
			return false;
	return true;
}

static void balloon_inflate(void **state)
{
	u32 id, len, pfn[6] = { 0x900, 0x901, 0xa02, 0xa01, 0xfffffffe, 0xb00 };

	balloon(0);
	memcpy(F.v.ram->host + BUF, pfn, sizeof(pfn));
	u64 before = backed();
	add(0, BUF, sizeof(pfn) + 3, false); /* the odd bytes are nothing */
	vd_kick(&F.v.q[0]);
	assert_true(vd_used(&F.v.q[0], &id, &len));
	assert_int_equal(len, 0);
	assert_int_equal(before - backed(), 5 * 4096);
	static const u32 gone[] = { 0x900, 0x901, 0xa01, 0xa02, 0xb00 };
	for (unsigned i = 0; i < ARRAY_LEN(gone); i++) {
		assert_true(is_zero((u64)gone[i] << 12, 4096));
	}
	assert_int_equal(F.v.ram->host[0x902000], 0xaa);
	assert_int_equal(F.v.ram->host[0x8fffff], 0xaa);
	assert_int_equal(F.v.ram->host[0xa00fff], 0xaa);
	/* deflating touches nothing; a list without end is refused */
	add(1, BUF, sizeof(pfn), false);
	vd_kick(&F.v.q[1]);
	assert_true(vd_used(&F.v.q[1], &id, &len));
	assert_int_equal(F.v.ram->host[0x902000], 0xaa);
	add(0, 0, 16 * MIB, false);
	vd_kick(&F.v.q[0]);
	assert_true(F.v.dev->status & VIRTIO_S_NEEDS_RESET);
	assert_int_equal(F.v.ram->host[0x902000], 0xaa);
}

static void balloon_report(void **state)
{
	u32 id, len;

	/* queue 2 is how Linux counts, 4 how the specification does */
	for (unsigned q = 2; q <= 4; q += 2) {
		if (!F.v.dev)
			balloon(1ull << 5);
		u64 at = 8 * MIB + q * MIB, before = backed();
		struct vdesc d[2] = { { .addr = at, .len = 0x80000 }, { .addr = at + 0xc0000 + 100, .len = 0x3000 } };
		vd_add(&F.v.q[q], d, 0, 2);
		vd_kick(&F.v.q[q]);
		assert_true(vd_used(&F.v.q[q], &id, &len));
		assert_int_equal(len, 0);
		assert_int_equal(before - backed(), 0x80000 + 0x2000); /* whole pages only */
		assert_true(is_zero(at, 0x80000));
		assert_int_equal(F.v.ram->host[at + 0x80000], 0xaa);
		assert_int_equal(F.v.ram->host[at + 0xc0000 + 4095], 0xaa);
		assert_true(is_zero(at + 0xc1000, 0x2000));
		assert_int_equal(F.v.ram->host[at + 0xc3000], 0xaa);
	}
	/* not negotiated: nothing is thrown away */
	virtio_rig_start(&F.v, 16, 0);
	add(2, 8 * MIB, 0x1000, true);
	vd_kick(&F.v.q[2]);
	assert_true(vd_used(&F.v.q[2], &id, &len));
	assert_int_equal(F.v.ram->host[8 * MIB], 0xaa);
}

/* Page numbers of which no two are neighbours: n of them at gpa. */
static void pages_apart(gpa_t gpa, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		st_le32(F.v.ram->host + gpa + 4 * i, 0x900 + (i & 1) * 2);
}

static u64 cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (u64)ts.tv_sec * NSEC_PER_SEC + (u64)ts.tv_nsec;
}

/* A chain that takes longer than a visit is gone on with from the loop, where other things come between. */
static void balloon_visits(void **state)
{
	enum { PAGES = 100000, CHAINS = 3 };
	struct loop_stats s;
	u32 id, len;

	balloon(0);
	pages_apart(BUF, PAGES);
	for (unsigned i = 0; i < CHAINS; i++)
		add(0, BUF, 4 * PAGES, false);
	u64 t = cpu_ns();
	vd_kick(&F.v.q[0]);
	t = cpu_ns() - t;
	/* 100,000 system calls are not made under the lock in one go. */
	assert_int_equal(vd_used_idx(&F.v.q[0]), 0);
	assert_true(t < 5 * LOOP_VISIT_NS);
	/* Another notification does not do the loop's work. */
	vd_kick(&F.v.q[0]);
	assert_int_equal(vd_used_idx(&F.v.q[0]), 0);
	unsigned spins = 0;
	for (; vd_used_idx(&F.v.q[0]) < CHAINS && spins < 4000; spins++)
		virtio_rig_spin(&F.v);
	for (unsigned i = 0; i < CHAINS; i++) {
		assert_true(vd_used(&F.v.q[0], &id, &len));
		assert_int_equal(len, 0);
	}
	assert_true(is_zero(0x900000, 4096) && is_zero(0x902000, 4096));
	assert_int_equal(F.v.ram->host[0x901000], 0xaa);
	loop_get_stats(F.v.loop, &s);
	assert_true(s.turns > 20);
	assert_true(s.longest_cpu_ns < 10000000);
	assert_true(virtio_rig_irqs(&F.v) > 0);
}

/* A save in the middle of a chain: it goes back to the ring, and is done from its beginning afterwards. */
static void balloon_quiesce_midway(void **state)
{
	u32 id, len;

	balloon(0);
	pages_apart(BUF, 100000);
	add(0, BUF, 400000, false);
	vd_kick(&F.v.q[0]);
	assert_int_equal(vd_used_idx(&F.v.q[0]), 0);
	assert_int_equal(F.v.dev->queue[0].last_avail, 1);
	F.v.dev->cls->quiesce(F.v.dev);
	assert_int_equal(F.v.dev->queue[0].last_avail, 0);
	for (unsigned i = 0; !vd_used(&F.v.q[0], &id, &len) && i < 4000; i++)
		virtio_rig_spin(&F.v);
	assert_int_equal(vd_used_idx(&F.v.q[0]), 1);
	/* A reset forgets it. */
	add(0, BUF, 400000, false);
	vd_kick(&F.v.q[0]);
	virtio_rig_start(&F.v, 16, 0);
	virtio_rig_spin(&F.v);
	assert_int_equal(vd_used_idx(&F.v.q[0]), 0);
	add(0, BUF, 4, false);
	vd_kick(&F.v.q[0]);
	assert_int_equal(vd_used_idx(&F.v.q[0]), 1);
}

/* Frozen, a device takes nothing; afterwards it looks by itself. */
static void frozen(void **state)
{
	balloon(0);
	pages_apart(BUF, 4);
	add(0, BUF, 16, false);
	F.v.dev->frozen = true;
	vd_kick(&F.v.q[0]);
	assert_int_equal(vd_used_idx(&F.v.q[0]), 0);
	virtio_lock(F.v.dev);
	F.v.dev->frozen = false;
	virtio_again(F.v.dev, 0);
	virtio_unlock(F.v.dev);
	virtio_rig_spin(&F.v);
	assert_int_equal(vd_used_idx(&F.v.q[0]), 1);
}

static void balloon_target(void **state)
{
	u8 c[8];

	balloon(0);
	virtio_balloon_target(F.v.dev, 4 * MIB);
	assert_int_equal(F.v.cfg_irqs, 1);
	F.v.dev->cls->cfg_read(F.v.dev, 0, c, 8);
	assert_int_equal(ld_le32(c), 1024);
	/* num_pages is not the guest's to write, actual is */
	F.v.dev->cls->cfg_write(F.v.dev, 0, "\1\1\1\1", 4);
	F.v.dev->cls->cfg_write(F.v.dev, 4, "\0\2\0\0", 4);
	F.v.dev->cls->cfg_read(F.v.dev, 0, c, 8);
	assert_int_equal(ld_le32(c), 1024);
	assert_int_equal(virtio_balloon_actual(F.v.dev), 2 * MIB);
	virtio_balloon_target(F.v.dev, UINT64_MAX);
	F.v.dev->cls->cfg_read(F.v.dev, 0, c, 4);
	assert_int_equal(ld_le32(c), 4096);
	virtio_rig_start(&F.v, 16, 0);
	assert_int_equal(virtio_balloon_actual(F.v.dev), 0);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(console_out),    T(console_in),     T(balloon_inflate),        T(balloon_report),
		T(balloon_target), T(balloon_visits), T(balloon_quiesce_midway), T(frozen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
