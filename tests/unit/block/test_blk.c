/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_blk.c - disks without a guest: what blk_open() refuses and why, locks, each engine and driver
 * against a model in memory, snapshots that leave the image alone.
 */
#include "block/block.h"

#include <fcntl.h>
#include <pthread.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define DISK (4 * MIB)

static struct loop *L;
static char dir[64], img[96];
static unsigned fdatasyncs;
static const struct blk_option direct_on = { "direct", "on" };

/* Linked with --wrap=fdatasync: flushes of the thread engine, and of closing. */
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	__atomic_fetch_add(&fdatasyncs, 1, __ATOMIC_SEQ_CST);
	return __real_fdatasync(fd);
}

static void make_image(u64 bytes, u8 fill)
{
	int fd = open(img, O_RDWR | O_CREAT | O_TRUNC, 0600);
	auto_free u8 *b = malloc(bytes + 1);

	memset(b, fill, bytes);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, b, bytes, 0), bytes);
	close(fd);
}

static int setup(void **state)
{
	struct err e;

	strcpy(dir, "/var/tmp/mica-blk-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(img, sizeof(img), "%s/disk.img", dir);
	assert_int_equal(loop_new(&L, &e), 0);
	return 0;
}
static int teardown(void **state)
{
	unlink(img);
	rmdir(dir);
	loop_free(L);
	return 0;
}

static void expect_refused(const struct blk_params *p, int code, const char *word)
{
	struct blk *b;
	struct err e = { 0 };

	assert_int_equal(blk_open(&b, L, p, &e), -code);
	assert_int_equal(e.code, code);
	assert_non_null(strstr(e.msg, p->path));
	if (!strstr(e.msg, word))
		fail_msg("'%s' not in: %s", word, e.msg);
}

static void test_open_errors(void **state)
{
	struct blk_params p = { .path = img };
	struct blk *b;
	struct err e;

	expect_refused(&p, ENOENT, "truncate -s");
	make_image(0, 0);
	expect_refused(&p, EINVAL, "empty");
	p.format = "qcow9";
	expect_refused(&p, EINVAL, "raw");
	p.format = NULL;
	p.path = dir;
	expect_refused(&p, EISDIR, "directory");
	p.path = "/dev/null";
	expect_refused(&p, ENOTBLK, "regular file");
	p.path = img;
	unlink(img);
	assert_int_equal(mkfifo(img, 0600), 0);
	expect_refused(&p, ENOTBLK, "regular file");
	unlink(img);
	make_image(4096, 1);
	if (geteuid()) {
		chmod(img, 0400);
		expect_refused(&p, EACCES, "readonly=on");
		chmod(img, 0600);
	}
	int fd = open(img, O_RDONLY);
	p.fd = fd;
	expect_refused(&p, EACCES, "read-only");
	p.readonly = true;
	assert_int_equal(blk_open(&b, L, &p, &e), 0);
	assert_true(blk_readonly(b));
	assert_false(blk_can_discard(b));
	blk_close(b);
	assert_true(fcntl(fd, F_GETFD) >= 0); /* borrowed */
	close(fd);
}

static void test_locks(void **state)
{
	struct blk_params rw = { .path = img }, ro = { .path = img, .readonly = true },
			  sn = { .path = img, .snapshot = true };
	struct blk *a, *b;

	make_image(4096, 1);
	assert_int_equal(blk_open(&a, L, &rw, NULL), 0);
	expect_refused(&rw, EBUSY, "in use");
	expect_refused(&ro, EBUSY, "being written");
	expect_refused(&sn, EBUSY, "being written");
	blk_close(a);
	assert_int_equal(blk_open(&a, L, &ro, NULL), 0);
	assert_int_equal(blk_open(&b, L, &sn, NULL), 0);
	expect_refused(&rw, EBUSY, "in use");
	blk_close(a);
	expect_refused(&rw, EBUSY, "in use");
	blk_close(b);
	assert_int_equal(blk_open(&a, L, &rw, NULL), 0);
	blk_close(a);
}

/* A lock of one byte as QEMU's file-posix.c takes it; the descriptor holds it. */
static int qemu_locks(const int *bytes, unsigned n)
{
	int fd = open(img, O_RDWR | O_CLOEXEC);

	for (unsigned i = 0; i < n; i++) {
		struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = bytes[i], .l_len = 1 };
		assert_int_equal(fcntl(fd, F_OFD_SETLK, &l), 0);
	}
	return fd;
}

