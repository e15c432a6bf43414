/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vdi.c - VDI, of VirtualBox, header version 1.1: a header, a map with a 32-bit number for each block, then the blocks
 * in the order in which they were first written. Dynamic images and static ones (all blocks are there from the first).
 *
 * The header counts the blocks that were given out, and VirtualBox puts the next one there. So it is written before
 * the map: a crash between them wastes a block, and none is given out twice.
 */
#include "image/bat.h"

#define HEADER_BYTES 512u
#define SIGNATURE 0xbeda107fu
#define VERSION_1_1 0x00010001u
#define TEXT "<<< Mica virtual disk image >>>\n"

/* Fields of the header, little-endian. */
#define H_SIGNATURE 0x40
#define H_VERSION 0x44
#define H_SIZE 0x48 /* from itself on */
#define H_TYPE 0x4c
#define H_MAP 0x154
#define H_DATA 0x158
#define H_SECTOR 0x168
#define H_DISK 0x170
#define H_BLOCK 0x178
#define H_EXTRA 0x17c
#define H_BLOCKS 0x180
#define H_ALLOCATED 0x184
#define H_UUID 0x188
#define H_UUID_LAST 0x198
#define H_UUID_LINK 0x1a8
#define H_UUID_PARENT 0x1b8

enum { TYPE_DYNAMIC = 1, TYPE_STATIC, TYPE_UNDO, TYPE_DIFF };

#define FREE 0xffffffffu /* never written */
#define ZERO 0xfffffffeu /* given up: zeros */
#define NEW_BLOCK_BYTES MIB
#define DATA_ALIGN MIB

struct vdi {
	struct bat_image bi; /* first */
	struct bat_table map;
	u8 header[HEADER_BYTES];
	u64 data;
	u32 next; /* the first number that no block has, nor any behind it */
};

static struct vdi *vdi_of(struct bat *b)
{
	return container_of(b, struct vdi, bi.bat);
}

static int get(struct bat *b, u64 block, struct bat_block *is)
{
	struct vdi *v = vdi_of(b);
	u32 at = ld_le32(v->map.bytes + block * 4);

	if (at >= ZERO) {
		*is = (struct bat_block){ .kind = at == ZERO ? BAT_ZERO : BAT_HOLE };
		return 0;
	}
	*is = (struct bat_block){ .kind = BAT_DATA, .off = v->data + (u64)at * b->block_bytes };
	return 0;
}

static int place(struct bat *b, u64 block, u64 *off)
{
	struct vdi *v = vdi_of(b);

	if (v->next >= ZERO)
		return -ENOSPC;
	*off = v->data + (u64)v->next * b->block_bytes;
	int rc = bat_room(b->file, *off, b->block_bytes);
	v->next += rc == 0;
	return rc;
}

static int set(struct bat *b, u64 block, const struct bat_block *is)
{
	struct vdi *v = vdi_of(b);

	st_le32(v->map.bytes + block * 4, (u32)((is->off - v->data) / b->block_bytes));
	bat_table_changed(&v->map, block * 4);
	return 0;
}

static int write_header(struct vdi *v)
{
	st_le32(v->header + H_ALLOCATED, v->next);
	return image_pwrite(v->bi.bat.file, v->header, HEADER_BYTES, 0);
}

static int write_map(struct bat *b)
{
	struct vdi *v = vdi_of(b);
	int rc = write_header(v);

	if (rc == 0)
		rc = image_sync(b->file);
	return rc < 0 ? rc : bat_table_write(&v->map, b->file);
}

static const struct bat_ops vdi_bat_ops = { .get = get, .place = place, .set = set, .write = write_map };

/* ---- what it says of itself ---- */

static int vdi_check(struct image *m, struct image_check *c, enum image_fix fix, struct err *e)
{
	struct vdi *v = (struct vdi *)(void *)m;
	struct bat *b = &v->bi.bat;
	int rc = bat_check(b, v->data, 0, 0, c, e);

	if (rc < 0)
		return rc;
	if (fix == IMAGE_FIX_NONE || m->readonly || !c->leaked || b->file->bytes <= c->end)
		return 0;
	c->leaked_fixed = MIN(c->leaked, (b->file->bytes - c->end) / b->block_bytes);
	rc = image_resize_file(b->file, c->end);
	return rc < 0 ? err_sys(e, -rc, "giving up room") : 0;
}

static void vdi_info(struct image *m, void (*say)(void *opaque, const char *name, const char *value), void *opaque)
{
	struct vdi *v = (struct vdi *)(void *)m;

	say(opaque, "subformat", ld_le32(v->header + H_TYPE) == TYPE_STATIC ? "static" : "dynamic");
}

