/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2_create.c - a new image: header, refcount table, blocks of counts, L1 table, in this order, and nothing else.
 * The header is written last: a file that is not whole is no image.
 */
#include "base/i18n.h"
#include "image/qcow2_int.h"

const struct image_format_option qcow2_create_options[] = {
	{ "compat", "1.1, 0.10", N_("version of the format: 3 or 2") },
	{ "cluster_size", "512 .. 2M", N_("bytes of a cluster; 64k") },
	{ "refcount_bits", "1, 2, 4 .. 64", N_("width of a reference count; 16") },
	{ "extended_l2", "on, off", N_("32 subclusters in each cluster; clusters have at least 16k") },
	{ "lazy_refcounts", "on, off", N_("reference counts are written when the image is closed") },
	{ "compression_type", "zlib, zstd", N_("of compressed clusters") },
	{ "preallocation", "off, metadata", N_("tables for the whole disk at once") },
	{ "data_file_raw", "on, off", N_("the external data file is a raw image by itself, always") },
	{ 0 },
};

struct options {
	u64 cluster_bytes, refcount_bits;
	bool v2, ext_l2, lazy, data_raw, zstd, metadata;
};

static int one_of(const char *const *options, const char *name, const char *off, const char *on, bool *v, struct err *e)
{
	const char *s = image_option(options, name);

	if (!s || !strcmp(s, off) || !strcmp(s, on)) {
		*v = s && !strcmp(s, on);
		return 0;
	}
	return err_set(e, EINVAL, "%s=%s: it can be %s or %s", name, s, off, on);
}

static int parse(const struct image_create *c, struct options *o, struct err *e)
{
	const char *compat = image_option(c->options, "compat");
	int rc = image_options_check(qcow2_create_options, c->options, "qcow2", e);

	*o = (struct options){ .cluster_bytes = 65536, .refcount_bits = 16 };
	if (rc == 0 && compat && (!strcmp(compat, "v2") || !strcmp(compat, "v3")))
		o->v2 = compat[1] == '2';
	else if (rc == 0)
		rc = one_of(c->options, "compat", "1.1", "0.10", &o->v2, e);
	if (rc == 0)
		rc = image_option_size(c->options, "cluster_size", 512, 2 * MIB, &o->cluster_bytes, e);
	if (rc == 0)
		rc = image_option_size(c->options, "refcount_bits", 1, 64, &o->refcount_bits, e);
	if (rc == 0)
		rc = image_option_switch(c->options, "extended_l2", &o->ext_l2, e);
	if (rc == 0)
		rc = image_option_switch(c->options, "lazy_refcounts", &o->lazy, e);
	if (rc == 0)
		rc = image_option_switch(c->options, "data_file_raw", &o->data_raw, e);
	if (rc == 0)
		rc = one_of(c->options, "compression_type", "zlib", "zstd", &o->zstd, e);
	if (rc == 0)
		rc = one_of(c->options, "preallocation", "off", "metadata", &o->metadata, e);
	if (rc < 0)
		return rc;
	if (o->v2 && (o->refcount_bits != 16 || o->ext_l2 || o->lazy || o->zstd || c->data_file))
		return err_set(
		    e, EINVAL,
		    "compat=0.10 has 16 bits for reference counts, zlib, and no lazy_refcounts, extended_l2 or "
		    "data file");
	if (o->ext_l2 && o->cluster_bytes < 16384)
		return err_set(e, EINVAL, "extended_l2 needs a cluster_size of at least 16k");
	if (o->data_raw && (!c->data_file || c->backing))
		return err_set(e, EINVAL, "data_file_raw needs a data file, and no backing image");
	if (o->metadata && c->backing && !o->ext_l2)
		return err_set(e, EINVAL,
			       "preallocation=metadata would hide the backing image; extended_l2=on does not");
	if (o->metadata && c->file->device)
		return err_set(e, EINVAL, "preallocation=metadata needs a file: a device may have old data");
	/* So that what reads the data file alone, and what goes by the image, agree. */
	o->metadata |= o->data_raw;
	return 0;
}

