/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rig.c - see rig.h. Here: what is done with images, and qemu-img. */
#include "rig.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SECTOR 512u
#define WRITE_MAX (96u * KIB)

/* ---- images ---- */

void rig_create(struct image_file *f, const char *format, u64 bytes, const char *const *options)
{
	const struct image_format *fmt = image_format_find(format);
	struct image_create c = { .file = f, .bytes = bytes, .options = options };
	struct err e = { 0 };

	assert_non_null(fmt);
	if (fmt->create(&c, &e) < 0)
		fail_msg("create %s: %s", format, e.msg);
}

struct image *rig_open(struct image_file *f, const char *format, bool readonly, struct rig_opener *o)
{
	struct image_open io = { .file = rig_again(f), .readonly = readonly, .opener = o ? &o->opener : NULL };
	struct image *m = NULL;
	struct err e = { 0 };

	io.file->readonly = readonly;
	if (image_open(&m, image_format_find(format), false, &io, &e) < 0)
		fail_msg("open %s: %s", format, e.msg);
	return m;
}

void rig_compare(struct image *m, const u8 *want, u64 bytes)
{
	auto_free u8 *got = xrealloc(NULL, 1u * MIB);

	assert_int_equal(m->bytes, bytes);
	for (u64 off = 0; off < bytes; off += MIB) {
		size_t n = (size_t)MIN(bytes - off, MIB);
		assert_int_equal(image_read(m, off, got, n), 0);
		for (size_t i = 0; i < n; i += SECTOR)
			if (memcmp(got + i, want + off + i, SECTOR))
				fail_msg("sector at %#llx differs: %02x, not %02x", (unsigned long long)(off + i),
					 got[i], want[off + i]);
	}
}

static void show(void *opaque, const char *line)
{
	print_message("check: %s\n", line);
}

void rig_check(struct image *m, u64 leaks)
{
	struct image_check c = { .report = show, .reports = 10 };
	struct err e = { 0 };

	if (!m->ops->check)
		return;
	if (m->ops->check(m, &c, IMAGE_FIX_NONE, &e) < 0)
		fail_msg("check: %s", e.msg);
	assert_int_equal(c.corrupt, 0);
	assert_true(c.leaked <= leaks);
}

/* A range of sectors; sometimes one that begins and ends with clusters. */
static void some_range(const struct image *m, u64 *seed, u64 *off, u64 *n)
{
	u64 sectors = m->bytes / SECTOR;

	*off = rig_random(seed) % sectors;
	*n = 1 + rig_random(seed) % (WRITE_MAX / SECTOR);
	if (rig_random(seed) % 4 == 0 && m->cluster_bytes >= SECTOR) {
		u64 unit = m->cluster_bytes / SECTOR;
		*off = *off / unit * unit;
		*n = ROUND_UP(*n, unit);
	}
	*n = MIN(*n, sectors - *off) * SECTOR;
	*off *= SECTOR;
}

static struct image *reopen(struct image *m, struct image_file *f, const char *format, struct rig_opener *o)
{
	assert_int_equal(image_close(m), 0);
	return rig_open(f, format, false, o);
}

static int write_some(struct image *m, u8 *disk, u64 off, u64 n, u64 *seed)
{
	u8 with = (u8)(1 + rig_random(seed) % 255);

	for (u64 i = 0; i < n; i++)
		disk[off + i] = (u8)(with + i / SECTOR);
	return image_write(m, off, disk + off, (size_t)n);
}

void rig_play(struct image_file *f, const char *format, struct rig_opener *o, u8 *disk, u64 bytes, unsigned steps,
	      u64 seed)
{
	struct image *m = rig_open(f, format, false, o);
	u64 off, n;
	int rc = 0;

	for (unsigned i = 0; i < steps; i++) {
		some_range(m, &seed, &off, &n);
		switch (rig_random(&seed) % 16) {
		case 0:
			rc = image_flush(m);
			break;
		case 1:
			m = reopen(m, f, format, o);
			rig_compare(m, disk, bytes);
			break;
		case 2:
		case 3:
			memset(disk + off, 0, (size_t)n);
			rc = image_write_zeroes(m, off, n, rig_random(&seed) % 2);
			break;
		case 4: /* a discarded sector reads as anything that was there, or zeros: taken as it comes */
			rc = image_discard(m, off, n);
			assert_int_equal(rc, 0);
			rc = image_read(m, off, disk + off, (size_t)n);
			break;
		default:
			rc = write_some(m, disk, off, n, &seed);
		}
		assert_int_equal(rc, 0);
	}
	rig_compare(m, disk, bytes);
	m = reopen(m, f, format, o);
	rig_compare(m, disk, bytes);
	rig_check(m, 0);
	assert_int_equal(image_close(m), 0);
}

/* ---- crashes ---- */

/* A write's sectors hold its number, from 1 on; a zeroing's are 0. */
struct deed {
	u64 off, n;
	bool zeros;
	size_t done; /* entries of the log when it was flushed; SIZE_MAX: never */
};

static void do_deed(struct image *m, struct deed *d, u32 number)
{
	auto_free u8 *buf = xcalloc(1, (size_t)d->n);

	for (u64 i = 0; i < d->n && !d->zeros; i += 4)
		st_le32(buf + i, number);
	assert_int_equal(
	    d->zeros ? image_write_zeroes(m, d->off, d->n, false) : image_write(m, d->off, buf, (size_t)d->n), 0);
	d->done = SIZE_MAX;
}

