/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scsi_disk.c - the packets of a SCSI disk (SBC-3, SPC-4): what each does. How a packet runs and fails, and what a
 * drive remembers of its failure, it has in common with CD-ROMs (atapi.c). The medium is there always, in sectors of
 * 512.
 */
#include "device/ata/ata_int.h"

#define SECTOR 512u
#define WRITE_CACHE 4 /* WCE */

static u64 sectors(const struct ata_cmd *c)
{
	return blk_bytes(c->drive->blk) / SECTOR;
}

/* ---- what it is ---- */

/* Vital product data (SPC-4, 7.8). */
static unsigned vital(struct ata_cmd *c)
{
	static const u8 pages[] = { 0x00, 0x80, 0x83, 0xb0, 0xb1 };
	const char *serial = c->drive->serial;
	unsigned n = (unsigned)strlen(serial);
	u8 *p = c->reply;

	memset(p, 0, 80);
	p[1] = c->cdb[2];
	switch (c->cdb[2]) {
	case 0x00:
		memcpy(p + 4, pages, sizeof(pages));
		n = sizeof(pages);
		break;
	case 0x80: /* unit serial number */
		memcpy(p + 4, serial, n);
		break;
	case 0x83: /* one designator: of T10's vendor, ASCII, of the unit */
		p[4] = 2;
		p[5] = 1;
		p[7] = (u8)(8 + n);
		memcpy(p + 8, "Mica    ", 8);
		memcpy(p + 16, serial, n);
		n += 12;
		break;
	case 0xb0: /* block limits: none but the transport's */
		n = 0x3c;
		break;
	case 0xb1: /* characteristics: it does not turn */
		p[5] = 1;
		n = 0x3c;
		break;
	default:
		return 0;
	}
	p[3] = (u8)n;
	return n + 4;
}

static unsigned inquiry(struct ata_cmd *c)
{
	u8 *p = c->reply;

	if (c->cdb[1] & 1)
		return vital(c);
	if (c->cdb[2])
		return 0;
	memset(p, 0, 36);
	p[2] = 5; /* SPC-3 */
	p[3] = 2;
	p[4] = 31;
	p[7] = 2; /* any number of commands at a time */
	memcpy(p + 8, "Mica    disk            1.0 ", 28);
	return 36;
}

static unsigned capacity10(struct ata_cmd *c)
{
	st_be32(c->reply, (u32)MIN(sectors(c) - 1, UINT32_MAX));
	st_be32(c->reply + 4, SECTOR);
	return 8;
}

/* SERVICE ACTION IN (16): READ CAPACITY (16) */
static unsigned capacity16(struct ata_cmd *c)
{
	u64 last = sectors(c) - 1;
	u8 *p = c->reply;

	if ((c->cdb[1] & 0x1f) != 0x10)
		return 0;
	memset(p, 0, 32);
	st_be32(p, (u32)(last >> 32));
	st_be32(p + 4, (u32)last);
	st_be32(p + 8, SECTOR);
	p[13] = 3; /* 4 KiB, as 2^3 sectors: what host file systems like */
	return 32;
}

/* Mode pages behind a header of `head` bytes (SPC-4, 7.5; SBC-3, 6.4). */
static unsigned modes(struct ata_cmd *c, unsigned head)
{
	unsigned control = c->cdb[2] >> 6, page = c->cdb[2] & 63, n = head;
	u8 specific = (u8)(0x10 | (blk_readonly(c->drive->blk) ? 0x80 : 0)); /* FUA is known; write protected */
	u8 *p = c->reply;

	if (control == 3 || (page != 0x08 && page != 0x3f))
		return 0;
	memset(p, 0, head + 20);
	p[n] = 0x08; /* caching */
	p[n + 1] = 18;
	if (control != 1) /* what can be changed: nothing */
		p[n + 2] = WRITE_CACHE;
	n += 20;
	if (head == 4) {
		p[0] = (u8)(n - 1);
		p[2] = specific;
	} else {
		st_be16(p, (u16)(n - 2));
		p[3] = specific;
	}
	return n;
}

static unsigned mode_sense6(struct ata_cmd *c)
{
	return modes(c, 4);
}

static unsigned mode_sense10(struct ata_cmd *c)
{
	return modes(c, 8);
}

/* ---- data ---- */

