/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * atapi.c - the packets of a CD-ROM (MMC-6, SPC-3): what each does. Answers that are tables are in atapi_reply.c.
 *
 * A packet that fails leaves its reason in the drive, for REQUEST SENSE to tell. After a reset or another medium the
 * next packet that is not one of those that may always be asked ends with a unit attention, once (SAM-3, 5.14).
 */
#include "device/ata/ata_int.h"

enum {
	ALWAYS = 1 << 0, /* a unit attention does not stop it */
	MEDIUM = 1 << 1, /* needs one */
	SHORT = 1 << 2,  /* an answer in reply[], up to the allocation length */
};

struct packet {
	u8 code, flags;
	u8 room_at, room_bytes; /* SHORT: where the packet has the allocation length */
	unsigned (*reply)(struct ata_cmd *c);
	void (*begin)(struct ata_cmd *c);
	void (*finish)(struct ata_cmd *c);
};

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

static unsigned request_sense(struct ata_cmd *c)
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
	{ 0x00, MEDIUM, 0, 0, NULL, NULL, NULL }, /* TEST UNIT READY */
	{ 0x03, ALWAYS | SHORT, 4, 1, request_sense, NULL, NULL },
	{ 0x12, ALWAYS | SHORT, 3, 2, atapi_inquiry, NULL, NULL },
	{ 0x1b, 0, 0, 0, NULL, NULL, finish_start_stop },
	{ 0x1e, 0, 0, 0, NULL, NULL, finish_lock },
	{ 0x25, MEDIUM | SHORT, 0, 0, read_capacity, NULL, NULL },
	{ 0x28, MEDIUM, 0, 0, NULL, begin_read, NULL },
	{ 0x2b, MEDIUM, 0, 0, NULL, NULL, finish_seek },
	{ 0x43, MEDIUM | SHORT, 7, 2, atapi_toc, NULL, NULL },
	{ 0x46, ALWAYS | SHORT, 7, 2, atapi_configuration, NULL, NULL },
	{ 0x4a, ALWAYS | SHORT, 7, 2, atapi_event_status, NULL, NULL },
	{ 0x51, MEDIUM | SHORT, 7, 2, atapi_disc_information, NULL, NULL },
	{ 0x52, MEDIUM | SHORT, 7, 2, atapi_track_information, NULL, NULL },
	{ 0x5a, SHORT, 7, 2, atapi_mode_sense, NULL, NULL },
	{ 0xa8, MEDIUM, 0, 0, NULL, begin_read, NULL },
	{ 0xbb, 0, 0, 0, NULL, NULL, NULL }, /* SET CD SPEED */
	{ 0xbd, SHORT, 8, 2, atapi_mechanism, NULL, NULL },
	{ 0xbe, MEDIUM, 0, 0, NULL, begin_read, NULL },
};

static const struct packet *find(u8 code)
{
	for (size_t i = 0; i < ARRAY_LEN(packets); i++)
		if (packets[i].code == code)
			return &packets[i];
	return NULL;
}

bool atapi_known(const struct ata_cmd *c)
{
	return find(c->cdb[0]);
}

static void short_reply(struct ata_cmd *c, const struct packet *p)
{
	unsigned n = p->reply(c), room = n;

	if (!n) {
		atapi_fail(c, SENSE_ILLEGAL, ASC_BAD_FIELD, 0);
		return;
	}
	if (p->room_bytes)
		room = p->room_bytes == 1 ? c->cdb[p->room_at] : ld_be16(c->cdb + p->room_at);
	ata_reply(c, MIN(n, room));
}

void atapi_begin(struct ata_cmd *c)
{
	const struct packet *p = find(c->cdb[0]);
	struct ata_drive *d = c->drive;

	c->dma = c->tf.feature & 1;
	if (!p) {
		atapi_fail(c, SENSE_ILLEGAL, ASC_BAD_OPCODE, 0);
		return;
	}
	if (d->attention && !(p->flags & ALWAYS)) {
		atapi_fail(c, SENSE_ATTENTION, d->attention, 0);
		d->attention = 0;
		return;
	}
	if (p->flags & MEDIUM && !atapi_has_medium(d)) {
		atapi_fail(c, SENSE_NOT_READY, ASC_NO_MEDIUM, d->open ? 2 : 1);
		return;
	}
	if (c->cdb[0] != 0x03)
		d->sense = d->asc = d->ascq = 0;
	if (p->flags & SHORT)
		short_reply(c, p);
	else if (p->begin)
		p->begin(c);
}

void atapi_finish(struct ata_cmd *c)
{
	const struct packet *p = find(c->cdb[0]);

	if (p->finish)
		p->finish(c);
	if (c->ended)
		return;
	ata_ok(c);
	c->tf.status = ATA_S_DRDY;
}
