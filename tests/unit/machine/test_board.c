/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_board.c - the board as wired: what reaches which vCPU, through struct cpu_bus alone. */
#include "machine/layout.h"
#include "machine/machine.h"
#include "machine/pci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "unit/cpu/fake_cpu.h" /* defines cpu_*: in one file per test */

#define NCPUS 2

struct cpu_vm {
	struct cpu cpu[NCPUS];
};

struct cpu *cpu_vm_cpu(struct cpu_vm *vm, unsigned index)
{
	return &vm->cpu[index];
}

static struct ram *ram;
static struct loop *loop;
static struct machine *m;
static const struct cpu_bus *cb;
static struct cpu_vm vm;
static unsigned events[3];
static u32 event_value;

static void on_event(void *opaque, enum machine_event ev, u32 value)
{
	events[ev]++;
	event_value = value;
}

/* A device at a fixed address. */
static struct {
	struct device dev;
	unsigned resets, asked, resumes, frees;
} gadget;

static void gadget_reset(struct device *d)
{
	gadget.resets++;
}
static bool gadget_quiesce(struct device *d)
{
	return gadget.asked++ > 0;
}
static void gadget_resume(struct device *d)
{
	gadget.resumes++;
}
static void gadget_free(struct device *d)
{
	gadget.frees++;
}

static int up(void **state)
{
	struct machine_config cfg = { .ncpus = NCPUS, .debug_exit = true, .event = on_event };

	memset(&vm, 0, sizeof(vm));
	memset(events, 0, sizeof(events));
	assert_int_equal(ram_new(&ram, 2 * MIB, NULL), 0);
	assert_int_equal(loop_new(&loop, NULL), 0);
	cfg.ram = ram;
	cfg.loop = loop;
	assert_int_equal(machine_new(&m, &cfg, NULL), 0);
	machine_attach_cpus(m, &vm);
	cb = machine_cpu_bus(m);
	return 0;
}

static int down(void **state)
{
	machine_free(m);
	assert_int_equal(gadget.frees, gadget.resets);
	loop_free(loop);
	ram_free(ram);
	return 0;
}

static void out(u16 port, unsigned bytes, u32 v)
{
	cb->pio_write(cb->opaque, 0, port, bytes, v);
}

static u32 in(u16 port, unsigned bytes)
{
	return cb->pio_read(cb->opaque, 0, port, bytes);
}

static u32 mrd(unsigned cpu, gpa_t gpa)
{
	return (u32)cb->mmio_read(cb->opaque, cpu, gpa, 4);
}

static void mwr(unsigned cpu, gpa_t gpa, u32 v)
{
	cb->mmio_write(cb->opaque, cpu, gpa, 4, v);
}

static int ack(unsigned cpu)
{
	return vm.cpu[cpu].intr ? cb->intr_ack(cb->opaque, cpu) : -1;
}

static void rte(unsigned pin, u32 high, u32 low)
{
	mwr(0, LAYOUT_IOAPIC, 0x11 + 2 * pin);
	mwr(0, LAYOUT_IOAPIC + 0x10, high);
	mwr(0, LAYOUT_IOAPIC, 0x10 + 2 * pin);
	mwr(0, LAYOUT_IOAPIC + 0x10, low);
}

static void own_lapics(void **state)
{
	assert_int_equal(mrd(0, LAYOUT_LAPIC + 0x20), 0);
	assert_int_equal(mrd(1, LAYOUT_LAPIC + 0x20), 1u << 24);
	mwr(1, LAYOUT_LAPIC + 0xf0, 0x1ff);
	assert_int_equal(mrd(0, LAYOUT_LAPIC + 0xf0), 0xff);
	assert_int_equal(mrd(1, LAYOUT_LAPIC + 0xf0), 0x1ff);
	/* In x2APIC mode the page is gone for that vCPU only. */
	assert_true(cb->msr_write(cb->opaque, 1, 0x1b, 0xfee00c00));
	assert_int_equal(mrd(1, LAYOUT_LAPIC + 0x20), 0xffffffff);
	assert_int_equal(mrd(0, LAYOUT_LAPIC + 0x20), 0);
	u64 v;
	assert_false(cb->msr_read(cb->opaque, 0, 0x10, &v)); /* not the board's MSR */
	assert_false(cb->msr_write(cb->opaque, 0, 0x12345, 0));
}

