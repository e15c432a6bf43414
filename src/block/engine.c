/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine.c - what both engines share: choosing one, reaping, wake-ups. See engine.h. */
#include "block/engine.h"
#include "base/clock.h"
#include "base/log.h"

#include <poll.h>
#include <sys/eventfd.h>

void engine_wake(struct hostio *en)
{
	u64 one = 1;
	ssize_t r = write(en->evfd, &one, sizeof(one));
	(void)r; /* full: it is awake already */
}

static void clear_wake(struct hostio *en)
{
	u64 n;
	ssize_t r = read(en->evfd, &n, sizeof(n));
	(void)r; /* somebody else may have been first */
}

void engine_wait(struct hostio *en, int timeout_ms)
{
	struct pollfd p = { en->evfd, POLLIN, 0 };

	if (poll(&p, 1, timeout_ms) > 0)
		clear_wake(en);
}

void engine_reap(struct hostio *en, bool locked)
{
	/* What is submitted by done() may be finished at once, and so on without end. */
	for (u64 until = 0;; until = until ? until : loop_until()) {
		if (until && clock_mono_ns() >= until) {
			engine_wake(en);
			return;
		}
		struct blk_io *io = en->ops->collect(en);
		if (!io)
			return;
		/* What done() submits goes out in one batch. */
		en->ops->plug(en);
		if (!locked && en->client.begin)
			en->client.begin(en->client.opaque);
		while (io) {
			struct blk_io *next = io->next;
			io->done(io, io->res);
			io = next;
		}
		if (!locked && en->client.end)
			en->client.end(en->client.opaque);
		en->ops->unplug(en, false);
	}
}

void engine_plug(struct hostio *en)
{
	en->ops->plug(en);
}

void engine_unplug(struct hostio *en)
{
	en->ops->unplug(en, true);
	engine_reap(en, true);
	en->ops->loud(en);
}

static void on_event(void *opaque, u32 events)
{
	struct hostio *en = opaque;

	(void)events;
	clear_wake(en);
	/* The plug and unplug restart what an earlier submission could not. */
	en->ops->plug(en);
	en->ops->unplug(en, false);
	engine_reap(en, false);
}

int engine_new(struct hostio **out, struct loop *loop, enum blk_engine kind, struct err *e)
{
	struct hostio *en = NULL;
	struct err why = { 0 };
	int rc = -ENOSYS;

	if (kind != BLK_ENGINE_POOL) {
		rc = hostio_uring_new(&en, &why);
		if (rc < 0 && kind == BLK_ENGINE_URING) {
			if (e)
				*e = why;
			return rc;
		}
		if (rc < 0)
			log_info("%s; disk I/O uses threads", why.msg);
	}
	if (rc < 0)
		rc = hostio_pool_new(&en, e);
	if (rc < 0)
		return rc;
	en->loop = loop;
	rc = loop_add(loop, &en->lfd, en->evfd, EPOLLIN, on_event, en);
	if (rc < 0) {
		engine_free(en);
		return err_sys(e, -rc, "cannot watch for disk I/O completions");
	}
	*out = en;
	return 0;
}

void engine_free(struct hostio *en)
{
	if (!en)
		return;
	if (en->loop)
		loop_del(en->loop, &en->lfd);
	en->ops->free(en);
}

unsigned blk_io_piece(const struct blk_io *io, struct iovec *cut, const struct iovec **iov, u64 *bytes)
{
	unsigned n = 0;

	*iov = io->iov;
	*bytes = io->bytes;
	if (io->bytes <= IO_PIECE_BYTES)
		return io->niov;
	*bytes = 0;
	while (n < io->niov && *bytes + io->iov[n].iov_len <= IO_PIECE_BYTES)
		*bytes += io->iov[n++].iov_len;
	if (*bytes)
		return n;
	*cut = (struct iovec){ io->iov[n].iov_base, IO_PIECE_BYTES }; /* vectors before it are empty */
	*iov = cut;
	*bytes = IO_PIECE_BYTES;
	return 1;
}

void blk_io_advance(struct blk_io *io, u64 n)
{
	io->off += n;
	io->bytes -= n;
	if (!io->tail) {
		io->tail = xcalloc(io->niov, sizeof(*io->tail));
		memcpy(io->tail, io->iov, io->niov * sizeof(*io->tail));
		io->iov = io->tail;
	}
	struct iovec *v = (struct iovec *)(uintptr_t)io->iov; /* within tail */
	while (io->niov && n >= v->iov_len) {
		n -= v->iov_len;
		v++;
		io->niov--;
	}
	if (io->niov) {
		v->iov_base = (u8 *)v->iov_base + n;
		v->iov_len -= n;
	}
	io->iov = v;
}

int blk_io_end_of_file(const struct blk_io *io)
{
	if (io->op != IO_READ)
		return -ENOSPC;
	if (io->off < io->zero_from)
		return -EIO; /* the file became shorter */
	for (unsigned i = 0; i < io->niov; i++)
		memset(io->iov[i].iov_base, 0, io->iov[i].iov_len);
	return 0;
}
