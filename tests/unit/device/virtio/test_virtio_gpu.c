/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_virtio_gpu.c - the display device as a driver uses it, and as one that wishes it harm: a picture from scattered
 * pages to the screen, the cursor on top of it, sizes, bounds, reset, saved and loaded.
 */
#include "base/state.h"
#include "device/display/screen.h"
#include "device/virtio/virtio_devices.h"
#include "device/virtio/virtio_gpu.h"
#include "device/virtio/virtio_transport.h"
#include "virtio_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <sys/mman.h>

#define CMD 0x40000ull
#define ANSWER 0x50000ull
#define PAGES 0x100000ull /* of a picture: a page, a hole of one, the next ... */

static struct virtio_rig r;
static const struct screen *s;
static struct screen_frame f;
static u32 row[SCREEN_WIDTH_MAX];

static int up(void **state)
{
	virtio_rig_up(&r, 16 * MIB);
	virtio_rig_take(&r, virtio_gpu_new(r.ram, r.loop));
	virtio_rig_start(&r, 64, 1ull << 1);
	s = virtio_gpu_screen(r.dev);
	return 0;
}

static int down(void **state)
{
	virtio_rig_down(&r);
	return 0;
}

/* A command of n words after its header; the answer's type. */
static u32 asks(unsigned q, u32 type, const u32 *words, unsigned n)
{
	const struct vdesc seg[] = { { .addr = CMD, .len = 24 + 4 * n }, { .addr = ANSWER, .len = 2048 } };
	u8 *c = r.ram->host + CMD;
	u32 id, len;

	memset(c, 0, 24);
	st_le32(c, type);
	for (unsigned i = 0; i < n; i++)
		st_le32(c + 24 + 4 * i, words[i]);
	st_le32(r.ram->host + ANSWER, 0);
	vd_add(&r.q[q], seg, 1, 1);
	vd_kick(&r.q[q]);
	for (unsigned i = 0; !vd_used(&r.q[q], &id, &len); i++) {
		assert_true(i < 1000);
		virtio_rig_spin(&r);
	}
	assert_true(len >= 24);
	return ld_le32(r.ram->host + ANSWER);
}

#define ASK(q, type, ...) asks(q, type, (const u32[]){ __VA_ARGS__ }, sizeof((const u32[]){ __VA_ARGS__ }) / 4)

static u32 pixel(unsigned x, unsigned y)
{
	return (x * 7 + y * 1024 + 3) & 0xffffff;
}

static gpa_t at(u32 off)
{
	return PAGES + off / 4096 * 8192 + off % 4096;
}

/* 100 x 60 pixels, 24,000 bytes: six pages, of which no two are neighbours. */
static void draws(void)
{
	u32 words[2 + 4 * 6] = { 5, 6 };

	for (unsigned i = 0; i < 100 * 60; i++)
		st_le32(r.ram->host + at(4 * i), pixel(i % 100, i / 100));
	assert_int_equal(ASK(0, GPU_RESOURCE_CREATE_2D, 5, 2, 100, 60), GPU_OK_NODATA);
	for (unsigned i = 0; i < 6; i++) {
		words[2 + 4 * i] = (u32)PAGES + 8192 * i;
		words[4 + 4 * i] = 4096;
	}
	assert_int_equal(asks(0, GPU_ATTACH_BACKING, words, ARRAY_LEN(words)), GPU_OK_NODATA);
}

static void shows(void)
{
	draws();
	assert_int_equal(ASK(0, GPU_SET_SCANOUT, 0, 0, 100, 60, 0, 5), GPU_OK_NODATA);
	assert_int_equal(ASK(0, GPU_TRANSFER_TO_HOST_2D, 0, 0, 100, 60, 0, 0, 5, 0), GPU_OK_NODATA);
	assert_int_equal(ASK(0, GPU_RESOURCE_FLUSH, 0, 0, 100, 60, 5, 0), GPU_OK_NODATA);
}

