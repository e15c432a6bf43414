/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_virtio_blk.c - the block device end to end: requests through the rings to a file and back, with
 * both I/O engines, with the loop's thread running beside.
 */
#include "block/block.h"
#include "virtio_rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DISK (1 * MIB)
#define HDRS 0x20000
#define BUF 0x40000
#define OK 0
#define IOERR 1
#define UNSUPP 2
#define FEATURES \
	(1ull << 9 | 1ull << 13 | 1ull << 14 | 1ull << VIRTIO_F_RING_EVENT_IDX | 1ull << VIRTIO_F_RING_INDIRECT_DESC)

static struct virtio_rig G;
static pthread_t T;
static bool running;
static char img[64];
static unsigned syncs;
static enum blk_engine kind;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	__atomic_fetch_add(&syncs, 1, __ATOMIC_SEQ_CST);
	return __real_fdatasync(fd);
}

static void *loop_thread(void *arg)
{
	loop_run(G.loop);
	return NULL;
}
static void loop_start(void)
{
	running = true;
	pthread_create(&T, NULL, loop_thread, NULL);
}
static void loop_end(void)
{
	if (!running)
		return;
	loop_stop(G.loop);
	pthread_join(T, NULL);
	running = false;
}

static void restart(u64 features)
{
	virtio_rig_start(&G, 256, features & G.dev->features_offered);
}

