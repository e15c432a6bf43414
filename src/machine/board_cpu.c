/* SPDX-License-Identifier: GPL-2.0-or-later */
/* board_cpu.c - what the vCPUs see of the board (struct cpu_bus). */
#include "machine/board_int.h"
#include "machine/ioapic.h"
#include "machine/lapic.h"
#include "machine/pv.h"

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
	return lapic_park(m->lapics, cpu);
}

static void unpark(void *opaque, unsigned cpu)
{
	struct machine *m = opaque;

	pv_unpark(m->pv, cpu);
	lapic_unpark(m->lapics, cpu);
}

static void eoi(void *opaque, u8 vector)
{
	struct machine *m = opaque;

	ioapic_eoi(m->ioapic, vector);
}

const struct cpu_bus board_cpu_bus = {
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
