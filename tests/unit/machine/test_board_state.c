/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_board_state.c - a board saved and loaded into another one: both go on alike. Each test brings board A into
 * a state that is in the middle of something, copies it to B, and then does the same to both.
 */
#include "base/state.h"
#include "machine/layout.h"
#include "machine/machine.h"
#include "machine/pci.h"
#include "patience.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <sys/mman.h>

#include "unit/cpu/fake_cpu.h" /* defines cpu_*: in one file per test */

#define NCPUS 2
#define LAPIC LAYOUT_LAPIC

struct cpu_vm {
	struct cpu cpu[NCPUS];
};

struct cpu *cpu_vm_cpu(struct cpu_vm *vm, unsigned index)
{
	return &vm->cpu[index];
}

struct board {
	struct ram *ram;
	struct loop *loop;
	struct machine *m;
	struct cpu_vm vm;
	const struct cpu_bus *cb;
	struct pci_dev card;
	pthread_t thread;
	bool running;
};

static struct board A, B;

static void board_up(struct board *b)
{
	struct machine_config cfg = { .ncpus = NCPUS };

	memset(b, 0, sizeof(*b));
	assert_int_equal(ram_new(&b->ram, 2 * MIB, NULL), 0);
	assert_int_equal(loop_new(&b->loop, NULL), 0);
	cfg.ram = b->ram;
	cfg.loop = b->loop;
	assert_int_equal(machine_new(&b->m, &cfg, NULL), 0);
	machine_attach_cpus(b->m, &b->vm);
	b->cb = machine_cpu_bus(b->m);
	pci_dev_init(&b->card, NULL, "card", 0x1234, 0x5678, 0x020000 << 8);
	pci_add_msix(&b->card, 1, 3);
	assert_int_equal(pci_register(machine_pci(b->m), &b->card, 4), 0);
}

static void board_down(struct board *b)
{
	if (b->running) {
		loop_stop(b->loop);
		pthread_join(b->thread, NULL);
	}
	pci_dev_fini(&b->card);
	machine_free(b->m);
	loop_free(b->loop);
	ram_free(b->ram);
}

static int up(void **state)
{
	board_up(&A);
	board_up(&B);
	return 0;
}

static int down(void **state)
{
	board_down(&A);
	board_down(&B);
	return 0;
}

static void *loop_thread(void *b)
{
	loop_run(((struct board *)b)->loop);
	return NULL;
}

static void run_loop(struct board *b)
{
	b->running = true;
	assert_int_equal(pthread_create(&b->thread, NULL, loop_thread, b), 0);
}

static int save_to_file(struct board *b)
{
	struct state_file *s;
	struct err e = { 0 };
	int fd = memfd_create("state", MFD_CLOEXEC);

	assert_int_equal(state_save_new(&s, fd, &e), 0);
	if (machine_state(b->m, s, &e) < 0 || state_finish(s, &e) < 0)
		fail_msg("%s", e.msg);
	state_free(s);
	return fd;
}

static int load(struct board *b, int fd, struct err *e)
{
	struct state_file *s;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_load_new(&s, fd, e), 0);
	int r = machine_state(b->m, s, e);
	if (r == 0)
		r = state_finish(s, e);
	state_free(s);
	return r;
}

/* A's state into B; the vCPU's TSC goes along. */
static void copy(void)
{
	struct err e;
	int fd = save_to_file(&A);

	for (unsigned i = 0; i < NCPUS; i++)
		B.vm.cpu[i].tsc_offset = A.vm.cpu[i].tsc_offset;
	if (load(&B, fd, &e) < 0)
		fail_msg("%s", e.msg);
	close(fd);
}

static void out(struct board *b, u16 port, unsigned bytes, u32 v)
{
	b->cb->pio_write(b->cb->opaque, 0, port, bytes, v);
}

static u32 in(struct board *b, u16 port, unsigned bytes)
{
	return b->cb->pio_read(b->cb->opaque, 0, port, bytes);
}