/* Would QEMU find a lock there? */
static bool qemu_sees(int at)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };
	auto_close int fd = open(img, O_RDWR | O_CLOEXEC);

	assert_int_equal(fcntl(fd, F_OFD_GETLK, &l), 0);
	return l.l_type != F_UNLCK;
}

/* What QEMU holds and looks for, of a drive that it reads and of one that it writes. */
static void test_locks_of_qemu(void **state)
{
	static const int reader[] = { 100, 201 }, writer[] = { 100, 101, 201, 203 };
	struct blk_params rw = { .path = img }, ro = { .path = img, .readonly = true };
	struct blk *b;

	make_image(4096, 1);
	int fd = qemu_locks(reader, ARRAY_LEN(reader));
	assert_int_equal(blk_open(&b, L, &ro, NULL), 0);
	blk_close(b);
	expect_refused(&rw, EBUSY, "in use");
	close(fd);
	fd = qemu_locks(writer, ARRAY_LEN(writer));
	expect_refused(&ro, EBUSY, "being written");
	expect_refused(&rw, EBUSY, "in use");
	close(fd);
	assert_int_equal(blk_open(&b, L, &ro, NULL), 0);
	assert_true(!qemu_sees(200) && !qemu_sees(101) && !qemu_sees(103)); /* it may read */
	assert_true(qemu_sees(201));                                        /* and not write */
	blk_close(b);
	assert_int_equal(blk_open(&b, L, &rw, NULL), 0);
	assert_true(qemu_sees(101)); /* a reader does not share that */
	assert_true(qemu_sees(201));
	blk_close(b);
	assert_false(qemu_sees(100));
	/* a program that locks the whole file for writing */
	fd = open(img, O_RDWR | O_CLOEXEC);
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &l), 0);
	expect_refused(&ro, EBUSY, "being written");
	close(fd);
}

/* ---- requests; nobody runs the loop: blk_drain() completes ---- */

static void on_done(struct blk_req *r, int res)
{
	*(int *)r->opaque = res;
}

static int io(struct blk *b, enum blk_op op, u64 off, u64 bytes, struct iovec *iov, unsigned niov, bool plug)
{
	int res = 1;
	struct blk_req r = { .op = op, .off = off, .bytes = bytes, .iov = iov, .niov = niov, .may_unmap = bytes & 512 };

	r.done = on_done;
	r.opaque = &res;
	if (plug)
		blk_plug(b);
	blk_submit(b, &r);
	if (plug)
		blk_unplug(b);
	blk_drain(b);
	assert_int_not_equal(res, 1);
	return res;
}

static u32 seed;
static u32 rnd(u32 n)
{
	seed = seed * 1664525u + 1013904223u;
	return (u32)((u64)(seed >> 4) * n >> 28);
}

