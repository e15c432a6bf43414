/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pause.c - holding the requests of a running disk back, and changing its stack meanwhile. See block.h.
 *
 * Theory: a disk is in one of three states, by blk.state and the list of pauses:
 *   running   BLK_PAUSED is clear. Requests go to the top at once.
 *   pausing   BLK_PAUSED is set, requests are in flight. New ones wait in blk.waiting, uncounted.
 *   drained   BLK_PAUSED is set, nothing is in flight: the state is BLK_PAUSED exactly. Only now may the top change.
 * Who brings the state to BLK_PAUSED arms a timer for now; it fires on the loop's thread, looks again (a submitter that
 * is about to be held counts for a moment) and tells those who have not been told.
 */
#include "block/blk.h"

static void tell(void *opaque)
{
	struct blk *b = opaque;

	for (;;) {
		struct blk_pause *p = NULL;

		pthread_mutex_lock(&b->lock);
		if (atomic_load(&b->state) == BLK_PAUSED)
			for (p = b->pauses; p && p->told;)
				p = p->next;
		if (p)
			p->told = true;
		pthread_mutex_unlock(&b->lock);
		if (!p)
			return;
		p->drained(p->opaque);
	}
}

void blk_pause_init(struct blk *b)
{
	pthread_mutex_init(&b->lock, NULL);
	b->waiting_tail = &b->waiting;
	loop_timer_init(b->q.loop, &b->drained, tell, b);
}

void blk_pause_fini(struct blk *b)
{
	must(!b->pauses && !b->waiting);
	loop_timer_fini(&b->drained);
	pthread_mutex_destroy(&b->lock);
}

void blk_leave(struct blk *b)
{
	if (atomic_fetch_sub(&b->state, 1) == (BLK_PAUSED | 1))
		loop_timer_arm(&b->drained, 0);
}

bool blk_hold(struct blk *b, struct blk_req *r)
{
	pthread_mutex_lock(&b->lock);
	bool held = b->pauses;
	if (held) {
		r->end.next = NULL;
		*b->waiting_tail = &r->end;
		b->waiting_tail = &r->end.next;
	}
	pthread_mutex_unlock(&b->lock);
	if (held)
		blk_leave(b);
	return held;
}

static struct blk_done *take_waiting_locked(struct blk *b)
{
	struct blk_done *list = b->waiting;

	b->waiting = NULL;
	b->waiting_tail = &b->waiting;
	return list;
}

void blk_cancel_held(struct blk *b)
{
	pthread_mutex_lock(&b->lock);
	struct blk_done *d = take_waiting_locked(b);
	pthread_mutex_unlock(&b->lock);
	for (struct blk_done *next; d; d = next) {
		next = d->next;
		atomic_fetch_add(&b->state, 1);
		node_done_later(b->top, container_of(d, struct blk_req, end), -ECANCELED);
	}
}

void blk_pause(struct blk *b, struct blk_pause *p)
{
	p->told = false;
	pthread_mutex_lock(&b->lock);
	p->next = b->pauses;
	b->pauses = p;
	unsigned was = atomic_fetch_or(&b->state, BLK_PAUSED);
	pthread_mutex_unlock(&b->lock);
	if (!(was & ~BLK_PAUSED))
		loop_timer_arm(&b->drained, 0);
}

void blk_resume(struct blk *b, struct blk_pause *p)
{
	struct blk_done *d = NULL;

	pthread_mutex_lock(&b->lock);
	struct blk_pause **at = &b->pauses;
	while (*at != p) {
		must(*at);
		at = &(*at)->next;
	}
	*at = p->next;
	if (!b->pauses) {
		atomic_fetch_and(&b->state, ~BLK_PAUSED);
		d = take_waiting_locked(b);
	}
	pthread_mutex_unlock(&b->lock);
	if (!d)
		return;
	blk_queue_batch(&b->q, true);
	for (struct blk_done *next; d; d = next) {
		next = d->next;
		atomic_fetch_add(&b->state, 1);
		blk_start(b, container_of(d, struct blk_req, end));
	}
	blk_queue_batch(&b->q, false);
}

bool blk_is_drained(struct blk *b)
{
	pthread_mutex_lock(&b->lock);
	const struct blk_pause *p = b->pauses;
	while (p && !p->told)
		p = p->next;
	pthread_mutex_unlock(&b->lock);
	return p;
}

struct blk_node *blk_swap_top(struct blk *b, struct blk_node *top)
{
	struct blk_node *old = b->top;

	must(blk_is_drained(b) && top->bytes == b->bytes);
	b->top = top;
	b->snapshot = node_is_temporary(top);
	return old;
}