static u32 rd(struct board *b, unsigned cpu, gpa_t gpa)
{
	return (u32)b->cb->mmio_read(b->cb->opaque, cpu, gpa, 4);
}

static void wr(struct board *b, unsigned cpu, gpa_t gpa, u32 v)
{
	b->cb->mmio_write(b->cb->opaque, cpu, gpa, 4, v);
}

static int ack(struct board *b, unsigned cpu)
{
	return b->vm.cpu[cpu].intr ? b->cb->intr_ack(b->cb->opaque, cpu) : -1;
}

static void rte(struct board *b, unsigned pin, u32 high, u32 low)
{
	wr(b, 0, LAYOUT_IOAPIC, 0x11 + 2 * pin);
	wr(b, 0, LAYOUT_IOAPIC + 0x10, high);
	wr(b, 0, LAYOUT_IOAPIC, 0x10 + 2 * pin);
	wr(b, 0, LAYOUT_IOAPIC + 0x10, low);
}

static u32 rte_low(struct board *b, unsigned pin)
{
	wr(b, 0, LAYOUT_IOAPIC, 0x10 + 2 * pin);
	return rd(b, 0, LAYOUT_IOAPIC + 0x10);
}

static void ipi(struct board *b, unsigned from, unsigned to, u8 vector)
{
	wr(b, from, LAPIC + 0x310, to << 24);
	wr(b, from, LAPIC + 0x300, 0x4000 | vector);
}

/* Interrupts pending and in service, by priority, on both vCPUs. */
static void lapic_requests(void **state)
{
	for (unsigned i = 0; i < NCPUS; i++)
		wr(&A, i, LAPIC + 0xf0, 0x1ff);
	wr(&A, 1, LAPIC + 0xd0, 2u << 24);
	wr(&A, 1, LAPIC + 0x80, 0x20);
	ipi(&A, 0, 1, 0x51);
	assert_int_equal(ack(&A, 1), 0x51);
	ipi(&A, 0, 1, 0x40);
	ipi(&A, 0, 1, 0x81);
	ipi(&A, 0, 1, 0x21); /* below TPR */
	ipi(&A, 1, 0, 0x33);
	copy();
	for (struct board *b = &A; b; b = b == &A ? &B : NULL) {
		assert_int_equal(rd(b, 1, LAPIC + 0x80), 0x20);
		assert_int_equal(rd(b, 1, LAPIC + 0xd0), 2u << 24);
		assert_int_equal(rd(b, 1, LAPIC + 0xa0), 0x50);
		assert_int_equal(ack(b, 0), 0x33);
		assert_int_equal(ack(b, 1), 0x81);
		assert_int_equal(ack(b, 1), -1);
		wr(b, 1, LAPIC + 0xb0, 0);
		assert_int_equal(ack(b, 1), -1); /* 0x51 is in service */
		wr(b, 1, LAPIC + 0xb0, 0);
		assert_int_equal(ack(b, 1), 0x40);
		wr(b, 1, LAPIC + 0xb0, 0);
		assert_int_equal(ack(b, 1), -1);
		wr(b, 1, LAPIC + 0x80, 0);
		assert_int_equal(ack(b, 1), 0x21);
	}
}

static void x2apic(void **state)
{
	u64 v;

	assert_true(A.cb->msr_write(A.cb->opaque, 1, 0x1b, LAPIC | 0xc00));
	assert_true(A.cb->msr_write(A.cb->opaque, 1, 0x80f, 0x1ff));
	assert_true(A.cb->msr_write(A.cb->opaque, 1, 0x83f, 0x77)); /* to itself */
	copy();
	assert_true(B.cb->msr_read(B.cb->opaque, 1, 0x1b, &v));
	assert_int_equal(v, LAPIC | 0xc00);
	assert_true(B.cb->msr_read(B.cb->opaque, 1, 0x80d, &v));
	assert_int_equal(v, 2);
	assert_int_equal(ack(&B, 1), 0x77);
}