static void vdi_close(struct image *m)
{
	struct vdi *v = (struct vdi *)(void *)m;

	bat_table_fini(&v->map);
	bat_fini(&v->bi.bat);
	free(v);
}

static const struct image_ops vdi_ops = {
	BAT_IMAGE_OPS,
	.check = vdi_check,
	.info = vdi_info,
	.close = vdi_close,
};

/* ---- opening ---- */

static bool vdi_probe(const u8 *head, size_t n, const u8 tail[512], u64 file_bytes)
{
	return n >= HEADER_BYTES && ld_le32(head + H_SIGNATURE) == SIGNATURE;
}

static bool is_null(const u8 uuid[16])
{
	static const u8 null[16];

	return !memcmp(uuid, null, sizeof(null));
}

static int check_header(const u8 *h, struct err *e)
{
	u32 version = ld_le32(h + H_VERSION), type = ld_le32(h + H_TYPE), block = ld_le32(h + H_BLOCK);

	if (ld_le32(h + H_SIGNATURE) != SIGNATURE)
		return err_set(e, EINVAL, "it is no VDI image");
	if (version != VERSION_1_1)
		return err_set(e, ENOTSUP, "VDI version %u.%u is not supported, only 1.1", version >> 16,
			       version & 0xffff);
	if (type == TYPE_DIFF || type == TYPE_UNDO || !is_null(h + H_UUID_PARENT) || !is_null(h + H_UUID_LINK))
		return err_set(e, ENOTSUP,
			       "it is a differencing VDI image; VirtualBox can make a whole one of it (clonemedium)");
	if (type != TYPE_DYNAMIC && type != TYPE_STATIC)
		return err_set(e, EINVAL, "VDI type %u is not known", type);
	if (ld_le32(h + H_SECTOR) != 512 || ld_le32(h + H_EXTRA) || !power_of_two(block, 4 * KIB, 256 * MIB))
		return err_set(e, ENOTSUP, "VDI sectors of %u bytes, blocks of %u + %u bytes are not supported",
			       ld_le32(h + H_SECTOR), block, ld_le32(h + H_EXTRA));
	if (ld_le32(h + H_MAP) < HEADER_BYTES || ld_le32(h + H_MAP) % 512 || ld_le32(h + H_DATA) % 512)
		return err_set(e, EINVAL, "its map or its data is at an odd place");
	if (ld_le64(h + H_DISK) > IMAGE_BYTES_MAX)
		return err_set(e, EFBIG, "a disk of %llu bytes is too large", (unsigned long long)ld_le64(h + H_DISK));
	u64 blocks = (ld_le64(h + H_DISK) + block - 1) / block;
	if (blocks > ld_le32(h + H_BLOCKS) || ld_le32(h + H_BLOCKS) >= ZERO ||
	    (u64)ld_le32(h + H_MAP) + 4ull * ld_le32(h + H_BLOCKS) > ld_le32(h + H_DATA))
		return err_set(e, EINVAL, "its map has no room for all of its %llu blocks", (unsigned long long)blocks);
	return 0;
}

/* Each number has to be of a block that is in the file: a block behind the end would read as zeros. */
static int load_map(struct vdi *v, bool checking, struct err *e)
{
	struct bat *b = &v->bi.bat;
	int rc = bat_table_load(&v->map, b->file, ld_le32(v->header + H_MAP), ld_le32(v->header + H_BLOCKS) * 4ull, e);

	if (rc < 0)
		return rc;
	u64 room = b->file->bytes > v->data ? (b->file->bytes - v->data + b->block_bytes - 1) / b->block_bytes : 0;
	for (u64 i = 0; i < b->blocks; i++) {
		u32 at = ld_le32(v->map.bytes + i * 4);
		if (at >= ZERO)
			continue;
		if (at >= room && !checking)
			return err_set(e, EINVAL, "block %llu lies behind the end of the file; it was cut short",
				       (unsigned long long)i);
		v->next = MAX(v->next, at + 1);
	}
	return 0;
}

