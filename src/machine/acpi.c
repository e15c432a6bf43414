/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * acpi.c - the ACPI tables. Chapters are of the ACPI specification 6.4.
 *
 * The board is a full-hardware ACPI machine (PM1a, PM timer, GPE0, SCI), always in ACPI mode: SMI_CMD
 * is 0, so that no guest looks for a hand-over. Tables are built in a buffer that mirrors
 * [LAYOUT_RSDP, LAYOUT_ROM) and copied to the guest in one go.
 */
#include "machine/acpi.h"

#include "machine/acpi_dsdt.h"
#include "machine/board_kind.h"
#include "machine/layout.h"
#include "machine/machine.h"

#define AREA_BYTES (LAYOUT_ROM - LAYOUT_RSDP)
#define HEADER_BYTES 36
#define OEM_ID "MICA  "
#define OEM_TABLE_ID "MICABRD "
#define TABLES_MAX 5

struct area {
	u8 *buf;
	u64 base;    /* the address of its beginning */
	size_t next; /* offset of the next table */
	const struct acpi_board *board;
	const struct acpi_places *places; /* NULL: there is no firmware, all is where layout.h says */
	struct acpi_parts *parts;         /* ... or what a loader is told */
	u32 table[TABLES_MAX];
	unsigned ntables;
};

static void fix_checksum(u8 *p, size_t bytes, size_t at)
{
	u8 sum = 0;

	p[at] = 0;
	for (size_t i = 0; i < bytes; i++)
		sum = (u8)(sum + p[i]);
	p[at] = (u8)-sum;
}

/* Take room at the next multiple of align; returns its offset. */
static size_t take(struct area *a, size_t bytes, size_t align)
{
	size_t at = ROUND_UP(a->next, align);

	must(at + bytes <= AREA_BYTES);
	a->next = at + bytes;
	return at;
}

static u32 address(const struct area *a, size_t off)
{
	return (u32)(a->base + off);
}

/* Offset in what a loader gets. */
static u32 part(const u8 *at, const struct area *a)
{
	return (u32)((size_t)(at - a->buf) - (LAYOUT_ACPI - LAYOUT_RSDP));
}

/* An address in a table. */
static void point32(struct area *a, u8 *at, u32 to)
{
	st_le32(at, to);
	if (a->parts) {
		must(a->parts->npointers < ARRAY_LEN(a->parts->pointer));
		a->parts->pointer[a->parts->npointers].at = part(at, a);
		a->parts->pointer[a->parts->npointers++].bytes = 4;
	}
}

static void point64(struct area *a, u8 *at, u32 to)
{
	point32(a, at, to);
	st_le32(at + 4, 0);
	if (a->parts)
		a->parts->pointer[a->parts->npointers - 1].bytes = 8;
}

static void header(u8 *t, const char *sig, u8 revision)
{
	memcpy(t, sig, 4);
	t[8] = revision;
	memcpy(t + 10, OEM_ID, 6);
	memcpy(t + 16, OEM_TABLE_ID, 8);
	st_le32(t + 24, 1);
	memcpy(t + 28, "MICA", 4);
	st_le32(t + 32, 1);
}

static void finish(struct area *a, u8 *t, size_t bytes)
{
	st_le32(t + 4, (u32)bytes);
	fix_checksum(t, bytes, 9);
	if (a->parts) {
		must(a->parts->ntables < ARRAY_LEN(a->parts->table));
		a->parts->table[a->parts->ntables].at = part(t, a);
		a->parts->table[a->parts->ntables++].bytes = (u32)bytes;
	}
}

/* A finished table becomes part of RSDT and XSDT. */
static void publish(struct area *a, size_t off)
{
	must(a->ntables < TABLES_MAX);
	a->table[a->ntables++] = address(a, off);
}

/* ---- DSDT ---- */

static u32 write_dsdt(struct area *ar)
{
	size_t off = take(ar, 0, 16);
	u8 *t = ar->buf + off;
	struct aml a;

	aml_init(&a, t + HEADER_BYTES, AREA_BYTES - off - HEADER_BYTES);
	header(t, "DSDT", 2); /* 2: integers of 64 bits */
	acpi_dsdt(&a, ar->board, ar->places);
	must(aml_ok(&a));
	take(ar, HEADER_BYTES + a.len, 1);
	finish(ar, t, HEADER_BYTES + a.len);
	return address(ar, off);
}

/* ---- the fixed tables ---- */

/* 5.2.10 */
static u32 write_facs(struct area *ar)
{
	size_t off = take(ar, 64, 64);
	u8 *t = ar->buf + off;

	memcpy(t, "FACS", 4);
	st_le32(t + 4, 64);
	t[32] = 2;
	return address(ar, off);
}

/* Generic address structure for I/O ports, 5.2.3.2 */
static void gas_io(u8 *p, u16 port, u8 bits, u8 access)
{
	p[0] = 1; /* system I/O */
	p[1] = bits;
	p[2] = 0;
	p[3] = access; /* 1 byte, 2 word, 3 dword */
	st_le64(p + 4, port);
}

