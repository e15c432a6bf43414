/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhdx_open.c - see vhdx_int.h. Here: headers, the region table, metadata, the parent locator. */
#include "image/vhdx_int.h"

const u8 vhdx_region_bat[16] = VHDX_GUID(0x2dc27766, 0xf623, 0x4200, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08);
const u8 vhdx_region_metadata[16] =
    VHDX_GUID(0x8b7ca206, 0x4790, 0x4b9a, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e);
const u8 vhdx_item_parameters[16] =
    VHDX_GUID(0xcaa16737, 0xfa36, 0x4d43, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b);
const u8 vhdx_item_size[16] = VHDX_GUID(0x2fa54224, 0xcd1b, 0x4876, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8);
const u8 vhdx_item_page83[16] = VHDX_GUID(0xbeca12ab, 0xb2e6, 0x4523, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46);
const u8 vhdx_item_sector[16] = VHDX_GUID(0x8141bf1d, 0xa96f, 0x4709, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f);
const u8 vhdx_item_physical[16] = VHDX_GUID(0xcda348c7, 0x445d, 0x4471, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56);
const u8 vhdx_item_parent[16] = VHDX_GUID(0xa8d35f2d, 0xb30b, 0x454d, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c);

#define METADATA_ITEMS_MAX 2047u
#define METADATA_HEAD 32u /* of the table; each entry has as many bytes */
#define ITEMS_AT (64u * KIB)
#define LOCATOR_MAX (64u * KIB)

struct region {
	u64 off;
	u32 bytes;
};

int vhdx_pread(struct vhdx *v, void *buf, size_t n, u64 off)
{
	int rc = image_pread(v->bi.bat.file, buf, n, off);

	for (size_t i = 0; i < v->npatches && rc == 0; i++) {
		const struct vhdx_patch *p = &v->patches[i];
		if (p->off >= off + n || off >= p->off + p->bytes)
			continue;
		u64 from = MAX(p->off, off), end = MIN(p->off + p->bytes, off + n);
		if (p->data)
			memcpy((u8 *)buf + (from - off), p->data + (from - p->off), (size_t)(end - from));
		else
			memset((u8 *)buf + (from - off), 0, (size_t)(end - from));
	}
	return rc;
}

/* ---- headers ---- */

static bool good_header(u8 *h)
{
	u32 crc = ld_le32(h + H_CRC);

	return !memcmp(h, "head", 4) && vhdx_crc(h, VHDX_PAGE, H_CRC) == crc;
}

