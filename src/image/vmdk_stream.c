/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmdk_stream.c - see vmdk_int.h. Here: extents with compressed grains (streamOptimized). Such a file is written from
 * its beginning to its end, once: grains behind markers, then the tables, the directory, a footer. So only an image
 * without a grain can be written; it takes grains in any order, one again as well, until it is closed. Written by
 * others it may have its directory in front.
 */
#include "image/vmdk_int.h"

#include <zlib.h>

#define GRAIN_HEAD 12u /* of a grain's marker: sector on the disk (8), bytes that follow (4) */

static size_t packed_bytes(const struct vmdk_sparse *s)
{
	return ROUND_UP(GRAIN_HEAD + compressBound(s->bat.block_bytes), SECTOR);
}

int vmdk_stream_open(struct vmdk_sparse *s, bool readonly, struct err *e)
{
	if (!(ld_le32(s->header + S_FLAGS) & FLAG_MARKERS))
		return err_set(e, ENOTSUP, "compressed grains without markers are not supported");
	s->grain = xcalloc(1, s->bat.block_bytes);
	s->packed = xcalloc(1, packed_bytes(s));
	s->grain_block = UINT64_MAX;
	s->end = ld_le64(s->header + S_OVERHEAD) * SECTOR;
	s->done = true;
	for (u32 t = 0; !readonly && t < s->tables; t++)
		if (ld_le32(s->gd + t * 4ul))
			return err_set(e, EROFS,
				       "a streamOptimized VMDK image is written once and can only be read then; "
				       "convert it to another subformat to write to it");
	if (!readonly && (s->end < SECTOR || s->end > s->bat.file->bytes))
		return err_set(e, EINVAL, "its header says that its data begins at %llu", (unsigned long long)s->end);
	return 0;
}

int vmdk_stream_map(struct vmdk_sparse *s, u64 off, u64 bytes, struct image_run *run)
{
	u64 at = off - s->bat.start, n;
	enum image_kind kind = IMAGE_HOLE;
	u32 entry;

	run->bytes = 0;
	for (; run->bytes < bytes; run->bytes += n, at += n) {
		int rc = vmdk_sparse_entry(s, at / s->bat.block_bytes, &entry);
		if (rc < 0)
			return rc;
		enum image_kind k = !entry ? IMAGE_HOLE : entry == 1 && s->zeroed ? IMAGE_ZERO : IMAGE_COOKED;
		if (run->bytes && (k != kind || run->bytes >= 64 * MIB))
			break;
		kind = k;
		n = MIN(bytes - run->bytes, s->bat.block_bytes - at % s->bat.block_bytes);
	}
	*run = (struct image_run){ .kind = kind, .bytes = run->bytes, .compressed = kind == IMAGE_COOKED };
	return 0;
}

/* ---- reading ---- */

static int inflate_grain(struct vmdk_sparse *s, u64 block, u64 at)
{
	struct image_file *f = s->bat.file;
	u8 head[GRAIN_HEAD];
	uLongf n = s->bat.block_bytes;

	int rc = at >= f->bytes ? -EIO : image_pread(f, head, sizeof(head), at);
	if (rc < 0)
		return rc;
	u32 bytes = ld_le32(head + 8);
	if (ld_le64(head) != block * (s->bat.block_bytes / SECTOR) || !bytes || bytes > packed_bytes(s) - GRAIN_HEAD ||
	    at + GRAIN_HEAD + bytes > f->bytes)
		return -EIO;
	rc = image_pread(f, s->packed, bytes, at + GRAIN_HEAD);
	if (rc < 0)
		return rc;
	memset(s->grain, 0, s->bat.block_bytes); /* the last one may be shorter */
	return uncompress(s->grain, &n, s->packed, bytes) == Z_OK ? 0 : -EIO;
}

/* A grain is in s->grain afterwards: zeros where it is not there. */
static int load_grain(struct vmdk_sparse *s, u64 block)
{
	u32 entry;
	int rc = s->grain_block == block ? 0 : vmdk_sparse_entry(s, block, &entry);

	if (rc < 0 || s->grain_block == block)
		return rc;
	s->grain_block = UINT64_MAX;
	if (entry && !(entry == 1 && s->zeroed))
		rc = inflate_grain(s, block, (u64)entry * SECTOR);
	else
		memset(s->grain, 0, s->bat.block_bytes);
	s->grain_block = rc < 0 ? UINT64_MAX : block;
	return rc;
}

int vmdk_stream_read(struct vmdk_sparse *s, u64 off, void *buf, size_t n)
{
	u64 at = off - s->bat.start;
	size_t part;
	int rc = 0;

	for (; n && rc == 0; at += part, buf = (u8 *)buf + part, n -= part) {
		u32 in = (u32)(at % s->bat.block_bytes);
		part = MIN(n, s->bat.block_bytes - in);
		rc = load_grain(s, at / s->bat.block_bytes);
		if (rc == 0)
			memcpy(buf, s->grain + in, part);
	}
	return rc;
}

/* ---- writing ---- */