/* A one-shot timer in the middle of its count, and a periodic one, go on counting and fire. */
static void lapic_timers(void **state)
{
	for (unsigned i = 0; i < NCPUS; i++) {
		wr(&A, i, LAPIC + 0xf0, 0x1ff);
		wr(&A, i, LAPIC + 0x3e0, 0xb); /* by one: 1 GHz */
	}
	wr(&A, 0, LAPIC + 0x320, 0x60);
	wr(&A, 0, LAPIC + 0x380, 4000000000); /* 4 s: a busy host may take away most of it */
	wr(&A, 1, LAPIC + 0x320, 0x20061);
	wr(&A, 1, LAPIC + 0x380, 50000000);
	usleep(20000);
	copy();
	u32 a, b, apart = 0;
	for (unsigned i = 0; i < 20 && (i == 0 || apart > 200000000); i++) { /* at one moment, as nearly as we get */
		a = rd(&A, 0, LAPIC + 0x390);
		b = rd(&B, 0, LAPIC + 0x390);
		apart = a > b ? a - b : b - a;
	}
	assert_true(b > 300000000 && b < 3990000000);
	assert_true(apart < patient(400000000));
	assert_int_equal(rd(&B, 1, LAPIC + 0x380), 50000000);
	run_loop(&B);
	unsigned ticks = 0;
	int v = -1;
	for (int i = 0; i < (int)patient(2000) && (ticks < 5 || v < 0); i++) {
		usleep(5000);
		if (ack(&B, 1) == 0x61) {
			wr(&B, 1, LAPIC + 0xb0, 0);
			ticks++;
		}
		if (v < 0)
			v = ack(&B, 0);
	}
	assert_int_equal(v, 0x60);
	assert_true(ticks >= 5);
	assert_int_equal(rd(&B, 0, LAPIC + 0x390), 0);
}

static void tsc_deadline(void **state)
{
	u64 khz = clock_tsc_khz(), v;

	A.vm.cpu[0].tsc_offset = -(s64)clock_tsc();
	wr(&A, 0, LAPIC + 0xf0, 0x1ff);
	wr(&A, 0, LAPIC + 0x320, 0x40070);
	assert_true(A.cb->msr_write(A.cb->opaque, 0, 0x6e0, cpu_tsc(&A.vm.cpu[0]) + 200 * khz));
	copy();
	assert_true(B.cb->msr_read(B.cb->opaque, 0, 0x6e0, &v) && v);
	assert_int_equal(ack(&B, 0), -1);
	run_loop(&B);
	for (int i = 0; i < (int)patient(400) && !B.vm.cpu[0].intr; i++)
		usleep(5000);
	assert_int_equal(ack(&B, 0), 0x70);
	/* One that was due while nothing ran comes at once. */
	assert_true(A.cb->msr_write(A.cb->opaque, 0, 0x6e0, cpu_tsc(&A.vm.cpu[0]) + 5 * khz));
	int fd = save_to_file(&A);
	struct err e;
	struct board C;
	board_up(&C);
	C.vm.cpu[0].tsc_offset = A.vm.cpu[0].tsc_offset + (s64)(100 * khz);
	assert_int_equal(load(&C, fd, &e), 0);
	assert_int_equal(ack(&C, 0), 0x70);
	board_down(&C);
	close(fd);
}

/* A level interrupt that is in service in the local APIC and still asserted: the EOI brings it again. */
static void level_interrupt(void **state)
{
	struct irq_line irq = machine_irq(A.m, 20);

	wr(&A, 0, LAPIC + 0xf0, 0x1ff);
	rte(&A, 20, 0, 0x8000 | 0x55);
	irq_set(&irq, true);
	assert_int_equal(ack(&A, 0), 0x55);
	copy();
	assert_int_equal(rte_low(&B, 20), 0xc055);
	assert_int_equal(ack(&B, 0), -1);
	wr(&B, 0, LAPIC + 0xb0, 0);
	assert_int_equal(ack(&B, 0), 0x55);
	irq = machine_irq(B.m, 20);
	irq_set(&irq, false);
	wr(&B, 0, LAPIC + 0xb0, 0);
	assert_int_equal(ack(&B, 0), -1);
	assert_int_equal(rte_low(&B, 20), 0x8055);
}

