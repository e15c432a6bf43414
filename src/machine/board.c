/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * board.c - the whole board: which chips there are, how they are wired, and what the vCPUs see of them.
 *
 *     device --GSI--+--> LPC bridge --> PIC pair --INTR--> LINT0 of vCPU 0
 *                   +-------------+--> I/O APIC --message--> local APICs --cpu_set_intr()--> vCPUs
 *     device --MSI-----------------------------------------------^
 *     local APIC --EOI of a level vector--> I/O APIC
 *
 * Lock order, outermost first; every lock may be skipped, none taken backwards:
 *   1. a device's or chip's own lock (hpet; pit, rtc, acpi_pm, reset, pv, UART, PCI functions)
 *   2. who drives GSI 0 and 8; then the LPC bridge's wires
 *   3. pic, then released: ioapic; never both
 *   4. one local APIC; never two
 *   5. the event loop's and the engine's inner locks
 * A local APIC calls out (EOI, IPI, INTA to the PIC) only after dropping its lock.
 * machine_config.event() is called with none of these held.
 */
#include "machine/machine.h"

#include "base/clock.h"
#include "base/log.h"
#include "machine/acpi.h"
#include "machine/acpi_pm.h"
#include "machine/board_int.h"
#include "machine/firmware.h"
#include "machine/ioapic.h"
#include "machine/irq_tables.h"
#include "machine/lapic.h"
#include "machine/layout.h"
#include "machine/memory.h"
#include "machine/lpc.h"
#include "machine/pci.h"
#include "machine/pic.h"
#include "machine/piix_pm.h"
#include "machine/pit.h"
#include "machine/pv.h"
#include "machine/reset_ports.h"
#include "machine/rom.h"
#include "machine/rtc.h"
#include "machine/slots.h"

/* ---- wiring ---- */

static void pin_set(void *opaque, unsigned gsi, bool level)
{
	struct machine *m = opaque;

	if (m->vm && cpu_vm_has_chips(m->vm)) {
		cpu_vm_wire(m->vm, gsi, level);
		return;
	}
	if (gsi < 16 && gsi != 2)
		pic_set_irq(m->pic, gsi, level);
	/* The PIT's wire arrives at pin 2, as the MADT's override says. */
	ioapic_set_pin(m->ioapic, gsi == LAYOUT_GSI_PIT ? 2 : gsi, level);
}

static u64 gsi_taken(void *opaque)
{
	struct machine *m = opaque;
	u64 n = 0;

	if (lapic_in_engine(m->lapics)) /* nobody tells */
		return clock_mono_ns();
	for (unsigned i = 0; i < m->cfg.ncpus; i++)
		n += __atomic_load_n(&m->taken[i].n, __ATOMIC_RELAXED);
	return n;
}

/* A line that PCI wires may be steered to is driven by all of them. */
static void gsi_set(void *opaque, unsigned gsi, bool level)
{
	struct machine *m = opaque;

	if (m->lpc && lpc_shares(gsi))
		lpc_line(m->lpc, gsi, level);
	else
		pin_set(m, gsi, level);
}

/* Of the 8254 and the RTC, whose places another timer may take (machine_replace_legacy()). */
static void legacy_set(void *opaque, unsigned gsi, bool level)
{
	struct machine *m = opaque;

	pthread_mutex_lock(&m->legacy.lock);
	m->legacy.level[gsi == LAYOUT_GSI_RTC] = level;
	if (!m->legacy.replaced)
		gsi_set(m, gsi, level);
	pthread_mutex_unlock(&m->legacy.lock);
}

void machine_replace_legacy(struct machine *m, bool on)
{
	pthread_mutex_lock(&m->legacy.lock);
	if (m->legacy.replaced != on) {
		m->legacy.replaced = on;
		gsi_set(m, LAYOUT_GSI_PIT, !on && m->legacy.level[0]);
		gsi_set(m, LAYOUT_GSI_RTC, !on && m->legacy.level[1]);
	}
	pthread_mutex_unlock(&m->legacy.lock);
}

/* A PCI wire arrives at a pin of the I/O APIC, and at the bridge that may steer it to a line of the 8259s. */
static void pci_wire(void *opaque, unsigned gsi, bool level)
{
	struct machine *m = opaque;

	if (m->kind->ioapic)
		pin_set(m, gsi, level);
	if (m->lpc)
		lpc_wire(m->lpc, gsi - LAYOUT_GSI_PCI, level);
}

