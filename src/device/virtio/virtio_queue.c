/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_queue.c - virtqueues as devices see them; split ones (VIRTIO 1.1, 2.6) are here, packed ones in
 * virtio_packed.c.
 *
 * Theory: the rings live in guest RAM and are the guest's to change at any moment, so nothing read
 * from them is trusted or read twice: descriptors are copied to a local before they are checked,
 * ring addresses are translated anew at each use (a few compares), and every walk is bounded by a
 * count, never by what the guest wrote. The device's own place (last_avail, used_idx) lives in
 * struct virtio_queue, out of the guest's reach.
 *
 * INV-VQ-1: between virtio_pop() and virtio_push() a chain's iov point into guest RAM, never elsewhere.
 * INV-VQ-2: whatever this file writes into guest RAM is followed by ram_wrote().
 */
#include "base/i18n.h"
#include "device/virtio/virtio_int.h"
#include "device/virtio/virtio_transport.h"

#define AVAIL_F_NO_INTERRUPT 1
#define USED_F_NO_NOTIFY 1

#define CHAIN_WORK 16 /* virtio_charge(): of a chain, besides its descriptors */

bool virtio_queue_size_ok(const struct virtio_dev *d, u32 n)
{
	/* 2.6, 2.7: a split one's is a power of two, and a packed one's a place in 15 bits. */
	return n && n <= VIRTIO_QUEUE_MAX && (virtio_packed(d) || !(n & (n - 1)));
}

static bool rings_get(struct virtio_dev *d, const struct virtio_queue *vq, struct rings *r)
{
	unsigned n = vq->size;
	bool packed = virtio_packed(d);

	if (!virtio_queue_size_ok(d, n) || vq->desc % 16 || vq->avail % (packed ? 4 : 2) || vq->used % 4)
		return false;
	/* A saved state may say anything. */
	if (packed && ((vq->last_avail & 0x7fff) >= n || (vq->used_idx & 0x7fff) >= n))
		return false;
	r->desc = ram_ptr(d->ram, vq->desc, 16ull * n);
	r->avail = ram_ptr(d->ram, vq->avail, packed ? 4 : 6 + 2ull * n);
	r->used = ram_ptr(d->ram, vq->used, packed ? 4 : 6 + 8ull * n);
	return r->desc && r->avail && r->used;
}

/* Where queues may be looked at; the rings of a queue in use, or false. */
static bool queue_live(struct virtio_dev *d, unsigned q, struct rings *r)
{
	must(q < d->nqueues);
	/* 3.1.2: the legacy interface's drivers may begin before DRIVER_OK. */
	if (!(d->status & VIRTIO_S_DRIVER_OK || d->legacy) || (d->status & (VIRTIO_S_NEEDS_RESET | VIRTIO_S_FAILED)) ||
	    d->resetting || !d->queue[q].ready)
		return false;
	if (rings_get(d, &d->queue[q], r))
		return true;
	virtio_broken(d, N_("rings are not in guest memory"));
	return false;
}

void virtio_queue_enable(struct virtio_dev *d, unsigned q)
{
	struct rings r;

	must(q < d->nqueues);
	struct virtio_queue *vq = &d->queue[q];
	if (vq->ready || d->resetting)
		return;
	if (!rings_get(d, vq, &r)) {
		virtio_broken(d, N_("a queue is enabled with rings outside guest memory or misaligned"));
		return;
	}
	/* 2.7.1: both wrap counters begin as 1. */
	vq->last_avail = vq->used_idx = vq->signalled_used = virtio_packed(d) ? 0x8000 : 0;
	vq->hidden = vq->unsignalled = 0;
	vq->signalled_valid = vq->notify_off = false;
	vq->ready = true;
}

/* ---- taking chains ---- */

const char *virtio_chain_add(struct virtio_dev *d, struct virtio_chain *ch, const struct vring_desc *de)
{
	bool in = de->flags & VIRTIO_DESC_F_WRITE;
	unsigned n = ch->nout + ch->nin;

	if (!in && ch->nin)
		return N_("a readable descriptor follows a writable one");
	if (!de->len)
		return NULL;
	/* What is read may lie in a ROM. Nothing is written through the pointer then: only `in` buffers are. */
	u8 *p = in ? ram_ptr(d->ram, de->addr, de->len) : (u8 *)(uintptr_t)ram_ptr_ro(d->ram, de->addr, de->len);
	if (!p)
		return in ? "a buffer to write to is not in writable guest memory" : "a buffer is not in guest memory";
	if (n == VIRTIO_CHAIN_MAX)
		return N_("a chain has too many segments");
	/* 2.6.5: a chain is at most 2^32 bytes long */
	if (ch->out_bytes + ch->in_bytes + de->len > UINT32_MAX)
		return N_("a chain is longer than 4 GiB");
	ch->iov[n] = (struct iovec){ p, de->len };
	ch->gpa[n] = de->addr;
	if (in) {
		ch->nin++;
		ch->in_bytes += de->len;
	} else {
		ch->nout++;
		ch->out_bytes += de->len;
	}
	return NULL;
}

