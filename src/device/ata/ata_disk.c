/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ata_disk.c - the commands of a disk (ACS-3, chapter 7), and the few that a CD-ROM has besides PACKET.
 *
 * A command names a place by 28 bits, by 48 bits, or by cylinder, head and sector; it asks for up to 65536 sectors.
 * What is beyond the disk is ID not found, before any of it is done.
 */
#include "device/ata/ata_int.h"

#define TRIM_SECTORS (1u << 21) /* 1 GiB: of one block request */

/* ---- where ---- */

static u64 disk_sectors(const struct ata_drive *d)
{
	return blk_bytes(d->blk) / BLK_SECTOR;
}

static unsigned sectors_asked(const struct ata_cmd *c)
{
	if (c->queued)
		return c->tf.feature ? c->tf.feature : 65536;
	if (c->what->flags & EXT)
		return c->tf.count ? c->tf.count : 65536;
	return c->tf.count & 0xff ? c->tf.count & 0xff : 256;
}

/* The first sector; beyond the end when the address is none. */
static u64 sector_asked(const struct ata_cmd *c)
{
	const struct ata_drive *d = c->drive;
	u32 low = (u32)c->tf.lba & 0xffffff;
	unsigned head = c->tf.device & 15;

	if (c->what->flags & (EXT | QUEUED))
		return c->tf.lba;
	if (c->tf.device & ATA_DEV_LBA)
		return (u64)head << 24 | low;
	/* sector in bits 7:0, counted from 1; cylinder above */
	if (!(low & 0xff) || (low & 0xff) > d->sectors || head >= d->heads)
		return UINT64_MAX;
	return ((u64)(low >> 8) * d->heads + head) * d->sectors + (low & 0xff) - 1;
}

/* False: it has ended. */
static bool range_asked(struct ata_cmd *c, u64 *sector, unsigned *n)
{
	u64 all = disk_sectors(c->drive);

	*sector = sector_asked(c);
	*n = sectors_asked(c);
	if (*sector < all && *n <= all - *sector)
		return true;
	ata_fail(c, ATA_E_IDNF);
	return false;
}

/* ---- reading and writing ---- */

static void begin_rw(struct ata_cmd *c)
{
	struct ata_drive *d = c->drive;
	unsigned flags = c->what->flags, n;
	u64 sector;

	if ((flags & MULTI && !d->multiple) || (flags & OUT && blk_readonly(d->blk))) {
		ata_abort(c);
		return;
	}
	if (!range_asked(c, &sector, &n))
		return;
	ata_transfer(c, flags & OUT ? ATA_FROM_HOST : ATA_TO_HOST, sector * BLK_SECTOR, (u64)n * BLK_SECTOR);
	if (flags & MULTI)
		c->block = d->multiple * BLK_SECTOR;
	bool fua = flags & FUA || (c->queued && c->tf.device & 0x80);
	c->flush_after = flags & OUT && (fua || !d->write_cache);
}

static void begin_verify(struct ata_cmd *c)
{
	u64 sector;
	unsigned n;

	range_asked(c, &sector, &n);
}

static void begin_flush(struct ata_cmd *c)
{
	c->flush_after = true;
}

/* ---- DATA SET MANAGEMENT (7.6) ---- */

static void begin_trim(struct ata_cmd *c)
{
	if ((c->tf.feature & 0xff) != 1 || !c->tf.count || c->tf.count > TRIM_BLOCKS || blk_readonly(c->drive->blk)) {
		ata_abort(c);
		return;
	}
	c->dir = ATA_FROM_HOST;
	c->bytes = c->tf.count * BLK_SECTOR;
}

/* All is checked before any of it is done. */
static void finish_trim(struct ata_cmd *c)
{
	u64 all = disk_sectors(c->drive);

	c->nranges = (unsigned)(c->bytes / 8);
	for (unsigned i = 0; i < c->nranges; i++) {
		u64 v = ld_le64(c->reply + 8 * i), sector = v & 0xffffffffffff, n = v >> 48;

		if (n && (sector > all || n > all - sector)) {
			ata_fail(c, ATA_E_IDNF);
			return;
		}
	}
	ata_trim_next(c);
}

