/* SPDX-License-Identifier: GPL-2.0-or-later */
/* raw.c - a disk that is just the bytes of its file. Its last sector may be cut short: what it lacks is zeros. */
#include "image/image.h"

#define SECTOR 512u

static int raw_map(struct image *m, u64 off, u64 bytes, struct image_run *run)
{
	u64 data, end;
	int rc = image_next_data(m->file, off, &data, &end);

	if (rc < 0)
		return rc;
	data = MIN(data / SECTOR * SECTOR, m->bytes);
	end = MIN(ROUND_UP(end, SECTOR), m->bytes);
	bool hole = data > off;
	*run = (struct image_run){ .kind = hole ? IMAGE_ZERO : IMAGE_DATA,
				   .bytes = MIN(bytes, (hole ? data : end) - off),
				   .file = m->file->id,
				   .off = off,
				   .in_place = !m->readonly };
	return 0;
}

static int raw_prepare(struct image *m, u64 off, u64 bytes, struct image_run *run)
{
	*run =
	    (struct image_run){ .kind = IMAGE_DATA, .bytes = bytes, .file = m->file->id, .off = off, .in_place = true };
	return 0;
}

static int raw_zero(struct image *m, u64 off, u64 bytes, bool unmap)
{
	return image_zero(m->file, off, bytes, unmap);
}

static int raw_discard(struct image *m, u64 off, u64 bytes)
{
	return image_zero(m->file, off, bytes, true);
}

static int raw_flush(struct image *m)
{
	return image_sync(m->file);
}

static int raw_resize(struct image *m, u64 bytes, struct err *e)
{
	int rc = image_resize_file(m->file, bytes);

	if (rc < 0)
		return err_sys(e, -rc, "%s", m->file->name);
	m->bytes = bytes;
	return 0;
}

static void raw_close(struct image *m)
{
	free(m);
}

static const struct image_ops raw_ops = {
	.map = raw_map,
	.prepare = raw_prepare,
	.zero = raw_zero,
	.discard = raw_discard,
	.flush = raw_flush,
	.resize = raw_resize,
	.close = raw_close,
};

static int raw_open(struct image **out, const struct image_open *o, struct err *e)
{
	int rc = image_options_check(NULL, o->options, "raw", e);

	if (rc < 0)
		return rc;
	struct image *m = xcalloc(1, sizeof(*m));
	*m = (struct image){ .ops = &raw_ops, .bytes = ROUND_UP(o->file->bytes, SECTOR), .can_discard = true };
	*out = m;
	return 0;
}

static int raw_create(const struct image_create *c, struct err *e)
{
	int rc = image_options_check(NULL, c->options, "raw", e);

	if (rc < 0)
		return rc;
	if (c->file->device)
		return c->bytes <= c->file->bytes ? 0
						  : err_set(e, ENOSPC, "%s: it is smaller than that", c->file->name);
	rc = image_resize_file(c->file, c->bytes);
	return rc < 0 ? err_sys(e, -rc, "%s", c->file->name) : 0;
}

static int raw_measure(u64 bytes, u64 allocated, const char *const *options, u64 out[2], struct err *e)
{
	out[0] = allocated;
	out[1] = bytes;
	return image_options_check(NULL, options, "raw", e);
}

const struct image_format image_raw = {
	.name = "raw",
	.title = "raw: the disk's bytes",
	.extensions = "img,raw,iso",
	.creates = true,
	.open = raw_open,
	.create = raw_create,
	.measure = raw_measure,
};
