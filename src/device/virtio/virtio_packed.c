/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_packed.c - packed virtqueues (VIRTIO 1.1, 2.7): one ring of descriptors, which driver and device both write.
 *
 * Theory. A place in the ring is an index and a wrap counter, which changes each time round; here it is one number, the
 * counter in bit 15. A descriptor is available when its AVAIL bit is the counter and its USED bit is not, and used when
 * both are. `last_avail` is where the next chain begins, `used_idx` where the next used descriptor is written: a chain
 * of n descriptors takes one of those, and n places are passed. Chains that are not to be seen yet (virtio_push_part())
 * are all in the ring but for the first one's flags: a driver never looks behind a descriptor that is not used.
 *
 * INV-VQ-1 and 2 hold (virtio_queue.c). What a driver does to places that are not its own hurts its own chains only:
 * our places do not depend on what is in the ring, and a walk has at most as many steps as it has entries.
 */
#include "base/i18n.h"
#include "device/virtio/virtio_int.h"

#define F_AVAIL (1u << 7)
#define F_USED (1u << 15)

#define WRAP 0x8000u

/* Event suppression (2.7.14): off_wrap, then flags. */
#define EVENT_ENABLE 0
#define EVENT_DISABLE 1
#define EVENT_DESC 2

static u16 forward(const struct virtio_queue *vq, u16 place, unsigned n)
{
	unsigned at = (place & ~WRAP) + n, wrap = place & WRAP;

	if (at >= vq->size) {
		at -= vq->size;
		wrap ^= WRAP;
	}
	return (u16)(at | wrap);
}

static u8 *desc_at(const struct rings *r, u16 place)
{
	return r->desc + 16 * (place & ~WRAP);
}

bool virtio_packed_there(const struct virtio_queue *vq, const struct rings *r)
{
	u16 flags = load16(desc_at(r, vq->last_avail) + 14);
	bool wrap = vq->last_avail & WRAP;

	return !(flags & F_AVAIL) == !wrap && !(flags & F_USED) == wrap;
}

/* 2.7.7: an indirect table's entries follow each other, and have no flag but WRITE. */
static const char *indirect(struct virtio_dev *d, struct virtio_chain *ch, const struct vring_desc *de, u64 *work)
{
	if (!virtio_has(d, VIRTIO_F_RING_INDIRECT_DESC))
		return N_("an indirect descriptor without the feature");
	if (!de->len || de->len % 16)
		return N_("an indirect table has a bad length");
	const u8 *table = ram_ptr(d->ram, de->addr, de->len);
	if (!table)
		return N_("an indirect table is not in guest memory");
	for (u32 i = 0; i < de->len / 16; i++) {
		struct vring_desc e;

		if (i == 4 * VIRTIO_QUEUE_MAX)
			return N_("a chain has too many descriptors");
		++*work;
		memcpy(&e, table + 16ull * i, sizeof(e));
		__asm__ volatile("" : : "m"(e) : "memory"); /* the copy is what is checked and used */
		if (e.next & VIRTIO_DESC_F_INDIRECT)        /* "next" is where a packed one has its flags */
			return N_("an indirect table holds an indirect descriptor");
		e.flags = e.next & VIRTIO_DESC_F_WRITE;
		const char *why = virtio_chain_add(d, ch, &e);
		if (why)
			return why;
	}
	return NULL;
}

const char *virtio_packed_take(struct virtio_dev *d, struct virtio_queue *vq, const struct rings *r,
			       struct virtio_chain *ch, u64 *work)
{
	u16 place = vq->last_avail;

	for (unsigned n = 1;; n++) {
		struct vring_desc de;

		if (n > vq->size)
			return N_("a descriptor chain loops");
		++*work;
		memcpy(&de, desc_at(r, place), sizeof(de));
		__asm__ volatile("" : : "m"(de) : "memory");
		u16 id = de.flags, flags = de.next; /* 2.7.13: a packed one has its buffer's id there, then flags */
		place = forward(vq, place, 1);
		de.flags = flags;
		const char *why;
		if (!(flags & VIRTIO_DESC_F_INDIRECT))
			why = virtio_chain_add(d, ch, &de);
		else if (flags & VIRTIO_DESC_F_NEXT || n > 1)
			why = N_("an indirect descriptor is chained");
		else
			why = indirect(d, ch, &de, work);
		if (why)
			return why;
		if (!(flags & VIRTIO_DESC_F_NEXT)) { /* the last one has the id (2.7.6) */
			ch->head = id;
			ch->places = (u16)n;
			vq->last_avail = place;
			return NULL;
		}
	}
}

