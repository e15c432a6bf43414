/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acpi_loader.c - see acpi_loader.h. */
#include "machine/acpi_loader.h"

#define ENTRY_BYTES 128 /* of an instruction */
#define NAME_BYTES 56
#define ALLOCATE 1
#define ADD_POINTER 2
#define ADD_CHECKSUM 3
#define ZONE_HIGH 1 /* below 4 GiB */
#define ZONE_FSEG 2 /* where an RSDP is looked for */

#define RSDP_RSDT 16 /* ACPI 6.4, 5.2.5.3 */
#define RSDP_XSDT 24

static u8 *entry(struct acpi_files *f, u32 command, const char *file)
{
	f->loader = xrealloc(f->loader, f->loader_bytes + ENTRY_BYTES);
	u8 *p = f->loader + f->loader_bytes;

	f->loader_bytes += ENTRY_BYTES;
	memset(p, 0, ENTRY_BYTES);
	st_le32(p, command);
	memcpy(p + 4, file, strlen(file));
	return p;
}

static void allocate(struct acpi_files *f, const char *file, u32 align, u8 zone)
{
	u8 *p = entry(f, ALLOCATE, file);

	st_le32(p + 60, align);
	p[64] = zone;
}

static void add_pointer(struct acpi_files *f, const char *file, u32 at, u8 bytes)
{
	u8 *p = entry(f, ADD_POINTER, file);

	memcpy(p + 4 + NAME_BYTES, ACPI_FILE_TABLES, strlen(ACPI_FILE_TABLES));
	st_le32(p + 116, at);
	p[120] = bytes;
}

static void add_checksum(struct acpi_files *f, const char *file, u32 at, u32 first, u32 bytes)
{
	u8 *p = entry(f, ADD_CHECKSUM, file);

	st_le32(p + 60, at);
	st_le32(p + 64, first);
	st_le32(p + 68, bytes);
}

void acpi_files_build(struct acpi_files *f, const struct acpi_board *b, const struct acpi_places *where)
{
	struct acpi_parts parts;

	memset(f, 0, sizeof(*f));
	acpi_build(&parts, b, where);
	f->tables = parts.tables;
	f->tables_bytes = parts.bytes;
	memcpy(f->rsdp, parts.rsdp, sizeof(f->rsdp));
	allocate(f, ACPI_FILE_RSDP, 16, ZONE_FSEG);
	allocate(f, ACPI_FILE_TABLES, 64, ZONE_HIGH);
	for (unsigned i = 0; i < parts.npointers; i++)
		add_pointer(f, ACPI_FILE_TABLES, parts.pointer[i].at, parts.pointer[i].bytes);
	for (unsigned i = 0; i < parts.ntables; i++)
		add_checksum(f, ACPI_FILE_TABLES, parts.table[i].at + 9, parts.table[i].at, parts.table[i].bytes);
	add_pointer(f, ACPI_FILE_RSDP, RSDP_RSDT, 4);
	add_pointer(f, ACPI_FILE_RSDP, RSDP_XSDT, 8);
	add_checksum(f, ACPI_FILE_RSDP, 8, 0, 20);
	add_checksum(f, ACPI_FILE_RSDP, 32, 0, 36);
}

void acpi_files_free(struct acpi_files *f)
{
	free(f->tables);
	free(f->loader);
}
