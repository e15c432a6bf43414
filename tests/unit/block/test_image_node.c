/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_image_node.c - disks in images that a process of its own parses: against a model, with mica-image itself and
 * with one that has a format of its own (tests/fake/); many requests at a time on the same clusters; what comes of a
 * process that dies, lies or says nothing; and a data path on which nothing is allocated.
 */
#include "base/clock.h"
#include "block/format.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DISK (4 * MIB)
#define AT_A_TIME 64u

static struct loop *L;
static char dir[64], img[96], img2[96];

static bool counting;
static unsigned allocations;
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_malloc(size_t n)
{
	if (__atomic_load_n(&counting, __ATOMIC_RELAXED))
		__atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
	return __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t m)
{
	if (__atomic_load_n(&counting, __ATOMIC_RELAXED))
		__atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
	return __real_calloc(n, m);
}

/* Opened by the process, under the names that it knows. */
static const struct blk_format raw_by_process = {
	.name = "raw",
	.title = "raw, through mica-image",
	.options = image_node_options,
	.open = image_node_open,
};

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/var/tmp/mica-image-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(img, sizeof(img), "%s/disk.img", dir);
	snprintf(img2, sizeof(img2), "%s/other.img", dir);
	assert_int_equal(loop_new(&L, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(img);
	unlink(img2);
	rmdir(dir);
	loop_free(L);
	return 0;
}

static const char *at = img;

static void make(const void *head, size_t n, u64 bytes)
{
	int fd = open(at, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	assert_int_equal(pwrite(fd, head, n, 0), n);
	close(fd);
}

static struct blk *open_with(const char *helpers, bool readonly)
{
	struct blk_params p = { .path = at, .readonly = readonly };
	struct blk *b;
	struct err e = { 0 };

	setenv("MICA_HELPER_DIR", helpers, 1);
	if (blk_open_format(&b, L, &raw_by_process, &p, &e) < 0)
		fail_msg("%s", e.msg);
	return b;
}

/* mode: how the fake answers. */
static struct blk *open_fake(const char *mode)
{
	make(mode, strlen(mode) + 1, 4096);
	return open_with(FAKE_DIR, false);
}

static struct blk *open_real(u64 bytes, bool readonly)
{
	make("", 1, bytes);
	return open_with(REAL_DIR, readonly);
}

static void on_done(struct blk_req *r, int res)
{
	*(int *)r->opaque = res;
}

/* Nobody runs the loop: blk_drain() completes. */
static int io(struct blk *b, enum blk_op op, u64 off, u64 bytes, void *buf)
{
	int res = 1;
	struct iovec iov[3] = { { buf, bytes / 3 },
				{ (u8 *)buf + bytes / 3, 0 },
				{ (u8 *)buf + bytes / 3, bytes - bytes / 3 } };
	bool data = op == BLK_READ || op == BLK_WRITE;
	struct blk_req r = {
		.op = op, .off = off, .bytes = bytes, .iov = iov, .niov = data ? 3 : 0, .may_unmap = off & 512
	};

	r.done = on_done;
	r.opaque = &res;
	blk_submit(b, &r);
	blk_drain(b);
	assert_int_not_equal(res, 1);
	assert_true(r.op == op && r.off == off && r.bytes == bytes && r.niov == (data ? 3 : 0));
	return res;
}

static u32 seed = 1;
static u32 rnd(u32 n)
{
	seed = seed * 1664525u + 1013904223u;
	return (u32)((u64)(seed >> 4) * n >> 28);
}

/* One request at a time, of any place and length. */
static void against_model(struct blk *b, u8 *model, unsigned rounds)
{
	auto_free u8 *buf = malloc(DISK);

	for (unsigned i = 0; i < rounds; i++) {
		u32 most = rnd(8) ? 300 : 3000;
		u64 off = rnd(DISK / 512 - 1), n = 1 + rnd((u32)MIN(DISK / 512 - off, most));
		off *= 512;
		n *= 512;
		switch (rnd(7)) {
		default:
			memset(buf, 0xa5, n);
			assert_int_equal(io(b, BLK_READ, off, n, buf), 0);
			assert_memory_equal(buf, model + off, n);
			break;
		case 3:
		case 4:
			for (u64 k = 0; k < n; k++)
				buf[k] = (u8)(rnd(256) | 1);
			memcpy(model + off, buf, n);
			assert_int_equal(io(b, BLK_WRITE, off, n, buf), 0);
			break;
		case 5:
			memset(model + off, 0, n);
			assert_int_equal(io(b, BLK_WRITE_ZEROES, off, n, NULL), 0);
			break;
		case 6:
			assert_int_equal(io(b, BLK_FLUSH, 0, 0, NULL), 0);
			break;
		}
	}
	assert_int_equal(io(b, BLK_READ, 0, DISK, buf), 0);
	assert_memory_equal(buf, model, DISK);
}

static void test_mica_image(void **state)
{
	auto_free u8 *model = calloc(1, DISK), *buf = calloc(1, DISK + 512);
	struct blk *b = open_real(DISK, false);

	(void)state;
	assert_int_equal(blk_bytes(b), DISK);
	assert_true(blk_can_discard(b) && blk_mtime_ns(b) && !blk_readonly(b));
	against_model(b, model, 300);
	blk_close(b);
	/* The file is what it was meant to be, and by another process too. */
	int fd = open(img, O_RDONLY);
	assert_int_equal(pread(fd, buf, DISK, 0), DISK);
	close(fd);
	assert_memory_equal(buf, model, DISK);
	b = open_with(REAL_DIR, true);
	assert_int_equal(io(b, BLK_READ, 0, DISK, buf), 0);
	assert_memory_equal(buf, model, DISK);
	assert_int_equal(io(b, BLK_WRITE, 0, 512, buf), -EROFS);
	assert_int_equal(io(b, BLK_FLUSH, 0, 0, NULL), 0);
	blk_close(b);
	/* A last sector that is cut short. */
	b = open_real(DISK - 100, false);
	assert_int_equal(blk_bytes(b), DISK);
	memset(buf, 1, DISK);
	assert_int_equal(io(b, BLK_READ, 0, DISK, buf), 0);
	assert_true(!buf[0] && !memcmp(buf, buf + 1, DISK - 1));
	blk_close(b);
}

static void test_fake(void **state)
{
	auto_free u8 *model = calloc(1, DISK);
	struct blk *b = open_fake("good");

	(void)state;
	against_model(b, model, 800);
	assert_int_equal(blk_errors(b), 0);
	blk_close(b);
	b = open_fake("shrink"); /* the shared memory stays as long as it is */
	assert_int_equal(io(b, BLK_READ, 0, 4096, model), 0);
	blk_close(b);
}

/* Requests that share clusters, and not their sectors, all at once: each has sectors of its own in every cluster. */
struct one {
	struct blk_req r;
	struct iovec iov;
	u8 data[1024];
	int res;
	u64 off;
};

static void submit_many(struct blk *b, struct one *o, u8 *model, bool plug)
{
	for (unsigned i = 0; i < AT_A_TIME; i++, o++) {
		o->off = rnd(DISK / (64 * KIB)) * 64 * KIB + i * 1024;
		unsigned what = rnd(5);
		blk_req_init(&o->r, on_done);
		o->r.op = what < 2 ? BLK_READ : what < 4 ? BLK_WRITE : BLK_WRITE_ZEROES;
		o->r.off = o->off;
		o->r.bytes = sizeof(o->data);
		o->iov = (struct iovec){ o->data, sizeof(o->data) };
		o->r.iov = &o->iov;
		o->r.niov = 1;
		o->r.opaque = &o->res;
		o->res = 1;
		if (o->r.op != BLK_READ)
			for (unsigned k = 0; k < sizeof(o->data); k++)
				model[o->off + k] = o->data[k] = o->r.op == BLK_WRITE ? (u8)(rnd(256) | 1) : 0;
		if (plug && i % 8 == 0)
			blk_plug(b);
		blk_submit(b, &o->r);
		if (plug && i % 8 == 7)
			blk_unplug(b);
	}
}

static void many_at_a_time(struct blk *b, unsigned rounds, bool count)
{
	auto_free u8 *model = calloc(1, DISK), *buf = malloc(DISK);
	auto_free struct one *all = calloc(AT_A_TIME, sizeof(*all));

	for (unsigned n = 0; n < rounds; n++) {
		counting = count && n > 2;
		submit_many(b, all, model, n % 2);
		blk_drain(b);
		counting = false;
		for (unsigned i = 0; i < AT_A_TIME; i++) {
			assert_int_equal(all[i].res, 0);
			if (all[i].r.op == BLK_READ)
				assert_memory_equal(all[i].data, model + all[i].off, sizeof(all[i].data));
		}
	}
	assert_int_equal(io(b, BLK_READ, 0, DISK, buf), 0);
	assert_memory_equal(buf, model, DISK);
}

static void test_many(void **state)
{
	struct blk *b = open_fake("good");

	(void)state;
	many_at_a_time(b, 80, false);
	blk_close(b);
	b = open_real(DISK, false);
	many_at_a_time(b, 30, false);
	blk_close(b);
	b = open_fake("late");
	many_at_a_time(b, 2, false);
	blk_close(b);
}

static void test_nothing_is_allocated(void **state)
{
	struct blk *b = open_fake("good");

	(void)state;
	allocations = 0;
	many_at_a_time(b, 20, true);
	assert_int_equal(allocations, 0);
	blk_close(b);
}

/* Whatever it says, requests end, nothing else of this process suffers, and the disk says so. */
static void test_lies(void **state)
{
	static const char *const modes[] = {
		"empty", "long", "odd", "place", "file", "kind", "errno", "die", "unasked"
	};
	u8 buf[4096] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		struct blk *b = open_fake(modes[i]);
		at = img2;
		struct blk *other = open_fake("good");
		at = img;
		assert_int_equal(io(b, BLK_READ, 65536, sizeof(buf), buf), -EIO);
		assert_int_equal(io(b, BLK_WRITE, 65536, sizeof(buf), buf), -EIO); /* for good */
		assert_int_equal(blk_errors(b), 2);
		assert_int_equal(io(other, BLK_WRITE, 65536, sizeof(buf), buf), 0);
		blk_close(b);
		blk_close(other);
	}
	struct blk *b = open_fake("far");
	memset(buf, 1, sizeof(buf));
	assert_int_equal(io(b, BLK_READ, 65536, sizeof(buf), buf), 0);
	assert_true(!buf[0] && !buf[4095]);
	blk_close(b);
	b = open_fake("error"); /* an error is an answer, and the next request gets its own */
	assert_int_equal(io(b, BLK_READ, 65536, sizeof(buf), buf), -EBADMSG);
	assert_int_equal(io(b, BLK_WRITE, 65536, sizeof(buf), buf), -EBADMSG);
	assert_int_equal(io(b, BLK_FLUSH, 0, 0, NULL), 0);
	blk_close(b);
}

static void test_lies_at_open(void **state)
{
	static const char *const modes[] = { "gone", "size", "cluster", "version" };
	struct blk_params p = { .path = img };

	(void)state;
	setenv("MICA_HELPER_DIR", FAKE_DIR, 1);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		struct blk *b;
		struct err e = { 0 };
		make(modes[i], strlen(modes[i]) + 1, 4096);
		int rc = blk_open_format(&b, L, &raw_by_process, &p, &e);
		assert_true(rc == -EIO || rc == -EPROTO || rc == -EPIPE);
		if (!strstr(e.msg, img) || !strstr(e.msg, "mica-image"))
			fail_msg("%s", e.msg);
	}
}

