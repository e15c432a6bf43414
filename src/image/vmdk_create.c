/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmdk_create.c - see vmdk_int.h. Here: new images, each in one file, or a descriptor and a flat one. */
#include "image/vmdk_int.h"

#include <sys/random.h>

#define GRAIN_BYTES (64u * KIB)
#define TABLE_BYTES (VMDK_GTE * 4u)
#define TEXT_SECTORS 20u
#define OVERHEAD_ALIGN GRAIN_BYTES

const struct image_format_option vmdk_create_options[] = {
	{ "subformat", "monolithicSparse|monolithicFlat|streamOptimized", "streamOptimized is compressed" },
	{ "adapter_type", "ide|lsilogic|buslogic|legacyESX", "the controller that the image says it was made for" },
	{ "zeroed_grain", "on|off", "parts can be marked as zeros" },
	{ 0 },
};

enum sub { SPARSE, FLAT, STREAM };
static const char *const subs[] = { "monolithicSparse", "monolithicFlat", "streamOptimized" };

struct new_vmdk {
	enum sub sub;
	const char *adapter;
	bool zeroed;
	u64 sectors, grains, tables;
	u64 rgd, gd, overhead; /* sectors */
};

static u64 sectors_of(u64 bytes)
{
	return (bytes + SECTOR - 1) / SECTOR;
}

static int choose(struct new_vmdk *n, u64 bytes, const char *const *options, struct err *e)
{
	static const char *const adapters[] = { "ide", "lsilogic", "buslogic", "legacyESX" };
	const char *sub = image_option(options, "subformat"), *adapter = image_option(options, "adapter_type");
	unsigned i;
	int rc = image_options_check(vmdk_create_options, options, "vmdk", e);

	if (rc == 0)
		rc = image_option_switch(options, "zeroed_grain", &n->zeroed, e);
	if (rc < 0)
		return rc;
	for (i = 0; sub && i < ARRAY_LEN(subs) && strcmp(subs[i], sub);)
		i++;
	if (sub && i == ARRAY_LEN(subs))
		return err_set(e, EINVAL, "subformat=%s: it is monolithicSparse, monolithicFlat or streamOptimized",
			       sub);
	n->sub = sub ? (enum sub)i : SPARSE;
	for (i = 0; adapter && i < ARRAY_LEN(adapters) && strcmp(adapters[i], adapter);)
		i++;
	if (adapter && i == ARRAY_LEN(adapters))
		return err_set(e, EINVAL, "adapter_type=%s: it is ide, lsilogic, buslogic or legacyESX", adapter);
	n->adapter = adapter ? adapter : "ide";
	n->sectors = sectors_of(bytes);
	n->grains = (bytes + GRAIN_BYTES - 1) / GRAIN_BYTES;
	n->tables = (n->grains + VMDK_GTE - 1) / VMDK_GTE;
	if (n->sub != FLAT && n->tables * VMDK_GTE > VMDK_GRAINS_MAX)
		return err_set(e, EFBIG, "a sparse VMDK disk of %llu bytes is too large", (unsigned long long)bytes);
	u64 copy = sectors_of(n->tables * 4) + n->tables * (TABLE_BYTES / SECTOR);
	n->rgd = 1 + TEXT_SECTORS;
	n->gd = n->rgd + copy;
	n->overhead = ROUND_UP((n->sub == SPARSE ? n->gd + copy : n->rgd) * SECTOR, OVERHEAD_ALIGN) / SECTOR;
	return 0;
}

static void describe(const struct new_vmdk *n, const char *name, char *text, size_t room)
{
	bool ide = !strcmp(n->adapter, "ide");
	u32 heads = ide ? 16 : 255, cid;
	u64 cylinders = n->sectors / (heads * 63u);
	const char *base = strrchr(name, '/');

	must(getrandom(&cid, sizeof(cid), 0) == sizeof(cid));
	snprintf(text, room,
		 "# Disk DescriptorFile\n"
		 "version=1\n"
		 "CID=%08x\n"
		 "parentCID=ffffffff\n"
		 "createType=\"%s\"\n"
		 "\n"
		 "# Extent description\n"
		 "RW %llu %s \"%s\"%s\n"
		 "\n"
		 "# The Disk Data Base\n"
		 "#DDB\n"
		 "\n"
		 "ddb.virtualHWVersion = \"4\"\n"
		 "ddb.geometry.cylinders = \"%llu\"\n"
		 "ddb.geometry.heads = \"%u\"\n"
		 "ddb.geometry.sectors = \"63\"\n"
		 "ddb.adapterType = \"%s\"\n",
		 cid & 0x7fffffff, subs[n->sub], (unsigned long long)n->sectors, n->sub == FLAT ? "FLAT" : "SPARSE",
		 base ? base + 1 : name, n->sub == FLAT ? " 0" : "",
		 (unsigned long long)(ide ? MIN(cylinders, 16383) : cylinders), heads, n->adapter);
}