/* Random reads, writes, write-zeroes and discards of odd sizes, in odd pieces, against a model. */
static void against_model(const struct blk_params *p, u32 s, unsigned rounds)
{
	auto_free u8 *model = malloc(DISK), *buf = malloc(DISK), *orig = malloc(DISK);
	struct blk *b;
	struct err e = { 0 };

	seed = s;
	make_image(DISK, 0);
	for (u64 i = 0; i < DISK; i++)
		model[i] = (u8)rnd(256);
	memcpy(orig, model, DISK);
	int fd = open(img, O_RDWR);
	assert_int_equal(pwrite(fd, model, DISK, 0), DISK);
	int rc = blk_open(&b, L, p, &e);
	if (rc < 0)
		fail_msg("%s", e.msg);
	for (unsigned i = 0; i < rounds; i++) {
		u64 off = rnd(DISK / 512), want = rnd(4) ? 32 : 1024, max = MIN(DISK / 512 - off, want);
		u64 n = 1 + rnd((u32)max);
		unsigned what = rnd(8), niov = 0;
		struct iovec iov[16];
		off *= 512;
		n *= 512;
		/* cut into pieces, at odd addresses */
		u64 pos = 0, shift = rnd(2) ? rnd(100) : 0;
		u8 *base = buf + shift;
		if (shift + n > DISK)
			n -= 512;
		if (!n)
			continue;
		while (pos < n) {
			u64 k = 1 + rnd((u32)n);
			k = niov == 15 ? n - pos : MIN(n - pos, k);
			iov[niov++] = (struct iovec){ base + pos, k };
			pos += k;
		}
		if (what < 4) {
			memset(base, 0xa5, n);
			assert_int_equal(io(b, BLK_READ, off, n, iov, niov, rnd(2)), 0);
			assert_memory_equal(base, model + off, n);
		} else if (what < 6) {
			for (u64 j = 0; j < n; j++)
				base[j] = (u8)rnd(256);
			memcpy(model + off, base, n);
			assert_int_equal(io(b, BLK_WRITE, off, n, iov, niov, rnd(2)), 0);
		} else {
			if (what == 6) /* leaves no promise behind: zeros follow */
				assert_int_equal(io(b, BLK_DISCARD, off, n, NULL, 0, rnd(2)), 0);
			memset(model + off, 0, n);
			assert_int_equal(io(b, BLK_WRITE_ZEROES, off, n, NULL, 0, rnd(2)), 0);
		}
		if (!rnd(50))
			assert_int_equal(io(b, BLK_FLUSH, 0, 0, NULL, 0, rnd(2)), 0);
	}
	struct iovec all = { buf, DISK };
	assert_int_equal(io(b, BLK_READ, 0, DISK, &all, 1, false), 0);
	assert_memory_equal(buf, model, DISK);
	blk_close(b);
	assert_int_equal(pread(fd, buf, DISK, 0), DISK);
	assert_memory_equal(buf, p->snapshot ? orig : model, DISK);
	struct stat st;
	fstat(fd, &st);
	assert_int_equal(st.st_size, DISK);
	close(fd);
}

static bool have_uring(void)
{
	struct blk_params p = { .path = img, .engine = BLK_ENGINE_URING };
	struct blk *b;
	struct err e = { 0 };

	make_image(4096, 0);
	if (blk_open(&b, L, &p, &e) < 0) {
		assert_true(e.code && *e.msg);
		return false;
	}
	assert_string_equal(blk_engine_name(b), "io_uring");
	blk_close(b);
	return true;
}

static void test_model(void **state)
{
	for (int k = BLK_ENGINE_URING; k <= BLK_ENGINE_POOL; k++) {
		if (k == BLK_ENGINE_URING && !have_uring())
			continue;
		for (int snap = 0; snap < 2; snap++) {
			struct blk_params p = { .path = img, .engine = (enum blk_engine)k, .snapshot = snap };
			against_model(&p, 42 + (u32)snap, 1500);
			p.options = &direct_on;
			p.noptions = 1;
			struct blk *b;
			make_image(4096, 0);
			if (blk_open(&b, L, &p, NULL) < 0)
				continue; /* the test's file system knows no O_DIRECT */
			blk_close(b);
			against_model(&p, 7, 500);
		}
	}
}