/* Who waits for nobody's answer is told after a while, when somebody wants an end. */
static void test_silence(void **state)
{
	struct blk *b = open_fake("never");
	u8 buf[4096] = { 0 };
	struct iovec iov = { buf, sizeof(buf) };
	struct blk_req r[3];
	int res[3] = { 1, 1, 1 };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		blk_req_init(&r[i], on_done);
		r[i].op = i ? BLK_DISCARD : BLK_READ; /* the first is asked, the others wait for its cluster */
		r[i].bytes = sizeof(buf);
		r[i].iov = &iov;
		r[i].niov = 1;
		r[i].opaque = &res[i];
		blk_submit(b, &r[i]);
	}
	u64 began = clock_mono_ns();
	blk_cancel(b);
	assert_int_equal(res[0], -EIO);
	assert_int_equal(res[1], -ECANCELED);
	assert_int_equal(res[2], -ECANCELED);
	assert_true(clock_mono_ns() - began < 30 * NSEC_PER_SEC);
	blk_close(b);
}

/* Cancelled while it works: each ends one way or the other, what was written is written. */
static void test_cancel(void **state)
{
	struct blk *b = open_fake("late");
	auto_free struct one *all = calloc(AT_A_TIME, sizeof(*all));
	auto_free u8 *model = calloc(1, DISK);
	unsigned ended = 0;

	(void)state;
	submit_many(b, all, model, true);
	blk_cancel(b);
	for (unsigned i = 0; i < AT_A_TIME; i++) {
		assert_true(all[i].res == 0 || all[i].res == -ECANCELED);
		ended += all[i].res == -ECANCELED;
	}
	assert_true(ended);
	many_at_a_time(b, 0, false);
	assert_int_equal(io(b, BLK_WRITE, 0, 512, model), 0); /* and it goes on */
	blk_close(b);
}

