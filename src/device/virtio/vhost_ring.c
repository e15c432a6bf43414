/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhost_ring.c - see vhost_ring.h. */
#include "device/virtio/vhost_ring.h"

#include <sys/eventfd.h>

#define DESC_F_NEXT 1
#define DESC_F_WRITE 2
#define DESC_F_INDIRECT 4
#define USED_F_NO_NOTIFY 1

static u16 load16(const u8 *p)
{
	return __atomic_load_n((const u16 *)(const void *)p, __ATOMIC_ACQUIRE);
}

static void store16(u8 *p, u16 v)
{
	__atomic_store_n((u16 *)(void *)p, v, __ATOMIC_RELEASE);
}

static u8 *used_event(const struct vhost_ring *r)
{
	return r->mem + VHOST_RING_AVAIL + 4 + 2 * VHOST_RING_SIZE;
}

static u8 *avail_event(const struct vhost_ring *r)
{
	return r->mem + VHOST_RING_USED + 4 + 8 * VHOST_RING_SIZE;
}

/* ---- the books ---- */

static void link_last(struct vhost_ring *r, u16 id)
{
	struct vhost_slot *s = &r->slot[id];

	s->used = true;
	s->next = VHOST_RING_NONE;
	s->prev = r->tail;
	*(r->tail == VHOST_RING_NONE ? &r->head : &r->slot[r->tail].next) = id;
	r->tail = id;
	r->inflight++;
}

static unsigned descs_of(const struct vhost_ring *r, const struct virtio_chain *ch)
{
	return r->indirect ? 1 : ch->nout + ch->nin;
}

/* The slot and its descriptors are free. */
static void unlink_slot(struct vhost_ring *r, u16 id)
{
	struct vhost_slot *s = &r->slot[id];
	unsigned n = descs_of(r, &s->ch);
	u16 last = id;

	*(s->prev == VHOST_RING_NONE ? &r->head : &r->slot[s->prev].next) = s->next;
	*(s->next == VHOST_RING_NONE ? &r->tail : &r->slot[s->next].prev) = s->prev;
	s->used = false;
	r->inflight--;
	for (unsigned i = 1; i < n; i++)
		last = r->next_desc[last];
	r->next_desc[last] = r->free_head;
	r->free_head = id;
	r->nfree = (u16)(r->nfree + n);
}

void vhost_ring_forget(struct vhost_ring *r)
{
	while (r->head != VHOST_RING_NONE)
		unlink_slot(r, r->head);
}

/* ---- to the back end ---- */

static void put_desc(u8 *p, u64 addr, u32 bytes, unsigned flags, unsigned next)
{
	st_le64(p, addr);
	st_le32(p + 8, bytes);
	st_le16(p + 12, (u16)flags);
	st_le16(p + 14, (u16)next);
}

/* The slot's chain into descriptors that are its own, and the first of them to the available ring. */
static void offer(struct vhost_ring *r, u16 id)
{
	const struct virtio_chain *ch = &r->slot[id].ch;
	unsigned n = ch->nout + ch->nin;
	u32 table = VHOST_RING_TABLES + id * VHOST_RING_TABLE_BYTES;
	u16 at = id;

	for (unsigned i = 0; i < n; i++) {
		unsigned flags = (i >= ch->nout ? DESC_F_WRITE : 0) | (i + 1 < n ? DESC_F_NEXT : 0);
		u64 addr = (u64)((const u8 *)ch->iov[i].iov_base - r->ram);
		u32 bytes = (u32)ch->iov[i].iov_len;
		if (r->indirect) {
			put_desc(r->mem + table + 16 * i, addr, bytes, flags, i + 1);
		} else {
			put_desc(r->mem + 16 * at, addr, bytes, flags, r->next_desc[at]);
			at = r->next_desc[at];
		}
	}
	if (r->indirect)
		put_desc(r->mem + 16 * id, r->at + table, 16 * n, DESC_F_INDIRECT, 0);
	store16(r->mem + VHOST_RING_AVAIL + 4 + 2 * (r->avail_idx % VHOST_RING_SIZE), id);
	r->avail_idx++;
	store16(r->mem + VHOST_RING_AVAIL + 2, r->avail_idx);
}

bool vhost_ring_fill(struct vhost_ring *r, struct virtio_dev *d)
{
	while (r->nfree) {
		u16 id = r->free_head;
		struct vhost_slot *s = &r->slot[id];

		if (!virtio_pop(d, r->q, &s->ch))
			return true;
		s->serial = r->popped++;
		unsigned n = s->ch.nout + s->ch.nin, descs = descs_of(r, &s->ch);
		if (!n) { /* of empty buffers only */
			virtio_push(d, r->q, &s->ch, 0);
			continue;
		}
		if (descs > r->nfree) {
			virtio_unpop(d, r->q, &s->ch);
			r->popped--;
			return false;
		}
		for (unsigned i = 0; i < descs; i++)
			r->free_head = r->next_desc[r->free_head];
		r->nfree = (u16)(r->nfree - descs);
		link_last(r, id);
		offer(r, id);
		r->requests++;
	}
	return false;
}

