/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2_entry.c - L1 and L2 entries ("Cluster mapping", "Extended L2 Entries"). */
#include "image/qcow2_int.h"

static int slice_at(struct qcow2 *q, u64 table, u64 off, u8 **slice, unsigned *index)
{
	u64 cluster = off >> q->cluster_bits & ((1ull << q->l2_bits) - 1);
	unsigned n = qcow2_slice_entries(q);

	if (table & (q->cluster_bytes - 1))
		return qcow2_corrupt(q);
	*index = (unsigned)(cluster % n);
	return qcow2_cache_get(q->l2_cache, table + cluster / n * qcow2_slice_bytes(q), slice);
}

int qcow2_l2_slice(struct qcow2 *q, u64 off, u8 **slice, unsigned *index)
{
	u64 i = off >> (q->cluster_bits + q->l2_bits), table = i < q->l1_size ? q->l1[i] & QCOW2_OFFSET_MASK : 0;

	*slice = NULL;
	*index = (unsigned)(off >> q->cluster_bits) % qcow2_slice_entries(q);
	return table ? slice_at(q, table, off, slice, index) : 0;
}

/* A new table for L1 entry i, in the file, with what the old one has. */
static int new_table(struct qcow2 *q, u64 i)
{
	u64 old = q->l1[i] & QCOW2_OFFSET_MASK, host;
	int rc = qcow2_alloc_whole(q, 1, &host);

	if (rc < 0)
		return rc;
	u8 *table = xcalloc(1, q->cluster_bytes);
	u32 step = qcow2_slice_bytes(q);
	for (u32 at = 0; old && at < q->cluster_bytes && rc == 0; at += step) {
		u8 *slice;
		rc = qcow2_cache_get(q->l2_cache, old + at, &slice);
		if (rc == 0)
			memcpy(table + at, slice, step);
	}
	qcow2_cache_forget(q->l2_cache, host, q->cluster_bytes);
	if (rc == 0)
		rc = image_pwrite(q->file, table, q->cluster_bytes, host);
	free(table);
	if (rc < 0) {
		qcow2_unalloc(q, host, q->cluster_bytes);
		return rc;
	}
	q->l1[i] = host | QCOW2_COPIED;
	if (q->l1_dirty_from >= q->l1_dirty_to) {
		q->l1_dirty_from = (u32)i;
		q->l1_dirty_to = (u32)i + 1;
	}
	q->l1_dirty_from = MIN(q->l1_dirty_from, (u32)i);
	q->l1_dirty_to = MAX(q->l1_dirty_to, (u32)i + 1);
	return old ? qcow2_unref(q, old, q->cluster_bytes, false) : 0;
}

int qcow2_l2_slice_for_write(struct qcow2 *q, u64 off, u8 **slice, unsigned *index)
{
	u64 i = off >> (q->cluster_bits + q->l2_bits);
	int rc = 0;

	if (q->broken || i >= q->l1_size)
		return -EIO;
	if (q->l1[i] & (q->cluster_bytes - 1) & QCOW2_OFFSET_MASK)
		return qcow2_corrupt(q);
	if (!(q->l1[i] & QCOW2_COPIED) || !(q->l1[i] & QCOW2_OFFSET_MASK))
		rc = new_table(q, i);
	return rc < 0 ? rc : slice_at(q, q->l1[i] & QCOW2_OFFSET_MASK, off, slice, index);
}

int qcow2_entry_load(const struct qcow2 *q, const u8 *slice, unsigned index, u64 guest, struct qcow2_entry *x)
{
	u64 v = qcow2_ld64(slice + (size_t)index * q->entry_bytes);
	u64 bitmap = q->ext_l2 ? qcow2_ld64(slice + (size_t)index * q->entry_bytes + 8) : 0;

	*x = (struct qcow2_entry){ .copied = v & QCOW2_COPIED };
	if (v & QCOW2_COMPRESSED) {
		/* "Compressed Clusters Descriptor": x = 62 - (cluster_bits - 8) */
		unsigned shift = 62 - (q->cluster_bits - 8);
		u64 sectors = (v & (QCOW2_COMPRESSED - 1)) >> shift;
		x->host = v & ((1ull << shift) - 1);
		x->compressed = x->has_host = true;
		x->copied = false;
		x->packed = (u32)((sectors + 1) * 512 - x->host % 512);
		return x->host < QCOW2_OFFSET_MAX && !qcow2_external(q) ? 0 : -EIO;
	}
	x->host = v & QCOW2_OFFSET_MASK;
	x->has_host = x->host || (qcow2_external(q) && x->copied);
	if (x->host & (q->cluster_bytes - 1) || (x->copied && !x->has_host))
		return -EIO;
	/* "The offset field in the Standard Cluster Descriptor must match the guest offset." */
	if (qcow2_external(q) && x->has_host && x->host != guest)
		return -EIO;
	if (q->ext_l2) {
		x->alloc = (u32)bitmap;
		x->zero = (u32)(bitmap >> 32);
		return x->alloc & x->zero || (x->alloc && !x->has_host) ? -EIO : 0;
	}
	x->zero = v & QCOW2_ZERO;
	x->alloc = x->has_host && !x->zero;
	return x->zero && q->version < 3 ? -EIO : 0;
}

void qcow2_entry_store(struct qcow2 *q, u8 *slice, unsigned index, const struct qcow2_entry *x)
{
	u8 *at = slice + (size_t)index * q->entry_bytes;
	u64 v = x->host | (x->copied ? QCOW2_COPIED : 0);

	if (x->compressed) {
		unsigned shift = 62 - (q->cluster_bits - 8);
		v = QCOW2_COMPRESSED | (u64)((x->host % 512 + x->packed - 1) / 512) << shift | x->host;
	} else if (!q->ext_l2 && x->zero) {
		v |= QCOW2_ZERO;
	}
	qcow2_st64(at, v);
	if (q->ext_l2)
		qcow2_st64(at + 8, x->compressed ? 0 : (u64)x->zero << 32 | x->alloc);
	qcow2_cache_dirty(q->l2_cache, slice);
}

int qcow2_entry_of(struct qcow2 *q, u64 off, struct qcow2_entry *x)
{
	unsigned index;
	u8 *slice;
	int rc = qcow2_l2_slice(q, off, &slice, &index);

	*x = (struct qcow2_entry){ 0 };
	if (rc == 0 && slice)
		rc = qcow2_entry_load(q, slice, index, off & ~(u64)(q->cluster_bytes - 1), x);
	return rc;
}

int qcow2_entry_drop(struct qcow2 *q, const struct qcow2_entry *x, bool punch)
{
	if (!x->has_host || qcow2_external(q))
		return 0;
	return qcow2_unref(q, x->host, x->compressed ? x->packed : q->cluster_bytes, punch);
}
