/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_run.c - cpu_stop() ends cpu_run() whatever the guest does, soon; and whatever it does, the host's
 * stack stays as deep as it was. The guests are in run_guest.S.
 */
#include "../fake_bus.h"
#include "base/clock.h"
#include "cpu/cpu.h"
#include "test_engine.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <cmocka.h>

#define RAM_BYTES (16 * MIB)
#define BLOB 0x10000u
#define GDT 0x1000u
#define IDT 0x2000u
#define TSS 0x3000u
#define PML4 0x4000u
#define STACK 0x9000u
#define STACK_IST 0xa000u
#define STOP_NS (100 * 1000000ull)
#define HOST_STACK (512 * KIB)

extern const u8 run_blob[], run_blob_end[];
extern const u8 h_iret[], h_skip[], h_skip_err[], h_again[];
extern const u8 k_spin[], k_halt[], k_fault[], k_fetch[], k_step[], k_movs[], k_stos[], k_lods[], k_scas[], k_cmps[],
    k_ins[], k_outs[], k_lock[], k_smc[], k_smc_far[], k_invlpg[], k_cr3[], k_sti[], k_fpu[], k_mix[], k_down1[],
    k_down2[], k_down4[], k_down8[], k_fill_down[];

struct rig {
	struct ram *ram;
	struct cpu_vm *vm;
	struct cpu_model *model;
	u8 *stack; /* the host's, of the one vCPU that is measured */
	size_t depth[2];
	unsigned marks;
	_Atomic u64 events;
};

/* Bytes of the host stack ever used. */
static size_t depth(const struct rig *r)
{
	size_t i = 0;

	while (i < HOST_STACK && r->stack[i] == 0xa5)
		i++;
	return HOST_STACK - i;
}

static u64 mmio_read(void *o, unsigned cpu, gpa_t gpa, unsigned bytes)
{
	return 0;
}
static u32 pio_read(void *o, unsigned cpu, u16 port, unsigned bytes)
{
	((struct rig *)o)->events++;
	return 0;
}
static void pio_write(void *o, unsigned cpu, u16 port, unsigned bytes, u32 v)
{
	struct rig *r = o;

	r->events++;
	if (port == 0x80)
		cpu_set_intr(cpu_vm_cpu(r->vm, cpu), true);
	if (port == 0xf1)
		cpu_stop(cpu_vm_cpu(r->vm, cpu));
	if (port == 0xf0 && r->stack) {
		r->depth[r->marks++] = depth(r);
		if (r->marks == 2)
			cpu_stop(cpu_vm_cpu(r->vm, cpu));
	}
}
static int intr_ack(void *o, unsigned cpu)
{
	return 0x40; /* and it stays up */
}

static struct cpu_bus bus = { FAKE_BUS, .mmio_read = mmio_read, .pio_read = pio_read, .pio_write = pio_write,
			      .intr_ack = intr_ack };

static u32 phys(const u8 *label)
{
	return BLOB + (u32)(label - run_blob);
}
static void put64(struct rig *r, u32 at, u64 v)
{
	assert_int_equal(ram_put(r->ram, at, &v, 8), 0);
}
/* ist: 1 keeps the stack in place however often it happens */
static void gate(struct rig *r, unsigned vec, u64 to, unsigned ist)
{
	put64(r, IDT + 16 * vec, to ? (to & 0xffff) | 8u << 16 | (u64)ist << 32 | 0xeeull << 40 | to >> 16 << 48 : 0);
	put64(r, IDT + 16 * vec + 8, 0);
}

static struct cpu_seg seg(u16 sel, u32 ar, u32 base, u32 limit)
{
	return (struct cpu_seg){ .sel = sel, .ar = ar, .limit = limit, .base = base };
}

static struct rig *open_rig(unsigned ncpus)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct err e = { 0 };

	bus.opaque = r;
	assert_int_equal(ram_new(&r->ram, RAM_BYTES, &e), 0);
	assert_int_equal(cpu_model_new(&r->model, "mica-v2", ncpus, &e), 0);
	assert_int_equal(test_vm_new(&r->vm, &bus, r->ram, r->model, ncpus, &e), 0);
	assert_int_equal(ram_put(r->ram, BLOB, run_blob, (u64)(run_blob_end - run_blob)), 0);
	/* 1 GiB by large pages, and once more after it */
	put64(r, PML4, 0x5000 | 7);
	put64(r, 0x5000, 0x6000 | 7);
	put64(r, 0x5008, 0x6000 | 7);
	for (u32 i = 0; i < 512; i++)
		put64(r, 0x6000 + 8 * i, (u64)i << 21 | 0x87);
	put64(r, GDT + 8, 0x00af9b000000ffffull);
	put64(r, GDT + 16, 0x00cf93000000ffffull);
	put64(r, TSS + 36, STACK_IST);
	for (unsigned v = 0; v < 256; v++)
		gate(r, v, phys(h_iret), 0);
	return r;
}