static int hook_pic_ack(void *opaque)
{
	struct machine *m = opaque;

	return pic_ack(m->pic);
}

static void pic_output(void *opaque, bool level)
{
	struct machine *m = opaque;

	lapic_lint0(m->lapics, level);
}

static void event(struct machine *m, enum machine_event ev, u32 value)
{
	if (m->cfg.event)
		m->cfg.event(m->cfg.event_opaque, ev, value);
}

static void on_poweroff(void *opaque)
{
	event(opaque, MACHINE_POWEROFF, 0);
}

static void on_reset(void *opaque)
{
	event(opaque, MACHINE_RESET, 0);
}

static void on_debug_exit(void *opaque, u32 value)
{
	event(opaque, MACHINE_DEBUG_EXIT, value);
}

/* ---- assembly ---- */

struct irq_line machine_irq(struct machine *m, unsigned gsi)
{
	must(gsi < LAYOUT_GSI_COUNT);
	return (struct irq_line){ .set = gsi_set, .taken = gsi_taken, .opaque = m, .gsi = gsi };
}

static int add_chips(struct machine *m, struct err *e)
{
	struct lapic_hooks hooks = { .opaque = m, .eoi = m->cpu_bus.eoi, .pic_ack = hook_pic_ack };
	struct acpi_pm_config acpi = {
		.sci = machine_irq(m, LAYOUT_GSI_SCI),
		.loop = m->cfg.loop,
		.now_ns = clock_mono_ns,
		.timer_32bit = true,
		.poweroff = on_poweroff,
		.opaque = m,
	};
	struct reset_config reset = {
		.debug_exit = m->cfg.debug_exit,
		.reset = on_reset,
		.debug_exited = on_debug_exit,
		.opaque = m,
	};
	struct irq_line irq0 = machine_irq(m, LAYOUT_GSI_PIT), irq8 = machine_irq(m, LAYOUT_GSI_RTC);
	const struct firmware_image *image = m->cfg.firmware;

	irq0.set = irq8.set = legacy_set;
	pthread_mutex_init(&m->legacy.lock, NULL);
	int rc = image ? memory_lay_out_pc(m->cfg.ram, e) : memory_lay_out(m->cfg.ram, e);

	if (rc < 0)
		return rc;
	m->bus = bus_new();
	m->lapics = lapic_new(m->cfg.loop, m->cfg.ncpus, &hooks);
	m->pv = pv_new(m->cfg.ram, m->lapics, m->cfg.ncpus);
	struct msi_target msi = { .send = lapic_msi_send, .opaque = m->lapics };
	if (m->kind->pci) {
		m->pci = pci_bus_new(m->kind, m->bus, &msi, pci_wire, m);
		pci_bus_set_memory_end(m->pci, image ? memory_pc_low_end(m->cfg.ram) : memory_low_end(m->cfg.ram));
	} else {
		m->slots = slots_new(pin_set, m);
	}
	/* Wires end in the interrupt controllers and the bridge: they come before who drives them. */
	if ((rc = ioapic_new(&m->ioapic, m->bus, m->lapics)) < 0 ||
	    (rc = pic_new(&m->pic, m->bus, pic_output, m)) < 0 ||
	    (m->pci && (rc = lpc_new(&m->lpc, m->pci, pin_set, m)) < 0) ||
	    (rc = pit_new(&m->pit, m->bus, m->cfg.loop, irq0, clock_mono_ns)) < 0 ||
	    (rc = rtc_new(&m->rtc, m->bus, m->cfg.loop, irq8, clock_real_ns)) < 0 ||
	    (rc = acpi_pm_new(&m->acpi, m->bus, &acpi)) < 0 || (rc = reset_new(&m->reset, m->bus, &reset)) < 0 ||
	    (!image && (rc = rom_new(&m->rom, m->bus)) < 0))
		return err_sys(e, -rc, "cannot put the board together");
	if (m->kind->isa_more)
		piix_pm_add(m->pci);
	return image ? firmware_new(&m->firmware, m, image, e) : 0;
}