/* What sector `off` may hold after a crash with `n` entries: the last deed that was flushed, or any after it. */
static bool may_hold(const struct deed *deeds, unsigned ndeeds, u64 off, size_t n, u32 value)
{
	for (unsigned i = ndeeds; i-- > 0;) {
		const struct deed *d = &deeds[i];
		if (off < d->off || off - d->off >= d->n)
			continue;
		if (value == (d->zeros ? 0 : i + 1))
			return true;
		if (d->done <= n)
			return false;
	}
	return value == 0;
}

static void after_crash(struct image_file *f, const char *format, u64 bytes, const struct deed *deeds, unsigned ndeeds,
			size_t n, u64 *seed)
{
	struct image_file *left = rig_crash(f, n, seed);
	struct image *m = rig_open(left, format, false, NULL);
	u8 sector[SECTOR];

	assert_int_equal(m->bytes, bytes);
	rig_check(m, UINT64_MAX);
	for (u64 off = 0; off < bytes; off += SECTOR) {
		assert_int_equal(image_read(m, off, sector, SECTOR), 0);
		if (!may_hold(deeds, ndeeds, off, n, ld_le32(sector)))
			fail_msg("after a crash at entry %zu the sector at %#llx holds %#x", n, (unsigned long long)off,
				 ld_le32(sector));
	}
	/* It can be written on. */
	memset(sector, 0xa5, sizeof(sector));
	assert_int_equal(image_write(m, 0, sector, SECTOR), 0);
	assert_int_equal(image_close(m), 0);
	image_file_close(left);
}

void rig_crashes(struct image_file *f, const char *format, u64 bytes, unsigned steps, unsigned crashes, u64 seed)
{
	auto_free struct deed *deeds = xcalloc(steps, sizeof(*deeds));
	unsigned ndeeds = 0, flushed = 0;

	rig_log(f);
	struct image *m = rig_open(f, format, false, NULL);
	for (unsigned i = 0; i < steps; i++) {
		if (rig_random(&seed) % 6 == 0) {
			assert_int_equal(image_flush(m), 0);
			for (; flushed < ndeeds; flushed++)
				deeds[flushed].done = rig_log_entries(f);
			continue;
		}
		struct deed *d = &deeds[ndeeds++];
		some_range(m, &seed, &d->off, &d->n);
		d->zeros = rig_random(&seed) % 8 == 0;
		do_deed(m, d, ndeeds);
	}
	assert_int_equal(image_close(m), 0);
	for (unsigned i = 0; i < crashes; i++)
		after_crash(f, format, bytes, deeds, ndeeds, rig_random(&seed) % (rig_log_entries(f) + 1), &seed);
}

void rig_poke(struct image_file *f, const char *format, struct rig_opener *o)
{
	struct image_open io = { .file = rig_again(f), .opener = o ? &o->opener : NULL };
	struct image_check c = { 0 };
	struct image *m;
	struct err e = { 0 };
	u8 buf[4096];

	int rc = image_open(&m, image_format_find(format), false, &io, &e);
	if (rc < 0) {
		assert_true(e.code != 0 && *e.msg);
		image_file_close(io.file);
		return;
	}
	for (u64 i = 0; i < 8 && m->bytes >= sizeof(buf); i++) {
		u64 off = (m->bytes - sizeof(buf)) / 7 * i / SECTOR * SECTOR;
		rc = image_read(m, off, buf, sizeof(buf));
		if (rc == 0 && i % 2)
			rc = image_write(m, off, buf, sizeof(buf));
	}
	if (m->ops->check)
		rc = m->ops->check(m, &c, IMAGE_FIX_ALL, &e);
	rc = image_close(m);
}

/* ---- qemu-img ---- */

bool rig_have_qemu(void)
{
	return access("/usr/bin/qemu-img", X_OK) == 0;
}

static char folder[64];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	return remove(path);
}

static void remove_folder(void)
{
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *rig_folder(void)
{
	if (!*folder) {
		snprintf(folder, sizeof(folder), "/tmp/mica-image-XXXXXX");
		assert_non_null(mkdtemp(folder));
		atexit(remove_folder);
	}
	return folder;
}

void rig_save_bytes(const void *bytes, u64 n, const char *name)
{
	auto_free char *path = xasprintf("%s/%s", rig_folder(), name);
	auto_fclose FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, (size_t)n, f), n);
}

void rig_save(struct image_file *f, const char *name)
{
	struct image_file *now = rig_again(f);

	rig_save_bytes(rig_bytes(f), now->bytes, name);
	image_file_close(now);
}

struct image_file *rig_load(unsigned id, const char *name)
{
	auto_free char *path = xasprintf("%s/%s", rig_folder(), name);
	auto_fclose FILE *in = fopen(path, "re");
	struct image_file *f = rig_file(id, name);
	struct stat st;
	u8 buf[64 * KIB];
	size_t n;

	assert_non_null(in);
	assert_int_equal(fstat(fileno(in), &st), 0);
	assert_int_equal(image_resize_file(f, (u64)st.st_size), 0);
	for (u64 off = 0; (n = fread(buf, 1, sizeof(buf), in)) > 0; off += n)
		assert_int_equal(image_pwrite(f, buf, n, off), 0);
	return f;
}

int rig_run(const char *fmt, ...)
{
	va_list ap;
	char line[1024], all[1280];

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	snprintf(all, sizeof(all), "cd %s && %s >out 2>&1", rig_folder(), line);
	int rc = system(all); /* NOLINT: our own words */
	if (rc) {
		snprintf(all, sizeof(all), "cat %s/out", rig_folder());
		print_message("%s:\n", line);
		if (system(all)) /* NOLINT */
			print_message("(no output)\n");
	}
	return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}
