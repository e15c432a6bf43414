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
 *   1. a device's or chip's own lock (pit, rtc, acpi_pm, reset, pv, UART, PCI functions)
 *   2. the LPC bridge's wires
 *   3. pic, then released: ioapic; never both
 *   4. one local APIC; never two
 *   5. the event loop's and the engine's inner locks
 * A local APIC calls out (EOI, IPI, INTA to the PIC) only after dropping its lock.
 * machine_config.event() is called with none of these held.
 */
#include "machine/machine.h"

#include "base/clock.h"
#include "base/state.h"
#include "machine/acpi.h"
#include "machine/acpi_pm.h"
#include "machine/board_state.h"
#include "machine/ioapic.h"
#include "machine/irq_tables.h"
#include "machine/lapic.h"
#include "machine/layout.h"
#include "machine/lpc.h"
#include "machine/pci.h"
#include "machine/pic.h"
#include "machine/pit.h"
#include "machine/pv.h"
#include "machine/reset_ports.h"
#include "machine/rom.h"
#include "machine/rtc.h"

#define RESET_HOOKS_MAX 64

struct machine {
	struct machine_config cfg;
	struct cpu_bus cpu_bus;
	struct cpu_vm *vm;
	struct bus *bus;
	struct lapics *lapics;
	struct ioapic *ioapic;
	struct pic *pic;
	struct pit *pit;
	struct rtc *rtc;
	struct acpi_pm *acpi;
	struct reset *reset;
	struct rom *rom;
	struct pv *pv;
	struct pci_bus *pci;
	struct lpc *lpc;
	struct {
		void (*fn)(void *opaque);
		void *opaque;
	} on_reset[RESET_HOOKS_MAX];
	unsigned nreset_hooks;
	/* Interrupts that each vCPU took; its own thread counts. */
	struct {
		_Alignas(64) u64 n;
	} taken[CPU_MAX];
};

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

	if (lpc_shares(gsi))
		lpc_line(m->lpc, gsi, level);
	else
		pin_set(m, gsi, level);
}

