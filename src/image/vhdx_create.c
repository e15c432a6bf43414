/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhdx_create.c - see vhdx_int.h. Here: new images: 1 MiB of headers, the log, metadata, the table, blocks. */
#include "image/vhdx_int.h"

#define LOG_OFF MIB
#define METADATA_OFF (2 * MIB)
#define BAT_OFF (3 * MIB)
#define REGION_BYTES MIB
#define ITEMS_AT (64u * KIB)

const struct image_format_option vhdx_create_options[] = {
	{ "subformat", "dynamic|fixed", "dynamic grows as it is written" },
	{ "block_size", "1M to 256M", "the unit that it grows by" },
	{ 0 },
};

struct new_vhdx {
	bool fixed;
	u64 bytes, block, blocks, ratio, table_bytes;
};

static int choose(struct new_vhdx *n, u64 bytes, const char *const *options, struct err *e)
{
	const char *sub = image_option(options, "subformat");
	int rc = image_options_check(vhdx_create_options, options, "vhdx", e);

	if (rc < 0)
		return rc;
	n->bytes = ROUND_UP(bytes, 512);
	n->block = bytes > 32 * 1024 * GIB ? 64 * MIB : bytes > 100 * GIB ? 32 * MIB : bytes > GIB ? 16 * MIB : 8 * MIB;
	if (image_option(options, "block_size"))
		rc = image_option_size(options, "block_size", MIB, 256 * MIB, &n->block, e);
	if (rc < 0)
		return rc;
	if (sub && strcmp(sub, "fixed") && strcmp(sub, "dynamic"))
		return err_set(e, EINVAL, "subformat=%s: it is dynamic or fixed", sub);
	n->fixed = sub && !strcmp(sub, "fixed");
	if (bytes > VHDX_BYTES_MAX)
		return err_set(e, EFBIG, "a VHDX disk of %llu bytes is too large", (unsigned long long)bytes);
	n->ratio = (512ull << 23) / n->block;
	n->blocks = (n->bytes + n->block - 1) / n->block;
	n->table_bytes = ROUND_UP(MAX((n->blocks + n->blocks / n->ratio) * 8, 1), REGION_BYTES);
	if (n->table_bytes > IMAGE_MEMORY_MAX / 4)
		return err_set(e, EFBIG, "%llu blocks are too many: give a larger block_size",
			       (unsigned long long)n->blocks);
	return 0;
}

static int write_headers(struct image_file *f)
{
	static const char creator[] = "Mica";
	u8 id[520] = "vhdxfile", h[VHDX_PAGE] = "head";
	int rc;

	for (unsigned i = 0; creator[i]; i++)
		st_le16(id + 8 + i * 2, (u16)creator[i]);
	rc = image_pwrite(f, id, sizeof(id), 0);
	image_uuid(h + H_FILE_GUID);
	image_uuid(h + H_DATA_GUID);
	st_le16(h + H_VERSION, 1);
	st_le32(h + H_LOG_BYTES, REGION_BYTES);
	st_le64(h + H_LOG_OFF, LOG_OFF);
	for (unsigned i = 0; i < 2 && rc == 0; i++) {
		st_le64(h + H_SEQUENCE, i + 1);
		st_le32(h + H_CRC, vhdx_crc(h, sizeof(h), H_CRC));
		rc = image_pwrite(f, h, sizeof(h), VHDX_HEADER_OFF(i));
	}
	return rc;
}

static void region(u8 *entry, const u8 guid[16], u64 off, u64 bytes)
{
	memcpy(entry, guid, 16);
	st_le64(entry + 16, off);
	st_le32(entry + 24, (u32)bytes);
	st_le32(entry + 28, 1);
}

static int write_regions(struct image_file *f, const struct new_vhdx *n)
{
	auto_free u8 *t = xcalloc(1, VHDX_REGIONS_BYTES);
	int rc = 0;

	memcpy(t, "regi", 4);
	st_le32(t + 8, 2);
	region(t + 16, vhdx_region_bat, BAT_OFF, n->table_bytes);
	region(t + 48, vhdx_region_metadata, METADATA_OFF, REGION_BYTES);
	st_le32(t + 4, vhdx_crc(t, VHDX_REGIONS_BYTES, 4));
	for (unsigned i = 0; i < 2 && rc == 0; i++)
		rc = image_pwrite(f, t, VHDX_REGIONS_BYTES, VHDX_REGIONS_OFF(i));
	return rc;
}

