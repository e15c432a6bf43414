/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acpi_dsdt.c - see acpi_dsdt.h. Chapters are of the ACPI specification 6.4. */
#include "machine/acpi_dsdt.h"

#include "machine/board_kind.h"
#include "machine/layout.h"
#include "machine/lpc.h"

#define ECAM_ALL_BYTES 0x10000000u /* of 256 buses */

static void pnp_device(struct aml *a, size_t *dev, size_t *res, const char *name, const char *hid, unsigned uid)
{
	*dev = aml_device(a, name);
	aml_name(a, "_HID");
	if (strlen(hid) == 7)
		aml_eisaid(a, hid);
	else
		aml_string(a, hid);
	aml_name(a, "_UID");
	aml_int(a, uid);
	aml_name(a, "_CRS");
	*res = aml_resources(a);
}

/*
 * _PRT, 6.2.13. INTA..INTD of a slot go to the PCI wires in turn. A guest that uses the I/O APIC (it says so by
 * _PIC, 5.8.1) finds the wires at pins of it; one that uses the 8259s, at lines that a link device steers each to.
 */
static void dsdt_routes(struct aml *a, const struct board_kind *k, const char *name, bool links)
{
	aml_name(a, name);
	size_t prt = aml_package(a, 32 * 4);
	for (unsigned slot = 0; slot < 32; slot++) {
		for (unsigned pin = 0; pin < 4; pin++) {
			unsigned wire = board_wire(k, slot, pin);
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

static void dsdt_routing(struct aml *a, const struct board_kind *k)
{
	if (!k->ioapic) { /* lines in any case */
		dsdt_routes(a, k, "_PRT", true);
		return;
	}
	dsdt_routes(a, k, "PRTP", true);
	dsdt_routes(a, k, "PRTA", false);
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
static void dsdt_lpc(struct aml *a, const struct board_kind *k)
{
	size_t dev = aml_device(a, k->isa_name);

	aml_name(a, "_ADR");
	aml_int(a, (u32)k->isa_slot << 16);
	aml_region(a, "RTS", AML_PCI_CONFIG, LPC_ROUTE(0), LPC_ROUTE(k->wires - 1) + 1 - LPC_ROUTE(0));
	size_t f = aml_field(a, "RTS", AML_BYTE_ACCESS);
	for (unsigned wire = 0; wire < k->wires; wire++) {
		if (wire == 4)
			aml_field_gap(a, 8 * (LPC_ROUTE(4) - LPC_ROUTE(3) - 1));
		aml_field_unit(a, (char[]){ 'R', 'T', (char)('A' + wire), 0 }, 8);
	}
	aml_end(a, f);
	aml_end(a, dev);
}

/* 6.2.13: a device that says which line a wire has (_CRS), could have (_PRS), and takes another (_SRS) or none (_DIS).
 */
static void dsdt_link(struct aml *a, const struct board_kind *k, unsigned wire)
{
	char name[] = { 'L', 'N', 'K', (char)('A' + wire), 0 };
	char reg[32];
	size_t m, c, res, dev = aml_device(a, name);

	snprintf(reg, sizeof(reg), "\\_SB.PCI0.%s.RT%c", k->isa_name, (char)('A' + wire));
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
	aml_res_shared_irqs(a, 1u << k->irq[wire]);
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

static void dsdt_pci(struct aml *a, const struct acpi_board *b, const struct acpi_places *places)
{
	const struct board_kind *k = b->kind;
	size_t dev = aml_device(a, "PCI0");

	aml_name(a, "_HID");
	aml_eisaid(a, k->ecam ? "PNP0A08" : "PNP0A03");
	if (k->ecam) {
		aml_name(a, "_CID");
		aml_eisaid(a, "PNP0A03");
	}
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
	if (b->has & MACHINE_SCREEN)
		aml_res_mem_window(a, (u32)LAYOUT_VGA, (u32)LAYOUT_VGA_END - 1);
	if (places && !places->ecam) {
		aml_res_mem_window(a, (u32)places->low_end, (u32)LAYOUT_IOAPIC - 1);
	} else if (places) {
		aml_res_mem_window(a, (u32)places->low_end, (u32)places->ecam - 1);
		aml_res_mem_window(a, (u32)places->ecam + ECAM_ALL_BYTES, (u32)LAYOUT_IOAPIC - 1);
	} else {
		aml_res_mem_window(a, (u32)LAYOUT_PCI_MMIO, (u32)LAYOUT_PCI_MMIO_END);
	}
	aml_end_resources(a, res);

	dsdt_routing(a, k);
	dsdt_lpc(a, k);
	aml_end(a, dev);
}

/* Guests believe MCFG only when a motherboard device claims its range (PCI Firmware 3.3, 4.1.2). */
static void dsdt_ecam(struct aml *a, const struct acpi_places *places)
{
	size_t dev, res;

	pnp_device(a, &dev, &res, "MBRD", "PNP0C02", 0);
	if (places)
		aml_res_mem_fixed(a, (u32)places->ecam, ECAM_ALL_BYTES);
	else
		aml_res_mem_fixed(a, (u32)LAYOUT_ECAM, (u32)LAYOUT_ECAM_BYTES);
	aml_end_resources(a, res);
	aml_end(a, dev);
}

/* LNRO0005 is how systems know a virtio device with VIRTIO 1.2's registers for memory (4.2.2). */
static void dsdt_slot(struct aml *a, unsigned slot)
{
	char name[5];

	snprintf(name, sizeof(name), "VR%02X", slot & 0xff);
	size_t dev = aml_device(a, name), res;
	aml_name(a, "_HID");
	aml_string(a, "LNRO0005");
	aml_name(a, "_UID");
	aml_int(a, slot);
	aml_name(a, "_CRS");
	res = aml_resources(a);
	aml_res_mem_fixed(a, (u32)(LAYOUT_SLOTS + slot * LAYOUT_SLOT_BYTES), LAYOUT_SLOT_BYTES);
	aml_res_shared_irqs(a, 1u << (LAYOUT_GSI_PCI + slot % LAYOUT_SLOT_PINS));
	aml_end_resources(a, res);
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

void acpi_dsdt(struct aml *a, const struct acpi_board *b, const struct acpi_places *places)
{
	unsigned has = b->has;
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

	for (unsigned i = 0; i < b->ncpus; i++) {
		char name[5];

		snprintf(name, sizeof(name), "C%03X", i & 0xfff);
		size_t cpu = aml_device(a, name);
		aml_name(a, "_HID");
		aml_string(a, "ACPI0007");
		aml_name(a, "_UID");
		aml_int(a, i);
		aml_end(a, cpu);
	}

	if (b->kind->pci)
		dsdt_pci(a, b, places);
	for (unsigned slot = 0; slot < b->nslots; slot++)
		dsdt_slot(a, slot);
	for (unsigned wire = 0; wire < b->kind->wires; wire++)
		dsdt_link(a, b->kind, wire);
	if (b->kind->ecam)
		dsdt_ecam(a, places);

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
	if (has & MACHINE_TPM) {
		/* TCG ACPI Specification 1.3, chapter 8 */
		pnp_device(a, &dev, &res, "TPM", "MSFT0101", 0);
		aml_res_mem_fixed(a, (u32)LAYOUT_TPM, (u32)LAYOUT_TPM_BYTES);
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