static void start(bool ro, bool snapshot)
{
	struct blk_params p = { .path = img, .readonly = ro, .snapshot = snapshot, .engine = kind };
	struct virtio_dev *d;
	struct blk *b;
	struct err e;

	virtio_rig_up(&G, 2 * MIB);
	strcpy(img, "/var/tmp/mica-vblk-XXXXXX");
	int fd = mkstemp(img);
	for (unsigned i = 0; i < DISK / 512; i++) {
		u8 s[512];
		memset(s, (int)i, 512);
		assert_int_equal(write(fd, s, 512), 512);
	}
	close(fd);
	if (blk_open(&b, G.loop, &p, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(virtio_blk_new(&d, G.ram, G.loop, b, 2, "serial-0123", &e), 0);
	virtio_rig_take(&G, d);
	restart(FEATURES);
	loop_start();
}
static void finish(void)
{
	loop_end();
	virtio_rig_down(&G);
	unlink(img);
}

static void put_hdr(unsigned slot, u32 type, u64 sector)
{
	u8 *h = G.ram->host + HDRS + 32 * slot;
	st_le32(h, type);
	st_le32(h + 4, 0);
	st_le64(h + 8, sector);
	h[16] = 0xee; /* status */
}

/* Header in `slot`, data at gpa; in: the device writes it. */
static u16 add(struct vdriver *v, unsigned slot, u32 type, u64 sector, gpa_t gpa, u32 bytes, bool in)
{
	struct vdesc seg[3] = { { HDRS + 32 * slot, 16 }, { gpa, bytes }, { HDRS + 32 * slot + 16, 1 } };

	put_hdr(slot, type, sector);
	if (!bytes) {
		seg[1] = seg[2];
		in = true;
	}
	u16 head = vd_chain(v, seg, in ? 1 : 2, bytes ? (in ? 2 : 1) : 1);
	vd_avail(v, head);
	return head;
}

static u32 wait_used(struct vdriver *v, u32 *len)
{
	u32 id = UINT32_MAX, dummy;

	for (unsigned i = 0; i < 50000; i++) {
		if (vd_used(v, &id, len ? len : &dummy))
			return id;
		usleep(100);
	}
	fail_msg("no answer");
	return id;
}

/* One request, its status. */
static u8 req(u32 type, u64 sector, gpa_t gpa, u32 bytes, bool in)
{
	u16 head = add(&G.q[0], 0, type, sector, gpa, bytes, in);
	u32 len;

	vd_kick(&G.q[0]);
	assert_int_equal(wait_used(&G.q[0], &len), head);
	assert_int_equal(len, in ? bytes + 1 : 1);
	return G.ram->host[HDRS + 16];
}

static void test_rw(void **state)
{
	start(false, false);
	assert_int_equal(req(0, 5, BUF, 1024, true), OK);
	assert_int_equal(G.ram->host[BUF], 5);
	assert_int_equal(G.ram->host[BUF + 1023], 6);
	assert_true(virtio_rig_irqs(&G) > 0);
	memset(G.ram->host + BUF, 0x77, 4096);
	assert_int_equal(req(1, 100, BUF, 4096, false), OK);
	assert_int_equal(req(4, 0, 0, 0, true), OK);
	u8 b[4096];
	int fd = open(img, O_RDONLY);
	assert_int_equal(pread(fd, b, 4096, 51200), 4096);
	close(fd);
	assert_memory_equal(b, G.ram->host + BUF, 4096);
	/* serial, config */
	assert_int_equal(req(8, 0, BUF, 20, true), OK);
	assert_memory_equal(G.ram->host + BUF, "serial-0123\0\0\0\0\0\0\0\0\0", 20);
	G.dev->cls->cfg_read(G.dev, 0, b, 60);
	assert_int_equal(ld_le64(b), DISK / 512);
	assert_int_equal(ld_le32(b + 12), VIRTIO_CHAIN_MAX - 2);
	assert_int_equal(ld_le32(b + 20), 512);
	assert_int_equal(b[24], 3);
	assert_int_equal(ld_le16(b + 34), 2);
	assert_int_equal(ld_le32(b + 40), 16);
	assert_int_equal(b[56], 1);
	finish();
}

static void test_refused(void **state)
{
	start(false, false);
	assert_int_equal(req(0, DISK / 512, BUF, 512, true), IOERR);
	assert_int_equal(req(0, DISK / 512 - 1, BUF, 1024, true), IOERR);
	assert_int_equal(req(0, UINT64_MAX, BUF, 512, true), IOERR);
	assert_int_equal(req(0, 1ull << 55, BUF, 512, true), IOERR);
	assert_int_equal(req(1, DISK / 512, BUF, 512, false), IOERR);
	assert_int_equal(req(0, 0, BUF, 513, true), IOERR);
	assert_int_equal(req(1, 0, BUF, 100, false), IOERR);
	assert_int_equal(req(99, 0, BUF, 512, true), UNSUPP);
	assert_int_equal(req(2, 0, BUF, 512, false), UNSUPP);
	assert_int_equal(req(0, 0, BUF, 512, true), OK);
	/* without a status byte, or with half a header: a broken driver */
	struct vdesc seg[2] = { { HDRS, 16 }, { HDRS + 16, 1 } };
	vd_add(&G.q[0], seg, 1, 0);
	vd_kick(&G.q[0]);
	assert_true(G.dev->status & VIRTIO_S_NEEDS_RESET);
	restart(FEATURES);
	seg[0].len = 15;
	vd_add(&G.q[0], seg, 1, 1);
	vd_kick(&G.q[0]);
	assert_true(G.dev->status & VIRTIO_S_NEEDS_RESET);
	restart(FEATURES);
	assert_int_equal(req(0, 0, BUF, 512, true), OK);
	finish();
}

static u8 ranges(u32 type, const u64 (*r)[3], unsigned n, u32 bytes)
{
	for (unsigned i = 0; i < n; i++) {
		st_le64(G.ram->host + BUF + 16 * i, r[i][0]);
		st_le32(G.ram->host + BUF + 16 * i + 8, (u32)r[i][1]);
		st_le32(G.ram->host + BUF + 16 * i + 12, (u32)r[i][2]);
	}
	return req(type, 0, BUF, bytes ? bytes : 16 * n, false);
}

static void expect_zero(u64 sector, bool zero)
{
	assert_int_equal(req(0, sector, BUF + 0x1000, 512, true), OK);
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(G.ram->host[BUF + 0x1000 + i], zero ? 0 : (u8)sector);
}

static void test_ranges(void **state)
{
	for (int snap = 0; snap < 2; snap++) {
		start(false, snap);
		const u64 two[2][3] = { { 9, 3, 0 }, { 40, 300, 1 } };
		assert_int_equal(ranges(13, two, 2, 0), OK);
		expect_zero(8, false);
		expect_zero(9, true);
		expect_zero(11, true);
		expect_zero(12, false);
		expect_zero(39, false);
		expect_zero(40, true);
		expect_zero(339, true);
		expect_zero(340, false);
		const u64 d[1][3] = { { 64, 16, 0 } }, unmap[1][3] = { { 64, 16, 1 } }, odd[1][3] = { { 64, 16, 2 } },
			  out[2][3] = { { 500, 1, 0 }, { DISK / 512, 1, 0 } }, far[1][3] = { { UINT64_MAX, 8, 0 } },
			  big[1][3] = { { 0, 0xffffffff, 0 } };
		assert_int_equal(ranges(11, d, 1, 0), OK);
		assert_int_equal(ranges(11, unmap, 1, 0), UNSUPP);
		assert_int_equal(ranges(13, odd, 1, 0), UNSUPP);
		assert_int_equal(ranges(13, out, 2, 0), IOERR);
		expect_zero(500, false); /* none of it is done */
		assert_int_equal(ranges(13, far, 1, 0), IOERR);
		assert_int_equal(ranges(13, big, 1, 0), IOERR);
		assert_int_equal(ranges(13, d, 1, 15), IOERR);
		assert_int_equal(ranges(13, d, 1, 16 * 17), IOERR);
		/* not negotiated */
		loop_end();
		restart(0);
		loop_start();
		assert_int_equal(ranges(11, d, 1, 0), UNSUPP);
		assert_int_equal(ranges(13, d, 1, 0), UNSUPP);
		finish();
	}
}

static void test_readonly(void **state)
{
	start(true, false);
	assert_true(G.dev->features_offered >> 5 & 1);
	assert_false(G.dev->features_offered >> 13 & 1);
	assert_false(G.dev->features_offered >> 14 & 1);
	assert_int_equal(req(1, 0, BUF, 512, false), IOERR);
	assert_int_equal(req(0, 3, BUF, 512, true), OK);
	assert_int_equal(G.ram->host[BUF], 3);
	assert_int_equal(req(4, 0, 0, 0, true), OK);
	finish();
}

static void test_snapshot(void **state)
{
	start(false, true);
	memset(G.ram->host + BUF, 0x99, 1024);
	assert_int_equal(req(1, 7, BUF, 1024, false), OK);
	assert_int_equal(req(4, 0, 0, 0, true), OK);
	assert_int_equal(req(0, 6, BUF, 2048, true), OK); /* image, new, new, image */
	assert_int_equal(G.ram->host[BUF], 6);
	assert_int_equal(G.ram->host[BUF + 512], 0x99);
	assert_int_equal(G.ram->host[BUF + 1535], 0x99);
	assert_int_equal(G.ram->host[BUF + 1536], 9);
	u8 b[2048];
	int fd = open(img, O_RDONLY);
	assert_int_equal(pread(fd, b, 2048, 6 * 512), 2048);
	close(fd);
	for (unsigned i = 0; i < 2048; i++)
		assert_int_equal(b[i], 6 + i / 512);
	finish();
}

/* Any cut into descriptors is legal (2.6.4.1): header and status anywhere in the byte stream. */
static void test_layouts(void **state)
{
	start(false, false);
	put_hdr(0, 1, 20);
	memset(G.ram->host + BUF, 0x31, 1024);
	struct vdesc w[] = { { HDRS, 7 }, { HDRS + 7, 9 }, { BUF, 1 }, { BUF + 1, 511 }, { HDRS + 16, 1 } };
	vd_add(&G.q[0], w, 4, 1);
	vd_kick(&G.q[0]);
	wait_used(&G.q[0], NULL);
	assert_int_equal(G.ram->host[HDRS + 16], OK);
	/* header and data in one segment */
	memcpy(G.ram->host + BUF - 16, G.ram->host + HDRS, 16);
	st_le64(G.ram->host + BUF - 8, 21);
	struct vdesc w1[] = { { BUF - 16, 16 + 512 }, { HDRS + 16, 1 } };
	vd_add(&G.q[0], w1, 1, 1);
	vd_kick(&G.q[0]);
	wait_used(&G.q[0], NULL);
	assert_int_equal(G.ram->host[HDRS + 16], OK);
	/* data and status in one segment */
	put_hdr(0, 0, 20);
	memset(G.ram->host + BUF, 0, 2048);
	struct vdesc r[] = { { HDRS, 16 }, { BUF, 100 }, { BUF + 100, 925 } };
	vd_add(&G.q[0], r, 1, 2);
	vd_kick(&G.q[0]);
	u32 len;
	wait_used(&G.q[0], &len);
	assert_int_equal(len, 1025);
	for (unsigned i = 0; i < 1024; i++)
		assert_int_equal(G.ram->host[BUF + i], 0x31);
	assert_int_equal(G.ram->host[BUF + 1024], OK);
	finish();
}

/* Two full rings at once, then each answered once. */
static void test_full_rings(void **state)
{
	start(false, false);
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < 85; i++)
			add(&G.q[0], i, i % 2, i * 2, BUF + 1024 * i, 1024, i % 2 == 0);
		for (unsigned i = 0; i < 21; i++)
			add(&G.q[1], 100 + i, 0, 1000 + i, BUF + 1024 * (100 + i), 512, true);
		vd_kick(&G.q[0]);
		vd_kick(&G.q[1]);
		for (unsigned i = 0; i < 85; i++)
			wait_used(&G.q[0], NULL);
		for (unsigned i = 0; i < 21; i++)
			wait_used(&G.q[1], NULL);
		for (unsigned i = 0; i < 121; i++)
			assert_int_equal(G.ram->host[HDRS + 32 * i + 16], i < 85 || i >= 100 ? OK : 0);
		assert_int_equal(G.ram->host[BUF + 1024 * 110], (u8)(1000 + 10));
	}
	finish();
}

