/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_scsi.c - a SCSI host adapter (VIRTIO 1.2, 5.6): queues for control, events (there are none) and requests.
 *
 * Theory: a request's chain has a header with the LUN and the command (CDB), data for the device; then room for a
 * response with the sense data, data from the device. The command goes to the drive as a packet (ata/ata.h), in steps:
 *
 *   begun     the drive has looked at it: it knows how many bytes there are, or has failed
 *   moved     all of them that the chain has room for are, or the command has none
 *   finished  what is left is done (a flush); the response says how it ended and the chain goes back
 *
 * A task management function is answered when nothing is in flight, and no request begins before: so whatever it was to
 * abort has ended. After a reset of the device requests in flight are detached (their epoch is old): they end with
 * nothing but their memory marked as written.
 *
 * Locks: virtio_dev.lock, then `drives`, which guards the drives against who ejects their media.
 */
#include "device/virtio/virtio_scsi.h"

#include "base/i18n.h"
#include "base/state.h"
#include "device/virtio/virtio_transport.h"

enum { CONTROLQ, EVENTQ, REQUESTQ, QUEUES };

#define REQUESTS 64u /* at a time; the rest waits in the ring */
#define CDB_USUAL 32u
#define SENSE_USUAL 96u
#define CDB_MAX 260u /* SPC-4, 4.2.5 */
#define SENSE_MAX 252u
#define HEAD 19u /* LUN, tag, attributes; the CDB follows */
#define LUN_BYTES 8u
#define RESPONSE 12u /* sense length, residual, qualifier, status, response; sense data follow */
#define SENSE_BYTES 18u
#define REQUEST_WORK 40 /* virtio_charge() */

#define S_OK 0
#define S_BAD_TARGET 3
#define S_REJECTED 5
#define CHECK_CONDITION 2

#define T_TMF 0
#define T_AN_QUERY 1
#define T_AN_SUBSCRIBE 2
#define TMF_RESET_NEXUS 4
#define TMF_RESET_LUN 5
#define TMF_LAST_ABORT 3 /* 0 to 3: abort a task, all, clear */

struct config {
	u32 num_queues, seg_max, max_sectors, cmd_per_lun, event_info_size, sense_size, cdb_size;
	u16 max_channel, max_target;
	u32 max_lun;
};
_Static_assert(sizeof(struct config) == 36, "virtio_scsi_config (5.6.4)");

struct vscsi;

struct request {
	struct virtio_chain ch;
	struct ata_cmd cmd;
	struct vscsi *h;
	struct request *next_free;
	unsigned q, epoch;
	u32 head, response; /* bytes of both, as they were when it began */
	bool moved, finishing;
	u8 status, answer;
};

/* All under dev->lock; the drives under `drives` as well. */
struct vscsi {
	struct virtio_dev *dev;
	struct config cfg;
	struct fair_lock drives;
	struct ata_drive *drive[VIRTIO_SCSI_TARGETS];
	unsigned ndrives;
	struct request *requests, *free;
	unsigned inflight, epoch;
	bool starved, managing, signal;
	u32 kind, function; /* of the chain in `control`, while `managing` */
	struct virtio_chain control;
};

/* ---- the end of a request ---- */

static u64 room_in(const struct request *r)
{
	return r->ch.in_bytes - r->response;
}

static u64 room_out(const struct request *r)
{
	return r->ch.out_bytes - r->head;
}

static void give_back(struct request *r, u64 written)
{
	struct vscsi *h = r->h;

	virtio_push(h->dev, r->q, &r->ch, (u32)MIN(written, UINT32_MAX));
	h->signal = true;
	h->inflight--;
	r->next_free = h->free;
	h->free = r;
}

