/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_irq_tables.c - $PIR and the MultiProcessor table: found as a guest finds them, and what they say of each slot
 * and pin is where the interrupt really arrives.
 */
#include "machine/board_kind.h"
#include "machine/irq_tables.h"
#include "machine/layout.h"
#include "machine/lpc.h"
#include "pci_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define NCPUS 5
#define SLOTS 32

static struct ram *ram;
static int wire_gsi, line_irq;

static int setup(void **unused)
{
	struct err e;

	if (ram_new(&ram, 4 * MIB, &e) < 0)
		return -1;
	return irq_tables_write(ram, board_kind(MACHINE_Q35), NCPUS, &e);
}

static int teardown(void **unused)
{
	ram_free(ram);
	return 0;
}

static const u8 *at(gpa_t g)
{
	return ram_ptr(ram, g, 1);
}

static u8 sum(const u8 *p, u32 bytes)
{
	u8 s = 0;

	while (bytes--)
		s = (u8)(s + *p++);
	return s;
}

/* On a 16-byte boundary in the BIOS's area */
static const u8 *find(const char *sig)
{
	for (gpa_t g = 0xf0000; g < 0x100000; g += 16)
		if (!memcmp(at(g), sig, 4))
			return at(g);
	fail_msg("no %s", sig);
	return NULL;
}

static const u8 *pir_slot(unsigned slot)
{
	const u8 *t = find("$PIR");

	for (unsigned i = 32; i < ld_le16(t + 6); i += 16)
		if (t[i] == 0 && t[i + 1] == slot << 3)
			return t + i;
	return NULL;
}

static const u8 *mp_table(void)
{
	const u8 *p = find("_MP_");

	assert_int_equal(sum(p, 16), 0);
	assert_int_equal(p[8], 1);
	assert_int_equal(p[9], 4);
	assert_int_equal(p[11], 0); /* a table, not a default configuration */
	assert_int_equal(p[12], 0); /* virtual wire: no IMCR */
	return at(ld_le32(p + 4));
}

static unsigned entry_bytes(const u8 *p)
{
	return p[0] == 0 ? 20 : 8;
}

/* The I/O APIC pin of an interrupt, -1: not said */
static int mp_pin(u8 bus, u8 irq, u16 *flags)
{
	const u8 *t = mp_table(), *p = t + 44;

	for (unsigned i = 0; i < ld_le16(t + 34); i++, p += entry_bytes(p))
		if (p[0] == 3 && p[1] == 0 && p[4] == bus && p[5] == irq) {
			assert_int_equal(p[6], 0);
			*flags = ld_le16(p + 2);
			return p[7];
		}
	return -1;
}

static void test_pir(void **unused)
{
	const u8 *t = find("$PIR");

	assert_int_equal(ld_le16(t + 4), 0x100);
	assert_int_equal(ld_le16(t + 6) % 16, 0);
	assert_int_equal(sum(t, ld_le16(t + 6)), 0);
	assert_int_equal(t[8], 0);
	assert_int_equal(t[9], 31 << 3);
	assert_int_equal(ld_le16(t + 10), 1 << 10 | 1 << 11);
	assert_null(pir_slot(0));
	assert_null(pir_slot(31));
}

static void test_mp(void **unused)
{
	const u8 *t = mp_table(), *p = t + 44;
	unsigned n[5] = { 0 }, last = 0, extint = 0, nmi = 0;

	assert_memory_equal(t, "PCMP", 4);
	assert_int_equal(sum(t, ld_le16(t + 4)), 0);
	assert_int_equal(t[6], 4);
	assert_int_equal(ld_le32(t + 36), LAYOUT_LAPIC);
	for (unsigned i = 0; i < ld_le16(t + 34); i++, p += entry_bytes(p)) {
		assert_in_range(p[0], last, 4); /* in ascending order, 4.3 */
		last = p[0];
		n[p[0]]++;
		if (p[0] == 0) {
			assert_int_equal(p[1], n[0] - 1);
			assert_int_equal(p[3], n[0] == 1 ? 3 : 1);
		}
		if (p[0] == 1)
			assert_memory_equal(p + 2, p[1] ? "ISA   " : "PCI   ", 6);
		if (p[0] == 2)
			assert_int_equal(ld_le32(p + 4), LAYOUT_IOAPIC);
		extint += p[0] == 4 && p[1] == 3 && p[6] == 0 && p[7] == 0;
		nmi += p[0] == 4 && p[1] == 1 && p[6] == 0xff && p[7] == 1;
	}
	assert_int_equal(p - t, ld_le16(t + 4));
	assert_int_equal(n[0], NCPUS);
	assert_int_equal(n[1], 2);
	assert_int_equal(n[2], 1);
	assert_int_equal(n[3], 15 + 30 * 4);
	assert_int_equal(n[4], 2);
	assert_int_equal(extint + nmi, 2);
	for (u8 irq = 0; irq < 16; irq++) {
		bool level = irq == 5 || irq == 9 || irq == 10 || irq == 11;
		u16 flags;

		if (irq == 2)
			continue;
		assert_int_equal(mp_pin(1, irq, &flags), irq ? irq : 2);
		assert_int_equal(flags, level ? 0xd : 0);
	}
}

