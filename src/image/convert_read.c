/* SPDX-License-Identifier: GPL-2.0-or-later */
/* convert_read.c - the threads that read the source image and that compress (convert.h). */
#include "image/convert_int.h"

#define SHARE_MIN_BYTES (64u * KIB) /* below, a copy costs as much as asking */
#define SHARE_ALIGN (4u * KIB)      /* blocks of the file systems that share */
#define HOLE_MIN_BYTES (128u * KIB)
#define SHARE_MAX_BYTES (64u * MIB) /* so that progress shows */

/* ---- the reader ---- */

/* The next free slot; NULL: stop. */
static struct slot *take_free(struct ring *r)
{
	struct slot *s = &r->slot[r->reads];

	pthread_mutex_lock(&r->lock);
	bool full = s->state != SLOT_FREE;
	while (!r->stop && full && r->busy > SLOTS / 2)
		pthread_cond_wait(&r->room, &r->lock);
	bool stop = r->stop;
	pthread_mutex_unlock(&r->lock);
	return stop ? NULL : s;
}

/* Workers look at everything, so that order is kept without them knowing; only data has work for them. */
static void give_read(struct ring *r, struct slot *s)
{
	pthread_mutex_lock(&r->lock);
	s->state = r->workers ? SLOT_READ : SLOT_READY;
	r->busy++;
	r->reads = (r->reads + 1) % SLOTS;
	pthread_cond_broadcast(&r->change);
	pthread_mutex_unlock(&r->lock);
}

static bool may_share(struct ring *r, const struct image_run *run)
{
	struct convert *c = r->c;

	if (r->cluster || c->below || run->kind != IMAGE_DATA || run->bytes < MAX(SHARE_MIN_BYTES, r->part) ||
	    run->off % SHARE_ALIGN)
		return false;
	pthread_mutex_lock(&r->lock);
	bool no = r->no_sharing;
	pthread_mutex_unlock(&r->lock);
	struct image_file *f = no ? NULL : image_file_of(c->from, run->file);
	return f && f->fd >= 0 && !f->device;
}

static void note_parts(struct ring *r, struct slot *s)
{
	for (u64 at = 0, i = 0; at < s->bytes; at += r->part, i++) {
		size_t n = (size_t)MIN(r->part, s->bytes - at);
		s->write[i] = r->c->sparse_bytes && verb_all_zeros(s->buf + at, n) ? PART_ZERO : PART_DATA;
	}
}

/* What the target's backing image has there already. */
static int leave_same(struct ring *r, struct slot *s, u8 *other, struct err *e)
{
	struct image *b = r->c->below;
	size_t there = s->off < b->bytes ? (size_t)MIN(s->bytes, b->bytes - s->off) : 0;

	memset(other + there, 0, (size_t)s->bytes - there);
	int rc = there ? image_read(b, s->off, other, there) : 0;
	if (rc < 0)
		return err_sys(e, -rc, "%s: cannot be read at %llu", b->file->name, (unsigned long long)s->off);
	for (u64 at = 0, i = 0; at < s->bytes; at += r->part, i++)
		if (!memcmp(s->buf + at, other + at, (size_t)MIN(r->part, s->bytes - at)))
			s->write[i] = PART_SAME;
	return 0;
}

static int read_data(struct ring *r, struct slot *s, u8 *other, struct err *e)
{
	struct image *from = r->c->from;

	s->kind = SLOT_DATA;
	s->bytes = MIN(SLOT_BYTES - s->off % SLOT_BYTES, from->bytes - s->off);
	int rc = image_read(from, s->off, s->buf, (size_t)s->bytes);
	if (rc < 0)
		return err_sys(e, -rc, "%s: cannot be read at %llu", from->file->name, (unsigned long long)s->off);
	note_parts(r, s);
	return other ? leave_same(r, s, other, e) : 0;
}