/* Walk the chain that begins at ch->head. Returns what is wrong with it, or NULL. */
static const char *chain_walk(struct virtio_dev *d, const struct virtio_queue *vq, const u8 *table,
			      struct virtio_chain *ch, u64 *work)
{
	u32 entries = vq->size, i = ch->head, steps = 0;
	bool indirect = false;

	for (;;) {
		struct vring_desc de;

		if (i >= entries)
			return N_("a descriptor index is out of range");
		/* A chain that visits more descriptors than its table has, has a loop. */
		if (++steps > entries)
			return N_("a descriptor chain loops");
		++*work;
		memcpy(&de, table + 16ull * i, sizeof(de));
		__asm__ volatile("" : : "m"(de) : "memory"); /* the copy is what is checked and used */
		if (de.flags & VIRTIO_DESC_F_INDIRECT) {
			if (indirect)
				return N_("an indirect table holds an indirect descriptor");
			if (!virtio_has(d, VIRTIO_F_RING_INDIRECT_DESC))
				return N_("an indirect descriptor without the feature");
			if (de.flags & VIRTIO_DESC_F_NEXT)
				return N_("an indirect descriptor is chained");
			if (!de.len || de.len % 16)
				return N_("an indirect table has a bad length");
			table = ram_ptr(d->ram, de.addr, de.len);
			if (!table)
				return N_("an indirect table is not in guest memory");
			indirect = true;
			/* Longer tables are allowed; only the part that we can hold is ever walked. */
			entries = de.len / 16;
			i = 0;
			steps = 0;
			continue;
		}
		const char *why = virtio_chain_add(d, ch, &de);
		if (why)
			return why;
		if (!(de.flags & VIRTIO_DESC_F_NEXT))
			return NULL;
		/* Zero-length descriptors take no segment, but a walk is bounded all the same. */
		if (steps >= 4 * VIRTIO_QUEUE_MAX)
			return N_("a chain has too many descriptors");
		i = de.next;
	}
}

/* The chain at ch->head of a split ring; what is wrong, or NULL. */
static const char *split_take(struct virtio_dev *d, struct virtio_queue *vq, const struct rings *r,
			      struct virtio_chain *ch, u64 *work)
{
	if ((u16)(load16(r->avail + 2) - vq->last_avail) > vq->size)
		return N_("the available index jumped");
	ch->head = load16(r->avail + 4 + 2 * (vq->last_avail & (vq->size - 1)));
	if (ch->head >= vq->size)
		return N_("a head index is out of range");
	const char *why = chain_walk(d, vq, r->desc, ch, work);
	if (!why)
		vq->last_avail++;
	return why;
}

static bool there(const struct virtio_dev *d, const struct virtio_queue *vq, const struct rings *r)
{
	return virtio_packed(d) ? virtio_packed_there(vq, r) : load16(r->avail + 2) != vq->last_avail;
}

int virtio_pop(struct virtio_dev *d, unsigned q, struct virtio_chain *ch)
{
	struct rings r;

	if (d->frozen || !queue_live(d, q, &r))
		return 0;
	struct virtio_queue *vq = &d->queue[q];
	u64 work = CHAIN_WORK;
	if (!there(d, vq, &r) && (vq->notify_off || !virtio_notify_enable(d, q) || !there(d, vq, &r)))
		return 0;
	if (unlikely(d->over)) {
		virtio_again(d, q);
		return 0;
	}
	ch->nout = ch->nin = 0;
	ch->out_bytes = ch->in_bytes = 0;
	const char *why =
	    virtio_packed(d) ? virtio_packed_take(d, vq, &r, ch, &work) : split_take(d, vq, &r, ch, &work);
	if (why) {
		virtio_broken(d, why);
		return 0;
	}
	virtio_charge(d, work);
	return 1;
}

void virtio_unpop(struct virtio_dev *d, unsigned q, const struct virtio_chain *ch)
{
	must(q < d->nqueues);
	if (virtio_packed(d))
		virtio_packed_unpop(&d->queue[q], ch);
	else
		d->queue[q].last_avail--;
}

/* ---- giving them back ---- */

void virtio_push_part(struct virtio_dev *d, unsigned q, const struct virtio_chain *ch, u32 written)
{
	u64 bytes = MIN(written, ch->in_bytes), left = bytes;
	struct rings r;

	/* Bytes are in RAM even if the queue is gone meanwhile. */
	for (unsigned i = ch->nout; left && i < ch->nout + ch->nin; i++) {
		u64 k = MIN(left, ch->iov[i].iov_len);
		ram_wrote(d->ram, ch->gpa[i], k);
		left -= k;
	}
	if (!queue_live(d, q, &r))
		return;
	struct virtio_queue *vq = &d->queue[q];
	if (virtio_packed(d)) {
		virtio_packed_put(d, vq, &r, ch, (u32)bytes);
		return;
	}
	unsigned slot = (u16)(vq->used_idx + vq->hidden++) & (vq->size - 1);
	u8 *el = r.used + 4 + 8 * slot;
	st_le32(el, ch->head);
	st_le32(el + 4, (u32)bytes);
	ram_wrote(d->ram, vq->used + 4 + 8 * slot, 8);
}