/* Nobody runs the loop: what the page cache has must be there when the notification returns. */
static void test_inline(void **state)
{
	start(false, false);
	loop_end();
	u8 b[512];
	struct iovec iov = { b, sizeof(b) };
	int fd = open(img, O_RDONLY);
	ssize_t n = preadv2(fd, &iov, 1, 0, RWF_NOWAIT);
	close(fd);
	if (n == 512) {
		add(&G.q[0], 0, 0, 9, BUF, 4096, true);
		vd_kick(&G.q[0]);
		assert_int_equal(vd_used_idx(&G.q[0]), 1);
		assert_int_equal(G.ram->host[HDRS + 16], OK);
		assert_int_equal(G.ram->host[BUF], 9);
		assert_int_equal(virtio_rig_irqs(&G), 1);
	}
	finish();
}

/* Without FLUSH negotiated a write is on the disk before it is answered. */
static void test_writethrough(void **state)
{
	start(false, false);
	loop_end();
	restart(0);
	loop_start();
	syncs = 0;
	assert_int_equal(req(1, 1, BUF, 512, false), OK);
	if (kind == BLK_ENGINE_POOL)
		assert_int_equal(syncs, 1);
	loop_end();
	restart(FEATURES);
	loop_start();
	syncs = 0;
	assert_int_equal(req(1, 1, BUF, 512, false), OK);
	assert_int_equal(syncs, 0);
	finish();
}

