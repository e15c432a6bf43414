/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_lapic.c - local APIC and I/O APIC: priorities, EOI, destinations, timer, mode changes. */
#include "machine/ioapic.h"
#include "machine/lapic.h"
#include "machine/tick.h"
#include "machine/layout.h"
#include "patience.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "unit/cpu/fake_cpu.h" /* defines cpu_*: in one file per test */

#define NCPUS 4

struct rig {
	struct loop *loop;
	struct bus *bus;
	struct lapics *l;
	struct ioapic *io;
	struct cpu cpu[NCPUS];
	int pic_vector;
};

static void rig_eoi(void *opaque, u8 vector)
{
	ioapic_eoi(((struct rig *)opaque)->io, vector);
}

static int rig_ack(void *opaque)
{
	struct rig *r = opaque;
	int v = r->pic_vector;

	r->pic_vector = -1;
	lapic_lint0(r->l, false);
	return v;
}

static int up(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct lapic_hooks h = { .opaque = r, .eoi = rig_eoi, .pic_ack = rig_ack };

	r->pic_vector = -1;
	assert_int_equal(loop_new(&r->loop, NULL), 0);
	r->bus = bus_new();
	r->l = lapic_new(r->loop, NCPUS, &h);
	assert_int_equal(ioapic_new(&r->io, r->bus, r->l), 0);
	for (unsigned i = 0; i < NCPUS; i++)
		lapic_attach(r->l, i, &r->cpu[i]);
	*state = r;
	return 0;
}

static int down(void **state)
{
	struct rig *r = *state;

	ioapic_free(r->io);
	lapic_free(r->l);
	bus_free(r->bus);
	loop_free(r->loop);
	free(r);
	return 0;
}

static u32 rd(struct rig *r, unsigned cpu, unsigned off)
{
	u64 v;

	assert_true(lapic_mmio_read(r->l, cpu, off, 4, &v));
	return (u32)v;
}

static void wr(struct rig *r, unsigned cpu, unsigned off, u32 v)
{
	assert_true(lapic_mmio_write(r->l, cpu, off, 4, v));
}

static void enable(struct rig *r, unsigned cpu)
{
	wr(r, cpu, 0xf0, 0x1ff);
}

static void send(struct rig *r, unsigned cpu, u8 vector)
{
	lapic_msi_send(r->l, 0xfee00000 | cpu << 12, vector);
}

static void rte(struct rig *r, unsigned pin, u64 v)
{
	bus_mmio_write(r->bus, LAYOUT_IOAPIC, 4, 0x11 + 2 * pin);
	bus_mmio_write(r->bus, LAYOUT_IOAPIC + 0x10, 4, v >> 32);
	bus_mmio_write(r->bus, LAYOUT_IOAPIC, 4, 0x10 + 2 * pin);
	bus_mmio_write(r->bus, LAYOUT_IOAPIC + 0x10, 4, v & 0xffffffff);
}

static u32 rte_low(struct rig *r, unsigned pin)
{
	bus_mmio_write(r->bus, LAYOUT_IOAPIC, 4, 0x10 + 2 * pin);
	return (u32)bus_mmio_read(r->bus, LAYOUT_IOAPIC + 0x10, 4);
}

static void power_on(void **state)
{
	struct rig *r = *state;
	u64 v;

	assert_int_equal(rd(r, 2, 0x20), 2u << 24);
	assert_int_equal(rd(r, 0, 0x30), 0x50014);
	assert_int_equal(rd(r, 0, 0xf0), 0xff);
	assert_int_equal(rd(r, 0, 0x320), 0x10000);
	assert_int_equal(rd(r, 0, 0xe0), 0xffffffff);
	assert_true(lapic_msr_read(r->l, 0, MSR_IA32_APIC_BASE, &v));
	assert_int_equal(v, 0xfee00900);
	assert_true(lapic_msr_read(r->l, 1, MSR_IA32_APIC_BASE, &v));
	assert_int_equal(v, 0xfee00800);
	/* Software-disabled: fixed interrupts are not taken, LVT masks cannot be cleared. */
	send(r, 0, 0x50);
	assert_int_equal(rd(r, 0, 0x220), 0);
	assert_false(r->cpu[0].intr);
	wr(r, 0, 0x320, 0x40);
	assert_int_equal(rd(r, 0, 0x320), 0x10040);
}