/* ---- changes of a running disk ---- */

static void stop(void *opaque)
{
	(void)opaque;
	loop_stop(L);
}

static void test_loop_and_pause(void **state)
{
	struct blk *b = open_fake("good");
	u8 buf[4096];
	struct iovec iov = { buf, sizeof(buf) };
	struct blk_pause p = { .drained = stop };
	struct blk_req r;
	int res = 1;

	(void)state;
	memset(buf, 7, sizeof(buf));
	blk_req_init(&r, on_done);
	r.op = BLK_WRITE;
	r.bytes = sizeof(buf);
	r.iov = &iov;
	r.niov = 1;
	r.opaque = &res;
	blk_submit(b, &r);
	blk_pause(b, &p);
	loop_run(L); /* the loop alone hears of the answers */
	assert_int_equal(res, 0);
	struct blk_params layer = { 0 };
	assert_int_equal(blk_push_layer(b, &layer, NULL), 0);
	blk_resume(b, &p);
	memset(buf, 8, sizeof(buf));
	assert_int_equal(io(b, BLK_WRITE, 512, 1024, buf), 0); /* above it */
	assert_int_equal(io(b, BLK_READ, 0, sizeof(buf), buf), 0);
	assert_true(buf[0] == 7 && buf[512] == 8 && buf[1535] == 8 && buf[1536] == 7);
	blk_close(b);
}

