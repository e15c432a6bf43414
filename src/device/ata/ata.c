/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ata.c - running a command: from what ata_begin() finds to its end; see ata.h.
 *
 * One block request is under way of a command at most: a piece of its data, then a flush, or range after range of a
 * trim. Its end comes from the block layer, under the controller's lock.
 */
#include "device/ata/ata_int.h"

/* ---- ending ---- */

void ata_ok(struct ata_cmd *c)
{
	c->ended = true;
	c->tf.error = 0;
	c->tf.status = ATA_S_DRDY | ATA_S_SEEK;
}

static void end_with(struct ata_cmd *c, u8 error)
{
	c->ended = true;
	c->tf.error = error;
	c->tf.status = ATA_S_DRDY | ATA_S_SEEK | ATA_S_ERR;
	if (c->queued) {
		c->drive->ncq_failed = true;
		c->drive->ncq_tag = (u8)(c->tf.count >> 3 & 31);
		c->drive->ncq_tf = c->tf;
	}
}

void ata_abort(struct ata_cmd *c)
{
	end_with(c, ATA_E_ABRT);
}

void ata_fail(struct ata_cmd *c, u8 error)
{
	if (c->tf.command == ATA_PACKET && c->what)
		atapi_fail(c, SENSE_ILLEGAL, ASC_BAD_FIELD, 0);
	else
		end_with(c, error);
}

/* The medium: res of a block request. */
static void fail_medium(struct ata_cmd *c, int res)
{
	if (c->tf.command == ATA_PACKET) {
		if (res == -ENOMEDIUM || res == -ECANCELED)
			atapi_fail(c, SENSE_NOT_READY, ASC_NO_MEDIUM, 0);
		else
			atapi_fail(c, SENSE_MEDIUM_ERROR, c->dir == ATA_TO_HOST ? 0x11 : 0x0c, 0); /* unrecovered */
		return;
	}
	if (res == -EROFS || res == -ECANCELED)
		end_with(c, ATA_E_ABRT);
	else
		end_with(c, res == -EINVAL ? ATA_E_IDNF : ATA_E_UNC);
}

/* ---- what a command has of data ---- */

void ata_reply(struct ata_cmd *c, u64 bytes)
{
	must(bytes <= ATA_REPLY_MAX);
	c->dir = bytes ? ATA_TO_HOST : ATA_NODATA;
	c->bytes = bytes;
	c->block = 512;
}

void ata_transfer(struct ata_cmd *c, enum ata_dir dir, u64 off, u64 bytes)
{
	c->medium = true;
	c->dir = bytes ? dir : ATA_NODATA;
	c->off = off;
	c->bytes = bytes;
	c->block = 512;
}

/* ---- block requests ---- */

static void block_done(struct blk_req *r, int res)
{
	struct ata_cmd *c = r->opaque;
	struct ata_drive *d = c->drive;

	blk_report(&d->report, d->blk, r, res);
	if (res < 0)
		fail_medium(c, res);
	else if (c->nranges && !c->flushing)
		ata_trim_next(c);
	else if (c->flushing)
		ata_ok(c);
	else
		c->moved += c->moving;
	if (c->ended || c->moving) {
		c->moving = 0;
		c->step(c);
	}
}

void ata_ask_block(struct ata_cmd *c, enum blk_op op, u64 off, u64 bytes)
{
	blk_req_init(&c->r, block_done);
	c->r.opaque = c;
	c->r.op = op;
	c->r.off = off;
	c->r.bytes = bytes;
	c->flushing = op == BLK_FLUSH;
	blk_submit(c->drive->blk, &c->r);
}

/* ---- the steps ---- */

void ata_begin(struct ata_cmd *c)
{
	struct ata_drive *d = c->drive;

	c->dir = ATA_NODATA;
	c->bytes = c->moved = c->moving = c->off = 0;
	c->dma = c->queued = c->ended = c->medium = c->flush_after = c->flushing = false;
	c->range = c->nranges = 0;
	c->block = 512;
	c->what = ata_command_find(d, c->tf.command);
	if (!c->what) {
		ata_abort(c);
		return;
	}
	c->dma = c->what->flags & DMA;
	c->queued = c->what->flags & QUEUED;
	c->what->begin(c);
}

static void move_reply(struct ata_cmd *c, unsigned niov, u64 bytes)
{
	u64 done = 0;

	for (unsigned i = 0; i < niov && done < bytes; i++) {
		u8 *mine = c->reply + c->moved + done;
		u64 n = MIN(c->iov[i].iov_len, bytes - done);

		if (c->dir == ATA_TO_HOST)
			memcpy(c->iov[i].iov_base, mine, n);
		else
			memcpy(mine, c->iov[i].iov_base, n);
		done += n;
	}
	c->moved += bytes;
	c->step(c);
}

void ata_move(struct ata_cmd *c, unsigned niov, u64 bytes)
{
	must(!c->ended && niov <= ATA_IOV_MAX && bytes && bytes <= c->bytes - c->moved);
	if (!c->medium) {
		must(c->bytes <= ATA_REPLY_MAX);
		move_reply(c, niov, bytes);
		return;
	}
	c->moving = bytes;
	blk_req_init(&c->r, block_done);
	c->r.opaque = c;
	c->r.op = c->dir == ATA_TO_HOST ? BLK_READ : BLK_WRITE;
	c->r.off = c->off + c->moved;
	c->r.bytes = bytes;
	c->r.iov = c->iov;
	c->r.niov = niov;
	c->flushing = false;
	blk_submit(c->drive->blk, &c->r);
}

void ata_finish(struct ata_cmd *c)
{
	must(!c->ended);
	if (c->what->finish) {
		c->what->finish(c);
		if (c->ended)
			c->step(c);
	} else if (c->flush_after) {
		ata_ask_block(c, BLK_FLUSH, 0, 0);
	} else {
		ata_ok(c);
		c->step(c);
	}
}
