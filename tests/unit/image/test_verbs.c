/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_verbs.c - the verbs as functions, on files in memory: what they find, that they stop when they are told to, and
 * that commit and rebase may die at every single write: the image shows the same disk, and nothing is corrupt.
 */
#include "image/convert.h"
#include "image/verbs.h"
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DISK_BYTES (512u * KIB)
#define PLACES 24u

/* ---- files that die ---- */

static unsigned writes_left = ~0u;
static const struct image_file_ops *real;

static bool dead(void)
{
	return !writes_left || !--writes_left;
}

static int die_pwrite(struct image_file *f, const void *buf, size_t n, u64 off)
{
	return dead() ? -EIO : real->pwrite(f, buf, n, off);
}

static int die_zero(struct image_file *f, u64 off, u64 bytes, bool unmap)
{
	return dead() ? -EIO : real->zero(f, off, bytes, unmap);
}

static int die_resize(struct image_file *f, u64 bytes)
{
	return dead() ? -EIO : real->resize(f, bytes);
}

static int die_sync(struct image_file *f)
{
	return dead() ? -EIO : real->sync(f);
}

/* After `writes` changes of all such files together nothing changes any more, as when the process is killed. */
static void let_die(struct image_file *f)
{
	static struct image_file_ops ops;

	real = f->ops == &ops ? real : f->ops;
	ops = *real;
	ops.pwrite = die_pwrite;
	ops.zero = die_zero;
	ops.resize = die_resize;
	ops.sync = die_sync;
	f->ops = &ops;
}

/* ---- a chain ---- */

struct chain {
	struct image_file *base, *other, *top;
	struct rig_opener o;
	u8 disk[DISK_BYTES];
};

static void scribble(struct image_file *f, struct rig_opener *o, u8 *disk, u64 seed)
{
	struct image *m = rig_open(f, "qcow2", false, o);

	for (unsigned i = 0; i < PLACES; i++) {
		u64 off = rig_random(&seed) % (DISK_BYTES / 512) * 512, n = 512 * (1 + rig_random(&seed) % 30);

		n = MIN(n, DISK_BYTES - off);
		memset(disk + off, i % 3 ? (int)(rig_random(&seed) % 255 + 1) : 0, (size_t)n);
		assert_int_equal(
		    i % 3 ? image_write(m, off, disk + off, (size_t)n) : image_write_zeroes(m, off, n, true), 0);
	}
	assert_int_equal(image_close(m), 0);
}

static struct image_file *make(struct chain *c, unsigned id, const char *name, const char *backing)
{
	static const char *const options[] = { "cluster_size=4k", NULL };
	struct image_file *f = rig_file(id, name);
	struct image_create create = { .file = f,
				       .bytes = DISK_BYTES,
				       .backing = backing,
				       .backing_format = backing ? "qcow2" : NULL,
				       .options = options };
	struct err e;

	assert_int_equal(image_format_find("qcow2")->create(&create, &e), 0);
	rig_opener_add(&c->o, name, f, "qcow2");
	return f;
}

static void chain_init(struct chain *c, u64 seed)
{
	u8 *ignored = xcalloc(1, DISK_BYTES);

	memset(c, 0, sizeof(*c));
	c->base = make(c, 1, "base", NULL);
	scribble(c->base, &c->o, c->disk, seed);
	c->other = make(c, 2, "other", NULL);
	scribble(c->other, &c->o, ignored, seed + 1);
	free(ignored);
	c->top = make(c, 0, "top", "base");
	scribble(c->top, &c->o, c->disk, seed + 2);
}

static void chain_fini(struct chain *c)
{
	image_file_close(c->base);
	image_file_close(c->other);
	image_file_close(c->top);
}

static void right(struct chain *c, struct image_file *f)
{
	struct image *m = rig_open(f, "qcow2", true, &c->o);

	rig_compare(m, c->disk, DISK_BYTES);
	rig_check(m, 1000);
	assert_int_equal(image_close(m), 0);
}

/* ---- a sink ---- */

struct sink {
	struct verb_sink s;
	unsigned records[RECORD_KINDS], stop_at, calls;
	struct record last;
};

static void count(struct verb_sink *s, const struct record *r)
{
	struct sink *k = container_of(s, struct sink, s);

	k->records[r->kind]++;
	k->last = *r;
}

static int go_on(struct verb_sink *s, u64 done, u64 total)
{
	struct sink *k = container_of(s, struct sink, s);

	assert_true(done <= total);
	return ++k->calls == k->stop_at ? -ECANCELED : 0;
}

