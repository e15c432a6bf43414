/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmdk.c - VMDK, of VMware; see vmdk_int.h. Here: the image, which passes on to its extents.
 *
 * The descriptor has a number, the CID, that a child keeps of its parent, and that changes when the disk does. It is
 * changed before the first write: so nothing is written in place before prepare() was asked.
 */
#include "image/vmdk_int.h"

#include <sys/random.h>

static struct vmdk *vmdk_of(struct image *m)
{
	return (struct vmdk *)(void *)m;
}

static struct vmdk_extent *extent_at(struct vmdk *v, u64 off)
{
	unsigned low = 0, high = v->nextents;

	while (high - low > 1) {
		unsigned mid = low + (high - low) / 2;
		*(off < v->extents[mid].start ? &high : &low) = mid;
	}
	return &v->extents[low];
}

static u64 left_in(const struct vmdk_extent *x, u64 off)
{
	return x->start + x->bytes - off;
}

static int touch(struct vmdk *v)
{
	char digits[9];
	u32 cid;

	if (v->touched)
		return 0;
	do {
		must(getrandom(&cid, sizeof(cid), 0) == sizeof(cid));
	} while (cid == v->cid || cid >= UINT32_MAX - 1);
	snprintf(digits, sizeof(digits), "%08x", cid);
	int rc = v->cid_at ? image_pwrite(v->image.file, digits, 8, v->cid_at) : 0;
	if (rc < 0)
		return rc;
	v->cid = cid;
	v->touched = true;
	return 0;
}

/* ---- flat extents ---- */

static int flat_map(struct vmdk *v, struct vmdk_extent *x, u64 off, u64 bytes, struct image_run *run)
{
	u64 at = x->off + (off - x->start), data, end;
	int rc = image_next_data(x->file, at, &data, &end);

	if (rc < 0)
		return rc;
	data = data / SECTOR * SECTOR;
	bool hole = data > at;
	*run = (struct image_run){ .kind = hole ? IMAGE_ZERO : IMAGE_DATA,
				   .bytes = MIN(bytes, (hole ? data : ROUND_UP(end, SECTOR)) - at),
				   .file = x->file->id,
				   .off = at,
				   .in_place = !hole && !v->image.readonly };
	return 0;
}

/* ---- the image ---- */

static int vmdk_map(struct image *m, u64 off, u64 bytes, struct image_run *run)
{
	struct vmdk *v = vmdk_of(m);
	struct vmdk_extent *x = extent_at(v, off);
	int rc = 0;

	bytes = MIN(bytes, left_in(x, off));
	if (x->kind == VMDK_ZERO)
		*run = (struct image_run){ .kind = IMAGE_ZERO, .bytes = bytes };
	else if (x->kind == VMDK_FLAT)
		rc = flat_map(v, x, off, bytes, run);
	else if (x->sparse->compressed)
		rc = vmdk_stream_map(x->sparse, off, bytes, run);
	else
		rc = bat_map(&x->sparse->bat, off, bytes, run);
	run->in_place &= v->touched;
	return rc;
}

static int vmdk_prepare(struct image *m, u64 off, u64 bytes, struct image_run *run)
{
	struct vmdk *v = vmdk_of(m);
	struct vmdk_extent *x = extent_at(v, off);
	int rc = touch(v);

	bytes = MIN(bytes, left_in(x, off));
	if (rc < 0)
		return rc;
	if (x->kind == VMDK_ZERO)
		return -EROFS; /* it has no place for anything */
	if (x->kind == VMDK_SPARSE && !x->sparse->compressed)
		return bat_prepare(&x->sparse->bat, off, bytes, run);
	bool flat = x->kind == VMDK_FLAT;
	*run = (struct image_run){ .kind = flat ? IMAGE_DATA : IMAGE_COOKED,
				   .bytes = bytes,
				   .file = x->file->id,
				   .off = x->off + (off - x->start),
				   .in_place = flat };
	return 0;
}

static int vmdk_commit(struct image *m, u64 off, u64 bytes)
{
	struct vmdk_extent *x = extent_at(vmdk_of(m), off);

	return x->kind == VMDK_SPARSE && !x->sparse->compressed ? bat_commit(&x->sparse->bat, off, bytes) : 0;
}

static int vmdk_read(struct image *m, u64 off, void *buf, size_t n)
{
	struct vmdk_extent *x = extent_at(vmdk_of(m), off);

	return x->sparse && n <= left_in(x, off) ? vmdk_stream_read(x->sparse, off, buf, n) : -EIO;
}

static int vmdk_write(struct image *m, u64 off, const void *buf, size_t n)
{
	struct vmdk_extent *x = extent_at(vmdk_of(m), off);

	return x->sparse && n <= left_in(x, off) ? vmdk_stream_write(x->sparse, off, buf, n) : -EIO;
}

static int vmdk_write_compressed(struct image *m, u64 off, const void *buf, size_t n)
{
	struct vmdk *v = vmdk_of(m);
	struct vmdk_extent *x = extent_at(v, off);

	if (!x->sparse || !x->sparse->compressed)
		return -ENOTSUP;
	int rc = touch(v);
	return rc < 0 ? rc : vmdk_write(m, off, buf, n);
}