static void respond(struct request *r, u8 answer)
{
	struct ata_drive *d = r->cmd.drive;
	bool failed = answer == S_OK && r->cmd.tf.status & ATA_S_ERR;
	u64 data = answer == S_OK ? r->cmd.moved : 0, room = room_in(r) + room_out(r);
	u8 p[RESPONSE + SENSE_MAX] = { 0 };

	st_le32(p + 4, (u32)(room > data ? room - data : 0));
	p[11] = answer;
	if (failed) {
		u8 *sense = p + RESPONSE; /* fixed format (SPC-4, 4.5.3) */
		sense[0] = 0x70;
		sense[2] = d->sense;
		sense[7] = SENSE_BYTES - 8;
		sense[12] = d->asc;
		sense[13] = d->ascq;
		d->sense = d->asc = d->ascq = 0; /* it is told */
		st_le32(p, MIN(SENSE_BYTES, r->response - RESPONSE));
		p[10] = CHECK_CONDITION;
	}
	virtio_chain_write(&r->ch, 0, p, r->response);
	give_back(r, r->response + (r->cmd.dir == ATA_TO_HOST ? data : 0));
}

/* ---- its steps ---- */

/* The pieces of the chain from byte `skip` of its out or in part on, `bytes` of them. */
static unsigned pieces(struct request *r, bool in, u64 skip, u64 bytes)
{
	const struct virtio_chain *ch = &r->ch;
	unsigned n = 0, first = in ? ch->nout : 0, end = in ? ch->nout + ch->nin : ch->nout;

	for (unsigned i = first; i < end && bytes; i++) {
		u64 len = ch->iov[i].iov_len;
		u64 from = MIN(skip, len), k = MIN(len - from, bytes);
		skip -= from;
		bytes -= k;
		if (k)
			r->cmd.iov[n++] = (struct iovec){ (u8 *)ch->iov[i].iov_base + from, k };
	}
	return n;
}

static void step(struct ata_cmd *c)
{
	struct request *r = container_of(c, struct request, cmd);

	if (r->epoch != r->h->epoch) { /* detached */
		give_back(r, r->ch.in_bytes);
		return;
	}
	if (c->ended) {
		respond(r, S_OK);
		return;
	}
	if (!r->moved) {
		bool in = c->dir == ATA_TO_HOST;
		u64 n = MIN(c->bytes, in ? room_in(r) : room_out(r));

		r->moved = true;
		if (c->medium)
			n -= n % BLK_SECTOR;
		if (n) {
			ata_move(c, pieces(r, in, in ? r->response : r->head, n), n);
			return;
		}
	}
	if (!r->finishing) {
		r->finishing = true;
		ata_finish(c);
	}
}

/* 5.6.6.1: 1, target, and a LUN as SAM's flat or peripheral method has it. */
static struct ata_drive *drive_of(struct vscsi *h, const u8 lun[LUN_BYTES])
{
	bool zero = (lun[2] == 0 || lun[2] == 0x40) && !lun[3] && !ld_le32(lun + 4);

	return lun[0] == 1 && lun[1] < VIRTIO_SCSI_TARGETS && zero ? h->drive[lun[1]] : NULL;
}

static void begin(struct request *r)
{
	struct vscsi *h = r->h;
	struct ata_cmd *c = &r->cmd;
	u8 head[HEAD];

	r->head = HEAD + h->cfg.cdb_size;
	r->response = RESPONSE + h->cfg.sense_size;
	if (r->ch.out_bytes < r->head || r->ch.in_bytes < r->response) {
		virtio_broken(h->dev, N_("a SCSI request without room for its header and response"));
		r->next_free = h->free;
		h->free = r;
		return;
	}
	h->inflight++;
	r->epoch = h->epoch;
	r->moved = r->finishing = false;
	virtio_chain_read(&r->ch, 0, head, sizeof(head));
	c->drive = drive_of(h, head);
	if (!c->drive) {
		c->dir = ATA_NODATA;
		respond(r, S_BAD_TARGET);
		return;
	}
	c->step = step;
	c->tf = (struct ata_tf){ .command = ATA_PACKET };
	memset(c->cdb, 0, sizeof(c->cdb));
	virtio_chain_read(&r->ch, HEAD, c->cdb, MIN(sizeof(c->cdb), h->cfg.cdb_size));
	ata_begin(c);
	step(c);
}

/* ---- queues ---- */