static void priorities(void **state)
{
	struct rig *r = *state;

	enable(r, 0);
	send(r, 0, 0x51);
	assert_true(r->cpu[0].intr);
	send(r, 0, 0x61);
	send(r, 0, 0x55);
	assert_int_equal(lapic_intr_ack(r->l, 0), 0x61);
	assert_false(r->cpu[0].intr); /* 0x51, 0x55 wait behind what is in service */
	assert_int_equal(rd(r, 0, 0xa0), 0x60);
	assert_int_equal(lapic_intr_ack(r->l, 0), -1);
	send(r, 0, 0x72);
	assert_true(r->cpu[0].intr); /* a higher class nests */
	assert_int_equal(lapic_intr_ack(r->l, 0), 0x72);
	wr(r, 0, 0xb0, 0);
	assert_false(r->cpu[0].intr);
	wr(r, 0, 0xb0, 0);
	assert_true(r->cpu[0].intr);
	assert_int_equal(lapic_intr_ack(r->l, 0), 0x55); /* the higher of the same class first */
	assert_false(r->cpu[0].intr);
	wr(r, 0, 0xb0, 0);
	assert_int_equal(lapic_intr_ack(r->l, 0), 0x51);
	wr(r, 0, 0xb0, 0);
	assert_int_equal(lapic_intr_ack(r->l, 0), -1);
	wr(r, 0, 0xb0, 0); /* nothing in service: no harm */
	assert_int_equal(rd(r, 0, 0xa0), 0);
}

static void task_priority(void **state)
{
	struct rig *r = *state;

	enable(r, 0);
	lapic_tpr_set(r->l, 0, 5);
	assert_int_equal(rd(r, 0, 0x80), 0x50);
	send(r, 0, 0x5f);
	assert_false(r->cpu[0].intr);
	assert_int_equal(lapic_intr_ack(r->l, 0), -1);
	wr(r, 0, 0x80, 0x4f);
	assert_true(r->cpu[0].intr);
	assert_int_equal(lapic_tpr_get(r->l, 0), 4);
	wr(r, 0, 0x80, 0x5a);
	assert_false(r->cpu[0].intr);
	assert_int_equal(rd(r, 0, 0xa0), 0x5a);
	lapic_tpr_set(r->l, 0, 0);
	assert_int_equal(lapic_intr_ack(r->l, 0), 0x5f);
}

static void level_eoi(void **state)
{
	struct rig *r = *state;

	enable(r, 1);
	rte(r, 17, 1ull << 56 | 1 << 15 | 0x41);
	ioapic_set_pin(r->io, 17, true);
	assert_int_equal(rte_low(r, 17), 1 << 15 | 1 << 14 | 0x41);
	assert_int_equal(lapic_intr_ack(r->l, 1), 0x41);
	assert_int_equal(rd(r, 1, 0x180 + 0x20), 1u << 1); /* TMR bit 0x41 */
	ioapic_set_pin(r->io, 17, false);
	ioapic_set_pin(r->io, 17, true); /* remote IRR is set: nothing is sent */
	assert_int_equal(rd(r, 1, 0x220), 0);
	assert_false(r->cpu[1].intr);
	wr(r, 1, 0xb0, 0); /* still asserted: again */
	assert_true(r->cpu[1].intr);
	assert_int_equal(lapic_intr_ack(r->l, 1), 0x41);
	ioapic_set_pin(r->io, 17, false);
	wr(r, 1, 0xb0, 0);
	assert_false(r->cpu[1].intr);
	assert_int_equal(rte_low(r, 17), 1 << 15 | 0x41);
	/* The I/O APIC's own EOI register does the same. */
	ioapic_set_pin(r->io, 17, true);
	assert_int_equal(lapic_intr_ack(r->l, 1), 0x41);
	ioapic_set_pin(r->io, 17, false);
	bus_mmio_write(r->bus, LAYOUT_IOAPIC + 0x40, 4, 0x41);
	assert_int_equal(rte_low(r, 17), 1 << 15 | 0x41);
	wr(r, 1, 0xb0, 0);
	/* An edge message with the same vector clears TMR. */
	send(r, 1, 0x41);
	assert_int_equal(rd(r, 1, 0x1a0), 0);
}

