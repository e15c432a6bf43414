/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ata_identify.c - what a drive says of itself: IDENTIFY DEVICE (ACS-3, 7.12), IDENTIFY PACKET DEVICE (7.13), logs
 * (READ LOG EXT, 7.24, and annex A), SMART (7.48).
 */
#include "device/ata/ata_int.h"

#define MODEL_DISK "Mica disk"
#define MODEL_CD "Mica CD-ROM"
#define FIRMWARE "1.0"
#define CYLINDERS_MAX 16383u
#define HEADS 16u
#define SECTORS 63u

static void word(struct ata_cmd *c, unsigned i, u16 v)
{
	st_le16(c->reply + 2 * i, v);
}

/* Strings are big-endian words, padded with spaces (3.4.9). */
static void text(struct ata_cmd *c, unsigned first, unsigned words, const char *s)
{
	size_t n = strlen(s);

	for (unsigned i = 0; i < 2 * words; i++)
		c->reply[2 * first + (i ^ 1)] = i < n ? (u8)s[i] : ' ';
}

/* Transfer modes, alike for both kinds (words 49, 53, 62-68, 88, 93). */
static void modes(struct ata_cmd *c)
{
	const struct ata_drive *d = c->drive;

	word(c, 49, 0x0f00); /* IORDY, LBA, DMA */
	word(c, 53, 0x0006); /* words 64-70 and 88 are valid */
	word(c, 63, (u16)(0x0007 | (d->mwdma != 0xff ? 0x100u << d->mwdma : 0)));
	word(c, 64, 0x0003); /* PIO 3 and 4 */
	for (unsigned i = 65; i <= 68; i++)
		word(c, i, 120); /* ns a cycle */
	word(c, 88, (u16)(0x007f | (d->udma != 0xff ? 0x100u << d->udma : 0)));
	if (d->pata) {
		word(c, 93, 0x6001); /* 80 wires; drive 0 found itself */
	} else {
		word(c, 76, 0x000e); /* SATA generations 1 to 3 */
		word(c, 77, 0x0006); /* now at the third */
		word(c, 78, 0x0000);
		word(c, 222, 0x107f); /* serial, up to SATA 3.1 */
	}
	word(c, 80, 0x03f0); /* ATA-4 to ACS-2 */
}

static void geometry(struct ata_cmd *c, u64 sectors)
{
	const struct ata_drive *d = c->drive;
	u64 cylinders = MIN(sectors / (HEADS * SECTORS), CYLINDERS_MAX);
	u64 now = MIN(sectors / (d->heads * d->sectors), 65535), reach = now * d->heads * d->sectors;

	word(c, 1, (u16)cylinders);
	word(c, 3, HEADS);
	word(c, 6, SECTORS);
	word(c, 53, 0x0007); /* words 54-58, too */
	word(c, 54, (u16)now);
	word(c, 55, d->heads);
	word(c, 56, d->sectors);
	st_le32(c->reply + 2 * 57, (u32)MIN(reach, UINT32_MAX));
}

void ata_identify(struct ata_cmd *c)
{
	const struct ata_drive *d = c->drive;
	u64 sectors = blk_bytes(d->blk) / BLK_SECTOR;
	u8 sum = 0;

	memset(c->reply, 0, 512);
	modes(c);
	geometry(c, sectors);
	word(c, 0, 0x0040); /* fixed */
	text(c, 10, 10, d->serial);
	text(c, 23, 4, FIRMWARE);
	text(c, 27, 20, MODEL_DISK);
	word(c, 47, 0x8000 | MULTIPLE_MAX);
	word(c, 48, 0x4000);
	word(c, 50, 0x4000);
	word(c, 59, (u16)(d->multiple ? 0x100 | d->multiple : 0));
	st_le32(c->reply + 2 * 60, (u32)MIN(sectors, (1u << 28) - 1));
	if (blk_can_discard(d->blk)) {
		word(c, 69, 0x4020); /* what was trimmed reads as zeros, always */
		word(c, 105, TRIM_BLOCKS);
		word(c, 169, 0x0001);
	}
	if (!d->pata) {
		word(c, 75, ATA_QUEUE_DEPTH - 1);
		word(c, 76, 0x010e); /* and NCQ */
	}
	word(c, 82, 0x0061); /* SMART, write cache, look-ahead */
	word(c, 83, 0x7400); /* 48 bits, FLUSH CACHE and FLUSH CACHE EXT */
	word(c, 84, 0x4060); /* FUA, general-purpose logs */
	word(c, 85, (u16)(0x0001 | (d->write_cache ? 0x20 : 0) | (d->look_ahead ? 0x40 : 0)));
	word(c, 86, 0xb400); /* as 83; words 119 and 120 are valid */
	word(c, 87, 0x4060);
	st_le64(c->reply + 2 * 100, sectors);
	word(c, 106, 0x6003); /* 8 logical sectors in a physical one */
	word(c, 119, 0x4000);
	word(c, 120, 0x4000);
	word(c, 217, 0x0001); /* does not rotate */
	c->reply[510] = 0xa5;
	for (unsigned i = 0; i < 511; i++)
		sum = (u8)(sum + c->reply[i]);
	c->reply[511] = (u8)-sum;
	ata_reply(c, 512);
}