/* 5.2.9 */
static void write_fadt(struct area *ar, u32 facs, u32 dsdt)
{
	enum { FADT_BYTES = 268 }; /* revision 5 */
	enum { PM1_EVT = LAYOUT_ACPI_PM, PM1_CNT = PM1_EVT + 4, PM_TMR = PM1_EVT + 8, GPE0 = PM1_EVT + 0x20 };
	size_t off = take(ar, FADT_BYTES, 16);
	u8 *t = ar->buf + off;

	header(t, "FACP", 5);
	point32(ar, t + 36, facs);
	point32(ar, t + 40, dsdt);
	t[45] = 4; /* preferred profile: enterprise server */
	st_le16(t + 46, LAYOUT_GSI_SCI);
	st_le32(t + 56, PM1_EVT);
	st_le32(t + 64, PM1_CNT);
	st_le32(t + 76, PM_TMR);
	st_le32(t + 80, GPE0);
	t[88] = 4;              /* PM1 event block */
	t[89] = 2;              /* PM1 control */
	t[91] = 4;              /* PM timer */
	t[92] = 8;              /* GPE0: 4 bytes of status, 4 of enable */
	st_le16(t + 96, 0xfff); /* no C2, */
	st_le16(t + 98, 0xfff); /* no C3 */
	t[108] = 0x32;          /* century in CMOS */
	/* ISA devices are there; is an 8042; is no VGA */
	st_le16(t + 109,
		(u16)(1 | (ar->board->has & MACHINE_KEYBOARD ? 2 : 0) | (ar->board->has & MACHINE_SCREEN ? 0 : 4)));
	st_le32(t + 112, 1 << 0 |      /* WBINVD works */
			     1 << 2 |  /* C1 on all CPUs */
			     1 << 5 |  /* no fixed sleep button (bit 4 clear: a power button) */
			     1 << 6 |  /* RTC wakes nothing */
			     1 << 8 |  /* the PM timer has 32 bits */
			     1 << 10); /* reset register */
	gas_io(t + 116, LAYOUT_RESET, 8, 1);
	t[128] = 6;
	point64(ar, t + 140, dsdt);
	gas_io(t + 148, PM1_EVT, 32, 2);
	gas_io(t + 172, PM1_CNT, 16, 2);
	gas_io(t + 208, PM_TMR, 32, 3);
	gas_io(t + 220, GPE0, 64, 1);
	finish(ar, t, FADT_BYTES);
	publish(ar, off);
}

static u8 *madt_entry(u8 **p, u8 type, u8 bytes)
{
	u8 *at = *p;

	at[0] = type;
	at[1] = bytes;
	*p += bytes;
	return at;
}

static void madt_override(u8 **p, u8 irq, u32 gsi, u16 flags)
{
	u8 *n = madt_entry(p, 2, 10);

	n[3] = irq;
	st_le32(n + 4, gsi);
	st_le16(n + 8, flags);
}

/* 5.2.12 */
static void write_madt(struct area *ar)
{
	unsigned ncpus = ar->board->ncpus;
	size_t bytes =
	    HEADER_BYTES + 8 + 8 * ncpus + 12 + (2 + (unsigned)__builtin_popcount(LAYOUT_PIRQ_IRQS)) * 10 + 6;
	size_t off = take(ar, bytes, 16);
	u8 *t = ar->buf + off, *p = t + HEADER_BYTES + 8, *n;

	header(t, "APIC", 4);
	st_le32(t + 36, (u32)LAYOUT_LAPIC);
	st_le32(t + 40, 1); /* there are 8259s too */
	for (unsigned i = 0; i < ncpus; i++) {
		n = madt_entry(&p, 0, 8);
		n[2] = (u8)i;
		n[3] = (u8)i;
		st_le32(n + 4, 1); /* enabled */
	}
	n = madt_entry(&p, 1, 12); /* I/O APIC, id 0, GSI base 0 */
	st_le32(n + 4, (u32)LAYOUT_IOAPIC);
	madt_override(&p, LAYOUT_GSI_PIT, 2, 0);
	madt_override(&p, LAYOUT_GSI_SCI, LAYOUT_GSI_SCI, 0xd); /* level, active high */
	for (u8 irq = 0; irq < 16; irq++)
		if (LAYOUT_PIRQ_IRQS >> irq & 1)
			madt_override(&p, irq, irq, 0xd);
	n = madt_entry(&p, 4, 6); /* every CPU: NMI at LINT1 */
	n[2] = 0xff;
	n[5] = 1;
	must(p == t + bytes);
	finish(ar, t, bytes);
	publish(ar, off);
}

/* PCI Firmware 3.3, 4.1.2 */
static void write_mcfg(struct area *ar)
{
	enum { MCFG_BYTES = HEADER_BYTES + 8 + 16 };
	size_t off = take(ar, MCFG_BYTES, 16);
	u8 *t = ar->buf + off;

	header(t, "MCFG", 1);
	st_le64(t + 44, ar->places ? ar->places->ecam : LAYOUT_ECAM);
	t[55] = LAYOUT_PCI_LAST_BUS; /* of segment 0 */
	finish(ar, t, MCFG_BYTES);
	publish(ar, off);
}