/* A PCI wire arrives at a pin of the I/O APIC, and at the bridge that may steer it to a line of the 8259s. */
static void pci_wire(void *opaque, unsigned gsi, bool level)
{
	struct machine *m = opaque;

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

/* ---- what the vCPUs see (struct cpu_bus) ---- */

/* Each vCPU has its own local APIC where it put it; the rest is the bus's. */
static u64 mmio_read(void *opaque, unsigned cpu, gpa_t gpa, unsigned bytes)
{
	struct machine *m = opaque;
	u64 v, off = gpa - lapic_page(m->lapics, cpu);

	if (off <= PAGE_BYTES - bytes && !lapic_in_engine(m->lapics) &&
	    lapic_mmio_read(m->lapics, cpu, (unsigned)off, bytes, &v))
		return v;
	return bus_mmio_read(m->bus, gpa, bytes);
}

static void mmio_write(void *opaque, unsigned cpu, gpa_t gpa, unsigned bytes, u64 val)
{
	struct machine *m = opaque;
	u64 off = gpa - lapic_page(m->lapics, cpu);

	if (off <= PAGE_BYTES - bytes && !lapic_in_engine(m->lapics) &&
	    lapic_mmio_write(m->lapics, cpu, (unsigned)off, bytes, val))
		return;
	bus_mmio_write(m->bus, gpa, bytes, val);
}

static u32 pio_read(void *opaque, unsigned cpu, u16 port, unsigned bytes)
{
	struct machine *m = opaque;

	return bus_pio_read(m->bus, port, bytes);
}

static void pio_write(void *opaque, unsigned cpu, u16 port, unsigned bytes, u32 val)
{
	struct machine *m = opaque;

	bus_pio_write(m->bus, port, bytes, val);
}

static int intr_ack(void *opaque, unsigned cpu)
{
	struct machine *m = opaque;

	pv_look(m->pv, cpu);
	__atomic_store_n(&m->taken[cpu].n, m->taken[cpu].n + 1, __ATOMIC_RELAXED);
	return lapic_intr_ack(m->lapics, cpu);
}

static bool msr_read(void *opaque, unsigned cpu, u32 msr, u64 *val)
{
	struct machine *m = opaque;

	return pv_msr(msr) ? pv_msr_read(m->pv, cpu, msr, val) : lapic_msr_read(m->lapics, cpu, msr, val);
}

static bool msr_write(void *opaque, unsigned cpu, u32 msr, u64 val)
{
	struct machine *m = opaque;

	return pv_msr(msr) ? pv_msr_write(m->pv, cpu, msr, val) : lapic_msr_write(m->lapics, cpu, msr, val);
}

static u8 tpr_get(void *opaque, unsigned cpu)
{
	struct machine *m = opaque;

	return lapic_tpr_get(m->lapics, cpu);
}

static void tpr_set(void *opaque, unsigned cpu, u8 tpr)
{
	struct machine *m = opaque;

	lapic_tpr_set(m->lapics, cpu, tpr);
}

static s64 hypercall(void *opaque, unsigned cpu, u64 nr, const u64 arg[4])
{
	struct machine *m = opaque;

	return pv_hypercall(m->pv, cpu, nr, arg);
}

static u64 park(void *opaque, unsigned cpu)
{
	struct machine *m = opaque;

	pv_park(m->pv, cpu);
	u64 at = lapic_park(m->lapics, cpu);
	/* The board's timers go along with the first vCPU's sleep: one thread wakes for a tick, not two. */
	if (cpu == 0) {
		u64 pit = pit_park(m->pit), rtc = rtc_park(m->rtc);
		at = MIN(at, MIN(pit, rtc));
	}
	return at;
}

static void unpark(void *opaque, unsigned cpu)
{
	struct machine *m = opaque;

	pv_unpark(m->pv, cpu);
	lapic_unpark(m->lapics, cpu);
	if (cpu == 0) {
		pit_unpark(m->pit);
		rtc_unpark(m->rtc);
	}
}

static void eoi(void *opaque, u8 vector)
{
	struct machine *m = opaque;

	ioapic_eoi(m->ioapic, vector);
}

static const struct cpu_bus cpu_bus_ops = {
	.mmio_read = mmio_read,
	.mmio_write = mmio_write,
	.pio_read = pio_read,
	.pio_write = pio_write,
	.intr_ack = intr_ack,
	.msr_read = msr_read,
	.msr_write = msr_write,
	.tpr_get = tpr_get,
	.tpr_set = tpr_set,
	.hypercall = hypercall,
	.park = park,
	.unpark = unpark,
	.eoi = eoi,
};

/* ---- assembly ---- */

struct irq_line machine_irq(struct machine *m, unsigned gsi)
{
	must(gsi < LAYOUT_GSI_COUNT);
	return (struct irq_line){ .set = gsi_set, .taken = gsi_taken, .opaque = m, .gsi = gsi };
}

static int add_chips(struct machine *m)
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
	int rc;

	m->bus = bus_new();
	m->lapics = lapic_new(m->cfg.loop, m->cfg.ncpus, &hooks);
	m->pv = pv_new(m->cfg.ram, m->lapics, m->cfg.ncpus);
	struct msi_target msi = { .send = lapic_msi_send, .opaque = m->lapics };
	m->pci = pci_bus_new(m->bus, &msi, pci_wire, m);
	if (!m->pci)
		return -EBUSY;
	pci_bus_set_memory_end(m->pci, m->cfg.ram->low_bytes);
	/* Wires end in the interrupt controllers and the bridge: they come before who drives them. */
	if ((rc = ioapic_new(&m->ioapic, m->bus, m->lapics)) < 0 ||
	    (rc = pic_new(&m->pic, m->bus, pic_output, m)) < 0 || (rc = lpc_new(&m->lpc, m->pci, pin_set, m)) < 0 ||
	    (rc = pit_new(&m->pit, m->bus, m->cfg.loop, irq0, clock_mono_ns)) < 0 ||
	    (rc = rtc_new(&m->rtc, m->bus, m->cfg.loop, irq8, clock_real_ns)) < 0 ||
	    (rc = acpi_pm_new(&m->acpi, m->bus, &acpi)) < 0 || (rc = reset_new(&m->reset, m->bus, &reset)) < 0 ||
	    (rc = rom_new(&m->rom, m->bus)) < 0)
		return rc;
	return 0;
}

