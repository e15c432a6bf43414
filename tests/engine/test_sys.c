/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_sys.c - the engine's modes and system instructions, by the small kernels of sys_guest.S.
 *
 * Each test lays out descriptor tables and page tables in guest RAM, sets the vCPU's state and runs
 * until the guest ends it; what the guest wrote to port 0xe9 must be exactly the list given.
 *
 * Under KVM on the processor that QEMU's TCG emulates (MICA_TEST_CPU=tcg) the lists differ by what that processor is
 * known to get wrong, and nothing else: struct quirk. tests/kvm-host shows the same wrongs on it without KVM, by
 * the kernels of tests/machine. KVM_WAY are freedoms that the manuals give and KVM takes.
 */
#include "../fake_bus.h"
#include "cpu/cpu.h"
#include "test_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define RAM_BYTES (16 * MIB)
#define BLOB 0x10000u
#define GDT 0x1000u
#define IDT 0x2000u
#define TSS_A 0x3000u
#define TSS_B 0x3400u
#define TSS_DF 0x3800u
#define PML4 0x4000u
#define STACK0 0x9000u
#define STACK_IST 0xa000u
#define LOG_MAX 256

extern const u8 sys_blob[], sys_blob_end[];
extern const u8 vec64[], int64_80[], int64_81[], int64_82[], syscall64[], syscall_compat[], gate64[], k_long[];
extern const u8 int64_40[], int64_nmi[], k_intr[], k_triple[];
extern const u8 vec32[], k_prot[], k_pae[], task_b[], task_df[], gate32[], int32_82[];
extern const u8 k_boot[], k_boot_int[], k_boot_de[];

struct rig {
	struct ram *ram;
	struct cpu_vm *vm;
	struct cpu_model *model;
	u32 log[LOG_MAX];
	unsigned nlog;
	unsigned bytes_in; /* from port 0x90 */
	bool intr;
	bool done;
};

/* ---- the machine: two ports ---- */
static u32 pio_read(void *o, unsigned cpu, u16 port, unsigned bytes)
{
	struct rig *r = o;

	if (port != 0x90)
		return ~0u;
	if (++r->bytes_in == 3) {
		r->intr = true;
		cpu_set_intr(cpu_vm_cpu(r->vm, cpu), true);
	}
	return 0xa0 + r->bytes_in;
}
static void pio_write(void *o, unsigned cpu, u16 port, unsigned bytes, u32 v)
{
	struct rig *r = o;

	if (port == 0x80) {
		r->intr = true;
		cpu_set_intr(cpu_vm_cpu(r->vm, cpu), true);
	}
	if (port == 0x81)
		cpu_raise_nmi(cpu_vm_cpu(r->vm, cpu));
	if ((port == 0xe9 || port == 0x90) && r->nlog < LOG_MAX)
		r->log[r->nlog++] = v;
	if (port == 0xf4 || r->nlog == LOG_MAX) {
		r->done = port == 0xf4;
		cpu_stop(cpu_vm_cpu(r->vm, cpu));
	}
}
static int intr_ack(void *o, unsigned cpu)
{
	struct rig *r = o;

	if (!r->intr)
		return -1;
	r->intr = false;
	cpu_set_intr(cpu_vm_cpu(r->vm, cpu), false);
	return 0x40;
}

static struct cpu_bus bus = { FAKE_BUS, .pio_read = pio_read, .pio_write = pio_write, .intr_ack = intr_ack };