static int names(struct qcow2 *q, const struct image_create *c, struct err *e)
{
	if (c->backing) {
		const char *f = c->backing_format ? c->backing_format : "";
		if (strlen(c->backing) >= IMAGE_NAME_MAX || strlen(f) >= sizeof(q->image.backing_format))
			return err_set(e, ENAMETOOLONG, "the name of a backing image may have %u bytes",
				       IMAGE_NAME_MAX - 1);
		snprintf(q->image.backing_name, sizeof(q->image.backing_name), "%s", c->backing);
		snprintf(q->image.backing_format, sizeof(q->image.backing_format), "%s", f);
		if (*f)
			qcow2_extension_set(q, QCOW2_EXT_BACKING_FORMAT, f, (u32)strlen(f));
	}
	if (c->data_file && (!c->data_file_name || strlen(c->data_file_name) >= IMAGE_NAME_MAX))
		return err_set(e, ENAMETOOLONG, "the name of a data file may have %u bytes", IMAGE_NAME_MAX - 1);
	if (c->data_file)
		qcow2_extension_set(q, QCOW2_EXT_DATA_FILE, c->data_file_name, (u32)strlen(c->data_file_name));
	return 0;
}

static void features(struct qcow2 *q, const struct image_create *c, const struct options *o)
{
	q->version = o->v2 ? 2 : 3;
	q->header_bytes = o->v2 ? QCOW2_V2_BYTES : QCOW2_HEADER_BYTES;
	q->cluster_bytes = (u32)o->cluster_bytes;
	q->cluster_bits = (unsigned)__builtin_ctzll(o->cluster_bytes);
	q->refcount_order = (unsigned)__builtin_ctzll(o->refcount_bits);
	q->ext_l2 = o->ext_l2;
	q->l2_bits = q->cluster_bits - (o->ext_l2 ? 4 : 3);
	q->compression = o->zstd ? QCOW2_ZSTD : QCOW2_ZLIB;
	q->incompat = (o->zstd ? QCOW2_INCOMPAT_COMPRESSION : 0) | (o->ext_l2 ? QCOW2_INCOMPAT_EXT_L2 : 0) |
		      (c->data_file ? QCOW2_INCOMPAT_DATA_FILE : 0);
	q->compat = o->lazy ? QCOW2_COMPAT_LAZY : 0;
	q->autoclear = o->data_raw ? QCOW2_AUTOCLEAR_DATA_RAW : 0;
}

/* Writes zeros where there may be none, and one cluster's worth at a time. */
static int clear(struct qcow2 *q, u64 off, u64 bytes)
{
	auto_free u8 *zeros = xcalloc(1, q->cluster_bytes);
	int rc = 0;

	for (u64 at = off; at < off + bytes && rc == 0; at += q->cluster_bytes)
		rc = image_pwrite(q->file, zeros, q->cluster_bytes, at);
	return rc;
}

static int write_counts(struct qcow2 *q, u64 first_block, u64 blocks, u64 used)
{
	u64 per_block = 1ull << qcow2_ref_block_bits(q);
	unsigned bits = 1u << q->refcount_order;
	auto_free u8 *c = xcalloc(1, q->cluster_bytes);
	int rc = 0;

	for (u64 b = 0; b < blocks && rc == 0; b++) {
		memset(c, 0, q->cluster_bytes);
		for (u64 i = 0; i < per_block && b * per_block + i < used; i++) {
			if (bits < 8)
				c[i * bits / 8] |= (u8)(1u << (i * bits % 8));
			else
				c[(i + 1) * (bits / 8) - 1] = 1;
		}
		rc = image_pwrite(q->file, c, q->cluster_bytes, (first_block + b) << q->cluster_bits);
	}
	return rc;
}

static int write_image(struct qcow2 *q, u64 table, u64 blocks, u64 l1)
{
	u64 first_block = 1 + table, used = first_block + blocks + l1;
	auto_free u8 *rt = xcalloc(table, q->cluster_bytes);
	int rc = clear(q, 0, q->cluster_bytes);

	for (u64 i = 0; i < blocks; i++)
		qcow2_st64(rt + 8 * i, (first_block + i) << q->cluster_bits);
	if (rc == 0)
		rc = image_pwrite(q->file, rt, table << q->cluster_bits, q->cluster_bytes);
	if (rc == 0)
		rc = write_counts(q, first_block, blocks, used);
	if (rc == 0)
		rc = clear(q, (first_block + blocks) << q->cluster_bits, l1 << q->cluster_bits);
	q->rt_off = q->cluster_bytes;
	q->rt_clusters = (u32)table;
	q->l1_off = l1 ? (first_block + blocks) << q->cluster_bits : 0;
	if (rc == 0)
		rc = image_sync(q->file);
	return rc < 0 ? rc : qcow2_header_rewrite(q);
}

