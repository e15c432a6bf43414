/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parallels.c - Parallels' expanding images (as QEMU's docs/interop/parallels.txt describes them), little-endian: a
 * header, behind it a table with a 32-bit entry for each cluster, then clusters. In "WithoutFreeSpace" an entry is a
 * sector of the file; in "WithouFreSpacExt" (sic), for large disks, a cluster of it.
 *
 * The header says whether somebody has it open: set before the first write, cleared at the end. What a crash left is
 * right all the same, since the table is written when the data is durable.
 */
#include "image/bat.h"

#define SECTOR 512u
#define HEADER_BYTES 64u
#define MAGIC "WithoutFreeSpace"
#define MAGIC_EXT "WithouFreSpacExt"
#define VERSION 2u
#define NEW_CLUSTER_BYTES MIB

#define H_VERSION 16
#define H_HEADS 20
#define H_CYLINDERS 24
#define H_CLUSTER 28 /* sectors */
#define H_ENTRIES 32
#define H_SECTORS 36 /* 64 bits of it in MAGIC_EXT, else 32 */
#define H_IN_USE 44
#define H_DATA 48 /* sectors; 0: behind the table */
#define H_FLAGS 52
#define H_EXTENSION 56
#define FLAG_EMPTY 1u
#define IN_USE 0x746f6e59u

struct parallels {
	struct bat_image bi; /* first */
	struct bat_table table;
	u8 header[HEADER_BYTES];
	u64 unit;  /* bytes that an entry counts in */
	u64 data;  /* where clusters begin */
	u64 end;   /* of those in use */
	bool used; /* the header says so */
};

static struct parallels *parallels_of(struct image *m)
{
	return (struct parallels *)(void *)m;
}

static int get(struct bat *b, u64 block, struct bat_block *is)
{
	const struct parallels *p = container_of(b, struct parallels, bi.bat);
	u64 at = ld_le32(p->table.bytes + block * 4) * p->unit;

	*is = (struct bat_block){ .kind = at ? BAT_DATA : BAT_HOLE, .off = at };
	return 0;
}

static int place(struct bat *b, u64 block, u64 *off)
{
	struct parallels *p = container_of(b, struct parallels, bi.bat);

	if (p->end / p->unit > UINT32_MAX)
		return -ENOSPC;
	*off = p->end;
	int rc = bat_room(b->file, p->end, b->block_bytes);
	p->end += rc == 0 ? b->block_bytes : 0;
	return rc;
}

static int set(struct bat *b, u64 block, const struct bat_block *is)
{
	struct parallels *p = container_of(b, struct parallels, bi.bat);

	st_le32(p->table.bytes + block * 4, (u32)(is->off / p->unit));
	bat_table_changed(&p->table, block * 4);
	return 0;
}

static int write_table(struct bat *b)
{
	return bat_table_write(&container_of(b, struct parallels, bi.bat)->table, b->file);
}

static const struct bat_ops parallels_bat_ops = { .get = get, .place = place, .set = set, .write = write_table };

/* ---- in use ---- */

static int say_used(struct parallels *p, bool used)
{
	if (p->used == used)
		return 0;
	st_le32(p->header + H_IN_USE, used ? IN_USE : 0);
	if (used)
		st_le32(p->header + H_FLAGS, ld_le32(p->header + H_FLAGS) & ~FLAG_EMPTY);
	int rc = image_pwrite(p->bi.bat.file, p->header, HEADER_BYTES, 0);
	if (rc == 0)
		rc = image_sync(p->bi.bat.file);
	p->used = rc == 0 ? used : p->used;
	return rc;
}

static int parallels_map(struct image *m, u64 off, u64 bytes, struct image_run *run)
{
	int rc = bat_image_map(m, off, bytes, run);

	run->in_place &= parallels_of(m)->used;
	return rc;
}

static int parallels_prepare(struct image *m, u64 off, u64 bytes, struct image_run *run)
{
	int rc = say_used(parallels_of(m), true);

	return rc < 0 ? rc : bat_image_prepare(m, off, bytes, run);
}

static int parallels_zero(struct image *m, u64 off, u64 bytes, bool unmap)
{
	int rc = say_used(parallels_of(m), true);

	return rc < 0 ? rc : bat_image_zero(m, off, bytes, unmap);
}