/* ---- laying out ---- */
static u32 phys(const u8 *label)
{
	return BLOB + (u32)(label - sys_blob);
}
static void put64(struct rig *r, u32 at, u64 v)
{
	assert_int_equal(ram_put(r->ram, at, &v, 8), 0);
}
static void put32(struct rig *r, u32 at, u32 v)
{
	assert_int_equal(ram_put(r->ram, at, &v, 4), 0);
}
static void put16(struct rig *r, u32 at, u16 v)
{
	assert_int_equal(ram_put(r->ram, at, &v, 2), 0);
}
/* ar: type, S, DPL, P in bits 0-7; AVL, L, D, G in bits 12-15 */
static void desc(struct rig *r, u16 sel, u32 base, u32 limit, u32 ar)
{
	put64(r, GDT + sel,
	      (u64)(limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(ar & 0xff) << 40 |
		  (u64)(limit >> 16 & 0xf) << 48 | (u64)(ar >> 12 & 0xf) << 52 | (u64)(base >> 24) << 56);
}
static void gate(struct rig *r, u32 at, u16 sel, u32 off, u8 ar, u8 low)
{
	put64(r, at, (off & 0xffffu) | (u64)sel << 16 | (u64)low << 32 | (u64)ar << 40 | (u64)(off >> 16) << 48);
}
static void gate16b(struct rig *r, u32 at, u16 sel, u32 off, u8 ar, u8 low)
{
	gate(r, at, sel, off, ar, low);
	put64(r, at + 8, 0);
}

/* Identity map of 1 GiB by 2 MiB pages, of which the second is read-only, the third the supervisor's,
 * and the rest the user's. */
static void page_tables(struct rig *r)
{
	put64(r, PML4, 0x5000 | 7);
	put64(r, 0x5000, 0x6000 | 7);
	for (u32 i = 0; i < 512; i++)
		put64(r, 0x6000 + 8 * i, (u64)i << 21 | 0x80 | (i == 1 ? 5 : i == 2 ? 3 : 7));
}

static struct rig *open_rig(void)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct err e = { 0 };

	bus.opaque = r;
	assert_int_equal(ram_new(&r->ram, RAM_BYTES, &e), 0);
	assert_int_equal(cpu_model_new(&r->model, "mica-v2", 1, &e), 0);
	assert_int_equal(test_vm_new(&r->vm, &bus, r->ram, r->model, 1, &e), 0);
	assert_int_equal(ram_put(r->ram, BLOB, sys_blob, (u64)(sys_blob_end - sys_blob)), 0);
	if (getenv("SYS_TRACE"))
		cpu_vm_trace(r->vm, TRACE_EXEC | TRACE_EXC);
	return r;
}

static void close_rig(struct rig *r)
{
	cpu_vm_free(r->vm);
	cpu_model_free(r->model);
	ram_free(r->ram);
	free(r);
}

/* At item `at` of a list: `gone` items are not there, or it has another value; CUT: the guest does not get further. */
struct quirk {
	enum { KVM_WAY = 1, TCG = 2 } where;
	unsigned at, gone;
	u32 value;
	bool cut;
};

static bool has(const struct quirk *q)
{
	const char *cpu = getenv("MICA_TEST_CPU");

	return test_engine() != CPU_ENGINE_SOFT && (q->where == KVM_WAY || (cpu && !strcmp(cpu, "tcg")));
}

static unsigned apply(u32 *out, const u32 *want, unsigned n, const struct quirk *q, unsigned nq, bool *cut)
{
	unsigned len = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct quirk *here = NULL;

		for (unsigned k = 0; k < nq; k++)
			if (q[k].at == i && has(&q[k]))
				here = &q[k];
		if (here && here->cut) {
			*cut = true;
			break;
		}
		if (here && here->gone)
			i += here->gone - 1;
		else
			out[len++] = here ? here->value : want[i];
	}
	return len;
}