static void edges_and_masks(void **state)
{
	struct rig *r = *state;

	enable(r, 0);
	assert_int_equal(rte_low(r, 4), 1 << 16);
	rte(r, 4, 1 << 16 | 0x34);
	ioapic_set_pin(r->io, 4, true); /* lost: masked */
	rte(r, 4, 0x34);
	assert_false(r->cpu[0].intr);
	ioapic_set_pin(r->io, 4, true); /* no edge */
	assert_false(r->cpu[0].intr);
	ioapic_set_pin(r->io, 4, false);
	ioapic_set_pin(r->io, 4, true);
	assert_int_equal(lapic_intr_ack(r->l, 0), 0x34);
	wr(r, 0, 0xb0, 0);
	assert_false(r->cpu[0].intr);
	/* A level that is asserted when its mask goes is seen. */
	rte(r, 20, 1 << 16 | 1 << 15 | 0x35);
	ioapic_set_pin(r->io, 20, true);
	assert_false(r->cpu[0].intr);
	rte(r, 20, 1 << 15 | 0x35);
	assert_int_equal(lapic_intr_ack(r->l, 0), 0x35);
	bus_mmio_write(r->bus, LAYOUT_IOAPIC, 4, 1);
	assert_int_equal(bus_mmio_read(r->bus, LAYOUT_IOAPIC + 0x10, 4), 0x170020);
}

static unsigned taken(struct rig *r)
{
	unsigned who = 0;

	for (unsigned i = 0; i < NCPUS; i++) {
		if (r->cpu[i].intr) {
			who |= 1u << i;
			lapic_intr_ack(r->l, i);
			wr(r, i, 0xb0, 0);
		}
	}
	return who;
}

static void destinations(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < NCPUS; i++) {
		enable(r, i);
		wr(r, i, 0xd0, 1u << (24 + i));
	}
	lapic_msi_send(r->l, 0xfee02000, 0x40);
	assert_int_equal(taken(r), 1 << 2);
	lapic_msi_send(r->l, 0xfeeff000, 0x40);
	assert_int_equal(taken(r), 15);
	lapic_msi_send(r->l, 0xfee09000, 0x40); /* nobody's id */
	assert_int_equal(taken(r), 0);
	lapic_msi_send(r->l, 0xfee0a004, 0x40); /* logical flat */
	assert_int_equal(taken(r), 10);
	lapic_msi_send(r->l, 0xfef02000, 0x40); /* not the APICs' range */
	assert_int_equal(taken(r), 0);
	/* Lowest priority: one of them, and not the busy one. */
	lapic_tpr_set(r->l, 1, 9);
	for (int i = 0; i < 8; i++) {
		lapic_msi_send(r->l, 0xfee06004, 0x140);
		assert_int_equal(taken(r), 4);
	}
	lapic_tpr_set(r->l, 1, 0);
	/* Cluster model: two clusters of two. */
	for (unsigned i = 0; i < NCPUS; i++) {
		wr(r, i, 0xe0, 0x0fffffff);
		wr(r, i, 0xd0, ((i / 2) << 4 | 1u << (i % 2)) << 24);
	}
	lapic_msi_send(r->l, 0xfee13004, 0x40);
	assert_int_equal(taken(r), 12);
	lapic_msi_send(r->l, 0xfee02004, 0x40);
	assert_int_equal(taken(r), 2);
}