static void sees(u32 (*wanted)(unsigned x, unsigned y))
{
	s->frame(s->opaque, &f);
	assert_true(f.width == 100 && f.height == 60 && !f.bytes);
	for (unsigned y = 0; y < 60; y++) {
		s->line(&f, y, row);
		for (unsigned x = 0; x < 100; x++)
			if (row[x] != wanted(x, y))
				fail_msg("%u, %u: %06x, not %06x", x, y, row[x], wanted(x, y));
	}
}

static void sees_nothing(void)
{
	s->frame(s->opaque, &f);
	s->line(&f, 7, row);
	assert_true(f.width == 640 && f.height == 400 && !row[0] && !row[639]);
}

static void test_picture(void **state)
{
	unsigned first, last;

	sees_nothing();
	shows();
	sees(pixel);
	assert_true(s->changed(s->opaque));
	assert_false(s->changed(s->opaque));
	s->lines(s->opaque, &first, &last);
	/* Only what is flushed is seen, and told of. */
	st_le32(r.ram->host + at(4 * (20 * 100 + 30)), 0xabcdef);
	assert_int_equal(ASK(0, GPU_TRANSFER_TO_HOST_2D, 30, 20, 2, 3, 4 * (20 * 100 + 30), 0, 5, 0), GPU_OK_NODATA);
	sees(pixel);
	assert_false(s->changed(s->opaque));
	assert_int_equal(ASK(0, GPU_RESOURCE_FLUSH, 29, 19, 5, 5, 5, 0), GPU_OK_NODATA);
	assert_true(s->changed(s->opaque));
	s->lines(s->opaque, &first, &last);
	assert_true(first == 19 && last == 24);
	s->line(&f, 20, row);
	assert_true(row[29] == pixel(29, 20) && row[30] == 0xabcdef);
	/* A scanout that is a part of it. */
	assert_int_equal(ASK(0, GPU_SET_SCANOUT, 30, 20, 16, 8, 0, 5), GPU_OK_NODATA);
	s->frame(s->opaque, &f);
	s->line(&f, 0, row);
	assert_true(f.width == 16 && f.height == 8 && row[0] == 0xabcdef && row[1] == pixel(31, 20));
	assert_int_equal(ASK(0, GPU_RESOURCE_UNREF, 5, 0), GPU_OK_NODATA);
	sees_nothing();
}

/* The other seven ways to write a pixel, as bytes in memory. */
static void test_formats(void **state)
{
	static const struct {
		u32 format;
		u8 bytes[4];
	} ways[] = { { 1, { 3, 2, 1, 9 } },  { 3, { 9, 1, 2, 3 } },   { 4, { 9, 1, 2, 3 } },  { 67, { 1, 2, 3, 9 } },
		     { 68, { 9, 3, 2, 1 } }, { 121, { 9, 3, 2, 1 } }, { 134, { 1, 2, 3, 9 } } };

	for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
		memcpy(r.ram->host + PAGES, ways[i].bytes, 4);
		assert_int_equal(ASK(0, GPU_RESOURCE_CREATE_2D, 9, ways[i].format, 1, 1), GPU_OK_NODATA);
		assert_int_equal(ASK(0, GPU_ATTACH_BACKING, 9, 1, PAGES, 0, 4, 0), GPU_OK_NODATA);
		assert_int_equal(ASK(0, GPU_TRANSFER_TO_HOST_2D, 0, 0, 1, 1, 0, 0, 9, 0), GPU_OK_NODATA);
		assert_int_equal(ASK(0, GPU_SET_SCANOUT, 0, 0, 1, 1, 0, 9), GPU_OK_NODATA);
		s->frame(s->opaque, &f);
		s->line(&f, 0, row);
		if (row[0] != 0x010203)
			fail_msg("format %u: %06x", ways[i].format, row[0]);
		assert_int_equal(ASK(0, GPU_RESOURCE_UNREF, 9, 0), GPU_OK_NODATA);
	}
}