/* The 8259s: requests by rotated priority, one in service, the master waiting for its third word. */
static void pics(void **state)
{
	static const u16 setup[][2] = { { 0x20, 0x11 }, { 0x21, 0x20 }, { 0x21, 4 },     { 0x21, 1 },
					{ 0xa0, 0x11 }, { 0xa1, 0x28 }, { 0xa1, 2 },     { 0xa1, 1 },
					{ 0x21, 0 },    { 0xa1, 0 },    { 0x4d0, 0x20 }, { 0x20, 0xc3 } };
	struct irq_line five = machine_irq(A.m, 5), twelve = machine_irq(A.m, 12), three = machine_irq(A.m, 3);

	for (size_t i = 0; i < ARRAY_LEN(setup); i++)
		out(&A, setup[i][0], 1, setup[i][1]);
	irq_set(&three, true);
	assert_int_equal(ack(&A, 0), 0x23);
	irq_set(&five, true);
	irq_set(&twelve, true);
	copy();
	for (struct board *b = &A; b; b = b == &A ? &B : NULL) {
		out(b, 0x20, 1, 0x0b);
		assert_int_equal(in(b, 0x20, 1), 0x08); /* ISR */
		assert_int_equal(in(b, 0x4d0, 1), 0x20);
		assert_int_equal(ack(b, 0), 0x25); /* line 3 is the lowest now: 5 is above it */
		out(b, 0x20, 1, 0x65);
		out(b, 0x20, 1, 0x63);
		assert_int_equal(ack(b, 0), 0x25); /* a level, still up */
		struct irq_line l = machine_irq(b->m, 5);
		irq_set(&l, false);
		out(b, 0x20, 1, 0x65);
		assert_int_equal(ack(b, 0), 0x2c);
		out(b, 0xa0, 1, 0x20);
		out(b, 0x20, 1, 0x20);
		assert_int_equal(ack(b, 0), -1);
	}
	out(&A, 0x20, 1, 0x11);
	out(&A, 0x21, 1, 0x40);
	copy();
	out(&B, 0x21, 1, 4);
	out(&B, 0x21, 1, 1);
	out(&B, 0x21, 1, 0xfe);
	assert_int_equal(in(&B, 0x21, 1), 0xfe);
	struct irq_line zero = machine_irq(B.m, 0);
	irq_set(&zero, true);
	assert_int_equal(ack(&B, 0), 0x40);
}

static u32 count(struct board *b)
{
	out(b, 0x43, 1, 0x80);
	u32 v = in(b, 0x42, 1);
	return v | in(b, 0x42, 1) << 8;
}

static void pit(void **state)
{
	out(&A, 0x43, 1, 0x34); /* channel 0: low, high, mode 2 */
	out(&A, 0x40, 1, 0x9c);
	out(&A, 0x40, 1, 0x2e);
	out(&A, 0x43, 1, 0xb0); /* channel 2: one-shot, gated */
	out(&A, 0x61, 1, 1);
	out(&A, 0x42, 1, 0xff);
	out(&A, 0x42, 1, 0xff);
	out(&A, 0x43, 1, 0x80); /* latched, one byte read */
	u32 low = in(&A, 0x42, 1);
	copy();
	assert_int_equal(in(&A, 0x42, 1), in(&B, 0x42, 1));
	assert_true(low <= 0xff);
	/* Both count on in step: B behind by the time of copying, once nothing came between the two looks. */
	int tries = 100;
	s16 apart;
	do {
		u16 a = (u16)count(&A);
		apart = (s16)((u16)count(&B) - a);
	} while ((apart > 12000 || apart < -12000) && --tries);
	assert_true(tries);
	usleep(60000);
	assert_int_equal(in(&B, 0x61, 1) & 0x23, 0x21);
	/* Channel 0 ticks at 100 Hz into vCPU 0. */
	wr(&B, 0, LAPIC + 0xf0, 0x1ff);
	rte(&B, 2, 0, 0x39);
	run_loop(&B);
	for (int i = 0; i < (int)patient(200) && !B.vm.cpu[0].intr; i++)
		usleep(5000);
	assert_int_equal(ack(&B, 0), 0x39);
}