static int zero_stream(struct vmdk_sparse *s, u64 off, u64 bytes)
{
	static const u8 zeros[64 * KIB];
	int rc = 0;

	for (; bytes && rc == 0; off += MIN(bytes, sizeof(zeros)), bytes -= MIN(bytes, sizeof(zeros)))
		rc = vmdk_stream_write(s, off, zeros, (size_t)MIN(bytes, sizeof(zeros)));
	return rc;
}

static int vmdk_zero(struct image *m, u64 off, u64 bytes, bool unmap)
{
	struct vmdk *v = vmdk_of(m);
	int rc = touch(v);
	u64 n;

	for (; bytes && rc == 0; off += n, bytes -= n) {
		struct vmdk_extent *x = extent_at(v, off);
		n = MIN(bytes, left_in(x, off));
		if (x->kind == VMDK_FLAT)
			rc = image_zero(x->file, x->off + (off - x->start), n, unmap);
		else if (x->kind == VMDK_SPARSE)
			rc = x->sparse->compressed ? zero_stream(x->sparse, off, n)
						   : bat_zero(&x->sparse->bat, off, n, unmap);
	}
	return rc;
}

static int vmdk_discard(struct image *m, u64 off, u64 bytes)
{
	struct vmdk *v = vmdk_of(m);
	int rc = touch(v);
	u64 n;

	for (; bytes && rc == 0; off += n, bytes -= n) {
		struct vmdk_extent *x = extent_at(v, off);
		n = MIN(bytes, left_in(x, off));
		if (x->kind == VMDK_FLAT)
			rc = image_zero(x->file, x->off + (off - x->start), n, true);
		else if (x->kind == VMDK_SPARSE && !x->sparse->compressed)
			rc = bat_discard(&x->sparse->bat, off, n);
	}
	return rc;
}

static int vmdk_flush(struct image *m)
{
	struct vmdk *v = vmdk_of(m);
	int rc = 0;

	for (unsigned i = 0; i < v->nextents && rc == 0; i++) {
		struct vmdk_extent *x = &v->extents[i];
		if (x->kind == VMDK_FLAT)
			rc = image_sync(x->file);
		else if (x->kind == VMDK_SPARSE)
			rc = x->sparse->compressed ? vmdk_stream_flush(x->sparse) : bat_flush(&x->sparse->bat);
	}
	/* The descriptor may be in a file of its own. */
	return rc || !v->image.nmore ? rc : image_sync(v->image.file);
}

static int vmdk_backed(struct image *m, struct err *e)
{
	struct vmdk *v = vmdk_of(m);

	if (m->below->format != m->format)
		return err_set(e, EINVAL, "%s: its parent, %s, is no VMDK image", m->file->name, m->backing_name);
	if (vmdk_of(m->below)->cid != v->parent_cid)
		return err_set(e, EINVAL,
			       "%s: %s was changed since the image was made on it (CID %08x, not %08x), or is another",
			       m->file->name, m->backing_name, vmdk_of(m->below)->cid, v->parent_cid);
	return 0;
}

static int vmdk_check(struct image *m, struct image_check *c, enum image_fix fix, struct err *e)
{
	struct vmdk *v = vmdk_of(m);
	int rc = 0;

	for (unsigned i = 0; i < v->nextents && rc == 0; i++) {
		struct vmdk_sparse *s = v->extents[i].sparse;
		if (!s)
			continue;
		/* Some writers begin with the grains before the header says that they may. */
		u64 first = MIN(ld_le64(s->header + S_OVERHEAD), s->bat.file->bytes / SECTOR) * SECTOR;
		rc = s->compressed ? vmdk_stream_check(s, c) : bat_check(&s->bat, first, 0, 0, c, e);
	}
	return rc;
}

static void vmdk_info(struct image *m, void (*say)(void *opaque, const char *name, const char *value), void *opaque)
{
	struct vmdk *v = vmdk_of(m);
	char text[16];

	say(opaque, "create type", v->type);
	snprintf(text, sizeof(text), "%08x", v->cid);
	say(opaque, "CID", text);
	snprintf(text, sizeof(text), "%u", v->nextents);
	say(opaque, "extents", text);
}

static void vmdk_close(struct image *m)
{
	struct vmdk *v = vmdk_of(m);

	for (unsigned i = 0; i < v->nextents; i++)
		vmdk_sparse_free(v->extents[i].sparse);
	free(v);
}

static const struct image_ops vmdk_ops = {
	.backed = vmdk_backed,
	.map = vmdk_map,
	.prepare = vmdk_prepare,
	.commit = vmdk_commit,
	.read = vmdk_read,
	.write = vmdk_write,
	.write_compressed = vmdk_write_compressed,
	.zero = vmdk_zero,
	.discard = vmdk_discard,
	.flush = vmdk_flush,
	.check = vmdk_check,
	.info = vmdk_info,
	.close = vmdk_close,
};

