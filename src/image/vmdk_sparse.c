/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmdk_sparse.c - see vmdk_int.h. Here: sparse extents. A directory has the place of each grain table, a table those of
 * its grains; both are there twice. Tables are read when they are first asked for. New grains go to the end.
 */
#include "image/vmdk_int.h"

int vmdk_sparse_entry(struct vmdk_sparse *s, u64 block, u32 *entry)
{
	u64 t = block / s->gtes;
	u64 at = (u64)ld_le32(s->gd + t * 4) * SECTOR;

	*entry = 0;
	if (!s->gt[t] && !at)
		return 0;
	if (!s->gt[t]) {
		u8 *table = xcalloc(s->gtes, 4);
		int rc = image_pread(s->bat.file, table, s->gtes * 4ul, at);
		if (rc < 0) {
			free(table);
			return rc;
		}
		s->gt[t] = table;
	}
	*entry = ld_le32(s->gt[t] + block % s->gtes * 4);
	return 0;
}

int vmdk_sparse_set(struct vmdk_sparse *s, u64 block, u32 entry)
{
	u64 t = block / s->gtes;
	u32 was;
	int rc = vmdk_sparse_entry(s, block, &was); /* reads its table */

	if (rc < 0)
		return rc;
	if (!s->gt[t])
		s->gt[t] = xcalloc(s->gtes, 4);
	st_le32(s->gt[t] + block % s->gtes * 4, entry);
	s->dirty[t] = 1;
	return 0;
}

static int get(struct bat *b, u64 block, struct bat_block *is)
{
	struct vmdk_sparse *s = (struct vmdk_sparse *)(void *)b;
	u32 entry;
	int rc = vmdk_sparse_entry(s, block, &entry);

	if (rc < 0)
		return rc;
	*is = (struct bat_block){ .kind = !entry                    ? BAT_HOLE
					  : entry == 1 && s->zeroed ? BAT_ZERO
								    : BAT_DATA,
				  .off = (u64)entry * SECTOR };
	return is->kind == BAT_DATA && is->off >= b->file->bytes ? -EIO : 0;
}

static int place(struct bat *b, u64 block, u64 *off)
{
	*off = ROUND_UP(b->file->bytes, MIN(b->block_bytes, 4096));
	if (*off / SECTOR > UINT32_MAX)
		return -ENOSPC;
	return image_resize_file(b->file, *off + b->block_bytes);
}

static int set(struct bat *b, u64 block, const struct bat_block *is)
{
	return vmdk_sparse_set((struct vmdk_sparse *)(void *)b, block,
			       is->kind == BAT_ZERO ? 1 : (u32)(is->off / SECTOR));
}

static int write_tables(struct bat *b)
{
	struct vmdk_sparse *s = (struct vmdk_sparse *)(void *)b;
	int rc = 0;

	for (u32 t = 0; t < s->tables && rc == 0; t++) {
		if (!s->dirty[t])
			continue;
		if (s->redundant)
			rc = image_pwrite(b->file, s->gt[t], s->gtes * 4ul, (u64)ld_le32(s->rgd + t * 4ul) * SECTOR);
		if (rc == 0)
			rc = image_pwrite(b->file, s->gt[t], s->gtes * 4ul, (u64)ld_le32(s->gd + t * 4ul) * SECTOR);
		s->dirty[t] = rc != 0;
	}
	return rc;
}

static const struct bat_ops sparse_ops = { .get = get, .place = place, .set = set, .write = write_tables };

/* ---- opening ---- */

int vmdk_sparse_header(const u8 *h, struct err *e)
{
	if (memcmp(h + S_MAGIC, "KDMV", 4))
		return err_set(e, EINVAL, "it is no sparse VMDK extent");
	if (ld_le32(h + S_VERSION) < 1 || ld_le32(h + S_VERSION) > 3)
		return err_set(e, ENOTSUP, "version %u of sparse VMDK extents is not supported",
			       ld_le32(h + S_VERSION));
	if (ld_le32(h + S_FLAGS) & FLAG_NEWLINES && memcmp(h + S_NEWLINES, "\n \r\n", 4))
		return err_set(e, EINVAL, "its header is damaged: it was transferred as a text");
	if (ld_le32(h + S_FLAGS) & FLAG_COMPRESSED && ld_le16(h + S_COMPRESS) != 1)
		return err_set(e, ENOTSUP, "VMDK compression %u is not known", ld_le16(h + S_COMPRESS));
	if (!power_of_two(ld_le64(h + S_GRAIN), 8, 2 * MIB / SECTOR))
		return err_set(e, EINVAL, "grains of %llu sectors cannot be", (unsigned long long)ld_le64(h + S_GRAIN));
	if (!power_of_two(ld_le32(h + S_GTES), 1, 4096))
		return err_set(e, EINVAL, "grain tables of %u entries cannot be", ld_le32(h + S_GTES));
	if (ld_le64(h + S_CAPACITY) > IMAGE_BYTES_MAX / SECTOR)
		return err_set(e, EFBIG, "a disk of %llu sectors is too large",
			       (unsigned long long)ld_le64(h + S_CAPACITY));
	return 0;
}

