/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vpc_header.c - see vpc.c. Here: footer, header, parent locators, geometry; opening and creating. */
#include "image/vpc_int.h"

#include <time.h>

#define SIZE_MAX_BYTES (2040ull * GIB) /* as far as the table's sectors and Virtual Server go */
#define GEOMETRY_MAX (65535ull * 16 * 255)
#define NEW_BLOCK_BYTES (2u * MIB)
#define NEW_TABLE_OFF (SECTOR + DH_BYTES)
#define SECONDS_2000 946684800u

/* All bytes but those of the sum, added up, inverted. */
static u32 sum_of(const u8 *p, size_t n, size_t sum_at)
{
	u32 sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += i >= sum_at && i < sum_at + 4 ? 0 : p[i];
	return ~sum;
}

static bool is_footer(const u8 *f)
{
	return !memcmp(f, "conectix", 8) && ld_be32(f + F_SUM) == sum_of(f, SECTOR, F_SUM);
}

static bool vpc_probe(const u8 *head, size_t n, const u8 tail[512], u64 file_bytes)
{
	return (n >= SECTOR && !memcmp(head, "conectix", 8)) || !memcmp(tail, "conectix", 8);
}

/* ---- the size ---- */

/* Cylinders, heads and sectors for a disk, by the appendix of the specification. */
static void geometry_of(u64 sectors, u8 out[4])
{
	u32 n = (u32)MIN(sectors, GEOMETRY_MAX), spt, heads, tracks;

	if (n >= 65535u * 16 * 63) {
		spt = 255;
		heads = 16;
		tracks = n / spt;
	} else {
		spt = 17;
		tracks = n / spt;
		heads = MAX((tracks + 1023) / 1024, 4);
		if (tracks >= heads * 1024 || heads > 16) {
			spt = 31;
			heads = 16;
			tracks = n / spt;
		}
		if (tracks >= heads * 1024) {
			spt = 63;
			heads = 16;
			tracks = n / spt;
		}
	}
	st_be16(out, (u16)(tracks / heads));
	out[2] = (u8)heads;
	out[3] = (u8)spt;
}

static u64 geometry_sectors(const u8 g[4])
{
	return (u64)ld_be16(g) * g[2] * g[3];
}

/* These programs mean the footer's size; others the geometry, as far as that reaches. */
static bool means_size(const u8 *footer)
{
	static const char creators[][5] = { "win ", "qem2", "d2v ", "tap", "CTXS", "wa" };

	for (unsigned i = 0; i < ARRAY_LEN(creators); i++)
		if (!memcmp(footer + F_CREATOR, creators[i], 4))
			return true;
	return false;
}

static const struct image_format_option open_options[] = {
	{ "force_size_calc", "auto|chs|current_size", "what the disk's size is taken from" },
	{ 0 },
};

static int size_of(const u8 *footer, const char *const *options, u64 *bytes, struct err *e)
{
	const char *how = image_option(options, "force_size_calc");
	u64 chs = geometry_sectors(footer + F_GEOMETRY);
	bool size = means_size(footer) || chs >= GEOMETRY_MAX;

	if (how && !strcmp(how, "chs"))
		size = false;
	else if (how && !strcmp(how, "current_size"))
		size = true;
	else if (how && strcmp(how, "auto"))
		return err_set(e, EINVAL, "force_size_calc=%s: it is auto, chs or current_size", how);
	*bytes = size ? ld_be64(footer + F_SIZE) / SECTOR * SECTOR : chs * SECTOR;
	if (*bytes > SIZE_MAX_BYTES)
		return err_set(e, EFBIG, "a VHD disk of %llu bytes is too large", (unsigned long long)*bytes);
	return 0;
}

/* ---- the parent ---- */

/* A name of ours of one from Windows: "..\a\b.vhd" */
static bool plain_name(const u8 *in, size_t n, bool big_endian, char *out, size_t room)
{
	if (!image_utf16(in, n, big_endian, out, room) || !*out)
		return false;
	for (char *c = out; *c; c++)
		if (*c == '\\')
			*c = '/';
	if (!strncmp(out, "./", 2) && out[2])
		memmove(out, out + 2, strlen(out + 2) + 1);
	return true;
}

