/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * atapi_reply.c - a CD-ROM's answers: what it is, what it can, what is in it (MMC-6 chapter 6, SPC-3 6.4). The medium
 * is one data track in one closed session.
 */
#include "device/ata/ata_int.h"

#define PROFILE_DVD_ROM 0x0010
#define PROFILE_CD_ROM 0x0008
#define CD_SECTORS_MAX (99u * 60 * 75) /* of a CD's addresses; what is larger is a DVD */

static u32 sectors(const struct ata_cmd *c)
{
	return (u32)MIN(blk_bytes(c->drive->blk) / CD_BYTES, UINT32_MAX);
}

unsigned atapi_inquiry(struct ata_cmd *c)
{
	u8 *p = c->reply;

	if (c->cdb[1] & 1) { /* vital product data: the list of pages, itself alone */
		if (c->cdb[2])
			return 0;
		memset(p, 0, 5);
		p[0] = 5;
		p[3] = 1;
		return 5;
	}
	if (c->cdb[2])
		return 0;
	memset(p, 0, 36);
	p[0] = 5;    /* a CD-ROM */
	p[1] = 0x80; /* removable */
	p[2] = 5;    /* SPC-3 */
	p[3] = 2;
	p[4] = 31;
	memcpy(p + 8, "Mica    CD-ROM          1.0 ", 28);
	return 36;
}

/* ---- modes ---- */

static unsigned page_error_recovery(u8 *p)
{
	memset(p, 0, 8);
	p[0] = 0x01;
	p[1] = 6;
	p[3] = 5; /* retries */
	return 8;
}

static unsigned page_capabilities(const struct ata_cmd *c, u8 *p)
{
	memset(p, 0, 22);
	p[0] = 0x2a;
	p[1] = 20;
	p[2] = 0x3b;                                    /* reads CD-R, CD-RW, DVD-ROM, DVD-R */
	p[4] = 0x70;                                    /* mode 2 forms, several sessions */
	p[6] = (u8)(0x29 | (c->drive->locked ? 2 : 0)); /* a tray; can lock and eject */
	st_be16(p + 8, 706 * 4);
	st_be16(p + 12, 512); /* KiB of buffer */
	st_be16(p + 14, 706 * 4);
	return 22;
}

unsigned atapi_mode_sense(struct ata_cmd *c)
{
	unsigned control = c->cdb[2] >> 6, page = c->cdb[2] & 63, n = 8;
	u8 *p = c->reply;

	if (control == 3) /* saved values: there are none */
		return 0;
	memset(p, 0, 8);
	p[2] = c->drive->open ? 0x71 : atapi_has_medium(c->drive) ? 0x01 : 0x70; /* medium type, as drives give it */
	if (page == 0x01 || page == 0x3f)
		n += page_error_recovery(p + n);
	if (page == 0x2a || page == 0x3f)
		n += page_capabilities(c, p + n);
	if (n == 8)
		return 0;
	if (control == 1) /* what can be changed: nothing */
		for (unsigned at = 8; at < n; at += p[at + 1] + 2u)
			memset(p + at + 2, 0, p[at + 1]);
	st_be16(p, (u16)(n - 2));
	return n;
}

/* The same behind a header of four bytes. */
unsigned atapi_mode_sense6(struct ata_cmd *c)
{
	unsigned n = atapi_mode_sense(c);
	u8 *p = c->reply, type = p[2];

	if (!n)
		return 0;
	memmove(p + 4, p + 8, n - 8);
	n -= 4;
	memset(p, 0, 4);
	p[0] = (u8)(n - 1);
	p[1] = type;
	return n;
}

/* ---- the medium ---- */

static void put_address(u8 *p, u32 sector, bool msf)
{
	if (!msf) {
		st_be32(p, sector);
		return;
	}
	sector += 150; /* two seconds */
	p[0] = 0;
	p[1] = (u8)MIN(sector / (60 * 75), 255);
	p[2] = (u8)(sector / 75 % 60);
	p[3] = (u8)(sector % 75);
}

static u8 *toc_entry(u8 *p, u8 track, u32 sector, bool msf)
{
	p[0] = 0;
	p[1] = 0x14; /* a data track */
	p[2] = track;
	p[3] = 0;
	put_address(p + 4, sector, msf);
	return p + 8;
}

/* The raw entries of the lead-in: first and last track, the lead-out, the track. */
static u8 *toc_raw(const struct ata_cmd *c, u8 *p)
{
	static const u8 points[] = { 0xa0, 0xa1, 0xa2, 1 };

	for (size_t i = 0; i < ARRAY_LEN(points); i++, p += 11) {
		memset(p, 0, 11);
		p[0] = 1; /* session */
		p[1] = 0x14;
		p[3] = points[i];
		if (points[i] == 0xa0 || points[i] == 0xa1) {
			p[8] = 1;
		} else {
			u8 at[4];
			put_address(at, points[i] == 1 ? 0 : sectors(c), true);
			memcpy(p + 8, at + 1, 3);
		}
	}
	return p;
}