static void new_header(const struct new_vmdk *n, u8 h[SECTOR])
{
	bool stream = n->sub == STREAM;

	memset(h, 0, SECTOR);
	memcpy(h + S_MAGIC, "KDMV", 4);
	st_le32(h + S_VERSION, stream ? 3 : n->zeroed ? 2 : 1);
	st_le32(h + S_FLAGS, FLAG_NEWLINES | (stream ? FLAG_COMPRESSED | FLAG_MARKERS : FLAG_REDUNDANT) |
				 (n->zeroed ? FLAG_ZEROED : 0));
	st_le64(h + S_CAPACITY, n->sectors);
	st_le64(h + S_GRAIN, GRAIN_BYTES / SECTOR);
	st_le64(h + S_TEXT, 1);
	st_le64(h + S_TEXT_SIZE, TEXT_SECTORS);
	st_le32(h + S_GTES, VMDK_GTE);
	st_le64(h + S_RGD, stream ? 0 : n->rgd);
	st_le64(h + S_GD, stream ? GD_AT_END : n->gd);
	st_le64(h + S_OVERHEAD, n->overhead);
	memcpy(h + S_NEWLINES, "\n \r\n", 4);
	st_le16(h + S_COMPRESS, stream);
}

/* A directory, and behind it its tables, which are zeros. */
static int write_directory(struct image_file *f, const struct new_vmdk *n, u64 sector)
{
	u64 first = sector + sectors_of(n->tables * 4);
	auto_free u8 *gd = xcalloc(n->tables + 1, 4);

	for (u64 t = 0; t < n->tables; t++)
		st_le32(gd + t * 4, (u32)(first + t * (TABLE_BYTES / SECTOR)));
	return image_pwrite(f, gd, (size_t)n->tables * 4, sector * SECTOR);
}

/* The end of a stream without grains: an empty directory and the footer. */
static int write_stream_end(struct image_file *f, const struct new_vmdk *n, const u8 header[SECTOR])
{
	u64 gd_sectors = sectors_of(n->tables * 4), at = n->overhead;
	u8 footer[3 * SECTOR] = { 0 }, marker[SECTOR] = { 0 };

	st_le64(marker, gd_sectors);
	st_le32(marker + 12, MARKER_GD);
	int rc = image_pwrite(f, marker, SECTOR, at * SECTOR);
	st_le64(footer, 1);
	st_le32(footer + 12, MARKER_FOOTER);
	memcpy(footer + SECTOR, header, SECTOR);
	st_le64(footer + SECTOR + S_GD, at + 1);
	return rc < 0 ? rc : image_pwrite(f, footer, sizeof(footer), (at + 1 + gd_sectors) * SECTOR);
}

static int write_single(struct image_file *f, const struct new_vmdk *n)
{
	char text[TEXT_SECTORS * SECTOR] = "";
	u8 h[SECTOR];
	int rc = image_resize_file(f, 0);

	new_header(n, h);
	describe(n, f->name, text, sizeof(text));
	if (rc == 0)
		rc = image_resize_file(f, n->overhead * SECTOR);
	if (rc == 0)
		rc = image_pwrite(f, text, sizeof(text), SECTOR);
	if (rc == 0)
		rc = n->sub == STREAM ? write_stream_end(f, n, h) : write_directory(f, n, n->rgd);
	if (rc == 0 && n->sub == SPARSE)
		rc = write_directory(f, n, n->gd);
	return rc < 0 ? rc : image_pwrite(f, h, SECTOR, 0);
}

static int write_flat(const struct image_create *c, const struct new_vmdk *n)
{
	char text[2048];
	int rc = image_resize_file(c->data_file, n->sectors * SECTOR);

	describe(n, c->data_file_name, text, sizeof(text));
	if (rc == 0)
		rc = image_resize_file(c->file, 0);
	return rc < 0 ? rc : image_pwrite(c->file, text, strlen(text), 0);
}

int vmdk_create(const struct image_create *c, struct err *e)
{
	struct new_vmdk n = { 0 };
	int rc = choose(&n, c->bytes, c->options, e);

	if (rc < 0)
		return rc;
	if (c->backing)
		return err_set(e, ENOTSUP, "a VMDK image with a backing image cannot be made");
	if (c->file->device)
		return err_set(e, ENOTSUP, "%s: a VMDK image grows, and a device does not", c->file->name);
	if (n.sub == FLAT && !c->data_file)
		return err_set(e, EINVAL, "subformat=monolithicFlat: it needs a file for the data (data_file=NAME)");
	if (strpbrk(n.sub == FLAT ? c->data_file_name : c->file->name, "\"\r\n") || !c->bytes)
		return err_set(e, EINVAL,
			       "a disk of no bytes, or a file with quotes in its name, cannot be in a VMDK image");
	rc = n.sub == FLAT ? write_flat(c, &n) : write_single(c->file, &n);
	return rc < 0 ? err_sys(e, -rc, "%s", c->file->name) : 0;
}

int vmdk_measure(u64 bytes, u64 allocated, const char *const *options, u64 out[2], struct err *e)
{
	struct new_vmdk n = { 0 };
	int rc = choose(&n, bytes, options, e);

	out[1] = n.sub == FLAT ? n.sectors * SECTOR : n.overhead * SECTOR + n.grains * GRAIN_BYTES;
	out[0] = n.sub == FLAT ? out[1] : n.overhead * SECTOR + ROUND_UP(allocated, GRAIN_BYTES);
	return rc;
}
