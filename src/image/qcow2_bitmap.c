/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2_bitmap.c - bitmaps that others keep in the image ("Bitmaps extension"). They stay; those that should follow
 * each change of the disk are marked as not having done so.
 */
#include "image/qcow2_int.h"

#define DIRECTORY_MAX (16u * MIB)
#define ENTRY_BYTES 24u
#define FLAG_IN_USE 1u
#define FLAG_AUTO 2u

struct directory {
	u64 off, bytes;
	u32 n;
	u8 *raw;
};

/* 0: there is one; -ENOENT: none; -EINVAL: it contradicts itself. */
static int load(struct qcow2 *q, struct directory *d)
{
	const struct qcow2_extension *x = qcow2_extension(q, QCOW2_EXT_BITMAPS);

	*d = (struct directory){ 0 };
	if (!x || !(q->autoclear & QCOW2_AUTOCLEAR_BITMAPS))
		return -ENOENT;
	if (x->bytes < 24)
		return -EINVAL;
	d->n = qcow2_ld32(x->data);
	d->bytes = qcow2_ld64(x->data + 8);
	d->off = qcow2_ld64(x->data + 16);
	if (!d->n || !d->bytes || d->bytes > DIRECTORY_MAX || d->off & (q->cluster_bytes - 1) ||
	    d->off < q->cluster_bytes || d->off >= QCOW2_OFFSET_MAX)
		return -EINVAL;
	d->raw = malloc(d->bytes);
	int rc = d->raw ? image_pread(q->file, d->raw, d->bytes, d->off) : -ENOMEM;
	if (rc < 0)
		free(d->raw);
	return rc;
}

/* The entry at *at, which moves behind it; NULL: it does not fit. */
static u8 *next(const struct directory *d, u64 *at)
{
	u8 *p = d->raw + *at;

	if (d->bytes - *at < ENTRY_BYTES)
		return NULL;
	u64 bytes = ROUND_UP(ENTRY_BYTES + (u64)qcow2_ld16(p + 18) + qcow2_ld32(p + 20), 8);
	if (bytes > d->bytes - *at)
		return NULL;
	*at += bytes;
	return p;
}

int qcow2_bitmaps_out_of_date(struct qcow2 *q, bool *stale)
{
	struct directory d;
	bool any = false;
	u64 at = 0;
	int rc = load(q, &d);

	*stale = rc == -EINVAL;
	if (rc < 0)
		return rc == -EINVAL || rc == -ENOENT ? 0 : rc;
	for (u32 i = 0; i < d.n && rc == 0; i++) {
		u8 *p = next(&d, &at);
		if (!p) {
			*stale = true;
			break;
		}
		u32 flags = qcow2_ld32(p + 12);
		if (!(flags & FLAG_AUTO) || flags & FLAG_IN_USE)
			continue;
		qcow2_st32(p + 12, flags | FLAG_IN_USE);
		rc = image_pwrite(q->file, p + 12, 4, d.off + (u64)(p + 12 - d.raw));
		any = true;
	}
	free(d.raw);
	return rc < 0 || !any ? rc : image_sync(q->file);
}

static int table_refs(struct qcow2 *q, u64 off, u32 n, int (*ref)(void *opaque, u64 off, u64 bytes), void *opaque)
{
	u8 part[4096];
	int rc = ref(opaque, off, 8ull * n);

	for (u32 i = 0; i < n && rc == 0; i += sizeof(part) / 8) {
		u32 k = MIN(n - i, (u32)(sizeof(part) / 8));
		rc = image_pread(q->file, part, 8ull * k, off + 8ull * i);
		for (u32 j = 0; j < k && rc == 0; j++) {
			u64 at = qcow2_ld64(part + 8ull * j) & QCOW2_OFFSET_MASK;
			if (at)
				rc = ref(opaque, at, q->cluster_bytes);
		}
	}
	return rc;
}

int qcow2_bitmaps_refs(struct qcow2 *q, int (*ref)(void *opaque, u64 off, u64 bytes), void *opaque)
{
	struct directory d;
	u64 at = 0;
	int rc = load(q, &d);

	if (rc < 0)
		return rc == -EINVAL || rc == -ENOENT ? 0 : rc;
	rc = ref(opaque, d.off, d.bytes);
	for (u32 i = 0; i < d.n && rc == 0; i++) {
		u8 *p = next(&d, &at);
		/* A table of more entries than the file has clusters is none. */
		if (!p || qcow2_ld32(p + 8) > qcow2_clusters(q, q->file->bytes))
			break;
		rc = table_refs(q, qcow2_ld64(p), qcow2_ld32(p + 8), ref, opaque);
	}
	free(d.raw);
	return rc;
}
