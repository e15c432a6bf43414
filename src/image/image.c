/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image.c - see image.h. Here: chains of images, and the steps that are the same for all formats. */
#include "image/image.h"

#define SECTOR 512u
#define BOUNCE_BYTES (64u * KIB)

/* ---- opening and closing ---- */

static void close_one(struct image *m)
{
	struct image_file **more = m->more;
	unsigned n = m->nmore;

	m->ops->close(m);
	for (unsigned i = 0; i < n; i++)
		image_file_close(more[i]);
	free(more);
}

static int open_one(struct image **out, const struct image_format *format, bool raw_ok, const struct image_open *o,
		    struct err *e)
{
	const struct image_format *f = format ? format : image_format_probe(o->file);

	if (!f && !raw_ok)
		return err_set(e, EINVAL, "%s: it is of no format that is known; if it is raw, say so", o->file->name);
	f = f ? f : &image_raw;
	int rc = f->open(out, o, e);
	if (rc < 0)
		return err_prefix(e, "%s", o->file->name);
	struct image *m = *out;
	m->format = f;
	m->file = o->file;
	m->readonly |= o->readonly;
	if (m->bytes > IMAGE_BYTES_MAX || m->bytes % SECTOR) {
		close_one(m);
		return err_set(e, EINVAL, "%s: a disk of %llu bytes cannot be", o->file->name,
			       (unsigned long long)m->bytes);
	}
	return 0;
}

/* The one below m, if it names one. */
static int open_below(struct image *m, const struct image_open *o, struct err *e)
{
	struct image_open b = { .readonly = true, .opener = o->opener };

	if (!*m->backing_name || o->no_backing)
		return 0;
	if (!o->opener)
		return err_set(e, EPERM, "%s: it is based on another image, %s, and none was given", m->file->name,
			       m->backing_name);
	char name[sizeof(m->backing_format)];
	memcpy(name, m->backing_format, sizeof(name));
	int rc = o->opener->open(o->opener, IMAGE_WANT_BACKING, m->file->name, m->backing_name, name, sizeof(name),
				 true, &b.file, e);
	if (rc < 0)
		return rc;
	const struct image_format *f = *name ? image_format_find(name) : NULL;
	if (*name && !f)
		rc = err_set(e, EINVAL, "%s: it says that its backing image is of format \"%s\", which is not known",
			     m->file->name, name);
	struct image *below = NULL;
	if (rc == 0)
		rc = open_one(&below, f, false, &b, e);
	if (rc < 0) {
		image_file_close(b.file);
		return rc;
	}
	m->below = below;
	return m->ops->backed ? m->ops->backed(m, e) : 0; /* m->below is closed with the chain */
}

static int close_chain(struct image *m)
{
	int rc = 0;

	while (m) {
		struct image *below = m->below;
		struct image_file *f = m->file;

		if (!m->readonly) {
			int r = image_flush(m);
			rc = rc ? rc : r;
		}
		close_one(m);
		image_file_close(f);
		m = below;
	}
	return rc;
}

int image_open(struct image **out, const struct image_format *format, bool raw_ok, const struct image_open *o,
	       struct err *e)
{
	struct image *top;
	unsigned depth = 1;
	int rc = open_one(&top, format, raw_ok, o, e);

	if (rc < 0)
		return rc;
	for (struct image *m = top; rc == 0 && m; m = m->below, depth++)
		rc = depth > IMAGE_CHAIN_MAX ? err_set(e, ELOOP, "%s: more than %u images are based on each other",
						       o->file->name, IMAGE_CHAIN_MAX)
					     : open_below(m, o, e);
	if (rc < 0) {
		close_chain(top->below);
		close_one(top);
		return rc;
	}
	*out = top;
	return 0;
}

int image_close(struct image *m)
{
	return close_chain(m);
}

/* ---- the map ---- */

int image_map(struct image *m, u64 off, u64 bytes, struct image_run *run)
{
	unsigned depth = 0;

	for (;; m = m->below, depth++) {
		if (!m || off >= m->bytes) {
			*run = (struct image_run){ .kind = IMAGE_ZERO, .bytes = bytes, .depth = depth };
			return 0;
		}
		int rc = m->ops->map(m, off, MIN(bytes, m->bytes - off), run);
		if (rc < 0)
			return rc;
		if (!run->bytes || run->bytes > bytes || run->bytes % SECTOR)
			return -EIO;
		run->depth = depth;
		if (depth)
			run->in_place = false;
		if (run->kind != IMAGE_HOLE)
			return 0;
		bytes = run->bytes;
	}
}

