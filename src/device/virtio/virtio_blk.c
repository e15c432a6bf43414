/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_blk.c - block device (VIRTIO 1.1, 5.2) on a struct blk.
 *
 * Theory: a notification pops the chains of the queue, as many as a visit allows (virtio.h), and submits them plugged,
 * one system call for all. What completed inside that call is pushed and signalled before the vCPU goes on; the rest
 * completes on the loop's thread, a run at a time under the device's lock (blk_client). The cache is
 * write-back with FLUSH; a driver that did not take FLUSH gets each write flushed (5.2.6.2).
 *
 * A request lives from pop to push in one of vb->reqs:
 *   submitted   the block layer has req->r; guest memory behind the chain is being read or written
 *   detached    the same, but the device was reset since (req->epoch is old): its end marks the memory
 *               as written and touches nothing else of the guest's
 * A reset cancels what the host has not begun with.
 * INV-VB-1: reset returns when nothing is in flight, so no host I/O reaches memory that the driver took
 * back.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/state.h"
#include "block/block.h"
#include "device/virtio/virtio.h"

#include <assert.h>

#define F_SEG_MAX 2
#define F_RO 5
#define F_BLK_SIZE 6
#define F_FLUSH 9
#define F_TOPOLOGY 10
#define F_MQ 12
#define F_DISCARD 13
#define F_WRITE_ZEROES 14

#define T_IN 0
#define T_OUT 1
#define T_FLUSH 4
#define T_GET_ID 8
#define T_DISCARD 11
#define T_WRITE_ZEROES 13

#define S_OK 0
#define S_IOERR 1
#define S_UNSUPP 2

#define HDR_BYTES 16
#define ID_BYTES 20
#define RANGE_MAX 16             /* segments of a discard or write-zeroes */
#define RANGE_SECTORS (1u << 21) /* 1 GiB each */
#define RANGE_F_UNMAP 1u
#define QUEUES_MAX 32
#define REQ_WORK 30 /* virtio_charge(): of a request, besides its chain; its I/O is the engine's to bound */

/* Host errors of a disk are reported as their number reaches 1, 10, 100, ...; after so long without one it begins anew.
 */
#define ERRORS_FORGET_NS (3600 * NSEC_PER_SEC)

struct blk_config {
	u64 capacity;
	u32 size_max, seg_max;
	u16 cylinders;
	u8 heads, sectors;
	u32 blk_size;
	u8 physical_block_exp, alignment_offset;
	u16 min_io_size;
	u32 opt_io_size;
	u8 writeback, unused0;
	u16 num_queues;
	u32 max_discard_sectors, max_discard_seg, discard_sector_alignment;
	u32 max_write_zeroes_sectors, max_write_zeroes_seg;
	u8 write_zeroes_may_unmap, unused1[3];
};
static_assert(sizeof(struct blk_config) == 64, "60 bytes and padding");
#define CONFIG_BYTES 60

struct range {
	u64 sector;
	u32 sectors, flags;
};

struct vblk;

struct req {
	struct virtio_chain ch;
	struct blk_req r;
	struct vblk *vb;
	struct req *next_free;
	unsigned q, epoch;
	u32 type;
	bool trimmed;           /* the last in-segment lost its status byte for the I/O's sake */
	unsigned nrange, range; /* how many, which is next */
	struct range ranges[RANGE_MAX];
};

/* All under dev->lock. */
struct vblk {
	struct virtio_dev *dev;
	struct blk *blk;
	struct blk_config cfg;
	char serial[ID_BYTES];
	struct req *reqs, *free;
	unsigned nreqs, fresh; /* reqs[fresh..] were never used: their memory is not there yet */
	unsigned inflight, epoch;
	u64 to_signal;                      /* queues with pushes since their last signal */
	bool starved;                       /* chains wait for a struct req */
	u64 errors, errors_next, errors_ns; /* since the last quiet hour; how many are reported next; the last one */
};

static struct req *req_get(struct vblk *vb)
{
	struct req *req = vb->free;

	if (req)
		vb->free = req->next_free;
	else if (vb->fresh < vb->nreqs)
		req = &vb->reqs[vb->fresh++];
	return req;
}

static void req_put(struct vblk *vb, struct req *req)
{
	req->next_free = vb->free;
	vb->free = req;
}

/* ---- ending a request ---- */

static void req_push(struct req *req)
{
	struct vblk *vb = req->vb;

	if (req->trimmed)
		req->ch.iov[req->ch.nout + req->ch.nin - 1].iov_len++;
	virtio_push(vb->dev, req->q, &req->ch, (u32)req->ch.in_bytes);
	req_put(vb, req);
}