static void ipis(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < NCPUS; i++)
		enable(r, i);
	wr(r, 0, 0x310, 3u << 24);
	wr(r, 0, 0x300, 0x40);
	assert_int_equal(taken(r), 8);
	wr(r, 1, 0x300, 0x40 | 1 << 18);
	assert_int_equal(taken(r), 2);
	wr(r, 1, 0x300, 0x40 | 2 << 18);
	assert_int_equal(taken(r), 15);
	wr(r, 1, 0x300, 0x40 | 3 << 18);
	assert_int_equal(taken(r), 13);
	wr(r, 0, 0x310, 2u << 24);
	wr(r, 0, 0x300, 0x400);
	assert_int_equal(r->cpu[2].nmis, 1);
	/* INIT, its de-assert (nothing), SIPI, as a kernel starts a processor */
	wr(r, 2, 0x80, 0x70);
	wr(r, 0, 0x300, 0xc500);
	wr(r, 0, 0x300, 0x8500);
	assert_int_equal(r->cpu[2].inits, 1);
	assert_int_equal(rd(r, 2, 0x80), 0);
	assert_int_equal(rd(r, 2, 0xf0), 0xff);
	wr(r, 0, 0x300, 0x69a);
	assert_int_equal(r->cpu[2].sipis, 1);
	assert_int_equal(r->cpu[2].sipi_vector, 0x9a);
	/* Illegal vectors show in the sender's, or the receiver's, ESR after it is written. */
	wr(r, 0, 0x310, 1u << 24);
	wr(r, 0, 0x300, 0x0f);
	assert_int_equal(rd(r, 0, 0x280), 0);
	wr(r, 0, 0x280, 0);
	assert_int_equal(rd(r, 0, 0x280), 0x20);
	send(r, 1, 3);
	wr(r, 1, 0x280, 0);
	assert_int_equal(rd(r, 1, 0x280), 0x40);
	wr(r, 1, 0x280, 0);
	assert_int_equal(rd(r, 1, 0x280), 0);
}

static void ext_int(void **state)
{
	struct rig *r = *state;

	/* Power-on: virtual wire to the boot processor, even with the APIC software-disabled. */
	r->pic_vector = 0x20;
	lapic_lint0(r->l, true);
	assert_true(r->cpu[0].intr);
	assert_false(r->cpu[1].intr);
	assert_int_equal(lapic_intr_ack(r->l, 0), 0x20);
	assert_false(r->cpu[0].intr);
	assert_int_equal(rd(r, 0, 0x110), 0); /* not the APIC's interrupt: nothing in service */
	enable(r, 0);
	wr(r, 0, 0x350, 0x10700);
	r->pic_vector = 0x21;
	lapic_lint0(r->l, true);
	assert_false(r->cpu[0].intr);
	wr(r, 0, 0x350, 0x700);
	assert_true(r->cpu[0].intr);
	assert_int_equal(lapic_intr_ack(r->l, 0), 0x21);
	/* LINT0 as a fixed interrupt goes by edges; LINT1 as NMI. */
	wr(r, 0, 0x350, 0x44);
	lapic_lint0(r->l, true);
	assert_int_equal(lapic_intr_ack(r->l, 0), 0x44);
	wr(r, 0, 0xb0, 0);
	assert_false(r->cpu[0].intr);
	wr(r, 0, 0x360, 0x400);
	lapic_lint1(r->l);
	assert_int_equal(r->cpu[0].nmis, 1);
	assert_int_equal(r->cpu[1].nmis, 0);
}

static bool x2wr(struct rig *r, u32 msr, u64 v)
{
	return lapic_msr_write(r->l, 1, msr, v);
}

