/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * atapi.c - packets, how they run and fail; and what each of a CD-ROM's does (MMC-6, SPC-3). Answers that are tables
 * are in atapi_reply.c, a SCSI disk's packets in scsi_disk.c.
 *
 * A packet that fails leaves its reason in the drive, for REQUEST SENSE to tell. After a reset or another medium the
 * next packet that is not one of those that may always be asked ends with a unit attention, once (SAM-3, 5.14).
 */
#include "device/ata/ata_int.h"

/* ---- ending ---- */

void atapi_fail(struct ata_cmd *c, u8 key, u8 asc, u8 ascq)
{
	struct ata_drive *d = c->drive;

	d->sense = key;
	d->asc = asc;
	d->ascq = ascq;
	c->ended = true;
	c->tf.error = (u8)(key << 4 | (key == SENSE_ILLEGAL ? ATA_E_ABRT : 0));
	c->tf.status = ATA_S_DRDY | ATA_S_ERR;
}

/* ---- packets ---- */

unsigned atapi_request_sense(struct ata_cmd *c)
{
	struct ata_drive *d = c->drive;
	u8 *p = c->reply;

	if (!d->sense && d->attention) {
		d->sense = SENSE_ATTENTION;
		d->asc = d->attention;
		d->attention = 0;
	}
	memset(p, 0, 18);
	p[0] = 0x70; /* current, fixed format (SPC-3, 4.5.3) */
	p[2] = d->sense;
	p[7] = 10;
	p[12] = d->asc;
	p[13] = d->ascq;
	d->sense = d->asc = d->ascq = 0;
	return 18;
}

/* SPC-4, 6.33: there is LUN 0 and no other. */
unsigned atapi_report_luns(struct ata_cmd *c)
{
	memset(c->reply, 0, 16);
	c->reply[3] = 8;
	return 16;
}

static unsigned read_capacity(struct ata_cmd *c)
{
	st_be32(c->reply, (u32)MIN(blk_bytes(c->drive->blk) / CD_BYTES - 1, UINT32_MAX));
	st_be32(c->reply + 4, CD_BYTES);
	return 8;
}

static void begin_read(struct ata_cmd *c)
{
	const u8 *p = c->cdb;
	u64 all = blk_bytes(c->drive->blk) / CD_BYTES, at = ld_be32(p + 2), n;

	switch (p[0]) {
	case 0x28:
		n = ld_be16(p + 7);
		break;
	case 0xa8:
		n = ld_be32(p + 6);
		break;
	default:                               /* READ CD (MMC-6, 6.20): of a data disc, user data only */
		n = ld_be32(p + 5) & 0xffffff; /* bytes 6 to 8 */
		if ((p[9] & 0xf8) == 0)
			n = 0;
		else if ((p[9] & 0xf8) != 0x10 || (p[1] >> 2 & 7) == 1 || p[10] & 7) {
			atapi_fail(c, SENSE_ILLEGAL, ASC_BAD_FIELD, 0);
			return;
		}
	}
	if (at > all || n > all - at) {
		atapi_fail(c, SENSE_ILLEGAL, ASC_OUT_OF_RANGE, 0);
		return;
	}
	ata_transfer(c, ATA_TO_HOST, at * CD_BYTES, n * CD_BYTES);
}

static void finish_seek(struct ata_cmd *c)
{
	if (ld_be32(c->cdb + 2) >= blk_bytes(c->drive->blk) / CD_BYTES)
		atapi_fail(c, SENSE_ILLEGAL, ASC_OUT_OF_RANGE, 0);
}

static void finish_lock(struct ata_cmd *c)
{
	c->drive->locked = c->cdb[4] & 1;
}

static void finish_start_stop(struct ata_cmd *c)
{
	struct ata_drive *d = c->drive;
	bool start = c->cdb[4] & 1, load = c->cdb[4] & 2;

	if (c->cdb[4] & 0xf0 || !load) /* a power state, or the motor */
		return;
	if (!start && d->locked) {
		atapi_fail(c, atapi_has_medium(d) ? SENSE_ILLEGAL : SENSE_NOT_READY, ASC_LOCKED, 2);
		return;
	}
	if (start && d->open)
		d->attention = ASC_CHANGED;
	d->open = !start;
	d->event = 0;
}