int vhdx_write_header(struct vhdx *v)
{
	for (unsigned i = 0; i < 2; i++) {
		st_le64(v->header + H_SEQUENCE, ld_le64(v->header + H_SEQUENCE) + 1);
		st_le32(v->header + H_CRC, vhdx_crc(v->header, VHDX_PAGE, H_CRC));
		v->current ^= 1;
		int rc = image_pwrite(v->bi.bat.file, v->header, VHDX_PAGE, VHDX_HEADER_OFF(v->current));
		if (rc == 0)
			rc = image_sync(v->bi.bat.file);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int vhdx_touch(struct vhdx *v)
{
	if (v->touched)
		return 0;
	image_uuid(v->header + H_FILE_GUID);
	image_uuid(v->header + H_DATA_GUID);
	image_uuid(v->log_guid);
	int rc = vhdx_write_header(v);
	v->touched = rc == 0;
	return rc;
}

static int read_headers(struct vhdx *v, struct err *e)
{
	u8 h[2][VHDX_PAGE], id[8];
	bool good[2];
	int rc = image_pread(v->bi.bat.file, id, sizeof(id), 0);

	for (unsigned i = 0; i < 2 && rc == 0; i++)
		rc = image_pread(v->bi.bat.file, h[i], VHDX_PAGE, VHDX_HEADER_OFF(i));
	if (rc < 0)
		return err_sys(e, -rc, "reading its header");
	if (memcmp(id, "vhdxfile", 8))
		return err_set(e, EINVAL, "it is no VHDX image");
	good[0] = good_header(h[0]);
	good[1] = good_header(h[1]);
	if (!good[0] && !good[1])
		return err_set(e, EINVAL, "both of its headers are damaged");
	v->current = good[1] && (!good[0] || ld_le64(h[1] + H_SEQUENCE) > ld_le64(h[0] + H_SEQUENCE));
	memcpy(v->header, h[v->current], VHDX_PAGE);
	v->log_bytes = ld_le32(v->header + H_LOG_BYTES);
	v->log_off = ld_le64(v->header + H_LOG_OFF);
	if (ld_le16(v->header + H_VERSION) != 1 || ld_le16(v->header + H_LOG_VERSION))
		return err_set(e, ENOTSUP, "VHDX version %u with a log of version %u is not supported",
			       ld_le16(v->header + H_VERSION), ld_le16(v->header + H_LOG_VERSION));
	if (v->log_bytes > VHDX_LOG_MAX)
		return err_set(e, EFBIG, "a log of %u bytes is too large", v->log_bytes);
	if (!v->log_bytes || v->log_bytes % MIB || v->log_off % MIB || v->log_off < MIB ||
	    v->log_off > v->bi.bat.file->bytes || v->log_bytes > v->bi.bat.file->bytes - v->log_off)
		return err_set(e, EINVAL, "its log is not in the file; it was cut short");
	return 0;
}

/* ---- regions ---- */

static bool apart(const struct region *a, u64 off, u64 bytes)
{
	return !a->bytes || a->off + a->bytes <= off || off + bytes <= a->off;
}

static int one_region(struct vhdx *v, const u8 *entry, struct region *bat, struct region *metadata, struct err *e)
{
	struct region *r = !memcmp(entry, vhdx_region_bat, 16)        ? bat
			   : !memcmp(entry, vhdx_region_metadata, 16) ? metadata
								      : NULL;
	struct region is = { .off = ld_le64(entry + 16), .bytes = ld_le32(entry + 24) };

	if (!r)
		return ld_le32(entry + 28) & 1
			   ? err_set(e, ENOTSUP, "it needs something that is not known here (a required region)")
			   : 0;
	if (!is.bytes || is.bytes % MIB || is.off % MIB || is.off < MIB || is.off > v->bi.bat.file->bytes ||
	    is.bytes > v->bi.bat.file->bytes - is.off)
		return err_set(e, EINVAL, "a region is not in the file; it was cut short");
	*r = is;
	return 0;
}

static int read_regions(struct vhdx *v, struct region *bat, struct region *metadata, struct err *e)
{
	auto_free u8 *t = xrealloc(NULL, VHDX_REGIONS_BYTES);
	bool good = false;
	int rc = 0;

	for (unsigned i = 0; i < 2 && !good; i++) {
		rc = vhdx_pread(v, t, VHDX_REGIONS_BYTES, VHDX_REGIONS_OFF(i));
		if (rc < 0)
			return err_sys(e, -rc, "reading its region table");
		u32 crc = ld_le32(t + 4);
		good = !memcmp(t, "regi", 4) && vhdx_crc(t, VHDX_REGIONS_BYTES, 4) == crc && ld_le32(t + 8) <= 2047;
	}
	if (!good)
		return err_set(e, EINVAL, "both of its region tables are damaged");
	for (u32 i = 0; i < ld_le32(t + 8) && rc == 0; i++)
		rc = one_region(v, t + 16 + i * 32ul, bat, metadata, e);
	if (rc < 0)
		return rc;
	if (!bat->bytes || !metadata->bytes || !apart(bat, metadata->off, metadata->bytes) ||
	    !apart(bat, v->log_off, v->log_bytes) || !apart(metadata, v->log_off, v->log_bytes))
		return err_set(e, EINVAL, "its regions contradict each other");
	return 0;
}

/* ---- metadata ---- */

struct item {
	u64 off; /* of the file; 0: not there */
	u32 bytes;
};

struct items {
	struct item parameters, size, sector, parent;
};

static int one_item(const u8 *entry, const struct region *r, struct items *all, struct err *e)
{
	static const struct {
		const u8 *guid;
		size_t at;
	} known[] = {
		{ vhdx_item_parameters, offsetof(struct items, parameters) },
		{ vhdx_item_size, offsetof(struct items, size) },
		{ vhdx_item_sector, offsetof(struct items, sector) },
		{ vhdx_item_parent, offsetof(struct items, parent) },
	};
	u32 off = ld_le32(entry + 16), bytes = ld_le32(entry + 20), flags = ld_le32(entry + 24);

	if (!memcmp(entry, vhdx_item_page83, 16) || !memcmp(entry, vhdx_item_physical, 16))
		return 0;
	for (unsigned i = 0; i < ARRAY_LEN(known); i++) {
		if (memcmp(entry, known[i].guid, 16))
			continue;
		if (off < ITEMS_AT || off > r->bytes || bytes > r->bytes - off)
			return err_set(e, EINVAL, "its metadata is damaged");
		*(struct item *)(void *)((char *)all + known[i].at) =
		    (struct item){ .off = r->off + off, .bytes = bytes };
		return 0;
	}
	return flags & 4 ? err_set(e, ENOTSUP, "it needs something that is not known here (a required item)") : 0;
}

static int read_number(struct vhdx *v, const struct item *i, unsigned bytes, u64 *n, struct err *e)
{
	u8 b[8] = { 0 };
	int rc = i->off && i->bytes >= bytes ? vhdx_pread(v, b, bytes, i->off) : -EINVAL;

	*n = ld_le64(b);
	return rc < 0 ? err_sys(e, -rc, "reading its metadata") : 0;
}

static int read_items(struct vhdx *v, const struct region *r, struct items *all, struct err *e)
{
	auto_free u8 *t = xrealloc(NULL, ITEMS_AT);
	int rc = vhdx_pread(v, t, ITEMS_AT, r->off);

	if (rc < 0)
		return err_sys(e, -rc, "reading its metadata");
	if (memcmp(t, "metadata", 8) || ld_le16(t + 10) > METADATA_ITEMS_MAX)
		return err_set(e, EINVAL, "its metadata is damaged");
	for (u32 i = 0; i < ld_le16(t + 10) && rc == 0; i++)
		rc = one_item(t + METADATA_HEAD * (i + 1ul), r, all, e);
	return rc;
}

/* ---- the parent locator: keys and values in UTF-16 ---- */

static bool text_at(const u8 *l, u32 bytes, u32 off, u32 n, char *out, size_t room)
{
	return off <= bytes && n <= bytes - off && image_utf16(l + off, n, false, out, room);
}

/* "{83ED1A5C-...}" */
static bool parse_guid(const char *s, u8 out[16])
{
	unsigned a, b, c, d[8];

	if (sscanf(s, "{%8x-%4x-%4x-%2x%2x-%2x%2x%2x%2x%2x%2x}", &a, &b, &c, &d[0], &d[1], &d[2], &d[3], &d[4], &d[5],
		   &d[6], &d[7]) != 11)
		return false;
	st_le32(out, a);
	st_le16(out + 4, (u16)b);
	st_le16(out + 6, (u16)c);
	for (unsigned i = 0; i < 8; i++)
		out[8 + i] = (u8)d[i];
	return true;
}

static int read_parent(struct vhdx *v, const struct item *i, struct err *e)
{
	struct image *m = &v->bi.image;
	u32 bytes = MIN(i->bytes, LOCATOR_MAX);
	auto_free u8 *l = xcalloc(1, bytes + 20ul);
	char key[64], value[IMAGE_NAME_MAX];
	bool linked = false, relative = false;

	int rc = i->off ? vhdx_pread(v, l, bytes, i->off) : -EINVAL;
	if (rc < 0)
		return err_sys(e, -rc, "reading where its parent is");
	for (u32 n = 0; n < ld_le16(l + 18) && 20 + (n + 1) * 12 <= bytes; n++) {
		const u8 *p = l + 20 + n * 12ul;
		if (!text_at(l, bytes, ld_le32(p), ld_le16(p + 8), key, sizeof(key)) ||
		    !text_at(l, bytes, ld_le32(p + 4), ld_le16(p + 10), value, sizeof(value)))
			continue;
		for (char *c = value; *c; c++)
			*c = *c == '\\' ? '/' : *c;
		if (!strcmp(key, "parent_linkage"))
			linked = parse_guid(value, v->linkage);
		bool this_relative = !strcmp(key, "relative_path");
		if (this_relative || (!relative && !strcmp(key, "absolute_win32_path")))
			memcpy(m->backing_name, value, sizeof(value));
		relative |= this_relative;
	}
	if (!linked || !*m->backing_name)
		return err_set(e, EINVAL, "it is a differencing VHDX image and does not name its parent");
	if (!strncmp(m->backing_name, "./", 2) && m->backing_name[2])
		memmove(m->backing_name, m->backing_name + 2, strlen(m->backing_name + 2) + 1);
	snprintf(m->backing_format, sizeof(m->backing_format), "vhdx");
	return 0;
}

/* ---- all of it ---- */

static int read_metadata(struct vhdx *v, const struct region *r, struct err *e)
{
	struct bat *b = &v->bi.bat;
	struct items all = { 0 };
	u64 parameters = 0, size = 0, sector = 0;
	int rc = read_items(v, r, &all, e);

	if (rc == 0)
		rc = read_number(v, &all.parameters, 8, &parameters, e);
	if (rc == 0)
		rc = read_number(v, &all.size, 8, &size, e);
	if (rc == 0)
		rc = read_number(v, &all.sector, 4, &sector, e);
	if (rc < 0)
		return rc;
	u32 block = (u32)parameters;
	v->parent = parameters >> 32 & 2;
	if ((sector != 512 && sector != 4096) || !power_of_two(block, MIB, 256 * MIB) || size > VHDX_BYTES_MAX ||
	    size % sector)
		return err_set(e, EINVAL, "a disk of %llu bytes, with sectors of %llu and blocks of %u cannot be",
			       (unsigned long long)size, (unsigned long long)sector, block);
	v->sector_bytes = (u32)sector;
	v->ratio = (u32)((sector << 23) / block);
	v->size_at = all.size.off;
	v->metadata_off = all.size.off / VHDX_PAGE * VHDX_PAGE;
	b->bytes = v->bi.image.bytes = size;
	b->block_bytes = v->bi.image.cluster_bytes = block;
	b->blocks = (size + block - 1) / block;
	b->zeros = v->parent;
	if (v->size_at % VHDX_PAGE > VHDX_PAGE - 8)
		return err_set(e, EINVAL, "its metadata is damaged");
	return v->parent ? read_parent(v, &all.parent, e) : 0;
}

static u64 table_entries(const struct vhdx *v)
{
	u64 blocks = v->bi.bat.blocks;

	if (v->parent)
		return (blocks + v->ratio - 1) / v->ratio * (v->ratio + 1ull);
	return blocks ? blocks + (blocks - 1) / v->ratio : 0;
}

static int load_table(struct vhdx *v, const struct region *r, bool checking, struct err *e)
{
	struct bat *b = &v->bi.bat;
	u64 entries = table_entries(v);

	if (entries * 8 > r->bytes)
		return err_set(e, EINVAL, "its table has no room for all of its %llu blocks",
			       (unsigned long long)b->blocks);
	int rc = bat_table_load(&v->table, b->file, r->off, r->bytes, e);
	if (rc < 0)
		return rc;
	rc = v->npatches ? vhdx_pread(v, v->table.bytes, v->table.n, r->off) : 0;
	if (rc < 0)
		return err_sys(e, -rc, "reading its table of blocks");
	for (u64 i = 0; i < entries; i++) {
		u64 entry = ld_le64(v->table.bytes + i * 8), at = (entry >> 20) * MIB;
		bool bitmap = i % (v->ratio + 1ull) == v->ratio;
		u64 bytes = bitmap ? MIB : b->block_bytes;
		if ((entry & 7) < FULLY)
			continue;
		if ((at < MIB || at > b->file->bytes || bytes > b->file->bytes - at) && !checking)
			return err_set(e, EINVAL, "block %llu lies behind the end of the file; it was cut short",
				       (unsigned long long)i);
		v->end = MAX(v->end, MIN(at, IMAGE_BYTES_MAX) + bytes);
	}
	return 0;
}

static int open_all(struct vhdx *v, const struct image_open *o, struct err *e)
{
	struct region bat = { 0 }, metadata = { 0 };
	int rc = read_headers(v, e);

	if (rc == 0)
		rc = vhdx_replay(v, o->readonly, e);
	if (rc == 0)
		rc = read_regions(v, &bat, &metadata, e);
	if (rc == 0)
		rc = read_metadata(v, &metadata, e);
	v->end = MAX(MAX(bat.off + bat.bytes, metadata.off + metadata.bytes), v->log_off + v->log_bytes);
	if (rc == 0)
		rc = load_table(v, &bat, o->checking, e);
	v->end = ROUND_UP(v->end, MIB);
	return rc;
}

int vhdx_open(struct image **out, const struct image_open *o, struct err *e)
{
	int rc = image_options_check(NULL, o->options, "vhdx", e);

	if (rc < 0)
		return rc;
	struct vhdx *v = xcalloc(1, sizeof(*v));
	v->bi.image = (struct image){ .ops = &vhdx_ops, .readonly = o->readonly, .can_discard = true };
	v->bi.bat = (struct bat){ .ops = &vhdx_bat_ops, .image = &v->bi.image, .file = o->file };
	rc = open_all(v, o, e);
	if (rc < 0) {
		vhdx_free(v);
		return rc;
	}
	*out = &v->bi.image;
	return 0;
}