static u8 cmos(struct board *b, u8 reg)
{
	out(b, 0x70, 1, reg);
	return (u8)in(b, 0x71, 1);
}

static void set_cmos(struct board *b, u8 reg, u8 v)
{
	out(b, 0x70, 1, reg);
	out(b, 0x71, 1, v);
}

static void rtc_and_acpi(void **state)
{
	set_cmos(&A, 0x0b, 0x06); /* binary, 24 hours */
	set_cmos(&A, 0x09, 12);
	set_cmos(&A, 0x08, 3);
	set_cmos(&A, 0x40, 0xa5);
	out(&A, LAYOUT_ACPI_PM + 2, 2, 0x100); /* power button */
	machine_power_button(A.m);
	u32 ticks = in(&A, LAYOUT_ACPI_PM + 8, 4);
	copy();
	assert_int_equal(cmos(&B, 0x0b), 0x06);
	assert_int_equal(cmos(&B, 0x09), 12);
	assert_int_equal(cmos(&B, 0x08), 3);
	assert_int_equal(cmos(&B, 0x40), 0xa5);
	assert_int_equal(in(&B, LAYOUT_ACPI_PM, 4), 0x01000100);
	u32 after = in(&B, LAYOUT_ACPI_PM + 8, 4);
	assert_true(after >= ticks && after - ticks < 3579545);
	/* The wire is up at the I/O APIC: unmasking the level pin delivers. */
	wr(&B, 0, LAPIC + 0xf0, 0x1ff);
	rte(&B, 9, 0, 0x8000 | 0x49);
	assert_int_equal(ack(&B, 0), 0x49);
}

static void keyboard_controller(void **state)
{
	out(&A, 0x64, 1, 0x60); /* its byte comes next */
	copy();
	out(&B, 0x60, 1, 0x47);
	out(&B, 0x64, 1, 0x20);
	assert_int_equal(in(&B, 0x64, 1) & 1, 1);
	assert_int_equal(in(&B, 0x60, 1), 0x47);
}

static void cfg_wr(struct board *b, unsigned off, unsigned bytes, u32 v)
{
	out(b, 0xcf8, 4, 0x80000000 | 4 << 11 | (off & 0xfc));
	out(b, 0xcfc + (off & 3), bytes, v);
}

static u32 cfg_rd(struct board *b, unsigned off, unsigned bytes)
{
	out(b, 0xcf8, 4, 0x80000000 | 4 << 11 | (off & 0xfc));
	return in(b, 0xcfc + (off & 3), bytes);
}

/* A BAR the guest moved, the MSI-X table, a masked vector that is pending. */
static void pci(void **state)
{
	gpa_t bar = 0xd0001000;
	unsigned cap = A.card.msix_cap;

	cfg_wr(&A, 0x14, 4, (u32)bar);
	cfg_wr(&A, 4, 2, 6);
	cfg_wr(&A, cap + 2, 2, 0x8000);
	wr(&A, 0, bar + 16, 0xfee01000); /* vector 1 to vCPU 1 */
	wr(&A, 0, bar + 24, 0x66);
	wr(&A, 1, LAPIC + 0xf0, 0x1ff);
	assert_true(pci_msix_send(&A.card, 1));
	assert_int_equal(rd(&A, 0, bar + 0x800), 2);
	out(&A, 0xcf8, 4, 0x80002064);
	copy();
	assert_int_equal(in(&B, 0xcf8, 4), 0x80002064);
	assert_int_equal(cfg_rd(&B, 0x14, 4), bar);
	assert_int_equal(rd(&B, 0, bar + 0x800), 2);
	assert_int_equal(ack(&B, 1), -1);
	wr(&B, 0, bar + 28, 0); /* unmask */
	assert_int_equal(ack(&B, 1), 0x66);
	assert_int_equal(rd(&B, 0, bar + 0x800), 0);
}