static void test_refused_requests(void **state)
{
	u8 buf[1024];
	struct iovec iov = { buf, 1024 };
	struct blk_params p = { .path = img };
	struct blk *b;

	make_image(DISK, 3);
	assert_int_equal(blk_open(&b, L, &p, NULL), 0);
	assert_int_equal(io(b, BLK_READ, DISK - 512, 1024, &iov, 1, false), -EINVAL);
	assert_int_equal(io(b, BLK_READ, DISK + 512, 0, NULL, 0, false), -EINVAL);
	assert_int_equal(io(b, BLK_READ, UINT64_MAX - 511, 1024, &iov, 1, false), -EINVAL);
	assert_int_equal(io(b, BLK_READ, 100, 1024, &iov, 1, false), -EINVAL);
	assert_int_equal(io(b, BLK_READ, 0, 512, &iov, 1, true), -EINVAL);
	assert_int_equal(io(b, BLK_WRITE_ZEROES, DISK, 512, NULL, 0, true), -EINVAL);
	assert_int_equal(io(b, BLK_READ, DISK - 1024, 1024, &iov, 1, false), 0);
	assert_int_equal(buf[1023], 3);
	assert_int_equal(io(b, BLK_READ, DISK, 0, NULL, 0, true), 0);
	blk_close(b);
	p.readonly = true;
	assert_int_equal(blk_open(&b, L, &p, NULL), 0);
	assert_int_equal(io(b, BLK_WRITE, 0, 1024, &iov, 1, false), -EROFS);
	assert_int_equal(io(b, BLK_DISCARD, 0, 1024, NULL, 0, false), -EROFS);
	assert_int_equal(io(b, BLK_WRITE_ZEROES, 0, 1024, NULL, 0, false), -EROFS);
	assert_int_equal(io(b, BLK_FLUSH, 0, 0, NULL, 0, false), 0);
	assert_int_equal(io(b, BLK_READ, 0, 1024, &iov, 1, false), 0);
	blk_close(b);
}

/* The image becomes shorter under us: an error, not a hang or old bytes. */
static void test_truncated(void **state)
{
	u8 buf[4096];
	struct iovec iov = { buf, sizeof(buf) };

	for (int k = BLK_ENGINE_AUTO; k <= BLK_ENGINE_POOL; k += BLK_ENGINE_POOL) {
		struct blk_params p = { .path = img, .engine = (enum blk_engine)k };
		struct blk *b;
		make_image(DISK, 3);
		assert_int_equal(blk_open(&b, L, &p, NULL), 0);
		assert_int_equal(truncate(img, 1000), 0);
		assert_int_equal(io(b, BLK_READ, 0, 4096, &iov, 1, false), -EIO);
		assert_int_equal(io(b, BLK_READ, 8192, 4096, &iov, 1, true), -EIO);
		blk_close(b);
	}
}

static void check_bytes(const u8 *b, size_t n, u8 want)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(b[i], want);
}

/* 700 bytes into the last sectors: all of it is there, then zeros; what is written there stays, in a file that ends
 * with a sector. */
static void tail(const struct blk_params *p)
{
	static u8 buf[8192] __attribute__((aligned(4096)));
	struct iovec one = { buf, 512 }, all = { buf, 4096 + 1024 }, page = { buf + 4096, 1024 };
	struct blk_params again = *p;
	struct stat st;
	struct blk *b;
	bool keeps = p->readonly || p->snapshot;

	make_image(4096 + 700, 7);
	assert_int_equal(blk_open(&b, L, p, NULL), 0);
	assert_int_equal(blk_bytes(b), 4096 + 1024);
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(io(b, BLK_READ, 0, 4096 + 1024, &all, 1, true), 0);
	check_bytes(buf, 4096 + 700, 7);
	check_bytes(buf + 4096 + 700, 324, 0);
	check_bytes(buf + 4096 + 1024, 1024, 0xee);
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(io(b, BLK_READ, 4096 + 512, 512, &one, 1, false), 0);
	check_bytes(buf, 188, 7);
	check_bytes(buf + 188, 324, 0);
	assert_int_equal(io(b, BLK_READ, 4096 + 1024, 512, &one, 1, false), -EINVAL);
	memset(buf, 9, sizeof(buf));
	assert_int_equal(io(b, BLK_WRITE, 4096, 1024, &page, 1, true), p->readonly ? -EROFS : 0);
	if (!p->readonly) {
		memset(buf, 0xee, sizeof(buf));
		assert_int_equal(io(b, BLK_READ, 4096 + 512, 512, &one, 1, true), 0);
		check_bytes(buf, 512, 9);
		assert_int_equal(io(b, BLK_WRITE_ZEROES, 4096 + 512, 512, NULL, 0, true), 0);
		assert_int_equal(io(b, BLK_READ, 4096 + 512, 512, &one, 1, true), 0);
		check_bytes(buf, 512, 0);
	}
	blk_close(b);
	assert_int_equal(stat(img, &st), 0);
	assert_int_equal(st.st_size, keeps ? 4096 + 700 : 4096 + 1024);
	again.readonly = true;
	assert_int_equal(blk_open(&b, L, &again, NULL), 0);
	assert_int_equal(io(b, BLK_READ, 4096, 512, &one, 1, false), 0);
	check_bytes(buf, 512, keeps ? 7 : 9);
	/* shorter than it was when opened is an error here as well */
	assert_int_equal(truncate(img, 4096 + 600), 0);
	assert_int_equal(io(b, BLK_READ, 4096 + 512, 512, &one, 1, false), -EIO);
	blk_close(b);
}