/* Ranges that follow on each other are one request: a driver cuts them at 65535 sectors. */
void ata_trim_next(struct ata_cmd *c)
{
	u64 first = 0, n = 0;

	for (; c->range < c->nranges; c->range++) {
		u64 v = ld_le64(c->reply + 8 * c->range), sector = v & 0xffffffffffff, more = v >> 48;

		if (!more)
			continue;
		if (n && (sector != first + n || n + more > TRIM_SECTORS))
			break;
		if (!n)
			first = sector;
		n += more;
	}
	if (n && blk_can_discard(c->drive->blk))
		ata_ask_block(c, BLK_DISCARD, first * BLK_SECTOR, n * BLK_SECTOR);
	else
		ata_ok(c);
}

/* ---- settings ---- */

static void begin_nothing(struct ata_cmd *c)
{
	(void)c;
}

/* SET FEATURES (7.45) */
static void finish_set_features(struct ata_cmd *c)
{
	struct ata_drive *d = c->drive;
	u8 mode = c->tf.count & 7;

	ata_ok(c);
	switch (c->tf.feature & 0xff) {
	case 0x02:
		d->write_cache = true;
		return;
	case 0x82:
		d->write_cache = false;
		c->ended = false;
		ata_ask_block(c, BLK_FLUSH, 0, 0); /* what was cached so far */
		return;
	case 0x03: /* transfer mode */
		switch (c->tf.count >> 3 & 31) {
		case 0:
		case 1: /* PIO */
			return;
		case 4:
			if (mode <= 2) {
				d->mwdma = mode;
				d->udma = 0xff;
				return;
			}
			break;
		case 8:
			if (mode <= 6) {
				d->udma = mode;
				d->mwdma = 0xff;
				return;
			}
			break;
		default:
			break;
		}
		break;
	case 0xaa:
		d->look_ahead = true;
		return;
	case 0x55:
		d->look_ahead = false;
		return;
	case 0x05: /* power management, acoustics, reverting to defaults: nothing to do */
	case 0x85:
	case 0x42:
	case 0xc2:
	case 0x66:
	case 0xcc:
		return;
	default:
		break;
	}
	ata_abort(c);
}

static void begin_set_multiple(struct ata_cmd *c)
{
	u8 n = (u8)c->tf.count;

	if (n > MULTIPLE_MAX || (n & (n - 1))) {
		ata_abort(c);
		return;
	}
	c->drive->multiple = n;
}

/* INITIALIZE DEVICE PARAMETERS (ATA-3): how CHS addresses count. */
static void begin_geometry(struct ata_cmd *c)
{
	u8 n = (u8)c->tf.count;

	if (!n) {
		ata_abort(c);
		return;
	}
	c->drive->heads = (u16)((c->tf.device & 15) + 1);
	c->drive->sectors = n;
}

static void begin_native_max(struct ata_cmd *c)
{
	u64 last = disk_sectors(c->drive) - 1;

	if (c->what->flags & EXT) {
		c->tf.lba = last;
		return;
	}
	last = MIN(last, (1u << 28) - 1);
	c->tf.lba = last & 0xffffff;
	c->tf.device = (u8)((c->tf.device & 0xf0) | (last >> 24));
}

static void begin_power_mode(struct ata_cmd *c)
{
	c->tf.count = 0xff; /* active or idle */
}

/* ---- resets, which are commands, too ---- */

static void finish_diagnostic(struct ata_cmd *c)
{
	ata_ok(c);
	ata_signature(c->drive, &c->tf);
}

static void finish_device_reset(struct ata_cmd *c)
{
	ata_soft_reset(c->drive);
	ata_ok(c);
	ata_signature(c->drive, &c->tf);
}

/* IDENTIFY DEVICE and READ SECTORS of a CD-ROM abort with its signature (9.12), by which old drivers know it. */
static void begin_not_mine(struct ata_cmd *c)
{
	ata_abort(c);
	ata_signature(c->drive, &c->tf);
	c->tf.error = ATA_E_ABRT;
	c->tf.status = ATA_S_DRDY | ATA_S_ERR;
}

/* ---- the table ---- */

