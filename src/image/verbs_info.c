/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verbs_info.c - info, map, check, measure: verbs that look (verbs.h). */
#include "image/verbs.h"

#include <sys/stat.h>

#define SNAPSHOTS_MAX 65536u
#define MEASURE_CLUSTER_BYTES (64u * KIB) /* of formats whose clusters have no option */

/* ---- info ---- */

static void say(void *opaque, const char *name, const char *value)
{
	struct verb_sink *sink = opaque;

	sink->record(sink,
		     &(struct record){ .kind = RECORD_FACT, .s = { [FACT_S_NAME] = name, [FACT_S_VALUE] = value } });
}

static void snapshots(struct image *m, struct verb_sink *sink)
{
	int n = m->ops->snapshots ? m->ops->snapshots(m, NULL, 0) : 0;

	if (n <= 0 || (unsigned)n > SNAPSHOTS_MAX)
		return;
	struct image_snapshot *list = xcalloc((size_t)n, sizeof(*list));
	n = MIN(n, m->ops->snapshots(m, list, (unsigned)n));
	for (int i = 0; i < n; i++) {
		const struct image_snapshot *s = &list[i];
		sink->record(sink, &(struct record){ .kind = RECORD_SNAPSHOT,
						     .n = { [SNAPSHOT_N_SECONDS] = s->seconds,
							    [SNAPSHOT_N_STATE_BYTES] = s->state_bytes,
							    [SNAPSHOT_N_DISK_BYTES] = s->disk_bytes },
						     .s = { [SNAPSHOT_S_ID] = s->id, [SNAPSHOT_S_NAME] = s->name } });
	}
	free(list);
}

/* Of the host's disk; 0 when that cannot be said (a device, a connection). */
static u64 host_bytes(const struct image_file *f)
{
	struct stat st;

	return f->fd >= 0 && fstat(f->fd, &st) == 0 && S_ISREG(st.st_mode) ? (u64)st.st_blocks * 512 : 0;
}

static void one_image(struct image *m, unsigned flags, struct verb_sink *sink)
{
	u64 file = m->file->bytes, host = host_bytes(m->file);

	for (unsigned i = 0; i < m->nmore; i++) {
		file += m->more[i]->bytes;
		host += host_bytes(m->more[i]);
	}
	flags |= (m->encrypted ? RECORD_ENCRYPTED : 0) | (m->file->device ? RECORD_DEVICE : 0);
	sink->record(sink, &(struct record){ .kind = RECORD_IMAGE,
					     .n = { [IMAGE_N_BYTES] = m->bytes,
						    [IMAGE_N_FILE_BYTES] = file,
						    [IMAGE_N_HOST_BYTES] = host,
						    [IMAGE_N_CLUSTER_BYTES] = m->cluster_bytes,
						    [IMAGE_N_FLAGS] = flags },
					     .s = { [IMAGE_S_FILE] = m->file->name,
						    [IMAGE_S_FORMAT] = m->format->name,
						    [IMAGE_S_BACKING] = m->backing_name,
						    [IMAGE_S_BACKING_FORMAT] = m->backing_format } });
	snapshots(m, sink);
	if (m->ops->info)
		m->ops->info(m, say, sink);
}

int verb_info(struct image *m, bool chain, bool guessed, struct verb_sink *sink)
{
	one_image(m, guessed ? RECORD_GUESSED : 0, sink);
	for (m = m->below; chain && m; m = m->below)
		one_image(m, 0, sink);
	return 0;
}

/* ---- map ---- */

/* As `qemu-img map` says it: what no image of the chain has is the lowest one's. */
static void to_record(struct image *m, u64 off, const struct image_run *run, unsigned images, struct record *r)
{
	const struct image_file *f = run->kind == IMAGE_DATA ? image_file_of(m, run->file) : NULL;
	u64 flags = run->kind == IMAGE_ZERO ? RECORD_RUN_ZERO : RECORD_RUN_DATA;

	flags |= (run->depth < images ? RECORD_RUN_PRESENT : 0) | (run->compressed ? RECORD_RUN_COMPRESSED : 0) |
		 (f ? RECORD_RUN_PLACE : 0);
	*r = (struct record){ .kind = RECORD_RUN,
			      .n = { [RUN_N_START] = off,
				     [RUN_N_BYTES] = run->bytes,
				     [RUN_N_DEPTH] = MIN(run->depth, images - 1),
				     [RUN_N_FLAGS] = flags,
				     [RUN_N_OFFSET] = f ? run->off : 0 },
			      .s = { [RUN_S_FILE] = f ? f->name : NULL } };
}

/* b goes on where a ends, in every respect. */
static bool continues(const struct record *a, const struct record *b)
{
	return a->n[RUN_N_DEPTH] == b->n[RUN_N_DEPTH] && a->n[RUN_N_FLAGS] == b->n[RUN_N_FLAGS] &&
	       a->s[RUN_S_FILE] == b->s[RUN_S_FILE] &&
	       (!(a->n[RUN_N_FLAGS] & RECORD_RUN_PLACE) ||
		a->n[RUN_N_OFFSET] + a->n[RUN_N_BYTES] == b->n[RUN_N_OFFSET]);
}