/* The same wire reaches the 8259s and the I/O APIC; IRQ 0 arrives at pin 2. */
static void legacy_wires(void **state)
{
	struct irq_line irq0 = machine_irq(m, LAYOUT_GSI_PIT), irq4 = machine_irq(m, LAYOUT_GSI_UART1);

	out(0x20, 1, 0x11);
	out(0x21, 1, 0x30);
	out(0x21, 1, 0x04);
	out(0x21, 1, 0x01);
	out(0x21, 1, 0x00);
	irq_set(&irq4, true);
	assert_int_equal(ack(0), 0x34);
	irq_set(&irq4, false);
	assert_int_equal(ack(1), -1);
	out(0x20, 1, 0x20);
	out(0x21, 1, 0xff);
	mwr(1, LAYOUT_LAPIC + 0xf0, 0x1ff);
	rte(2, 1u << 24, 0x60);
	rte(0, 1u << 24, 0x61);
	irq_set(&irq0, true);
	assert_int_equal(ack(1), 0x60);
	assert_int_equal(ack(0), -1);
	irq_set(&irq0, false);
}

static void sci(void **state)
{
	mwr(0, LAYOUT_LAPIC + 0xf0, 0x1ff);
	rte(LAYOUT_GSI_SCI, 0, 1 << 15 | 0x70);
	out(LAYOUT_ACPI_PM + 2, 2, 0x100);
	machine_power_button(m);
	assert_int_equal(ack(0), 0x70);
	out(LAYOUT_ACPI_PM, 2, 0x100);
	mwr(0, LAYOUT_LAPIC + 0xb0, 0);
	assert_int_equal(ack(0), -1);
}

static void ends(void **state)
{
	static const struct device_ops ops = {
		.reset = gadget_reset, .quiesce = gadget_quiesce, .resume = gadget_resume, .free = gadget_free
	};

	out(LAYOUT_ACPI_PM + 4, 2, 1 << 13 | LAYOUT_SLP_TYP_S5 << 10);
	assert_int_equal(events[MACHINE_POWEROFF], 1);
	out(0xcf9, 1, 6);
	assert_int_equal(events[MACHINE_RESET], 1);
	out(0x64, 1, 0xfe);
	assert_int_equal(events[MACHINE_RESET], 2);
	out(0xf4, 4, 0x10);
	assert_int_equal(events[MACHINE_DEBUG_EXIT], 1);
	assert_int_equal(event_value, 0x10);
	/* The reset register inside the PCI address register: a dword there is PCI's. */
	out(0xcf8, 4, 0x80000006);
	assert_int_equal(in(0xcf8, 4), 0x80000004); /* its low bits are wired to 0 */
	assert_int_equal(events[MACHINE_RESET], 2);

	/* After a system reset all is as new, and what was pending is gone. */
	memset(&gadget, 0, sizeof(gadget));
	gadget.dev.ops = &ops;
	machine_add_device(m, &gadget.dev);
	mwr(0, LAYOUT_LAPIC + 0xf0, 0x1ff);
	mwr(0, LAYOUT_LAPIC + 0x300, 1 << 18 | 0x55);
	assert_true(vm.cpu[0].intr);
	machine_reset(m);
	assert_int_equal(gadget.resets, 1);
	assert_false(machine_quiesce(m));
	assert_true(machine_quiesce(m));
	machine_resume(m);
	assert_int_equal(gadget.resumes, 1);
	assert_int_equal(gadget.frees, 0); /* down() */
	assert_false(vm.cpu[0].intr);
	assert_int_equal(mrd(0, LAYOUT_LAPIC + 0xf0), 0xff);
	assert_int_equal(in(0xcf9, 1), 0);
}

static void nobody(void **state)
{
	assert_int_equal(in(0x80, 1), 0xff);
	out(0x80, 1, 1);
	assert_int_equal(cb->mmio_read(cb->opaque, 0, 0xd0000000, 8), UINT64_MAX);
	cb->mmio_write(cb->opaque, 0, UINT64_MAX - 3, 8, 0);
	cb->mmio_read(cb->opaque, 0, UINT64_MAX - 3, 8);
	mwr(0, LAYOUT_LAPIC + 0x280, 0);
	assert_int_equal(mrd(0, LAYOUT_LAPIC + 0x280), 0);     /* the local APIC was not meant */
	cb->mmio_read(cb->opaque, 0, LAYOUT_LAPIC + 0xffe, 4); /* across the page's end */
	cb->mmio_read(cb->opaque, 0, LAYOUT_LAPIC - 2, 4);
	assert_int_equal(in(0xffff, 4), 0xffffffff);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(own_lapics), T(legacy_wires), T(sci), T(ends), T(nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