static void describe(struct machine *m)
{
	const struct ram *ram = m->cfg.ram;
	const struct firmware_image *image = m->cfg.firmware;
	u64 low = image ? memory_pc_low_end(ram) : memory_low_end(ram);
	const struct smbios_board b = {
		.ncpus = m->cfg.ncpus, .low_bytes = low, .high_bytes = ram->bytes - low, .uefi = image && image->vars
	};

	smbios_build(&m->smbios, &b, m->cfg.identity);
	m->cfg.identity = NULL;
}

int machine_new(struct machine **out, const struct machine_config *cfg, struct err *e)
{
	if (cfg->ncpus < 1 || cfg->ncpus > CPU_MAX)
		return err_set(e, EINVAL, "%u virtual CPUs: this board takes 1 to %u", cfg->ncpus, CPU_MAX);

	struct machine *m = aligned_alloc(64, sizeof(*m)); /* a multiple of it: see `taken` */

	must(m);
	memset(m, 0, sizeof(*m));
	m->cfg = *cfg;
	m->kind = board_kind(cfg->kind);
	must(m->kind->pci || !cfg->firmware);
	m->cpu_bus = board_cpu_bus;
	m->cpu_bus.opaque = m;
	m->last = &m->devices;
	describe(m);
	int rc = add_chips(m, e);
	if (rc < 0) {
		machine_free(m);
		return rc;
	}
	m->cfg.firmware = NULL;
	*out = m;
	return 0;
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	/* Wires fall: the controllers are still there. */
	while (m->devices) {
		struct device *d = m->devices;
		m->devices = d->next;
		if (d->ops && d->ops->free)
			d->ops->free(d);
	}
	firmware_free(m->firmware);
	free(m->smbios.tables);
	pci_bus_free(m->pci);
	slots_free(m->slots);
	rom_free(m->rom);
	reset_free(m->reset);
	acpi_pm_free(m->acpi);
	rtc_free(m->rtc);
	pit_free(m->pit);
	lpc_free(m->lpc);
	pic_free(m->pic);
	ioapic_free(m->ioapic);
	pv_free(m->pv);
	lapic_free(m->lapics);
	bus_free(m->bus);
	pthread_mutex_destroy(&m->legacy.lock);
	free(m);
}

const struct cpu_bus *machine_cpu_bus(struct machine *m)
{
	return &m->cpu_bus;
}

static int set_route(void *opaque, unsigned id, int fd, bool on, u64 addr, u32 data)
{
	return cpu_vm_route(opaque, id, fd, on, addr, data);
}

static int set_doorbell(void *opaque, gpa_t gpa, unsigned bytes, int fd, bool on)
{
	return cpu_vm_doorbell(opaque, gpa, bytes, fd, on);
}

static int set_latch(void *opaque, bool pio, u64 at, unsigned bytes, bool on)
{
	return cpu_vm_latch(opaque, pio, at, bytes, on);
}

void machine_attach_cpus(struct machine *m, struct cpu_vm *vm)
{
	struct doorbell_maker bells = { .set = set_doorbell, .latch = set_latch, .opaque = vm, .loop = m->cfg.loop };

	m->vm = vm;
	if (cpu_vm_has_lapic(vm))
		lapic_use_engine(m->lapics, vm);
	if (m->pci && cpu_vm_has_routes(vm)) {
		struct msi_router routes = { .set = set_route, .opaque = vm, .max = CPU_ROUTES };
		pci_bus_use_routes(m->pci, &routes);
	}
	if (cpu_vm_has_doorbells(vm))
		bus_offer_doorbells(m->bus, &bells);
	for (unsigned i = 0; i < m->cfg.ncpus; i++) {
		lapic_attach(m->lapics, i, cpu_vm_cpu(vm, i));
		pv_attach(m->pv, i, cpu_vm_cpu(vm, i));
	}
}

struct pci_bus *machine_pci(struct machine *m)
{
	return m->pci;
}

struct slots *machine_slots(struct machine *m)
{
	return m->slots;
}

struct bus *machine_bus(struct machine *m)
{
	return m->bus;
}

struct loop *machine_loop(struct machine *m)
{
	return m->cfg.loop;
}

struct ram *machine_ram(struct machine *m)
{
	return m->cfg.ram;
}

struct fw_cfg *machine_fw_cfg(struct machine *m)
{
	return m->firmware ? firmware_fw_cfg(m->firmware) : NULL;
}