#define SINK \
	{ \
		.s = {.record = count, .progress = go_on } \
	}

/* ---- commit and rebase ---- */

static struct image *open_dying(struct chain *c, struct image_file *f, bool no_backing)
{
	struct image_open o = { .file = rig_again(f), .no_backing = no_backing, .opener = &c->o.opener };
	struct image *m;
	struct err e;

	let_die(o.file);
	if (image_open(&m, image_format_find("qcow2"), false, &o, &e) == 0)
		return m;
	image_file_close(o.file);
	return NULL;
}

static int commit(struct chain *c, struct sink *k)
{
	struct image *top = open_dying(c, c->top, true), *base = top ? open_dying(c, c->base, false) : NULL;
	struct err e;
	int rc = base ? verb_commit(top, base, true, &k->s, &e) : -EIO;

	if (base && image_close(base) < 0)
		rc = rc ? rc : -EIO;
	if (top && image_close(top) < 0)
		rc = rc ? rc : -EIO;
	return rc;
}

static int rebase(struct chain *c, const char *name, struct sink *k)
{
	struct image *top = open_dying(c, c->top, false);
	struct image *below = *name ? rig_open(c->other, "qcow2", true, &c->o) : NULL;
	struct err e;
	int rc = top ? verb_rebase(top, below, name, *name ? "qcow2" : "", &k->s, &e) : -EIO;

	if (below)
		image_close(below);
	if (top && image_close(top) < 0)
		rc = rc ? rc : -EIO;
	return rc;
}

static void die_everywhere(const char *what)
{
	struct sink k = SINK;
	struct chain c;
	int rc = -1;

	for (unsigned n = 1; rc < 0; n++) {
		assert_true(n < 10000);
		chain_init(&c, 77);
		writes_left = n;
		rc = !strcmp(what, "commit") ? commit(&c, &k) : rebase(&c, what, &k);
		writes_left = ~0u;
		right(&c, c.top);
		if (rc == 0 && !strcmp(what, "commit"))
			right(&c, c.base);
		chain_fini(&c);
	}
}

static void test_commit_dies(void **state)
{
	die_everywhere("commit");
}

static void test_rebase_dies(void **state)
{
	die_everywhere("other");
	die_everywhere("");
}

static void test_told_to_stop(void **state)
{
	for (unsigned at = 1; at < 6; at++) {
		struct sink k = SINK;
		struct chain c;

		chain_init(&c, 5);
		k.stop_at = at;
		assert_int_equal(commit(&c, &k), -ECANCELED);
		right(&c, c.top);
		k.calls = 0;
		assert_int_equal(rebase(&c, "other", &k), -ECANCELED);
		right(&c, c.top);
		chain_fini(&c);
	}
}

/* A longer base must not show in what a disk gets more. */
static void test_resize_hides_the_base(void **state)
{
	struct chain c;
	struct err e;

	chain_init(&c, 9);
	struct image *m = rig_open(c.base, "qcow2", false, &c.o);
	assert_int_equal(verb_resize(m, 2 * DISK_BYTES, false, &e), 0);
	u8 *ones = memset(xcalloc(1, DISK_BYTES), 1, DISK_BYTES);
	assert_int_equal(image_write(m, DISK_BYTES, ones, DISK_BYTES), 0);
	assert_int_equal(image_close(m), 0);
	m = rig_open(c.top, "qcow2", false, &c.o);
	assert_int_equal(verb_resize(m, DISK_BYTES / 2, false, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "--shrink"));
	assert_int_equal(verb_resize(m, 2 * DISK_BYTES, false, &e), 0);
	assert_int_equal(image_read(m, DISK_BYTES, ones, DISK_BYTES), 0);
	assert_true(verb_all_zeros(ones, DISK_BYTES));
	assert_int_equal(image_close(m), 0);
	free(ones);
	chain_fini(&c);
}

/* ---- compare, map, convert ---- */

static void test_map_is_whole(void **state)
{
	struct sink k = SINK;
	struct chain c;
	struct err e;

	chain_init(&c, 3);
	struct image *m = rig_open(c.top, "qcow2", true, &c.o);
	assert_int_equal(verb_map(m, 0, UINT64_MAX, &k.s, &e), 0);
	assert_true(k.records[RECORD_RUN] > 10);
	assert_int_equal(k.last.n[RUN_N_START] + k.last.n[RUN_N_BYTES], DISK_BYTES);
	image_close(m);
	chain_fini(&c);
}