static void req_finish(struct req *req, u8 status)
{
	struct vblk *vb = req->vb;

	if (req->trimmed) {
		req->ch.iov[req->ch.nout + req->ch.nin - 1].iov_len++;
		req->trimmed = false;
	}
	virtio_chain_write(&req->ch, req->ch.in_bytes - 1, &status, 1);
	vb->to_signal |= 1ull << req->q;
	req_push(req);
}

static void submit_range(struct req *req)
{
	const struct range *g = &req->ranges[req->range++];

	req->r.off = g->sector * BLK_SECTOR;
	req->r.bytes = (u64)g->sectors * BLK_SECTOR;
	req->r.may_unmap = g->flags & RANGE_F_UNMAP;
	blk_submit(req->vb->blk, &req->r);
}

static const char *op_name(const struct req *req)
{
	switch (req->type) {
	case T_IN:
		return "read";
	case T_OUT:
		return "write";
	case T_FLUSH:
		return "flush";
	case T_DISCARD:
		return "discard";
	default:
		return "write-zeroes";
	}
}

static const char *advice(int code)
{
	switch (code) {
	case ENOSPC:
	case EDQUOT:
		return "make room on the host's file system, or the guest's file systems may go read-only";
	case EIO:
		return "the host's storage fails, or the image became shorter: look at the host's kernel log, and save "
		       "what can "
		       "be read";
	default:
		return "look at the host's kernel log and at the storage that holds the image";
	}
}

/* The guest sees each of them; the operator hears of the first and of how many there are, in lines that grow fewer. */
static void report_error(const struct req *req, int code)
{
	struct vblk *vb = req->vb;
	u64 now = clock_mono_ns();

	if (!vb->errors || now - vb->errors_ns > ERRORS_FORGET_NS) {
		vb->errors = 0;
		vb->errors_next = 1;
	}
	vb->errors_ns = now;
	if (++vb->errors != vb->errors_next)
		return;
	vb->errors_next *= 10;
	log_warn("disk '%s': the host failed a %s of %llu bytes at %llu: %s (errno %d); %s. %llu such error%s so far, "
		 "the next "
		 "line comes at %llu",
		 blk_name(vb->blk), op_name(req), (unsigned long long)req->r.bytes, (unsigned long long)req->r.off,
		 strerror(code), code, advice(code), (unsigned long long)vb->errors, vb->errors == 1 ? "" : "s",
		 (unsigned long long)vb->errors_next);
}

static void req_done(struct blk_req *r, int res)
{
	struct req *req = container_of(r, struct req, r);
	struct vblk *vb = req->vb;

	if (req->epoch != vb->epoch) { /* detached */
		vb->inflight--;
		req_push(req);
		return;
	}
	if (res == 0 && req->range < req->nrange) {
		submit_range(req);
		return;
	}
	if (res == 0 && r->op != BLK_READ && r->op != BLK_FLUSH && !virtio_has(vb->dev, F_FLUSH)) {
		r->op = BLK_FLUSH;
		blk_submit(vb->blk, r);
		return;
	}
	/* EINVAL and EROFS are the guest's mistakes; the rest the operator wants to know. */
	if (res < 0 && res != -EINVAL && res != -EROFS)
		report_error(req, -res);
	vb->inflight--;
	req_finish(req, res ? S_IOERR : S_OK);
}

/* ---- beginning one: each returns false when the request has ended with *status ---- */

static bool start_rw(struct req *req, u64 sector, u8 *status)
{
	struct virtio_chain *ch = &req->ch;
	struct blk_req *r = &req->r;

	if (req->type == T_IN) {
		struct iovec *last = &ch->iov[ch->nout + ch->nin - 1];
		r->op = BLK_READ;
		r->bytes = ch->in_bytes - 1;
		r->iov = ch->iov + ch->nout;
		r->niov = ch->nin;
		if (last->iov_len == 1) {
			r->niov--;
		} else {
			last->iov_len--;
			req->trimmed = true;
		}
	} else {
		unsigned i = 0;
		u64 skip = HDR_BYTES;
		r->op = BLK_WRITE;
		r->bytes = ch->out_bytes - HDR_BYTES;
		while (i < ch->nout && skip >= ch->iov[i].iov_len)
			skip -= ch->iov[i++].iov_len;
		if (i < ch->nout) {
			ch->iov[i].iov_base = (u8 *)ch->iov[i].iov_base + skip;
			ch->iov[i].iov_len -= skip;
		}
		r->iov = ch->iov + i;
		r->niov = ch->nout - i;
	}
	*status = S_IOERR;
	if (r->bytes % BLK_SECTOR || sector > blk_bytes(req->vb->blk) / BLK_SECTOR)
		return false;
	r->off = sector * BLK_SECTOR;
	blk_submit(req->vb->blk, r);
	return true;
}