static void pop_all(struct vscsi *h)
{
	struct request *r;

	while (!h->managing) {
		r = h->free;
		if (!r) {
			h->starved = true;
			return;
		}
		if (!virtio_pop(h->dev, REQUESTQ, &r->ch))
			return;
		h->free = r->next_free;
		r->h = h;
		r->q = REQUESTQ;
		begin(r);
		virtio_charge(h->dev, REQUEST_WORK);
	}
}

static void answer_control(struct vscsi *h)
{
	u8 p[5] = { 0 }; /* asynchronous notifications: which there are, none; a response */
	u64 n = h->kind == T_TMF ? 1 : sizeof(p);

	if (h->kind > T_AN_SUBSCRIBE || (h->kind == T_TMF && h->function > TMF_RESET_LUN))
		p[n - 1] = S_REJECTED;
	virtio_chain_write(&h->control, 0, p, n);
	virtio_push(h->dev, CONTROLQ, &h->control, (u32)MIN(n, h->control.in_bytes));
	virtio_signal(h->dev, CONTROLQ);
	h->managing = false;
}

static void control(struct vscsi *h)
{
	while (!h->managing && virtio_pop(h->dev, CONTROLQ, &h->control)) {
		u8 head[8] = { 0 };

		virtio_chain_read(&h->control, 0, head, sizeof(head));
		h->kind = ld_le32(head);
		h->function = ld_le32(head + 4);
		h->managing = true;
		if (!h->inflight || h->kind != T_TMF)
			answer_control(h);
	}
}

/* What can go on now: requests that waited for one to end, for a task management function. */
static void settle(struct vscsi *h)
{
	bool again = h->starved && h->free;

	h->starved &= !again;
	if (h->managing && !h->inflight) {
		answer_control(h);
		virtio_again(h->dev, CONTROLQ);
		again = true;
	}
	if (again)
		pop_all(h);
	if (h->signal)
		virtio_signal(h->dev, REQUESTQ);
	h->signal = false;
}

static void vscsi_notify(struct virtio_dev *d, unsigned q)
{
	struct vscsi *h = d->impl;

	if (q == EVENTQ)
		return;
	fair_lock(&h->drives);
	for (unsigned i = 0; i < h->ndrives; i++)
		blk_plug(h->drive[i]->blk);
	if (q == CONTROLQ)
		control(h);
	else
		pop_all(h);
	for (unsigned i = 0; i < h->ndrives; i++)
		blk_unplug(h->drive[i]->blk);
	settle(h);
	fair_unlock(&h->drives);
}

static void client_begin(void *opaque)
{
	struct vscsi *h = opaque;

	virtio_lock(h->dev);
	fair_lock(&h->drives);
}

static void client_end(void *opaque)
{
	struct vscsi *h = opaque;

	settle(h);
	fair_unlock(&h->drives);
	virtio_unlock(h->dev);
}

/* ---- the device ---- */

static void vscsi_cfg_read(struct virtio_dev *d, unsigned off, void *buf, unsigned bytes)
{
	memcpy(buf, (const u8 *)&((struct vscsi *)d->impl)->cfg + off, bytes);
}

/* 5.6.4: a driver may choose two sizes; requests in flight keep theirs. */
static void vscsi_cfg_write(struct virtio_dev *d, unsigned off, const void *buf, unsigned bytes)
{
	struct vscsi *h = d->impl;

	if (bytes != 4)
		return;
	u32 v = ld_le32(buf);
	if (off == offsetof(struct config, sense_size) && v <= SENSE_MAX)
		h->cfg.sense_size = v;
	if (off == offsetof(struct config, cdb_size) && v && v <= CDB_MAX)
		h->cfg.cdb_size = v;
}