static void intx(void **state)
{
	unsigned pin = LAYOUT_GSI_PCI + 4;

	wr(&A, 0, LAPIC + 0xf0, 0x1ff);
	pci_intx(&A.card, true);
	copy();
	rte(&B, pin, 0, 0x8000 | 0x58);
	assert_int_equal(ack(&B, 0), 0x58);
	pci_intx(&B.card, false); /* the wire is this card's to lower */
	wr(&B, 0, LAPIC + 0xb0, 0);
	assert_int_equal(ack(&B, 0), -1);
}

static void lpc_wr(struct board *b, unsigned reg, u8 v)
{
	out(b, 0xcf8, 4, 0x80000000 | 31 << 11 | (reg & ~3u));
	out(b, 0xcfc + (reg & 3), 1, v);
}

static void pic_init(struct board *b)
{
	static const u16 setup[][2] = { { 0x20, 0x11 }, { 0x21, 0x20 }, { 0x21, 4 }, { 0x21, 1 }, { 0xa0, 0x11 },
					{ 0xa1, 0x28 }, { 0xa1, 2 },    { 0xa1, 1 }, { 0x21, 0 }, { 0xa1, 0 } };

	for (size_t i = 0; i < ARRAY_LEN(setup); i++)
		out(b, setup[i][0], 1, setup[i][1]);
}

static void pic_eoi(struct board *b)
{
	out(b, 0xa0, 1, 0x20);
	out(b, 0x20, 1, 0x20);
}

/* A PCI wire that the LPC bridge steers to the 8259s: a level, shared with the line's own device. */
static void intx_8259(void **state)
{
	struct err e;

	pic_init(&A);
	pci_intx(&A.card, true); /* slot 4: PIRQE, steered nowhere after power-on */
	assert_int_equal(ack(&A, 0), -1);
	assert_int_equal(in(&A, 0x4d1, 1), 0x0e);
	assert_int_equal(machine_firmware(A.m, &e), 0);
	assert_int_equal(ack(&A, 0), 0x2a);
	copy();
	for (struct board *b = &A; b; b = b == &A ? &B : NULL) {
		struct irq_line ten = machine_irq(b->m, 10);

		assert_int_equal(ack(b, 0), -1); /* in service */
		pic_eoi(b);
		assert_int_equal(ack(b, 0), 0x2a); /* still up */
		irq_set(&ten, true);
		pci_intx(&b->card, false); /* the other one still drives the line */
		pic_eoi(b);
		assert_int_equal(ack(b, 0), 0x2a);
		irq_set(&ten, false);
		pic_eoi(b);
		assert_int_equal(ack(b, 0), -1);
		/* Another line (an edge, 5 is not among the level-triggered), none, and one that cannot be. */
		pci_intx(&b->card, true);
		assert_int_equal(ack(b, 0), 0x2a);
		lpc_wr(b, 0x68, 5);
		pic_eoi(b);
		assert_int_equal(ack(b, 0), 0x25);
		lpc_wr(b, 0x68, 0x80);
		out(b, 0x20, 1, 0x20);
		lpc_wr(b, 0x68, 8);
		lpc_wr(b, 0x68, 2);
		assert_int_equal(ack(b, 0), -1);
		/* In the I/O APIC it is at its own pin all the time, and where it is steered. */
		wr(b, 0, LAPIC + 0xf0, 0x1ff);
		rte(b, LAYOUT_GSI_PCI + 4, 0, 0x8000 | 0x58);
		assert_int_equal(ack(b, 0), 0x58);
		wr(b, 0, LAPIC + 0xb0, 0);
		rte(b, LAYOUT_GSI_PCI + 4, 0, 0x10000);
		assert_int_equal(ack(b, 0), 0x58);
		wr(b, 0, LAPIC + 0xb0, 0);
		rte(b, 11, 0, 0x8000 | 0x59);
		assert_int_equal(ack(b, 0), -1);
		out(b, 0xa1, 1, 0xff);
		lpc_wr(b, 0x68, 11);
		assert_int_equal(ack(b, 0), 0x59);
	}
	pci_dev_fini(&A.card); /* pulled out: nothing is driven any more */
	wr(&A, 0, LAPIC + 0xb0, 0);
	assert_int_equal(ack(&A, 0), -1);
}

