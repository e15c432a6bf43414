/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ide_int.h - between ide.c, a channel and its drives, and ide_pci.c, the controller: bus master, life. */
#ifndef MICA_IDE_INT_H
#define MICA_IDE_INT_H

#include "device/ata/ata_sg.h"
#include "device/ata/ide.h"
#include "machine/pci.h"

#define IDE_CHANNELS 2u
#define IDE_CHUNK 65536u /* bytes of PIO data that are held between the host's disk and the data port */

#define BM_START 1u /* command */
#define BM_TO_HOST 8u
#define BM_ACTIVE 1u /* status */
#define BM_ERROR 2u
#define BM_INTERRUPT 4u
#define BM_CAPABLE 0x60u

struct ide;

/* What a drive has of registers: the current values and those before them (ACS-3's "HOB"). */
struct ide_unit {
	struct ata_drive *drive; /* NULL: none */
	u8 feature[2], count[2], low[2], mid[2], high[2];
	u8 status, error;
};

enum ide_phase {
	IDE_IDLE,
	IDE_PACKET,   /* the drive waits for a packet at the data port */
	IDE_DATA,     /* ... for the host to read or write a block there */
	IDE_WAIT_DMA, /* ... for the bus master to be started */
	IDE_BUSY,     /* the drive works */
};

/* All under the controller's lock. */
struct ide_channel {
	struct ide *h;
	unsigned number;
	struct irq_line irq;
	struct io_region ports, control_port;
	struct ide_unit unit[2];
	u8 device, control;
	bool irq_on; /* INTRQ */

	struct ata_cmd cmd;
	enum ide_phase phase;
	bool flying; /* the block layer has it */
	bool stale;  /* ... and the host has reset the channel since */
	bool parked; /* it goes on with resume() */
	/* PIO */
	u8 *buf;            /* IDE_CHUNK */
	u32 held;           /* bytes in buf: read and not yet taken, or to be written */
	u32 pos, block_end; /* of the block at the data port */
	/* the bus master */
	u8 bm_command, bm_status;
	u32 bm_table;
	struct ata_sg sg;
};

struct ide {
	struct pci_dev pci;
	struct fair_lock lock;
	struct ide_board board;
	bool quiesced;
	struct ide_channel channel[IDE_CHANNELS];
};

/* ---- ide.c ---- */
extern const struct io_ops ide_task_file_ops, ide_control_ops;
void ide_channel_init(struct ide_channel *ch);
void ide_channel_reset(struct ide_channel *ch);
/* The command goes on: it was parked, or the bus master was started. */
void ide_channel_go_on(struct ide_channel *ch);
/* Plug the disk of the command under way around what may submit. */
void ide_channel_plug(struct ide_channel *ch, bool on);
void ide_channel_state(struct ide_channel *ch, struct state_file *s);

#endif
