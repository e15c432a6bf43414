/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhdx.c - VHDX; see vhdx_int.h. Here: the block allocation table, and the image. The table has an entry for each
 * block, and behind those of a chunk one for the bitmap that says which of their sectors a differencing image has. A
 * block that is written gets all of its sectors, so that bitmaps are only read.
 *
 * The header's GUIDs are changed before the first write of a session: nothing is written in place before prepare() was
 * asked.
 */
#include "image/vhdx_int.h"

static struct vhdx *vhdx_of(struct image *m)
{
	return (struct vhdx *)(void *)m;
}

static u8 *entry_of(const struct vhdx *v, u64 block)
{
	return v->table.bytes + (block + block / v->ratio) * 8;
}

static int get(struct bat *b, u64 block, struct bat_block *is)
{
	const struct vhdx *v = container_of(b, struct vhdx, bi.bat);
	u64 entry = ld_le64(entry_of(v, block));

	*is = (struct bat_block){ .kind = BAT_ZERO, .off = (entry >> 20) * MIB };
	switch (entry & 7) {
	case NOT_PRESENT:
		is->kind = BAT_HOLE;
		return 0;
	case UNDEFINED:
	case ZERO:
	case UNMAPPED:
		return 0;
	case PARTIALLY:
		is->kind = BAT_PART;
		return v->parent ? 0 : -EIO;
	case FULLY:
		is->kind = BAT_DATA;
		return 0;
	default:
		return -EIO;
	}
}

static int part(struct bat *b, u64 block, u32 sector, bool *there, u32 *n)
{
	struct vhdx *v = container_of(b, struct vhdx, bi.bat);
	u64 chunk = block / v->ratio, bitmap = ld_le64(v->table.bytes + (chunk * (v->ratio + 1ull) + v->ratio) * 8);
	u32 of_one = v->sector_bytes / 512, per_block = b->block_bytes / v->sector_bytes;
	u32 first = sector / of_one, end = MIN(per_block, first / 4096 * 4096 + 4096), i = first;
	u64 bit = block % v->ratio * per_block + first / 4096 * 4096; /* of the bitmap: that of bits[0] */
	u8 bits[513];

	if ((bitmap & 7) != FULLY)
		return -EIO;
	int rc = vhdx_pread(v, bits, sizeof(bits), (bitmap >> 20) * MIB + bit / 8);
	if (rc < 0)
		return rc;
	u32 shift = (u32)(bit % 8), from = first / 4096 * 4096;
#define HAS(s) (bits[((s)-from + shift) / 8] >> ((s)-from + shift) % 8 & 1)
	*there = HAS(i);
	while (i < end && HAS(i) == *there)
		i++;
#undef HAS
	*n = i * of_one - sector;
	return 0;
}

static int place(struct bat *b, u64 block, u64 *off)
{
	struct vhdx *v = container_of(b, struct vhdx, bi.bat);
	int rc = bat_room(b->file, v->end, b->block_bytes);

	*off = v->end;
	v->end += rc == 0 ? b->block_bytes : 0;
	return rc;
}

static int set(struct bat *b, u64 block, const struct bat_block *is)
{
	struct vhdx *v = container_of(b, struct vhdx, bi.bat);
	u8 *entry = entry_of(v, block);

	st_le64(entry, is->kind == BAT_ZERO ? ZERO : is->off / MIB << 20 | FULLY);
	bat_table_changed(&v->table, (size_t)(entry - v->table.bytes));
	return 0;
}

/* The changed pages, so many at a time as an entry of the log takes. */
static int write_table(struct bat *b)
{
	struct vhdx *v = container_of(b, struct vhdx, bi.bat);
	struct vhdx_page pages[VHDX_PAGES_MAX];
	size_t at = 0, n;
	int rc = 0;

	while (rc == 0) {
		unsigned count = 0;
		while (count < VHDX_PAGES_MAX && bat_table_next(&v->table, &at, &n)) {
			/* Only the page that it begins in: what goes on in others is marked again. */
			size_t page = at / VHDX_PAGE * VHDX_PAGE;
			for (size_t i = page + VHDX_PAGE; i < at + n; i += 512)
				bat_table_changed(&v->table, i);
			pages[count++] =
			    (struct vhdx_page){ .off = v->table.off + page, .bytes = v->table.bytes + page };
			at = page + VHDX_PAGE;
			for (size_t i = page; i < at; i += 512)
				bat_table_clean(&v->table, i);
		}
		if (!count)
			break;
		rc = vhdx_write_pages(v, pages, count);
		for (unsigned i = 0; rc < 0 && i < count; i++)
			bat_table_changed(&v->table, (size_t)(pages[i].bytes - v->table.bytes));
	}
	return rc;
}

const struct bat_ops vhdx_bat_ops = { .get = get, .place = place, .set = set, .part = part, .write = write_table };

/* ---- the image ---- */

static int vhdx_map(struct image *m, u64 off, u64 bytes, struct image_run *run)
{
	int rc = bat_image_map(m, off, bytes, run);

	run->in_place &= vhdx_of(m)->touched;
	return rc;
}

static int vhdx_prepare(struct image *m, u64 off, u64 bytes, struct image_run *run)
{
	int rc = vhdx_touch(vhdx_of(m));

	return rc < 0 ? rc : bat_image_prepare(m, off, bytes, run);
}