/* Discard and write-zeroes (5.2.6.2): the driver's list is read once and checked whole. */
static bool start_ranges(struct req *req, u8 *status)
{
	struct vblk *vb = req->vb;
	u64 bytes = req->ch.out_bytes - HDR_BYTES, disk = blk_bytes(vb->blk) / BLK_SECTOR;
	bool discard = req->type == T_DISCARD;

	*status = S_UNSUPP;
	if (!virtio_has(vb->dev, discard ? F_DISCARD : F_WRITE_ZEROES))
		return false;
	*status = S_IOERR;
	if (blk_readonly(vb->blk) || !bytes || bytes % sizeof(struct range) || bytes > sizeof(req->ranges))
		return false;
	req->nrange = (unsigned)(bytes / sizeof(struct range));
	virtio_chain_read(&req->ch, HDR_BYTES, req->ranges, bytes);
	for (unsigned i = 0; i < req->nrange; i++) {
		const struct range *g = &req->ranges[i];
		if ((g->flags & ~RANGE_F_UNMAP) || (discard && g->flags)) {
			*status = S_UNSUPP;
			return false;
		}
		if (g->sectors > RANGE_SECTORS || g->sector > disk || g->sectors > disk - g->sector)
			return false;
	}
	req->r.op = discard ? BLK_DISCARD : BLK_WRITE_ZEROES;
	submit_range(req);
	return true;
}

static void req_start(struct req *req)
{
	struct vblk *vb = req->vb;
	struct virtio_chain *ch = &req->ch;
	u8 hdr[HDR_BYTES], status = S_UNSUPP;
	bool started = false;

	if (ch->out_bytes < HDR_BYTES || !ch->in_bytes) {
		virtio_broken(vb->dev, "a block request without header or status byte");
		req_put(vb, req);
		return;
	}
	virtio_chain_read(ch, 0, hdr, sizeof(hdr));
	req->type = ld_le32(hdr);
	blk_req_init(&req->r, req_done);
	req->trimmed = false;
	req->nrange = req->range = 0;
	req->epoch = vb->epoch;
	vb->inflight++;
	switch (req->type) {
	case T_IN:
	case T_OUT:
		started = start_rw(req, ld_le64(hdr + 8), &status);
		break;
	case T_FLUSH:
		req->r.op = BLK_FLUSH;
		blk_submit(vb->blk, &req->r);
		started = true;
		break;
	case T_GET_ID:
		virtio_chain_write(ch, 0, vb->serial, MIN(sizeof(vb->serial), ch->in_bytes - 1));
		status = S_OK;
		break;
	case T_DISCARD:
	case T_WRITE_ZEROES:
		started = start_ranges(req, &status);
		break;
	default:
		break;
	}
	if (!started) {
		vb->inflight--;
		req_finish(req, status);
	}
}

/* ---- queues ---- */

static void pop_all(struct vblk *vb, unsigned q)
{
	do {
		virtio_notify_disable(vb->dev, q);
		for (;;) {
			struct req *req = req_get(vb);
			if (!req) {
				vb->starved = true;
				return;
			}
			if (!virtio_pop(vb->dev, q, &req->ch)) {
				req_put(vb, req);
				break;
			}
			req->vb = vb;
			req->q = q;
			req_start(req);
			virtio_charge(vb->dev, REQ_WORK);
		}
	} while (virtio_notify_enable(vb->dev, q));
}

static void signal_all(struct vblk *vb)
{
	while (vb->to_signal) {
		unsigned q = (unsigned)__builtin_ctzll(vb->to_signal);
		vb->to_signal &= vb->to_signal - 1;
		virtio_signal(vb->dev, q);
	}
}

static void vblk_notify(struct virtio_dev *d, unsigned q)
{
	struct vblk *vb = d->impl;

	blk_plug(vb->blk);
	pop_all(vb, q);
	blk_unplug(vb->blk);
	signal_all(vb);
}

static void client_begin(void *opaque)
{
	struct vblk *vb = opaque;
	virtio_lock(vb->dev);
}

static void client_end(void *opaque)
{
	struct vblk *vb = opaque;

	if (vb->starved) {
		vb->starved = false;
		for (unsigned q = 0; q < vb->dev->nqueues; q++)
			pop_all(vb, q);
	}
	signal_all(vb);
	virtio_unlock(vb->dev);
}

