/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2_drop.c - parts of the disk that become zeros, or are given up. */
#include "image/qcow2_int.h"

/* What an image below has at `off` would show if the cluster were unallocated. */
static bool below_shows(const struct qcow2 *q, u64 off)
{
	return qcow2_has_backing(q) && (!q->image.below || off < q->image.below->bytes);
}

/* What the entry becomes. False: it is that already. */
static bool become(const struct qcow2 *q, const struct qcow2_entry *x, u64 guest, enum qcow2_drop how,
		   struct qcow2_entry *to)
{
	bool keep = how == QCOW2_DROP_ZERO && x->has_host && x->copied && !x->compressed && !qcow2_external(q);
	bool flag = how != QCOW2_DROP_HOLE && (keep || below_shows(q, guest));

	*to = (struct qcow2_entry){ .zero = flag ? qcow2_all_subs(q) : 0 };
	if (keep) {
		to->host = x->host;
		to->copied = to->has_host = true;
	}
	/* A zero flag that is not needed does no harm. */
	if (how != QCOW2_DROP_HOLE && !x->has_host && x->zero == qcow2_all_subs(q))
		return false;
	return x->has_host != to->has_host || x->compressed || x->alloc || x->zero != to->zero;
}

static int drop_one(struct qcow2 *q, u64 guest, enum qcow2_drop how, const struct qcow2_entry *to)
{
	struct qcow2_entry x;
	unsigned index;
	u8 *slice;
	int rc = qcow2_l2_slice_for_write(q, guest, &slice, &index);

	if (rc == 0)
		rc = qcow2_entry_load(q, slice, index, guest, &x);
	if (rc < 0)
		return rc;
	qcow2_entry_store(q, slice, index, to);
	return to->has_host ? 0 : qcow2_entry_drop(q, &x, how != QCOW2_DROP_ZERO);
}

int qcow2_drop(struct qcow2 *q, u64 off, u64 bytes, enum qcow2_drop how)
{
	u64 table_bytes = 1ull << (q->cluster_bits + q->l2_bits), end = off + bytes;

	for (u64 at = off; at < end;) {
		u64 i = at >> (q->cluster_bits + q->l2_bits);
		struct qcow2_entry x, to;
		bool none = i >= q->l1_size || !(q->l1[i] & QCOW2_OFFSET_MASK);
		if (none && (how == QCOW2_DROP_HOLE || !below_shows(q, at))) {
			at = (at & ~(table_bytes - 1)) + table_bytes;
			continue;
		}
		int rc = qcow2_entry_of(q, at, &x);
		if (rc == 0 && become(q, &x, at, how, &to))
			rc = drop_one(q, at, how, &to);
		if (rc < 0)
			return rc;
		at += q->cluster_bytes;
	}
	return 0;
}

/* By writing, where it does not read as zeros already. */
static int write_zeros(struct image *m, u64 off, u64 end)
{
	static const u8 zeros[64 * KIB];
	struct image_run run;
	int rc = 0;

	for (; off < end && rc == 0; off += run.bytes) {
		rc = image_map(m, off, MIN(end - off, sizeof(zeros)), &run);
		if (rc == 0 && run.kind != IMAGE_ZERO)
			rc = image_write(m, off, zeros, (size_t)run.bytes);
	}
	return rc;
}

/* A part of one cluster: its whole subclusters by their bits, the rest by writing. */
static int zero_part(struct qcow2 *q, u64 off, u64 end)
{
	u64 sub = 1ull << q->sub_bits, guest = off & ~(u64)(q->cluster_bytes - 1);
	u64 a = ROUND_UP(off, sub), b = end & ~(sub - 1);
	struct qcow2_entry x;
	unsigned index;
	u8 *slice;
	int rc = qcow2_entry_of(q, guest, &x);

	if (rc < 0)
		return rc;
	if (q->nsub == 1 || a >= b || x.compressed || (x.has_host && !x.copied))
		return write_zeros(&q->image, off, end);
	rc = qcow2_l2_slice_for_write(q, guest, &slice, &index);
	if (rc < 0)
		return rc;
	u32 bits = UINT32_MAX << ((a - guest) >> q->sub_bits) & UINT32_MAX >> (31 - ((b - 1 - guest) >> q->sub_bits));
	x.zero |= bits;
	x.alloc &= ~bits;
	qcow2_entry_store(q, slice, index, &x);
	rc = off < a ? write_zeros(&q->image, off, a) : 0;
	return rc == 0 && b < end ? write_zeros(&q->image, b, end) : rc;
}

/* The whole clusters in [off, end); the last one of the disk is whole, however short. */
static bool whole(const struct qcow2 *q, u64 off, u64 end, u64 *a, u64 *b)
{
	u64 mask = q->cluster_bytes - 1;

	*a = (off + mask) & ~mask;
	*b = (end == q->image.bytes ? end + mask : end) & ~mask;
	return *a < *b;
}

int qcow2_zero(struct image *m, u64 off, u64 bytes, bool unmap)
{
	struct qcow2 *q = qcow2_of(m);
	u64 end = off + bytes, a, b;

	if (q->broken)
		return -EIO;
	if (q->data_raw)
		return image_zero(q->data, off, bytes, unmap);
	if (q->version < 3 && qcow2_has_backing(q))
		return write_zeros(m, off, end);
	if (!whole(q, off, end, &a, &b)) {
		u64 next = MIN(end, (off & ~(u64)(q->cluster_bytes - 1)) + q->cluster_bytes);
		int rc = zero_part(q, off, next);
		return rc == 0 && next < end ? zero_part(q, next, end) : rc;
	}
	enum qcow2_drop how = q->version < 3 ? QCOW2_DROP_HOLE : unmap ? QCOW2_DROP_ZERO_UNMAP : QCOW2_DROP_ZERO;
	int rc = off < a ? zero_part(q, off, a) : 0;
	if (rc == 0)
		rc = qcow2_drop(q, a, b - a, how);
	return rc == 0 && b < end ? zero_part(q, b, end) : rc;
}

/* The room in an external file; only when nothing durable leads there. */
static int punch_data(struct qcow2 *q, u64 off, u64 bytes)
{
	int rc = qcow2_flush(&q->image);

	return rc == 0 ? image_zero(q->data, off, bytes, true) : rc;
}

int qcow2_discard(struct image *m, u64 off, u64 bytes)
{
	struct qcow2 *q = qcow2_of(m);
	u64 a, b;

	if (q->broken)
		return -EIO;
	if (q->data_raw)
		return image_zero(q->data, off, bytes, true);
	/* Version 2 cannot hide what is below. */
	if (!whole(q, off, off + bytes, &a, &b) || (q->version < 3 && qcow2_has_backing(q)))
		return 0;
	int rc = qcow2_drop(q, a, b - a, qcow2_has_backing(q) ? QCOW2_DROP_ZERO_UNMAP : QCOW2_DROP_HOLE);
	return rc == 0 && qcow2_external(q) ? punch_data(q, a, b - a) : rc;
}

int qcow2_empty(struct image *m)
{
	struct qcow2 *q = qcow2_of(m);
	u64 end = ROUND_UP(m->bytes, q->cluster_bytes);

	if (q->broken || q->npending)
		return q->broken ? -EIO : -EBUSY;
	int rc = qcow2_drop(q, 0, end, QCOW2_DROP_HOLE);
	if (rc == 0)
		rc = qcow2_external(q) ? punch_data(q, 0, end) : qcow2_flush(m);
	return rc;
}
