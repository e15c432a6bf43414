/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2_snapshot_table.c - the directory of internal snapshots ("Snapshots"). */
#include "image/qcow2_int.h"

#define ENTRY_BYTES 40u
#define EXTRA_BYTES 16u /* that are known: state, size of the disk */
#define EXTRA_MAX 1024u

void qcow2_snapshot_free(struct qcow2_snapshot *s)
{
	free(s->rest);
	s->rest = NULL;
}

static u64 entry_bytes(const struct qcow2_snapshot *s)
{
	return ROUND_UP(ENTRY_BYTES + (u64)s->extra_bytes + s->id_bytes + s->name_bytes, 8);
}

/* One entry at `off` of the file. */
static int load_one(struct qcow2 *q, u64 off, struct qcow2_snapshot *s, struct err *e)
{
	u8 h[ENTRY_BYTES];
	int rc = image_pread(q->file, h, sizeof(h), off);

	if (rc < 0)
		return err_sys(e, -rc, "its snapshots cannot be read");
	*s = (struct qcow2_snapshot){ .l1_off = qcow2_ld64(h),
				      .l1_size = qcow2_ld32(h + 8),
				      .id_bytes = qcow2_ld16(h + 12),
				      .name_bytes = qcow2_ld16(h + 14),
				      .seconds = qcow2_ld32(h + 16),
				      .nanoseconds = qcow2_ld32(h + 20),
				      .guest_ns = qcow2_ld64(h + 24),
				      .state_bytes = qcow2_ld32(h + 32),
				      .extra_bytes = qcow2_ld32(h + 36),
				      .disk_bytes = q->disk_bytes };
	u64 l1_bytes = 8ull * s->l1_size;
	if (s->extra_bytes > EXTRA_MAX || l1_bytes > QCOW2_L1_BYTES_MAX || s->l1_off & (q->cluster_bytes - 1) ||
	    s->l1_off > QCOW2_OFFSET_MAX || (l1_bytes && s->l1_off < q->cluster_bytes))
		return err_set(e, EINVAL, "its table of snapshots contradicts itself");
	u32 rest = s->extra_bytes + s->id_bytes + s->name_bytes;
	s->rest = xcalloc(1, rest + 1ull);
	rc = image_pread(q->file, s->rest, rest, off + ENTRY_BYTES);
	if (rc < 0)
		return err_sys(e, -rc, "its snapshots cannot be read");
	if (s->extra_bytes >= 8)
		s->state_bytes = qcow2_ld64(s->rest);
	if (s->extra_bytes >= EXTRA_BYTES)
		s->disk_bytes = qcow2_ld64(s->rest + 8);
	if (s->disk_bytes > IMAGE_BYTES_MAX)
		return err_set(e, EINVAL, "its table of snapshots contradicts itself");
	return 0;
}

int qcow2_snapshots_load(struct qcow2 *q, u32 n, u64 off, struct err *e)
{
	u64 at = off;

	if (!n)
		return 0;
	if (n > QCOW2_SNAPSHOTS_MAX)
		return err_set(e, EFBIG, "it has %u snapshots; there may be %u", n, QCOW2_SNAPSHOTS_MAX);
	if (off & (q->cluster_bytes - 1) || off < q->cluster_bytes || off >= q->file->bytes)
		return err_set(e, EINVAL, "its table of snapshots contradicts itself");
	q->snapshots = xcalloc(n, sizeof(*q->snapshots));
	q->snapshots_off = off;
	for (; q->nsnapshots < n; q->nsnapshots++) {
		struct qcow2_snapshot *s = &q->snapshots[q->nsnapshots];
		int rc = load_one(q, at, s, e);
		at += entry_bytes(s);
		if (rc == 0 && at - off > QCOW2_SNAPSHOT_TABLE_MAX)
			rc = err_set(e, EFBIG, "its table of snapshots is too large");
		if (rc < 0) {
			qcow2_snapshot_free(s);
			return rc;
		}
	}
	q->snapshots_bytes = at - off;
	return 0;
}

static void store_one(const struct qcow2_snapshot *s, u8 *h)
{
	qcow2_st64(h, s->l1_off);
	qcow2_st32(h + 8, s->l1_size);
	qcow2_st16(h + 12, s->id_bytes);
	qcow2_st16(h + 14, s->name_bytes);
	qcow2_st32(h + 16, s->seconds);
	qcow2_st32(h + 20, s->nanoseconds);
	qcow2_st64(h + 24, s->guest_ns);
	qcow2_st32(h + 32, (u32)MIN(s->state_bytes, UINT32_MAX));
	qcow2_st32(h + 36, s->extra_bytes);
	memcpy(h + ENTRY_BYTES, s->rest, s->extra_bytes + s->id_bytes + s->name_bytes);
}

int qcow2_snapshots_store(struct qcow2 *q, struct qcow2_snapshot *list, u32 n)
{
	u64 bytes = 0, host = 0, old_off = q->snapshots_off, old_bytes = q->snapshots_bytes, at = 0;
	int rc = 0;

	for (u32 i = 0; i < n; i++)
		bytes += entry_bytes(&list[i]);
	if (bytes > QCOW2_SNAPSHOT_TABLE_MAX)
		return -EFBIG;
	if (n) {
		u64 clusters = qcow2_clusters(q, bytes);
		rc = qcow2_alloc_whole(q, clusters, &host);
		if (rc < 0)
			return rc;
		u8 *raw = xcalloc(clusters, q->cluster_bytes);
		for (u32 i = 0; i < n; at += entry_bytes(&list[i++]))
			store_one(&list[i], raw + at);
		rc = image_pwrite(q->file, raw, clusters << q->cluster_bits, host);
		free(raw);
	}
	if (rc == 0)
		rc = qcow2_write_refcounts(q);
	if (rc == 0)
		rc = image_sync(q->file);
	if (rc < 0) {
		if (n)
			qcow2_unalloc(q, host, bytes);
		return rc;
	}
	q->snapshots = list;
	q->nsnapshots = n;
	q->snapshots_off = host;
	q->snapshots_bytes = bytes;
	rc = qcow2_header_store(q, 60, 72);
	if (rc == 0)
		rc = image_sync(q->file);
	return rc < 0 || !old_bytes ? rc : qcow2_unref(q, old_off, old_bytes, false);
}

int qcow2_snapshots(struct image *m, struct image_snapshot *list, unsigned room)
{
	struct qcow2 *q = qcow2_of(m);

	for (u32 i = 0; i < MIN(q->nsnapshots, room); i++) {
		const struct qcow2_snapshot *s = &q->snapshots[i];
		const char *id = (const char *)s->rest + s->extra_bytes;
		struct image_snapshot *to = &list[i];
		*to = (struct image_snapshot){ .seconds = s->seconds,
					       .state_bytes = s->state_bytes,
					       .disk_bytes = s->disk_bytes };
		memcpy(to->id, id, MIN(s->id_bytes, sizeof(to->id) - 1));
		memcpy(to->name, id + s->id_bytes, MIN(s->name_bytes, sizeof(to->name) - 1));
	}
	return (int)q->nsnapshots;
}