static void wake(struct vhost_ring *r)
{
	u64 one = 1;

	r->kicks++;
	/* Full at 2^64 - 2 only, and then it is awake anyway. */
	if (write(r->kick_fd, &one, sizeof(one)) < 0)
		return;
}

void vhost_ring_kick(struct vhost_ring *r)
{
	u16 old = r->kicked, now = r->avail_idx;
	bool want;

	if (old == now)
		return;
	r->kicked = now;
	/* The index must be visible before the other side's wish is read (2.6.10). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (r->event_idx)
		want = (u16)(now - load16(avail_event(r)) - 1) < (u16)(now - old);
	else
		want = !(load16(r->mem + VHOST_RING_USED) & USED_F_NO_NOTIFY);
	if (want)
		wake(r);
}

void vhost_ring_begin(struct vhost_ring *r)
{
	memset(r->mem, 0, VHOST_RING_TABLES);
	r->avail_idx = r->last_used = r->kicked = 0;
	for (u16 id = r->head; id != VHOST_RING_NONE; id = r->slot[id].next)
		offer(r, id);
	r->kicked = r->avail_idx;
	/* Whatever is there: a ring starts with its first kick. */
	wake(r);
}

/* ---- from the back end ---- */

int vhost_ring_collect(struct vhost_ring *r, struct virtio_dev *d)
{
	for (bool asked = false;;) {
		u16 idx = load16(r->mem + VHOST_RING_USED + 2);
		unsigned n = (u16)(idx - r->last_used);

		if (!n) {
			if (!r->event_idx || asked)
				return 0;
			/* Ask for the next one, then look again (2.6.8). */
			asked = true;
			store16(used_event(r), r->last_used);
			__atomic_thread_fence(__ATOMIC_SEQ_CST);
			continue;
		}
		asked = false;
		if (n > r->inflight)
			return -EPROTO;
		for (unsigned i = 0; i < n; i++) {
			const u8 *el = r->mem + VHOST_RING_USED + 4 + 8 * ((r->last_used + i) % VHOST_RING_SIZE);
			u32 id = __atomic_load_n((const u32 *)(const void *)el, __ATOMIC_RELAXED);
			u32 bytes = __atomic_load_n((const u32 *)(const void *)(el + 4), __ATOMIC_RELAXED);

			if (id >= VHOST_RING_SIZE || !r->slot[id].used) {
				virtio_push_end(d, r->q);
				return -EPROTO;
			}
			virtio_push_part(d, r->q, &r->slot[id].ch, bytes);
			unlink_slot(r, (u16)id);
		}
		r->last_used = idx;
		virtio_push_end(d, r->q); /* all at once: they may be parts of one frame */
	}
}

void vhost_ring_take_back(struct vhost_ring *r, struct virtio_dev *d)
{
	while (r->tail != VHOST_RING_NONE) {
		u16 id = r->tail;
		if (r->slot[id].serial + 1 == r->popped) {
			virtio_unpop(d, r->q, &r->slot[id].ch);
			r->popped--;
		} else {
			virtio_push(d, r->q, &r->slot[id].ch, 0);
		}
		unlink_slot(r, id);
	}
}

/* ---- life ---- */

int vhost_ring_init(struct vhost_ring *r, unsigned q, u8 *mem, u64 at, const struct ram *ram)
{
	*r = (struct vhost_ring){
		.q = q,
		.mem = mem,
		.at = at,
		.ram = ram->host,
		.kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.head = VHOST_RING_NONE,
		.tail = VHOST_RING_NONE,
		.nfree = VHOST_RING_SIZE,
		.slot = xmap_sparse(VHOST_RING_SIZE * sizeof(*r->slot)),
	};
	for (unsigned i = 0; i < VHOST_RING_SIZE; i++)
		r->next_desc[i] = (u16)(i + 1);
	return r->kick_fd < 0 || r->call_fd < 0 ? -EMFILE : 0;
}

void vhost_ring_fini(struct vhost_ring *r)
{
	if (!r->slot)
		return;
	unmap_sparse(r->slot, VHOST_RING_SIZE * sizeof(*r->slot));
	if (r->kick_fd >= 0)
		close(r->kick_fd);
	if (r->call_fd >= 0)
		close(r->call_fd);
}