/* IA-PC HPET Specification 1.0a, 3.2.4 */
static void write_hpet(struct area *ar)
{
	enum { HPET_BYTES = 56 };
	size_t off = take(ar, HPET_BYTES, 16);
	u8 *t = ar->buf + off;

	header(t, "HPET", 1);
	st_le32(t + 36, 0x8086a201); /* as its capabilities say: three timers, 64 bits, legacy replacement */
	t[41] = 64;                  /* in memory, 64 bits wide */
	st_le64(t + 44, LAYOUT_HPET);
	st_le16(t + 53, 5000); /* the shortest period without a beat left out, in ticks of 10 ns */
	finish(ar, t, HPET_BYTES);
	publish(ar, off);
}

/* TCG ACPI Specification 1.3, chapter 8: the registers are at their place; there is no control area, no event log. */
static void write_tpm2(struct area *ar)
{
	enum { TPM2_BYTES = 64, START_TIS = 6 };
	size_t off = take(ar, TPM2_BYTES, 16);
	u8 *t = ar->buf + off;

	header(t, "TPM2", 4);
	st_le32(t + 48, START_TIS);
	finish(ar, t, TPM2_BYTES);
	publish(ar, off);
}

/* 5.2.7, 5.2.8 */
static u32 write_sdt(struct area *ar, const char *sig, unsigned entry_bytes)
{
	size_t bytes = HEADER_BYTES + ar->ntables * entry_bytes;
	size_t off = take(ar, bytes, 16);
	u8 *t = ar->buf + off;

	header(t, sig, 1);
	for (unsigned i = 0; i < ar->ntables; i++)
		(entry_bytes == 8 ? point64 : point32)(ar, t + HEADER_BYTES + i * entry_bytes, ar->table[i]);
	finish(ar, t, bytes);
	return address(ar, off);
}

/* 5.2.5.3 */
static void write_rsdp(u8 *t, u32 rsdt, u32 xsdt)
{
	memcpy(t, "RSD PTR ", 8);
	memcpy(t + 9, OEM_ID, 6);
	t[15] = 2;
	st_le32(t + 16, rsdt);
	st_le32(t + 20, 36);
	st_le64(t + 24, xsdt);
	fix_checksum(t, 20, 8);
	fix_checksum(t, 36, 32);
}

static void build(struct area *a)
{
	u32 facs = write_facs(a);

	write_fadt(a, facs, write_dsdt(a));
	write_madt(a);
	if (a->board->kind->ecam)
		write_mcfg(a);
	if (a->board->has & MACHINE_HPET)
		write_hpet(a);
	if (a->board->has & MACHINE_TPM)
		write_tpm2(a);
	u32 rsdt = write_sdt(a, "RSDT", 4);
	write_rsdp(a->buf, rsdt, write_sdt(a, "XSDT", 8));
}

int acpi_write_tables(struct ram *ram, const struct acpi_board *b, struct err *e)
{
	auto_free u8 *buf = xcalloc(1, AREA_BYTES);
	struct area a = { .buf = buf, .base = LAYOUT_RSDP, .board = b, .next = LAYOUT_ACPI - LAYOUT_RSDP };

	if (b->ncpus == 0 || b->ncpus > ACPI_CPUS_MAX)
		return err_set(e, EINVAL, "cannot describe %u CPUs to the guest: 1 to %d are possible", b->ncpus,
			       ACPI_CPUS_MAX);
	build(&a);
	/* What follows them was never written since power-on. */
	if (ram_put(ram, LAYOUT_RSDP, buf, a.next) < 0)
		return err_set(e, EINVAL, "guest memory is too small for the ACPI tables: 1 MiB at least");
	return 0;
}

void acpi_build(struct acpi_parts *out, const struct acpi_board *b, const struct acpi_places *where)
{
	enum { FIRST = LAYOUT_ACPI - LAYOUT_RSDP };
	auto_free u8 *buf = xcalloc(1, AREA_BYTES);
	/* The first table's address is 0. */
	struct area a = { .buf = buf, .base = -(u64)FIRST, .next = FIRST, .board = b, .places = where, .parts = out };

	must(b->ncpus >= 1 && b->ncpus <= ACPI_CPUS_MAX);
	memset(out, 0, sizeof(*out));
	build(&a);
	/* Whoever places them computes checksums: UEFI's sum takes in what stands in the field, so there is nothing. */
	for (unsigned i = 0; i < out->ntables; i++)
		buf[FIRST + out->table[i].at + 9] = 0;
	buf[8] = buf[32] = 0; /* the RSDP's two */
	out->bytes = a.next - FIRST;
	out->tables = xcalloc(1, out->bytes);
	memcpy(out->tables, buf + FIRST, out->bytes);
	memcpy(out->rsdp, buf, sizeof(out->rsdp));
}