/* 2.6: a table, and the items in the order of the table. */
static int write_metadata(struct image_file *f, const struct new_vhdx *n)
{
	u8 parameters[8] = { 0 }, size[8], sector[4], physical[4], page83[16];
	const struct {
		const u8 *guid, *bytes;
		u32 n, flags; /* 2: of the disk; 4: whoever does not know it must not go on */
	} items[] = {
		{ vhdx_item_parameters, parameters, 8, 4 }, { vhdx_item_size, size, 8, 6 },
		{ vhdx_item_page83, page83, 16, 6 },        { vhdx_item_sector, sector, 4, 6 },
		{ vhdx_item_physical, physical, 4, 6 },
	};
	u8 table[VHDX_PAGE] = "metadata", values[64];
	u32 at = 0;

	st_le32(parameters, (u32)n->block);
	parameters[4] = n->fixed; /* its blocks stay where they are */
	st_le64(size, n->bytes);
	st_le32(sector, 512);
	st_le32(physical, 4096);
	image_uuid(page83);
	st_le16(table + 10, ARRAY_LEN(items));
	for (unsigned i = 0; i < ARRAY_LEN(items); i++) {
		u8 *entry = table + 32 * (i + 1ul);
		memcpy(entry, items[i].guid, 16);
		st_le32(entry + 16, ITEMS_AT + at);
		st_le32(entry + 20, items[i].n);
		st_le32(entry + 24, items[i].flags);
		memcpy(values + at, items[i].bytes, items[i].n);
		at += items[i].n;
	}
	int rc = image_pwrite(f, table, sizeof(table), METADATA_OFF);
	return rc < 0 ? rc : image_pwrite(f, values, at, METADATA_OFF + ITEMS_AT);
}

static int write_fixed_table(struct image_file *f, const struct new_vhdx *n)
{
	u64 first = BAT_OFF + n->table_bytes;
	auto_free u8 *t = xcalloc(1, (size_t)n->table_bytes);

	for (u64 i = 0; i < n->blocks; i++)
		st_le64(t + (i + i / n->ratio) * 8, (first + i * n->block) / MIB << 20 | FULLY);
	return image_pwrite(f, t, (size_t)n->table_bytes, BAT_OFF);
}

int vhdx_create(const struct image_create *c, struct err *e)
{
	struct new_vhdx n = { 0 };
	int rc = choose(&n, c->bytes, c->options, e);

	if (rc == 0 && c->backing)
		rc = err_set(e, ENOTSUP, "a VHDX image with a backing image cannot be made");
	if (rc < 0)
		return rc;
	u64 bytes = BAT_OFF + n.table_bytes + (n.fixed ? n.blocks * n.block : 0);
	rc = c->file->device ? image_zero(c->file, 0, BAT_OFF + n.table_bytes, true) : image_resize_file(c->file, 0);
	if (rc == 0)
		rc = image_resize_file(c->file, bytes);
	if (rc == 0)
		rc = write_regions(c->file, &n);
	if (rc == 0)
		rc = write_metadata(c->file, &n);
	if (rc == 0 && n.fixed)
		rc = write_fixed_table(c->file, &n);
	if (rc == 0)
		rc = write_headers(c->file);
	return rc < 0 ? err_sys(e, -rc, "%s", c->file->name) : 0;
}

int vhdx_measure(u64 bytes, u64 allocated, const char *const *options, u64 out[2], struct err *e)
{
	struct new_vhdx n = { .block = MIB };
	int rc = choose(&n, bytes, options, e);

	out[1] = BAT_OFF + n.table_bytes + n.blocks * n.block;
	out[0] = n.fixed ? out[1] : BAT_OFF + n.table_bytes + ROUND_UP(allocated, n.block);
	return rc;
}
