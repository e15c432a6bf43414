/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2_pack.c - compressed clusters: raw deflate streams or zstd frames, behind each other at any byte.
 *
 * A host cluster may hold several of them, and is counted once for each. New ones go on where the last one ended; that
 * place is given up when its cluster is.
 */
#include "image/qcow2_int.h"

#include <zlib.h>
#include <zstd.h>

#define ZLIB_WINDOW (-12)     /* raw deflate, as all readers expect */
#define ZLIB_WINDOW_ANY (-15) /* what is read may have been written by others */
#define ZSTD_WINDOW_MAX 23    /* bits: four times the largest cluster */

static int inflate_cluster(const u8 *in, u32 n, u8 *out, u32 bytes)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)in, .avail_in = n, .next_out = out, .avail_out = bytes };

	if (inflateInit2(&z, ZLIB_WINDOW_ANY) != Z_OK)
		return -ENOMEM;
	int rc = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	/* "Decompression stops when it has produced a cluster of data." */
	return (rc == Z_STREAM_END || rc == Z_BUF_ERROR || rc == Z_OK) && !z.avail_out ? 0 : -EIO;
}

static int unzstd_cluster(const u8 *in, u32 n, u8 *out, u32 bytes)
{
	ZSTD_DCtx *d = ZSTD_createDCtx();
	ZSTD_inBuffer from = { in, n, 0 };
	ZSTD_outBuffer to = { out, bytes, 0 };
	int rc = d ? 0 : -ENOMEM;

	if (d)
		ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, ZSTD_WINDOW_MAX);
	while (rc == 0 && to.pos < to.size) {
		size_t had = to.pos, read = from.pos, left = ZSTD_decompressStream(d, &to, &from);
		if (ZSTD_isError(left) || (to.pos == had && from.pos == read))
			rc = -EIO;
	}
	ZSTD_freeDCtx(d);
	return rc;
}

/* The cluster that x tells of, in q->plain. */
static int unpack(struct qcow2 *q, const struct qcow2_entry *x)
{
	if (q->plain && q->plain_at == x->host)
		return 0;
	if (!q->plain) {
		q->plain = xcalloc(1, q->cluster_bytes);
		q->packed = xcalloc(2, q->cluster_bytes);
	}
	q->plain_at = UINT64_MAX;
	int rc = image_pread(q->file, q->packed, x->packed, x->host);
	if (rc < 0)
		return rc;
	rc = q->compression == QCOW2_ZSTD ? unzstd_cluster(q->packed, x->packed, q->plain, q->cluster_bytes)
					  : inflate_cluster(q->packed, x->packed, q->plain, q->cluster_bytes);
	if (rc == 0)
		q->plain_at = x->host;
	return rc;
}

int qcow2_read(struct image *m, u64 off, void *buf, size_t n)
{
	struct qcow2 *q = qcow2_of(m);
	struct qcow2_entry x;

	while (n) {
		u64 in = off & (q->cluster_bytes - 1);
		size_t part = (size_t)MIN(n, q->cluster_bytes - in);
		int rc = qcow2_entry_of(q, off, &x);
		if (rc == 0)
			rc = x.compressed ? unpack(q, &x) : -EIO;
		if (rc < 0)
			return rc;
		memcpy(buf, q->plain + in, part);
		off += part;
		buf = (u8 *)buf + part;
		n -= part;
	}
	return 0;
}

