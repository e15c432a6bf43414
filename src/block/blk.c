/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blk.c - a disk: opens its stack of nodes, checks requests, counts what is in flight. See block.h.
 */
#include "base/log.h"
#include "block/node.h"

#include <stdatomic.h>

struct blk {
	struct hostio *en;
	struct blk_node *top;
	bool readonly; /* as the guest sees it */
	bool snapshot;
	char *name;
	_Atomic unsigned pending; /* submitted, done() not yet returned */
	_Atomic u64 errors;
};

static void later_done(struct blk_io *io, int res)
{
	node_done(container_of(io, struct blk_req, io), res);
}

void node_done_later(struct blk_node *n, struct blk_req *r, int res)
{
	r->io = (struct blk_io){ .op = IO_NOP, .res = res, .done = later_done };
	engine_submit(n->en, &r->io);
}

static void top_complete(struct blk_req *r, int res)
{
	struct blk *b = r->blk;

	if (res < 0 && res != -EINVAL && res != -EROFS && res != -ECANCELED)
		atomic_fetch_add(&b->errors, 1);
	r->done(r, res); /* r may be gone now */
	atomic_fetch_sub(&b->pending, 1);
}

/* 0, or why the request cannot be. */
static int check(const struct blk *b, const struct blk_req *r)
{
	u64 sum = 0;

	if (r->op == BLK_FLUSH)
		return 0;
	if ((r->off | r->bytes) % BLK_SECTOR || r->off > b->top->bytes || r->bytes > b->top->bytes - r->off)
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

void blk_submit(struct blk *b, struct blk_req *r)
{
	int rc = check(b, r);

	r->blk = b;
	r->complete = top_complete;
	atomic_fetch_add(&b->pending, 1);
	if (rc < 0 || (r->op != BLK_FLUSH && !r->bytes))
		node_done_later(b->top, r, rc);
	else
		b->top->drv->submit(b->top, r);
}

void blk_plug(struct blk *b)
{
	engine_plug(b->en);
}

void blk_unplug(struct blk *b)
{
	engine_unplug(b->en);
}

void blk_drain(struct blk *b)
{
	engine_reap(b->en, false);
	while (atomic_load(&b->pending)) {
		/* The time-out is for completions that another thread reaps. */
		engine_wait(b->en, 2);
		engine_reap(b->en, false);
	}
}

void blk_cancel(struct blk *b)
{
	b->en->ops->cancel(b->en, true);
	blk_drain(b);
	b->en->ops->cancel(b->en, false);
}

int blk_sync(struct blk *b)
{
	blk_drain(b);
	return b->readonly || !b->top->drv->sync ? 0 : b->top->drv->sync(b->top);
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
	b->en->client = *c;
}

u64 blk_bytes(const struct blk *b)
{
	return b->top->bytes;
}

bool blk_readonly(const struct blk *b)
{
	return b->readonly;
}

bool blk_can_discard(const struct blk *b)
{
	return b->top->can_discard && !b->readonly;
}

u64 blk_errors(const struct blk *b)
{
	return atomic_load(&b->errors);
}

const char *blk_name(const struct blk *b)
{
	return b->name;
}

const char *blk_engine_name(const struct blk *b)
{
	return b->en->ops->name;
}

int blk_open(struct blk **out, struct loop *loop, const struct blk_params *p, struct err *e)
{
	struct blk_node *top, *base;
	struct hostio *en;

	if (p->format && strcmp(p->format, "raw"))
		return err_set(e, EINVAL, "disk image '%s': format '%s' is not known; known: raw",
			       p->path ? p->path : "", p->format);
	if (!p->path && p->fd <= 0)
		return err_set(e, EINVAL, "a disk needs an image: name a file or a block device");
	int rc = engine_new(&en, loop, p->engine, e);
	if (rc < 0)
		return rc;
	rc = raw_open(&base, en, p, e);
	if (rc < 0) {
		engine_free(en);
		return rc;
	}
	top = base;
	if (p->snapshot && !p->readonly) {
		rc = blk_snapshot_open(&top, base, e);
		if (rc < 0) {
			base->drv->close(base);
			engine_free(en);
			return rc;
		}
	}
	struct blk *b = xcalloc(1, sizeof(*b));
	b->en = en;
	b->top = top;
	b->readonly = p->readonly;
	b->snapshot = top != base;
	b->name = xstrdup(p->path ? p->path : "(given descriptor)");
	log_info("disk '%s': %llu MiB, %s%s%s", b->name, (unsigned long long)(top->bytes / MIB), en->ops->name,
		 b->readonly ? ", read-only" : "", top != base ? ", snapshot" : "");
	*out = b;
	return 0;
}

void blk_close(struct blk *b)
{
	if (!b)
		return;
	blk_drain(b);
	if (!b->readonly && b->top->drv->sync) {
		int rc = b->top->drv->sync(b->top);
		if (rc < 0)
			log_error("disk '%s': the last flush failed (%s): recent writes may be lost", b->name,
				  strerror(-rc));
	}
	b->top->drv->close(b->top);
	engine_free(b->en);
	free(b->name);
	free(b);
}