static void vscsi_reset(struct virtio_dev *d)
{
	struct vscsi *h = d->impl;

	h->epoch++;
	h->starved = h->managing = false;
	/* Queues are seen empty meanwhile, so nothing new is submitted. */
	virtio_unlock(d);
	for (unsigned i = 0; i < h->ndrives; i++)
		blk_cancel(h->drive[i]->blk);
	virtio_lock(d);
	must(!h->inflight);
	h->signal = false;
	h->cfg.sense_size = SENSE_USUAL;
	h->cfg.cdb_size = CDB_USUAL;
	fair_lock(&h->drives);
	for (unsigned i = 0; i < h->ndrives; i++)
		ata_drive_reset(h->drive[i]);
	fair_unlock(&h->drives);
}

static void vscsi_free(struct virtio_dev *d)
{
	struct vscsi *h = d->impl;

	virtio_lock(d);
	virtio_reset(d);
	virtio_unlock(d);
	for (unsigned i = 0; i < h->ndrives; i++)
		ata_drive_free(h->drive[i]);
	unmap_sparse(h->requests, REQUESTS * sizeof(*h->requests));
	fair_lock_fini(&h->drives);
	free(h);
}

static bool vscsi_quiesce(struct virtio_dev *d)
{
	struct vscsi *h = d->impl;

	return !h->inflight && !h->managing;
}

static void vscsi_state(struct virtio_dev *d, struct state_file *s)
{
	struct vscsi *h = d->impl;

	state_same(s, h->ndrives, "another number of SCSI targets");
	state_u32(s, &h->cfg.sense_size);
	state_u32(s, &h->cfg.cdb_size);
	if (h->cfg.sense_size > SENSE_MAX || !h->cfg.cdb_size || h->cfg.cdb_size > CDB_MAX) {
		state_bad(s, "sizes of SCSI commands that cannot be");
		h->cfg.sense_size = SENSE_USUAL;
		h->cfg.cdb_size = CDB_USUAL;
	}
	fair_lock(&h->drives);
	for (unsigned i = 0; i < h->ndrives; i++)
		ata_drive_state(h->drive[i], s);
	fair_unlock(&h->drives);
}

static const struct virtio_class scsi_class = {
	.name = VIRTIO_SCSI_NAME,
	.id = VIRTIO_ID_SCSI,
	.cfg_bytes = sizeof(struct config),
	.cfg_read = vscsi_cfg_read,
	.cfg_write = vscsi_cfg_write,
	.notify = vscsi_notify,
	.reset = vscsi_reset,
	.free = vscsi_free,
	.quiesce = vscsi_quiesce,
	.state = vscsi_state,
};

struct virtio_dev *virtio_scsi_new(struct ram *ram, struct loop *loop)
{
	struct vscsi *h = xcalloc(1, sizeof(*h));

	fair_lock_init(&h->drives);
	h->cfg = (struct config){
		.num_queues = 1,
		.seg_max = VIRTIO_CHAIN_MAX - 2,
		.max_sectors = 0xffff,
		.cmd_per_lun = REQUESTS,
		.event_info_size = 16,
		.sense_size = SENSE_USUAL,
		.cdb_size = CDB_USUAL,
		.max_target = VIRTIO_SCSI_TARGETS - 1,
	};
	h->requests = xmap_sparse(REQUESTS * sizeof(*h->requests));
	for (unsigned i = REQUESTS; i--;) {
		h->requests[i].next_free = h->free;
		h->free = &h->requests[i];
	}
	h->dev = virtio_new(&scsi_class, ram, loop, QUEUES, h);
	return h->dev;
}

int virtio_scsi_connect(struct virtio_dev *d, struct device *on, struct ata_drive *drive, struct err *e)
{
	struct vscsi *h = d->impl;
	const struct blk_client client = { client_begin, client_end, h };

	must(d->cls == &scsi_class);
	if (h->ndrives == VIRTIO_SCSI_TARGETS) {
		ata_drive_free(drive);
		return err_set(e, ENOSPC, "virtio-scsi: all %u targets are taken; put the rest on another bus",
			       VIRTIO_SCSI_TARGETS);
	}
	ata_drive_connect(drive, on, h->ndrives, &h->drives, &client);
	virtio_lock(d);
	h->drive[h->ndrives++] = drive;
	virtio_unlock(d);
	return 0;
}
