/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_blk_req.c - requests of the block device (VIRTIO 1.1, 5.2.6): header to host I/O to status.
 *
 * Theory: a request lives from pop to push in one of vb->reqs:
 *   submitted   the block layer has req->r; guest memory behind the chain is being read or written
 *   detached    the same, but the device was reset since (req->epoch is old): its end marks the memory
 *               as written and touches nothing else of the guest's
 * A reset cancels what the host has not begun with.
 * INV-VB-1: reset returns when nothing is in flight, so no host I/O reaches memory that the driver took
 * back.
 */
#include "base/i18n.h"
#include "device/virtio/virtio_blk_int.h"

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
#define RANGE_F_UNMAP 1u

struct req *vblk_req_get(struct vblk *vb)
{
	struct req *req = vb->free;

	if (req)
		vb->free = req->next_free;
	else if (vb->fresh < vb->nreqs)
		req = &vb->reqs[vb->fresh++];
	return req;
}

void vblk_req_put(struct vblk *vb, struct req *req)
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
	vblk_req_put(vb, req);
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
	blk_report(&vb->report, vb->blk, r, res);
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

void vblk_req_start(struct req *req)
{
	struct vblk *vb = req->vb;
	struct virtio_chain *ch = &req->ch;
	u8 hdr[HDR_BYTES], status = S_UNSUPP;
	bool started = false;

	if (ch->out_bytes < HDR_BYTES || !ch->in_bytes) {
		virtio_broken(vb->dev, N_("a block request without header or status byte"));
		vblk_req_put(vb, req);
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