static void close_rig(struct rig *r)
{
	cpu_vm_free(r->vm);
	cpu_model_free(r->model);
	ram_free(r->ram);
	free(r);
}

static void set(struct rig *r, unsigned cpu, const u8 *entry)
{
	struct cpu *c = cpu_vm_cpu(r->vm, cpu);
	struct cpu_state s;
	struct err e = { 0 };

	cpu_get_state(c, &s);
	s.cr0 = 0x80010033;
	s.cr3 = PML4;
	s.cr4 = 0x620; /* PAE, OSFXSR, OSXMMEXCPT */
	s.efer = 0x500;
	s.rip = phys(entry);
	s.rflags = 2;
	s.gpr[GPR_RSP] = STACK - 0x800 * cpu;
	s.gdt_base = GDT;
	s.gdt_limit = 0x17;
	s.idt_base = IDT;
	s.idt_limit = 4095;
	s.seg[SEG_CS] = seg(0x08, 0xa09b, 0, ~0u);
	s.seg[SEG_SS] = s.seg[SEG_DS] = s.seg[SEG_ES] = s.seg[SEG_FS] = s.seg[SEG_GS] = seg(0x10, 0xc093, 0, ~0u);
	s.seg[SEG_TR] = seg(0x30, 0x8b, TSS, 0x67);
	s.seg[SEG_LDTR] = seg(0, SEG_AR_UNUSABLE, 0, 0);
	s.run_state = CPU_RUNNING;
	assert_int_equal(cpu_set_state(c, &s, &e), 0);
}

struct runner {
	pthread_t thread;
	struct cpu *cpu;
	enum cpu_exit how;
};
static void *runner(void *arg)
{
	struct runner *t = arg;
	struct err e = { 0 };

	t->how = cpu_run(t->cpu, &e);
	return NULL;
}

/* How long from cpu_stop() until all have left cpu_run(). */
static u64 stop_takes(struct rig *r, unsigned ncpus)
{
	struct runner t[2];

	for (unsigned i = 0; i < ncpus; i++) {
		t[i].cpu = cpu_vm_cpu(r->vm, i);
		assert_int_equal(pthread_create(&t[i].thread, NULL, runner, &t[i]), 0);
	}
	usleep(20000);
	u64 t0 = clock_mono_ns();
	for (unsigned i = 0; i < ncpus; i++)
		cpu_stop(t[i].cpu);
	for (unsigned i = 0; i < ncpus; i++) {
		pthread_join(t[i].thread, NULL);
		assert_int_equal(t[i].how, CPU_EXIT_STOP);
	}
	return clock_mono_ns() - t0;
}

/* The best of three: the host may be busy with something else. */
static void must_stop(struct rig *r, unsigned ncpus, const char *what)
{
	u64 best = UINT64_MAX;

	for (unsigned i = 0; i < 10 && best > STOP_NS; i++) /* others may have the processors */
		best = MIN(best, stop_takes(r, ncpus));
	if (best > STOP_NS)
		fail_msg("%s: cpu_stop() took %llu ms", what, (unsigned long long)(best / 1000000));
}

static void stop(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		const u8 *entry;
		const u8 *handler; /* of all exceptions, on a stack that starts afresh */
		u64 handler_at;
	} guest[] = {
		{ "an empty loop without interrupts", k_spin, NULL, 0 },
		{ "HLT without interrupts", k_halt, NULL, 0 },
		{ "a handler that faults", k_fault, h_again, 0 },
		{ "faults of the fetch, in the handler too", k_fetch, NULL, 0x80001000 },
		{ "single steps", k_step, NULL, 0 },
		{ "REP MOVS", k_movs, NULL, 0 },
		{ "REP STOS through devices", k_stos, NULL, 0 },
		{ "REP LODS of a device", k_lods, NULL, 0 },
		{ "REPE SCAS", k_scas, NULL, 0 },
		{ "REPE CMPS", k_cmps, NULL, 0 },
		{ "REP INS", k_ins, NULL, 0 },
		{ "REP OUTS", k_outs, NULL, 0 },
		{ "locked operations", k_lock, NULL, 0 },
		{ "self-modifying code", k_smc, NULL, 0 },
		{ "INVLPG", k_invlpg, NULL, 0 },
		{ "address space changes", k_cr3, NULL, 0 },
		{ "interrupts without end", k_sti, NULL, 0 },
		{ "x87", k_fpu, NULL, 0 },
	};

	for (unsigned i = 0; i < ARRAY_LEN(guest); i++) {
		struct rig *r = open_rig(1);
		for (unsigned v = 0; v < 32 && (guest[i].handler || guest[i].handler_at); v++)
			gate(r, v, guest[i].handler ? phys(guest[i].handler) : guest[i].handler_at, 1);
		set(r, 0, guest[i].entry);
		must_stop(r, 1, guest[i].what);
		close_rig(r);
	}
}