int verb_map(struct image *m, u64 off, u64 bytes, struct verb_sink *sink, struct err *e)
{
	struct record last = { 0 }, r;
	struct image_run run;
	unsigned images = 0;
	int rc = 0;

	for (const struct image *i = m; i; i = i->below)
		images++;
	off = MIN(off, m->bytes);
	for (u64 end = off + MIN(bytes, m->bytes - off); off < end; off += run.bytes) {
		rc = image_map(m, off, end - off, &run);
		if (rc < 0)
			return err_sys(e, -rc, "%s: its map at %llu", m->file->name, (unsigned long long)off);
		to_record(m, off, &run, images, &r);
		if (last.kind && continues(&last, &r)) {
			last.n[RUN_N_BYTES] += run.bytes;
			continue;
		}
		if (last.kind)
			sink->record(sink, &last);
		last = r;
		if ((rc = sink->progress(sink, off, end)) < 0)
			return err_sys(e, -rc, "%s", m->file->name);
	}
	if (last.kind)
		sink->record(sink, &last);
	return 0;
}

/* ---- check ---- */

static void finding(void *opaque, const char *line)
{
	struct verb_sink *sink = opaque;

	sink->record(sink, &(struct record){ .kind = RECORD_FINDING, .s = { [FINDING_S_LINE] = line } });
}

int verb_check(struct image *m, enum image_fix fix, unsigned reports, struct verb_sink *sink, struct err *e)
{
	struct image_check c = { .report = finding, .opaque = sink, .reports = reports };

	if (!m->ops->check)
		return err_set(e, ENOTSUP, "%s: format %s keeps nothing that could be checked", m->file->name,
			       m->format->name);
	int rc = m->ops->check(m, &c, fix, e);
	if (rc == 0 && fix != IMAGE_FIX_NONE && (rc = image_flush(m)) < 0)
		err_sys(e, -rc, "%s: cannot be written", m->file->name);
	if (rc < 0)
		return rc;
	sink->record(sink,
		     &(struct record){ .kind = RECORD_CHECK,
				       .n = { [CHECK_N_TOTAL] = c.total,
					      [CHECK_N_ALLOCATED] = c.allocated,
					      [CHECK_N_COMPRESSED] = c.compressed,
					      [CHECK_N_FRAGMENTED] = c.fragmented,
					      [CHECK_N_CORRUPT] = c.corrupt,
					      [CHECK_N_LEAKED] = c.leaked,
					      [CHECK_N_CORRUPT_FIXED] = c.corrupt_fixed,
					      [CHECK_N_LEAKED_FIXED] = c.leaked_fixed,
					      [CHECK_N_END] = c.end },
				       .s = { [CHECK_S_FILE] = m->file->name, [CHECK_S_FORMAT] = m->format->name } });
	return 0;
}

/* ---- measure ---- */

/* Clusters of `unit` bytes in which there is anything but zeros, in bytes. */
static int allocated(struct image *m, u64 unit, u64 *out, struct verb_sink *sink, struct err *e)
{
	u64 counted = 0; /* up to this place of the disk */
	struct image_run run;
	int rc;

	*out = 0;
	for (u64 off = 0; off < m->bytes; off += run.bytes) {
		if ((rc = image_map(m, off, m->bytes - off, &run)) < 0)
			return err_sys(e, -rc, "%s: its map at %llu", m->file->name, (unsigned long long)off);
		if ((rc = sink->progress(sink, off, m->bytes)) < 0)
			return err_sys(e, -rc, "%s", m->file->name);
		if (run.kind == IMAGE_ZERO)
			continue;
		u64 from = MAX(off / unit * unit, counted), to = ROUND_UP(off + run.bytes, unit);
		if (to > from)
			*out += to - from;
		counted = MAX(counted, to);
	}
	*out = MIN(*out, m->bytes);
	return 0;
}

int verb_measure(struct image *m, u64 bytes, const struct image_format *format, const char *const *options,
		 struct verb_sink *sink, struct err *e)
{
	u64 unit = format == &image_raw ? 512 : MEASURE_CLUSTER_BYTES, data = 0, out[2];
	int rc;

	if (!format->measure)
		return err_set(e, ENOTSUP, "format %s cannot say how much room it takes", format->name);
	if (format != &image_raw && (rc = image_option_size(options, "cluster_size", 512, 256 * MIB, &unit, e)) < 0)
		return rc;
	if (m && (rc = allocated(m, unit, &data, sink, e)) < 0)
		return rc;
	if ((rc = format->measure(m ? m->bytes : bytes, data, options, out, e)) < 0)
		return rc;
	sink->record(sink, &(struct record){ .kind = RECORD_MEASURE,
					     .n = { [MEASURE_N_REQUIRED] = out[0], [MEASURE_N_FULL] = out[1] } });
	return 0;
}