static void x2apic(void **state)
{
	struct rig *r = *state;
	u64 v;

	assert_false(lapic_msr_read(r->l, 1, 0x802, &v));          /* not in that mode yet */
	assert_false(x2wr(r, MSR_IA32_APIC_BASE, 0xfee00400));     /* EXTD without EN */
	assert_false(x2wr(r, MSR_IA32_APIC_BASE, 0x4000fee00800)); /* wider than physical addresses are */
	assert_true(x2wr(r, MSR_IA32_APIC_BASE, 0xfed00800));
	assert_int_equal(lapic_page(r->l, 1), 0xfed00000);
	assert_true(x2wr(r, MSR_IA32_APIC_BASE, 0xfee00800));
	assert_int_equal(lapic_page(r->l, 1), 0xfee00000);
	assert_false(x2wr(r, MSR_IA32_APIC_BASE, 0xfee00801));
	assert_true(x2wr(r, MSR_IA32_APIC_BASE, 0xfee00c00));
	assert_false(x2wr(r, MSR_IA32_APIC_BASE, 0xfee00800)); /* not back without a turn through off */
	assert_false(lapic_mmio_read(r->l, 1, 0x20, 4, &v));
	assert_true(lapic_msr_read(r->l, 1, 0x802, &v));
	assert_int_equal(v, 1);
	assert_true(lapic_msr_read(r->l, 1, 0x80d, &v));
	assert_int_equal(v, 2);
	assert_true(x2wr(r, 0x80f, 0x1ff));
	/* Reserved bits, read-only and missing registers */
	assert_false(x2wr(r, 0x80f, 0x2ff));
	assert_false(x2wr(r, 0x802, 1));
	assert_false(x2wr(r, 0x80d, 0));
	assert_false(x2wr(r, 0x80b, 1));
	assert_false(x2wr(r, 0x808, 0x100));
	assert_false(x2wr(r, 0x828, 1));
	assert_false(x2wr(r, 0x832, 1 << 20));
	assert_false(lapic_msr_read(r->l, 1, 0x80e, &v));
	assert_false(lapic_msr_read(r->l, 1, 0x80b, &v));
	assert_false(lapic_msr_read(r->l, 1, 0x83f, &v));
	assert_false(lapic_msr_read(r->l, 1, 0x8ff, &v));
	assert_false(lapic_msr_read(r->l, 1, 0x900, &v));
	assert_true(x2wr(r, 0x828, 0));
	assert_true(x2wr(r, 0x83f, 0x66));
	assert_int_equal(lapic_intr_ack(r->l, 1), 0x66);
	assert_true(x2wr(r, 0x80b, 0));
	/* ICR is one 64-bit write; 0xffffffff is everybody; logical ids are clusters of 16. */
	enable(r, 0);
	enable(r, 2);
	assert_true(x2wr(r, 0x830, 2ull << 32 | 0x40));
	assert_true(r->cpu[2].intr);
	assert_true(lapic_msr_read(r->l, 1, 0x830, &v));
	assert_int_equal(v, 2ull << 32 | 0x40);
	assert_true(x2wr(r, 0x830, 0xffffffffull << 32 | 0x41));
	assert_true(r->cpu[0].intr && r->cpu[1].intr);
	assert_int_equal(lapic_intr_ack(r->l, 1), 0x41);
	assert_true(x2wr(r, 0x80b, 0));
	assert_true(x2wr(r, 0x830, 0x2ull << 32 | 0x842));
	assert_int_equal(lapic_intr_ack(r->l, 1), 0x42);
	assert_true(x2wr(r, 0x80b, 0));
	assert_true(x2wr(r, 0x830, 0x10002ull << 32 | 0x842)); /* another cluster */
	assert_int_equal(lapic_intr_ack(r->l, 1), -1);
	/* Off and on again as an xAPIC */
	assert_true(x2wr(r, MSR_IA32_APIC_BASE, 0xfee00000));
	assert_false(lapic_mmio_read(r->l, 1, 0x20, 4, &v));
	assert_false(x2wr(r, MSR_IA32_APIC_BASE, 0xfee00c00));
	assert_true(x2wr(r, MSR_IA32_APIC_BASE, 0xfee00800));
	assert_int_equal(rd(r, 1, 0xf0), 0xff);
	assert_int_equal(rd(r, 1, 0xd0), 0);
}