unsigned atapi_toc(struct ata_cmd *c)
{
	unsigned format = c->cdb[2] & 15, from = c->cdb[6];
	bool msf = c->cdb[1] & 2;
	u8 *p = c->reply, *end = p + 4;

	if (!format)
		format = c->cdb[9] >> 6; /* where old drivers have it */
	p[2] = p[3] = 1;                 /* first and last track, or session */
	switch (format) {
	case 0:
		if (from > 1 && from != 0xaa)
			return 0;
		if (from <= 1)
			end = toc_entry(end, 1, 0, msf);
		end = toc_entry(end, 0xaa, sectors(c), msf);
		break;
	case 1:
		end = toc_entry(end, 1, 0, msf);
		break;
	case 2:
		end = toc_raw(c, end);
		break;
	default:
		return 0;
	}
	st_be16(p, (u16)(end - p - 2));
	return (unsigned)(end - p);
}

unsigned atapi_disc_information(struct ata_cmd *c)
{
	u8 *p = c->reply;

	if (c->cdb[1] & 7)
		return 0;
	memset(p, 0, 34);
	st_be16(p, 32);
	p[2] = 0x0e; /* complete, its last session, too */
	p[3] = p[4] = p[5] = p[6] = 1;
	p[7] = 0x20; /* unrestricted use */
	memset(p + 16, 0xff, 8);
	return 34;
}

unsigned atapi_track_information(struct ata_cmd *c)
{
	u8 *p = c->reply;

	if ((c->cdb[1] & 3) == 1 && ld_be32(c->cdb + 2) != 1)
		return 0;
	memset(p, 0, 36);
	st_be16(p, 34);
	p[2] = p[3] = 1;
	p[5] = 4; /* data */
	p[6] = 1;
	st_be32(p + 24, sectors(c));
	return 36;
}

/* ---- the drive ---- */

struct feature {
	u16 code;
	u8 flags; /* version << 2 | persistent << 1 | current */
	u8 bytes;
	u8 data[8];
};

static const struct feature features[] = {
	{ 0x0001, 0x0b, 8, { 0, 0, 0, 2, 1 } },       /* core: ATAPI */
	{ 0x0002, 0x07, 4, { 2 } },                   /* morphing: operational changes come as events */
	{ 0x0003, 0x07, 4, { 0x29 } },                /* removable: tray, eject, lock */
	{ 0x0010, 0x00, 8, { 0, 0, 8, 0, 0, 1, 1 } }, /* random readable */
	{ 0x001e, 0x08, 4, { 0 } },                   /* CD read */
	{ 0x001f, 0x00, 0, { 0 } },                   /* DVD read */
};

unsigned atapi_configuration(struct ata_cmd *c)
{
	unsigned want = c->cdb[1] & 3, from = ld_be16(c->cdb + 2), n = 8;
	bool there = atapi_has_medium(c->drive), dvd = sectors(c) > CD_SECTORS_MAX;
	u8 *p = c->reply;

	if (want == 3)
		return 0;
	memset(p, 0, 8);
	st_be16(p + 6, !there ? 0 : dvd ? PROFILE_DVD_ROM : PROFILE_CD_ROM);
	if (from == 0) { /* the list of profiles */
		u8 *q = p + n;
		memset(q, 0, 12);
		q[2] = 0x03;
		q[3] = 8;
		st_be16(q + 4, PROFILE_DVD_ROM);
		q[6] = there && dvd;
		st_be16(q + 8, PROFILE_CD_ROM);
		q[10] = there && !dvd;
		n += 12;
	}
	for (size_t i = 0; i < ARRAY_LEN(features); i++) {
		const struct feature *f = &features[i];
		bool now = f->flags & 1 ||
			   (there && (f->code == 0x10 || (f->code == 0x1e && !dvd) || (f->code == 0x1f && dvd)));
		if (f->code < from || (want == 2 && f->code != from) || (want == 1 && !now))
			continue;
		st_be16(p + n, f->code);
		p[n + 2] = (u8)(f->flags | now);
		p[n + 3] = f->bytes;
		memcpy(p + n + 4, f->data, f->bytes);
		n += 4u + f->bytes;
	}
	st_be32(p, n - 4);
	return n;
}

/* Polled, not asynchronous; the media class is all that there is (6.6). */
unsigned atapi_event_status(struct ata_cmd *c)
{
	struct ata_drive *d = c->drive;
	u8 *p = c->reply;

	if (!(c->cdb[1] & 1))
		return 0;
	memset(p, 0, 8);
	p[3] = 1 << 4; /* the classes there are */
	if (!(c->cdb[4] & 1 << 4)) {
		p[2] = 0x80; /* none of those asked for */
		st_be16(p, 2);
		return 4;
	}
	st_be16(p, 6);
	p[2] = 4;
	p[4] = d->event;
	p[5] = (u8)((d->open ? 1 : 0) | (atapi_has_medium(d) ? 2 : 0));
	if (ld_be16(c->cdb + 7) >= 6) /* it is told, so it is over */
		d->event = 0;
	return 8;
}

unsigned atapi_mechanism(struct ata_cmd *c)
{
	u8 *p = c->reply;

	memset(p, 0, 8);
	p[1] = c->drive->open ? 0x10 : 0;
	return 8;
}
