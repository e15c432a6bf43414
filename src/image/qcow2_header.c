/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2_header.c - the header in the file ("Header"): fields that change, and the first cluster as a whole. */
#include "image/qcow2_int.h"

static void fill(const struct qcow2 *q, u8 h[QCOW2_HEADER_BYTES])
{
	memset(h, 0, QCOW2_HEADER_BYTES);
	qcow2_st32(h, QCOW2_MAGIC);
	qcow2_st32(h + 4, q->version);
	qcow2_st64(h + 8, q->backing_off);
	qcow2_st32(h + 16, q->backing_bytes);
	qcow2_st32(h + 20, q->cluster_bits);
	qcow2_st64(h + 24, q->disk_bytes);
	qcow2_st32(h + 36, q->l1_size);
	qcow2_st64(h + 40, q->l1_off);
	qcow2_st64(h + 48, q->rt_off);
	qcow2_st32(h + 56, q->rt_clusters);
	qcow2_st32(h + 60, q->nsnapshots);
	qcow2_st64(h + 64, q->snapshots_off);
	if (q->version < 3)
		return;
	qcow2_st64(h + 72, q->incompat);
	qcow2_st64(h + 80, q->compat);
	qcow2_st64(h + 88, q->autoclear);
	qcow2_st32(h + 96, q->refcount_order);
	qcow2_st32(h + 100, q->header_bytes);
	h[104] = (u8)q->compression;
}

int qcow2_header_store(struct qcow2 *q, unsigned from, unsigned to)
{
	u8 h[QCOW2_HEADER_BYTES];

	fill(q, h);
	return image_pwrite(q->file, h + from, to - from, from);
}

/* Puts an extension at *at; false: there is no room. */
static bool put(u8 *cluster, u32 room, u32 *at, u32 type, const void *data, u32 bytes)
{
	if (bytes > room || *at > room - bytes || room - bytes - *at < 8 + 7)
		return false;
	qcow2_st32(cluster + *at, type);
	qcow2_st32(cluster + *at + 4, bytes);
	if (bytes)
		memcpy(cluster + *at + 8, data, bytes);
	*at += 8 + (u32)ROUND_UP(bytes, 8u);
	return true;
}

int qcow2_header_rewrite(struct qcow2 *q)
{
	const char *name = q->image.backing_name;
	u32 room = q->cluster_bytes, bytes = (u32)strlen(name), at = q->header_bytes, old_off = q->backing_off;
	u32 old_bytes = q->backing_bytes;
	auto_free u8 *c = xcalloc(1, room);
	bool fits = true;
	/* Fields that a later version of the format put behind the ones that are known are kept. */
	int rc = image_pread(q->file, c, q->header_bytes, 0);

	for (unsigned i = 0; i < q->next && fits; i++)
		fits = put(c, room, &at, q->ext[i].type, q->ext[i].data, q->ext[i].bytes);
	fits = fits && put(c, room, &at, QCOW2_EXT_END, NULL, 0) && bytes <= room - at;
	if (rc < 0 || !fits)
		return rc < 0 ? rc : -ENOSPC;
	q->backing_off = bytes ? at : 0;
	q->backing_bytes = bytes;
	memcpy(c + at, name, bytes);
	u8 h[QCOW2_HEADER_BYTES];
	fill(q, h);
	memcpy(c, h, MIN(sizeof(h), q->header_bytes));
	rc = image_pwrite(q->file, c, room, 0);
	if (rc == 0)
		rc = image_sync(q->file);
	if (rc < 0) {
		q->backing_off = old_off;
		q->backing_bytes = old_bytes;
	}
	return rc;
}

int qcow2_features(struct qcow2 *q, u64 set, u64 clear)
{
	u64 now = (q->incompat | set) & ~clear;

	if (q->version < 3 || now == q->incompat)
		return 0;
	q->incompat = now;
	int rc = qcow2_header_store(q, 72, 80);
	return rc < 0 ? rc : image_sync(q->file);
}

int qcow2_corrupt(struct qcow2 *q)
{
	if (!q->broken && !q->image.readonly && q->opened)
		qcow2_features(q, QCOW2_INCOMPAT_CORRUPT, 0);
	q->broken = true;
	return -EIO;
}

int qcow2_set_backing(struct image *m, const char *name, const char *format, struct err *e)
{
	struct qcow2 *q = qcow2_of(m);
	char old_name[IMAGE_NAME_MAX], old_format[sizeof(m->backing_format)];

	if (strlen(name) >= IMAGE_NAME_MAX || (format && strlen(format) >= sizeof(m->backing_format)))
		return err_set(e, ENAMETOOLONG, "%s: the name of its backing image may have %u bytes", q->file->name,
			       IMAGE_NAME_MAX - 1);
	if (*name && q->data_raw)
		return err_set(e, EINVAL, "%s: with a raw data file it can have no backing image", q->file->name);
	memcpy(old_name, m->backing_name, sizeof(old_name));
	memcpy(old_format, m->backing_format, sizeof(old_format));
	snprintf(m->backing_name, sizeof(m->backing_name), "%s", name);
	snprintf(m->backing_format, sizeof(m->backing_format), "%s", *name && format ? format : "");
	const char *f = m->backing_format;
	qcow2_extension_set(q, QCOW2_EXT_BACKING_FORMAT, *f ? f : NULL, (u32)strlen(f));
	int rc = qcow2_flush(m);
	if (rc == 0)
		rc = qcow2_header_rewrite(q);
	if (rc == 0)
		return 0;
	memcpy(m->backing_name, old_name, sizeof(old_name));
	memcpy(m->backing_format, old_format, sizeof(old_format));
	qcow2_extension_set(q, QCOW2_EXT_BACKING_FORMAT, *old_format ? old_format : NULL, (u32)strlen(old_format));
	return err_sys(e, -rc, "%s: its header cannot be written", q->file->name);
}
