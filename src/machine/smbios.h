/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * smbios.h - what a person, or the system's inventory, is told of the machine (DMTF DSP0134, SMBIOS 2.8): who made it,
 * its serial number and UUID; and how many CPUs and how much memory it has. Nothing depends on it but names.
 */
#ifndef MICA_SMBIOS_H
#define MICA_SMBIOS_H

#include "base/err.h"
#include "base/ram.h"

#define SMBIOS_TEXT_MAX 64 /* bytes of each */

/* NULL or "": not told. */
struct smbios_identity {
	const char *manufacturer, *product, *version, *serial, *sku, *family;
	u8 uuid[16]; /* as it is written: the first byte first */
};

#define SMBIOS_ANCHOR_BYTES 31

struct smbios {
	u8 anchor[SMBIOS_ANCHOR_BYTES]; /* the entry point, complete but for the tables' address and what follows */
	u8 *tables;
	size_t bytes;
};

struct smbios_board {
	unsigned ncpus;
	u64 low_bytes, high_bytes; /* memory from 0 on and from 4 GiB on */
	bool uefi;
};

/* s->tables is the caller's to free. id NULL: the usual names, no UUID. */
void smbios_build(struct smbios *s, const struct smbios_board *b, const struct smbios_identity *id);
/* Where a kernel finds it without firmware: in the ROM, at LAYOUT_SMBIOS. */
int smbios_write(const struct smbios *s, struct ram *ram, struct err *e);

#endif