void virtio_push_end(struct virtio_dev *d, unsigned q)
{
	struct rings r;

	if (!d->queue[q].hidden || !queue_live(d, q, &r))
		return;
	struct virtio_queue *vq = &d->queue[q];
	if (virtio_packed(d)) {
		virtio_packed_show(d, vq, &r);
		return;
	}
	vq->used_idx = (u16)(vq->used_idx + vq->hidden);
	vq->hidden = 0;
	store16(r.used + 2, vq->used_idx);
	ram_wrote(d->ram, vq->used + 2, 2);
}

void virtio_push_batch(struct virtio_dev *d, unsigned q, const struct virtio_chain *ch, const u32 *written, unsigned n)
{
	for (unsigned c = 0; c < n; c++)
		virtio_push_part(d, q, &ch[c], written[c]);
	virtio_push_end(d, q);
}

void virtio_push(struct virtio_dev *d, unsigned q, const struct virtio_chain *ch, u32 written)
{
	virtio_push_batch(d, q, ch, &written, 1);
}

void virtio_signal(struct virtio_dev *d, unsigned q)
{
	struct rings r;

	if (!queue_live(d, q, &r))
		return;
	struct virtio_queue *vq = &d->queue[q];
	u16 now = vq->used_idx, old = vq->signalled_used;
	bool valid = vq->signalled_valid, want;
	if (valid && now == old)
		return;
	vq->signalled_used = now;
	vq->signalled_valid = true;
	/* The used index must be visible before the driver's wish is read (2.6.7.2, 2.6.8). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (virtio_packed(d)) {
		want = virtio_packed_wants(d, vq, &r, old, valid);
	} else if (virtio_has(d, VIRTIO_F_RING_EVENT_IDX)) {
		u16 event = load16(r.avail + 4 + 2 * vq->size);
		want = !valid || (u16)(now - event - 1) < (u16)(now - old);
	} else {
		want = !(load16(r.avail) & AVAIL_F_NO_INTERRUPT);
	}
	if (want && d->irq_queue)
		d->irq_queue(d, q);
}

/* ---- notifications from the driver ---- */

void virtio_notify(struct virtio_dev *d, unsigned q)
{
	struct rings r;

	if (q < d->nqueues && !d->frozen && !(d->again >> q & 1) && queue_live(d, q, &r))
		d->cls->notify(d, q);
}

bool virtio_notify_enable(struct virtio_dev *d, unsigned q)
{
	struct rings r;

	if (!queue_live(d, q, &r))
		return false;
	struct virtio_queue *vq = &d->queue[q];
	vq->notify_off = false;
	if (virtio_packed(d)) {
		virtio_packed_ask(d, vq, &r, true);
	} else if (virtio_has(d, VIRTIO_F_RING_EVENT_IDX)) {
		u8 *event = r.used + 4 + 8 * vq->size;
		if (load16(event) != vq->last_avail) {
			store16(event, vq->last_avail);
			ram_wrote(d->ram, vq->used + 4 + 8 * vq->size, 2);
		}
	} else if (load16(r.used)) {
		store16(r.used, 0);
		ram_wrote(d->ram, vq->used, 2);
	}
	/* The driver reads our wish after it wrote its index; we read the index after writing the wish. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (d->frozen || !there(d, vq, &r))
		return false;
	if (d->over)
		virtio_again(d, q);
	return !d->over;
}

void virtio_notify_disable(struct virtio_dev *d, unsigned q)
{
	struct rings r;

	if (!queue_live(d, q, &r))
		return;
	struct virtio_queue *vq = &d->queue[q];
	vq->notify_off = true;
	if (virtio_packed(d)) {
		virtio_packed_ask(d, vq, &r, false);
		return;
	}
	/* With EVENT_IDX an avail_event that is left behind is the wish (2.6.10). */
	if (!virtio_has(d, VIRTIO_F_RING_EVENT_IDX) && load16(r.used) != USED_F_NO_NOTIFY) {
		store16(r.used, USED_F_NO_NOTIFY);
		ram_wrote(d->ram, vq->used, 2);
	}
}

/* ---- bounded copies ---- */

static u64 copy(const struct iovec *iov, unsigned n, u64 off, void *buf, u64 bytes, bool to_chain)
{
	u64 did = 0;

	for (unsigned i = 0; i < n && did < bytes; i++) {
		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		u64 k = MIN(iov[i].iov_len - off, bytes - did);
		u8 *p = (u8 *)iov[i].iov_base + off;
		if (to_chain)
			memcpy(p, (u8 *)buf + did, k);
		else
			memcpy((u8 *)buf + did, p, k);
		did += k;
		off = 0;
	}
	return did;
}

u64 virtio_chain_read(const struct virtio_chain *ch, u64 off, void *buf, u64 bytes)
{
	return copy(ch->iov, ch->nout, off, buf, bytes, false);
}

u64 virtio_chain_write(const struct virtio_chain *ch, u64 off, const void *buf, u64 bytes)
{
	return copy(ch->iov + ch->nout, ch->nin, off, (void *)(uintptr_t)buf, bytes, true);
}
