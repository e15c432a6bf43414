/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2_map.c - where a part of the disk is: the longest run that a bounded number of slices tells of. */
#include "image/qcow2_int.h"

#define SLICES_MAX 128u /* that one call looks at */

/* What begins at `off`, inside of one cluster. */
static void run_of(const struct qcow2 *q, const struct qcow2_entry *x, u64 off, struct image_run *run)
{
	u64 in = off & (q->cluster_bytes - 1);
	unsigned s = (unsigned)(in >> q->sub_bits);
	u32 bit = 1u << s;

	*run = (struct image_run){ .kind = IMAGE_HOLE };
	if (x->compressed) {
		run->kind = IMAGE_COOKED;
		run->compressed = true;
		run->bytes = q->cluster_bytes - in;
		return;
	}
	if (x->alloc & bit) {
		run->kind = IMAGE_DATA;
		run->file = q->data->id;
		run->off = x->host + in;
		run->in_place = x->copied && !q->image.readonly && !q->broken;
	} else if (x->zero & bit) {
		run->kind = IMAGE_ZERO;
	}
	do
		bit <<= 1;
	while (++s < q->nsub && !(x->alloc & bit) == (run->kind != IMAGE_DATA) &&
	       !(x->zero & bit) == (run->kind != IMAGE_ZERO));
	run->bytes = ((u64)s << q->sub_bits) - in;
}

/* Does b go on where the run ends? */
static bool joins(const struct image_run *run, const struct image_run *b)
{
	return run->kind == b->kind && run->in_place == b->in_place &&
	       (run->kind != IMAGE_DATA || run->off + run->bytes == b->off);
}

/* The run goes on through the slice of `off`. Returns 1: and may go on behind it; 0: it ends. */
static int follow(struct qcow2 *q, u64 off, u64 bytes, struct image_run *run)
{
	unsigned index, n = qcow2_slice_entries(q);
	struct qcow2_entry x;
	struct image_run b;
	u8 *slice;
	int rc = qcow2_l2_slice(q, off, &slice, &index);

	if (rc < 0)
		return rc;
	if (!slice) { /* no table: all of its part of the disk is a hole */
		u64 part = 1ull << (q->cluster_bits + q->l2_bits);
		if (run->bytes && run->kind != IMAGE_HOLE)
			return 0;
		run->kind = IMAGE_HOLE;
		run->bytes += part - (off & (part - 1));
		return 1;
	}
	for (; index < n && run->bytes < bytes; off += b.bytes) {
		rc = qcow2_entry_load(q, slice, index, off & ~(u64)(q->cluster_bytes - 1), &x);
		if (rc < 0)
			return run->bytes ? 0 : rc;
		run_of(q, &x, off, &b);
		if (run->bytes && !joins(run, &b))
			return 0;
		if (!run->bytes)
			*run = b;
		else
			run->bytes += b.bytes;
		index += !((off + b.bytes) & (q->cluster_bytes - 1));
	}
	return 1;
}

int qcow2_map(struct image *m, u64 off, u64 bytes, struct image_run *run)
{
	struct qcow2 *q = qcow2_of(m);
	int rc = 1;

	*run = (struct image_run){ 0 };
	for (unsigned i = 0; i < SLICES_MAX && rc > 0 && run->bytes < bytes; i++)
		rc = follow(q, off + run->bytes, bytes, run);
	/* Where the tables contradict themselves, that is only where they are read. */
	if (rc < 0 && !run->bytes)
		return rc;
	run->bytes = MIN(run->bytes, bytes);
	return 0;
}
