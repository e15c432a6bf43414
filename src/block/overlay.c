/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * overlay.c - a layer whose writes go to an unlinked temporary file, and are gone at close: snapshot=on, and what a
 * running disk gets on top when what is below shall not change any more.
 *
 * Theory: the temporary file is sparse and as large as the disk, each byte at its own offset. Which
 * sectors live there is said by a map: for each 64 KiB cluster one bit a sector. So a write smaller than
 * a cluster copies nothing from the image, and writers of one cluster need not wait for each other.
 * The map is 1/4096 of the disk's size and anonymous memory, so only what was written takes room.
 *
 * INV-SN-1: a sector's bit is set after its bytes are in the temporary file, and never cleared.
 *
 * A request is passed on as it is where it can be (a read that lies in one of the two); else its frame carries it
 * through, one run of sectors after another.
 *
 * A flush goes below: the temporary file has no future, but writes that ended below before this layer came have.
 */
#include "block/format.h"

#include <pthread.h>
#include <sys/mman.h>

#define CLUSTER_SECTORS 128u

struct cluster {
	u64 have[2]; /* a bit a sector */
};

enum { BASE, OVER };

struct overlay {
	struct blk_node n; /* its children: BASE, OVER */
	u64 nclusters;
	pthread_mutex_t lock;
	struct cluster *map; /* under lock */
};

static bool have(const struct overlay *s, u64 sector)
{
	return s->map[sector / CLUSTER_SECTORS].have[sector / 64 % 2] >> (sector % 64) & 1;
}

/* Where the run of sectors at off lives, and how many bytes of `bytes` it has. */
static bool run_at(struct overlay *s, u64 off, u64 bytes, u64 *run)
{
	u64 first = off / BLK_SECTOR, n = bytes / BLK_SECTOR, i = 1;

	pthread_mutex_lock(&s->lock);
	bool over = have(s, first);
	while (i < n) {
		/* whole words at once where they are uniform */
		u64 word = s->map[(first + i) / CLUSTER_SECTORS].have[(first + i) / 64 % 2];
		if ((first + i) % 64 == 0 && n - i >= 64 && word == (over ? UINT64_MAX : 0)) {
			i += 64;
			continue;
		}
		if ((word >> ((first + i) % 64) & 1) != over)
			break;
		i++;
	}
	pthread_mutex_unlock(&s->lock);
	*run = i * BLK_SECTOR;
	return over;
}

static void set_have(struct overlay *s, u64 off, u64 bytes)
{
	u64 i = off / BLK_SECTOR, end = i + bytes / BLK_SECTOR;

	pthread_mutex_lock(&s->lock);
	while (i < end) {
		u64 *w = &s->map[i / CLUSTER_SECTORS].have[i / 64 % 2];
		if (i % 64 == 0 && end - i >= 64) {
			*w = UINT64_MAX;
			i += 64;
		} else {
			*w |= 1ull << (i % 64);
			i++;
		}
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- reads ---- */

/* The next run of a read that lies in both: frame->own[0] bytes have been read. */
static void read_next(struct overlay *s, struct blk_req *r)
{
	struct blk_frame *f = node_frame(r);
	u64 pos = f->own[0], run;
	bool over = run_at(s, f->off + pos, f->bytes - pos, &run);

	r->off = f->off + pos;
	r->skip = f->skip + pos;
	r->bytes = run;
	f->own[0] += run;
	node_submit(s->n.child[over ? OVER : BASE], r);
}

static void read_back(struct blk_node *n, struct blk_req *r, int res)
{
	struct blk_frame *f = node_frame(r);

	if (res < 0 || f->own[0] == f->bytes)
		node_return(r, res);
	else
		read_next(container_of(n, struct overlay, n), r);
}

static void start_read(struct overlay *s, struct blk_req *r)
{
	u64 run;
	bool over = run_at(s, r->off, r->bytes, &run);

	if (run == r->bytes) {
		node_submit(s->n.child[over ? OVER : BASE], r);
		return;
	}
	node_enter(&s->n, r, read_back)->own[0] = 0;
	read_next(s, r);
}

/* ---- writes ---- */

static void write_back(struct blk_node *n, struct blk_req *r, int res)
{
	if (res == 0)
		set_have(container_of(n, struct overlay, n), r->off, r->bytes); /* INV-SN-1 */
	node_return(r, res);
}

static void start_write(struct overlay *s, struct blk_req *r)
{
	node_enter(&s->n, r, write_back);
	/* A discarded sector must not show the image's bytes again: it reads as zeros from then on. */
	if (r->op == BLK_DISCARD)
		r->op = BLK_WRITE_ZEROES;
	r->may_unmap = true;
	node_submit(s->n.child[OVER], r);
}

static void overlay_submit(struct blk_node *n, struct blk_req *r)
{
	struct overlay *s = container_of(n, struct overlay, n);

	switch (r->op) {
	case BLK_READ:
		start_read(s, r);
		return;
	case BLK_FLUSH:
		node_submit(n->child[BASE], r);
		return;
	case BLK_WRITE:
	case BLK_DISCARD:
	case BLK_WRITE_ZEROES:
		start_write(s, r);
		return;
	}
}

static void overlay_close(struct blk_node *n)
{
	struct overlay *s = container_of(n, struct overlay, n);

	munmap(s->map, s->nclusters * sizeof(*s->map));
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static const struct blk_driver overlay_driver = {
	.name = "overlay",
	.submit = overlay_submit,
	.close = overlay_close,
};

static int overlay_open(struct blk_node **out, const struct blk_open *o, struct err *e)
{
	struct blk_node *over, *base = o->below;
	int rc = raw_open_temp(&over, o->q, o->io, base->bytes, e);

	if (rc < 0)
		return rc;
	u64 nclusters = base->bytes / (CLUSTER_SECTORS * BLK_SECTOR) + 1;
	void *map = mmap(NULL, nclusters * sizeof(struct cluster), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED) {
		rc = errno;
		node_close(over);
		return err_sys(e, rc, "cannot make the map for snapshot=on");
	}
	struct overlay *s = xcalloc(1, sizeof(*s));
	s->n = (struct blk_node){ .drv = &overlay_driver, .q = o->q, .bytes = base->bytes, .can_discard = true };
	s->n.child[BASE] = base;
	s->n.child[OVER] = over;
	s->map = map;
	s->nclusters = nclusters;
	pthread_mutex_init(&s->lock, NULL);
	*out = &s->n;
	return 0;
}

const struct blk_format blk_format_overlay = {
	.name = "overlay",
	.title = "writes in a temporary file",
	.layer = true,
	.open = overlay_open,
};