static int vdi_open(struct image **out, const struct image_open *o, struct err *e)
{
	int rc = image_options_check(NULL, o->options, "vdi", e);

	if (rc < 0)
		return rc;
	struct vdi *v = xcalloc(1, sizeof(*v));
	rc = image_pread(o->file, v->header, HEADER_BYTES, 0);
	rc = rc < 0 ? err_sys(e, -rc, "reading its header") : check_header(v->header, e);
	if (rc < 0) {
		free(v);
		return rc;
	}
	u32 block = ld_le32(v->header + H_BLOCK);
	u64 bytes = ROUND_UP(ld_le64(v->header + H_DISK), 512);
	v->data = ld_le32(v->header + H_DATA);
	v->bi.image = (struct image){
		.ops = &vdi_ops, .bytes = bytes, .cluster_bytes = block, .readonly = o->readonly, .can_discard = true
	};
	v->bi.bat = (struct bat){ .ops = &vdi_bat_ops,
				  .image = &v->bi.image,
				  .file = o->file,
				  .bytes = bytes,
				  .blocks = (bytes + block - 1) / block,
				  .block_bytes = block };
	rc = load_map(v, o->checking, e);
	if (rc < 0) {
		vdi_close(&v->bi.image);
		return rc;
	}
	*out = &v->bi.image;
	return 0;
}

/* ---- creating ---- */

static const struct image_format_option create_options[] = {
	{ "static", "on|off", "all of the disk's room is taken at once" },
	{ 0 },
};

static u64 data_offset(u64 blocks)
{
	return ROUND_UP(HEADER_BYTES + blocks * 4, DATA_ALIGN);
}

static int write_new_map(struct image_file *f, u64 blocks, bool whole)
{
	u8 buf[4096];
	int rc = 0;

	for (u64 i = 0; i < blocks && rc == 0; i += sizeof(buf) / 4) {
		u64 n = MIN(blocks - i, sizeof(buf) / 4);
		for (u64 j = 0; j < n; j++)
			st_le32(buf + j * 4, whole ? (u32)(i + j) : FREE);
		rc = image_pwrite(f, buf, (size_t)n * 4, HEADER_BYTES + i * 4);
	}
	return rc;
}

static int vdi_create(const struct image_create *c, struct err *e)
{
	u64 blocks = (c->bytes + NEW_BLOCK_BYTES - 1) / NEW_BLOCK_BYTES;
	u8 h[HEADER_BYTES] = TEXT;
	bool whole = false;
	int rc = image_options_check(create_options, c->options, "vdi", e);

	if (rc == 0)
		rc = image_option_switch(c->options, "static", &whole, e);
	if (rc == 0 && c->backing)
		rc = err_set(e, ENOTSUP, "a VDI image with a backing image cannot be made");
	if (rc == 0 && data_offset(blocks) > UINT32_MAX)
		rc = err_set(e, EFBIG, "a VDI image of %llu bytes cannot be", (unsigned long long)c->bytes);
	if (rc < 0)
		return rc;
	st_le32(h + H_SIGNATURE, SIGNATURE);
	st_le32(h + H_VERSION, VERSION_1_1);
	st_le32(h + H_SIZE, 0x190);
	st_le32(h + H_TYPE, whole ? TYPE_STATIC : TYPE_DYNAMIC);
	st_le32(h + H_MAP, HEADER_BYTES);
	st_le32(h + H_DATA, (u32)data_offset(blocks));
	st_le32(h + H_SECTOR, 512);
	st_le64(h + H_DISK, c->bytes);
	st_le32(h + H_BLOCK, NEW_BLOCK_BYTES);
	st_le32(h + H_BLOCKS, (u32)blocks);
	st_le32(h + H_ALLOCATED, whole ? (u32)blocks : 0);
	image_uuid(h + H_UUID);
	image_uuid(h + H_UUID_LAST);
	rc = image_resize_file(c->file, data_offset(blocks) + (whole ? blocks * NEW_BLOCK_BYTES : 0));
	if (rc == 0)
		rc = write_new_map(c->file, blocks, whole);
	if (rc == 0)
		rc = image_pwrite(c->file, h, sizeof(h), 0);
	return rc < 0 ? err_sys(e, -rc, "%s", c->file->name) : 0;
}

static int vdi_measure(u64 bytes, u64 allocated, const char *const *options, u64 out[2], struct err *e)
{
	u64 blocks = (bytes + NEW_BLOCK_BYTES - 1) / NEW_BLOCK_BYTES;
	bool whole = false;
	int rc = image_option_switch(options, "static", &whole, e);

	out[1] = data_offset(blocks) + blocks * NEW_BLOCK_BYTES;
	out[0] = whole ? out[1] : data_offset(blocks) + ROUND_UP(allocated, NEW_BLOCK_BYTES);
	return rc;
}

const struct image_format image_vdi = {
	.name = "vdi",
	.title = "VDI, of VirtualBox",
	.extensions = "vdi",
	.create_options = create_options,
	.creates = true,
	.probe = vdi_probe,
	.open = vdi_open,
	.create = vdi_create,
	.measure = vdi_measure,
};
