/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acpi.h - the ACPI tables that tell the guest what the board is made of. */
#ifndef MICA_ACPI_H
#define MICA_ACPI_H

#include "base/err.h"
#include "base/ram.h"

struct board_kind; /* machine/board_kind.h */

#define ACPI_CPUS_MAX 255 /* APIC id 255 is broadcast; more would take x2APIC entries */

/* What there is to be told. */
struct acpi_board {
	const struct board_kind *kind;
	unsigned ncpus;  /* 1 to ACPI_CPUS_MAX */
	unsigned has;    /* enum machine_part (machine.h) */
	unsigned nslots; /* slots.h */
};

/* Write RSDP (at LAYOUT_RSDP), RSDT, XSDT, FADT, FACS, DSDT, MADT and MCFG into guest RAM below 1 MiB. */
int acpi_write_tables(struct ram *ram, const struct acpi_board *b, struct err *e);

/* ---- for firmware, which places them (acpi_loader.h) ---- */

/* What firmware has decided. */
struct acpi_places {
	u64 low_end; /* BARs may be from here on, below 4 GiB */
	u64 ecam;    /* where config space is, of 256 buses; 0: nowhere */
};

/* The same tables, all but the RSDP in one piece. Addresses are offsets into that piece. */
struct acpi_parts {
	u8 *tables; /* the caller's to free */
	size_t bytes;
	u8 rsdp[36];
	struct {
		u32 at;
		u8 bytes;
	} pointer[16]; /* where an address is */
	unsigned npointers;
	struct {
		u32 at, bytes;
	} table[8]; /* what has a checksum */
	unsigned ntables;
};
void acpi_build(struct acpi_parts *out, const struct acpi_board *b, const struct acpi_places *where);

#endif
