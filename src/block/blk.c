/* SPDX-License-Identifier: GPL-2.0-or-later */
/* blk.c - a disk: checks requests, hands them to the top of its stack, counts what is in flight. See block.h. */
#include "block/blk.h"
#include "block/hostio.h"

static void top_complete(struct blk_req *r, int res)
{
	struct blk *b = r->blk;

	if (res < 0 && res != -EINVAL && res != -EROFS && res != -ECANCELED)
		atomic_fetch_add(&b->errors, 1);
	r->done(r, res); /* r may be gone now */
	blk_leave(b);
}

/* 0, or why the request cannot be. */
static int check(const struct blk *b, const struct blk_req *r)
{
	u64 sum = 0;

	if (r->op == BLK_FLUSH)
		return 0;
	if ((r->off | r->bytes) % BLK_SECTOR || r->off > b->bytes || r->bytes > b->bytes - r->off)
		return -EINVAL;
	if (r->op != BLK_READ && b->readonly)
		return -EROFS;
	if (r->op != BLK_READ && r->op != BLK_WRITE)
		return 0;
	if (r->niov > BLK_IOV_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < r->niov; i++)
		if (__builtin_add_overflow(sum, (u64)r->iov[i].iov_len, &sum))
			return -EINVAL;
	return sum == r->bytes ? 0 : -EINVAL;
}

void blk_start(struct blk *b, struct blk_req *r)
{
	int rc = check(b, r);

	if (rc < 0 || (r->op != BLK_FLUSH && !r->bytes))
		node_done_later(b->top, r, rc);
	else
		node_submit(b->top, r);
}

void blk_submit(struct blk *b, struct blk_req *r)
{
	r->blk = b;
	r->complete = top_complete;
	r->depth = 0;
	r->skip = 0;
	unsigned was = atomic_fetch_add(&b->state, 1);
	if (!(was & BLK_PAUSED) || !blk_hold(b, r))
		blk_start(b, r);
}

void blk_plug(struct blk *b)
{
	blk_queue_plug(&b->q);
}

void blk_unplug(struct blk *b)
{
	blk_queue_unplug(&b->q);
}

void blk_drain(struct blk *b)
{
	blk_queue_reap(&b->q, false);
	while (blk_in_flight(b)) {
		/* The time-out is for completions that another thread reaps. */
		blk_queue_wait(&b->q, 2);
		node_poll(b->top);
		blk_queue_reap(&b->q, false);
	}
}

void blk_cancel(struct blk *b)
{
	blk_queue_cancel(&b->q, true);
	node_cancel(b->top, true);
	blk_cancel_held(b);
	blk_drain(b);
	node_cancel(b->top, false);
	blk_queue_cancel(&b->q, false);
}

bool blk_is_snapshot(const struct blk *b)
{
	return b->snapshot;
}

u64 blk_mtime_ns(const struct blk *b)
{
	return b->top->drv->mtime_ns ? b->top->drv->mtime_ns(b->top) : 0;
}

void blk_set_client(struct blk *b, const struct blk_client *c)
{
	b->q.client = *c;
}

u64 blk_bytes(const struct blk *b)
{
	return b->bytes;
}

bool blk_readonly(const struct blk *b)
{
	return b->readonly;
}

bool blk_can_discard(const struct blk *b)
{
	return b->can_discard;
}

const char *blk_format_of(const struct blk *b)
{
	return b->format;
}

u64 blk_errors(const struct blk *b)
{
	return atomic_load(&b->errors);
}

const char *blk_name(const struct blk *b)
{
	return b->name;
}

const char *blk_trouble(struct blk *b)
{
	return node_trouble(b->top);
}

const char *blk_engine_name(const struct blk *b)
{
	return b->io->ops->name;
}

struct blk_node *blk_top(struct blk *b)
{
	return b->top;
}