/* Tables and counts for as many clusters as the metadata itself has. */
static void layout(const struct qcow2 *q, u64 l1, u64 *table, u64 *blocks)
{
	u64 per_block = 1ull << qcow2_ref_block_bits(q), per_table = q->cluster_bytes / 8;

	*table = *blocks = 1;
	for (;;) {
		u64 used = 1 + *table + *blocks + l1, b = (used + per_block - 1) / per_block;
		u64 t = (b + per_table - 1) / per_table;
		if (b <= *blocks && t <= *table)
			return;
		*blocks = MAX(*blocks, b);
		*table = MAX(*table, t);
	}
}

/* Who asks for the data file while an image is being created gets the one that was given. */
struct own_opener {
	struct image_opener base;
	struct image_file *data;
};

static int give(struct image_opener *o, enum image_want what, const char *of, const char *name, char *format,
		size_t format_bytes, bool readonly, struct image_file **f, struct err *e)
{
	(void)of, (void)format, (void)format_bytes, (void)readonly;
	if (what != IMAGE_WANT_DATA)
		return err_sys(e, EPERM, "%s", name);
	*f = container_of(o, struct own_opener, base)->data;
	return 0;
}

static int preallocate(const struct image_create *c, struct err *e)
{
	struct own_opener opener = { { give }, c->data_file };
	const struct image_open o = { .file = c->file, .no_backing = true, .opener = &opener.base };
	struct image *m;
	int rc = qcow2_open(&m, &o, e);

	if (rc < 0)
		return rc;
	struct qcow2 *q = qcow2_of(m);
	for (u64 off = 0; off < m->bytes && rc == 0; off += q->cluster_bytes) {
		/* By entries alone: nothing has to be copied, all of it reads as zeros. */
		struct qcow2_entry x = { .copied = true, .has_host = true, .host = off };
		unsigned index;
		u64 got;
		bool zeros;
		u8 *slice;
		if (!qcow2_external(q))
			rc = qcow2_alloc(q, 1, &x.host, &got, &zeros);
		if (rc == 0)
			rc = qcow2_l2_slice_for_write(q, off, &slice, &index);
		if (rc == 0) {
			x.alloc = qcow2_has_backing(q) ? 0 : qcow2_all_subs(q);
			qcow2_entry_store(q, slice, index, &x);
		}
	}
	if (rc == 0)
		rc = qcow2_flush(m);
	free(m->more); /* the file in it is the caller's */
	m->ops->close(m);
	return rc < 0 ? err_sys(e, -rc, "%s: its tables cannot be written", c->file->name) : 0;
}

int qcow2_create(const struct image_create *c, struct err *e)
{
	struct options o;
	int rc = parse(c, &o, e);

	if (rc < 0)
		return rc;
	struct qcow2 *q = xcalloc(1, sizeof(*q));
	q->file = q->data = c->file;
	features(q, c, &o);
	q->disk_bytes = ROUND_UP(c->bytes, 512);
	u64 entries = qcow2_l1_entries(q, q->disk_bytes), table, blocks;
	rc = names(q, c, e);
	if (rc == 0 && (c->bytes > IMAGE_BYTES_MAX || 8 * entries > QCOW2_L1_BYTES_MAX))
		rc = err_set(
		    e, EFBIG,
		    "a qcow2 image with clusters of %u bytes has at most %llu bytes; a larger cluster_size can have "
		    "more",
		    q->cluster_bytes, (unsigned long long)(QCOW2_L1_BYTES_MAX / 8) << (q->cluster_bits + q->l2_bits));
	if (rc < 0) {
		qcow2_free_all(q);
		return rc;
	}
	q->l1_size = (u32)MAX(entries, 1);
	u64 l1 = qcow2_clusters(q, 8ull * q->l1_size);
	layout(q, l1, &table, &blocks);
	/* Names of features help others' error messages; where clusters are too small for them, they are left out. */
	if (!o.v2 && q->cluster_bytes >= 4096)
		qcow2_feature_table(q);
	rc = write_image(q, table, blocks, l1);
	if (rc == 0 && c->data_file && !c->data_file->device)
		rc = image_resize_file(c->data_file, q->disk_bytes);
	if (rc < 0)
		err_sys(e, -rc, "%s", c->file->name);
	qcow2_free_all(q);
	return rc == 0 && o.metadata ? preallocate(c, e) : rc;
}