/* Fills s from s->off on. */
static int read_piece(struct ring *r, struct slot *s, u8 *other, struct err *e)
{
	struct image *from = r->c->from;
	struct image_run run, below = { .kind = IMAGE_ZERO };

	s->kind = SLOT_END;
	if (s->off >= from->bytes)
		return 0;
	int rc = image_map(from, s->off, from->bytes - s->off, &run);
	if (rc < 0)
		return err_sys(e, -rc, "%s: its map at %llu", from->file->name, (unsigned long long)s->off);
	bool zero = run.kind == IMAGE_ZERO && r->c->sparse_bytes, end = s->off + run.bytes == from->bytes;
	/* A short hole is read with what is around it: its zeros are found again. */
	if (zero && !end && run.bytes < MAX(HOLE_MIN_BYTES, r->part))
		zero = false;
	if (zero && other) {
		rc = image_map(r->c->below, s->off, run.bytes, &below);
		if (rc < 0)
			return err_sys(e, -rc, "%s: its map at %llu", r->c->below->file->name,
				       (unsigned long long)s->off);
		run.bytes = below.bytes;
	}
	s->same = other && below.kind == IMAGE_ZERO;
	end = s->off + run.bytes == from->bytes;
	if (zero && (end || run.bytes >= r->part)) {
		s->kind = SLOT_ZERO;
		s->bytes = end ? run.bytes : run.bytes / r->part * r->part;
		return 0;
	}
	if (may_share(r, &run)) {
		s->kind = SLOT_SHARE;
		s->bytes = MIN(run.bytes / MAX(SHARE_ALIGN, r->part) * MAX(SHARE_ALIGN, r->part), SHARE_MAX_BYTES);
		s->fd = image_file_of(from, run.file)->fd;
		s->fd_off = run.off;
		return 0;
	}
	return read_data(r, s, other, e);
}

void *convert_reader(void *ring)
{
	struct ring *r = ring;
	u8 *other = r->c->below ? xcalloc(1, SLOT_BYTES) : NULL;
	u64 off = 0;
	struct slot *s;
	struct err e;

	while ((s = take_free(r))) {
		s->off = off;
		if (read_piece(r, s, other, &e) < 0) {
			ring_fail(r, &e);
			break;
		}
		bool end = s->kind == SLOT_END;
		off += end ? 0 : s->bytes;
		give_read(r, s);
		if (end)
			break;
	}
	free(other);
	return NULL;
}

/* ---- workers ---- */

static int pack(struct ring *r, struct slot *s, struct err *e)
{
	struct image *to = r->c->to;

	for (u64 at = 0, i = 0; s->kind == SLOT_DATA && at < s->bytes; at += r->cluster, i++) {
		s->packed_bytes[i] = 0;
		if (s->write[i] != PART_DATA)
			continue;
		if (s->bytes - at < r->cluster) /* the disk's end is within the last cluster */
			memset(s->buf + s->bytes, 0, r->cluster - (size_t)(s->bytes - at));
		s->packed_bytes[i] = to->ops->compress(to, s->buf + at, r->cluster, s->packed + at);
		if (s->packed_bytes[i] < 0)
			return err_sys(e, (int)-s->packed_bytes[i], "%s: compression failed", to->file->name);
	}
	return 0;
}

void *convert_worker(void *ring)
{
	struct ring *r = ring;
	struct err e;

	pthread_mutex_lock(&r->lock);
	while (!r->stop) {
		struct slot *s = &r->slot[r->packs];
		if (s->state != SLOT_READ) {
			pthread_cond_wait(&r->change, &r->lock);
			continue;
		}
		s->state = SLOT_PACKING;
		r->packs = (r->packs + 1) % SLOTS;
		pthread_mutex_unlock(&r->lock);
		int rc = pack(r, s, &e);
		bool end = s->kind == SLOT_END;
		if (rc < 0)
			ring_fail(r, &e);
		pthread_mutex_lock(&r->lock);
		s->state = SLOT_READY;
		pthread_cond_broadcast(&r->change);
		if (end)
			break;
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}