static void test_tail(void **state)
{
	for (int k = BLK_ENGINE_AUTO; k <= BLK_ENGINE_POOL; k += BLK_ENGINE_POOL)
		for (unsigned i = 0; i < 8; i++) {
			struct blk_params p = { .path = img, .engine = (enum blk_engine)k };
			p.readonly = i & 1;
			p.snapshot = i & 2;
			p.options = &direct_on;
			p.noptions = !!(i & 4);
			tail(&p);
		}
	/* less than a sector is a sector */
	struct blk_params p = { .path = img };
	struct blk *b;
	make_image(1, 1);
	assert_int_equal(blk_open(&b, L, &p, NULL), 0);
	assert_int_equal(blk_bytes(b), 512);
	blk_close(b);
}

static void test_flush_reaches_the_disk(void **state)
{
	struct blk_params p = { .path = img, .engine = BLK_ENGINE_POOL };
	struct blk *b;

	make_image(DISK, 3);
	assert_int_equal(blk_open(&b, L, &p, NULL), 0);
	fdatasyncs = 0;
	assert_int_equal(io(b, BLK_FLUSH, 0, 0, NULL, 0, false), 0);
	assert_int_equal(fdatasyncs, 1);
	assert_int_equal(io(b, BLK_FLUSH, 0, 0, NULL, 0, true), 0);
	assert_int_equal(fdatasyncs, 2);
	blk_close(b);
	assert_int_equal(fdatasyncs, 3);
}

/* ---- many at once, with the loop's thread running ---- */

#define MANY 2000
static unsigned ndone, nbegin;
static void many_done(struct blk_req *r, int res)
{
	assert_int_equal(res, 0);
	__atomic_fetch_add(&ndone, 1, __ATOMIC_SEQ_CST);
}
static void many_begin(void *opaque)
{
	pthread_mutex_lock(opaque);
	nbegin++;
}
static void many_end(void *opaque)
{
	pthread_mutex_unlock(opaque);
}
static void *loop_thread(void *arg)
{
	loop_run(L);
	return NULL;
}