static void copy_section(struct state_file *from, struct state_file *to, u32 i, u32 version, bool keep)
{
	struct err e = { 0 };
	const char *name;
	size_t n;

	assert_int_equal(state_peek(from, &name, &e), 0);
	if (state_section(from, name, i, 2, &e) < 0)
		fail_msg("%s", e.msg);
	u8 *p = (u8 *)(uintptr_t)state_rest(from, &n);
	if (!strcmp(name, "pci-bus")) {
		assert_int_equal(n, 4 + 8 * 8);
		assert_int_equal(ld_le64(p + 4 + 7 * 8), 1u << 24);
		st_le64(p + 4 + 7 * 8, 0);
	}
	if (keep) {
		assert_int_equal(state_section(to, name, i, version ? version : state_version(from), &e), 0);
		state_bytes(to, p, n);
		assert_int_equal(state_end(to, &e), 0);
	}
	assert_int_equal(state_end(from, &e), 0);
}

/* A state saved before there was an LPC bridge: no function 00:1f.0, and pci-bus of version 1. */
static void before_lpc(void **state)
{
	struct state_file *now, *old;
	struct err e = { 0 };

	cfg_wr(&A, 0x14, 4, 0xd0002000);
	out(&A, 0x64, 1, 0xaa);
	pic_init(&A);
	pci_intx(&A.card, true);
	assert_int_equal(machine_firmware(B.m, &e), 0);
	int a = save_to_file(&A), b = memfd_create("old", MFD_CLOEXEC);
	lseek(a, 0, SEEK_SET);
	assert_int_equal(state_load_new(&now, a, &e), 0);
	assert_int_equal(state_save_new(&old, b, &e), 0);
	for (unsigned k = 0; k < 11 + NCPUS; k++) {
		static const u32 instance[] = { 0, 0, 4 << 3, 31 << 3, 0, 0, 0, 0, 0, 0, 0, 0, 1 };

		copy_section(now, old, instance[k], k == 0 ? 1 : 0, k != 3);
	}
	assert_int_equal(state_finish(now, &e), 0);
	assert_int_equal(state_finish(old, &e), 0);
	state_free(now);
	state_free(old);
	if (load(&B, b, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(cfg_rd(&B, 0x14, 4), 0xd0002000);
	assert_int_equal(in(&B, 0x60, 1), 0x55);
	close(a);
	close(b);
}

/* kvmclock: the structure in memory is new, and the time in it goes on. */
static void pvclock(void **state)
{
	gpa_t at = 0x1000;

	A.vm.cpu[0].tsc_offset = A.vm.cpu[1].tsc_offset = -(s64)clock_tsc();
	usleep(30000);
	assert_true(A.cb->msr_write(A.cb->opaque, 1, 0x4b564d01, at | 1));
	u64 tsc_a = ld_le64(A.ram->host + at + 8), ns_a = ld_le64(A.ram->host + at + 16);
	assert_true(ns_a >= 30000000);
	usleep(20000);
	int fd = save_to_file(&A);
	usleep(200000); /* nobody ran */
	for (unsigned i = 0; i < NCPUS; i++)
		B.vm.cpu[i].tsc_offset = A.vm.cpu[i].tsc_offset - (s64)(200 * clock_tsc_khz());
	struct err e;
	assert_int_equal(load(&B, fd, &e), 0);
	close(fd);
	u64 v, tsc_b = ld_le64(B.ram->host + at + 8), ns_b = ld_le64(B.ram->host + at + 16);
	assert_true(B.cb->msr_read(B.cb->opaque, 1, 0x4b564d01, &v) && v == (at | 1));
	assert_int_equal(ld_le32(B.ram->host + at) & 1, 0);
	/* The guest's clock moved as far as its TSC did, give or take what measuring costs. */
	s64 off = (s64)(ns_b - ns_a) - (s64)mul_div(tsc_b - tsc_a, 1000000, clock_tsc_khz());
	assert_true(tsc_b > tsc_a && ns_b > ns_a);
	if (off > 1000000 || off < -1000000)
		fail_msg("the clock is off by %lld ns", (long long)off);
	assert_int_equal(B.ram->host[at + 29], 1); /* stable */
}

static const u8 *next_section(struct state_file *s, const char **name, u32 i, size_t *n)
{
	struct err e = { 0 };

	assert_int_equal(state_peek(s, name, &e), 0);
	if (state_section(s, *name, i, 2, &e) < 0)
		fail_msg("%s", e.msg);
	return state_rest(s, n);
}

/* Saved, loaded and saved again: where there is no time in it, nothing has changed. */
static void same_again(void **state)
{
	static const char *const timeless[] = { "pci-bus", "pci", "reset", "pic", "ioapic" };
	struct state_file *x, *y;
	struct err e;
	unsigned compared = 0;

	level_interrupt(NULL); /* something is under way everywhere */
	cfg_wr(&A, 0x14, 4, 0xd0002000);
	out(&A, 0x64, 1, 0xaa);
	int a = save_to_file(&A);
	assert_int_equal(load(&B, a, &e), 0);
	int b = save_to_file(&B);
	lseek(a, 0, SEEK_SET);
	lseek(b, 0, SEEK_SET);
	assert_int_equal(state_load_new(&x, a, &e), 0);
	assert_int_equal(state_load_new(&y, b, &e), 0);
	for (unsigned k = 0; k < 10; k++) { /* up to pit */
		static const u32 instance[] = { 0, 0, 4 << 3, 31 << 3, 0, 0, 0, 0, 0, 0 };
		const char *name, *name2;
		size_t n, n2;
		const u8 *p = next_section(x, &name, instance[k], &n), *q = next_section(y, &name2, instance[k], &n2);
		assert_string_equal(name, name2);
		assert_int_equal(n, n2);
		for (size_t t = 0; t < ARRAY_LEN(timeless); t++)
			if (!strcmp(name, timeless[t])) {
				assert_memory_equal(p, q, n);
				compared++;
			}
		assert_int_equal(state_end(x, &e), 0);
		assert_int_equal(state_end(y, &e), 0);
	}
	assert_int_equal(compared, 7); /* there are three PCI functions */
	state_free(x);
	state_free(y);
	close(a);
	close(b);
}

/* Another board: another card, another number of vectors. */
static void misfits(void **state)
{
	struct err e;
	int fd = save_to_file(&A);

	pci_dev_fini(&B.card);
	pci_dev_init(&B.card, NULL, "card", 0x1234, 0x5679, 0x020000 << 8);
	pci_add_msix(&B.card, 1, 3);
	assert_int_equal(pci_register(machine_pci(B.m), &B.card, 4), 0);
	assert_true(load(&B, fd, &e) < 0);
	assert_non_null(strstr(e.msg, "another PCI device"));
	pci_dev_fini(&B.card);
	pci_dev_init(&B.card, NULL, "card", 0x1234, 0x5678, 0x020000 << 8);
	pci_add_msix(&B.card, 1, 2);
	assert_int_equal(pci_register(machine_pci(B.m), &B.card, 4), 0);
	assert_true(load(&B, fd, &e) < 0);
	pci_dev_fini(&B.card);
	pci_dev_init(&B.card, NULL, "card", 0x1234, 0x5678, 0x020000 << 8);
	pci_add_msix(&B.card, 1, 3);
	assert_int_equal(pci_register(machine_pci(B.m), &B.card, 5), 0);
	assert_true(load(&B, fd, &e) < 0);
	assert_non_null(strstr(e.msg, "slots"));
	close(fd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
		T(lapic_requests),      T(x2apic),  T(lapic_timers), T(tsc_deadline),
		T(level_interrupt),     T(pics),    T(pit),          T(rtc_and_acpi),
		T(keyboard_controller), T(pci),     T(intx),         T(pvclock),
		T(same_again),          T(misfits), T(intx_8259),    T(before_lpc),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
