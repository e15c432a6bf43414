/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2_cache.c - slices of L2 tables or of blocks of counts, in memory until they are flushed.
 *
 * A slice is found by its place in the file (hash chains). When the cache is full, a hand goes round and takes the
 * first slice that was not used since it came by last. One that is dirty is made clean first by the cache's owner, who
 * knows in which order (qcow2_flush.c).
 */
#include "image/qcow2_int.h"

struct slot {
	u64 off;
	u8 *data; /* at data - 4: its number; NULL: never used */
	bool used, dirty, valid;
	u32 next; /* of the chain; number + 1 */
};

struct qcow2_cache {
	struct qcow2 *q;
	int (*clean)(struct qcow2 *q, u64 off);
	struct slot *slots;
	u32 *heads; /* as many as slots, a power of 2 */
	u32 n, hand, filled;
	u32 ndirty;
};

#define FRONT 16u /* bytes before a slice, where its number is */

struct qcow2_cache *qcow2_cache_new(struct qcow2 *q, u64 bytes, int (*clean)(struct qcow2 *q, u64 off))
{
	struct qcow2_cache *c = xcalloc(1, sizeof(*c));

	/* Slots are few in number where slices are small, so that the table of them stays small as well. */
	c->n = (u32)MIN(bytes / qcow2_slice_bytes(q), 16384);
	c->q = q;
	c->clean = clean;
	c->slots = xcalloc(c->n, sizeof(*c->slots));
	c->heads = xcalloc(c->n, sizeof(*c->heads));
	return c;
}

void qcow2_cache_free(struct qcow2_cache *c)
{
	if (!c)
		return;
	for (u32 i = 0; i < c->filled; i++)
		free(c->slots[i].data - FRONT);
	free(c->slots);
	free(c->heads);
	free(c);
}

static u32 *head_of(struct qcow2_cache *c, u64 off)
{
	u64 h = off / qcow2_slice_bytes(c->q) * 0x9e3779b97f4a7c15ull;

	return &c->heads[(h >> 32) & (c->n - 1)];
}

static struct slot *find(struct qcow2_cache *c, u64 off)
{
	for (u32 i = *head_of(c, off); i; i = c->slots[i - 1].next)
		if (c->slots[i - 1].off == off)
			return &c->slots[i - 1];
	return NULL;
}

static void unlink_slot(struct qcow2_cache *c, struct slot *s)
{
	u32 number = (u32)(s - c->slots) + 1, *at = head_of(c, s->off);

	while (*at != number)
		at = &c->slots[*at - 1].next;
	*at = s->next;
	s->valid = false;
	if (s->dirty)
		c->ndirty--;
	s->dirty = false;
}

static int take(struct qcow2_cache *c, struct slot **out)
{
	struct slot *s;

	if (c->filled < c->n) {
		s = &c->slots[c->filled];
		s->data = malloc(FRONT + qcow2_slice_bytes(c->q));
		if (!s->data)
			return -ENOMEM;
		memcpy(s->data, &c->filled, sizeof(c->filled));
		c->filled++;
		s->data += FRONT;
		*out = s;
		return 0;
	}
	for (;;) {
		s = &c->slots[c->hand];
		c->hand = (c->hand + 1) & (c->n - 1);
		if (s->valid && s->used) {
			s->used = false;
			continue;
		}
		if (s->valid && s->dirty) {
			int rc = c->clean(c->q, s->off);
			if (rc < 0)
				return rc;
			must(!s->dirty);
		}
		if (s->valid)
			unlink_slot(c, s);
		*out = s;
		return 0;
	}
}

int qcow2_cache_get(struct qcow2_cache *c, u64 off, u8 **data)
{
	struct slot *s = find(c, off);

	if (!s) {
		int rc = take(c, &s);
		if (rc < 0)
			return rc;
		/* Until it is filled it is nobody's: a failed read leaves it free. */
		rc = image_pread(c->q->file, s->data, qcow2_slice_bytes(c->q), off);
		if (rc < 0)
			return rc;
		u32 *head = head_of(c, off);
		s->off = off;
		s->valid = true;
		s->next = *head;
		*head = (u32)(s - c->slots) + 1;
	}
	s->used = true;
	*data = s->data;
	return 0;
}

void qcow2_cache_dirty(struct qcow2_cache *c, const u8 *data)
{
	u32 number;

	memcpy(&number, data - FRONT, sizeof(number));
	c->ndirty += !c->slots[number].dirty;
	c->slots[number].dirty = true;
}

static int write_slot(struct qcow2_cache *c, struct slot *s)
{
	int rc = image_pwrite(c->q->file, s->data, qcow2_slice_bytes(c->q), s->off);

	if (rc == 0) {
		s->dirty = false;
		c->ndirty--;
	}
	return rc;
}

int qcow2_cache_write(struct qcow2_cache *c)
{
	int rc = 0;

	for (u32 i = 0; i < c->filled && c->ndirty && rc == 0; i++)
		if (c->slots[i].dirty)
			rc = write_slot(c, &c->slots[i]);
	return rc;
}

int qcow2_cache_write_one(struct qcow2_cache *c, u64 off)
{
	struct slot *s = find(c, off);

	return s && s->dirty ? write_slot(c, s) : 0;
}

void qcow2_cache_forget(struct qcow2_cache *c, u64 off, u64 bytes)
{
	u32 step = qcow2_slice_bytes(c->q);

	for (u64 at = off; at < off + bytes; at += step) {
		struct slot *s = find(c, at);
		if (s)
			unlink_slot(c, s);
	}
}

bool qcow2_cache_is_dirty(const struct qcow2_cache *c)
{
	return c->ndirty;
}