/* ---- what it says of itself ---- */

static int parallels_check(struct image *m, struct image_check *c, enum image_fix fix, struct err *e)
{
	struct parallels *p = parallels_of(m);
	struct bat *b = &p->bi.bat;
	int rc = bat_check(b, p->data, 0, 0, c, e);

	if (rc < 0 || fix == IMAGE_FIX_NONE || m->readonly || !c->leaked || b->file->bytes <= c->end)
		return rc;
	c->leaked_fixed = MIN(c->leaked, (b->file->bytes - c->end) / b->block_bytes);
	rc = image_resize_file(b->file, c->end);
	return rc < 0 ? err_sys(e, -rc, "giving up room") : 0;
}

static void parallels_close(struct image *m)
{
	struct parallels *p = parallels_of(m);

	if (!m->readonly && !p->bi.bat.changed && say_used(p, false) < 0)
		p->used = true; /* whoever opens it next sees a word too many */
	bat_table_fini(&p->table);
	bat_fini(&p->bi.bat);
	free(p);
}

static const struct image_ops parallels_ops = {
	.map = parallels_map,
	.prepare = parallels_prepare,
	.commit = bat_image_commit,
	.zero = parallels_zero,
	.discard = bat_image_discard,
	.flush = bat_image_flush,
	.check = parallels_check,
	.close = parallels_close,
};

/* ---- opening ---- */

static bool parallels_probe(const u8 *head, size_t n, const u8 tail[512], u64 file_bytes)
{
	return n >= HEADER_BYTES && (!memcmp(head, MAGIC, 16) || !memcmp(head, MAGIC_EXT, 16));
}

/* Every cluster has to be in the file. */
static int find_end(struct parallels *p, bool checking, struct err *e)
{
	struct bat *b = &p->bi.bat;
	u64 table_end = ROUND_UP(p->table.off + p->table.n, SECTOR);

	p->data = (u64)ld_le32(p->header + H_DATA) * SECTOR;
	if (p->data < table_end) /* some say 0, or something that cannot be */
		p->data = p->unit == SECTOR ? table_end : ROUND_UP(table_end, b->block_bytes);
	p->end = p->unit == SECTOR ? p->data : ROUND_UP(p->data, b->block_bytes);
	for (u64 i = 0; i < b->blocks; i++) {
		u64 at = ld_le32(p->table.bytes + i * 4) * p->unit;
		if (!at)
			continue;
		if (at >= b->file->bytes && !checking)
			return err_set(e, EINVAL, "block %llu lies behind the end of the file; it was cut short",
				       (unsigned long long)i);
		p->end = MAX(p->end, at + b->block_bytes);
	}
	return 0;
}

static int load(struct parallels *p, const struct image_open *o, struct err *e)
{
	const u8 *h = p->header;
	struct bat *b = &p->bi.bat;
	bool ext = !memcmp(h, MAGIC_EXT, 16);
	u64 sectors = ext ? ld_le64(h + H_SECTORS) : ld_le32(h + H_SECTORS), cluster = ld_le32(h + H_CLUSTER);

	if (!ext && memcmp(h, MAGIC, 16))
		return err_set(e, EINVAL, "it is no Parallels image");
	if (ld_le32(h + H_VERSION) != VERSION)
		return err_set(e, ENOTSUP, "Parallels version %u is not supported", ld_le32(h + H_VERSION));
	if (!power_of_two(cluster, 8, 256 * MIB / SECTOR))
		return err_set(e, ENOTSUP, "Parallels clusters of %llu sectors are not supported",
			       (unsigned long long)cluster);
	if (sectors > IMAGE_BYTES_MAX / SECTOR)
		return err_set(e, EFBIG, "a disk of %llu sectors is too large", (unsigned long long)sectors);
	if (!o->readonly && ld_le64(h + H_EXTENSION))
		return err_set(e, ENOTSUP,
			       "a Parallels image with bitmaps (a format extension) can be read, not written");
	b->bytes = p->bi.image.bytes = sectors * SECTOR;
	b->block_bytes = p->bi.image.cluster_bytes = (u32)(cluster * SECTOR);
	b->blocks = (sectors + cluster - 1) / cluster;
	p->unit = ext ? b->block_bytes : SECTOR;
	p->used = ld_le32(h + H_IN_USE) == IN_USE;
	if (ld_le32(h + H_ENTRIES) < b->blocks)
		return err_set(e, EINVAL, "its table has %u entries, too few for its %llu blocks",
			       ld_le32(h + H_ENTRIES), (unsigned long long)b->blocks);
	int rc = bat_table_load(&p->table, o->file, HEADER_BYTES, ld_le32(h + H_ENTRIES) * 4ull, e);
	return rc < 0 ? rc : find_end(p, o->checking, e);
}