static const struct ata_command commands[] = {
	{ 0x06, ON_DISK | EXT | DMA, begin_trim, finish_trim },
	{ ATA_DEVICE_RESET, ON_CD, begin_nothing, finish_device_reset },
	{ 0x10, ON_DISK, begin_nothing, NULL }, /* RECALIBRATE */
	{ 0x20, ON_DISK, begin_rw, NULL },
	{ 0x21, ON_DISK, begin_rw, NULL },
	{ 0x20, ON_CD, begin_not_mine, NULL },
	{ 0x24, ON_DISK | EXT, begin_rw, NULL },
	{ 0x25, ON_DISK | EXT | DMA, begin_rw, NULL },
	{ 0x27, ON_DISK | EXT, begin_native_max, NULL },
	{ 0x29, ON_DISK | EXT | MULTI, begin_rw, NULL },
	{ 0x2f, ON_DISK | EXT, ata_read_log, NULL },
	{ 0x30, ON_DISK | OUT, begin_rw, NULL },
	{ 0x31, ON_DISK | OUT, begin_rw, NULL },
	{ 0x34, ON_DISK | EXT | OUT, begin_rw, NULL },
	{ 0x35, ON_DISK | EXT | DMA | OUT, begin_rw, NULL },
	{ 0x39, ON_DISK | EXT | MULTI | OUT, begin_rw, NULL },
	{ 0x3d, ON_DISK | EXT | DMA | OUT | FUA, begin_rw, NULL },
	{ 0x40, ON_DISK, begin_verify, NULL },
	{ 0x41, ON_DISK, begin_verify, NULL },
	{ 0x42, ON_DISK | EXT, begin_verify, NULL },
	{ 0x47, ON_DISK | EXT | DMA, ata_read_log, NULL },
	{ 0x60, ON_DISK | DMA | QUEUED, begin_rw, NULL },
	{ 0x61, ON_DISK | DMA | QUEUED | OUT, begin_rw, NULL },
	{ 0x70, ON_DISK, begin_nothing, NULL }, /* SEEK */
	{ 0x90, ON_DISK | ON_CD, begin_nothing, finish_diagnostic },
	{ 0x91, ON_DISK, begin_geometry, NULL },
	{ ATA_PACKET, ON_CD, atapi_begin, atapi_finish },
	{ 0xa1, ON_CD, ata_identify_packet, NULL },
	{ 0xb0, ON_DISK, ata_smart, NULL },
	{ 0xc4, ON_DISK | MULTI, begin_rw, NULL },
	{ 0xc5, ON_DISK | MULTI | OUT, begin_rw, NULL },
	{ 0xc6, ON_DISK, begin_set_multiple, NULL },
	{ 0xc8, ON_DISK | DMA, begin_rw, NULL },
	{ 0xc9, ON_DISK | DMA, begin_rw, NULL },
	{ 0xca, ON_DISK | DMA | OUT, begin_rw, NULL },
	{ 0xcb, ON_DISK | DMA | OUT, begin_rw, NULL },
	{ 0xce, ON_DISK | EXT | MULTI | OUT | FUA, begin_rw, NULL },
	{ 0xe0, ON_DISK | ON_CD, begin_flush, NULL }, /* STANDBY IMMEDIATE */
	{ 0xe1, ON_DISK | ON_CD, begin_nothing, NULL },
	{ 0xe2, ON_DISK | ON_CD, begin_flush, NULL }, /* STANDBY */
	{ 0xe3, ON_DISK | ON_CD, begin_nothing, NULL },
	{ 0xe5, ON_DISK | ON_CD, begin_power_mode, NULL },
	{ 0xe6, ON_DISK | ON_CD, begin_flush, NULL }, /* SLEEP */
	{ 0xe7, ON_DISK, begin_flush, NULL },
	{ 0xea, ON_DISK | EXT, begin_flush, NULL },
	{ 0xec, ON_DISK, ata_identify, NULL },
	{ 0xec, ON_CD, begin_not_mine, NULL },
	{ 0xef, ON_DISK | ON_CD, begin_nothing, finish_set_features },
	{ 0xf8, ON_DISK, begin_native_max, NULL },
};

const struct ata_command *ata_command_find(const struct ata_drive *d, u8 code)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (commands[i].code == code && commands[i].flags & (d->atapi || d->scsi_disk ? ON_CD : ON_DISK))
			return &commands[i];
	return NULL;
}