static void run_and_compare(struct rig *r, const u32 *list, unsigned nlist, const struct quirk *q, unsigned nq)
{
	struct err e = { 0 };
	u32 want[LOG_MAX];
	bool cut = false;
	unsigned n = apply(want, list, nlist, q, nq, &cut);
	enum cpu_exit x = cpu_run(cpu_vm_cpu(r->vm, 0), &e);
	bool same = cut ? r->nlog >= n : x == CPU_EXIT_STOP && r->done && r->nlog == n;

	same = same && !memcmp(r->log, want, n * sizeof(*want));

	if (!same) {
		struct cpu_state s;
		cpu_get_state(cpu_vm_cpu(r->vm, 0), &s);
		print_message("exit %d, ended %d, cs:rip %04x:%llx\n", x, r->done, s.seg[SEG_CS].sel,
			      (unsigned long long)s.rip);
		for (unsigned i = 0; i < MAX(n, r->nlog); i++)
			print_message("%3u: got %8x want %8x%s\n", i, i < r->nlog ? r->log[i] : 0, i < n ? want[i] : 0,
				      i >= n || i >= r->nlog || r->log[i] != want[i] ? "  <--" : "");
	}
	assert_true(same);
}

static struct cpu_seg seg(u16 sel, u32 base, u32 limit, u32 ar)
{
	return (struct cpu_seg){ .sel = sel, .ar = ar, .limit = limit, .base = base };
}

#define AR_CODE64 0xa09b
#define AR_CODE32 0xc09b
#define AR_DATA 0xc093
#define DPL3 0x60
#define EXC(vec, err) ((u32)(vec) << 24 | (err))

static void state64(struct rig *r, struct cpu_state *s, const u8 *entry)
{
	cpu_get_state(cpu_vm_cpu(r->vm, 0), s);
	s->cr0 = 0x80010033;
	s->cr3 = PML4;
	s->cr4 = 0x20 | 0x800; /* PAE, UMIP */
	s->efer = 0x501;
	s->rip = phys(entry);
	s->rflags = 2;
	s->gpr[GPR_RSP] = 0xc000;
	s->gdt_base = GDT;
	s->gdt_limit = 0x5f;
	s->idt_base = IDT;
	s->idt_limit = 16 * 0x83 - 1;
	s->seg[SEG_CS] = seg(0x08, 0, ~0u, AR_CODE64);
	s->seg[SEG_SS] = s->seg[SEG_DS] = s->seg[SEG_ES] = s->seg[SEG_FS] = s->seg[SEG_GS] = seg(0x10, 0, ~0u, AR_DATA);
	s->seg[SEG_TR] = seg(0x30, TSS_A, 0x167, 0x8b);
	s->seg[SEG_LDTR] = seg(0, 0, 0, SEG_AR_UNUSABLE);
}