static int convert(struct chain *c, struct image_file *to, bool compress, struct sink *k)
{
	struct convert v = { .from = rig_open(c->top, "qcow2", true, &c->o),
			     .to = open_dying(c, to, true),
			     .fresh = true,
			     .compress = compress,
			     .sparse_bytes = 4096,
			     .threads = 3 };
	struct err e;
	int rc = convert_run(&v, &k->s, &e);

	image_close(v.from);
	return image_close(v.to) < 0 && rc == 0 ? -EIO : rc;
}

static void test_compare(void **state)
{
	struct sink k = SINK;
	struct chain c;
	struct err e;
	unsigned which;

	chain_init(&c, 21);
	struct image_file *to = make(&c, 3, "to", NULL);
	assert_int_equal(convert(&c, to, false, &k), 0);
	struct image *m[2] = { rig_open(c.top, "qcow2", true, &c.o), rig_open(to, "qcow2", false, &c.o) };
	assert_int_equal(verb_compare(m, false, &which, &k.s, &e), 0);
	for (u64 off = 0; off < DISK_BYTES; off += 511 * 37) {
		u8 sector[512];
		u64 at = off / 512 * 512;
		memcpy(sector, c.disk + at, 512);
		sector[off % 512] ^= 0x80;
		assert_int_equal(image_write(m[1], at, sector, 512), 0);
		assert_int_equal(verb_compare(m, false, &which, &k.s, &e), 1);
		assert_int_equal(k.last.n[DIFFERENCE_N_OFFSET], off);
		assert_int_equal(image_write(m[1], at, c.disk + at, 512), 0);
	}
	image_close(m[0]);
	image_close(m[1]);
	image_file_close(to);
	chain_fini(&c);
}

static void test_convert(void **state)
{
	struct chain c;

	for (unsigned i = 0; i < 2; i++) {
		struct sink k = SINK;
		chain_init(&c, 11 + i);
		struct image_file *to = make(&c, 3, "to", NULL);
		assert_int_equal(convert(&c, to, i, &k), 0);
		right(&c, to);
		image_file_close(to);
		to = make(&c, 3, "stop", NULL);
		k.stop_at = k.calls + 1;
		assert_int_equal(convert(&c, to, i, &k), -ECANCELED);
		image_file_close(to);
		/* Whoever fails first stops all the others. */
		for (unsigned n = 1; n < 40; n += 3) {
			to = make(&c, 3, "dies", NULL);
			c.o.nfiles--;
			writes_left = n;
			convert(&c, to, i, &k);
			writes_left = ~0u;
			image_file_close(to);
		}
		chain_fini(&c);
	}
}

/* ---- records ---- */

static void test_records(void **state)
{
	static u8 buf[RECORD_WIRE_BYTES], copy[RECORD_WIRE_BYTES];
	char longer[3000];
	u64 seed = 99;
	struct record r = { .kind = RECORD_RUN, .n = { 1, 2, 3 }, .s = { "a\nb", NULL, longer } }, out;

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	size_t n = record_pack(&r, buf);
	memcpy(copy, buf, n);
	assert_int_equal(record_unpack(&out, copy, n), 0);
	assert_int_equal(out.n[2], 3);
	assert_string_equal(out.s[0], "a?b");
	assert_string_equal(out.s[1], "");
	assert_int_equal(strlen(out.s[2]), RECORD_TEXT_BYTES - 1);
	for (size_t i = 0; i < n; i++) {
		memcpy(copy, buf, i);
		assert_int_equal(record_unpack(&out, copy, i), -EPROTO);
	}
	for (unsigned i = 0; i < 20000; i++) {
		memcpy(copy, buf, n);
		for (unsigned k = 0; k < 4; k++)
			copy[rig_random(&seed) % n] = (u8)rig_random(&seed);
		if (record_unpack(&out, copy, n) == 0)
			for (unsigned k = 0; k < RECORD_TEXTS; k++)
				assert_true(strlen(out.s[k]) < RECORD_WIRE_BYTES);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commit_dies),  cmocka_unit_test(test_rebase_dies),
		cmocka_unit_test(test_told_to_stop), cmocka_unit_test(test_resize_hides_the_base),
		cmocka_unit_test(test_compare),      cmocka_unit_test(test_map_is_whole),
		cmocka_unit_test(test_convert),      cmocka_unit_test(test_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