/* By the locator with a name relative to this image if there is one, else an absolute one, else the header's name. */
static int find_parent(struct vpc *v, struct image_file *f, struct err *e)
{
	static const u32 codes[] = { 0x57327275 /* W2ru */, 0x57326b75 /* W2ku */ };
	struct image *m = &v->bi.image;
	u8 name[2 * IMAGE_NAME_MAX];

	for (unsigned i = 0; i < ARRAY_LEN(codes) * 8; i++) {
		const u8 *l = v->header + DH_LOCATORS + i % 8 * 24;
		u32 n = ld_be32(l + 8);
		if (ld_be32(l) != codes[i / 8] || n > sizeof(name))
			continue;
		int rc = image_pread(f, name, n, ld_be64(l + 16));
		if (rc < 0)
			return err_sys(e, -rc, "reading its parent's name");
		if (plain_name(name, n, false, m->backing_name, sizeof(m->backing_name)))
			return 0;
	}
	if (plain_name(v->header + DH_PARENT_NAME, DH_PARENT_NAME_BYTES, true, m->backing_name,
		       sizeof(m->backing_name)))
		return 0;
	return err_set(e, EINVAL, "it is a differencing VHD image and does not name its parent");
}

/* ---- opening ---- */

static int read_header(struct vpc *v, struct image_file *f, struct err *e)
{
	u64 at = ld_be64(v->footer + F_HEADER);
	u8 *h = v->header;

	if (at > f->bytes || f->bytes - at < DH_BYTES)
		return err_set(e, EINVAL, "its dynamic header lies behind the end of the file");
	int rc = image_pread(f, h, DH_BYTES, at);
	if (rc < 0)
		return err_sys(e, -rc, "reading its dynamic header");
	if (memcmp(h, "cxsparse", 8) || ld_be32(h + DH_SUM) != sum_of(h, DH_BYTES, DH_SUM))
		return err_set(e, EINVAL, "its dynamic header is damaged");
	if (ld_be32(h + DH_VERSION) >> 16 != 1)
		return err_set(e, ENOTSUP, "version %#x of its dynamic header is not supported",
			       ld_be32(h + DH_VERSION));
	if (!power_of_two(ld_be32(h + DH_BLOCK), 4 * KIB, 256 * MIB))
		return err_set(e, EINVAL, "blocks of %u bytes cannot be", ld_be32(h + DH_BLOCK));
	return 0;
}

/* Where what is in use ends. Every block has to be in the file. */
static int find_end(struct vpc *v, bool checking, struct err *e)
{
	struct bat *b = &v->bi.bat;
	u64 header_end = ld_be64(v->footer + F_HEADER) + DH_BYTES;

	v->first = ROUND_UP(MAX(MAX(header_end, v->table.off + v->table.n), SECTOR), SECTOR);
	v->end = v->first;
	for (unsigned i = 0; i < 8; i++) {
		const u8 *l = v->header + DH_LOCATORS + (size_t)i * 24;
		u64 off = ld_be64(l + 16);
		if (ld_be32(l) && off < b->file->bytes)
			v->end = MAX(v->end, ROUND_UP(MIN(off + ld_be32(l + 4), b->file->bytes), SECTOR));
	}
	for (u64 i = 0; i < b->blocks; i++) {
		u64 at = ld_be32(v->table.bytes + i * 4);
		if (at == UNUSED)
			continue;
		u64 end = at * SECTOR + v->bitmap_bytes + b->block_bytes;
		if ((!at || end > b->file->bytes) && !checking)
			return err_set(e, EINVAL, "block %llu lies behind the end of the file; it was cut short",
				       (unsigned long long)i);
		v->end = MAX(v->end, end);
	}
	return 0;
}

static int open_dynamic(struct vpc *v, const struct image_open *o, struct err *e)
{
	struct bat *b = &v->bi.bat;
	int rc = read_header(v, o->file, e);

	if (rc < 0)
		return rc;
	u32 block = ld_be32(v->header + DH_BLOCK), entries = ld_be32(v->header + DH_ENTRIES);
	b->block_bytes = v->bi.image.cluster_bytes = block;
	b->blocks = (b->bytes + block - 1) / block;
	v->bitmap_bytes = MAX(block / SECTOR / 8, SECTOR);
	if (entries < b->blocks)
		return err_set(e, EINVAL, "its table has %u entries, too few for its %llu blocks", entries,
			       (unsigned long long)b->blocks);
	rc = bat_table_load(&v->table, o->file, ld_be64(v->header + DH_TABLE), b->blocks * 4, e);
	if (rc == 0)
		rc = find_end(v, o->checking, e);
	if (rc == 0 && ld_be32(v->footer + F_TYPE) == TYPE_DIFF) {
		snprintf(v->bi.image.backing_format, sizeof(v->bi.image.backing_format), "vpc");
		rc = find_parent(v, o->file, e);
	}
	v->kinds = xcalloc(1, (size_t)b->blocks + 1);
	v->bitmap = xcalloc(1, v->bitmap_bytes);
	v->bitmap_block = UINT64_MAX;
	if (rc == 0 && !o->readonly && !v->tail) { /* a crash took the one at the end */
		rc = image_pwrite(o->file, v->footer, SECTOR, ROUND_UP(MAX(v->end, o->file->bytes), SECTOR));
		rc = rc < 0 ? err_sys(e, -rc, "writing its footer") : 0;
	}
	return rc;
}