/* ---- 64-bit kernel ---- */
static void long_mode(void **state)
{
	(void)state;
	struct rig *r = open_rig();
	struct cpu_state s;

	page_tables(r);
	desc(r, 0x08, 0, 0xfffff, AR_CODE64);
	desc(r, 0x10, 0, 0xfffff, AR_DATA);
	desc(r, 0x18, 0, 0xfffff, AR_CODE32 | DPL3);
	desc(r, 0x20, 0, 0xfffff, AR_DATA | DPL3);
	desc(r, 0x28, 0, 0xfffff, AR_CODE64 | DPL3);
	desc(r, 0x30, TSS_A, 0x67 + 0x100, 0x89);
	put64(r, GDT + 0x38, 0);
	gate16b(r, GDT + 0x40, 0x08, phys(gate64), 0xec, 0);
	desc(r, 0x50, 0, 0xfffff, AR_CODE32);
	desc(r, 0x58, 0, 0xfffff, AR_DATA & ~0x80u);
	for (u32 i = 0; i < 0x20; i++)
		gate16b(r, IDT + 16 * i, 0x08, phys(vec64) + 16 * i, i == 3 ? 0xee : 0x8e, 0);
	gate16b(r, IDT + 16 * 0x20, 0x08, phys(int64_81), 0x8e, 0);
	gate16b(r, IDT + 16 * 0x80, 0x08, phys(int64_80), 0xee, 0);
	gate16b(r, IDT + 16 * 0x81, 0x08, phys(int64_81), 0xee, 0);
	gate16b(r, IDT + 16 * 0x82, 0x08, phys(int64_82), 0x8e, 1);
	put64(r, TSS_A + 4, STACK0);
	put64(r, TSS_A + 36, STACK_IST);
	put16(r, TSS_A + 102, 0x68);
	put64(r, TSS_A + 0x68 + (0x70 / 8), 0xff); /* ports 0x70-0x77 */

	struct cpu *c = cpu_vm_cpu(r->vm, 0);
	state64(r, &s, k_long);
	s.star = 0x0018000800000000ull;
	s.lstar = phys(syscall64);
	s.cstar = phys(syscall_compat);
	s.fmask = 0x600;
	s.dr6 = 0xffff0ff0;
	s.dr7 = 0x400;
	put64(r, IDT + 16 * 0x30 + 8, 0); /* gate 0x30: not present */
	put64(r, IDT + 16 * 0x30, 0);
	struct err e = { 0 };
	assert_int_equal(cpu_set_state(c, &s, &e), 0);

	bool amd = cpu_model_is_amd(r->model);
	const u32 want[] = {
		EXC(6, 0),
		EXC(0, 0),
		EXC(3, 0),
		EXC(13, 0),
		EXC(14, 0),
		0x40000000,
		EXC(14, 3),
		0x200000,
		EXC(13, 0x120),
		EXC(11, 0x58),
		EXC(12, 0x58),
		EXC(13, 0x08),
		EXC(13, 0),
		EXC(13, 0),
		EXC(13, 0),
		EXC(13, 0),
		EXC(13, 0x30 * 8 + 2),
		EXC(13, 0),
		EXC(13, 0x10),
		0x55,
		0x50,
		0,
		0x64,
		STACK_IST - 40,
		/* breakpoints: where, after DR6 */
		EXC(1, 0),
		0xffff0ff1,
		0,
		EXC(1, 0),
		0xffff0ff2,
		12,
		EXC(1, 0),
		0xffff2ff0,
		0,
		EXC(1, 0),
		0xffff4ff0,
		1,
		EXC(1, 0),
		0xffff4ff0,
		2,
		EXC(1, 0),
		0xffff4ff0,
		9,
		EXC(1, 0),
		0xffff4ff0,
		10,
		/* ring 3 */
		EXC(13, 0),
		EXC(13, 0),
		EXC(13, 0),
		0x1234,
		EXC(14, 5),
		0x400000,
		EXC(14, 7),
		0x400000,
		EXC(13, 0x20 * 8 + 2),
		EXC(13, 0),
		EXC(13, 0),
		EXC(13, 0),
		0x80,
		0x2b,
		0x23,
		0,
		STACK0 - 40,
		0x5ca11,
		0x00080010,
		0,
		0x9595,
		0x600,
		0x002b0023,
		0x200,
		0x6a7e,
		0x2b,
		0x23,
		0x2b,
		EXC(13, 0),
		/* compatibility mode */
		0x1b,
		0x80,
		0x1b,
		0x23,
		0,
		STACK0 - 40,
		amd ? 0xc57a : EXC(6, 0),
	};
	const u32 last[] = { 0, 0x1b, 0x23, 0x2b, 0x81 };
	u32 all[ARRAY_LEN(want) + ARRAY_LEN(last)];
	unsigned n = ARRAY_LEN(want), skip = amd ? 0 : 1;
	memcpy(all, want, n * sizeof(u32));
	memcpy(all + n, last + skip, (ARRAY_LEN(last) - skip) * sizeof(u32));
	static const struct quirk quirks[] = {
		{ TCG, 15, .gone = 1 },                       /* LSTAR takes anything: exc64 */
		{ TCG, 16, .value = EXC(13, 0x30 * 16 + 2) }, /* INT n past the table: exc64 */
		{ TCG, 30, .gone = 3 },                       /* no general detect: debug64 */
		{ TCG, 53, .value = EXC(13, 0x20 * 16 + 2) }, /* INT n, gate of ring 0: exc64 */
	};
	run_and_compare(r, all, n + ARRAY_LEN(last) - skip, quirks, ARRAY_LEN(quirks));
	close_rig(r);
}

