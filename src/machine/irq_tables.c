/* SPDX-License-Identifier: GPL-2.0-or-later */
/* irq_tables.c - see irq_tables.h. */
#include "machine/irq_tables.h"

#include "machine/board_kind.h"
#include "machine/layout.h"
#include "machine/lpc.h"

#define PIR_HEADER 32
#define PIR_SLOT 16
#define SLOTS 32

#define MP_HEADER 44
#define MP_POINTER 16
#define BUS_PCI 0 /* its number as a PCI bus, too */
#define BUS_ISA 1
#define FLAGS_BUS 0x0   /* polarity and trigger mode: as the bus has them */
#define FLAGS_LEVEL 0xd /* level-triggered, active high */
#define TYPE_INT 0
#define TYPE_NMI 1
#define TYPE_EXTINT 3
#define ALL_LAPICS 0xff

static void fix_checksum(u8 *p, size_t bytes, size_t at)
{
	u8 sum = 0;

	p[at] = 0;
	for (size_t i = 0; i < bytes; i++)
		sum = (u8)(sum + p[i]);
	p[at] = (u8)-sum;
}

static bool has_pins(const struct board_kind *k, unsigned slot)
{
	return slot != 0 && slot != k->isa_slot;
}

/* ---- $PIR ---- */

static size_t build_pir(u8 *t, const struct board_kind *k)
{
	u8 *p = t + PIR_HEADER;
	u16 lines = 0;

	memcpy(t, "$PIR", 4);
	st_le16(t + 4, 0x0100);
	for (unsigned w = 0; w < k->wires; w++)
		lines |= (u16)(1u << k->irq[w]);
	t[9] = (u8)(k->isa_slot << 3); /* the router, on bus 0 */
	st_le16(t + 10, lines);        /* for PCI alone */
	st_le16(t + 12,
		0x8086); /* a router that this one is or is like: the 82371SB (PIIX3), which guests of that time know */
	st_le16(t + 14, 0x7000);
	for (unsigned slot = 0; slot < SLOTS; slot++) {
		if (!has_pins(k, slot))
			continue;
		p[1] = (u8)(slot << 3);
		for (unsigned pin = 0; pin < 4; pin++) {
			unsigned wire = board_wire(k, slot, pin);

			p[2 + 3 * pin] = (u8)LPC_ROUTE(wire); /* "link": as that router wants it, its register */
			st_le16(p + 3 + 3 * pin, LAYOUT_PIRQ_IRQS);
		}
		p += PIR_SLOT;
	}
	st_le16(t + 6, (u16)(p - t));
	fix_checksum(t, (size_t)(p - t), 31);
	return (size_t)(p - t);
}

/* ---- MultiProcessor table, chapter 4 ---- */

struct mp {
	u8 *table, *p;
	unsigned entries;
};

static u8 *entry(struct mp *m, u8 type, unsigned bytes)
{
	u8 *at = m->p;

	at[0] = type;
	m->p += bytes;
	m->entries++;
	return at;
}

static void bus(struct mp *m, u8 id, const char *name)
{
	u8 *n = entry(m, 1, 8);

	n[1] = id;
	memcpy(n + 2, name, 6);
}

/* Types 3, to an I/O APIC's pin, and 4, to the local APICs' */
static void interrupt(struct mp *m, u8 entry_type, u8 type, u16 flags, u8 from, u8 irq, u8 to, unsigned pin)
{
	u8 *n = entry(m, entry_type, 8);

	n[1] = type;
	st_le16(n + 2, flags);
	n[4] = from;
	n[5] = irq;
	n[6] = to;
	n[7] = (u8)pin;
}

