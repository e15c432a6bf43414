/* SPDX-License-Identifier: GPL-2.0-or-later */
/* queue.c - see queue.h. */
#include "block/queue.h"
#include "base/clock.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

void blk_queue_wake(struct blk_queue *q)
{
	u64 one = 1;
	ssize_t r = write(q->evfd, &one, sizeof(one));
	(void)r; /* full: it is awake already */
}

static void clear_wake(struct blk_queue *q)
{
	u64 n;
	ssize_t r = read(q->evfd, &n, sizeof(n));
	(void)r; /* somebody else may have been first */
}

void blk_queue_wait(struct blk_queue *q, int timeout_ms)
{
	int link = atomic_load(&q->link);
	struct pollfd p[2] = { { q->evfd, POLLIN, 0 }, { link, POLLIN, 0 } };

	if (poll(p, link ? 2 : 1, timeout_ms) > 0 && p[0].revents)
		clear_wake(q);
}

void blk_queue_push(struct blk_queue *q, struct blk_done *d, int res)
{
	struct blk_done *head = atomic_load_explicit(&q->ended, memory_order_relaxed);

	d->res = res;
	do
		d->next = head;
	while (!atomic_compare_exchange_weak(&q->ended, &head, d));
	if (!head && !atomic_load(&q->quiet)) /* INV-BQ-1 */
		blk_queue_wake(q);
}

void blk_queue_loud(struct blk_queue *q)
{
	atomic_fetch_sub(&q->quiet, 1);
	if (atomic_load(&q->ended)) /* INV-BQ-1 */
		blk_queue_wake(q);
}

/* All that has ended, in order as far as one source goes. */
static struct blk_done *collect(struct blk_queue *q)
{
	struct blk_done *list = NULL, **tail;

	if (atomic_load(&q->ended))
		for (struct blk_done *d = atomic_exchange(&q->ended, NULL), *next; d; d = next) {
			next = d->next;
			d->next = list;
			list = d;
		}
	for (struct blk_source *s = q->sources; s; s = s->next) {
		if (!s->ops->collect)
			continue;
		for (tail = &list; *tail;)
			tail = &(*tail)->next;
		*tail = s->ops->collect(s);
	}
	return list;
}

static void plug_sources(struct blk_queue *q)
{
	for (struct blk_source *s = q->sources; s; s = s->next)
		if (s->ops->plug)
			s->ops->plug(s);
}

static void unplug_sources(struct blk_queue *q, bool quiet)
{
	for (struct blk_source *s = q->sources; s; s = s->next)
		if (s->ops->unplug)
			s->ops->unplug(s, quiet);
}

void blk_queue_reap(struct blk_queue *q, bool locked)
{
	/* What is submitted by fn() may have ended at once, and so on without end. */
	for (u64 until = 0;; until = until ? until : loop_until()) {
		if (until && clock_mono_ns() >= until) {
			blk_queue_wake(q);
			return;
		}
		struct blk_done *d = collect(q);
		if (!d)
			return;
		/* What fn() submits goes out in one batch. */
		plug_sources(q);
		if (!locked && q->client.begin)
			q->client.begin(q->client.opaque);
		while (d) {
			struct blk_done *next = d->next;
			d->fn(d, d->res);
			d = next;
		}
		if (!locked && q->client.end)
			q->client.end(q->client.opaque);
		unplug_sources(q, false);
	}
}

void blk_queue_plug(struct blk_queue *q)
{
	atomic_fetch_add(&q->quiet, 1);
	plug_sources(q);
}

void blk_queue_unplug(struct blk_queue *q)
{
	unplug_sources(q, true);
	blk_queue_reap(q, true);
	for (struct blk_source *s = q->sources; s; s = s->next)
		if (s->ops->loud)
			s->ops->loud(s);
	blk_queue_loud(q);
}

void blk_queue_batch(struct blk_queue *q, bool begin)
{
	if (begin)
		plug_sources(q);
	else
		unplug_sources(q, false);
}

void blk_queue_cancel(struct blk_queue *q, bool on)
{
	for (struct blk_source *s = q->sources; s; s = s->next)
		if (s->ops->cancel)
			s->ops->cancel(s, on);
}

static void on_event(void *opaque, u32 events)
{
	struct blk_queue *q = opaque;

	(void)events;
	clear_wake(q);
	/* Restarts what an earlier submission could not start. */
	blk_queue_batch(q, true);
	blk_queue_batch(q, false);
	blk_queue_reap(q, false);
}

void blk_queue_add(struct blk_queue *q, struct blk_source *s)
{
	s->q = q;
	s->next = q->sources;
	q->sources = s;
}

void blk_queue_remove(struct blk_queue *q, struct blk_source *s)
{
	struct blk_source **at = &q->sources;

	while (*at != s) {
		must(*at);
		at = &(*at)->next;
	}
	*at = s->next;
}

int blk_queue_init(struct blk_queue *q, struct loop *loop, struct err *e)
{
	*q = (struct blk_queue){ .loop = loop };
	q->evfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->evfd < 0)
		return err_sys(e, errno, "cannot make an event fd for disk I/O");
	int rc = loop_add(loop, &q->lfd, q->evfd, EPOLLIN, on_event, q);
	if (rc < 0) {
		close(q->evfd);
		return err_sys(e, -rc, "cannot watch for disk I/O completions");
	}
	return 0;
}

void blk_queue_fini(struct blk_queue *q)
{
	must(!atomic_load(&q->ended));
	loop_del(q->loop, &q->lfd);
	close(q->evfd);
}
