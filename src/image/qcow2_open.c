/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2_open.c - an image is opened: every field of its header is somebody's, and is looked at before it is used. */
#include "image/qcow2_int.h"

/* field: as the specification calls it. */
static int bad(struct err *e, const char *field)
{
	return err_set(e, EINVAL, "its header contradicts itself: %s", field);
}

/* A table of so many bytes at `off`: aligned, not the header, and it begins in the file. */
static bool table_can_be(const struct qcow2 *q, u64 off, u64 bytes)
{
	return !(off & (q->cluster_bytes - 1)) && off >= q->cluster_bytes && off < q->file->bytes &&
	       bytes <= QCOW2_OFFSET_MAX - off;
}

static int parse_features(struct qcow2 *q, const u8 *h, struct err *e)
{
	q->incompat = qcow2_ld64(h + 72);
	q->compat = qcow2_ld64(h + 80);
	q->autoclear = qcow2_ld64(h + 88);
	q->refcount_order = qcow2_ld32(h + 96);
	q->header_bytes = qcow2_ld32(h + 100);
	if (q->header_bytes < QCOW2_V3_BYTES || q->header_bytes % 8 || q->header_bytes > q->cluster_bytes)
		return bad(e, "header_length");
	if (q->refcount_order > 6)
		return bad(e, "refcount_order");
	u8 compression = q->header_bytes > QCOW2_V3_BYTES ? h[104] : 0;
	bool other = q->incompat & QCOW2_INCOMPAT_COMPRESSION;
	if (other == !compression)
		return bad(e, "compression_type");
	if (compression > QCOW2_ZSTD)
		return err_set(e, ENOTSUP, "its compression, number %u, is not known", compression);
	q->compression = (enum qcow2_compression)compression;
	q->ext_l2 = q->incompat & QCOW2_INCOMPAT_EXT_L2;
	if (q->ext_l2 && q->cluster_bits < QCOW2_EXT_CLUSTER_BITS_MIN)
		return bad(e, "cluster_bits");
	q->lazy = q->compat & QCOW2_COMPAT_LAZY;
	return 0;
}

