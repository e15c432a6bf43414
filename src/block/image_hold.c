/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_hold.c - see image_hold.h. */
#include "block/image_hold.h"

void image_holds_init(struct image_holds *s)
{
	*s = (struct image_holds){ 0 };
	s->waiting_tail = &s->waiting;
}

static bool meets(const struct blk_hold *list, const struct blk_hold *stop, const struct blk_hold *h)
{
	for (; list != stop; list = list->next)
		if (list->first < h->end && h->first < list->end && (list->kind == HOLD_ALONE || h->kind == HOLD_ALONE))
			return true;
	return false;
}

static bool must_wait(const struct image_holds *s, const struct blk_hold *h)
{
	return meets(s->alone, NULL, h) || (h->kind == HOLD_ALONE && meets(s->shared, NULL, h));
}

static void hold(struct image_holds *s, struct blk_hold *h)
{
	struct blk_hold **list = h->kind == HOLD_ALONE ? &s->alone : &s->shared;

	h->next = *list;
	h->at = list;
	if (h->next)
		h->next->at = &h->next;
	*list = h;
}

bool image_hold_get(struct image_holds *s, struct blk_hold *h, enum image_hold_kind kind, u64 first, u64 end)
{
	h->kind = (u8)kind;
	h->first = first;
	h->end = end;
	h->next = NULL;
	if (must_wait(s, h) || meets(s->waiting, NULL, h)) {
		*s->waiting_tail = h;
		s->waiting_tail = &h->next;
		return false;
	}
	hold(s, h);
	return true;
}

struct blk_hold *image_hold_put(struct image_holds *s, struct blk_hold *h)
{
	struct blk_hold *out = NULL, **tail = &out;

	*h->at = h->next;
	if (h->next)
		h->next->at = h->at;
	h->kind = HOLD_NONE;
	for (struct blk_hold **at = &s->waiting; *at;) {
		struct blk_hold *w = *at;
		if (must_wait(s, w) || meets(s->waiting, w, w)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		hold(s, w);
		w->granted = NULL;
		*tail = w;
		tail = &w->granted;
	}
	s->waiting_tail = &s->waiting;
	while (*s->waiting_tail)
		s->waiting_tail = &(*s->waiting_tail)->next;
	return out;
}

struct blk_hold *image_holds_give_up(struct image_holds *s)
{
	struct blk_hold *out = s->waiting;

	for (struct blk_hold *h = out; h; h = h->next) {
		h->kind = HOLD_NONE;
		h->granted = h->next;
	}
	s->waiting = NULL;
	s->waiting_tail = &s->waiting;
	return out;
}
