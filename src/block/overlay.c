/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * overlay.c - snapshot=on: the image is only read; writes go to an unlinked temporary file and are
 * gone at close.
 *
 * Theory: the temporary file is sparse and as large as the disk, each byte at its own offset. Which
 * sectors live there is said by a map: for each 64 KiB cluster one bit a sector. So a write smaller than
 * a cluster copies nothing from the image, and writers of one cluster need not wait for each other.
 * The map is 1/4096 of the disk's size and anonymous memory, so only what was written takes room.
 *
 * INV-SN-1: a sector's bit is set after its bytes are in the temporary file, and never cleared.
 *
 * A request is forwarded as it is where it can be (a read that lies in one of the two files); else a
 * struct step carries it through, one run of sectors after another.
 */
#include "block/node.h"

#include <pthread.h>
#include <sys/mman.h>

#define CLUSTER_SECTORS 128u

struct cluster {
	u64 have[2]; /* a bit a sector */
};

struct snapshot {
	struct blk_node n;
	struct blk_node *base, *over;
	u64 nclusters;
	pthread_mutex_t lock;
	struct cluster *map; /* under lock */
};

struct step {
	struct blk_req sub;
	struct blk_req *parent;
	u64 pos;
	struct iovec iov[]; /* the part of the parent's under way */
};

static bool have(const struct snapshot *s, u64 sector)
{
	return s->map[sector / CLUSTER_SECTORS].have[sector / 64 % 2] >> (sector % 64) & 1;
}

/* Where the run of sectors at off lives, and how many bytes of `bytes` it has. */
static bool run_at(struct snapshot *s, u64 off, u64 bytes, u64 *run)
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

static void set_have(struct snapshot *s, u64 off, u64 bytes)
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

static struct step *step_new(struct blk_req *r, unsigned niov)
{
	struct step *st = xcalloc(1, sizeof(*st) + niov * sizeof(struct iovec));

	st->parent = r;
	return st;
}

static void step_end(struct step *st, int res)
{
	struct blk_req *r = st->parent;

	free(st);
	node_done(r, res);
}

/* ---- reads ---- */

static void read_done(struct blk_req *sub, int res);

/* The next run of a read that lies in both files. */
static void read_next(struct snapshot *s, struct step *st)
{
	struct blk_req *r = st->parent;
	u64 run, skip = st->pos, left;
	unsigned n = 0;
	bool over = run_at(s, r->off + st->pos, r->bytes - st->pos, &run);

	left = run;
	for (unsigned i = 0; i < r->niov && left; i++) {
		u64 len = r->iov[i].iov_len;
		if (skip >= len) {
			skip -= len;
			continue;
		}
		st->iov[n].iov_base = (u8 *)r->iov[i].iov_base + skip;
		st->iov[n].iov_len = MIN(len - skip, left);
		left -= st->iov[n++].iov_len;
		skip = 0;
	}
	st->sub = (struct blk_req){ .op = BLK_READ, .off = r->off + st->pos, .bytes = run, .iov = st->iov, .niov = n };
	st->sub.complete = read_done;
	st->pos += run;
	struct blk_node *to = over ? s->over : s->base;
	to->drv->submit(to, &st->sub);
}

static void read_done(struct blk_req *sub, int res)
{
	struct step *st = container_of(sub, struct step, sub);
	struct snapshot *s = container_of(st->parent->node, struct snapshot, n);

	if (res < 0 || st->pos == st->parent->bytes)
		step_end(st, res);
	else
		read_next(s, st);
}

/* ---- writes ---- */

static void write_done(struct blk_req *sub, int res)
{
	struct step *st = container_of(sub, struct step, sub);
	struct snapshot *s = container_of(st->parent->node, struct snapshot, n);

	if (res == 0)
		set_have(s, sub->off, sub->bytes); /* INV-SN-1 */
	step_end(st, res);
}

static void start_write(struct snapshot *s, struct blk_req *r)
{
	struct step *st = step_new(r, 0);

	st->sub = (struct blk_req){ .op = r->op, .off = r->off, .bytes = r->bytes, .iov = r->iov, .niov = r->niov };
	/* A discarded sector must not show the image's bytes again: it reads as zeros from then on. */
	if (r->op == BLK_DISCARD)
		st->sub.op = BLK_WRITE_ZEROES;
	st->sub.may_unmap = true;
	st->sub.complete = write_done;
	s->over->drv->submit(s->over, &st->sub);
}

static void snapshot_submit(struct blk_node *n, struct blk_req *r)
{
	struct snapshot *s = container_of(n, struct snapshot, n);
	u64 run;

	r->node = n;
	switch (r->op) {
	case BLK_READ: {
		bool over = run_at(s, r->off, r->bytes, &run);
		struct blk_node *to = over ? s->over : s->base;
		if (run == r->bytes)
			to->drv->submit(to, r);
		else
			read_next(s, step_new(r, r->niov));
		return;
	}
	case BLK_FLUSH: /* nothing here outlives the process */
		node_done_later(n, r, 0);
		return;
	case BLK_WRITE:
	case BLK_DISCARD:
	case BLK_WRITE_ZEROES:
		start_write(s, r);
		return;
	}
}

static void snapshot_close(struct blk_node *n)
{
	struct snapshot *s = container_of(n, struct snapshot, n);

	s->base->drv->close(s->base);
	s->over->drv->close(s->over);
	munmap(s->map, s->nclusters * sizeof(*s->map));
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static const struct blk_driver snapshot_driver = {
	.name = "snapshot",
	.submit = snapshot_submit,
	.close = snapshot_close,
};

int blk_snapshot_open(struct blk_node **out, struct blk_node *base, struct err *e)
{
	struct blk_node *over;
	int rc = raw_open_temp(&over, base->en, base->bytes, e);

	if (rc < 0)
		return rc;
	u64 nclusters = base->bytes / (CLUSTER_SECTORS * BLK_SECTOR) + 1;
	void *map = mmap(NULL, nclusters * sizeof(struct cluster), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED) {
		rc = errno;
		over->drv->close(over);
		return err_sys(e, rc, "cannot make the map for snapshot=on");
	}
	struct snapshot *s = xcalloc(1, sizeof(*s));
	s->n = (struct blk_node){ .drv = &snapshot_driver, .en = base->en, .bytes = base->bytes, .can_discard = true };
	s->base = base;
	s->over = over;
	s->map = map;
	s->nclusters = nclusters;
	pthread_mutex_init(&s->lock, NULL);
	*out = &s->n;
	return 0;
}
