/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2_walk.c - every reference to a cluster that an image has, counted; for check. */
#include "base/i18n.h"
#include "image/qcow2_int.h"

static int ref(void *opaque, u64 off, u64 bytes)
{
	struct qcow2_check *k = opaque;
	struct qcow2 *q = k->q;

	if (!bytes)
		return 0;
	u64 a = off >> q->cluster_bits, b = (off + bytes - 1) >> q->cluster_bits;
	if (b < a || b >= k->total) {
		qcow2_found_corrupt(k, _("the clusters at 0x%llx are behind the end of the file"),
				    (unsigned long long)off);
		return 0;
	}
	a = MAX(a, k->first);
	for (u64 c = a; c <= b && c < k->first + k->n; c++)
		k->counts[c - k->first] += k->counts[c - k->first] < UINT32_MAX;
	return 0;
}

/* Whole clusters; where they begin inside of one, it is another's. */
static void ref_aligned(struct qcow2_check *k, u64 off, u64 bytes, const char *what)
{
	if (off & (k->q->cluster_bytes - 1))
		qcow2_found_corrupt(k, _("%s at 0x%llx begins inside of a cluster"), what, (unsigned long long)off);
	else
		ref(k, off, bytes);
}

static void count_entry(struct qcow2_check *k, const struct qcow2_entry *x)
{
	struct qcow2 *q = k->q;

	if (k->quiet || !x->has_host)
		return;
	k->found->allocated++;
	k->found->compressed += x->compressed;
	if (x->compressed)
		return;
	k->found->fragmented += k->last_host && x->host != k->last_host + q->cluster_bytes;
	k->last_host = x->host;
}

static int walk_l2(struct qcow2_check *k, u64 table, u64 guest, bool active)
{
	struct qcow2 *q = k->q;
	unsigned n = qcow2_slice_entries(q);

	for (u64 at = 0; at < q->cluster_bytes; at += qcow2_slice_bytes(q)) {
		u8 *slice;
		int rc = qcow2_cache_get(q->l2_cache, table + at, &slice);
		if (rc < 0)
			return rc;
		for (unsigned i = 0; i < n; i++, guest += q->cluster_bytes) {
			struct qcow2_entry x;
			if (qcow2_entry_load(q, slice, i, guest, &x) < 0) {
				qcow2_found_corrupt(k, _("the entry for 0x%llx of the disk cannot be"),
						    (unsigned long long)guest);
				continue;
			}
			if (active)
				count_entry(k, &x);
			if (x.has_host && !qcow2_external(q))
				ref(k, x.host, x.compressed ? x.packed : q->cluster_bytes);
		}
	}
	return 0;
}

static int walk_l1(struct qcow2_check *k, const u64 *l1, u32 size, bool active)
{
	struct qcow2 *q = k->q;
	u64 tables = 0;

	for (u32 i = 0; i < size; i++) {
		u64 table = l1[i] & QCOW2_OFFSET_MASK;
		if (!table)
			continue;
		/* An L1 table leads to each L2 table once; one that does not could take for ever. */
		if (++tables > k->total) {
			qcow2_found_corrupt(k, _("an L1 table leads to more tables than there are clusters"));
			return 0;
		}
		ref_aligned(k, table, q->cluster_bytes, _("an L2 table"));
		if (table & (q->cluster_bytes - 1) || table >> q->cluster_bits >= k->total)
			continue;
		int rc = walk_l2(k, table, (u64)i << (q->cluster_bits + q->l2_bits), active);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void walk_counts(struct qcow2_check *k)
{
	struct qcow2 *q = k->q;

	ref_aligned(k, q->rt_off, (u64)q->rt_clusters << q->cluster_bits, _("the refcount table"));
	for (u32 i = 0; i < q->rt_size; i++)
		if (q->rt[i])
			ref_aligned(k, q->rt[i], q->cluster_bytes, _("a block of reference counts"));
}

int qcow2_walk(struct qcow2_check *k, bool without_counts)
{
	struct qcow2 *q = k->q;
	int rc;

	memset(k->counts, 0, k->n * sizeof(*k->counts));
	k->last_host = 0;
	ref(k, 0, q->cluster_bytes);
	ref_aligned(k, q->l1_off, 8ull * q->l1_size, _("the L1 table"));
	rc = walk_l1(k, q->l1, q->l1_size, true);
	for (u32 i = 0; i < q->nsnapshots && rc == 0; i++) {
		u64 *l1 = NULL;
		ref_aligned(k, q->snapshots[i].l1_off, 8ull * q->snapshots[i].l1_size, _("a snapshot's L1 table"));
		rc = qcow2_l1_load(q, q->snapshots[i].l1_off, q->snapshots[i].l1_size, &l1);
		if (rc == 0)
			rc = walk_l1(k, l1, q->snapshots[i].l1_size, false);
		free(l1);
	}
	ref_aligned(k, q->snapshots_off, q->snapshots_bytes, _("the table of snapshots"));
	if (rc == 0)
		rc = qcow2_bitmaps_refs(q, ref, k);
	if (!without_counts)
		walk_counts(k);
	return rc;
}