static void stop_two(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		const u8 *a, *b;
	} guest[] = {
		{ "INVLPG on both", k_invlpg, k_invlpg },
		{ "address space changes on both", k_cr3, k_cr3 },
		{ "INVLPG against address space changes", k_invlpg, k_cr3 },
		{ "both modify the same code", k_smc_far, k_smc_far },
		{ "code modified beside an empty loop", k_smc_far, k_spin },
		{ "code modified beside HLT", k_smc_far, k_halt },
		{ "code modified beside REP STOS", k_smc_far, k_stos },
		{ "code modified beside single steps", k_smc_far, k_step },
	};

	for (unsigned i = 0; i < ARRAY_LEN(guest); i++) {
		struct rig *r = open_rig(2);
		set(r, 0, guest[i].a);
		set(r, 1, guest[i].b);
		must_stop(r, 2, guest[i].what);
		close_rig(r);
	}
}

/* An alignment check in ring 3 whose handler is in ring 3 too, so that its frame goes to the same stack, which
 * is not aligned: #AC while #AC is delivered, without end and without an instruction. */
static void stop_nested(void **state)
{
	(void)state;
	struct rig *r = open_rig(2);
	struct cpu_state s;
	struct err e = { 0 };
	static const u8 code[] = { 0x8b, 0x00, 0xeb, 0xfe }; /* mov (%eax), %eax; 1: jmp 1b */

	assert_int_equal(ram_put(r->ram, 0x20000, code, sizeof(code)), 0);
	put64(r, GDT + 0x18, 0x00cff3000000ffffull); /* data, ring 3 */
	put64(r, GDT + 0x20, 0x00cf9f000000ffffull); /* code, conforming */
	put64(r, GDT + 0x28, 0x00cffb000000ffffull); /* code, ring 3 */
	put64(r, 0x8000 + 8 * 17, 0x0002ee0000200000ull);
	cpu_get_state(cpu_vm_cpu(r->vm, 0), &s);
	s.cr0 = 0x40033;
	s.rip = 0x20000;
	s.rflags = 2 | 1u << 18;
	s.gpr[GPR_RAX] = 0x200001;
	s.gpr[GPR_RSP] = 0x9001;
	s.gdt_base = GDT;
	s.gdt_limit = 0x2f;
	s.idt_base = 0x8000;
	s.idt_limit = 8 * 32 - 1;
	s.seg[SEG_CS] = seg(0x2b, 0xc0fb, 0, ~0u);
	s.seg[SEG_SS] = s.seg[SEG_DS] = s.seg[SEG_ES] = seg(0x1b, 0xc0f3, 0, ~0u);
	assert_int_equal(cpu_set_state(cpu_vm_cpu(r->vm, 0), &s, &e), 0);
	must_stop(r, 1, "exceptions in exceptions");
	cpu_get_state(cpu_vm_cpu(r->vm, 0), &s);
	assert_int_equal(s.rip, 0x20000);
	assert_int_equal(s.gpr[GPR_RSP], 0x9001);
	assert_true(s.exc.valid && s.exc.vector == 17);
	/* Nor may it keep another vCPU from code that it modifies. */
	set(r, 1, k_smc_far);
	must_stop(r, 2, "exceptions in exceptions beside modified code");
	close_rig(r);
}

/* Stopping before it runs, waiting for SIPI, and a triple fault. */
static void stop_idle(void **state)
{
	(void)state;
	struct rig *r = open_rig(2);
	struct err e = { 0 };

	cpu_stop(cpu_vm_cpu(r->vm, 0));
	set(r, 0, k_spin);
	assert_int_equal(cpu_run(cpu_vm_cpu(r->vm, 0), &e), CPU_EXIT_STOP);
	must_stop(r, 2, "waiting for SIPI"); /* vCPU 1 */
	for (unsigned v = 0; v < 32; v++)
		gate(r, v, 0, 0);
	set(r, 0, k_fault);
	assert_int_equal(cpu_run(cpu_vm_cpu(r->vm, 0), &e), CPU_EXIT_SHUTDOWN);
	set(r, 0, k_spin);
	must_stop(r, 1, "after a shutdown");
	close_rig(r);
}