/* Reset with requests in flight: none of them touches rings or status afterwards. */
static void test_reset_in_flight(void **state)
{
	start(false, false);
	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < 60; i++)
			add(&G.q[0], i, i % 3 == 2 ? 4 : i % 3, i * 8, BUF + 4096 * i, i % 3 == 2 ? 0 : 4096,
			    i % 3 == 0);
		vd_kick(&G.q[0]);
		if (round % 4 == 1)
			usleep(200);
		virtio_lock(G.dev);
		virtio_set_status(G.dev, 0);
		virtio_unlock(G.dev);
		memset(G.ram->host + RIG_RINGS, 0x5a, 0x4000);
		memset(G.ram->host + HDRS, 0x5a, 0x1000);
		memset(G.ram->host + BUF, 0x5a, 60 * 4096);
		if (round % 16 == 0)
			usleep(2000);
		for (unsigned i = 0; i < 0x4000; i++)
			assert_int_equal(G.ram->host[RIG_RINGS + i], 0x5a);
		for (unsigned i = 0; i < 0x1000; i++)
			assert_int_equal(G.ram->host[HDRS + i], 0x5a);
		for (unsigned i = 0; i < 60 * 4096; i++)
			if (G.ram->host[BUF + i] != 0x5a)
				fail_msg("memory written after reset");
		restart(FEATURES);
	}
	assert_int_equal(req(1, 0, BUF, 512, false), OK);
	finish();
}

/* The host fails a disk: the operator hears which one, why and what to do, and not of each request. */
static void test_host_errors(void **state)
{
	char text[8192] = "";
	int p[2], saved = dup(2);

	(void)state;
	start(false, false);
	assert_int_equal(truncate(img, 512), 0);
	assert_int_equal(pipe(p), 0);
	dup2(p[1], 2);
	for (unsigned i = 0; i < 150; i++)
		if (req(0, 8, BUF, 4096, true) != IOERR)
			break;
	dup2(saved, 2);
	close(saved);
	close(p[1]);
	assert_true(read(p[0], text, sizeof(text) - 1) > 0);
	close(p[0]);
	unsigned lines = 0;
	for (char *c = text; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 3);
	assert_non_null(strstr(text, img));
	assert_non_null(
	    strstr(text, "a read of 4096 bytes at 4096: Input/output error (errno 5); the host's storage fails, or "
			 "the image became shorter: look at the host's kernel log"));
	assert_non_null(strstr(text, "1 such error so far, the next line comes at 10\n"));
	assert_non_null(strstr(text, "100 such errors so far, the next line comes at 1000\n"));
	assert_null(strstr(text, "guest"));
	finish();
}

/* Freed with requests in flight. */
static void test_free_in_flight(void **state)
{
	for (unsigned round = 0; round < 20; round++) {
		start(false, round & 1);
		for (unsigned i = 0; i < 60; i++)
			add(&G.q[0], i, i % 2, i * 8, BUF + 4096 * i, 4096, i % 2 == 0);
		vd_kick(&G.q[0]);
		finish();
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rw),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_readonly),
		cmocka_unit_test(test_snapshot),
		cmocka_unit_test(test_layouts),
		cmocka_unit_test(test_full_rings),
		cmocka_unit_test(test_inline),
		cmocka_unit_test(test_writethrough),
		cmocka_unit_test(test_reset_in_flight),
		cmocka_unit_test(test_free_in_flight),
		cmocka_unit_test(test_host_errors),
	};
	kind = argc > 1 && !strcmp(argv[1], "threads") ? BLK_ENGINE_POOL : BLK_ENGINE_AUTO;
	return cmocka_run_group_tests_name("virtio-blk", tests, NULL, NULL);
}