static int parallels_open(struct image **out, const struct image_open *o, struct err *e)
{
	int rc = image_options_check(NULL, o->options, "parallels", e);

	if (rc < 0)
		return rc;
	struct parallels *p = xcalloc(1, sizeof(*p));
	p->bi.image = (struct image){ .ops = &parallels_ops, .readonly = o->readonly, .can_discard = true };
	p->bi.bat = (struct bat){ .ops = &parallels_bat_ops, .image = &p->bi.image, .file = o->file };
	rc = image_pread(o->file, p->header, HEADER_BYTES, 0);
	rc = rc < 0 ? err_sys(e, -rc, "reading its header") : load(p, o, e);
	if (rc < 0) {
		bat_table_fini(&p->table);
		free(p);
		return rc;
	}
	*out = &p->bi.image;
	return 0;
}

/* ---- creating ---- */

static const struct image_format_option create_options[] = {
	{ "cluster_size", "64k to 64M", "the unit that it grows by" },
	{ 0 },
};

static int choose(u64 bytes, const char *const *options, u64 *cluster, u64 *data, struct err *e)
{
	int rc = image_options_check(create_options, options, "parallels", e);

	*cluster = NEW_CLUSTER_BYTES;
	if (rc == 0)
		rc = image_option_size(options, "cluster_size", 64 * KIB, 64 * MIB, cluster, e);
	u64 entries = (bytes + *cluster - 1) / *cluster;
	*data = ROUND_UP(HEADER_BYTES + entries * 4, *cluster);
	if (rc == 0 && entries * 4 > IMAGE_MEMORY_MAX / 8)
		rc = err_set(e, EFBIG, "%llu blocks are too many: give a larger cluster_size",
			     (unsigned long long)entries);
	return rc;
}

static int parallels_create(const struct image_create *c, struct err *e)
{
	u8 h[HEADER_BYTES] = { 0 };
	u64 cluster, data, sectors = ROUND_UP(c->bytes, SECTOR) / SECTOR;
	int rc = choose(c->bytes, c->options, &cluster, &data, e);

	if (rc == 0 && c->backing)
		rc = err_set(e, ENOTSUP, "a Parallels image with a backing image cannot be made");
	if (rc < 0)
		return rc;
	memcpy(h, MAGIC_EXT, 16);
	st_le32(h + H_VERSION, VERSION);
	st_le32(h + H_HEADS, 16);
	st_le32(h + H_CYLINDERS, (u32)MIN(sectors / (16 * 32), UINT32_MAX));
	st_le32(h + H_CLUSTER, (u32)(cluster / SECTOR));
	st_le32(h + H_ENTRIES, (u32)((c->bytes + cluster - 1) / cluster));
	st_le64(h + H_SECTORS, sectors);
	st_le32(h + H_DATA, (u32)(data / SECTOR));
	rc = c->file->device ? image_zero(c->file, 0, data, true) : image_resize_file(c->file, 0);
	if (rc == 0)
		rc = image_resize_file(c->file, data);
	if (rc == 0)
		rc = image_pwrite(c->file, h, sizeof(h), 0);
	return rc < 0 ? err_sys(e, -rc, "%s", c->file->name) : 0;
}

static int parallels_measure(u64 bytes, u64 allocated, const char *const *options, u64 out[2], struct err *e)
{
	u64 cluster, data;
	int rc = choose(bytes, options, &cluster, &data, e);

	out[0] = data + ROUND_UP(allocated, cluster);
	out[1] = data + ROUND_UP(bytes, cluster);
	return rc;
}

const struct image_format image_parallels = {
	.name = "parallels",
	.title = "Parallels, expanding",
	.extensions = "hdd,hds",
	.create_options = create_options,
	.creates = true,
	.probe = parallels_probe,
	.open = parallels_open,
	.create = parallels_create,
	.measure = parallels_measure,
};