static void *run_loop(void *l)
{
	loop_run(l);
	return NULL;
}

static bool wait_intr(struct cpu *c, unsigned ms)
{
	u64 end = clock_mono_ns() + patient(ms * 1000000ull);

	while (!__atomic_load_n(&c->intr, __ATOMIC_SEQ_CST)) {
		if (clock_mono_ns() > end)
			return false;
		usleep(50);
	}
	return true;
}

static void timer_running(void **state)
{
	struct rig *r = *state;
	pthread_t t;
	u64 start, v;

	pthread_create(&t, NULL, run_loop, r->loop);
	enable(r, 0);
	wr(r, 0, 0x3e0, 0xb); /* divide by 1 */
	wr(r, 0, 0x320, 0x40);
	start = clock_mono_ns();
	wr(r, 0, 0x380, 500000000); /* one-shot, 500 ms: a busy host may take away most of it */
	assert_in_range(rd(r, 0, 0x390), 1, 500000000);
	assert_true(wait_intr(&r->cpu[0], 10000));
	assert_true(clock_mono_ns() - start >= 500000000);
	assert_int_equal(rd(r, 0, 0x390), 0);
	assert_int_equal(lapic_intr_ack(r->l, 0), 0x40);
	wr(r, 0, 0xb0, 0);

	wr(r, 0, 0x3e0, 0x3); /* periodic, divide by 16: 62500 * 16 = 1 ms */
	wr(r, 0, 0x320, 0x20041);
	start = clock_mono_ns();
	wr(r, 0, 0x380, 62500);
	for (int i = 0; i < 3; i++) {
		assert_true(wait_intr(&r->cpu[0], 10000));
		assert_int_equal(lapic_intr_ack(r->l, 0), 0x41);
		wr(r, 0, 0xb0, 0);
	}
	assert_true(clock_mono_ns() - start >= 3000000);
	wr(r, 0, 0x380, 0);
	if (r->cpu[0].intr) {
		lapic_intr_ack(r->l, 0);
		wr(r, 0, 0xb0, 0);
	}

	assert_true(lapic_msr_write(r->l, 0, MSR_IA32_TSC_DEADLINE, 5)); /* not in that mode: ignored */
	wr(r, 0, 0x320, 0x40042);
	u64 deadline = clock_tsc() + clock_tsc_khz() * 300;
	assert_true(lapic_msr_write(r->l, 0, MSR_IA32_TSC_DEADLINE, deadline));
	assert_true(lapic_msr_read(r->l, 0, MSR_IA32_TSC_DEADLINE, &v));
	assert_int_equal(v, deadline);
	assert_true(wait_intr(&r->cpu[0], 10000));
	assert_true(clock_tsc() >= deadline);
	assert_true(lapic_msr_read(r->l, 0, MSR_IA32_TSC_DEADLINE, &v));
	assert_int_equal(v, 0);
	assert_int_equal(lapic_intr_ack(r->l, 0), 0x42);
	wr(r, 0, 0xb0, 0);
	assert_true(lapic_msr_write(r->l, 0, MSR_IA32_TSC_DEADLINE, 1)); /* past: at once */
	assert_true(r->cpu[0].intr);
	assert_int_equal(lapic_intr_ack(r->l, 0), 0x42);
	wr(r, 0, 0xb0, 0);
	assert_true(lapic_msr_write(r->l, 0, MSR_IA32_TSC_DEADLINE, UINT64_MAX)); /* never, no overflow */
	usleep(2000);
	assert_false(r->cpu[0].intr);

	loop_stop(r->loop);
	pthread_join(t, NULL);
}

