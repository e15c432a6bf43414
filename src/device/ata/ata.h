/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ata.h - a drive as controllers see it: ATA disks (ACS-3), ATAPI CD-ROMs (ACS-3 PACKET, MMC-6, SPC-3) and SCSI disks
 * (SBC-3, SPC-4) on a struct blk. AHCI (ahci.h), IDE (ide.h) and virtio-scsi sit over it.
 *
 * Theory: a controller brings a command's registers (and packet), and a way to the host's memory; the drive knows what
 * the command is and does it. A command goes through these steps, each of which may be the controller's next line or a
 * later turn of the loop:
 *
 *	ata_begin()    what is it? Sets dir and bytes, or ends it
 *	ata_move()     as often as it takes to move all bytes, in pieces of whole sectors: the controller gives the
 *	               memory, the disk's data goes there or comes from there directly
 *	ata_finish()   what is left to do: a flush, a trim, a change of settings
 *
 * After each of the last two, step() of the command is called, from inside the call or later; it looks at `ended` and
 * goes on. When it has ended, registers to be shown are in tf.
 *
 * A controller runs any number of commands of a drive at a time. Its lock guards its drives and their commands; every
 * function here is called with it held, unless it says otherwise; step() is called with it held.
 */
#ifndef MICA_ATA_H
#define MICA_ATA_H

#include "block/report.h"
#include "device/class.h"
#include "device/fair_lock.h"

struct state_file; /* base/state.h */

#define ATA_REPLY_MAX 4096u /* bytes of data that is not the medium's */
#define ATA_SERIAL_BYTES 20
#define ATA_QUEUE_DEPTH 32u /* of NCQ */
#define ATA_IOV_MAX 256u    /* pieces of memory that one ata_move() takes */
#define ATA_CDB_BYTES 16

#define ATA_S_ERR 0x01
#define ATA_S_DRQ 0x08
#define ATA_S_SEEK 0x10
#define ATA_S_DF 0x20
#define ATA_S_DRDY 0x40
#define ATA_S_BSY 0x80

#define ATA_E_ABRT 0x04
#define ATA_E_IDNF 0x10
#define ATA_E_UNC 0x40
#define ATA_E_ICRC 0x80

#define ATA_DEV_LBA 0x40

#define ATA_PACKET 0xa0
#define ATA_DEVICE_RESET 0x08

#define ATA_SIG_DISK 0x0101u /* LBA high, middle: 0; LBA low, count: 1 */
#define ATA_SIG_PACKET 0xeb140101u

/* Registers: as the host wrote them, then as it reads them. */
struct ata_tf {
	u8 command, device;
	u16 feature, count;
	u64 lba; /* 48 bits; of 28-bit commands 24, the rest is in `device` */
	u8 status, error;
};

enum ata_dir { ATA_NODATA, ATA_TO_HOST, ATA_FROM_HOST };

struct ata_drive;
struct ata_command;

struct ata_cmd {
	/* the controller's */
	struct ata_drive *drive;
	void (*step)(struct ata_cmd *c);
	struct ata_tf tf;
	u8 cdb[ATA_CDB_BYTES];
	struct iovec iov[ATA_IOV_MAX]; /* for ata_move() */

	/* ata_begin()'s */
	enum ata_dir dir;
	u64 bytes;
	bool dma, queued; /* DMA protocol, else PIO; NCQ */
	unsigned block;   /* PIO: bytes between two interrupts */
	bool ended;
	u64 moved; /* of bytes */

	/* the drive's */
	const struct ata_command *what;
	bool medium;      /* the data is the medium's, else it is in reply[] */
	bool flush_after; /* before it has ended */
	bool flushing;
	u64 off; /* on the medium */
	unsigned range, nranges;
	u64 moving; /* bytes that are under way */
	struct blk_req r;
	u8 reply[ATA_REPLY_MAX];
};

/* What a host can change, and so what is saved of a drive. */
struct ata_drive {
	struct device dev;
	bool atapi;
	bool pata;      /* on a parallel cable */
	bool scsi_disk; /* a disk that takes packets, and nothing else; not atapi */
	struct blk *blk;
	struct fair_lock *lock; /* the controller's */
	char serial[ATA_SERIAL_BYTES + 1];
	struct blk_report report;

	/* ATA */
	u8 multiple;    /* sectors per block of READ MULTIPLE; 0: off */
	u8 mwdma, udma; /* modes; 0xff: the other one is chosen */
	bool write_cache, look_ahead;
	u16 heads, sectors; /* of CHS addresses */
	/* of the NCQ command that failed (log 10h) */
	bool ncq_failed;
	u8 ncq_tag;
	struct ata_tf ncq_tf;

	/* ATAPI */
	u8 sense, asc, ascq; /* of the last command */
	u8 attention;        /* unit attention that nobody was told of: its ASC; 0: none */
	bool open;           /* the tray */
	bool locked;         /* by the host */
	u8 event;            /* GET EVENT STATUS NOTIFICATION, media class */
};

/* ---- life; no lock held ---- */
/* Takes a->blk over, also when it fails. */
int ata_drive_new(struct ata_drive **out, const char *class_name, bool atapi, bool pata, const struct device_args *a,
		  struct err *e);
/* Connect it: client->begin() takes the controller's lock. */
void ata_drive_connect(struct ata_drive *d, struct device *on, unsigned unit, struct fair_lock *lock,
		       const struct blk_client *client);
void ata_drive_free(struct ata_drive *d);

/* As after power-on. The lock held, no command of it runs. */
void ata_drive_reset(struct ata_drive *d);
/* Registers after a reset (ACS-3, 9.12): the signature. */
void ata_signature(const struct ata_drive *d, struct ata_tf *tf);
/* A software reset keeps most settings (SRST, DEVICE RESET). */
void ata_soft_reset(struct ata_drive *d);
/* Fields of the controller's section. */
void ata_drive_state(struct ata_drive *d, struct state_file *s);

/* ---- commands ---- */
void ata_begin(struct ata_cmd *c);
/* `bytes` of the data, which c->iov[0..niov) sums to: whole sectors, if the data is the medium's. */
void ata_move(struct ata_cmd *c, unsigned niov, u64 bytes);
void ata_finish(struct ata_cmd *c);
/* It ends with an error of the way to the host. */
void ata_fail(struct ata_cmd *c, u8 error);

/* Fields of a command of the drive (NULL: there is none) that waits between two steps, with its data in reply[]. One
 * that does not make sense has `what` NULL afterwards. */
void ata_cmd_state(struct ata_cmd *c, struct ata_drive *d, struct state_file *s);

/* ---- media, as class.h has them ---- */
int ata_eject(struct device *d, bool force, struct err *e);
void ata_insert(struct device *d);
bool ata_tray_open(struct device *d);

#endif
