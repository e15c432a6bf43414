/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ata_int.h - between the files of the command core: ata.c (running a command), ata_disk.c, ata_identify.c, atapi.c,
 * atapi_reply.c, ata_drive.c. */
#ifndef MICA_ATA_INT_H
#define MICA_ATA_INT_H

#include "base/state.h"
#include "device/ata/ata.h"

#define CD_BYTES 2048u
#define TRIM_BLOCKS 8u /* of 512 bytes, in a DATA SET MANAGEMENT */
#define TRIM_RANGES (TRIM_BLOCKS * 512 / 8)
#define MULTIPLE_MAX 16u

/* A row of the table of commands. */
enum {
	ON_DISK = 1 << 0,
	ON_CD = 1 << 1,
	EXT = 1 << 2, /* 48-bit addresses and 16-bit counts */
	DMA = 1 << 3,
	MULTI = 1 << 4, /* PIO in blocks of several sectors */
	FUA = 1 << 5,
	OUT = 1 << 6, /* to the medium */
	QUEUED = 1 << 7,
};
struct ata_command {
	u8 code;
	u8 flags;
	void (*begin)(struct ata_cmd *c);
	void (*finish)(struct ata_cmd *c); /* optional: it ends by itself; NULL: all is done */
};

/* ---- ata.c ---- */
/* A command that has succeeded. */
void ata_ok(struct ata_cmd *c);
void ata_abort(struct ata_cmd *c);
/* Data from reply[], or to it. */
void ata_reply(struct ata_cmd *c, u64 bytes);
/* Data of the medium. */
void ata_transfer(struct ata_cmd *c, enum ata_dir dir, u64 off, u64 bytes);
/* A request without data; block_done() is told how it ended. */
void ata_ask_block(struct ata_cmd *c, enum blk_op op, u64 off, u64 bytes);

/* ---- ata_disk.c: the table ---- */
const struct ata_command *ata_command_find(const struct ata_drive *d, u8 code);
/* A range of a trim is done, or none was yet: go on. */
void ata_trim_next(struct ata_cmd *c);

/* ---- ata_identify.c: begins ---- */
void ata_identify(struct ata_cmd *c);
void ata_identify_packet(struct ata_cmd *c);
void ata_smart(struct ata_cmd *c);
void ata_read_log(struct ata_cmd *c);

/* A row of a table of packets. */
enum {
	PACKET_ALWAYS = 1 << 0, /* a unit attention does not stop it */
	PACKET_MEDIUM = 1 << 1, /* needs one */
	PACKET_SHORT = 1 << 2,  /* an answer in reply[], up to the allocation length */
};
struct packet {
	u8 code, flags;
	u8 room_at, room_bytes; /* SHORT: where the packet has the allocation length; 1, 2 or 4, 0: it has none */
	unsigned (*reply)(struct ata_cmd *c);
	void (*begin)(struct ata_cmd *c);
	void (*finish)(struct ata_cmd *c);
};

/* ---- scsi_disk.c ---- */
const struct packet *scsi_disk_packet(u8 code);

/* ---- atapi.c ---- */
unsigned atapi_request_sense(struct ata_cmd *c);
unsigned atapi_report_luns(struct ata_cmd *c);
void atapi_begin(struct ata_cmd *c);
void atapi_finish(struct ata_cmd *c);
/* Is it a packet there is? */
bool atapi_known(const struct ata_cmd *c);
/* CHECK CONDITION. */
void atapi_fail(struct ata_cmd *c, u8 key, u8 asc, u8 ascq);
#define SENSE_NOT_READY 2
#define SENSE_MEDIUM_ERROR 3
#define SENSE_ILLEGAL 5
#define SENSE_ATTENTION 6
#define SENSE_PROTECT 7
#define ASC_BAD_OPCODE 0x20
#define ASC_OUT_OF_RANGE 0x21
#define ASC_BAD_FIELD 0x24
#define ASC_PROTECTED 0x27
#define ASC_CHANGED 0x28
#define ASC_RESET 0x29
#define ASC_NO_MEDIUM 0x3a
#define ASC_LOCKED 0x53

static inline u16 ld_be16(const u8 *p)
{
	return (u16)(p[0] << 8 | p[1]);
}
static inline u32 ld_be32(const u8 *p)
{
	return (u32)ld_be16(p) << 16 | ld_be16(p + 2);
}
static inline void st_be16(u8 *p, u16 v)
{
	p[0] = (u8)(v >> 8);
	p[1] = (u8)v;
}
static inline void st_be32(u8 *p, u32 v)
{
	st_be16(p, (u16)(v >> 16));
	st_be16(p + 2, (u16)v);
}
static inline bool atapi_has_medium(const struct ata_drive *d)
{
	return !d->open && blk_bytes(d->blk) >= CD_BYTES;
}

/* ---- atapi_reply.c: answers to packets that ask what there is; bytes of the answer, 0: a field is bad ---- */
unsigned atapi_inquiry(struct ata_cmd *c);
unsigned atapi_mode_sense(struct ata_cmd *c);
unsigned atapi_mode_sense6(struct ata_cmd *c);
unsigned atapi_toc(struct ata_cmd *c);
unsigned atapi_configuration(struct ata_cmd *c);
unsigned atapi_event_status(struct ata_cmd *c);
unsigned atapi_disc_information(struct ata_cmd *c);
unsigned atapi_track_information(struct ata_cmd *c);
unsigned atapi_mechanism(struct ata_cmd *c);

#endif