static int vhdx_zero(struct image *m, u64 off, u64 bytes, bool unmap)
{
	int rc = vhdx_touch(vhdx_of(m));

	return rc < 0 ? rc : bat_image_zero(m, off, bytes, unmap);
}

static int vhdx_discard(struct image *m, u64 off, u64 bytes)
{
	int rc = vhdx_touch(vhdx_of(m));

	return rc < 0 ? rc : bat_image_discard(m, off, bytes);
}

static int vhdx_backed(struct image *m, struct err *e)
{
	if (m->below->format != m->format)
		return err_set(e, EINVAL, "%s: its parent, %s, is no VHDX image", m->file->name, m->backing_name);
	if (memcmp(vhdx_of(m->below)->header + H_DATA_GUID, vhdx_of(m)->linkage, 16))
		return err_set(e, EINVAL, "%s: %s was changed since the image was made on it, or is another",
			       m->file->name, m->backing_name);
	return 0;
}

/* The table has room for more blocks; the size is a number in the metadata, and goes through the log. */
static int vhdx_resize(struct image *m, u64 bytes, struct err *e)
{
	struct vhdx *v = vhdx_of(m);
	struct bat *b = &v->bi.bat;
	u64 blocks = (bytes + b->block_bytes - 1) / b->block_bytes;
	u8 page[VHDX_PAGE];

	if (bytes < m->bytes || v->parent)
		return err_set(e, ENOTSUP,
			       "only the disk of a VHDX image without a parent can be resized, and only grow");
	if (bytes % v->sector_bytes || bytes > VHDX_BYTES_MAX ||
	    (blocks && (blocks - 1 + (blocks - 1) / v->ratio + 1) * 8 > v->table.n))
		return err_set(e, EFBIG, "its table has no room for a disk of %llu bytes", (unsigned long long)bytes);
	int rc = vhdx_touch(v);
	if (rc == 0)
		rc = bat_flush(b);
	if (rc == 0)
		rc = image_pread(b->file, page, sizeof(page), v->metadata_off);
	st_le64(page + (v->size_at - v->metadata_off), bytes);
	if (rc == 0)
		rc = vhdx_write_pages(v, &(struct vhdx_page){ .off = v->metadata_off, .bytes = page }, 1);
	if (rc < 0)
		return err_sys(e, -rc, "writing its size");
	for (u64 i = b->blocks; i < blocks; i++) /* whatever was behind the last one */
		st_le64(entry_of(v, i), 0);
	m->bytes = b->bytes = bytes;
	b->blocks = blocks;
	return 0;
}

static int vhdx_check(struct image *m, struct image_check *c, enum image_fix fix, struct err *e)
{
	struct vhdx *v = vhdx_of(m);
	struct bat *b = &v->bi.bat;
	int rc = bat_check(b, MIB, 0, 0, c, e);

	if (rc < 0)
		return rc;
	/* Between blocks there may be tables and bitmaps: only what is behind all of them is surely unused. */
	c->end = MAX(c->end, v->end);
	c->leaked = b->file->bytes > c->end ? (b->file->bytes - c->end) / b->block_bytes : 0;
	if (fix == IMAGE_FIX_NONE || m->readonly || !c->leaked)
		return 0;
	rc = vhdx_touch(v);
	if (rc == 0)
		rc = image_resize_file(b->file, v->end);
	if (rc == 0)
		c->leaked_fixed = c->leaked;
	return rc < 0 ? err_sys(e, -rc, "giving up room") : 0;
}

static void vhdx_info(struct image *m, void (*say)(void *opaque, const char *name, const char *value), void *opaque)
{
	struct vhdx *v = vhdx_of(m);
	char text[16];

	say(opaque, "subformat", v->parent ? "differencing" : "fixed or dynamic");
	snprintf(text, sizeof(text), "%u", v->sector_bytes);
	say(opaque, "logical sector", text);
}

void vhdx_free(struct vhdx *v)
{
	for (size_t i = 0; i < v->npatches; i++)
		free(v->patches[i].data);
	free(v->patches);
	bat_table_fini(&v->table);
	bat_fini(&v->bi.bat);
	free(v);
}

static void vhdx_close(struct image *m)
{
	struct vhdx *v = vhdx_of(m);

	if (!v->bi.bat.changed)
		vhdx_empty_log(v);
	vhdx_free(v);
}

const struct image_ops vhdx_ops = {
	.backed = vhdx_backed,
	.map = vhdx_map,
	.prepare = vhdx_prepare,
	.commit = bat_image_commit,
	.zero = vhdx_zero,
	.discard = vhdx_discard,
	.flush = bat_image_flush,
	.resize = vhdx_resize,
	.check = vhdx_check,
	.info = vhdx_info,
	.close = vhdx_close,
};

static bool vhdx_probe(const u8 *head, size_t n, const u8 tail[512], u64 file_bytes)
{
	return n >= 8 && !memcmp(head, "vhdxfile", 8);
}

const struct image_format image_vhdx = {
	.name = "vhdx",
	.title = "VHDX, of Hyper-V",
	.extensions = "vhdx,avhdx",
	.create_options = vhdx_create_options,
	.creates = true,
	.backing = true,
	.probe = vhdx_probe,
	.open = vhdx_open,
	.create = vhdx_create,
	.measure = vhdx_measure,
};
