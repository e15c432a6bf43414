/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2_flush.c - the order in which an image becomes durable (qcow2_int.h: INV-1, INV-2).
 *
 *   1. counts of references             3. the refcount table     4. L2 slices      6. the L1 table
 *   2. sync; the guest's data, too         (2., 5.: only when the next step has something to write)
 *   7. sync
 *   8. what the old tables referenced is free: counts go down, in the cache and in the file, without a sync
 */
#include "image/qcow2_int.h"

static int write_table(struct qcow2 *q, const u64 *table, u64 off, u32 from, u32 to)
{
	u8 raw[512];
	int rc = 0;

	/* No write crosses a sector: a crash leaves the old entries of it or the new ones. */
	while (from < to && rc == 0) {
		u32 n = MIN(to - from, (u32)(sizeof(raw) / 8) - from % (u32)(sizeof(raw) / 8));
		for (u32 i = 0; i < n; i++)
			qcow2_st64(raw + 8ull * i, table[from + i]);
		rc = image_pwrite(q->file, raw, 8ull * n, off + 8ull * from);
		from += n;
	}
	return rc;
}

/* New blocks of counts were written when they were made; they are durable before the table leads to them. */
int qcow2_write_refcounts(struct qcow2 *q)
{
	int rc = qcow2_cache_write(q->ref_cache);

	if (rc < 0 || q->rt_dirty_from >= q->rt_dirty_to)
		return rc;
	rc = image_sync(q->file);
	if (rc == 0)
		rc = write_table(q, q->rt, q->rt_off, q->rt_dirty_from, q->rt_dirty_to);
	if (rc == 0)
		q->rt_dirty_from = q->rt_dirty_to = 0;
	return rc;
}

static int sync_all(struct qcow2 *q)
{
	int rc = image_sync(q->file);

	return rc == 0 && qcow2_external(q) ? image_sync(q->data) : rc;
}

/* Steps 1 to 6. */
static int write_tables(struct qcow2 *q)
{
	bool l1 = q->l1_dirty_from < q->l1_dirty_to, l2 = qcow2_cache_is_dirty(q->l2_cache);
	int rc = 0;

	if (!l1 && !l2)
		return q->lazy ? 0 : qcow2_write_refcounts(q);
	if (q->lazy)
		rc = qcow2_features(q, QCOW2_INCOMPAT_DIRTY, 0);
	else
		rc = qcow2_write_refcounts(q);
	if (rc == 0)
		rc = sync_all(q);
	if (rc == 0)
		rc = qcow2_cache_write(q->l2_cache);
	if (rc < 0 || !l1)
		return rc;
	if (l2)
		rc = sync_all(q);
	if (rc == 0)
		rc = write_table(q, q->l1, q->l1_off, q->l1_dirty_from, q->l1_dirty_to);
	if (rc == 0)
		q->l1_dirty_from = q->l1_dirty_to = 0;
	return rc;
}

int qcow2_flush(struct image *m)
{
	struct qcow2 *q = qcow2_of(m);
	int rc = write_tables(q);

	if (rc == 0)
		rc = sync_all(q);
	if (rc < 0 || !q->nfrees)
		return rc;
	rc = qcow2_apply_frees(q);
	return rc < 0 || q->lazy ? rc : qcow2_write_refcounts(q);
}

int qcow2_l2_clean(struct qcow2 *q, u64 off)
{
	(void)off;
	return qcow2_flush(&q->image);
}

/* At any time: the file may say more references than there are, but counts only go down when that is true in it. */
int qcow2_ref_clean(struct qcow2 *q, u64 off)
{
	return qcow2_cache_write_one(q->ref_cache, off);
}