/* The footer, or when a crash spoiled it the copy at the beginning. */
static int read_footer(struct vpc *v, struct image_file *f, struct err *e)
{
	int rc = f->bytes < SECTOR ? -EINVAL : image_pread(f, v->footer, SECTOR, f->bytes - SECTOR);

	v->tail = rc == 0 && is_footer(v->footer);
	if (rc == 0 && !v->tail)
		rc = image_pread(f, v->footer, SECTOR, 0);
	if (rc < 0)
		return err_sys(e, -rc, "reading its footer");
	u32 type = ld_be32(v->footer + F_TYPE);
	if (!is_footer(v->footer))
		return err_set(e, EINVAL, "it is no VHD image, or its footer is damaged");
	if (ld_be32(v->footer + F_VERSION) >> 16 != 1)
		return err_set(e, ENOTSUP, "VHD version %#x is not supported", ld_be32(v->footer + F_VERSION));
	if (type != TYPE_FIXED && type != TYPE_DYNAMIC && type != TYPE_DIFF)
		return err_set(e, ENOTSUP, "a VHD disk of type %u is not supported", type);
	return 0;
}

static int vpc_open(struct image **out, const struct image_open *o, struct err *e)
{
	struct vpc *v = xcalloc(1, sizeof(*v));
	u64 bytes = 0;
	int rc = image_options_check(open_options, o->options, "vpc", e);

	if (rc == 0)
		rc = read_footer(v, o->file, e);
	if (rc == 0)
		rc = size_of(v->footer, o->options, &bytes, e);
	v->fixed = ld_be32(v->footer + F_TYPE) == TYPE_FIXED;
	v->bi.image = (struct image){ .ops = v->fixed ? &vpc_fixed_ops : &vpc_dynamic_ops,
				      .bytes = bytes,
				      .readonly = o->readonly,
				      .can_discard = true };
	v->bi.bat = (struct bat){ .ops = &vpc_bat_ops, .image = &v->bi.image, .file = o->file, .bytes = bytes };
	if (rc == 0 && v->fixed && bytes > o->file->bytes - SECTOR)
		rc = err_set(e, EINVAL, "its disk of %llu bytes is longer than the file; it was cut short",
			     (unsigned long long)bytes);
	if (rc == 0 && !v->fixed)
		rc = open_dynamic(v, o, e);
	if (rc < 0) {
		vpc_fixed_ops.close(&v->bi.image);
		return rc;
	}
	*out = &v->bi.image;
	return 0;
}

/* ---- creating ---- */

static const struct image_format_option create_options[] = {
	{ "subformat", "dynamic|fixed", "dynamic grows as it is written" },
	{ "force_size", "on|off", "the size as it is given; off: what a geometry gives, as Virtual PC wants it" },
	{ 0 },
};

struct new_vpc {
	bool fixed, force_size;
	u8 geometry[4];
	u64 bytes;
};

static int decide(struct new_vpc *n, u64 bytes, const char *const *options, struct err *e)
{
	const char *sub = image_option(options, "subformat");
	u64 sectors = ROUND_UP(bytes, SECTOR) / SECTOR;
	int rc = image_options_check(create_options, options, "vpc", e);

	if (rc == 0)
		rc = image_option_switch(options, "force_size", &n->force_size, e);
	if (rc < 0)
		return rc;
	if (sub && strcmp(sub, "fixed") && strcmp(sub, "dynamic"))
		return err_set(e, EINVAL, "subformat=%s: it is dynamic or fixed", sub);
	n->fixed = sub && !strcmp(sub, "fixed");
	if (bytes > SIZE_MAX_BYTES)
		return err_set(e, EFBIG, "a VHD disk of %llu bytes is too large", (unsigned long long)bytes);
	geometry_of(sectors, n->geometry);
	n->bytes = sectors * SECTOR;
	if (n->force_size || sectors > GEOMETRY_MAX)
		return 0;
	/* The smallest geometry that the disk fits in. */
	for (u64 i = sectors; geometry_sectors(n->geometry) < sectors && i < GEOMETRY_MAX; i++)
		geometry_of(i, n->geometry);
	if (geometry_sectors(n->geometry) >= sectors)
		n->bytes = geometry_sectors(n->geometry) * SECTOR;
	return 0;
}