static void test_cursor(void **state)
{
	u32 v = pixel(9, 9);

	shows();
	/* 64 x 64, transparent but for a blue pixel in its corner. */
	memset(r.ram->host + 0x200000, 0, 64 * 64 * 4);
	st_le32(r.ram->host + 0x200000, 0xff0000ff);
	assert_int_equal(ASK(0, GPU_RESOURCE_CREATE_2D, 6, 1, 64, 64), GPU_OK_NODATA);
	assert_int_equal(ASK(0, GPU_ATTACH_BACKING, 6, 1, 0x200000, 0, 64 * 64 * 4, 0), GPU_OK_NODATA);
	assert_int_equal(ASK(0, GPU_TRANSFER_TO_HOST_2D, 0, 0, 64, 64, 0, 0, 6, 0), GPU_OK_NODATA);
	assert_int_equal(ASK(1, GPU_UPDATE_CURSOR, 0, 10, 12, 0, 6, 2, 3, 0), GPU_OK_NODATA);
	s->frame(s->opaque, &f);
	s->line(&f, 9, row);
	assert_true(row[8] == 0x0000ff && row[9] == v && row[7] == pixel(7, 9));
	/* Beyond the edges. */
	static const u32 wild[] = { 0, 1, 99, 100, 0x7fffffff, 0x80000000, 0xffffffff, 0xffffffc0 };
	for (unsigned i = 0; i < 64; i++) {
		assert_int_equal(ASK(1, GPU_MOVE_CURSOR, 0, wild[i % 8], wild[i / 8], 0, 0, 0, 0, 0), GPU_OK_NODATA);
		s->frame(s->opaque, &f);
		for (unsigned y = 0; y < 60; y++)
			s->line(&f, y, row);
	}
	assert_int_equal(ASK(1, GPU_UPDATE_CURSOR, 0, 10, 12, 0, 0, 0, 0, 0), GPU_OK_NODATA);
	sees(pixel);
	assert_int_equal(ASK(1, GPU_UPDATE_CURSOR, 1, 0, 0, 0, 6, 0, 0, 0), GPU_ERR_SCANOUT);
	assert_int_equal(ASK(1, GPU_RESOURCE_UNREF, 6, 0), GPU_ERR_UNSPEC); /* of the other queue */
}

static void test_size(void **state)
{
	const u8 *a = r.ram->host + ANSWER;
	u8 cfg[16], sum = 0;

	assert_int_equal(asks(0, GPU_GET_DISPLAY_INFO, NULL, 0), GPU_OK_DISPLAY_INFO);
	assert_true(ld_le32(a + 32) == 1024 && ld_le32(a + 36) == 768 && ld_le32(a + 40) == 1 && !ld_le32(a + 64));
	virtio_gpu_resize(r.dev, 1603, 905);
	assert_int_equal(r.cfg_irqs, 1);
	r.dev->cls->cfg_read(r.dev, 0, cfg, 16);
	assert_true(ld_le32(cfg) == 1 && ld_le32(cfg + 8) == 1);
	r.dev->cls->cfg_write(r.dev, 4, "\1\0\0\0", 4);
	r.dev->cls->cfg_read(r.dev, 0, cfg, 16);
	assert_int_equal(ld_le32(cfg), 0);
	assert_int_equal(asks(0, GPU_GET_DISPLAY_INFO, NULL, 0), GPU_OK_DISPLAY_INFO);
	assert_true(ld_le32(a + 32) == 1600 && ld_le32(a + 36) == 905);
	assert_int_equal(ASK(0, GPU_GET_EDID, 0, 0), GPU_OK_EDID);
	assert_int_equal(ld_le32(a + 24), 128);
	for (unsigned i = 0; i < 128; i++)
		sum = (u8)(sum + a[32 + i]);
	assert_int_equal(sum, 0);
	assert_int_equal(a[32 + 54 + 2] | (a[32 + 54 + 4] & 0xf0) << 4, 1600);
	assert_int_equal(a[32 + 54 + 5] | (a[32 + 54 + 7] & 0xf0) << 4, 905);
	assert_int_equal(ASK(0, GPU_GET_EDID, 1, 0), GPU_ERR_SCANOUT);
	virtio_gpu_resize(r.dev, 1, 99999);
	assert_int_equal(asks(0, GPU_GET_DISPLAY_INFO, NULL, 0), GPU_OK_DISPLAY_INFO);
	assert_true(ld_le32(a + 32) == 64 && ld_le32(a + 36) == SCREEN_HEIGHT_MAX);
}