/* ---- interrupts, their shadows, NMIs, shutdown ---- */
static void set64(struct rig *r, const u8 *entry)
{
	struct cpu_state s;
	struct err e = { 0 };

	page_tables(r);
	desc(r, 0x08, 0, 0xfffff, AR_CODE64);
	desc(r, 0x10, 0, 0xfffff, AR_DATA);
	gate16b(r, IDT + 16 * 2, 0x08, phys(int64_nmi), 0x8e, 0);
	gate16b(r, IDT + 16 * 0x40, 0x08, phys(int64_40), 0x8e, 0);
	state64(r, &s, entry);
	assert_int_equal(cpu_set_state(cpu_vm_cpu(r->vm, 0), &s, &e), 0);
}

static void interrupts(void **state)
{
	(void)state;
	struct rig *r = open_rig();

	set64(r, k_intr);
	const u32 want[] = {
		0x40, 0,    0,                             /* STI; HLT */
		1,                                         /* STI; CLI */
		0x40, 0,    0, 2,                          /* STI; NOP; CLI */
		0x40, 0,    0,                             /* with IF on */
		0x40, 0,    0,                             /* POPF */
		0x40, 0,    0,                             /* STI; MOV SS; NOP */
		0x40, 0,    0,                             /* IRET */
		0x2a, 0x2b, 4,                             /* NMIs, one after the other */
		0x40, 0,    3, 0xa4a3a2a1, 0xa6a5, 0x7206, /* REP INSB */
		0xa4, 0xa3,                                /* REP OUTSB, downwards */
	};
	static const struct quirk quirks[] = {
		{ KVM_WAY, 15, .value = ~0u }, /* of two shadows in a row only the first must hold (SDM 2B, STI) */
		{ KVM_WAY, 25, .value = 0 },   /* it reads ahead for REP INS */
	};
	run_and_compare(r, want, ARRAY_LEN(want), quirks, ARRAY_LEN(quirks));
	close_rig(r);
}

static void triple_fault(void **state)
{
	(void)state;
	struct rig *r = open_rig();
	struct err e = { 0 };

	set64(r, k_triple);
	assert_int_equal(cpu_run(cpu_vm_cpu(r->vm, 0), &e), CPU_EXIT_SHUTDOWN);
	close_rig(r);
}

/* ---- 32-bit protected mode ---- */
static void tss32(struct rig *r, u32 at, u32 eip, u32 esp, u32 esi)
{
	put32(r, at + 4, STACK0);
	put32(r, at + 8, 0x10);
	put32(r, at + 32, eip);
	put32(r, at + 36, 2);
	put32(r, at + 56, esp);
	put32(r, at + 64, esi);
	put32(r, at + 72, 0x10);
	put32(r, at + 76, 0x08);
	put32(r, at + 80, 0x10);
	put32(r, at + 84, 0x10);
	put16(r, at + 102, 0x68);
}