static void test_change_of_medium(void **state)
{
	struct blk *b = open_real(DISK, true);
	struct blk_params none = { .removable = true };
	u8 buf[512];

	(void)state;
	assert_int_equal(io(b, BLK_READ, 0, 512, buf), 0);
	assert_int_equal(blk_change(b, &none, stop, NULL, NULL), 0);
	loop_run(L);
	assert_int_equal(io(b, BLK_READ, 0, 512, buf), -EINVAL); /* it has no bytes */
	blk_close(b);
}

static void test_locks(void **state)
{
	struct blk *b = open_real(DISK, false), *other;
	struct blk_params p = { .path = img };
	struct err e;

	(void)state;
	assert_int_equal(blk_open_format(&other, L, &raw_by_process, &p, &e), -EBUSY);
	p.format = "raw";
	assert_int_equal(blk_open(&other, L, &p, &e), -EBUSY);
	p.readonly = true;
	assert_int_equal(blk_open(&other, L, &p, &e), -EBUSY);
	blk_close(b);
	assert_int_equal(blk_open(&other, L, &p, &e), 0);
	blk_close(other);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_mica_image),     T(test_fake),
		T(test_many),           T(test_nothing_is_allocated),
		T(test_lies),           T(test_lies_at_open),
		T(test_silence),        T(test_cancel),
		T(test_loop_and_pause), T(test_change_of_medium),
		T(test_locks),
	};
	return cmocka_run_group_tests_name("image_node", tests, NULL, NULL);
}