/* A halted vCPU's timer is its thread's own sleep: the loop must stay out of it. */
static void timer_parked(void **state)
{
	struct rig *r = *state;
	pthread_t t;

	pthread_create(&t, NULL, run_loop, r->loop);
	enable(r, 3);
	assert_int_equal(lapic_park(r->l, 3), UINT64_MAX);
	lapic_unpark(r->l, 3);
	wr(r, 3, 0x3e0, 0xb);
	wr(r, 3, 0x320, 0x40);
	u64 now = clock_mono_ns();
	wr(r, 3, 0x380, 100000000);
	u64 at = lapic_park(r->l, 3);
	assert_in_range(at - now, 100000000, 10000000000);
	usleep(150000);
	assert_false(r->cpu[3].intr);
	lapic_unpark(r->l, 3);
	assert_int_equal(lapic_intr_ack(r->l, 3), 0x40);
	wr(r, 3, 0xb0, 0);
	/* Woken early by something else: the loop takes over again. */
	wr(r, 3, 0x380, 2000000000); /* 2 s: late as we may be, before it */
	lapic_park(r->l, 3);
	lapic_unpark(r->l, 3);
	assert_false(r->cpu[3].intr);
	assert_true(wait_intr(&r->cpu[3], 10000));
	assert_int_equal(lapic_intr_ack(r->l, 3), 0x40);
	wr(r, 3, 0xb0, 0);
	/* Masked: nobody is to be woken. */
	wr(r, 3, 0x320, 0x10040);
	wr(r, 3, 0x380, 1000000);
	assert_int_equal(lapic_park(r->l, 3), UINT64_MAX);
	lapic_unpark(r->l, 3);
	usleep(2000);
	wr(r, 3, 0x320, 0x40); /* it ran out while masked: lost */
	assert_false(r->cpu[3].intr);

	/* The shortest period: ticks at multiples of TICK_MERGED_NS; once one is requested, no other wakes anybody. */
	wr(r, 3, 0x320, 0x20040);
	wr(r, 3, 0x380, 1);
	at = lapic_park(r->l, 3);
	assert_int_equal(at % TICK_MERGED_NS, 0);
	while (clock_mono_ns() < at)
		usleep(100);
	lapic_unpark(r->l, 3);
	assert_true(r->cpu[3].intr);
	assert_int_equal(lapic_park(r->l, 3), UINT64_MAX);
	lapic_unpark(r->l, 3);
	/* Taken, it ticks on. The loop may have requested the next one before we are back. */
	at = UINT64_MAX;
	for (unsigned i = 0; i < 1000 && at == UINT64_MAX; i++) {
		assert_int_equal(lapic_intr_ack(r->l, 3), 0x40);
		wr(r, 3, 0xb0, 0);
		at = lapic_park(r->l, 3);
		lapic_unpark(r->l, 3);
	}
	assert_int_equal(at % TICK_MERGED_NS, 0);
	/* A period that is kept as it is. */
	wr(r, 3, 0x380, 0);
	lapic_intr_ack(r->l, 3);
	wr(r, 3, 0xb0, 0);
	now = clock_mono_ns();
	wr(r, 3, 0x380, 300000000);
	at = lapic_park(r->l, 3);
	assert_in_range(at - now, 300000000, 10000000000);
	assert_int_not_equal(at % TICK_MERGED_NS, 0);
	lapic_unpark(r->l, 3);
	/* A vector that cannot be requested. */
	wr(r, 3, 0x320, 0x20003);
	wr(r, 3, 0x380, 1);
	assert_int_equal(lapic_park(r->l, 3), UINT64_MAX);
	lapic_unpark(r->l, 3);

	loop_stop(r->loop);
	pthread_join(t, NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(power_on), T(priorities), T(task_priority), T(level_eoi),     T(edges_and_masks), T(destinations),
		T(ipis),     T(ext_int),    T(x2apic),        T(timer_running), T(timer_parked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