void ata_identify_packet(struct ata_cmd *c)
{
	memset(c->reply, 0, 512);
	modes(c);
	word(c, 0, 0x85c0); /* a CD-ROM whose medium comes out; packets of 12 bytes */
	text(c, 10, 10, c->drive->serial);
	text(c, 23, 4, FIRMWARE);
	text(c, 27, 20, MODEL_CD);
	word(c, 82, 0x0210); /* PACKET, DEVICE RESET */
	word(c, 83, 0x4000);
	word(c, 84, 0x4000);
	word(c, 85, 0x0210);
	word(c, 87, 0x4000);
	ata_reply(c, 512);
}

/* ---- logs ---- */

#define LOG_DIRECTORY 0x00
#define LOG_NCQ_ERROR 0x10
#define LOG_IDENTIFY 0x30

static void log_directory(u8 *p)
{
	st_le16(p, 1); /* version */
	st_le16(p + 2 * LOG_NCQ_ERROR, 1);
	st_le16(p + 2 * LOG_IDENTIFY, 1);
}

/* Which queued command failed, and how (A.14). Reading it lets the drive go on. */
static void log_ncq_error(struct ata_drive *d, u8 *p)
{
	const struct ata_tf *tf = &d->ncq_tf;
	u8 sum = 0;

	p[0] = d->ncq_failed ? d->ncq_tag : 0x80; /* none */
	p[2] = tf->status;
	p[3] = tf->error;
	for (unsigned i = 0; i < 3; i++) {
		p[4 + i] = (u8)(tf->lba >> 8 * i);
		p[8 + i] = (u8)(tf->lba >> (24 + 8 * i));
	}
	p[7] = tf->device;
	st_le16(p + 12, tf->count);
	for (unsigned i = 0; i < 511; i++)
		sum = (u8)(sum + p[i]);
	p[511] = (u8)-sum;
	d->ncq_failed = false;
}

/* Log address in LBA 7:0, page in 39:32 and 15:8; count pages. */
void ata_read_log(struct ata_cmd *c)
{
	u8 log = (u8)c->tf.lba;
	unsigned page = (unsigned)(c->tf.lba >> 8 & 0xff) | (unsigned)(c->tf.lba >> 32 & 0xff) << 8;

	if (c->tf.count != 1 || page) {
		ata_abort(c);
		return;
	}
	memset(c->reply, 0, 512);
	switch (log) {
	case LOG_DIRECTORY:
		log_directory(c->reply);
		break;
	case LOG_NCQ_ERROR:
		log_ncq_error(c->drive, c->reply);
		break;
	case LOG_IDENTIFY: /* page 0 lists the pages: itself */
		st_le16(c->reply, 1);
		c->reply[8] = 1;
		break;
	default:
		ata_abort(c);
		return;
	}
	ata_reply(c, 512);
}

/* ---- SMART: it is healthy ---- */

#define SMART_READ_DATA 0xd0
#define SMART_READ_THRESHOLDS 0xd1
#define SMART_RETURN_STATUS 0xda
#define SMART_KEY 0xc24f /* LBA high and middle */

static void smart_data(struct ata_cmd *c, u16 version)
{
	u8 sum = 0;

	memset(c->reply, 0, 512);
	st_le16(c->reply, version);
	for (unsigned i = 0; i < 511; i++)
		sum = (u8)(sum + c->reply[i]);
	c->reply[511] = (u8)-sum;
	ata_reply(c, 512);
}

void ata_smart(struct ata_cmd *c)
{
	if ((c->tf.lba >> 8 & 0xffff) != SMART_KEY) {
		ata_abort(c);
		return;
	}
	switch (c->tf.feature & 0xff) {
	case SMART_READ_DATA:
	case SMART_READ_THRESHOLDS:
		smart_data(c, 16);
		break;
	case SMART_RETURN_STATUS: /* the key comes back: nothing exceeds a threshold */
	case 0xd2:                /* autosave of attributes, on and off */
	case 0xd8:                /* enable, disable: it stays on */
	case 0xd9:
		break;
	default:
		ata_abort(c);
	}
}