int machine_new(struct machine **out, const struct machine_config *cfg, struct err *e)
{
	if (cfg->ncpus < 1 || cfg->ncpus > CPU_MAX)
		return err_set(e, EINVAL, "%u virtual CPUs: this board takes 1 to %u", cfg->ncpus, CPU_MAX);

	struct machine *m = aligned_alloc(64, sizeof(*m)); /* a multiple of it: see `taken` */

	must(m);
	memset(m, 0, sizeof(*m));
	m->cfg = *cfg;
	m->cpu_bus = cpu_bus_ops;
	m->cpu_bus.opaque = m;
	int rc = add_chips(m);
	if (rc < 0) {
		machine_free(m);
		return err_sys(e, -rc, "cannot put the board together");
	}
	*out = m;
	return 0;
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	pci_bus_free(m->pci); /* wires fall: the controllers are still there */
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
	else
		clock_tsc_khz(); /* measured now, not in the guest's first timer write */
	if (cpu_vm_has_routes(vm)) {
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

struct bus *machine_bus(struct machine *m)
{
	return m->bus;
}

struct ram *machine_ram(struct machine *m)
{
	return m->cfg.ram;
}

unsigned machine_ncpus(struct machine *m)
{
	return m->cfg.ncpus;
}

void machine_on_reset(struct machine *m, void (*fn)(void *opaque), void *opaque)
{
	must(m->nreset_hooks < RESET_HOOKS_MAX);
	m->on_reset[m->nreset_hooks].fn = fn;
	m->on_reset[m->nreset_hooks++].opaque = opaque;
}

void machine_power_button(struct machine *m)
{
	acpi_pm_power_button(m->acpi);
}

void machine_nmi(struct machine *m)
{
	lapic_lint1(m->lapics);
}

/* What firmware does to the board before it boots a kernel. */
int machine_firmware(struct machine *m, struct err *e)
{
	int rc = pci_bus_assign(m->pci);

	if (rc < 0)
		return err_set(e, -rc, "the PCI devices need more address space than the 32-bit window has");
	lpc_set_routes(m->lpc);
	if ((rc = acpi_write_tables(m->cfg.ram, m->cfg.ncpus, e)) < 0 || (rc = rom_write(m->cfg.ram, e)) < 0)
		return rc;
	return irq_tables_write(m->cfg.ram, m->cfg.ncpus, e);
}

void machine_reset(struct machine *m)
{
	/* Devices first: they let go of their wires. Local APICs last: what arrived on the way is gone. */
	for (unsigned i = 0; i < m->nreset_hooks; i++)
		m->on_reset[i].fn(m->on_reset[i].opaque);
	pci_bus_reset(m->pci);
	lpc_reset(m->lpc);
	pit_reset(m->pit);
	rtc_reset(m->rtc);
	acpi_pm_reset(m->acpi);
	reset_reset(m->reset);
	rom_reset(m->rom);
	pic_reset(m->pic);
	ioapic_reset(m->ioapic);
	pv_reset(m->pv);
	lapic_reset(m->lapics);
}

/* ---- saved state ---- */

static void get_board(struct machine *m, struct board_state *b)
{
	pic_get_state(m->pic, b->pic);
	ioapic_get_state(m->ioapic, &b->ioapic);
	pit_get_state(m->pit, &b->pit);
	if (!lapic_in_engine(m->lapics)) {
		pv_get_state(m->pv, &b->pv);
		for (unsigned i = 0; i < b->ncpus; i++)
			lapic_get_state(m->lapics, i, &b->lapic[i]);
	}
	if (m->vm)
		cpu_vm_get_board(m->vm, b);
}

/* The 8259s before the local APICs, which hear of their output; local APICs last: what moved on the way is gone. */
static int set_board(struct machine *m, const struct board_state *b, struct err *e)
{
	if (!m->vm || !cpu_vm_has_chips(m->vm)) {
		pit_set_state(m->pit, &b->pit);
		ioapic_set_state(m->ioapic, &b->ioapic);
		pic_set_state(m->pic, b->pic);
	}
	/* An engine with local APICs has the clock as well. */
	if (!lapic_in_engine(m->lapics)) {
		pv_set_state(m->pv, &b->pv);
		for (unsigned i = 0; i < b->ncpus; i++)
			lapic_set_state(m->lapics, i, &b->lapic[i]);
	}
	return m->vm ? cpu_vm_set_board(m->vm, b, e) : 0;
}

static int chip_sections(struct machine *m, struct state_file *s, struct err *e)
{
	int r = state_section(s, "rtc", 0, 1, e);

	if (r < 0)
		return r;
	rtc_state(m->rtc, s);
	if ((r = state_end(s, e)) < 0 || (r = state_section(s, "acpi-pm", 0, 1, e)) < 0)
		return r;
	acpi_pm_state(m->acpi, s);
	if ((r = state_end(s, e)) < 0 || (r = state_section(s, "reset", 0, 1, e)) < 0)
		return r;
	reset_state(m->reset, s);
	return state_end(s, e);
}

int machine_state(struct machine *m, struct state_file *s, struct err *e)
{
	auto_free struct board_state *b = xcalloc(1, sizeof(*b));
	int r = pci_bus_state(m->pci, s, e);

	if (r == 0) {
		lpc_loaded(m->lpc);
		r = chip_sections(m, s, e);
	}
	if (r < 0)
		return r;
	b->ncpus = m->cfg.ncpus;
	if (!state_loading(s))
		get_board(m, b);
	r = board_state_sections(s, b, e);
	return r == 0 && state_loading(s) ? set_board(m, b, e) : r;
}