static void protected_mode(void **state)
{
	(void)state;
	struct rig *r = open_rig();
	struct cpu_state s;

	desc(r, 0x08, 0, 0xfffff, AR_CODE32 & ~1u);
	desc(r, 0x10, 0, 0xfffff, AR_DATA & ~1u);
	desc(r, 0x18, 0, 0xfffff, AR_CODE32 | DPL3);
	desc(r, 0x20, 0, 0xfffff, AR_DATA | DPL3);
	desc(r, 0x28, TSS_A, 0x8f, 0x8b);
	desc(r, 0x30, TSS_B, 0x67, 0x89);
	gate(r, GDT + 0x38, 0x08, phys(gate32), 0xec, 2);
	gate(r, GDT + 0x40, 0x30, 0, 0x85, 0);
	desc(r, 0x48, 0, 0xfffff, 0xc09e);
	desc(r, 0x58, 0, 0xfffff, AR_DATA & ~0x80u);
	desc(r, 0x68, TSS_DF, 0x67, 0x89);
	desc(r, 0x78, 0, 0xfff, 0x4093);
	for (u32 i = 0; i < 0x20; i++)
		gate(r, IDT + 8 * i, 0x08, phys(vec32) + 16 * i, i == 4 || i == 5 ? 0xee : 0x8e, 0);
	gate(r, IDT + 8 * 8, 0x68, 0, 0x85, 0);
	gate(r, IDT + 8 * 0x20, 0x08, phys(vec32), 0x8e, 0);
	gate(r, IDT + 8 * 0x82, 0x08, phys(int32_82), 0xee, 0);
	tss32(r, TSS_A, 0, 0, 0);
	/* Port 0xe9 is everybody's, by a map that is clear up to the TSS's end (port 0x138). */
	tss32(r, TSS_B, phys(task_b), 0xd000, 0xb0b);
	tss32(r, TSS_DF, phys(task_df), 0xe000, 0);

	struct cpu *c = cpu_vm_cpu(r->vm, 0);
	cpu_get_state(c, &s);
	s.cr0 = 0x33;
	s.rip = phys(k_prot);
	s.rflags = 2;
	s.gpr[GPR_RSP] = 0xc000;
	s.gdt_base = GDT;
	s.gdt_limit = 0x7f;
	s.idt_base = IDT;
	s.idt_limit = 8 * 0x83 - 1;
	s.seg[SEG_CS] = seg(0x08, 0, ~0u, AR_CODE32);
	s.seg[SEG_SS] = s.seg[SEG_DS] = s.seg[SEG_ES] = seg(0x10, 0, ~0u, AR_DATA);
	s.seg[SEG_FS] = seg(0x10, 0, 0xfff, 0x4093);
	s.seg[SEG_GS] = seg(0, 0, 0, SEG_AR_UNUSABLE);
	s.seg[SEG_TR] = seg(0x28, TSS_A, 0x8f, 0x8b);
	s.seg[SEG_LDTR] = seg(0, 0, 0, SEG_AR_UNUSABLE);
	struct err e = { 0 };
	assert_int_equal(cpu_set_state(c, &s, &e), 0);

	const u32 want[] = {
		EXC(6, 0),
		EXC(13, 0),
		EXC(13, 0),
		EXC(13, 0),
		EXC(13, 0),
		EXC(13, 0x30 * 8 + 2),
		EXC(13, 0x54),
		EXC(5, 0),
		EXC(4, 0),
		0x00cf9300,
		0xffffffff,
		0x0001,
		/* tasks */
		0xb0b,
		0x30,
		0xaaaa,
		0x28,
		0x4000,
		0x7a5c,
		0x28,
		8,
		/* ring 3 */
		0,
		0x08,
		0x10,
		0x2222,
		0x1111,
		0x23,
		0x600d,
		0xb000,
		0x4b,
		EXC(13, 0x10),
		EXC(13, 0x20 * 8 + 2),
		/* virtual-8086: INT 10h and HLT fault to the monitor */
		0x82,
		0x55aa,
		0x1000,
		0x1000,
		0x2000,
		0,
		1,
		0xcd,
		0x1000,
		0x2000,
		0,
		1,
		0xf4,
		/* #UD, #SS, #SS on a stack without room: #DF by its own task */
		0xdf,
		0,
		0x68,
	};
	static const struct quirk quirks[] = {
		{ TCG, 1, .gone = 4 },           /* no segment limits, nor access by null selectors: prot32 */
		{ TCG, 9, .value = 0x00c09300 }, /* LAR without bits 19:16 */
		{ TCG, 44, .cut = true },        /* the same: no #SS for the stack's limit */
	};
	run_and_compare(r, want, ARRAY_LEN(want), quirks, ARRAY_LEN(quirks));
	close_rig(r);
}

