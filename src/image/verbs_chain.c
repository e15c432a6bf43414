/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verbs_chain.c - resize, snapshot, commit, rebase: verbs that change an image or what it is based on (verbs.h). */
#include "image/verbs.h"

#define CHUNK_BYTES (1u << 20)

static int cannot(struct image *m, int rc, const char *what, u64 off, struct err *e)
{
	return err_sys(e, -rc, "%s: %s at %llu", m->file->name, what, (unsigned long long)off);
}

/* ---- resize, snapshot ---- */

int verb_resize(struct image *m, u64 bytes, bool shrink, struct err *e)
{
	u64 old = m->bytes;

	if (bytes % 512)
		return err_set(e, EINVAL, "a disk has whole sectors: its size is a multiple of 512 bytes");
	if (bytes < old && !shrink)
		return err_set(
		    e, EINVAL,
		    "%s: it would get smaller, and what is behind its new end be lost; if that is meant, say "
		    "--shrink",
		    m->file->name);
	if (!m->ops->resize)
		return err_set(e, ENOTSUP, "%s: the size of an image of format %s cannot be changed", m->file->name,
			       m->format->name);
	int rc = bytes == old ? 0 : m->ops->resize(m, bytes, e);
	if (rc < 0)
		return rc;
	/* What a longer backing image has there is nothing that this disk ever had. */
	if (m->below && m->below->bytes > old && bytes > old &&
	    (rc = image_write_zeroes(m, old, MIN(bytes, m->below->bytes) - old, true)) < 0)
		return cannot(m, rc, MSG("cannot be written"), old, e);
	rc = image_flush(m);
	return rc < 0 ? err_sys(e, -rc, "%s: cannot be written", m->file->name) : 0;
}

int verb_snapshot(struct image *m, enum image_snapshot_verb verb, const char *id_or_name, struct err *e)
{
	if (!m->ops->snapshot)
		return err_set(e, ENOTSUP, "%s: images of format %s have no snapshots", m->file->name, m->format->name);
	int rc = m->ops->snapshot(m, verb, id_or_name, e);
	if (rc == 0 && (rc = image_flush(m)) < 0)
		err_sys(e, -rc, "%s: cannot be written", m->file->name);
	return rc;
}

/* ---- commit ---- */

/* One run of top's that is its own. */
static int commit_run(struct image *top, struct image *base, u64 off, const struct image_run *run, u8 *buf,
		      struct err *e)
{
	int rc = run->kind == IMAGE_ZERO ? image_write_zeroes(base, off, run->bytes, true)
					 : image_read(top, off, buf, (size_t)run->bytes);

	if (run->kind != IMAGE_ZERO && rc < 0)
		return cannot(top, rc, MSG("cannot be read"), off, e);
	if (run->kind != IMAGE_ZERO)
		rc = image_write(base, off, buf, (size_t)run->bytes);
	return rc < 0 ? cannot(base, rc, MSG("cannot be written"), off, e) : 0;
}

static int commit_all(struct image *top, struct image *base, u8 *buf, struct verb_sink *sink, struct err *e)
{
	struct image_run run;
	int rc = 0;

	for (u64 off = 0; rc == 0 && off < top->bytes; off += run.bytes) {
		/* Without a backing image what is not top's own shows as one deeper. */
		if ((rc = image_map(top, off, top->bytes - off, &run)) < 0)
			return cannot(top, rc, MSG("cannot be read"), off, e);
		if (run.depth == 0) {
			run.bytes = MIN(run.bytes, run.kind == IMAGE_ZERO ? GIB : CHUNK_BYTES);
			rc = commit_run(top, base, off, &run, buf, e);
		}
		if (rc == 0 && (rc = sink->progress(sink, off + run.bytes, top->bytes)) < 0)
			return err_sys(e, -rc, "%s", top->file->name);
	}
	return rc;
}

int verb_commit(struct image *top, struct image *base, bool empty, struct verb_sink *sink, struct err *e)
{
	int rc = 0;

	if (empty && !top->ops->empty)
		return err_set(e, ENOTSUP, "%s: an image of format %s cannot be emptied", top->file->name,
			       top->format->name);
	if (base->bytes < top->bytes)
		rc = verb_resize(base, top->bytes, false, e);
	if (rc < 0)
		return rc;
	u8 *buf = xcalloc(1, CHUNK_BYTES);
	rc = commit_all(top, base, buf, sink, e);
	free(buf);
	if (rc < 0)
		return rc;
	/* Up to here a crash leaves all of it in top. */
	if ((rc = image_flush(base)) < 0)
		return err_sys(e, -rc, "%s: cannot be written", base->file->name);
	if (empty && (rc = top->ops->empty(top)) == 0)
		rc = image_flush(top);
	return rc < 0 ? err_sys(e, -rc, "%s: cannot be emptied", top->file->name) : 0;
}

