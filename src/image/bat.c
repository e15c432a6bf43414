/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bat.c - see bat.h. Here: the steps of reading and writing. */
#include "image/bat.h"

#define SECTOR 512u
#define RUN_BLOCKS_MAX 1024u /* looked at in one call */
#define COPY_BYTES (256u * KIB)

int bat_room(struct image_file *f, u64 off, u64 bytes)
{
	int rc = image_zero(f, off, bytes, true); /* what a crash may have left, or a device holds */

	return rc < 0 || off + bytes <= f->bytes ? rc : image_resize_file(f, off + bytes);
}

/* ---- what was placed ---- */

static struct bat_pending *find_pending(struct bat *b, u64 block)
{
	for (unsigned i = b->npending; i-- > 0;)
		if (b->pending[i].block == block)
			return &b->pending[i];
	return NULL;
}

static void add_pending(struct bat *b, u64 block, u64 off)
{
	if (b->npending == b->room)
		b->pending = xrealloc(b->pending, (b->room = b->room * 2 + 16) * sizeof(*b->pending));
	b->pending[b->npending++] = (struct bat_pending){ .block = block, .off = off };
}

void bat_fini(struct bat *b)
{
	free(b->pending);
}

/* ---- the map ---- */

static int map_part(struct bat *b, u64 block, const struct bat_block *is, u64 in, u64 n, struct image_run *run)
{
	bool there = false;
	u32 same = 0;
	int rc = b->ops->part(b, block, (u32)(in / SECTOR), &there, &same);

	*run = (struct image_run){ .kind = there ? IMAGE_DATA : IMAGE_HOLE,
				   .bytes = MIN(n, (u64)same * SECTOR),
				   .file = b->file->id,
				   .off = is->off + in,
				   .in_place = there && !b->image->readonly };
	return rc < 0 ? rc : same ? 0 : -EIO;
}

/* The blocks behind the run that go on in its way. */
static int lengthen(struct bat *b, u64 block, u64 bytes, const struct bat_block *first, struct image_run *run)
{
	struct bat_block is;

	for (unsigned i = 1; i < RUN_BLOCKS_MAX && run->bytes < bytes; i++) {
		int rc = b->ops->get(b, block + i, &is);
		if (rc < 0)
			return rc;
		if (is.kind != first->kind || (is.kind == BAT_DATA && is.off != first->off + (u64)i * b->block_bytes))
			break;
		run->bytes = MIN(bytes, run->bytes + b->block_bytes);
	}
	return 0;
}

int bat_map(struct bat *b, u64 off, u64 bytes, struct image_run *run)
{
	u64 block = (off - b->start) / b->block_bytes, in = (off - b->start) % b->block_bytes;
	u64 n = MIN(bytes, b->block_bytes - in);
	struct bat_block is;
	int rc = b->ops->get(b, block, &is);

	if (rc < 0)
		return rc;
	if (is.kind == BAT_PART)
		return map_part(b, block, &is, in, n, run);
	*run = (struct image_run){ .kind = is.kind == BAT_DATA   ? IMAGE_DATA
					   : is.kind == BAT_ZERO ? IMAGE_ZERO
								 : IMAGE_HOLE,
				   .bytes = n,
				   .file = b->file->id,
				   .off = is.off + in,
				   .in_place = is.kind == BAT_DATA && !b->image->readonly };
	return lengthen(b, block, bytes, &is, run);
}

/* ---- writing ---- */