void virtio_packed_unpop(struct virtio_queue *vq, const struct virtio_chain *ch)
{
	/* Back by n is forward by the rest of a round, and back by a round. */
	vq->last_avail = forward(vq, vq->last_avail, vq->size - MIN(ch->places, vq->size)) ^ WRAP;
}

void virtio_packed_put(struct virtio_dev *d, struct virtio_queue *vq, const struct rings *r,
		       const struct virtio_chain *ch, u32 bytes)
{
	u16 place = forward(vq, vq->used_idx, vq->hidden);
	u16 flags = (u16)((place & WRAP ? F_AVAIL | F_USED : 0) | (bytes ? VIRTIO_DESC_F_WRITE : 0));
	u8 *p = desc_at(r, place);

	st_le32(p + 8, bytes);
	st_le16(p + 12, ch->head);
	if (!vq->hidden)
		vq->first_flags = flags;
	else
		store16(p + 14, flags);
	/* More than fit: a driver that gave the same places twice. */
	vq->hidden = (u16)MIN(vq->hidden + ch->places, vq->size);
	ram_wrote(d->ram, vq->desc + 16 * (place & ~WRAP), 16);
}

void virtio_packed_show(struct virtio_dev *d, struct virtio_queue *vq, const struct rings *r)
{
	store16(desc_at(r, vq->used_idx) + 14, vq->first_flags);
	ram_wrote(d->ram, vq->desc + 16 * (vq->used_idx & ~WRAP) + 14, 2);
	vq->used_idx = forward(vq, vq->used_idx, vq->hidden);
	/* Places say how far it is to the last signal only within one round. */
	vq->unsignalled = (u16)MIN(vq->unsignalled + vq->hidden, 2 * VIRTIO_QUEUE_MAX);
	if (vq->unsignalled > vq->size)
		vq->signalled_valid = false;
	vq->hidden = 0;
}

/* On a line where `now` is at its index, and a place of the other round before it. */
static int on_line(const struct virtio_queue *vq, u16 now, u16 place)
{
	return (place & ~WRAP) - ((now ^ place) & WRAP ? vq->size : 0);
}

bool virtio_packed_wants(struct virtio_dev *d, struct virtio_queue *vq, const struct rings *r, u16 old, bool valid)
{
	u16 flags = load16(r->avail + 2), now = vq->used_idx;

	vq->unsignalled = 0;
	if (!(flags & EVENT_DESC) || !virtio_has(d, VIRTIO_F_RING_EVENT_IDX))
		return !(flags & EVENT_DISABLE);
	u16 event = load16(r->avail);
	/* Was it one of those from `old` up to `now`? */
	int at = on_line(vq, now, now), asked = on_line(vq, now, event), from = on_line(vq, now, old);
	return !valid || (u16)(at - asked - 1) < (u16)(at - from);
}

void virtio_packed_ask(struct virtio_dev *d, const struct virtio_queue *vq, const struct rings *r, bool on)
{
	bool events = virtio_has(d, VIRTIO_F_RING_EVENT_IDX);
	u16 flags = !on ? EVENT_DISABLE : events ? EVENT_DESC : EVENT_ENABLE;

	if (load16(r->used + 2) == flags && (flags != EVENT_DESC || load16(r->used) == vq->last_avail))
		return;
	if (flags == EVENT_DESC) {
		/* Never a place with the flags of another time: those say "always" meanwhile. */
		store16(r->used + 2, EVENT_ENABLE);
		store16(r->used, vq->last_avail);
	}
	store16(r->used + 2, flags);
	ram_wrote(d->ram, vq->used, 4);
}