static size_t build_mp(u8 *t, const struct board_kind *k, unsigned ncpus)
{
	struct mp m = { .table = t, .p = t + MP_HEADER };

	for (unsigned i = 0; i < ncpus; i++) {
		u8 *n = entry(&m, 0, 20);

		n[1] = (u8)i;
		n[2] = 0x14;                       /* an APIC in the processor */
		n[3] = (u8)(1 | (i == 0 ? 2 : 0)); /* enabled; the boot processor */
		st_le32(n + 4, 0x600);             /* family 6: who wants to know more asks CPUID */
		st_le32(n + 8, 0x201);             /* it has an FPU and an APIC */
	}
	if (k->pci)
		bus(&m, BUS_PCI, "PCI   ");
	bus(&m, BUS_ISA, "ISA   ");
	u8 *n = entry(&m, 2, 8); /* I/O APIC, id 0 */
	n[2] = 0x11;
	n[3] = 1;
	st_le32(n + 4, (u32)LAYOUT_IOAPIC);
	for (u8 irq = 0; irq < 16; irq++) {
		bool level = irq == LAYOUT_GSI_SCI || LAYOUT_PIRQ_IRQS >> irq & 1;

		if (irq != 2)
			interrupt(&m, 3, TYPE_INT, level ? FLAGS_LEVEL : FLAGS_BUS, BUS_ISA, irq, 0,
				  irq == LAYOUT_GSI_PIT ? 2 : irq);
	}
	/* Kernels number ISA's interrupts as they are told: so slots (slots.h) have those of their pins. */
	for (u8 i = 0; !k->pci && i < LAYOUT_SLOT_PINS; i++)
		interrupt(&m, 3, TYPE_INT, FLAGS_LEVEL, BUS_ISA, (u8)(LAYOUT_GSI_PCI + i), 0, LAYOUT_GSI_PCI + i);
	for (unsigned slot = 0; k->pci && slot < SLOTS; slot++)
		for (unsigned pin = 0; pin < 4 && has_pins(k, slot); pin++) {
			unsigned wire = board_wire(k, slot, pin);

			/* Steered ones are level-triggered, active high, as the lines are. */
			interrupt(&m, 3, TYPE_INT, k->ioapic ? FLAGS_BUS : FLAGS_LEVEL, BUS_PCI, (u8)(slot << 2 | pin),
				  0, k->ioapic ? LAYOUT_GSI_PCI + wire : k->irq[wire]);
		}
	interrupt(&m, 4, TYPE_EXTINT, FLAGS_BUS, BUS_ISA, 0, 0, 0); /* the 8259s, at the boot processor's LINT0 */
	interrupt(&m, 4, TYPE_NMI, FLAGS_BUS, BUS_ISA, 0, ALL_LAPICS, 1);

	size_t bytes = (size_t)(m.p - t);
	memcpy(t, "PCMP", 4);
	st_le16(t + 4, (u16)bytes);
	t[6] = 4; /* revision 1.4 */
	memcpy(t + 8, "MICA    ", 8);
	memcpy(t + 16, "BOARD       ", 12);
	st_le16(t + 34, (u16)m.entries);
	st_le32(t + 36, (u32)LAYOUT_LAPIC);
	fix_checksum(t, bytes, 7);
	return bytes;
}

static void build_pointer(u8 *p)
{
	memcpy(p, "_MP_", 4);
	st_le32(p + 4, (u32)LAYOUT_MP + MP_POINTER);
	p[8] = 1; /* paragraphs of this structure */
	p[9] = 4;
	/* Feature bytes 0: there is a table; and no IMCR: the 8259s are wired to LINT0 (virtual wire mode, 3.6.2.2). */
	fix_checksum(p, MP_POINTER, 10);
}

int irq_tables_write(struct ram *ram, const struct board_kind *kind, unsigned ncpus, struct err *e)
{
	auto_free u8 *buf = xcalloc(1, LAYOUT_MP_END - LAYOUT_PIR);
	u8 *mp = buf + (LAYOUT_MP - LAYOUT_PIR);

	if (kind->pci)
		must(build_pir(buf, kind) <= LAYOUT_MP - LAYOUT_PIR);
	build_pointer(mp);
	size_t bytes = build_mp(mp + MP_POINTER, kind, ncpus) + MP_POINTER;
	must(bytes <= LAYOUT_MP_END - LAYOUT_MP);
	if (ram_put_rom(ram, LAYOUT_PIR, buf, LAYOUT_MP - LAYOUT_PIR + bytes) < 0)
		return err_set(e, EINVAL, "guest memory is too small for the interrupt tables: 1 MiB at least");
	return 0;
}