static const struct packet packets[] = {
	{ 0x00, PACKET_MEDIUM, 0, 0, NULL, NULL, NULL }, /* TEST UNIT READY */
	{ 0x03, PACKET_ALWAYS | PACKET_SHORT, 4, 1, atapi_request_sense, NULL, NULL },
	{ 0x12, PACKET_ALWAYS | PACKET_SHORT, 3, 2, atapi_inquiry, NULL, NULL },
	{ 0x1a, PACKET_SHORT, 4, 1, atapi_mode_sense6, NULL, NULL },
	{ 0x1b, 0, 0, 0, NULL, NULL, finish_start_stop },
	{ 0x1e, 0, 0, 0, NULL, NULL, finish_lock },
	{ 0x25, PACKET_MEDIUM | PACKET_SHORT, 0, 0, read_capacity, NULL, NULL },
	{ 0x28, PACKET_MEDIUM, 0, 0, NULL, begin_read, NULL },
	{ 0x2b, PACKET_MEDIUM, 0, 0, NULL, NULL, finish_seek },
	{ 0x43, PACKET_MEDIUM | PACKET_SHORT, 7, 2, atapi_toc, NULL, NULL },
	{ 0x46, PACKET_ALWAYS | PACKET_SHORT, 7, 2, atapi_configuration, NULL, NULL },
	{ 0x4a, PACKET_ALWAYS | PACKET_SHORT, 7, 2, atapi_event_status, NULL, NULL },
	{ 0x51, PACKET_MEDIUM | PACKET_SHORT, 7, 2, atapi_disc_information, NULL, NULL },
	{ 0x52, PACKET_MEDIUM | PACKET_SHORT, 7, 2, atapi_track_information, NULL, NULL },
	{ 0x5a, PACKET_SHORT, 7, 2, atapi_mode_sense, NULL, NULL },
	{ 0xa0, PACKET_ALWAYS | PACKET_SHORT, 6, 4, atapi_report_luns, NULL, NULL },
	{ 0xa8, PACKET_MEDIUM, 0, 0, NULL, begin_read, NULL },
	{ 0xbb, 0, 0, 0, NULL, NULL, NULL }, /* SET CD SPEED */
	{ 0xbd, PACKET_SHORT, 8, 2, atapi_mechanism, NULL, NULL },
	{ 0xbe, PACKET_MEDIUM, 0, 0, NULL, begin_read, NULL },
};

static const struct packet *find(const struct ata_cmd *c)
{
	u8 code = c->cdb[0];

	if (c->drive->scsi_disk)
		return scsi_disk_packet(code);
	for (size_t i = 0; i < ARRAY_LEN(packets); i++)
		if (packets[i].code == code)
			return &packets[i];
	return NULL;
}

bool atapi_known(const struct ata_cmd *c)
{
	return find(c);
}

static void short_reply(struct ata_cmd *c, const struct packet *p)
{
	unsigned n = p->reply(c), room = n;

	if (!n) {
		atapi_fail(c, SENSE_ILLEGAL, ASC_BAD_FIELD, 0);
		return;
	}
	if (p->room_bytes)
		room = p->room_bytes == 1   ? c->cdb[p->room_at]
		       : p->room_bytes == 2 ? ld_be16(c->cdb + p->room_at)
					    : ld_be32(c->cdb + p->room_at);
	ata_reply(c, MIN(n, room));
}

void atapi_begin(struct ata_cmd *c)
{
	const struct packet *p = find(c);
	struct ata_drive *d = c->drive;

	c->dma = c->tf.feature & 1;
	if (!p) {
		atapi_fail(c, SENSE_ILLEGAL, ASC_BAD_OPCODE, 0);
		return;
	}
	if (d->attention && !(p->flags & PACKET_ALWAYS)) {
		atapi_fail(c, SENSE_ATTENTION, d->attention, 0);
		d->attention = 0;
		return;
	}
	if (p->flags & PACKET_MEDIUM && !atapi_has_medium(d)) {
		atapi_fail(c, SENSE_NOT_READY, ASC_NO_MEDIUM, d->open ? 2 : 1);
		return;
	}
	if (c->cdb[0] != 0x03)
		d->sense = d->asc = d->ascq = 0;
	if (p->flags & PACKET_SHORT)
		short_reply(c, p);
	else if (p->begin)
		p->begin(c);
}

void atapi_finish(struct ata_cmd *c)
{
	const struct packet *p = find(c);

	if (p->finish)
		p->finish(c);
	if (c->ended || c->flushing) /* a flush ends it */
		return;
	ata_ok(c);
	c->tf.status = ATA_S_DRDY;
}
