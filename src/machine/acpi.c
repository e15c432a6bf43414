/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * acpi.c - the ACPI tables. Chapters are of the ACPI specification 6.4.
 *
 * The board is a full-hardware ACPI machine (PM1a, PM timer, GPE0, SCI), always in ACPI mode: SMI_CMD
 * is 0, so that no guest looks for a hand-over. Tables are built in a buffer that mirrors
 * [LAYOUT_RSDP, LAYOUT_ROM) and copied to the guest in one go.
 */
#include "machine/acpi.h"

#include "machine/aml.h"
#include "machine/layout.h"
#include "machine/machine.h"
#include "machine/lpc.h"

#define AREA_BYTES (LAYOUT_ROM - LAYOUT_RSDP)
#define HEADER_BYTES 36
#define OEM_ID "MICA  "
#define OEM_TABLE_ID "MICABRD "
#define TABLES_MAX 4
#define ECAM_ALL_BYTES 0x10000000u /* of 256 buses */

struct area {
	u8 *buf;
	u64 base;                         /* the address of its beginning */
	size_t next;                      /* offset of the next table */
	unsigned has;                     /* enum machine_part */
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

static void pnp_device(struct aml *a, size_t *dev, size_t *res, const char *name, const char *hid, unsigned uid)
{
	*dev = aml_device(a, name);
	aml_name(a, "_HID");
	aml_eisaid(a, hid);
	aml_name(a, "_UID");
	aml_int(a, uid);
	aml_name(a, "_CRS");
	*res = aml_resources(a);
}

/*
 * _PRT, 6.2.13. INTA..INTD of a slot go to the eight PCI wires in turn. A guest that uses the I/O APIC (it says so by
 * _PIC, 5.8.1) finds the wires at pins of it; one that uses the 8259s, at lines that a link device steers each to.
 */
static void dsdt_routes(struct aml *a, const char *name, bool links)
{
	aml_name(a, name);
	size_t prt = aml_package(a, 32 * 4);
	for (unsigned slot = 0; slot < 32; slot++) {
		for (unsigned pin = 0; pin < 4; pin++) {
			unsigned wire = LAYOUT_PCI_WIRE(slot, pin);
			size_t p = aml_package(a, 4);

			aml_int(a, slot << 16 | 0xffff);
			aml_int(a, pin);
			if (links) {
				aml_ref(a, (char[]){ '\\', '_', 'S', 'B', '.', 'L', 'N', 'K', (char)('A' + wire), 0 });
				aml_int(a, 0);
			} else {
				aml_int(a, 0); /* no link device: a fixed GSI */
				aml_int(a, LAYOUT_GSI_PCI + wire);
			}
			aml_end(a, p);
		}
	}
	aml_end(a, prt);
}

static void dsdt_routing(struct aml *a)
{
	dsdt_routes(a, "PRTP", true);
	dsdt_routes(a, "PRTA", false);
	size_t m = aml_method(a, "_PRT", 0);
	size_t c = aml_if(a);
	aml_ref(a, "\\PICM");
	aml_return(a);
	aml_ref(a, "PRTA");
	aml_end(a, c);
	aml_return(a);
	aml_ref(a, "PRTP");
	aml_end(a, m);
}

/* The steering registers, a byte each: RTA to RTH (lpc.h). */
static void dsdt_lpc(struct aml *a)
{
	size_t dev = aml_device(a, "LPC");

	aml_name(a, "_ADR");
	aml_int(a, LAYOUT_LPC_SLOT << 16);
	aml_region(a, "RTS", AML_PCI_CONFIG, LPC_ROUTE(0), LPC_ROUTE(7) + 1 - LPC_ROUTE(0));
	size_t f = aml_field(a, "RTS", AML_BYTE_ACCESS);
	for (unsigned wire = 0; wire < 8; wire++) {
		if (wire == 4)
			aml_field_gap(a, 8 * (LPC_ROUTE(4) - LPC_ROUTE(3) - 1));
		aml_field_unit(a, (char[]){ 'R', 'T', (char)('A' + wire), 0 }, 8);
	}
	aml_end(a, f);
	aml_end(a, dev);
}

/* 6.2.13: a device that says which line a wire has (_CRS), could have (_PRS), and takes another (_SRS) or none (_DIS).
 */
static void dsdt_link(struct aml *a, unsigned wire)
{
	char name[] = { 'L', 'N', 'K', (char)('A' + wire), 0 };
	char reg[] = "\\_SB.PCI0.LPC.RT?";
	size_t m, c, res, dev = aml_device(a, name);

	reg[sizeof(reg) - 2] = (char)('A' + wire);
	aml_name(a, "_HID");
	aml_eisaid(a, "PNP0C0F");
	aml_name(a, "_UID");
	aml_int(a, wire + 1);
	aml_name(a, "_PRS");
	res = aml_resources(a);
	aml_res_shared_irqs(a, LAYOUT_PIRQ_IRQS);
	aml_end_resources(a, res);
	aml_name(a, "CUR"); /* its only interrupt is the dword at AML_RES_IRQ_AT */
	res = aml_resources(a);
	aml_res_shared_irqs(a, 1u << LAYOUT_PIRQ_IRQ(wire));
	aml_end_resources(a, res);

	m = aml_method(a, "_STA", 0); /* 6.3.7: present, functioning; and enabled */
	c = aml_if(a);
	aml_and(a);
	aml_ref(a, reg);
	aml_int(a, 0x80);
	aml_nowhere(a);
	aml_return(a);
	aml_int(a, 0x9);
	aml_end(a, c);
	aml_return(a);
	aml_int(a, 0xb);
	aml_end(a, m);

	m = aml_method(a, "_DIS", 0);
	aml_store(a);
	aml_int(a, 0x80);
	aml_ref(a, reg);
	aml_end(a, m);

	m = aml_method(a, "_CRS", 0);
	aml_dword_field(a);
	aml_ref(a, "CUR");
	aml_int(a, AML_RES_IRQ_AT);
	aml_named(a, "IRQN");
	aml_and(a);
	aml_ref(a, reg);
	aml_int(a, 0xf);
	aml_ref(a, "IRQN");
	aml_return(a);
	aml_ref(a, "CUR");
	aml_end(a, m);

	m = aml_method(a, "_SRS", 1);
	aml_dword_field(a);
	aml_arg(a, 0);
	aml_int(a, AML_RES_IRQ_AT);
	aml_named(a, "IRQN");
	aml_store(a);
	aml_ref(a, "IRQN");
	aml_ref(a, reg);
	aml_end(a, m);
	aml_end(a, dev);
}

static void dsdt_pci(struct aml *a, const struct acpi_places *places, unsigned has)
{
	size_t dev = aml_device(a, "PCI0");

	aml_name(a, "_HID");
	aml_eisaid(a, "PNP0A08");
	aml_name(a, "_CID");
	aml_eisaid(a, "PNP0A03");
	aml_name(a, "_UID");
	aml_int(a, 0);
	aml_name(a, "_SEG");
	aml_int(a, 0);
	aml_name(a, "_BBN");
	aml_int(a, 0);

	aml_name(a, "_CRS");
	size_t res = aml_resources(a);
	aml_res_bus_window(a, 0, LAYOUT_PCI_LAST_BUS);
	aml_res_io(a, LAYOUT_PCI_CFG, 8);
	aml_res_io_window(a, 0, LAYOUT_PCI_CFG - 1);
	aml_res_io_window(a, LAYOUT_PCI_CFG + 8, 0xffff);
	if (has & MACHINE_SCREEN)
		aml_res_mem_window(a, (u32)LAYOUT_VGA, (u32)LAYOUT_VGA_END - 1);
	if (places) {
		aml_res_mem_window(a, (u32)places->low_end, (u32)places->ecam - 1);
		aml_res_mem_window(a, (u32)places->ecam + ECAM_ALL_BYTES, (u32)LAYOUT_IOAPIC - 1);
	} else {
		aml_res_mem_window(a, (u32)LAYOUT_PCI_MMIO, (u32)LAYOUT_PCI_MMIO_END);
	}
	aml_end_resources(a, res);

	dsdt_routing(a);
	dsdt_lpc(a);
	aml_end(a, dev);
}

static void dsdt_keyboard(struct aml *a)
{
	size_t dev, res;

	pnp_device(a, &dev, &res, "KBD", "PNP0303", 0);
	aml_res_io(a, LAYOUT_KEYBOARD_DATA, 1);
	aml_res_io(a, LAYOUT_KEYBOARD, 1);
	aml_res_irq(a, LAYOUT_GSI_KEYBOARD);
	aml_end_resources(a, res);
	aml_end(a, dev);

	pnp_device(a, &dev, &res, "MOU", "PNP0F13", 0);
	aml_res_irq(a, LAYOUT_GSI_MOUSE);
	aml_end_resources(a, res);
	aml_end(a, dev);
}

static void dsdt_serial(struct aml *a, const char *name, unsigned uid, u16 port, unsigned gsi)
{
	size_t dev, res;

	pnp_device(a, &dev, &res, name, "PNP0501", uid);
	aml_res_io(a, port, 8);
	aml_res_irq(a, gsi);
	aml_end_resources(a, res);
	aml_end(a, dev);
}

/* Microsoft, "Virtual Machine Generation ID", 2012: _CID and _DDN are what systems look for. */
static void dsdt_generation(struct aml *a)
{
	size_t dev = aml_device(a, "VGEN");

	aml_name(a, "_HID");
	aml_string(a, "MICA0001");
	aml_name(a, "_CID");
	aml_string(a, "VM_Gen_Counter");
	aml_name(a, "_DDN");
	aml_string(a, "VM_Gen_Counter");
	aml_name(a, "ADDR");
	size_t at = aml_package(a, 2);
	aml_int(a, (u32)LAYOUT_GENERATION);
	aml_int(a, LAYOUT_GENERATION >> 32);
	aml_end(a, at);
	aml_end(a, dev);
}

/* 5.6.4.1.1: _Exx, the event's number in hex, for one that is an edge. */
static void dsdt_generation_event(struct aml *a)
{
	size_t gpe = aml_scope(a, "\\_GPE");
	char name[5];

	snprintf(name, sizeof(name), "_E%02X", LAYOUT_GPE_GENERATION & 0xff);
	size_t m = aml_method(a, name, 0);
	aml_notify(a);
	aml_ref(a, "\\_SB.VGEN");
	aml_int(a, 0x80);
	aml_end(a, m);
	aml_end(a, gpe);
}

static void dsdt_body(struct aml *a, unsigned ncpus, const struct acpi_places *places, unsigned has)
{
	size_t dev, res;

	/* 7.4.2: the value that PM1a control takes for S5 (PM1b: the same, there is none) */
	aml_name(a, "\\_S5");
	size_t pkg = aml_package(a, 4);
	aml_int(a, LAYOUT_SLP_TYP_S5);
	aml_int(a, LAYOUT_SLP_TYP_S5);
	aml_int(a, 0);
	aml_int(a, 0);
	aml_end(a, pkg);

	/* 5.8.1: 0, the 8259s, until the guest says otherwise */
	aml_name(a, "\\PICM");
	aml_int(a, 0);
	size_t pic = aml_method(a, "\\_PIC", 1);
	aml_store(a);
	aml_arg(a, 0);
	aml_ref(a, "\\PICM");
	aml_end(a, pic);

	size_t sb = aml_scope(a, "\\_SB");

	for (unsigned i = 0; i < ncpus; i++) {
		char name[5];

		snprintf(name, sizeof(name), "C%03X", i & 0xfff);
		size_t cpu = aml_device(a, name);
		aml_name(a, "_HID");
		aml_string(a, "ACPI0007");
		aml_name(a, "_UID");
		aml_int(a, i);
		aml_end(a, cpu);
	}

	dsdt_pci(a, places, has);
	for (unsigned wire = 0; wire < 8; wire++)
		dsdt_link(a, wire);

	/* Guests believe MCFG only when a motherboard device claims its range (PCI Firmware 3.3, 4.1.2). */
	pnp_device(a, &dev, &res, "MBRD", "PNP0C02", 0);
	if (places)
		aml_res_mem_fixed(a, (u32)places->ecam, ECAM_ALL_BYTES);
	else
		aml_res_mem_fixed(a, (u32)LAYOUT_ECAM, (u32)LAYOUT_ECAM_BYTES);
	aml_end_resources(a, res);
	aml_end(a, dev);

	pnp_device(a, &dev, &res, "RTC", "PNP0B00", 0);
	aml_res_io(a, LAYOUT_RTC, 2);
	aml_res_irq(a, LAYOUT_GSI_RTC);
	aml_end_resources(a, res);
	aml_end(a, dev);

	dsdt_serial(a, "COM1", 1, LAYOUT_UART1, LAYOUT_GSI_UART1);
	if (has & MACHINE_SERIAL2)
		dsdt_serial(a, "COM2", 2, LAYOUT_UART2, LAYOUT_GSI_UART2);

	if (has & MACHINE_HPET) {
		pnp_device(a, &dev, &res, "HPET", "PNP0103", 0);
		aml_res_mem_fixed(a, (u32)LAYOUT_HPET, (u32)LAYOUT_HPET_BYTES);
		aml_end_resources(a, res);
		aml_end(a, dev);
	}
	if (has & MACHINE_KEYBOARD)
		dsdt_keyboard(a);
	if (has & MACHINE_GENERATION)
		dsdt_generation(a);
	aml_end(a, sb);
	if (has & MACHINE_GENERATION)
		dsdt_generation_event(a);
}

static u32 write_dsdt(struct area *ar, unsigned ncpus)
{
	size_t off = take(ar, 0, 16);
	u8 *t = ar->buf + off;
	struct aml a;

	aml_init(&a, t + HEADER_BYTES, AREA_BYTES - off - HEADER_BYTES);
	header(t, "DSDT", 2); /* 2: integers of 64 bits */
	dsdt_body(&a, ncpus, ar->places, ar->has);
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
	st_le16(t + 109, (u16)(1 | (ar->has & MACHINE_KEYBOARD ? 2 : 0) | (ar->has & MACHINE_SCREEN ? 0 : 4)));
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
static void write_madt(struct area *ar, unsigned ncpus)
{
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

static void build(struct area *a, unsigned ncpus)
{
	u32 facs = write_facs(a);

	write_fadt(a, facs, write_dsdt(a, ncpus));
	write_madt(a, ncpus);
	write_mcfg(a);
	if (a->has & MACHINE_HPET)
		write_hpet(a);
	u32 rsdt = write_sdt(a, "RSDT", 4);
	write_rsdp(a->buf, rsdt, write_sdt(a, "XSDT", 8));
}

int acpi_write_tables(struct ram *ram, unsigned ncpus, unsigned has, struct err *e)
{
	auto_free u8 *buf = xcalloc(1, AREA_BYTES);
	struct area a = { .buf = buf, .base = LAYOUT_RSDP, .has = has, .next = LAYOUT_ACPI - LAYOUT_RSDP };

	if (ncpus == 0 || ncpus > ACPI_CPUS_MAX)
		return err_set(e, EINVAL, "cannot describe %u CPUs to the guest: 1 to %d are possible", ncpus,
			       ACPI_CPUS_MAX);
	build(&a, ncpus);
	/* What follows them was never written since power-on. */
	if (ram_put(ram, LAYOUT_RSDP, buf, a.next) < 0)
		return err_set(e, EINVAL, "guest memory is too small for the ACPI tables: 1 MiB at least");
	return 0;
}

void acpi_build(struct acpi_parts *out, unsigned ncpus, unsigned has, const struct acpi_places *where)
{
	enum { FIRST = LAYOUT_ACPI - LAYOUT_RSDP };
	auto_free u8 *buf = xcalloc(1, AREA_BYTES);
	/* The first table's address is 0. */
	struct area a = { .buf = buf, .base = -(u64)FIRST, .next = FIRST, .has = has, .places = where, .parts = out };

	must(ncpus >= 1 && ncpus <= ACPI_CPUS_MAX);
	memset(out, 0, sizeof(*out));
	build(&a, ncpus);
	/* Whoever places them computes checksums: UEFI's sum takes in what stands in the field, so there is nothing. */
	for (unsigned i = 0; i < out->ntables; i++)
		buf[FIRST + out->table[i].at + 9] = 0;
	buf[8] = buf[32] = 0; /* the RSDP's two */
	out->bytes = a.next - FIRST;
	out->tables = xcalloc(1, out->bytes);
	memcpy(out->tables, buf + FIRST, out->bytes);
	memcpy(out->rsdp, buf, sizeof(out->rsdp));
}