static void host_stack(void **state)
{
	(void)state;
	struct rig *r = open_rig(1);
	struct runner t = { .cpu = cpu_vm_cpu(r->vm, 0) };
	pthread_attr_t attr;

	gate(r, 0, 0, 0);
	gate(r, 6, 0, 0);
	gate(r, 0x81, 0, 0);
	gate(r, 8, phys(h_skip_err), 1);
	gate(r, 11, phys(h_skip_err), 0);
	gate(r, 13, phys(h_skip_err), 0);
	gate(r, 14, phys(h_skip_err), 0);
	set(r, 0, k_mix);
	struct cpu_state s;
	struct err e = { 0 };
	cpu_get_state(t.cpu, &s);
	s.gpr[15] = 30000;
	assert_int_equal(cpu_set_state(t.cpu, &s, &e), 0);

	r->stack = mmap(NULL, HOST_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	assert_true(r->stack != MAP_FAILED);
	memset(r->stack, 0xa5, HOST_STACK);
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstack(&attr, r->stack, HOST_STACK), 0);
	assert_int_equal(pthread_create(&t.thread, &attr, runner, &t), 0);
	pthread_join(t.thread, NULL);
	pthread_attr_destroy(&attr);
	assert_int_equal(t.how, CPU_EXIT_STOP);
	assert_int_equal(r->marks, 2);
	assert_true(r->depth[0] > 0 && r->depth[0] < HOST_STACK / 2);
	/* A signal of the host may have come at a deeper place; a frame per round would be megabytes. */
	if (r->depth[1] > r->depth[0] + 4096)
		fail_msg("the host's stack grew from %zu to %zu bytes", r->depth[0], r->depth[1]);
	munmap(r->stack, HOST_STACK);
	close_rig(r);
}

/* REP with DF, over borders of pages and over itself: the order of elements is seen in memory. */
static void downwards(void **state)
{
	(void)state;
	enum { AT = 0x200000, BYTES = 0x6000 };
	static const struct {
		const u8 *entry;
		unsigned n;
		u32 src, dst, count; /* offsets of the first element; src 0: RAX */
	} tests[] = {
		{ k_down1, 1, 0x4803, 0x4800, 0x2000 }, { k_down1, 1, 0x4800, 0x4803, 0x2000 },
		{ k_down1, 1, 0x4000, 0x2fff, 0x1001 }, { k_down2, 2, 0x3001, 0x2fff, 0xc00 },
		{ k_down4, 4, 0x4ffe, 0x4ffc, 0x900 },  { k_down4, 4, 0x4ffc, 0x4ff8, 0x900 },
		{ k_down8, 8, 0x4ff8, 0x4000, 0x300 },  { k_down8, 8, 0x4ff9, 0x4ff1, 0x300 },
		{ k_fill_down, 4, 0, 0x4ffd, 0x700 },
	};
	static u8 want[BYTES], got[BYTES];

	for (unsigned i = 0; i < ARRAY_LEN(tests); i++) {
		struct rig *r = open_rig(1);
		struct cpu *c = cpu_vm_cpu(r->vm, 0);
		u32 src = tests[i].src, dst = tests[i].dst;
		const u64 v = 0x8877665544332211;
		struct cpu_state s;
		struct err e = { 0 };

		for (u32 k = 0; k < BYTES; k++)
			want[k] = (u8)(k * 7 + (k >> 8));
		assert_int_equal(ram_put(r->ram, AT, want, BYTES), 0);
		for (u32 k = 0; k < tests[i].count; k++, src -= tests[i].n, dst -= tests[i].n) {
			u8 t[8];
			memcpy(t, tests[i].src ? want + src : (const u8 *)&v, tests[i].n);
			memcpy(want + dst, t, tests[i].n);
		}
		set(r, 0, tests[i].entry);
		cpu_get_state(c, &s);
		s.gpr[GPR_RAX] = v;
		s.gpr[GPR_RSI] = AT + tests[i].src;
		s.gpr[GPR_RDI] = AT + tests[i].dst;
		s.gpr[GPR_RCX] = tests[i].count;
		assert_int_equal(cpu_set_state(c, &s, &e), 0);
		assert_int_equal(cpu_run(c, &e), CPU_EXIT_STOP);
		cpu_get_state(c, &s);
		assert_int_equal(s.gpr[GPR_RDI], AT + dst);
		assert_int_equal(s.gpr[GPR_RCX], 0);
		assert_int_equal(ram_get(r->ram, AT, got, BYTES), 0);
		for (u32 k = 0; k < BYTES; k++)
			if (got[k] != want[k])
				fail_msg("case %u: at %x there is %02x, not %02x", i, k, got[k], want[k]);
		close_rig(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(stop),        cmocka_unit_test(stop_two),
					    cmocka_unit_test(stop_nested), cmocka_unit_test(stop_idle),
					    cmocka_unit_test(host_stack),  cmocka_unit_test(downwards) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