static int parse_header(struct qcow2 *q, const u8 *h, struct err *e)
{
	q->version = qcow2_ld32(h + 4);
	if (qcow2_ld32(h) != QCOW2_MAGIC)
		return err_set(e, EINVAL, "it is no qcow2 image");
	if (q->version != 2 && q->version != 3)
		return err_set(e, ENOTSUP, "version %u of qcow2 is not known; 2 and 3 are", q->version);
	q->cluster_bits = qcow2_ld32(h + 20);
	if (q->cluster_bits < QCOW2_CLUSTER_BITS_MIN || q->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
		return err_set(e, EINVAL, "its clusters have 2^%u bytes; from 512 bytes to 2 MiB can be",
			       q->cluster_bits);
	q->cluster_bytes = 1u << q->cluster_bits;
	q->header_bytes = QCOW2_V2_BYTES;
	q->refcount_order = 4;
	int rc = q->version == 3 ? parse_features(q, h, e) : 0;
	if (rc < 0)
		return rc;
	q->entry_bytes = q->ext_l2 ? 16 : 8;
	q->l2_bits = q->cluster_bits - (q->ext_l2 ? 4 : 3);
	q->nsub = q->ext_l2 ? QCOW2_SUBCLUSTERS : 1;
	q->sub_bits = q->cluster_bits - (q->ext_l2 ? 5 : 0);
	u64 backing_off = qcow2_ld64(h + 8);
	q->backing_bytes = backing_off ? qcow2_ld32(h + 16) : 0;
	if (q->backing_bytes >= IMAGE_NAME_MAX || backing_off > q->cluster_bytes ||
	    (backing_off && (backing_off < q->header_bytes || q->backing_bytes > q->cluster_bytes - backing_off)))
		return bad(e, "backing_file_size");
	q->backing_off = (u32)backing_off;
	q->disk_bytes = qcow2_ld64(h + 24);
	if (q->disk_bytes > IMAGE_BYTES_MAX)
		return bad(e, "size");
	q->image.bytes = ROUND_UP(q->disk_bytes, 512);
	if (qcow2_ld32(h + 32))
		return err_set(e, ENOTSUP,
			       "it is encrypted, which Mica cannot read; decrypt it with \"qemu-img convert\"");
	return 0;
}

static int check_features(struct qcow2 *q, bool checking, bool readonly, struct err *e)
{
	u64 unknown = q->incompat & ~QCOW2_INCOMPAT_KNOWN;
	char name[48];

	if (unknown)
		return err_set(e, ENOTSUP, "it needs a feature that is not known here: %s",
			       qcow2_feature_name(q, 0, (unsigned)__builtin_ctzll(unknown), name));
	if (q->incompat & QCOW2_INCOMPAT_CORRUPT && !readonly && !checking)
		return err_set(
		    e, EIO,
		    "it is marked as corrupt, and may only be read; \"mica image check --repair all\" mends what "
		    "can be mended");
	if (q->autoclear & QCOW2_AUTOCLEAR_DATA_RAW && !(q->incompat & QCOW2_INCOMPAT_DATA_FILE))
		return bad(e, "autoclear_features");
	q->data_raw = q->autoclear & QCOW2_AUTOCLEAR_DATA_RAW;
	if (q->data_raw && q->backing_off)
		return bad(e, "backing_file_offset");
	if (q->autoclear & QCOW2_AUTOCLEAR_BITMAPS && !qcow2_extension(q, QCOW2_EXT_BITMAPS))
		return bad(e, "autoclear_features");
	return 0;
}

static int load_names(struct qcow2 *q, struct err *e)
{
	const struct qcow2_extension *x = qcow2_extension(q, QCOW2_EXT_BACKING_FORMAT);
	char *name = q->image.backing_name, *format = q->image.backing_format;

	int rc = image_pread(q->file, name, q->backing_bytes, q->backing_off);
	if (rc < 0)
		return err_sys(e, -rc, "its header cannot be read");
	if (strlen(name) != q->backing_bytes)
		return bad(e, "backing_file_size");
	if (!x || !*name)
		return 0;
	if (x->bytes >= sizeof(q->image.backing_format) || strlen((char *)x->data) != x->bytes)
		return bad(e, "backing format");
	memcpy(format, x->data, x->bytes);
	return 0;
}

static int load_l1(struct qcow2 *q, const u8 *h, struct err *e)
{
	u64 need = qcow2_l1_entries(q, q->image.bytes);

	q->l1_size = qcow2_ld32(h + 36);
	q->l1_off = qcow2_ld64(h + 40);
	if (8ull * q->l1_size > QCOW2_L1_BYTES_MAX)
		return bad(e, "l1_size");
	if (q->l1_size < need)
		return bad(e, "l1_size");
	if (q->l1_size && !table_can_be(q, q->l1_off, 8ull * q->l1_size))
		return bad(e, "l1_table_offset");
	int rc = qcow2_l1_load(q, q->l1_off, q->l1_size, &q->l1);
	return rc < 0 ? err_sys(e, -rc, "its L1 table cannot be read") : 0;
}

static int load_refcount_table(struct qcow2 *q, const u8 *h, struct err *e)
{
	q->rt_off = qcow2_ld64(h + 48);
	q->rt_clusters = qcow2_ld32(h + 56);
	u64 bytes = (u64)q->rt_clusters << q->cluster_bits;
	if (!bytes || bytes > MAX(QCOW2_RT_BYTES_MAX, q->cluster_bytes))
		return bad(e, "refcount_table_clusters");
	if (!table_can_be(q, q->rt_off, bytes))
		return bad(e, "refcount_table_offset");
	q->rt_size = (u32)(bytes / 8);
	int rc = qcow2_l1_load(q, q->rt_off, q->rt_size, &q->rt);
	return rc < 0 ? err_sys(e, -rc, "its refcount table cannot be read") : 0;
}

static int open_data(struct qcow2 *q, const struct image_open *o, struct err *e)
{
	const struct qcow2_extension *x = qcow2_extension(q, QCOW2_EXT_DATA_FILE);
	char name[IMAGE_NAME_MAX], format[16] = "raw";
	struct image *m = &q->image;

	q->data = q->file;
	if (!(q->incompat & QCOW2_INCOMPAT_DATA_FILE))
		return 0;
	if (!x || !x->bytes || x->bytes >= sizeof(name) || strlen((char *)x->data) != x->bytes)
		return err_set(e, EINVAL, "its data is in another file, and it does not say in which");
	memcpy(name, x->data, x->bytes + 1);
	if (!o->opener)
		return err_set(e, EPERM, "its data is in another file, %s, and none was given", name);
	m->more = xcalloc(1, sizeof(struct image_file *));
	int rc = o->opener->open(o->opener, IMAGE_WANT_DATA, q->file->name, name, format, sizeof(format), m->readonly,
				 &m->more[0], e);
	if (rc < 0)
		return rc;
	m->nmore = 1;
	q->data = m->more[0];
	return 0;
}

static int load(struct qcow2 *q, const struct image_open *o, struct err *e)
{
	u8 h[QCOW2_HEADER_BYTES];
	int rc = image_pread(q->file, h, sizeof(h), 0);

	if (rc < 0)
		return err_sys(e, -rc, "its header cannot be read");
	rc = parse_header(q, h, e);
	if (rc == 0)
		rc = qcow2_extensions_load(q, e);
	if (rc == 0)
		rc = check_features(q, o->checking, o->readonly, e);
	if (rc == 0)
		rc = load_names(q, e);
	if (rc == 0)
		rc = load_l1(q, h, e);
	if (rc == 0)
		rc = load_refcount_table(q, h, e);
	if (rc == 0)
		rc = qcow2_snapshots_load(q, qcow2_ld32(h + 60), qcow2_ld64(h + 64), e);
	return rc < 0 ? rc : open_data(q, o, e);
}

/* What has to be done before the first write. */
static int make_writable(struct qcow2 *q, struct err *e)
{
	bool stale = false;
	int rc = qcow2_bitmaps_out_of_date(q, &stale);
	u64 autoclear = q->autoclear & QCOW2_AUTOCLEAR_KNOWN & ~(stale ? QCOW2_AUTOCLEAR_BITMAPS : 0);

	if (rc == 0 && autoclear != q->autoclear) {
		q->autoclear = autoclear;
		rc = qcow2_header_store(q, 88, 96);
		if (rc == 0)
			rc = image_sync(q->file);
	}
	if (rc < 0)
		return err_sys(e, -rc, "its header cannot be written");
	if (q->incompat & QCOW2_INCOMPAT_DIRTY) {
		struct image_check c = { 0 };
		rc = qcow2_check(&q->image, &c, IMAGE_FIX_ALL, e);
		if (rc == 0 && c.corrupt > c.corrupt_fixed)
			rc = err_set(
			    e, EIO,
			    "it was not closed, and its tables contradict themselves; \"mica image check --repair "
			    "all\" tells more");
	}
	return rc;
}

static const struct image_ops ops = {
	.map = qcow2_map,
	.prepare = qcow2_prepare,
	.commit = qcow2_commit,
	.abandon = qcow2_abandon,
	.read = qcow2_read,
	.write_compressed = qcow2_write_compressed,
	.compress = qcow2_compress,
	.write_packed = qcow2_write_packed,
	.zero = qcow2_zero,
	.discard = qcow2_discard,
	.flush = qcow2_flush,
	.resize = qcow2_resize,
	.check = qcow2_check,
	.snapshots = qcow2_snapshots,
	.snapshot = qcow2_snapshot,
	.set_backing = qcow2_set_backing,
	.empty = qcow2_empty,
	.info = qcow2_info,
	.close = qcow2_close,
};

int qcow2_open(struct image **out, const struct image_open *o, struct err *e)
{
	int rc = image_options_check(NULL, o->options, "qcow2", e);

	if (rc < 0)
		return rc;
	struct qcow2 *q = xcalloc(1, sizeof(*q));
	q->file = o->file;
	q->image.ops = &ops;
	q->image.file = o->file;
	q->image.readonly = o->readonly || o->file->readonly;
	q->image.can_discard = true;
	rc = load(q, o, e);
	q->image.cluster_bytes = q->cluster_bytes;
	if (rc == 0) {
		q->l2_cache = qcow2_cache_new(q, QCOW2_L2_CACHE_BYTES, qcow2_l2_clean);
		q->ref_cache = qcow2_cache_new(q, QCOW2_REF_CACHE_BYTES, qcow2_ref_clean);
		q->broken = q->incompat & QCOW2_INCOMPAT_CORRUPT;
		q->opened = true;
		if (!q->image.readonly && !o->checking)
			rc = make_writable(q, e);
	}
	if (rc < 0) {
		if (q->image.nmore)
			image_file_close(q->image.more[0]);
		free(q->image.more);
		qcow2_free_all(q);
		return rc;
	}
	*out = &q->image;
	return 0;
}

static bool probe(const u8 *head, size_t n, const u8 tail[512], u64 file_bytes)
{
	(void)tail, (void)file_bytes;
	return n >= QCOW2_V2_BYTES && qcow2_ld32(head) == QCOW2_MAGIC && qcow2_ld32(head + 4) >= 2;
}

const struct image_format image_qcow2 = {
	.name = "qcow2",
	.title = "qcow2: QEMU's format",
	.extensions = "qcow2,qcow",
	.create_options = qcow2_create_options,
	.creates = true,
	.backing = true,
	.probe = probe,
	.open = qcow2_open,
	.create = qcow2_create,
	.measure = qcow2_measure,
};
