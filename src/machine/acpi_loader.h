/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * acpi_loader.h - the ACPI tables as files for firmware, which places them: the tables, the RSDP, and a list of
 * instructions (QEMU's documentation, "bios-linker-loader"): allocate room for a file, add a file's address to a
 * pointer in another, compute a checksum.
 */
#ifndef MICA_ACPI_LOADER_H
#define MICA_ACPI_LOADER_H

#include "machine/acpi.h"

#define ACPI_FILE_TABLES "etc/acpi/tables"
#define ACPI_FILE_RSDP "etc/acpi/rsdp"
#define ACPI_FILE_LOADER "etc/table-loader"

struct acpi_files {
	u8 *tables, *loader;
	size_t tables_bytes, loader_bytes;
	u8 rsdp[36];
};

/* The same lengths for all places. ncpus: at most ACPI_CPUS_MAX. */
void acpi_files_build(struct acpi_files *f, const struct acpi_board *b, const struct acpi_places *where);
void acpi_files_free(struct acpi_files *f);

#endif
