/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ata_sg.h - a controller's list of pieces of guest memory (PRDs), read piece by piece as a command's data moves. */
#ifndef MICA_ATA_SG_H
#define MICA_ATA_SG_H

#include "base/ram.h"
#include "device/ata/ata.h"

struct ata_sg;

/* Entry i: its address and bytes (even, not 0), is it the last? False: the list is not in memory. */
typedef bool ata_sg_read(const struct ata_sg *g, unsigned i, gpa_t *at, u64 *bytes, bool *last);

struct ata_sg {
	const struct ram *ram;
	ata_sg_read *read;
	gpa_t table;
	unsigned entries; /* at most */
	/* where the next piece begins */
	unsigned at;
	u32 off;
	/* of each c->iov of the piece that moves */
	u16 iov_at[ATA_IOV_MAX];
	u32 iov_off[ATA_IOV_MAX];
	unsigned niov;
};

/* Read it from the beginning. */
void ata_sg_rewind(struct ata_sg *g);
/* The next piece of c's data into c->iov, whole sectors unless it is the last: bytes; 0: the list is too short; < 0:
 * it, or what it names, is not memory. */
s64 ata_sg_next(struct ata_sg *g, struct ata_cmd *c);
/* The piece has moved: tell whoever must know of written memory. */
void ata_sg_moved(struct ata_sg *g, const struct ata_cmd *c);

#endif
