/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ata_drive.c - a drive's life, its medium, and what is saved of it; see ata.h.
 *
 * The tray. The host's `eject` opens it, or, when the guest has locked it, asks the guest to (GET EVENT STATUS
 * NOTIFICATION, which its driver polls). While it is open there is no medium for the guest, whatever is in d->blk; so
 * who opened it can change the medium and then `insert`.
 */
#include "device/ata/ata_int.h"

#define EVENT_EJECT 1 /* MMC-6, 6.6.4: media events */
#define EVENT_NEW 2
#define EVENT_REMOVED 3

static struct ata_drive *of(struct device *d)
{
	return container_of(d, struct ata_drive, dev);
}

/* ---- life ---- */

int ata_drive_new(struct ata_drive **out, const char *class_name, bool atapi, bool pata, const struct device_args *a,
		  struct err *e)
{
	struct ata_drive *d;

	if (atapi ? !blk_readonly(a->blk) : !blk_bytes(a->blk)) {
		blk_close(a->blk);
		return err_set(e, EINVAL, atapi ? N_("a CD-ROM is read only") : N_("a disk has a size"));
	}
	d = xcalloc(1, sizeof(*d));
	d->dev.name = class_name;
	d->atapi = atapi;
	d->pata = pata;
	d->blk = a->blk;
	snprintf(d->serial, sizeof(d->serial), "%s", a->serial && *a->serial ? a->serial : a->id);
	ata_drive_reset(d);
	*out = d;
	return 0;
}

void ata_drive_connect(struct ata_drive *d, struct device *on, unsigned unit, struct fair_lock *lock,
		       const struct blk_client *client)
{
	d->dev.on = on;
	d->dev.unit = unit;
	d->lock = lock;
	blk_set_client(d->blk, client);
}

void ata_drive_free(struct ata_drive *d)
{
	if (!d)
		return;
	blk_close(d->blk);
	free(d);
}

/* ---- resets ---- */

void ata_soft_reset(struct ata_drive *d)
{
	d->multiple = 0;
	d->sense = d->asc = d->ascq = 0;
	d->ncq_failed = false;
}

void ata_drive_reset(struct ata_drive *d)
{
	ata_soft_reset(d);
	d->mwdma = 0xff;
	d->udma = 5;
	d->write_cache = d->look_ahead = true;
	d->heads = 16;
	d->sectors = 63;
	d->open = false;
	d->locked = false;
	d->event = 0;
	d->attention = ASC_RESET;
}

void ata_signature(const struct ata_drive *d, struct ata_tf *tf)
{
	tf->count = 1;
	tf->lba = d->atapi ? 0xeb1401 : 0x000001;
	tf->device = 0;
	tf->error = 1;
	tf->status = d->atapi ? 0 : ATA_S_DRDY | ATA_S_SEEK;
}

/* ---- media ---- */

int ata_eject(struct device *dev, bool force, struct err *e)
{
	struct ata_drive *d = of(dev);
	int r = 0;

	fair_lock(d->lock);
	if (d->locked && !force && !d->open) {
		d->event = EVENT_EJECT;
		r = -EBUSY;
	} else {
		d->open = true;
		d->locked = false;
		d->event = EVENT_REMOVED;
	}
	fair_unlock(d->lock);
	if (r < 0)
		return err_set(e, EBUSY,
			       "the guest has locked the medium of '%s', and was asked to let it go; try again, or "
			       "take it away by force",
			       dev->id);
	return 0;
}

void ata_insert(struct device *dev)
{
	struct ata_drive *d = of(dev);

	fair_lock(d->lock);
	d->open = false;
	d->event = blk_bytes(d->blk) ? EVENT_NEW : EVENT_REMOVED;
	d->attention = ASC_CHANGED;
	fair_unlock(d->lock);
}

bool ata_tray_open(struct device *dev)
{
	struct ata_drive *d = of(dev);

	fair_lock(d->lock);
	bool open = d->open;
	fair_unlock(d->lock);
	return open;
}

/* ---- saved state ---- */

static void state_tf(struct ata_tf *tf, struct state_file *s)
{
	state_u8(s, &tf->command);
	state_u8(s, &tf->device);
	state_u16(s, &tf->feature);
	state_u16(s, &tf->count);
	state_u64(s, &tf->lba);
	state_u8(s, &tf->status);
	state_u8(s, &tf->error);
	tf->lba &= 0xffffffffffff;
}

void ata_cmd_state(struct ata_cmd *c, struct ata_drive *d, struct state_file *s)
{
	unsigned dir = c->dir;

	state_tf(&c->tf, s);
	state_bytes(s, c->cdb, sizeof(c->cdb));
	state_uint(s, &dir, ATA_FROM_HOST);
	state_u64(s, &c->bytes);
	state_u64(s, &c->moved);
	state_u64(s, &c->off);
	state_uint(s, &c->block, 0xffff);
	state_bool(s, &c->dma);
	state_bool(s, &c->ended);
	state_bool(s, &c->medium);
	state_bool(s, &c->flush_after);
	state_bytes(s, c->reply, sizeof(c->reply));
	if (!state_loading(s))
		return;
	u64 room = !c->medium ? ATA_REPLY_MAX : d ? blk_bytes(d->blk) : 0;
	bool sane = d && c->bytes <= room && c->moved <= c->bytes && (!c->medium || c->off <= room - c->bytes) &&
		    (c->bytes != 0) == (dir != ATA_NODATA) && c->block >= 2 &&
		    !((c->off | c->bytes | c->moved) % BLK_SECTOR && c->medium);
	c->drive = d;
	c->dir = dir;
	c->queued = c->flushing = false;
	c->range = c->nranges = 0;
	c->moving = 0;
	c->what = sane ? ata_command_find(d, c->tf.command) : NULL;
	if (c->what && c->tf.command == ATA_PACKET && !atapi_known(c))
		c->what = NULL;
}

void ata_drive_state(struct ata_drive *d, struct state_file *s)
{
	state_same(s, d->atapi, "a disk is there where a CD-ROM was, or the other way round");
	state_same(s, blk_bytes(d->blk), "a disk or a medium has another size now than when the VM was saved");
	state_u8(s, &d->multiple);
	state_u8(s, &d->mwdma);
	state_u8(s, &d->udma);
	state_bool(s, &d->write_cache);
	state_bool(s, &d->look_ahead);
	state_u16(s, &d->heads);
	state_u16(s, &d->sectors);
	state_bool(s, &d->ncq_failed);
	state_u8(s, &d->ncq_tag);
	state_tf(&d->ncq_tf, s);
	state_u8(s, &d->sense);
	state_u8(s, &d->asc);
	state_u8(s, &d->ascq);
	state_u8(s, &d->attention);
	state_bool(s, &d->open);
	state_bool(s, &d->locked);
	state_u8(s, &d->event);
	if (d->multiple > MULTIPLE_MAX || (d->mwdma > 2 && d->mwdma != 0xff) || (d->udma > 6 && d->udma != 0xff) ||
	    !d->heads || d->heads > 16 || !d->sectors || d->sectors > 255 || d->ncq_tag > 31 || d->sense > 15 ||
	    d->event > EVENT_REMOVED) {
		state_bad(s, "a drive's settings cannot be");
		ata_drive_reset(d);
	}
}