/* ---- PAE: who loads the PDPTEs checks them ---- */
static void pae(void **state)
{
	(void)state;
	struct rig *r = open_rig();
	struct cpu *c = cpu_vm_cpu(r->vm, 0);
	struct cpu_state s;
	struct err e = { 0 };

	page_tables(r);
	put64(r, 0x5000, 0x6001);
	put64(r, 0x7000, 0x6001);
	put64(r, 0x7018, 0x1e7);
	put64(r, 0x7020, 0x6001);
	put64(r, 0x7038, 0x1e6);
	desc(r, 0x08, 0, 0xfffff, AR_CODE32);
	for (u32 i = 0; i < 0x20; i++)
		gate(r, IDT + 8 * i, 0x08, phys(vec32) + 16 * i, 0x8e, 0);
	cpu_get_state(c, &s);
	s.cr0 = 0x33;
	s.rip = phys(k_pae);
	s.rflags = 2;
	s.gpr[GPR_RSP] = 0xc000;
	s.gdt_base = GDT;
	s.gdt_limit = 0xf;
	s.idt_base = IDT;
	s.idt_limit = 8 * 0x20 - 1;
	s.seg[SEG_CS] = seg(0x08, 0, ~0u, AR_CODE32);
	s.seg[SEG_SS] = s.seg[SEG_DS] = s.seg[SEG_ES] = seg(0x10, 0, ~0u, AR_DATA);
	assert_int_equal(cpu_set_state(c, &s, &e), 0);

	const u32 want[] = { EXC(13, 0), EXC(13, 0), 0x5000, 0x7020, EXC(13, 0), 0x20, EXC(13, 0), EXC(13, 0), 0x33 };
	static const struct quirk quirks[] = {
		{ TCG, 1, .gone = 1 },       /* CR3 loads check no PDPTEs: prot32 */
		{ TCG, 2, .value = 0x7000 }, /* and so change CR3 */
	};
	run_and_compare(r, want, ARRAY_LEN(want), quirks, ARRAY_LEN(quirks));
	close_rig(r);
}

/* ---- reset vector, real, protected, long, and back ---- */
static void all_modes(void **state)
{
	(void)state;
	struct rig *r = open_rig();
	struct cpu *c = cpu_vm_cpu(r->vm, 0);
	struct cpu_state s;
	struct err e = { 0 };

	page_tables(r);
	desc(r, 0x08, 0, 0xfffff, AR_CODE32);
	desc(r, 0x10, 0, 0xfffff, AR_DATA);
	desc(r, 0x58, 0, 0xfffff, AR_CODE64);
	desc(r, 0x60, BLOB, 0xffff, 0x009b);
	desc(r, 0x68, 0, 0xfffff, 0x8093);
	put32(r, 0, (BLOB >> 4) << 16 | (u32)(k_boot_de - sys_blob));
	put32(r, 0x21 * 4, (BLOB >> 4) << 16 | (u32)(k_boot_int - sys_blob));
	cpu_get_state(c, &s);
	assert_int_equal(s.seg[SEG_CS].base + s.rip, 0xfffffff0);
	s.seg[SEG_CS].sel = BLOB >> 4;
	s.seg[SEG_CS].base = BLOB;
	s.rip = (u64)(k_boot - sys_blob);
	assert_int_equal(cpu_set_state(c, &s, &e), 0);

	const u32 want[] = { 0x1000, 0x21212121, 0x9000, 0xdede, 0x08, 0x501, 0x12345678, 0x101, 0x77, 0x21212121 };
	run_and_compare(r, want, ARRAY_LEN(want), NULL, 0);
	close_rig(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(long_mode),      cmocka_unit_test(interrupts), cmocka_unit_test(triple_fault),
		cmocka_unit_test(protected_mode), cmocka_unit_test(pae),        cmocka_unit_test(all_modes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
