/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2_alloc.c - host clusters are found for use, and given back once nothing in the file leads to them. */
#include "image/qcow2_int.h"

#define FREES_MAX 65536u

/* A count of 0 says that a cluster is free; in an image that lies, it may be a table all the same. */
static bool is_metadata(const struct qcow2 *q, u64 host, u64 bytes)
{
	const struct {
		u64 off, bytes;
	} tables[] = { { 0, q->cluster_bytes },
		       { q->l1_off, 8ull * q->l1_size },
		       { q->rt_off, (u64)q->rt_clusters << q->cluster_bits },
		       { q->snapshots_off, q->snapshots_bytes } };

	for (unsigned i = 0; i < ARRAY_LEN(tables); i++)
		if (tables[i].bytes && host < tables[i].off + tables[i].bytes && tables[i].off < host + bytes)
			return true;
	for (u32 i = 0; i < q->l1_size; i++)
		if ((q->l1[i] & QCOW2_OFFSET_MASK) - host < bytes)
			return true;
	for (u32 i = 0; i < q->rt_size; i++)
		if (q->rt[i] - host < bytes)
			return true;
	for (u32 i = 0; i < q->nsnapshots; i++)
		if (q->snapshots[i].l1_off < host + bytes &&
		    host < q->snapshots[i].l1_off + 8ull * q->snapshots[i].l1_size)
			return true;
	return false;
}

/* The first free cluster at or behind `from`, and how many follow it, up to n. Makes blocks of counts where there are
 * none. */
static int find_free(struct qcow2 *q, u64 from, u64 n, u64 *cluster, u64 *got)
{
	unsigned block_bits = qcow2_ref_block_bits(q);
	u64 found = 0;

	for (u64 c = from;; c++) {
		u64 count;
		int rc;

		if (c >= QCOW2_OFFSET_MAX >> q->cluster_bits)
			return -EFBIG;
		if (q->file->device && (c + 1) << q->cluster_bits > q->file->bytes) {
			*cluster = c - found;
			*got = found;
			return found ? 0 : -ENOSPC;
		}
		if (c >> block_bits >= q->rt_size || !q->rt[c >> block_bits]) {
			rc = qcow2_ref_grow(q, c >> block_bits);
			if (rc < 0)
				return rc;
		}
		rc = qcow2_ref_get(q, c, &count);
		if (rc < 0)
			return rc;
		if (!count && ++found < n)
			continue;
		if (!found)
			continue;
		*cluster = count ? c - found : c + 1 - found;
		*got = found;
		return 0;
	}
}

static int use(struct qcow2 *q, u64 cluster, u64 n, u64 *host, bool *fresh)
{
	u64 off = cluster << q->cluster_bits, end = (cluster + n) << q->cluster_bits;

	if (is_metadata(q, off, end - off))
		return qcow2_corrupt(q);
	int rc = qcow2_ref_add(q, cluster, n, 1);
	if (rc < 0)
		return rc;
	/* The file is made as long: others write there who do not tell us its new length. */
	*fresh = !q->file->device && off >= q->file->bytes;
	if (end > q->file->bytes && !q->file->device)
		rc = image_resize_file(q->file, end);
	if (rc < 0)
		qcow2_ref_add(q, cluster, n, -1);
	q->plain_at = UINT64_MAX; /* it may have been there */
	*host = off;
	return rc;
}

int qcow2_alloc(struct qcow2 *q, u64 n, u64 *host, u64 *got, bool *fresh)
{
	u64 cluster;
	int rc = q->broken ? -EIO : find_free(q, q->free_hint, n, &cluster, got);

	if (rc == -ENOSPC && q->nfrees) {
		rc = qcow2_flush(&q->image);
		rc = rc < 0 ? rc : find_free(q, q->free_hint, n, &cluster, got);
	}
	if (rc == 0)
		rc = use(q, cluster, *got, host, fresh);
	if (rc == 0)
		q->free_hint = cluster + *got;
	return rc;
}

int qcow2_alloc_whole(struct qcow2 *q, u64 n, u64 *host)
{
	u64 from = q->free_hint, hint = from, cluster, got;
	bool fresh;

	for (;; from = cluster + got) {
		int rc = q->broken ? -EIO : find_free(q, from, n, &cluster, &got);
		if (rc < 0)
			return rc;
		if (got < n)
			continue;
		rc = use(q, cluster, n, host, &fresh);
		if (rc == 0 && cluster == hint)
			q->free_hint = hint + n;
		return rc;
	}
}

int qcow2_unref(struct qcow2 *q, u64 host, u64 bytes, bool punch)
{
	u64 first = host >> q->cluster_bits, last = (host + bytes - 1) >> q->cluster_bits;
	struct qcow2_free *f = q->nfrees ? &q->frees[q->nfrees - 1] : NULL;

	if (f && f->cluster + f->n == first && f->punch == punch) {
		f->n += last - first + 1;
		return 0;
	}
	if (q->nfrees == q->frees_room) {
		q->frees_room = MAX(q->frees_room * 2, 64);
		q->frees = xrealloc(q->frees, q->frees_room * sizeof(*q->frees));
	}
	q->frees[q->nfrees++] = (struct qcow2_free){ first, last - first + 1, punch };
	return q->nfrees >= FREES_MAX ? qcow2_flush(&q->image) : 0;
}

int qcow2_unalloc(struct qcow2 *q, u64 host, u64 bytes)
{
	return qcow2_ref_add(q, host >> q->cluster_bits, qcow2_clusters(q, bytes), -1);
}

/* Gives the room of those among n clusters back that nothing uses any more. */
static void punch_holes(struct qcow2 *q, u64 cluster, u64 n)
{
	u64 from = cluster, count;

	for (u64 c = cluster; c <= cluster + n; c++) {
		if (c < cluster + n && qcow2_ref_get(q, c, &count) == 0 && !count)
			continue;
		/* A host that cannot, keeps it. */
		if (c > from)
			image_zero(q->file, from << q->cluster_bits, (c - from) << q->cluster_bits, true);
		from = c + 1;
	}
}

int qcow2_apply_frees(struct qcow2 *q)
{
	int rc = 0;

	/* One that fails is lost room, and what was done of it must not be done twice. */
	for (size_t i = 0; i < q->nfrees; i++) {
		int r = qcow2_ref_add(q, q->frees[i].cluster, q->frees[i].n, -1);
		if (r == 0 && q->frees[i].punch)
			punch_holes(q, q->frees[i].cluster, q->frees[i].n);
		rc = rc < 0 ? rc : r;
	}
	q->nfrees = 0;
	return rc;
}