static void test_bounds(void **state)
{
	assert_int_equal(ASK(0, GPU_RESOURCE_CREATE_2D, 0, 1, 8, 8), GPU_ERR_RESOURCE);
	assert_int_equal(ASK(0, GPU_RESOURCE_CREATE_2D, 1, 5, 8, 8), GPU_ERR_PARAMETER);
	assert_int_equal(ASK(0, GPU_RESOURCE_CREATE_2D, 1, 1, 0, 8), GPU_ERR_PARAMETER);
	assert_int_equal(ASK(0, GPU_RESOURCE_CREATE_2D, 1, 1, 0x80000001, 0x80000001), GPU_ERR_PARAMETER);
	assert_int_equal(ASK(0, GPU_RESOURCE_CREATE_2D, 1, 1, 8192, 8192), GPU_ERR_OUT_OF_MEMORY);
	for (u32 i = 1; i <= 4; i++)
		assert_int_equal(ASK(0, GPU_RESOURCE_CREATE_2D, i, 1, 4096, 1024), GPU_OK_NODATA);
	assert_int_equal(ASK(0, GPU_RESOURCE_CREATE_2D, 5, 1, 8, 8), GPU_ERR_OUT_OF_MEMORY);
	assert_int_equal(ASK(0, GPU_RESOURCE_CREATE_2D, 4, 1, 8, 8), GPU_ERR_RESOURCE);
	for (u32 i = 1; i <= 4; i++)
		assert_int_equal(ASK(0, GPU_RESOURCE_UNREF, i, 0), GPU_OK_NODATA);
	for (u32 i = 1; i <= GPU_RESOURCES_MAX; i++)
		assert_int_equal(ASK(0, GPU_RESOURCE_CREATE_2D, i, 1, 8, 8), GPU_OK_NODATA);
	assert_int_equal(ASK(0, GPU_RESOURCE_CREATE_2D, 99, 1, 8, 8), GPU_ERR_OUT_OF_MEMORY);
	/* Pages: none, more than there are in the command, twice, outside of memory. */
	assert_int_equal(ASK(0, GPU_ATTACH_BACKING, 1, 0), GPU_ERR_PARAMETER);
	assert_int_equal(ASK(0, GPU_ATTACH_BACKING, 1, 0xffffffff, PAGES, 0, 4096, 0), GPU_ERR_PARAMETER);
	assert_int_equal(ASK(0, GPU_TRANSFER_TO_HOST_2D, 0, 0, 8, 8, 0, 0, 1, 0), GPU_ERR_UNSPEC);
	assert_int_equal(ASK(0, GPU_ATTACH_BACKING, 1, 1, 0, 0x7fff, 4096, 0), GPU_OK_NODATA);
	assert_int_equal(ASK(0, GPU_ATTACH_BACKING, 1, 1, PAGES, 0, 4096, 0), GPU_ERR_UNSPEC);
	assert_int_equal(ASK(0, GPU_TRANSFER_TO_HOST_2D, 0, 0, 8, 8, 0, 0, 1, 0), GPU_ERR_UNSPEC);
	assert_int_equal(ASK(0, GPU_DETACH_BACKING, 1, 0), GPU_OK_NODATA);
	assert_int_equal(ASK(0, GPU_ATTACH_BACKING, 1, 2, PAGES, 0, 16, 0, PAGES, 0, 0xffffffff, 0), GPU_OK_NODATA);
	assert_int_equal(ASK(0, GPU_TRANSFER_TO_HOST_2D, 0, 0, 8, 8, 0, 0, 1, 0), GPU_OK_NODATA);
	assert_int_equal(ASK(0, GPU_TRANSFER_TO_HOST_2D, 0, 0, 8, 8, 0xfffffff0, 0xffffffff, 1, 0), GPU_ERR_UNSPEC);
	/* Rectangles. */
	assert_int_equal(ASK(0, GPU_TRANSFER_TO_HOST_2D, 1, 0, 8, 8, 0, 0, 1, 0), GPU_ERR_PARAMETER);
	assert_int_equal(ASK(0, GPU_RESOURCE_FLUSH, 0xffffffff, 0, 2, 1, 1, 0), GPU_ERR_PARAMETER);
	assert_int_equal(ASK(0, GPU_SET_SCANOUT, 0, 0, 9, 8, 0, 1), GPU_ERR_PARAMETER);
	assert_int_equal(ASK(0, GPU_SET_SCANOUT, 0, 0, 8, 8, 1, 1), GPU_ERR_SCANOUT);
	assert_int_equal(ASK(0, GPU_SET_SCANOUT, 0, 0, 8, 8, 0, 98), GPU_ERR_RESOURCE);
	assert_int_equal(ASK(0, GPU_RESOURCE_FLUSH, 0, 0), GPU_ERR_UNSPEC); /* cut short */
	assert_int_equal(ASK(0, 0x10b, 0, 0), GPU_ERR_UNSPEC);
	assert_int_equal(ASK(0, 0x1ff, 0, 0), GPU_ERR_UNSPEC);
	sees_nothing();
	/* A reset forgets all of it. */
	virtio_rig_start(&r, 64, 0);
	assert_int_equal(ASK(0, GPU_RESOURCE_UNREF, 1, 0), GPU_ERR_RESOURCE);
}