static void new_footer(const struct new_vpc *n, u8 f[SECTOR])
{
	memset(f, 0, SECTOR);
	memcpy(f, "conectix", 8);
	st_be32(f + F_FEATURES, 2); /* reserved, always set */
	st_be32(f + F_VERSION, 0x00010000);
	st_be64(f + F_HEADER, n->fixed ? UINT64_MAX : SECTOR);
	st_be32(f + F_TIME, (u32)(time(NULL) - SECONDS_2000));
	/* Which of the two sizes is meant is known by these names, everywhere. */
	memcpy(f + F_CREATOR, n->force_size ? "win " : "vpc ", 4);
	st_be32(f + F_CREATOR_VERSION, 0x00050003);
	memcpy(f + F_CREATOR_OS, "Wi2k", 4);
	st_be64(f + F_FIRST_SIZE, n->bytes);
	st_be64(f + F_SIZE, n->bytes);
	memcpy(f + F_GEOMETRY, n->geometry, 4);
	st_be32(f + F_TYPE, n->fixed ? TYPE_FIXED : TYPE_DYNAMIC);
	image_uuid(f + F_UUID);
	st_be32(f + F_SUM, sum_of(f, SECTOR, F_SUM));
}

static int write_dynamic(struct image_file *f, u64 bytes, const u8 footer[SECTOR])
{
	u32 blocks = (u32)((bytes + NEW_BLOCK_BYTES - 1) / NEW_BLOCK_BYTES);
	u64 table = ROUND_UP(blocks * 4ull, SECTOR);
	u8 h[DH_BYTES] = "cxsparse", ones[4096];
	int rc = image_pwrite(f, footer, SECTOR, 0);

	st_be64(h + DH_NEXT, UINT64_MAX);
	st_be64(h + DH_TABLE, NEW_TABLE_OFF);
	st_be32(h + DH_VERSION, 0x00010000);
	st_be32(h + DH_ENTRIES, blocks);
	st_be32(h + DH_BLOCK, NEW_BLOCK_BYTES);
	st_be32(h + DH_SUM, sum_of(h, DH_BYTES, DH_SUM));
	if (rc == 0)
		rc = image_pwrite(f, h, sizeof(h), SECTOR);
	memset(ones, 0xff, sizeof(ones));
	for (u64 at = 0; at < table && rc == 0; at += sizeof(ones))
		rc = image_pwrite(f, ones, (size_t)MIN(table - at, sizeof(ones)), NEW_TABLE_OFF + at);
	return rc < 0 ? rc : image_pwrite(f, footer, SECTOR, NEW_TABLE_OFF + table);
}

static int vpc_create(const struct image_create *c, struct err *e)
{
	struct new_vpc n = { 0 };
	u8 footer[SECTOR];
	int rc = decide(&n, c->bytes, c->options, e);

	if (rc == 0 && c->backing)
		rc = err_set(e, ENOTSUP, "a VHD image with a backing image cannot be made");
	if (rc == 0 && c->file->device)
		rc = err_set(e, ENOTSUP, "%s: a VHD image has its footer at the end of a file, and a device has none",
			     c->file->name);
	if (rc < 0)
		return rc;
	new_footer(&n, footer);
	rc = image_resize_file(c->file, 0);
	if (rc == 0)
		rc = n.fixed ? image_pwrite(c->file, footer, SECTOR, n.bytes) : write_dynamic(c->file, n.bytes, footer);
	return rc < 0 ? err_sys(e, -rc, "%s", c->file->name) : 0;
}

static int vpc_measure(u64 bytes, u64 allocated, const char *const *options, u64 out[2], struct err *e)
{
	struct new_vpc n = { 0 };
	int rc = decide(&n, bytes, options, e);
	u64 blocks = (n.bytes + NEW_BLOCK_BYTES - 1) / NEW_BLOCK_BYTES, per_block = NEW_BLOCK_BYTES + 4096;
	u64 head = ROUND_UP(NEW_TABLE_OFF + blocks * 4, SECTOR) + SECTOR;

	out[1] = n.fixed ? n.bytes + SECTOR : head + blocks * per_block;
	out[0] = n.fixed ? out[1] : head + (allocated + NEW_BLOCK_BYTES - 1) / NEW_BLOCK_BYTES * per_block;
	return rc;
}

const struct image_format image_vpc = {
	.name = "vpc",
	.title = "VHD, of Hyper-V",
	.extensions = "vhd",
	.open_options = open_options,
	.create_options = create_options,
	.creates = true,
	.backing = true,
	.probe = vpc_probe,
	.open = vpc_open,
	.create = vpc_create,
	.measure = vpc_measure,
};