/* ---- the device ---- */

static void vblk_cfg_read(struct virtio_dev *d, unsigned off, void *buf, unsigned bytes)
{
	struct vblk *vb = d->impl;
	memcpy(buf, (const u8 *)&vb->cfg + off, bytes);
}

static void vblk_reset(struct virtio_dev *d)
{
	struct vblk *vb = d->impl;

	vb->epoch++;
	vb->starved = false;
	/* INV-VB-1. Queues are seen empty meanwhile, so nothing new is submitted. */
	virtio_unlock(d);
	blk_cancel(vb->blk);
	virtio_lock(d);
	must(!vb->inflight);
	vb->to_signal = 0;
}

static void vblk_free(struct virtio_dev *d)
{
	struct vblk *vb = d->impl;

	virtio_lock(d);
	virtio_reset(d);
	virtio_unlock(d);
	blk_close(vb->blk);
	unmap_sparse(vb->reqs, vb->nreqs * sizeof(*vb->reqs));
	free(vb);
}

static bool vblk_busy(struct virtio_dev *d)
{
	return ((struct vblk *)d->impl)->inflight;
}

static void vblk_quiesce(struct virtio_dev *d)
{
	struct vblk *vb = d->impl;

	/* A device that is frozen takes no more: what waits for a struct req stays in the ring. */
	blk_drain(vb->blk);
	must(!vb->inflight);
}

static void vblk_state(struct virtio_dev *d, struct state_file *s)
{
	struct vblk *vb = d->impl;

	state_same(s, vb->cfg.capacity, "a disk has another size now than when the VM was saved");
}

static const struct virtio_class virtio_blk_class = {
	.name = "virtio-blk",
	.id = VIRTIO_ID_BLOCK,
	.features = 1ull << F_SEG_MAX | 1ull << F_BLK_SIZE | 1ull << F_FLUSH | 1ull << F_TOPOLOGY | 1ull << F_MQ,
	.cfg_bytes = CONFIG_BYTES,
	.cfg_read = vblk_cfg_read,
	.notify = vblk_notify,
	.reset = vblk_reset,
	.free = vblk_free,
	.busy = vblk_busy,
	.quiesce = vblk_quiesce,
	.state = vblk_state,
};

int virtio_blk_new(struct virtio_dev **out, struct ram *ram, struct loop *loop, struct blk *blk, unsigned nqueues,
		   const char *serial, struct err *e)
{
	if (!nqueues || nqueues > QUEUES_MAX) {
		blk_close(blk);
		return err_set(e, EINVAL, "a virtio disk has 1 to %d queues, not %u", QUEUES_MAX, nqueues);
	}

	struct vblk *vb = xcalloc(1, sizeof(*vb));
	vb->blk = blk;
	vb->nreqs = nqueues * VIRTIO_QUEUE_MAX;
	vb->reqs = xmap_sparse(vb->nreqs * sizeof(*vb->reqs));
	if (serial)
		memcpy(vb->serial, serial, strnlen(serial, sizeof(vb->serial)));
	vb->cfg = (struct blk_config){
		.capacity = blk_bytes(blk) / BLK_SECTOR,
		.seg_max = VIRTIO_CHAIN_MAX - 2,
		.blk_size = BLK_SECTOR,
		.physical_block_exp = 3, /* 4 KiB: what host file systems like */
		.min_io_size = 8,
		.writeback = 1,
		.num_queues = (u16)nqueues,
	};
	vb->dev = virtio_new(&virtio_blk_class, ram, loop, nqueues, vb);
	if (blk_readonly(blk)) {
		vb->dev->features_offered |= 1ull << F_RO;
	} else {
		vb->dev->features_offered |= 1ull << F_WRITE_ZEROES;
		vb->cfg.max_write_zeroes_sectors = RANGE_SECTORS;
		vb->cfg.max_write_zeroes_seg = RANGE_MAX;
		vb->cfg.write_zeroes_may_unmap = blk_can_discard(blk);
	}
	if (blk_can_discard(blk)) {
		vb->dev->features_offered |= 1ull << F_DISCARD;
		vb->cfg.max_discard_sectors = RANGE_SECTORS;
		vb->cfg.max_discard_seg = RANGE_MAX;
		vb->cfg.discard_sector_alignment = 8;
	}
	const struct blk_client client = { client_begin, client_end, vb };
	blk_set_client(blk, &client);
	*out = vb->dev;
	return 0;
}