static void test_many(void **state)
{
	static u8 bufs[MANY][512];
	static struct blk_req r[MANY];
	static struct iovec iov[MANY];
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	const struct blk_client c = { many_begin, many_end, &lock };

	for (int k = BLK_ENGINE_AUTO; k <= BLK_ENGINE_POOL; k += BLK_ENGINE_POOL)
		for (int plug = 0; plug < 2; plug++) {
			struct blk_params p = { .path = img, .engine = (enum blk_engine)k };
			struct blk *b;
			pthread_t t;
			make_image(DISK, 3);
			assert_int_equal(blk_open(&b, L, &p, NULL), 0);
			blk_set_client(b, &c);
			pthread_create(&t, NULL, loop_thread, NULL);
			ndone = nbegin = 0;
			for (unsigned i = 0; i < MANY; i++) {
				memset(bufs[i], (int)i, 512);
				iov[i] = (struct iovec){ bufs[i], 512 };
				r[i] = (struct blk_req){ .op = i % 3 ? BLK_WRITE : BLK_READ,
							 .off = 512 * i,
							 .bytes = 512 };
				r[i].iov = &iov[i];
				r[i].niov = 1;
				r[i].done = many_done;
				if (plug && i % 50 == 0) {
					pthread_mutex_lock(&lock);
					blk_plug(b);
				}
				blk_submit(b, &r[i]);
				if (plug && i % 50 == 49) {
					blk_unplug(b);
					pthread_mutex_unlock(&lock);
				}
			}
			for (unsigned ms = 0; __atomic_load_n(&ndone, __ATOMIC_SEQ_CST) < MANY && ms < 10000; ms++)
				usleep(1000);
			assert_int_equal(ndone, MANY);
			loop_stop(L);
			pthread_join(t, NULL);
			blk_close(b);
			int fd = open(img, O_RDONLY);
			for (unsigned i = 0; i < MANY; i++) {
				u8 got[512];
				assert_int_equal(pread(fd, got, 512, 512 * i), 512);
				assert_int_equal(got[100], i % 3 ? (u8)i : 3);
				assert_int_equal(bufs[i][100], i % 3 ? (u8)i : 3);
			}
			close(fd);
		}
}

/* A thread's requests outlive it. */
/* Transfers larger than a piece (hostio.h), in vectors that pieces do not end with. */
static void test_pieces(void **state)
{
	enum { BYTES = 9 * MIB + 3 * 512 };
	struct blk_params p = { .path = img };
	struct iovec iov[5];
	struct blk *b;
	struct err e;
	auto_free u8 *data = malloc(BYTES), *back = malloc(BYTES);
	static const u64 lens[] = { 512, 5 * MIB + 512, 0, 3 * MIB, MIB + 512 };

	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		p.engine = k ? BLK_ENGINE_POOL : BLK_ENGINE_AUTO;
		make_image(BYTES + MIB, 0x11);
		assert_int_equal(blk_open(&b, L, &p, &e), 0);
		for (u64 i = 0; i < BYTES; i++)
			data[i] = (u8)(i * 7 + i / 4096 + k);
		for (unsigned plug = 0; plug < 2; plug++) {
			u64 at = 0;
			for (unsigned i = 0; i < 5; at += lens[i++])
				iov[i] = (struct iovec){ data + at, lens[i] };
			assert_int_equal(at, BYTES);
			assert_int_equal(io(b, BLK_WRITE, 512, BYTES, iov, 5, plug), 0);
			memset(back, 0, BYTES);
			at = 0;
			for (unsigned i = 0; i < 5; at += lens[i++])
				iov[i].iov_base = back + at;
			assert_int_equal(io(b, BLK_READ, 512, BYTES, iov, 5, plug), 0);
			assert_memory_equal(back, data, BYTES);
		}
		blk_close(b);
	}
}

static unsigned cancel_ok, cancel_gone;
static void cancel_done(struct blk_req *r, int res)
{
	(void)r;
	must(res == 0 || res == -ECANCELED);
	cancel_ok += res == 0;
	cancel_gone += res == -ECANCELED;
}

/* What the host has not begun with ends at once, and so does the rest of what it does in pieces. */
static void test_cancel(void **state)
{
	enum { N = 600 };
	struct blk_params p = { .path = img };
	struct blk *b;
	struct err e;
	auto_free u8 *data = calloc(1, 8 * MIB);
	auto_free struct blk_req *r = calloc(N, sizeof(*r));
	struct iovec iov = { data, 8 * MIB };

	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		p.engine = k ? BLK_ENGINE_POOL : BLK_ENGINE_AUTO;
		make_image(8 * MIB, 0x11);
		assert_int_equal(blk_open(&b, L, &p, &e), 0);
		cancel_ok = cancel_gone = 0;
		blk_plug(b);
		for (unsigned i = 0; i < N; i++) {
			r[i] = (struct blk_req){
				.op = BLK_WRITE, .bytes = 8 * MIB, .iov = &iov, .niov = 1, .done = cancel_done
			};
			blk_submit(b, &r[i]);
		}
		blk_unplug(b);
		blk_cancel(b);
		assert_int_equal(cancel_ok + cancel_gone, N);
		assert_true(cancel_gone > N / 2);
		assert_int_equal(blk_errors(b), 0);
		/* and it goes on as before */
		assert_int_equal(io(b, BLK_READ, 0, 8 * MIB, &iov, 1, true), 0);
		blk_close(b);
	}
}