static void test_fence(void **state)
{
	const struct vdesc seg[] = { { .addr = CMD, .len = 24 }, { .addr = ANSWER, .len = 24 } };
	u8 *c = r.ram->host + CMD, *a = r.ram->host + ANSWER;

	memset(c, 0, 24);
	st_le32(c, GPU_GET_DISPLAY_INFO);
	st_le32(c + 4, 1);
	st_le64(c + 8, 0x1122334455667788);
	vd_add(&r.q[0], seg, 1, 1);
	vd_kick(&r.q[0]);
	assert_true(ld_le32(a + 4) == 1 && ld_le64(a + 8) == 0x1122334455667788);
}

static void test_saved(void **state)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_file *file;
	struct err e;

	shows();
	assert_int_equal(state_save_new(&file, fd, &e), 0);
	assert_int_equal(state_section(file, "virtio", 0, 1, &e), 0);
	assert_true(virtio_quiesce(r.dev));
	virtio_state(r.dev, file);
	assert_int_equal(state_end(file, &e), 0);
	assert_int_equal(state_finish(file, &e), 0);
	state_free(file);
	struct virtio_dev *was = r.dev;
	virtio_rig_take(&r, virtio_gpu_new(r.ram, r.loop));
	s = virtio_gpu_screen(r.dev);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(state_load_new(&file, fd, &e), 0);
	assert_int_equal(state_section(file, "virtio", 0, 1, &e), 0);
	virtio_state(r.dev, file);
	assert_int_equal(state_end(file, &e), 0);
	state_free(file);
	close(fd);
	virtio_free(was);
	/* From its pages again. */
	assert_true(s->changed(s->opaque));
	sees(pixel);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_picture), T(test_formats), T(test_cursor), T(test_size),
		T(test_bounds),  T(test_fence),   T(test_saved),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