static bool zeros(const u8 *p, size_t n)
{
	return !p[0] && !memcmp(p, p + 1, n - 1);
}

/* s->grain goes to the end, compressed. */
static int append_grain(struct vmdk_sparse *s, u64 block)
{
	uLongf n = packed_bytes(s) - GRAIN_HEAD;
	u32 entry;
	int rc = vmdk_sparse_entry(s, block, &entry);

	if (rc < 0 || (!entry && !s->bat.image->below && zeros(s->grain, s->bat.block_bytes)))
		return rc;
	if (s->end / SECTOR > UINT32_MAX)
		return -ENOSPC;
	if (s->done) { /* what follows was an empty image's tables */
		rc = image_resize_file(s->bat.file, s->end);
		if (rc < 0)
			return rc;
		s->done = false;
	}
	if (compress2(s->packed + GRAIN_HEAD, &n, s->grain, s->bat.block_bytes, Z_DEFAULT_COMPRESSION) != Z_OK)
		return -EIO;
	st_le64(s->packed, block * (s->bat.block_bytes / SECTOR));
	st_le32(s->packed + 8, (u32)n);
	size_t all = ROUND_UP(GRAIN_HEAD + n, SECTOR);
	memset(s->packed + GRAIN_HEAD + n, 0, all - GRAIN_HEAD - n);
	rc = image_pwrite(s->bat.file, s->packed, all, s->end);
	if (rc == 0)
		rc = vmdk_sparse_set(s, block, (u32)(s->end / SECTOR));
	s->end += rc == 0 ? all : 0;
	return rc;
}

int vmdk_stream_write(struct vmdk_sparse *s, u64 off, const void *buf, size_t n)
{
	u64 at = off - s->bat.start;
	size_t part;
	int rc = 0;

	for (; n && rc == 0; at += part, buf = (const u8 *)buf + part, n -= part) {
		u64 block = at / s->bat.block_bytes;
		u32 in = (u32)(at % s->bat.block_bytes);
		part = MIN(n, s->bat.block_bytes - in);
		rc = load_grain(s, block);
		if (rc == 0) {
			memcpy(s->grain + in, buf, part);
			rc = append_grain(s, block);
		}
		if (rc < 0)
			s->grain_block = UINT64_MAX;
	}
	return rc;
}

static int put_marker(struct vmdk_sparse *s, u64 *at, u64 value, u32 type)
{
	u8 m[SECTOR] = { 0 };

	st_le64(m, value);
	st_le32(m + 12, type);
	int rc = image_pwrite(s->bat.file, m, sizeof(m), *at);
	*at += SECTOR;
	return rc;
}

static int put(struct vmdk_sparse *s, u64 *at, const u8 *bytes, size_t n)
{
	int rc = image_pwrite(s->bat.file, bytes, n, *at);

	*at = ROUND_UP(*at + n, SECTOR);
	return rc;
}

/* Tables that have a grain, the directory, the footer. */
static int write_end(struct vmdk_sparse *s)
{
	u64 at = s->end, gt_sectors = ROUND_UP(s->gtes * 4ull, SECTOR) / SECTOR, gd_bytes = s->tables * 4ull;
	int rc = 0;

	for (u32 t = 0; t < s->tables && rc == 0; t++) {
		if (!s->gt[t])
			continue;
		rc = put_marker(s, &at, gt_sectors, MARKER_GT);
		st_le32(s->gd + t * 4ul, (u32)(at / SECTOR));
		if (rc == 0)
			rc = put(s, &at, s->gt[t], s->gtes * 4ul);
	}
	if (at / SECTOR > UINT32_MAX)
		return -ENOSPC;
	if (rc == 0)
		rc = put_marker(s, &at, ROUND_UP(gd_bytes, SECTOR) / SECTOR, MARKER_GD);
	st_le64(s->header + S_GD, at / SECTOR);
	if (rc == 0)
		rc = put(s, &at, s->gd, (size_t)gd_bytes);
	if (rc == 0)
		rc = put_marker(s, &at, 1, MARKER_FOOTER);
	if (rc == 0)
		rc = put(s, &at, s->header, SECTOR);
	return rc < 0 ? rc : put_marker(s, &at, 0, MARKER_EOS);
}

int vmdk_stream_flush(struct vmdk_sparse *s)
{
	int rc = s->done ? 0 : write_end(s);

	s->done |= rc == 0;
	return rc < 0 ? rc : image_sync(s->bat.file);
}

int vmdk_stream_check(struct vmdk_sparse *s, struct image_check *c)
{
	u32 entry;

	for (u64 i = 0; i < s->bat.blocks; i++) {
		int rc = vmdk_sparse_entry(s, i, &entry);
		c->total++;
		if (rc == 0 && (!entry || (entry == 1 && s->zeroed)))
			continue;
		c->allocated++;
		c->compressed++;
		if (rc == 0 && load_grain(s, i) == 0)
			continue;
		c->corrupt++;
		bat_report(c, "grain %llu cannot be read", (unsigned long long)i);
	}
	c->end = s->bat.file->bytes;
	return 0;
}