/* ---- rebase ---- */

/* What one chain from `m` down (NULL: none) has: how far it is of one kind. */
static int map_below(struct image *m, u64 off, u64 *bytes, bool *zero, struct err *e)
{
	struct image_run run = { .kind = IMAGE_ZERO, .bytes = *bytes };
	int rc = m ? image_map(m, off, *bytes, &run) : 0;

	if (rc < 0)
		return cannot(m, rc, MSG("cannot be read"), off, e);
	*bytes = run.bytes;
	*zero = run.kind == IMAGE_ZERO;
	return 0;
}

static int read_below(struct image *m, u64 off, u8 *buf, size_t n, struct err *e)
{
	size_t there = m && off < m->bytes ? (size_t)MIN(n, m->bytes - off) : 0;

	memset(buf + there, 0, n - there);
	int rc = there ? image_read(m, off, buf, there) : 0;
	return rc < 0 ? cannot(m, rc, MSG("cannot be read"), off, e) : 0;
}

/* `n` bytes that m does not have itself: buf[0] as they are, buf[1] as they would be. Those that differ are written,
 * by clusters. */
static int keep(struct image *m, struct image *below, u64 off, size_t n, u8 *buf[2], struct err *e)
{
	size_t unit = m->cluster_bytes && m->cluster_bytes < CHUNK_BYTES ? m->cluster_bytes : CHUNK_BYTES, len;
	int rc = read_below(m->below, off, buf[0], n, e);

	if (rc == 0)
		rc = read_below(below, off, buf[1], n, e);
	for (size_t at = 0; rc == 0 && at < n; at += len) {
		len = MIN(n - at, unit - (size_t)((off + at) % unit));
		if (!memcmp(buf[0] + at, buf[1] + at, len))
			continue;
		rc = verb_all_zeros(buf[0] + at, len) ? image_write_zeroes(m, off + at, len, true)
						      : image_write(m, off + at, buf[0] + at, len);
		if (rc < 0)
			return cannot(m, rc, MSG("cannot be written"), off + at, e);
	}
	return rc;
}

/* One step from off on; *bytes: how far it went. */
static int rebase_step(struct image *m, struct image *below, u64 off, u64 *bytes, u8 *buf[2], struct err *e)
{
	struct image_run run;
	bool zero[2];
	int rc = image_map(m, off, *bytes, &run);

	if (rc < 0)
		return cannot(m, rc, MSG("cannot be read"), off, e);
	*bytes = run.bytes;
	if (run.depth == 0)
		return 0;
	if ((rc = map_below(m->below, off, bytes, &zero[0], e)) < 0 ||
	    (rc = map_below(below, off, bytes, &zero[1], e)) < 0 || (zero[0] && zero[1]))
		return rc;
	*bytes = MIN(*bytes, CHUNK_BYTES - off % CHUNK_BYTES);
	return keep(m, below, off, (size_t)*bytes, buf, e);
}

int verb_rebase(struct image *m, struct image *below, const char *name, const char *format, struct verb_sink *sink,
		struct err *e)
{
	u64 n;
	int rc = 0;

	if (!m->ops->set_backing)
		return err_set(e, ENOTSUP, "%s: images of format %s are not based on others", m->file->name,
			       m->format->name);
	u8 *all = xcalloc(2, CHUNK_BYTES), *buf[2] = { all, all + CHUNK_BYTES };
	for (u64 off = 0; rc == 0 && off < m->bytes; off += n) {
		n = m->bytes - off;
		rc = rebase_step(m, below, off, &n, buf, e);
		if (rc == 0 && (rc = sink->progress(sink, off + n, m->bytes)) < 0)
			err_sys(e, -rc, "%s", m->file->name);
	}
	free(all);
	if (rc == 0 && (rc = image_flush(m)) < 0)
		err_sys(e, -rc, "%s: cannot be written", m->file->name);
	if (rc == 0)
		rc = m->ops->set_backing(m, name, format, e);
	if (rc == 0 && (rc = image_flush(m)) < 0)
		err_sys(e, -rc, "%s: cannot be written", m->file->name);
	return rc;
}
