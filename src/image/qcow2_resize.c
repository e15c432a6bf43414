/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2_resize.c - a disk becomes longer or shorter. */
#include "image/qcow2_int.h"

/* A longer L1 table, at another place: it is whole before the header leads to it. */
int qcow2_l1_grow(struct qcow2 *q, u64 entries)
{
	u64 old_off = q->l1_off, old_bytes = 8ull * q->l1_size, host;

	if (entries <= q->l1_size)
		return 0;
	if (8 * entries > QCOW2_L1_BYTES_MAX)
		return -EFBIG;
	int rc = qcow2_flush(&q->image);
	u64 clusters = qcow2_clusters(q, 8 * entries);
	if (rc == 0)
		rc = qcow2_alloc_whole(q, clusters, &host);
	if (rc < 0)
		return rc;
	u8 *raw = xcalloc(clusters, q->cluster_bytes);
	for (u32 i = 0; i < q->l1_size; i++)
		qcow2_st64(raw + 8ull * i, q->l1[i]);
	rc = image_pwrite(q->file, raw, clusters << q->cluster_bits, host);
	free(raw);
	if (rc == 0)
		rc = qcow2_write_refcounts(q);
	if (rc == 0)
		rc = image_sync(q->file);
	if (rc < 0) {
		qcow2_unalloc(q, host, clusters << q->cluster_bits);
		return rc;
	}
	q->l1 = xrealloc(q->l1, 8 * entries);
	memset(q->l1 + q->l1_size, 0, 8 * (entries - q->l1_size));
	q->l1_size = (u32)entries;
	q->l1_off = host;
	/* l1_size and l1_table_offset lie beside each other: one write. */
	rc = qcow2_header_store(q, 36, 48);
	if (rc == 0)
		rc = image_sync(q->file);
	return rc < 0 || !old_bytes ? rc : qcow2_unref(q, old_off, old_bytes, false);
}

static int store_size(struct qcow2 *q, u64 bytes)
{
	q->disk_bytes = bytes;
	int rc = qcow2_header_store(q, 24, 32);
	return rc < 0 ? rc : image_sync(q->file);
}

/* What comes into sight reads as zeros: not what is below, not what an earlier, longer disk or a VM's state left. */
static int grow(struct qcow2 *q, u64 bytes)
{
	struct image *m = &q->image;
	u64 old = m->bytes, whole = ROUND_UP(old, q->cluster_bytes), end = ROUND_UP(bytes, q->cluster_bytes);
	u64 reach = (u64)q->l1_size << (q->cluster_bits + q->l2_bits);
	int rc = whole < reach ? qcow2_drop(q, whole, MIN(end, reach) - whole, QCOW2_DROP_HOLE) : 0;

	if (rc == 0)
		rc = qcow2_l1_grow(q, qcow2_l1_entries(q, bytes));
	if (rc == 0 && qcow2_external(q) && !q->data->device)
		rc = image_resize_file(q->data, MAX(q->data->bytes, bytes));
	if (rc < 0)
		return rc;
	m->bytes = bytes;
	u64 shown = !qcow2_has_backing(q) ? 0 : m->below ? m->below->bytes : bytes;
	u64 to = MIN(bytes, MAX(whole, shown));
	if (to > old)
		rc = qcow2_zero(m, old, to - old, false);
	if (rc == 0 && q->data_raw && bytes > old)
		rc = image_zero(q->data, old, bytes - old, true);
	if (rc == 0)
		rc = qcow2_flush(m);
	if (rc < 0)
		m->bytes = old;
	return rc < 0 ? rc : store_size(q, bytes);
}

static int shrink(struct qcow2 *q, u64 bytes)
{
	u64 from = ROUND_UP(bytes, q->cluster_bytes), to = ROUND_UP(q->image.bytes, q->cluster_bytes);
	int rc = qcow2_flush(&q->image);

	if (rc == 0)
		rc = store_size(q, bytes);
	if (rc < 0)
		return rc;
	q->image.bytes = bytes;
	rc = qcow2_drop(q, from, to - from, QCOW2_DROP_HOLE);
	if (rc == 0)
		rc = qcow2_flush(&q->image);
	if (rc == 0 && qcow2_external(q) && !q->data->device)
		rc = image_resize_file(q->data, bytes);
	return rc;
}

int qcow2_resize(struct image *m, u64 bytes, struct err *e)
{
	struct qcow2 *q = qcow2_of(m);

	if (bytes % 512 || bytes > IMAGE_BYTES_MAX)
		return err_set(e, EINVAL, "%s: a disk of %llu bytes cannot be", q->file->name,
			       (unsigned long long)bytes);
	if (q->npending)
		return err_set(e, EBUSY, "%s: it is being written to", q->file->name);
	if (qcow2_extension(q, QCOW2_EXT_BITMAPS) && q->autoclear & QCOW2_AUTOCLEAR_BITMAPS)
		return err_set(e, ENOTSUP,
			       "%s: it has bitmaps, which would not fit; \"qemu-img bitmap --remove\" takes them away",
			       q->file->name);
	if (8 * qcow2_l1_entries(q, bytes) > QCOW2_L1_BYTES_MAX)
		return err_set(e, EFBIG, "%s: with clusters of %u bytes its L1 table would be too large", q->file->name,
			       q->cluster_bytes);
	int rc = q->broken ? -EIO : bytes < m->bytes ? shrink(q, bytes) : bytes > m->bytes ? grow(q, bytes) : 0;
	return rc < 0 ? err_sys(e, -rc, "%s: its size cannot be changed", q->file->name) : 0;
}
