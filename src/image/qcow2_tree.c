/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2_tree.c - all that an L1 table leads to: its counts, and the flags that say "counted once". */
#include "image/qcow2_int.h"

int qcow2_l1_load(struct qcow2 *q, u64 off, u32 size, u64 **l1)
{
	auto_free u8 *raw = malloc(8ull * size + 1);

	if (!raw)
		return -ENOMEM;
	int rc = image_pread(q->file, raw, 8ull * size, off);
	if (rc < 0)
		return rc;
	*l1 = xcalloc(size + 1ull, 8);
	for (u32 i = 0; i < size; i++)
		(*l1)[i] = qcow2_ld64(raw + 8ull * i);
	return 0;
}

static int add_one(struct qcow2 *q, const struct qcow2_entry *x, int add)
{
	if (!x->has_host || qcow2_external(q))
		return 0;
	u64 bytes = x->compressed ? x->packed : q->cluster_bytes;
	u64 first = x->host >> q->cluster_bits, last = (x->host + bytes - 1) >> q->cluster_bits;
	return qcow2_ref_add(q, first, last - first + 1, add);
}

static int add_table(struct qcow2 *q, u64 table, u64 guest, int add)
{
	unsigned n = qcow2_slice_entries(q);
	int rc = 0;

	for (u64 at = 0; at < q->cluster_bytes && rc == 0; at += qcow2_slice_bytes(q)) {
		u8 *slice;
		rc = qcow2_cache_get(q->l2_cache, table + at, &slice);
		for (unsigned i = 0; i < n && rc == 0; i++, guest += q->cluster_bytes) {
			struct qcow2_entry x;
			rc = qcow2_entry_load(q, slice, i, guest, &x);
			if (rc == 0)
				rc = add_one(q, &x, add);
		}
	}
	return rc;
}

int qcow2_tree_add(struct qcow2 *q, const u64 *l1, u32 size, int add)
{
	int rc = 0;

	for (u32 i = 0; i < size && rc == 0; i++) {
		u64 table = l1[i] & QCOW2_OFFSET_MASK, count;
		if (!table)
			continue;
		if (table & (q->cluster_bytes - 1))
			return qcow2_corrupt(q);
		rc = add_table(q, table, (u64)i << (q->cluster_bits + q->l2_bits), add);
		if (rc == 0)
			rc = qcow2_ref_add(q, table >> q->cluster_bits, 1, add);
		/* Its slices must not be found in the cache when the cluster is another table. */
		if (rc == 0 && add < 0 && qcow2_ref_get(q, table >> q->cluster_bits, &count) == 0 && !count)
			qcow2_cache_forget(q->l2_cache, table, q->cluster_bytes);
	}
	return rc;
}

/* Sets or clears the flag of one slice's entries. */
static int slice_flags(struct qcow2 *q, u64 at, bool clear, u64 *changed)
{
	unsigned n = qcow2_slice_entries(q);
	u8 *slice;
	int rc = qcow2_cache_get(q->l2_cache, at, &slice);

	for (unsigned i = 0; i < n && rc == 0; i++) {
		u8 *entry = slice + (size_t)i * q->entry_bytes;
		u64 v = qcow2_ld64(entry), count = 0;
		if (v & QCOW2_COMPRESSED || !(v & QCOW2_OFFSET_MASK))
			continue;
		if (!clear)
			rc = qcow2_ref_get(q, (v & QCOW2_OFFSET_MASK) >> q->cluster_bits, &count);
		u64 want = (v & ~QCOW2_COPIED) | (count == 1 ? QCOW2_COPIED : 0);
		if (rc < 0 || want == v)
			continue;
		qcow2_st64(entry, want);
		qcow2_cache_dirty(q->l2_cache, slice);
		++*changed;
	}
	return rc;
}

int qcow2_tree_flags(struct qcow2 *q, bool clear, u64 *changed)
{
	int rc = 0;

	for (u32 i = 0; i < q->l1_size && rc == 0; i++) {
		u64 table = q->l1[i] & QCOW2_OFFSET_MASK, count = 0;
		if (!table || table & (q->cluster_bytes - 1))
			continue;
		if (!clear)
			rc = qcow2_ref_get(q, table >> q->cluster_bits, &count);
		u64 want = table | (count == 1 ? QCOW2_COPIED : 0);
		if (rc == 0 && want != q->l1[i]) {
			q->l1[i] = want;
			if (q->l1_dirty_from >= q->l1_dirty_to)
				q->l1_dirty_from = i;
			q->l1_dirty_to = i + 1;
			++*changed;
		}
		/* A shared table of the active ones is not changed in place; its entries cannot be counted once. */
		for (u64 at = 0; at < q->cluster_bytes && rc == 0; at += qcow2_slice_bytes(q))
			rc = qcow2_external(q) ? 0 : slice_flags(q, table + at, clear, changed);
	}
	return rc;
}