unsigned machine_ncpus(struct machine *m)
{
	return m->cfg.ncpus;
}

enum machine_kind machine_kind(struct machine *m)
{
	return m->cfg.kind;
}

struct acpi_board board_acpi(struct machine *m)
{
	return (struct acpi_board){
		.kind = m->kind, .ncpus = m->cfg.ncpus, .has = m->parts, .nslots = m->slots ? slots_taken(m->slots) : 0
	};
}

/* ---- devices ---- */

void machine_add_device(struct machine *m, struct device *d)
{
	d->next = NULL;
	*m->last = d;
	m->last = &d->next;
}

struct device *machine_find(struct machine *m, const char *name)
{
	for (unsigned i = 0; m->pci && i < 256; i++) {
		struct pci_dev *p = pci_bus_function(m->pci, (u8)i);
		if (p && !strcmp(p->dev.name, name))
			return &p->dev;
	}
	for (struct device *d = m->devices; d; d = d->next)
		if (!strcmp(d->name, name))
			return d;
	return NULL;
}

void machine_use(struct machine *m, enum machine_part part)
{
	m->parts |= part;
	if (part == MACHINE_KEYBOARD)
		reset_without_keyboard(m->reset);
	if (m->firmware)
		firmware_parts_changed(m->firmware);
}

void machine_ask_poweroff(struct machine *m)
{
	event(m, MACHINE_POWEROFF, 0);
}

void machine_ask_pause(struct machine *m)
{
	event(m, MACHINE_PAUSE, 0);
}

void machine_ask_reset(struct machine *m)
{
	event(m, MACHINE_RESET, 0);
}

bool machine_quiesce(struct machine *m)
{
	bool all = !m->pci || pci_bus_quiesce(m->pci);

	for (struct device *d = m->devices; d; d = d->next)
		all &= device_quiesce(d);
	return all;
}

void machine_resume(struct machine *m)
{
	if (m->pci)
		pci_bus_resume(m->pci);
	for (struct device *d = m->devices; d; d = d->next)
		device_resume(d);
}

void machine_power_button(struct machine *m)
{
	acpi_pm_power_button(m->acpi);
}

void machine_gpe(struct machine *m, unsigned n)
{
	acpi_pm_gpe(m->acpi, n);
}

void machine_nmi(struct machine *m)
{
	lapic_lint1(m->lapics);
}

/* What firmware does to the board before it boots a kernel. */
int machine_firmware(struct machine *m, struct err *e)
{
	int rc = m->pci ? pci_bus_assign(m->pci) : 0;

	if (rc < 0)
		return err_set(e, -rc, "the PCI devices need more address space than the 32-bit window has");
	if (m->lpc)
		lpc_set_routes(m->lpc);
	/* BARs that show memory are where they were put. */
	if ((rc = ram_commit(m->cfg.ram, e)) < 0)
		return rc;
	const struct acpi_board b = board_acpi(m);
	if ((rc = acpi_write_tables(m->cfg.ram, &b, e)) < 0 || (rc = rom_write(m->cfg.ram, e)) < 0)
		return rc;
	rc = irq_tables_write(m->cfg.ram, m->kind, m->cfg.ncpus, e);
	return rc < 0 ? rc : smbios_write(&m->smbios, m->cfg.ram, e);
}

void machine_reset(struct machine *m)
{
	/* Devices first: they let go of their wires. Local APICs last: what arrived on the way is gone. */
	for (struct device *d = m->devices; d; d = d->next)
		device_reset(d);
	if (m->pci) {
		pci_bus_reset(m->pci);
		lpc_reset(m->lpc);
	}
	pit_reset(m->pit);
	rtc_reset(m->rtc);
	acpi_pm_reset(m->acpi);
	reset_reset(m->reset);
	if (m->rom)
		rom_reset(m->rom);
	pic_reset(m->pic);
	ioapic_reset(m->ioapic);
	pv_reset(m->pv);
	lapic_reset(m->lapics);
	if (m->firmware)
		firmware_reset(m->firmware);
	/* What they made of guest memory; no vCPU runs. */
	struct err e;
	if (ram_commit(m->cfg.ram, &e) < 0)
		log_error("%s", err_local(&e));
}