/* ---- opening ---- */

static bool vmdk_probe(const u8 *head, size_t n, const u8 tail[512], u64 file_bytes)
{
	static const char text[] = "# Disk DescriptorFile";

	return (n >= SECTOR && (!memcmp(head, "KDMV", 4) || !memcmp(head, "COWD", 4))) ||
	       (n >= sizeof(text) - 1 && !memcmp(head, text, sizeof(text) - 1));
}

static int read_text(struct image_file *f, u64 off, u64 bytes, char **text, struct err *e)
{
	if (!bytes || bytes > VMDK_TEXT_MAX || off > f->bytes || bytes > f->bytes - off)
		return err_set(e, EINVAL, "a descriptor of %llu bytes at %llu cannot be", (unsigned long long)bytes,
			       (unsigned long long)off);
	*text = xcalloc(1, (size_t)bytes + 1);
	int rc = image_pread(f, *text, (size_t)bytes, off);
	return rc < 0 ? err_sys(e, -rc, "reading its descriptor") : 0;
}

/* One sparse file that has its descriptor in itself. */
static int open_single(struct vmdk *v, const u8 *head, const struct image_open *o, struct err *e)
{
	auto_free char *text = NULL;
	u64 at = ld_le64(head + S_TEXT), size = ld_le64(head + S_TEXT_SIZE);
	int rc = vmdk_sparse_header(head, e);

	if (rc < 0)
		return rc;
	if (!at || at > o->file->bytes / SECTOR || size > VMDK_TEXT_MAX / SECTOR)
		return err_set(e, EINVAL,
			       "it has no descriptor; it may be a part of a disk, open the disk's .vmdk file");
	rc = read_text(o->file, at * SECTOR, size * SECTOR, &text, e);
	if (rc == 0)
		rc = vmdk_parse(v, text, at * SECTOR, false, o, e);
	if (rc < 0)
		return rc;
	v->nextents = 1;
	v->extents[0].file = o->file;
	rc = vmdk_sparse_open(v, &v->extents[0], o->readonly, e);
	v->image.bytes = v->extents[0].bytes;
	v->image.cluster_bytes = v->extents[0].sparse->bat.block_bytes;
	if (rc == 0 && v->extents[0].sparse->compressed && !o->readonly && *v->image.backing_name)
		rc = err_set(e, ENOTSUP, "a streamOptimized VMDK image with a parent can be read, not written");
	return rc;
}

static int open_text(struct vmdk *v, const struct image_open *o, struct err *e)
{
	auto_free char *text = NULL;
	int rc = read_text(o->file, 0, o->file->bytes, &text, e);

	if (rc == 0)
		rc = vmdk_parse(v, text, 0, true, o, e);
	if (rc == 0 && !v->nextents)
		rc = err_set(e, EINVAL, "its descriptor lists no extents");
	for (unsigned i = 0; rc == 0 && i < v->nextents; i++)
		if (v->extents[i].sparse)
			v->image.cluster_bytes = MAX(v->image.cluster_bytes, v->extents[i].sparse->bat.block_bytes);
	/* Clusters have to begin where extents do. */
	for (unsigned i = 0; rc == 0 && i < v->nextents && v->image.cluster_bytes; i++)
		if (v->extents[i].start % v->image.cluster_bytes && !o->readonly)
			rc = err_set(e, ENOTSUP, "extents that do not begin with a grain can be read, not written");
	return rc;
}

static void give_up(struct vmdk *v)
{
	struct image_file **more = v->image.more;
	unsigned n = v->image.nmore;

	vmdk_close(&v->image);
	for (unsigned i = 0; i < n; i++)
		image_file_close(more[i]);
	free(more);
}

static int vmdk_open(struct image **out, const struct image_open *o, struct err *e)
{
	u8 head[SECTOR];
	int rc = image_options_check(NULL, o->options, "vmdk", e);

	if (rc < 0)
		return rc;
	rc = image_pread(o->file, head, sizeof(head), 0);
	if (rc < 0)
		return err_sys(e, -rc, "reading its header");
	if (!memcmp(head, "COWD", 4))
		return err_set(e, ENOTSUP, "COWD images, of VMware ESX, are not supported");
	struct vmdk *v = xcalloc(1, sizeof(*v));
	v->image = (struct image){ .ops = &vmdk_ops, .readonly = o->readonly, .can_discard = true };
	rc = !memcmp(head, "KDMV", 4) ? open_single(v, head, o, e) : open_text(v, o, e);
	if (rc < 0) {
		give_up(v);
		return rc;
	}
	*out = &v->image;
	return 0;
}

const struct image_format image_vmdk = {
	.name = "vmdk",
	.title = "VMDK, of VMware",
	.extensions = "vmdk",
	.create_options = vmdk_create_options,
	.creates = true,
	.backing = true,
	.probe = vmdk_probe,
	.open = vmdk_open,
	.create = vmdk_create,
	.measure = vmdk_measure,
};