static void on_wire(void *opaque, unsigned gsi, bool level)
{
	struct lpc **l = opaque;

	wire_gsi = level ? (int)gsi : -1;
	lpc_wire(*l, gsi - LAYOUT_GSI_PCI, level);
}

static void on_line(void *opaque, unsigned irq, bool level)
{
	line_irq = level ? (int)irq : -1;
}

/* A card in each slot raises pin A. */
static void tables_are_true(enum machine_kind kind)
{
	const struct board_kind *k = board_kind(kind);
	static struct pci_dev card[SLOTS];
	struct pci_rig g;
	struct lpc *l;

	assert_int_equal(irq_tables_write(ram, k, NCPUS, NULL), 0);
	pci_rig_up_on(&g, kind);
	g.on_wire = on_wire;
	g.opaque = &l;
	assert_int_equal(lpc_new(&l, g.pci, on_line, NULL), 0);
	for (unsigned slot = 2; slot < 31; slot++) {
		pci_dev_init(&card[slot], NULL, "card", 1, 2, 3);
		assert_int_equal(pci_register(g.pci, &card[slot], (int)slot), 0);
	}
	assert_int_equal(pci_bus_assign(g.pci), 0);
	for (unsigned slot = 2; slot < 31; slot++) {
		const u8 *s = pir_slot(slot);
		u16 flags;

		assert_non_null(s);
		lpc_reset(l);
		line_irq = -1;
		pci_intx(&card[slot], true);
		int pin = mp_pin(0, (u8)(slot << 2), &flags);
		if (k->ioapic) {
			assert_int_equal(wire_gsi, pin);
			assert_int_equal(flags, 0);
		} else { /* the line it is steered to */
			assert_int_equal(card[slot].cfg[0x3c], pin);
			assert_int_equal(flags, 0xd);
		}
		assert_int_equal(line_irq, -1);
		/* As firmware: the line that the function's interrupt line register tells. */
		lpc_set_routes(l);
		assert_int_equal(line_irq, card[slot].cfg[0x3c]);
		assert_true(ld_le16(s + 3) >> line_irq & 1);
		/* As a guest: the register that $PIR names, any line that it allows. */
		for (unsigned irq = 0; irq < 16; irq++) {
			if (!(ld_le16(s + 3) >> irq & 1))
				continue;
			cfg_put(g.bus, k->isa_slot, s[2], 1, 0x80);
			assert_int_equal(line_irq, -1);
			cfg_put(g.bus, k->isa_slot, s[2], 1, irq);
			assert_int_equal(line_irq, irq);
		}
		pci_intx(&card[slot], false);
		assert_int_equal(line_irq, -1);
	}
	pci_rig_down(&g);
	lpc_free(l);
	for (unsigned slot = 2; slot < 31; slot++)
		pci_dev_fini(&card[slot]);
	assert_int_equal(irq_tables_write(ram, board_kind(MACHINE_Q35), NCPUS, NULL), 0);
}

static void test_tables_are_true(void **unused)
{
	tables_are_true(MACHINE_Q35);
}

/* SeaBIOS gives slot 3 the lines 11, 11, 10, 10: (slot + pin - 1) & 3 of 10, 10, 11, 11. */
static void test_pc(void **unused)
{
	static const u8 irq[4] = { 10, 10, 11, 11 };
	u16 flags;

	tables_are_true(MACHINE_PC);
	assert_int_equal(irq_tables_write(ram, board_kind(MACHINE_PC), NCPUS, NULL), 0);
	for (unsigned slot = 2; slot < 32; slot++)
		for (unsigned pin = 0; pin < 4; pin++)
			assert_int_equal(mp_pin(0, (u8)(slot << 2 | pin), &flags), irq[(slot + pin - 1) & 3]);
	assert_null(pir_slot(1));
	assert_int_equal(find("$PIR")[9], 1 << 3);
	assert_int_equal(irq_tables_write(ram, board_kind(MACHINE_Q35), NCPUS, NULL), 0);
}

/* Pins of slots are ISA's of the same number; there is no PCI, and no $PIR. */
static void test_micro(void **unused)
{
	u16 flags;

	memset(ram->host + LAYOUT_PIR, 0, 4);
	assert_int_equal(irq_tables_write(ram, board_kind(MACHINE_MICRO), NCPUS, NULL), 0);
	for (u8 i = 16; i < 24; i++) {
		assert_int_equal(mp_pin(1, i, &flags), i);
		assert_int_equal(flags, 0xd);
	}
	assert_int_equal(mp_pin(0, 2 << 2, &flags), -1);
	assert_memory_not_equal(at(LAYOUT_PIR), "$PIR", 4);
	assert_int_equal(irq_tables_write(ram, board_kind(MACHINE_Q35), NCPUS, NULL), 0);
}

static void test_limits(void **unused)
{
	struct err e;

	assert_int_equal(irq_tables_write(ram, board_kind(MACHINE_Q35), 255, &e), 0);
	assert_int_equal(irq_tables_write(ram, board_kind(MACHINE_Q35), NCPUS, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pir), cmocka_unit_test(test_mp),    cmocka_unit_test(test_tables_are_true),
		cmocka_unit_test(test_pc),  cmocka_unit_test(test_micro), cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
