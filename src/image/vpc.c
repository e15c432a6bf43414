/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vpc.c - VHD, of Virtual PC and Hyper-V ("Virtual Hard Disk Image Format Specification" 1.0): all numbers big-endian,
 * a footer at the end that describes the disk. Fixed disks are the disk's bytes and the footer. Dynamic ones begin with
 * a copy of the footer and a header; a table has the sector of each block, which begins with a bitmap of its sectors.
 * Differencing ones are dynamic, and what has no bit is in the parent.
 *
 * Order: a new block takes the footer's place, after the footer was written behind it; until the table is written the
 * block is room that nothing uses. The bitmap of a new block is all ones from the first. A block of which only some
 * sectors were there gets its bitmap when its data is durable.
 *
 * The disk's size: Virtual PC goes by the footer's geometry, later programs by its "current size"; which one made the
 * image says which is meant.
 */
#include "image/vpc_int.h"

/* ---- fixed disks ---- */

static int fixed_map(struct image *m, u64 off, u64 bytes, struct image_run *run)
{
	u64 data, end;
	int rc = image_next_data(m->file, off, &data, &end);

	if (rc < 0)
		return rc;
	data = MIN(data / SECTOR * SECTOR, m->bytes);
	end = MIN(ROUND_UP(end, SECTOR), m->bytes);
	bool hole = data > off;
	*run = (struct image_run){ .kind = hole ? IMAGE_ZERO : IMAGE_DATA,
				   .bytes = MIN(bytes, (hole ? data : end) - off),
				   .file = m->file->id,
				   .off = off,
				   .in_place = !m->readonly };
	return 0;
}

static int fixed_prepare(struct image *m, u64 off, u64 bytes, struct image_run *run)
{
	*run =
	    (struct image_run){ .kind = IMAGE_DATA, .bytes = bytes, .file = m->file->id, .off = off, .in_place = true };
	return 0;
}

static int fixed_zero(struct image *m, u64 off, u64 bytes, bool unmap)
{
	return image_zero(m->file, off, bytes, unmap);
}

static int fixed_discard(struct image *m, u64 off, u64 bytes)
{
	return image_zero(m->file, off, bytes, true);
}

static int fixed_flush(struct image *m)
{
	return image_sync(m->file);
}

/* ---- dynamic disks ---- */

static struct vpc *vpc_of(struct bat *b)
{
	return container_of(b, struct vpc, bi.bat);
}

static u64 place_of(const struct vpc *v, u64 block)
{
	u32 sector = ld_be32(v->table.bytes + block * 4);

	return sector == UNUSED ? 0 : (u64)sector * SECTOR;
}

static bool all_ones(const u8 *bits, u32 sectors)
{
	for (u32 i = 0; i < sectors; i++)
		if (!(bits[i / 8] & 0x80 >> i % 8))
			return false;
	return true;
}

/* The bitmap of a block; kept until another one is asked for. */
static int bitmap_of(struct vpc *v, u64 block, const u8 **bits)
{
	if (v->bitmap_block != block) {
		v->bitmap_block = UINT64_MAX;
		int rc = image_pread(v->bi.bat.file, v->bitmap, v->bitmap_bytes, place_of(v, block));
		if (rc < 0)
			return rc;
		v->bitmap_block = block;
	}
	*bits = v->bitmap;
	return 0;
}

static int get(struct bat *b, u64 block, struct bat_block *is)
{
	struct vpc *v = vpc_of(b);
	u64 at = place_of(v, block);
	const u8 *bits;

	*is = (struct bat_block){ .kind = at ? BAT_DATA : BAT_HOLE, .off = at + v->bitmap_bytes };
	if (at && v->kinds[block] == KIND_UNKNOWN) {
		int rc = bitmap_of(v, block, &bits);
		if (rc < 0)
			return rc;
		v->kinds[block] = all_ones(bits, b->block_bytes / SECTOR) ? KIND_WHOLE : KIND_PART;
	}
	if (at && v->kinds[block] == KIND_PART)
		is->kind = BAT_PART;
	return 0;
}

static int part(struct bat *b, u64 block, u32 sector, bool *there, u32 *n)
{
	struct vpc *v = vpc_of(b);
	u32 sectors = b->block_bytes / SECTOR, i = sector;
	const u8 *bits;
	int rc = bitmap_of(v, block, &bits);

	if (rc < 0)
		return rc;
	*there = bits[i / 8] & 0x80 >> i % 8;
	while (i < sectors && !!(bits[i / 8] & 0x80 >> i % 8) == *there)
		i++;
	*n = i - sector;
	return 0;
}

