/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_queue.c - split virtqueues (VIRTIO 1.1, 2.6).
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

#define DESC_F_NEXT 1
#define DESC_F_WRITE 2
#define DESC_F_INDIRECT 4
#define AVAIL_F_NO_INTERRUPT 1
#define USED_F_NO_NOTIFY 1

#define CHAIN_WORK 16 /* virtio_charge(): of a chain, besides its descriptors */

/* 2.6.5; in guest RAM, little-endian, as are we */
struct vring_desc {
	u64 addr;
	u32 len;
	u16 flags;
	u16 next;
};

/* A queue's three areas, translated. avail: flags, idx, ring[size], used_event; used: flags, idx,
 * {id, len}[size], avail_event. */
struct rings {
	u8 *desc, *avail, *used;
};

static bool rings_get(struct virtio_dev *d, const struct virtio_queue *vq, struct rings *r)
{
	unsigned n = vq->size;

	if (!n || (n & (n - 1)) || n > VIRTIO_QUEUE_MAX || vq->desc % 16 || vq->avail % 2 || vq->used % 4)
		return false;
	r->desc = ram_ptr(d->ram, vq->desc, 16ull * n);
	r->avail = ram_ptr(d->ram, vq->avail, 6 + 2ull * n);
	r->used = ram_ptr(d->ram, vq->used, 6 + 8ull * n);
	return r->desc && r->avail && r->used;
}

static u16 load16(const u8 *p)
{
	return __atomic_load_n((const u16 *)(const void *)p, __ATOMIC_ACQUIRE);
}

static void store16(u8 *p, u16 v)
{
	__atomic_store_n((u16 *)(void *)p, v, __ATOMIC_RELEASE);
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
	vq->last_avail = vq->used_idx = vq->signalled_used = vq->hidden = 0;
	vq->signalled_valid = vq->notify_off = false;
	vq->ready = true;
}

/* ---- taking chains ---- */

/* Add one descriptor's buffer to the chain. */
static const char *chain_add(struct virtio_dev *d, struct virtio_chain *ch, const struct vring_desc *de)
{
	bool in = de->flags & DESC_F_WRITE;
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
		if (de.flags & DESC_F_INDIRECT) {
			if (indirect)
				return N_("an indirect table holds an indirect descriptor");
			if (!virtio_has(d, VIRTIO_F_RING_INDIRECT_DESC))
				return N_("an indirect descriptor without the feature");
			if (de.flags & DESC_F_NEXT)
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
		const char *why = chain_add(d, ch, &de);
		if (why)
			return why;
		if (!(de.flags & DESC_F_NEXT))
			return NULL;
		/* Zero-length descriptors take no segment, but a walk is bounded all the same. */
		if (steps >= 4 * VIRTIO_QUEUE_MAX)
			return N_("a chain has too many descriptors");
		i = de.next;
	}
}

int virtio_pop(struct virtio_dev *d, unsigned q, struct virtio_chain *ch)
{
	struct rings r;

	if (d->frozen || !queue_live(d, q, &r))
		return 0;
	struct virtio_queue *vq = &d->queue[q];
	u64 work = CHAIN_WORK;
	u16 idx = load16(r.avail + 2);
	if (idx == vq->last_avail) {
		if (vq->notify_off || !virtio_notify_enable(d, q))
			return 0;
		idx = load16(r.avail + 2);
		if (idx == vq->last_avail)
			return 0;
	}
	if (unlikely(d->over)) {
		virtio_again(d, q);
		return 0;
	}
	if ((u16)(idx - vq->last_avail) > vq->size) {
		virtio_broken(d, N_("the available index jumped"));
		return 0;
	}
	ch->head = load16(r.avail + 4 + 2 * (vq->last_avail & (vq->size - 1)));
	ch->nout = ch->nin = 0;
	ch->out_bytes = ch->in_bytes = 0;
	const char *why =
	    ch->head >= vq->size ? N_("a head index is out of range") : chain_walk(d, vq, r.desc, ch, &work);
	if (why) {
		virtio_broken(d, why);
		return 0;
	}
	vq->last_avail++;
	virtio_charge(d, work);
	return 1;
}

void virtio_unpop(struct virtio_dev *d, unsigned q, const struct virtio_chain *ch)
{
	must(q < d->nqueues && ch);
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
	if (virtio_has(d, VIRTIO_F_RING_EVENT_IDX)) {
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
	if (virtio_has(d, VIRTIO_F_RING_EVENT_IDX)) {
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
	if (d->frozen || load16(r.avail + 2) == vq->last_avail)
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