/* Every table it leads to has to be in the file. none: entries of 0 may be. */
static int load_directory(struct vmdk_sparse *s, u8 **to, u64 sector, bool none, struct err *e)
{
	struct image_file *f = s->bat.file;
	u64 n = s->tables * 4ull, gt = s->gtes * 4ull;

	if (sector > f->bytes / SECTOR || n > f->bytes - sector * SECTOR)
		return err_set(e, EINVAL, "its grain directory lies behind the end of the file; it was cut short");
	*to = xcalloc(1, (size_t)n + 1);
	int rc = image_pread(f, *to, (size_t)n, sector * SECTOR);
	if (rc < 0)
		return err_sys(e, -rc, "reading its grain directory");
	for (u32 t = 0; t < s->tables; t++) {
		u64 at = (u64)ld_le32(*to + t * 4ul) * SECTOR;
		if (at > f->bytes || gt > f->bytes - at)
			return err_set(e, EINVAL, "grain table %u lies behind the end of the file; it was cut short",
				       t);
		if (!at && !none)
			return err_set(e, ENOTSUP, "grain table %u is not there; the image can be read, not written",
				       t);
	}
	return 0;
}

/* The header at the end, which knows where the directory is: three sectors, "footer" marker, header, end marker. */
static int read_footer(struct vmdk_sparse *s, struct err *e)
{
	u8 f[3 * SECTOR];
	u64 at = s->bat.file->bytes - MIN(s->bat.file->bytes, sizeof(f));
	int rc = image_pread(s->bat.file, f, sizeof(f), at);

	if (rc < 0)
		return err_sys(e, -rc, "reading its footer");
	if (ld_le32(f + 8) || ld_le32(f + 12) != MARKER_FOOTER || ld_le32(f + 2 * SECTOR + 8) ||
	    ld_le32(f + 2 * SECTOR + 12) != MARKER_EOS)
		return err_set(e, EINVAL, "it has no footer; it was cut short");
	u64 capacity = ld_le64(s->header + S_CAPACITY);
	memcpy(s->header, f + SECTOR, SECTOR);
	rc = vmdk_sparse_header(s->header, e);
	if (rc == 0 && (ld_le64(s->header + S_GD) == GD_AT_END || ld_le64(s->header + S_CAPACITY) != capacity))
		rc = err_set(e, EINVAL, "its footer contradicts its header");
	return rc;
}

static int load(struct vmdk *v, struct vmdk_sparse *s, bool readonly, struct err *e)
{
	struct bat *b = &s->bat;
	bool at_end = ld_le64(s->header + S_GD) == GD_AT_END;
	int rc = at_end ? read_footer(s, e) : 0;

	if (rc < 0)
		return rc;
	u32 flags = ld_le32(s->header + S_FLAGS);
	s->compressed = flags & FLAG_COMPRESSED;
	s->redundant = flags & FLAG_REDUNDANT && ld_le64(s->header + S_RGD) && !at_end;
	s->zeroed = flags & FLAG_ZEROED;
	s->gtes = ld_le32(s->header + S_GTES);
	b->block_bytes = (u32)(ld_le64(s->header + S_GRAIN) * SECTOR);
	b->blocks = (b->bytes + b->block_bytes - 1) / b->block_bytes;
	b->zeros = s->zeroed;
	v->grains += ROUND_UP(b->blocks, s->gtes);
	if (v->grains > VMDK_GRAINS_MAX)
		return err_set(e, EFBIG, "more than %llu grains are not handled", VMDK_GRAINS_MAX);
	s->tables = (u32)((b->blocks + s->gtes - 1) / s->gtes);
	bool none = readonly || s->compressed;
	rc = load_directory(s, &s->gd, ld_le64(s->header + S_GD), none, e);
	if (rc == 0 && s->redundant)
		rc = load_directory(s, &s->rgd, ld_le64(s->header + S_RGD), none, e);
	if (rc < 0)
		return rc;
	s->gt = xcalloc(s->tables + 1ul, sizeof(*s->gt));
	s->dirty = xcalloc(1, s->tables + 1ul);
	if (!readonly && !s->compressed && ld_le32(s->header + S_VERSION) == 3)
		return err_set(e, ENOTSUP, "a sparse VMDK extent of version 3 can be read, not written");
	return s->compressed ? vmdk_stream_open(s, readonly, e) : 0;
}

int vmdk_sparse_open(struct vmdk *v, struct vmdk_extent *x, bool readonly, struct err *e)
{
	struct vmdk_sparse *s = xcalloc(1, sizeof(*s));
	int rc = image_pread(x->file, s->header, SECTOR, 0);

	x->sparse = s;
	x->kind = VMDK_SPARSE;
	rc = rc < 0 ? err_sys(e, -rc, "reading its header") : vmdk_sparse_header(s->header, e);
	if (rc < 0)
		return rc;
	u64 bytes = ld_le64(s->header + S_CAPACITY) * SECTOR;
	if (x->bytes && x->bytes != bytes)
		return err_set(e, EINVAL, "%s: it has %llu bytes, and the descriptor says %llu", x->file->name,
			       (unsigned long long)bytes, (unsigned long long)x->bytes);
	x->bytes = bytes;
	s->bat =
	    (struct bat){ .ops = &sparse_ops, .image = &v->image, .file = x->file, .start = x->start, .bytes = bytes };
	return load(v, s, readonly, e);
}

void vmdk_sparse_free(struct vmdk_sparse *s)
{
	if (!s)
		return;
	for (u32 t = 0; s->gt && t < s->tables; t++)
		free(s->gt[t]);
	bat_fini(&s->bat);
	free(s->gt);
	free(s->gd);
	free(s->rgd);
	free(s->dirty);
	free(s->grain);
	free(s->packed);
	free(s);
}