static int write_ones(struct vpc *v, u64 at)
{
	auto_free u8 *ones = xcalloc(1, v->bitmap_bytes);

	memset(ones, 0xff, MAX(v->bi.bat.block_bytes / SECTOR / 8, 1));
	return image_pwrite(v->bi.bat.file, ones, v->bitmap_bytes, at);
}

static int place(struct bat *b, u64 block, u64 *off)
{
	struct vpc *v = vpc_of(b);
	u64 at = ROUND_UP(v->end + v->bitmap_bytes, 4096) - v->bitmap_bytes; /* so that the data lies well on a page */
	u64 end = at + v->bitmap_bytes + b->block_bytes;

	if (end / SECTOR >= UNUSED)
		return -ENOSPC;
	int rc = b->file->bytes > end + SECTOR ? 0 : image_pwrite(b->file, v->footer, SECTOR, end);
	if (rc == 0) /* not the footer that was just written, nor the one that is there if the file is longer */
		rc = image_zero(b->file, v->end, end - v->end, true);
	if (rc == 0)
		rc = write_ones(v, at);
	if (rc < 0)
		return rc;
	v->end = end;
	*off = at + v->bitmap_bytes;
	return 0;
}

static int set(struct bat *b, u64 block, const struct bat_block *is)
{
	struct vpc *v = vpc_of(b);

	if (v->kinds[block] == KIND_PART) {
		v->kinds[block] = KIND_WHOLE_SOON;
		v->soon = true;
		return 0;
	}
	v->kinds[block] = KIND_WHOLE;
	st_be32(v->table.bytes + block * 4, (u32)((is->off - v->bitmap_bytes) / SECTOR));
	bat_table_changed(&v->table, block * 4);
	return 0;
}

static int write_bitmaps(struct vpc *v)
{
	for (u64 i = 0; v->soon && i < v->bi.bat.blocks; i++) {
		int rc = v->kinds[i] == KIND_WHOLE_SOON ? write_ones(v, place_of(v, i)) : 0;
		if (rc < 0)
			return rc;
		if (v->kinds[i] == KIND_WHOLE_SOON)
			v->kinds[i] = KIND_WHOLE;
	}
	v->soon = false;
	v->bitmap_block = UINT64_MAX;
	return 0;
}

static int write_table(struct bat *b)
{
	struct vpc *v = vpc_of(b);
	int rc = write_bitmaps(v);

	return rc < 0 ? rc : bat_table_write(&v->table, b->file);
}

const struct bat_ops vpc_bat_ops = { .get = get, .place = place, .set = set, .part = part, .write = write_table };

/* ---- both ---- */

static int vpc_backed(struct image *m, struct err *e)
{
	struct vpc *v = (struct vpc *)(void *)m, *below = (struct vpc *)(void *)m->below;

	if (m->below->format != &image_vpc)
		return err_set(e, EINVAL, "%s: its parent, %s, is no VHD image", m->file->name, m->backing_name);
	if (memcmp(v->header + DH_PARENT_UUID, below->footer + F_UUID, 16))
		return err_set(e, EINVAL, "%s: %s is another image than the one that it was made on", m->file->name,
			       m->backing_name);
	return 0;
}

static int vpc_check(struct image *m, struct image_check *c, enum image_fix fix, struct err *e)
{
	struct vpc *v = (struct vpc *)(void *)m;

	if (v->fixed)
		return 0;
	return bat_check(&v->bi.bat, v->first, v->bitmap_bytes, SECTOR, c, e);
}

static void vpc_info(struct image *m, void (*say)(void *opaque, const char *name, const char *value), void *opaque)
{
	struct vpc *v = (struct vpc *)(void *)m;
	u32 type = ld_be32(v->footer + F_TYPE);
	char geometry[32];

	snprintf(geometry, sizeof(geometry), "%u/%u/%u", ld_be16(v->footer + F_GEOMETRY), v->footer[F_GEOMETRY + 2],
		 v->footer[F_GEOMETRY + 3]);
	say(opaque, "subformat", type == TYPE_FIXED ? "fixed" : type == TYPE_DYNAMIC ? "dynamic" : "differencing");
	say(opaque, "geometry", geometry);
}

static void vpc_close(struct image *m)
{
	struct vpc *v = (struct vpc *)(void *)m;

	bat_table_fini(&v->table);
	bat_fini(&v->bi.bat);
	free(v->kinds);
	free(v->bitmap);
	free(v);
}

const struct image_ops vpc_dynamic_ops = {
	BAT_IMAGE_OPS, .backed = vpc_backed, .check = vpc_check, .info = vpc_info, .close = vpc_close,
};

const struct image_ops vpc_fixed_ops = {
	.map = fixed_map,
	.prepare = fixed_prepare,
	.zero = fixed_zero,
	.discard = fixed_discard,
	.flush = fixed_flush,
	.check = vpc_check,
	.info = vpc_info,
	.close = vpc_close,
};
