/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2_refcount.c - counts of references to clusters ("Host cluster management"), 1 to 64 bits wide. */
#include "image/qcow2_int.h"

u64 qcow2_ref_max(const struct qcow2 *q)
{
	return q->refcount_order == 6 ? UINT64_MAX : (1ull << (1u << q->refcount_order)) - 1;
}

/* "If refcount_bits implies a sub-byte width, bit 0 means the least significant bit." */
static u64 load(const struct qcow2 *q, const u8 *slice, u64 i)
{
	unsigned bits = 1u << q->refcount_order;

	switch (q->refcount_order) {
	case 3:
		return slice[i];
	case 4:
		return qcow2_ld16(slice + 2 * i);
	case 5:
		return qcow2_ld32(slice + 4 * i);
	case 6:
		return qcow2_ld64(slice + 8 * i);
	default:
		return slice[i * bits / 8] >> (i * bits % 8) & ((1u << bits) - 1);
	}
}

static void store(const struct qcow2 *q, u8 *slice, u64 i, u64 v)
{
	unsigned bits = 1u << q->refcount_order, shift = (unsigned)(i * bits % 8), mask = (1u << (bits & 7)) - 1;

	switch (q->refcount_order) {
	case 3:
		slice[i] = (u8)v;
		break;
	case 4:
		qcow2_st16(slice + 2 * i, (u16)v);
		break;
	case 5:
		qcow2_st32(slice + 4 * i, (u32)v);
		break;
	case 6:
		qcow2_st64(slice + 8 * i, v);
		break;
	default:
		slice[i * bits / 8] = (u8)((slice[i * bits / 8] & ~(mask << shift)) | v << shift);
	}
}

/* The slice that has the count of `cluster`; *slice NULL: its block is not there, the count is 0. */
static int slice_of(struct qcow2 *q, u64 cluster, u8 **slice, u64 *index, u64 *entries)
{
	unsigned block_bits = qcow2_ref_block_bits(q);
	u64 block = cluster >> block_bits, in_block = cluster & ((1ull << block_bits) - 1), at = 0;

	*entries = (u64)qcow2_slice_bytes(q) * 8 >> q->refcount_order;
	*index = in_block % *entries;
	if (block < q->rt_size)
		at = q->rt[block];
	*slice = NULL;
	if (!at)
		return 0;
	if (at & (q->cluster_bytes - 1) || at >= QCOW2_OFFSET_MAX)
		return qcow2_corrupt(q);
	return qcow2_cache_get(q->ref_cache, at + in_block / *entries * qcow2_slice_bytes(q), slice);
}

static void unused(struct qcow2 *q, u64 cluster)
{
	q->free_hint = MIN(q->free_hint, cluster);
	if (q->packed_next >> q->cluster_bits == cluster)
		q->packed_next = 0;
}

int qcow2_ref_get(struct qcow2 *q, u64 cluster, u64 *n)
{
	u64 index, entries;
	u8 *slice;
	int rc = slice_of(q, cluster, &slice, &index, &entries);

	*n = rc == 0 && slice ? load(q, slice, index) : 0;
	return rc;
}

int qcow2_ref_set(struct qcow2 *q, u64 cluster, u64 v)
{
	u64 index, entries;
	u8 *slice;
	int rc = slice_of(q, cluster, &slice, &index, &entries);

	if (rc == 0 && !slice)
		rc = v ? -EIO : 0;
	if (rc < 0 || !slice)
		return rc;
	store(q, slice, index, v);
	qcow2_cache_dirty(q->ref_cache, slice);
	if (!v)
		unused(q, cluster);
	return 0;
}

int qcow2_ref_add(struct qcow2 *q, u64 cluster, u64 n, int add)
{
	while (n) {
		u64 index, entries;
		u8 *slice;
		int rc = slice_of(q, cluster, &slice, &index, &entries);

		if (rc < 0 || !slice)
			return rc < 0 ? rc : qcow2_corrupt(q);
		qcow2_cache_dirty(q->ref_cache, slice);
		for (; n && index < entries; index++, cluster++, n--) {
			u64 v = load(q, slice, index);
			if (add > 0 && v == qcow2_ref_max(q))
				return -EOVERFLOW;
			if (add < 0 && !v)
				return qcow2_corrupt(q);
			store(q, slice, index, v + (u64)(s64)add);
			if (add < 0 && v == 1)
				unused(q, cluster);
		}
	}
	return 0;
}