static int gone_res[40];
static void *submit_and_end(void *arg)
{
	struct blk *b = arg;
	static struct blk_req r[40];
	static u8 buf[20][65536];
	static struct iovec iov[20];

	for (unsigned i = 0; i < 40; i++) {
		gone_res[i] = 1;
		r[i] = (struct blk_req){ .op = i % 2 ? BLK_FLUSH : BLK_WRITE, .done = on_done, .opaque = &gone_res[i] };
		if (i % 2 == 0) {
			memset(buf[i / 2], 0x40 + (int)i, 65536);
			iov[i / 2] = (struct iovec){ buf[i / 2], 65536 };
			r[i].off = 65536 * (i / 2);
			r[i].bytes = 65536;
			r[i].iov = &iov[i / 2];
			r[i].niov = 1;
		}
		blk_submit(b, &r[i]);
	}
	return NULL;
}

static void test_submitter_ends(void **state)
{
	for (int k = BLK_ENGINE_AUTO; k <= BLK_ENGINE_POOL; k += BLK_ENGINE_POOL)
		for (int direct = 0; direct < 2; direct++) {
			struct blk_params p = { .path = img, .engine = (enum blk_engine)k };
			struct blk *b;
			pthread_t t;
			u8 c;

			p.options = &direct_on;
			p.noptions = (unsigned)direct;
			make_image(DISK, 3);
			if (blk_open(&b, L, &p, NULL) < 0) {
				assert_true(direct);
				continue;
			}
			pthread_create(&t, NULL, submit_and_end, b);
			pthread_join(t, NULL);
			blk_drain(b);
			for (unsigned i = 0; i < 40; i++)
				assert_int_equal(gone_res[i], 0);
			blk_close(b);
			int fd = open(img, O_RDONLY);
			for (unsigned i = 0; i < 20; i++) {
				assert_int_equal(pread(fd, &c, 1, 65536 * i + 60000), 1);
				assert_int_equal(c, 0x40 + 2 * i);
			}
			close(fd);
		}
}

/* A filter forbids io_uring, as Docker's does, then new threads too. */
static int without_uring(void)
{
	struct blk_params p = { .path = img };
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
	struct blk *b;
	u8 buf[512];
	struct iovec iov = { buf, 512 };

	seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(io_uring_setup), 0);
	if (seccomp_load(c) < 0 || blk_open(&b, L, &p, NULL) < 0 || strcmp(blk_engine_name(b), "threads"))
		return 1;
	if (blk_start_threads(NULL) < 0)
		return 2;
	seccomp_rule_add(c, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 0);
	seccomp_rule_add(c, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone3), 0);
	if (seccomp_load(c) < 0)
		return 3;
	if (io(b, BLK_READ, 512, 512, &iov, 1, false) || buf[0] != 3 || io(b, BLK_FLUSH, 0, 0, NULL, 0, true))
		return 4;
	blk_close(b);
	p.engine = BLK_ENGINE_URING;
	struct err e = { 0 };
	if (blk_open(&b, L, &p, &e) != -EPERM || !strstr(e.msg, "io_uring"))
		return 5;
	return 0;
}

static void test_without_uring(void **state)
{
	int status;

	make_image(DISK, 3);
	pid_t pid = fork();
	if (pid == 0)
		_exit(without_uring());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_open_errors),   T(test_locks),
		T(test_locks_of_qemu), T(test_tail),
		T(test_model),         T(test_refused_requests),
		T(test_truncated),     T(test_flush_reaches_the_disk),
		T(test_many),          T(test_pieces),
		T(test_cancel),        T(test_submitter_ends),
		T(test_without_uring),
	};
	return cmocka_run_group_tests_name("blk", tests, NULL, NULL);
}