/* What is below at [off, off + n) of the disk goes to `to`. fresh: zeros are there already. */
static int copy_up(struct bat *b, u64 off, u64 n, u64 to, bool fresh)
{
	struct image *below = b->image->below;
	auto_free u8 *buf = below && n ? xrealloc(NULL, COPY_BYTES) : NULL;
	struct image_run run = { .kind = IMAGE_ZERO, .bytes = n };
	int rc = 0;

	for (; n && rc == 0; off += run.bytes, to += run.bytes, n -= run.bytes) {
		run.bytes = n;
		if (below)
			rc = image_map(below, off, MIN(n, COPY_BYTES), &run);
		if (rc == 0 && run.kind != IMAGE_ZERO)
			rc = image_read(below, off, buf, (size_t)run.bytes);
		if (rc == 0 && run.kind != IMAGE_ZERO)
			rc = image_pwrite(b->file, buf, (size_t)run.bytes, to);
		else if (rc == 0 && !fresh)
			rc = image_zero(b->file, to, run.bytes, false);
	}
	return rc;
}

/* The sectors of [in, in + n) that are not there. */
static int fill_part(struct bat *b, u64 block, u64 in, u64 n, u64 place)
{
	u64 same_bytes;
	bool there;
	u32 same;

	for (; n; in += same_bytes, n -= same_bytes) {
		int rc = b->ops->part(b, block, (u32)(in / SECTOR), &there, &same);
		if (rc < 0 || !same)
			return rc < 0 ? rc : -EIO;
		same_bytes = MIN(n, (u64)same * SECTOR);
		if (!there)
			rc = copy_up(b, b->start + block * b->block_bytes + in, same_bytes, place + in, false);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int fill(struct bat *b, u64 block, const struct bat_block *is, u64 in, u64 n, u64 place, bool fresh)
{
	u64 at = block * b->block_bytes;

	n = MIN(n, b->bytes - MIN(b->bytes, at + in)); /* the last block may be longer than the disk */
	if (!n)
		return 0;
	if (is->kind == BAT_PART)
		return fill_part(b, block, in, n, place);
	if (is->kind == BAT_ZERO)
		return fresh ? 0 : image_zero(b->file, place + in, n, false);
	return copy_up(b, b->start + at + in, n, place + in, fresh);
}

/* A place for the block, which is HOLE, ZERO or PART, with all in it but [in, in + n). */
static int prepare_block(struct bat *b, u64 block, const struct bat_block *is, u64 in, u64 n, u64 *place)
{
	struct bat_pending *p = find_pending(b, block);
	bool fresh = !p && is->kind != BAT_PART;
	int rc = 0;

	if (p)
		*place = p->off;
	else if (is->kind == BAT_PART)
		*place = is->off;
	else
		rc = b->ops->place(b, block, place);
	if (rc < 0)
		return rc;
	if (!p)
		add_pending(b, block, *place);
	rc = fill(b, block, is, 0, in, *place, fresh);
	return rc < 0 ? rc : fill(b, block, is, in + n, b->block_bytes - in - n, *place, fresh);
}

int bat_prepare(struct bat *b, u64 off, u64 bytes, struct image_run *run)
{
	u64 block = (off - b->start) / b->block_bytes, in = (off - b->start) % b->block_bytes, place, next;
	u64 n = MIN(bytes, b->block_bytes - in);
	struct bat_block is;
	int rc = b->ops->get(b, block, &is);

	if (rc < 0)
		return rc;
	if (is.kind == BAT_DATA)
		return bat_map(b, off, bytes, run);
	rc = prepare_block(b, block, &is, in, n, &place);
	if (rc < 0)
		return rc;
	*run = (struct image_run){ .kind = IMAGE_DATA, .bytes = n, .file = b->file->id, .off = place + in };
	for (unsigned i = 1; i < RUN_BLOCKS_MAX && run->bytes < bytes; i++) {
		n = MIN(bytes - run->bytes, b->block_bytes);
		if (b->ops->get(b, block + i, &is) < 0 || (is.kind != BAT_HOLE && is.kind != BAT_ZERO) ||
		    prepare_block(b, block + i, &is, 0, n, &next) < 0 || next != place + (u64)i * b->block_bytes)
			break; /* the next prepare() tells what is wrong */
		run->bytes += n;
	}
	return 0;
}

int bat_commit(struct bat *b, u64 off, u64 bytes)
{
	u64 first = (off - b->start) / b->block_bytes, last = (off - b->start + bytes - 1) / b->block_bytes;
	int rc = 0;

	for (u64 block = first; block <= last; block++) {
		struct bat_pending *p = find_pending(b, block);
		if (!p)
			continue;
		int r = b->ops->set(b, block, &(struct bat_block){ .kind = BAT_DATA, .off = p->off });
		rc = rc ? rc : r;
		*p = b->pending[--b->npending];
		b->changed = true;
	}
	return rc;
}

/* Zeros where something else shows: a write of zeros, but that nobody has to carry them. */
static int write_zeros(struct bat *b, u64 off, u64 bytes)
{
	struct image_run run;
	int rc = 0;

	for (; bytes && rc == 0; off += run.bytes, bytes -= run.bytes) {
		rc = bat_prepare(b, off, bytes, &run);
		if (rc == 0)
			rc = image_zero(b->file, run.off, run.bytes, false);
		if (rc == 0 && !run.in_place)
			rc = bat_commit(b, off, run.bytes);
	}
	return rc;
}

int bat_zero(struct bat *b, u64 off, u64 bytes, bool unmap)
{
	struct bat_block is;
	u64 n;
	int rc = 0;

	for (; bytes && rc == 0; off += n, bytes -= n) {
		u64 block = (off - b->start) / b->block_bytes, in = (off - b->start) % b->block_bytes;
		n = MIN(bytes, b->block_bytes - in);
		bool whole = in == 0 && n == MIN(b->block_bytes, b->bytes - (off - b->start));
		rc = b->ops->get(b, block, &is);
		if (rc < 0)
			return rc;
		if (is.kind == BAT_ZERO || (is.kind == BAT_HOLE && !b->image->below))
			continue;
		if (is.kind == BAT_DATA) {
			rc = image_zero(b->file, is.off + in, n, unmap);
		} else if (is.kind == BAT_HOLE && whole && b->zeros) {
			b->changed = true;
			rc = b->ops->set(b, block, &(struct bat_block){ .kind = BAT_ZERO });
		} else {
			rc = write_zeros(b, off, n);
		}
	}
	return rc;
}

int bat_discard(struct bat *b, u64 off, u64 bytes)
{
	struct bat_block is;
	u64 n;
	int rc = 0;

	for (; bytes && rc == 0; off += n, bytes -= n) {
		u64 in = (off - b->start) % b->block_bytes;
		n = MIN(bytes, b->block_bytes - in);
		rc = b->ops->get(b, (off - b->start) / b->block_bytes, &is);
		if (rc == 0 && is.kind == BAT_DATA)
			rc = image_zero(b->file, is.off + in, n, true);
	}
	return rc;
}

int bat_flush(struct bat *b)
{
	int rc = image_sync(b->file);

	if (rc < 0 || !b->changed)
		return rc;
	rc = b->ops->write(b);
	if (rc == 0)
		rc = image_sync(b->file);
	if (rc == 0)
		b->changed = false;
	return rc;
}

/* ---- an image that is one of these ---- */

static struct bat *bat_of(struct image *m)
{
	return &((struct bat_image *)(void *)m)->bat;
}

int bat_image_map(struct image *m, u64 off, u64 bytes, struct image_run *run)
{
	return bat_map(bat_of(m), off, bytes, run);
}

int bat_image_prepare(struct image *m, u64 off, u64 bytes, struct image_run *run)
{
	return bat_prepare(bat_of(m), off, bytes, run);
}

int bat_image_commit(struct image *m, u64 off, u64 bytes)
{
	return bat_commit(bat_of(m), off, bytes);
}

int bat_image_zero(struct image *m, u64 off, u64 bytes, bool unmap)
{
	return bat_zero(bat_of(m), off, bytes, unmap);
}

int bat_image_discard(struct image *m, u64 off, u64 bytes)
{
	return bat_discard(bat_of(m), off, bytes);
}

int bat_image_flush(struct image *m)
{
	return bat_flush(bat_of(m));
}
