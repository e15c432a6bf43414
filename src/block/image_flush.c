/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_flush.c - what was written to an image, by whom, and whether it is durable (INV-IN-1). See image_node.c. */
#include "block/image_node_int.h"

#include <unistd.h>

void image_node_touch(struct stamp *s)
{
	atomic_fetch_add(&s->now, 1);
}

/* It is durable as it was when `now` was read. */
static void settle(struct stamp *s, unsigned now)
{
	unsigned was = atomic_load(&s->durable);

	while ((int)(now - was) > 0 && !atomic_compare_exchange_weak(&s->durable, &was, now))
		;
}

static void flushed(struct blk_done *d, int res)
{
	struct blk_req *r = image_node_asked(d);
	struct image_node *w = image_node_of(r);

	if (res == 0)
		settle(&w->changed, (unsigned)node_frame(r)->own[OWN_STAMP]);
	image_node_finish(w, r, res);
}

static void synced(struct blk_done *d, int res)
{
	struct blk_req *r = container_of(d, struct blk_req, io.done);
	struct image_node *w = image_node_of(r);

	if (res < 0) {
		image_node_finish(w, r, res);
		return;
	}
	settle(&w->written[r->pos], (unsigned)node_frame(r)->own[OWN_STAMP]);
	r->pos++;
	image_node_flush(w, r);
}

/* Is there anything to make durable? The stamp is kept for settle(). */
static bool wants_flush(struct stamp *s, struct blk_req *r)
{
	unsigned now = atomic_load(&s->now);

	node_frame(r)->own[OWN_STAMP] = now;
	return now != atomic_load(&s->durable);
}

/* r->pos: which file is the next. */
void image_node_flush(struct image_node *w, struct blk_req *r)
{
	while (r->pos < w->files.n && !wants_flush(&w->written[r->pos], r))
		r->pos++;
	if (r->pos < w->files.n) {
		r->io.done.fn = synced;
		r->io.op = IO_DATASYNC;
		r->io.fd = w->files.file[r->pos].fd;
		hostio_submit(w->io, &r->io);
	} else if (wants_flush(&w->changed, r)) {
		image_node_ask(w, r, SERVE_FLUSH, 0, 0, flushed);
	} else {
		image_node_finish_later(w, r, 0);
	}
}

int image_node_sync(struct image_node *w)
{
	struct blk_ask q = { .op = SERVE_FLUSH };
	int rc = 0;

	for (unsigned i = 0; i < w->files.n; i++) {
		unsigned now = atomic_load(&w->written[i].now);
		if (now == atomic_load(&w->written[i].durable))
			continue;
		if (fdatasync(w->files.file[i].fd) < 0)
			rc = -errno;
		else
			settle(&w->written[i], now);
	}
	unsigned now = atomic_load(&w->changed.now);
	if (now != atomic_load(&w->changed.durable)) {
		int r = image_ask_wait(w->asker, &q);
		if (r == 0)
			settle(&w->changed, now);
		rc = rc ? rc : r;
	}
	return rc;
}