int image_prepare(struct image *m, u64 off, u64 bytes, struct image_run *run)
{
	return m->readonly ? -EPERM : m->ops->prepare(m, off, bytes, run);
}

int image_commit(struct image *m, u64 off, u64 bytes)
{
	return m->ops->commit ? m->ops->commit(m, off, bytes) : 0;
}

void image_abandon(struct image *m, u64 off, u64 bytes)
{
	if (m->ops->abandon)
		m->ops->abandon(m, off, bytes);
}

struct image_file *image_file_of(struct image *m, unsigned id)
{
	for (; m; m = m->below) {
		if (m->file->id == id)
			return m->file;
		for (unsigned i = 0; i < m->nmore; i++)
			if (m->more[i]->id == id)
				return m->more[i];
	}
	return NULL;
}

/* ---- data ---- */

static struct image *at_depth(struct image *m, unsigned depth)
{
	while (depth--)
		m = m->below;
	return m;
}

static int read_run(struct image *m, const struct image_run *run, u64 off, void *buf)
{
	switch (run->kind) {
	case IMAGE_DATA: {
		struct image_file *f = image_file_of(m, run->file);
		return f ? image_pread(f, buf, (size_t)run->bytes, run->off) : -EIO;
	}
	case IMAGE_COOKED:
		m = at_depth(m, run->depth);
		return m->ops->read(m, off, buf, (size_t)run->bytes);
	default:
		memset(buf, 0, (size_t)run->bytes);
		return 0;
	}
}

int image_read(struct image *m, u64 off, void *buf, size_t n)
{
	struct image_run run;

	if (off > m->bytes || n > m->bytes - off)
		return -EINVAL;
	for (; n; off += run.bytes, buf = (char *)buf + run.bytes, n -= (size_t)run.bytes) {
		int rc = image_map(m, off, n, &run);
		if (rc == 0)
			rc = read_run(m, &run, off, buf);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int write_run(struct image *m, const struct image_run *run, u64 off, const void *buf)
{
	struct image_file *f = run->kind == IMAGE_DATA ? image_file_of(m, run->file) : NULL;

	if (run->kind == IMAGE_COOKED)
		return m->ops->write(m, off, buf, (size_t)run->bytes);
	int rc = f ? image_pwrite(f, buf, (size_t)run->bytes, run->off) : -EIO;
	if (run->in_place)
		return rc;
	if (rc < 0)
		image_abandon(m, off, run->bytes);
	return rc < 0 ? rc : image_commit(m, off, run->bytes);
}

int image_write(struct image *m, u64 off, const void *buf, size_t n)
{
	struct image_run run;

	if (off > m->bytes || n > m->bytes - off)
		return -EINVAL;
	for (; n; off += run.bytes, buf = (const char *)buf + run.bytes, n -= (size_t)run.bytes) {
		int rc = image_prepare(m, off, n, &run);
		if (rc == 0 && (!run.bytes || run.bytes > n))
			rc = -EIO;
		if (rc == 0)
			rc = write_run(m, &run, off, buf);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int image_write_zeroes(struct image *m, u64 off, u64 bytes, bool unmap)
{
	static const u8 zeros[BOUNCE_BYTES];
	int rc = 0;

	if (m->readonly)
		return -EPERM;
	if (m->ops->zero)
		return m->ops->zero(m, off, bytes, unmap);
	for (; bytes && rc == 0; off += MIN(bytes, BOUNCE_BYTES), bytes -= MIN(bytes, BOUNCE_BYTES))
		rc = image_write(m, off, zeros, (size_t)MIN(bytes, BOUNCE_BYTES));
	return rc;
}

int image_discard(struct image *m, u64 off, u64 bytes)
{
	if (m->readonly)
		return -EPERM;
	return m->ops->discard ? m->ops->discard(m, off, bytes) : 0;
}

int image_flush(struct image *m)
{
	return m->readonly ? 0 : m->ops->flush(m);
}