/* Where and how much, of the four lengths that a command has (SPC-4, 4.3). */
static void range(const u8 *cdb, u64 *at, u64 *n)
{
	switch (cdb[0] >> 5) {
	case 0:
		*at = ld_be32(cdb) & 0x1fffff;
		*n = cdb[4] ? cdb[4] : 256;
		return;
	case 4:
		*at = (u64)ld_be32(cdb + 2) << 32 | ld_be32(cdb + 6);
		*n = ld_be32(cdb + 10);
		return;
	case 5:
		*at = ld_be32(cdb + 2);
		*n = ld_be32(cdb + 6);
		return;
	default:
		*at = ld_be32(cdb + 2);
		*n = ld_be16(cdb + 7);
	}
}

static void begin_rw(struct ata_cmd *c)
{
	bool write = (c->cdb[0] & 0x1f) == 0x0a;
	u64 at, n, all = sectors(c);

	range(c->cdb, &at, &n);
	if (at > all || n > all - at) {
		atapi_fail(c, SENSE_ILLEGAL, ASC_OUT_OF_RANGE, 0);
		return;
	}
	if (write && blk_readonly(c->drive->blk)) {
		atapi_fail(c, SENSE_PROTECT, ASC_PROTECTED, 0);
		return;
	}
	c->flush_after = write && c->cdb[0] >> 5 && c->cdb[1] & 8; /* FUA */
	ata_transfer(c, write ? ATA_FROM_HOST : ATA_TO_HOST, at * SECTOR, n * SECTOR);
}

static void finish_rw(struct ata_cmd *c)
{
	if (c->flush_after)
		ata_ask_block(c, BLK_FLUSH, 0, 0);
}

static void finish_flush(struct ata_cmd *c)
{
	ata_ask_block(c, BLK_FLUSH, 0, 0);
}

/* Without data to compare with: the sectors are there. */
static void begin_verify(struct ata_cmd *c)
{
	u64 at, n, all = sectors(c);

	range(c->cdb, &at, &n);
	if (c->cdb[1] & 6)
		atapi_fail(c, SENSE_ILLEGAL, ASC_BAD_FIELD, 0);
	else if (at > all || n > all - at)
		atapi_fail(c, SENSE_ILLEGAL, ASC_OUT_OF_RANGE, 0);
}

static const struct packet packets[] = {
	{ 0x00, 0, 0, 0, NULL, NULL, NULL }, /* TEST UNIT READY */
	{ 0x03, PACKET_ALWAYS | PACKET_SHORT, 4, 1, atapi_request_sense, NULL, NULL },
	{ 0x08, 0, 0, 0, NULL, begin_rw, finish_rw },
	{ 0x0a, 0, 0, 0, NULL, begin_rw, finish_rw },
	{ 0x12, PACKET_ALWAYS | PACKET_SHORT, 3, 2, inquiry, NULL, NULL },
	{ 0x1a, PACKET_SHORT, 4, 1, mode_sense6, NULL, NULL },
	{ 0x1b, 0, 0, 0, NULL, NULL, finish_flush }, /* START STOP UNIT */
	{ 0x1e, 0, 0, 0, NULL, NULL, NULL },         /* PREVENT ALLOW MEDIUM REMOVAL */
	{ 0x25, PACKET_SHORT, 0, 0, capacity10, NULL, NULL },
	{ 0x28, 0, 0, 0, NULL, begin_rw, finish_rw },
	{ 0x2a, 0, 0, 0, NULL, begin_rw, finish_rw },
	{ 0x2f, 0, 0, 0, NULL, begin_verify, NULL },
	{ 0x35, 0, 0, 0, NULL, NULL, finish_flush },
	{ 0x5a, PACKET_SHORT, 7, 2, mode_sense10, NULL, NULL },
	{ 0x88, 0, 0, 0, NULL, begin_rw, finish_rw },
	{ 0x8a, 0, 0, 0, NULL, begin_rw, finish_rw },
	{ 0x8f, 0, 0, 0, NULL, begin_verify, NULL },
	{ 0x91, 0, 0, 0, NULL, NULL, finish_flush },
	{ 0x9e, PACKET_SHORT, 10, 4, capacity16, NULL, NULL },
	{ 0xa0, PACKET_ALWAYS | PACKET_SHORT, 6, 4, atapi_report_luns, NULL, NULL },
	{ 0xa8, 0, 0, 0, NULL, begin_rw, finish_rw },
	{ 0xaa, 0, 0, 0, NULL, begin_rw, finish_rw },
};

const struct packet *scsi_disk_packet(u8 code)
{
	for (size_t i = 0; i < ARRAY_LEN(packets); i++)
		if (packets[i].code == code)
			return &packets[i];
	return NULL;
}