ssize_t qcow2_compress(const struct image *m, const void *buf, size_t n, void *out)
{
	const struct qcow2 *q = container_of(m, const struct qcow2, image);

	if (n != q->cluster_bytes)
		return -EINVAL;
	if (qcow2_external(q)) /* "compressed clusters are not supported": it is to be written as it is */
		return 0;
	if (q->compression == QCOW2_ZSTD) {
		size_t r = ZSTD_compress(out, n, buf, n, ZSTD_CLEVEL_DEFAULT);
		return ZSTD_isError(r) || r >= n ? 0 : (ssize_t)r;
	}
	z_stream z = {
		.next_in = (Bytef *)(uintptr_t)buf, .avail_in = (uInt)n, .next_out = out, .avail_out = (uInt)n - 1
	};
	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, ZLIB_WINDOW, 9, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	int rc = deflate(&z, Z_FINISH);
	ssize_t packed = (ssize_t)(n - 1 - z.avail_out);
	deflateEnd(&z);
	return rc == Z_STREAM_END ? packed : 0;
}

/* A place for so many bytes, counted for them. */
static int place(struct qcow2 *q, u64 bytes, u64 *host)
{
	u64 mask = q->cluster_bytes - 1, next = q->packed_next, room = next ? q->cluster_bytes - (next & mask) : 0,
	    fresh;
	u64 got, limit = MIN(QCOW2_OFFSET_MAX, 1ull << (62 - (q->cluster_bits - 8)));
	bool zeros;
	int rc;

	if (bytes <= room && qcow2_ref_add(q, next >> q->cluster_bits, 1, 1) == 0) {
		*host = next;
		return 0;
	}
	rc = qcow2_alloc(q, 1, &fresh, &got, &zeros);
	if (rc < 0)
		return rc;
	if (fresh + 2ull * q->cluster_bytes > limit) {
		qcow2_unalloc(q, fresh, q->cluster_bytes);
		return -EFBIG;
	}
	*host = fresh;
	/* packed_next may be gone by now: qcow2_alloc() may flush. */
	if (room && bytes > room && q->packed_next == next && next + room == fresh &&
	    qcow2_ref_add(q, next >> q->cluster_bits, 1, 1) == 0)
		*host = next;
	return 0;
}

int qcow2_write_packed(struct image *m, u64 off, const void *packed, size_t bytes)
{
	struct qcow2 *q = qcow2_of(m);
	struct qcow2_entry x, to = { .compressed = true, .has_host = true, .packed = (u32)bytes };
	unsigned index;
	u8 *slice;

	if (qcow2_external(q) || off & (q->cluster_bytes - 1) || !bytes || bytes >= q->cluster_bytes)
		return -ENOTSUP;
	int rc = q->broken ? -EIO : place(q, bytes, &to.host);
	if (rc < 0)
		return rc;
	u64 end = to.host + bytes;
	rc = image_pwrite(q->file, packed, bytes, to.host);
	if (rc == 0)
		rc = qcow2_l2_slice_for_write(q, off, &slice, &index);
	if (rc == 0)
		rc = qcow2_entry_load(q, slice, index, off, &x);
	if (rc < 0) {
		u64 first = to.host >> q->cluster_bits, last = (end - 1) >> q->cluster_bits;
		qcow2_ref_add(q, first, last - first + 1, -1);
		return rc;
	}
	q->packed_next = end & (q->cluster_bytes - 1) ? end : 0;
	q->plain_at = UINT64_MAX;
	qcow2_entry_store(q, slice, index, &to);
	return qcow2_entry_drop(q, &x, false);
}

int qcow2_write_compressed(struct image *m, u64 off, const void *buf, size_t n)
{
	struct qcow2 *q = qcow2_of(m);
	auto_free u8 *whole = NULL;

	if (n > q->cluster_bytes || (n < q->cluster_bytes && off + n != m->bytes))
		return -EINVAL;
	if (n < q->cluster_bytes) { /* the disk's end */
		whole = xcalloc(1, q->cluster_bytes);
		memcpy(whole, buf, n);
	}
	auto_free u8 *out = xcalloc(1, q->cluster_bytes);
	ssize_t packed = qcow2_compress(m, whole ? whole : buf, q->cluster_bytes, out);
	if (packed <= 0)
		return packed ? (int)packed : -ENOTSUP;
	return qcow2_write_packed(m, off, out, (size_t)packed);
}
