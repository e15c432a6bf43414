/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_rig.h - a machine for tests of direct execution.
 *
 * The guest's kernel (direct_guest.S) stops at every entry: the test is the kernel. It looks at the frame, changes it
 * and the page tables, and lets it go on: go().
 */
#ifndef MICA_TEST_DIRECT_RIG_H
#define MICA_TEST_DIRECT_RIG_H

#include "base/clock.h"
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft_options.h"
#include "../fake_bus.h"
#include "../patience.h"
#include "cpu/soft/run/core.h"
#include "cpu/soft/direct/direct.h"
#include "cpu/soft/direct/direct_code.h"
#include "cpu/soft/direct/direct_runner.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <cmocka.h>

#define RAM_BYTES (32 * MIB)
#define GDT 0x1000u
#define IDT 0x2000u
#define TSS(cpu) (0x3000u + 0x100 * (cpu))
#define PERCPU(cpu) (0x4000u + 0x100 * (cpu))
#define STACK(cpu) (0x8000u + 0x1000 * (cpu)) /* its top */
#define STACK_NMI(cpu) (0xb000u + 0x1000 * (cpu))
#define BLOB 0x10000u
#define TABLES 0x100000u
#define FRAME(n) (0x400000u + 0x1000u * (n)) /* pages for users */
#define LARGE(n) (0x1000000u + 0x200000u * (n))
#define KERNEL 0xffff800000000000ull /* physical memory, the supervisor's */
#define CODE 0x400000ull             /* the blob, for users */
#define USTACK 0x7ff000000000ull     /* two pages, and the top */
#define DATA 0x10000000ull
#define SPACES 3u

#define P 1ull
#define W 2ull
#define U 4ull
#define A 0x20ull
#define D 0x40ull
#define PS 0x80ull
#define NX (1ull << 63)

#define DO_INVLPG 1u
#define DO_CR3 2u
#define DO_GLOBAL 4u
#define DO_SYSRET 8u
#define V_SYSCALL 0x100u
#define V_INTR 0x40u

extern const u8 direct_blob[], direct_blob_end[];
extern const u8 k_vectors[], k_nmi[], k_syscall[], k_return[];
extern const u8 u_mix[], u_keep[], u_spin[], u_read[], u_write[], u_rmw[], u_call[], u_bases[], u_fp[], u_x87_error[],
    u_sse_error[], u_int80[], u_int3[], u_int3_long[], u_int3_prefix[], u_int4[], u_int_other[], u_ud2[], u_div[],
    u_hlt[], u_cli[], u_in[], u_mov_cr[], u_rdmsr[], u_icebp[], u_popf_tf[], u_popf_tf_syscall[], u_popf_if[],
    u_sysenter[], u_noncanonical[], u_noncanonical_stack[], u_noncanonical_jump[], u_vsyscall[], u_vsyscall_odd[],
    u_unaligned[], u_compat[], u_cpuid[], u_xgetbv[], u_rdpid[], u_rdpid_rex[], u_xsave[], u_cpuid_loop[],
    u_cpuid_across[], u_xgetbv_across[], u_tsc[], u_smc[], u_smc_loop[], u_writer[], u_executer[], u_fill[], u_jump[],
    u_syscalls[], u_forge[], u_forge_base[], u_stop_again[];

/* What the guest's kernel saves of the user. */
struct frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vec, err, rip, cs, rflags, rsp, ss;
};

#define LOG_MAX 200000
struct rig {
	struct ram *ram;
	struct cpu_vm *vm;
	struct cpu_model *model;
	struct soft_vm *soft;
	bool direct;
	u64 next_table;
	struct frame *frame[2]; /* of the last entry */
	unsigned nlog;
	u64 log[LOG_MAX];
	/* with threads: system calls and interrupts that nobody stops for */
	bool pass_intr;
	_Atomic u64 intr, nmi, entries;
};

/* ---- the machine ---- */

static inline void pio_write(void *o, unsigned cpu, u16 port, unsigned bytes, u32 v)
{
	struct rig *r = o;

	if (port == 0xea) {
		r->nmi++;
		return;
	}
	struct frame *f = (struct frame *)(void *)ram_ptr(r->ram, v, sizeof(*f));
	must(f);
	r->frame[cpu] = f;
	r->entries++;
	if (f->vec == V_INTR) {
		r->intr++;
		if (r->pass_intr)
			return;
	}
	cpu_stop(cpu_vm_cpu(r->vm, cpu));
}
static inline int intr_ack(void *o, unsigned cpu)
{
	struct rig *r = o;

	cpu_set_intr(cpu_vm_cpu(r->vm, cpu), false);
	return V_INTR;
}

static struct cpu_bus bus = { FAKE_BUS, .pio_write = pio_write, .intr_ack = intr_ack };

/* ---- laying out ---- */

static inline u64 at(const u8 *label)
{
	return BLOB + (u64)(label - direct_blob);
}
static inline u64 user(const u8 *label)
{
	return CODE + (u64)(label - direct_blob);
}
static inline u64 *word(struct rig *r, gpa_t gpa)
{
	u64 *p = (u64 *)(void *)ram_ptr(r->ram, gpa, 8);

	assert_non_null(p);
	return p;
}
static inline void put64(struct rig *r, gpa_t gpa, u64 v)
{
	assert_int_equal(ram_put(r->ram, gpa, &v, 8), 0);
}
/* As the guest's kernel would: no device wrote this. */
static inline void set64(struct rig *r, gpa_t gpa, u64 v)
{
	__atomic_store_n(word(r, gpa), v, __ATOMIC_SEQ_CST);
}

static inline gpa_t root(unsigned space)
{
	return TABLES + 0x1000 * space;
}

/* The paging entry of lin in that space, 0 (4 KiB) or 1 (2 MiB) levels up; tables are made as needed. */
static inline gpa_t pte(struct rig *r, unsigned space, u64 lin, unsigned level)
{
	gpa_t table = root(space);

	for (unsigned l = 3; l > level; l--) {
		gpa_t e = table + (lin >> (12 + 9 * l) & 511) * 8;
		u64 v = *word(r, e);
		if (!(v & P)) {
			v = r->next_table | P | W | U;
			r->next_table += 0x1000;
			must(r->next_table < FRAME(0));
			set64(r, e, v);
		}
		table = v & 0xffffffffff000ull;
	}
	return table + (lin >> (12 + 9 * level) & 511) * 8;
}
static inline void map(struct rig *r, unsigned space, u64 lin, gpa_t gpa, u64 bits)
{
	set64(r, pte(r, space, lin, 0), gpa | bits);
}

/* The engine's, which cmocka puts its own in the place of. */
static struct sigaction engine_sigfpe;

static inline struct rig *open_rig_as(const char *model, unsigned ncpus, const struct soft_options *o)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct err e = { 0 };

	bus.opaque = r;
	r->direct = o->direct != SOFT_DIRECT_OFF;
	if (ram_new(&r->ram, RAM_BYTES, &e) < 0 || cpu_model_new(&r->model, model, ncpus, &e) < 0 ||
	    cpu_vm_new_soft(&r->vm, &bus, r->ram, r->model, ncpus, o, &e) < 0)
		fail_msg("%s", e.msg);
	cpu_vm_ready(r->vm);
	if (engine_sigfpe.sa_handler)
		sigaction(SIGFPE, &engine_sigfpe, NULL);
	r->soft = soft_cpu_of(cpu_vm_cpu(r->vm, 0))->vm;
	r->next_table = root(SPACES);
	u64 blob = (u64)(direct_blob_end - direct_blob);
	assert_int_equal(ram_put(r->ram, BLOB, direct_blob, blob), 0);
	put64(r, GDT + 0x08, 0x00af9b000000ffffull); /* code 0 */
	put64(r, GDT + 0x10, 0x00cf93000000ffffull); /* data 0 */
	put64(r, GDT + 0x20, 0x00cffb000000ffffull); /* code 3, 32 bits */
	put64(r, GDT + 0x28, 0x00cff3000000ffffull); /* data 3 */
	put64(r, GDT + 0x30, 0x00affb000000ffffull); /* code 3 */
	for (unsigned v = 0; v < 256; v++) {
		u64 h = KERNEL + (v == 2 ? at(k_nmi) : at(k_vectors) + 16 * v);
		u64 dpl = v == 3 || v == 4 || v == 0x80 ? 3 : 0;
		put64(r, IDT + 16 * v,
		      (h & 0xffff) | 8u << 16 | (u64)(v == 2) << 32 | (0x8eull | dpl << 5) << 40 |
			  (h >> 16 & 0xffff) << 48);
		put64(r, IDT + 16 * v + 8, h >> 32);
	}
	for (unsigned i = 0; i < ncpus; i++) {
		put64(r, TSS(i) + 4, KERNEL + STACK(i));
		put64(r, TSS(i) + 36, KERNEL + STACK_NMI(i));
		put64(r, TSS(i) + 100, 0x680000);
		put64(r, PERCPU(i) + 8, KERNEL + STACK(i));
	}
	/* Physical memory for the kernel, the same in all. */
	gpa_t pdpt = r->next_table, pd = pdpt + 0x1000;
	r->next_table += 0x2000;
	set64(r, pdpt, pd | P | W);
	for (unsigned i = 0; i < RAM_BYTES / (2 * MIB); i++)
		set64(r, pd + 8 * i, (u64)i << 21 | P | W | A | D | PS);
	for (unsigned s = 0; s < SPACES; s++) {
		set64(r, root(s) + 8 * 256, pdpt | P | W);
		for (u64 off = 0; off < blob; off += 0x1000)
			map(r, s, CODE + off, BLOB + off, P | U);
		map(r, s, USTACK - 0x1000, FRAME(900 + 2 * s), P | W | U | NX);
		map(r, s, USTACK - 0x2000, FRAME(901 + 2 * s), P | W | U | NX);
	}
	return r;
}

static inline struct rig *open_rig(const char *model, unsigned ncpus, bool direct)
{
	struct soft_options o = { .direct = direct ? SOFT_DIRECT_ALWAYS : SOFT_DIRECT_OFF,
				  .translate = direct ? SOFT_TRANSLATE_ON : SOFT_TRANSLATE_OFF };

	return open_rig_as(model, ncpus, &o);
}

static inline void close_rig(struct rig *r)
{
	cpu_vm_free(r->vm);
	cpu_model_free(r->model);
	ram_free(r->ram);
	free(r);
}

static inline struct soft_cpu *cpu_of(struct rig *r, unsigned cpu)
{
	return soft_cpu_of(cpu_vm_cpu(r->vm, cpu));
}
static inline const struct direct_stats *stats(struct rig *r)
{
	return &cpu_of(r, 0)->direct.st;
}
static inline u64 stops(struct rig *r, enum direct_exit why)
{
	return stats(r)->exit[why];
}

static inline struct cpu_seg seg(u16 sel, u32 ar, u64 base, u32 limit)
{
	return (struct cpu_seg){ .sel = sel, .ar = ar, .limit = limit, .base = base };
}

/* The vCPU is about to return to user code at `rip` in that space; the frame it returns to. */
static inline struct frame *enter(struct rig *r, unsigned cpu, unsigned space, u64 rip)
{
	static struct cpu_state s;
	struct cpu *c = cpu_vm_cpu(r->vm, cpu);
	struct err e = { 0 };
	struct frame *f = (struct frame *)(void *)ram_ptr(r->ram, STACK(cpu) - sizeof(*f), sizeof(*f));
	bool avx = cpu_model_xcr0(r->model) & 4;

	*f = (struct frame){ .rip = rip, .cs = 0x33, .ss = 0x2b, .rflags = 0x202, .rsp = USTACK - 0x100 - 0x800 * cpu };
	r->frame[cpu] = f;
	cpu_get_state(c, &s);
	s.cr0 = 0x80050033;
	s.cr3 = root(space) | space;
	s.cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE;
	s.xcr0 = avx ? 7 : 3;
	s.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	s.star = 0x0023000800000000ull;
	s.lstar = KERNEL + at(k_syscall);
	s.fmask = 0x47700;
	s.rip = KERNEL + at(k_return);
	s.rflags = 2;
	s.gpr[GPR_RSP] = KERNEL + STACK(cpu) - sizeof(*f);
	s.gdt_base = KERNEL + GDT;
	s.gdt_limit = 0x47;
	s.idt_base = KERNEL + IDT;
	s.idt_limit = 4095;
	s.dr6 = 0xffff0ff0;
	s.dr7 = 0x400;
	s.tsc_aux = 0x1234;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		s.seg[i] = seg(0, SEG_AR_UNUSABLE, 0, 0);
	s.seg[SEG_CS] = seg(0x08, 0xa09b, 0, ~0u);
	s.seg[SEG_SS] = seg(0x10, 0xc093, 0, ~0u);
	s.seg[SEG_TR] = seg(0x38, 0x8b, KERNEL + TSS(cpu), 0x67);
	s.seg[SEG_GS].base = KERNEL + PERCPU(cpu);
	s.kernel_gs_base = 0;
	s.run_state = CPU_RUNNING;
	s.tsc = 0;
	if (cpu_set_state(c, &s, &e) < 0)
		fail_msg("%s", e.msg);
	return f;
}

/* To the next entry into the guest's kernel. */
static inline struct frame *go(struct rig *r, unsigned cpu)
{
	struct err e = { 0 };
	u64 was = r->entries;
	enum cpu_exit how;

	do
		how = cpu_run(cpu_vm_cpu(r->vm, cpu), &e);
	while (how == CPU_EXIT_STOP && r->entries == was);
	if (how != CPU_EXIT_STOP)
		fail_msg("the guest ended: %d", how);
	return r->frame[cpu];
}
/* What it does before it returns: DO_*. */
static inline void kernel_does(struct rig *r, unsigned cpu, u64 what, u64 lin, u64 cr3)
{
	set64(r, PERCPU(cpu) + 16, what);
	set64(r, PERCPU(cpu) + 24, lin);
	set64(r, PERCPU(cpu) + 32, cr3);
}

/* ---- notes ---- */

static inline void note(struct rig *r, u64 v)
{
	must(r->nlog < LOG_MAX);
	r->log[r->nlog++] = v;
}
/* All that the guest's kernel sees of the user. */
static inline void note_frame(struct rig *r, unsigned cpu, const struct frame *f)
{
	u64 v[sizeof(*f) / 8];

	memcpy(v, f, sizeof(*f));
	for (unsigned i = 0; i < ARRAY_LEN(v); i++)
		note(r, v[i]);
	if (f->vec == EXC_PF)
		note(r, cpu_of(r, cpu)->cr2);
}
static inline void note_bytes(struct rig *r, gpa_t gpa, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i += 8)
		note(r, *word(r, gpa + i));
}

static bool have_avx;
static const char *why_not; /* there is no direct execution here, see rig_begin() */

static inline void need(void)
{
	if (why_not) {
		print_message("skipped: %s\n", why_not);
		skip();
	}
}

static inline void too_long(int sig)
{
	static const char text[] = "this test hangs\n";
	ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)sig;
	(void)n;
	_exit(1);
}

/* Code that is written while the machine runs: MOV EAX, 0; RET. */
static const u8 mov_ret[] __attribute__((unused)) = { 0xb8, 0, 0, 0, 0, 0xc3 };

/* What user code reads there, or 0xf000 and the page fault's error code. */
static inline u64 reads(struct rig *r, u64 lin)
{
	struct frame *f = r->frame[0];

	f->rip = user(u_read);
	f->rdi = lin;
	f = go(r, 0);
	note_frame(r, 0, f);
	return f->vec == V_SYSCALL ? f->rax : f->vec == EXC_PF ? 0xf000 + f->err : 0xe000;
}
/* It writes its address there: 0, or as above. */
static inline u64 writes(struct rig *r, u64 lin)
{
	struct frame *f = r->frame[0];

	f->rip = user(u_write);
	f->rdi = lin;
	f->rax = lin;
	f = go(r, 0);
	note_frame(r, 0, f);
	return f->vec == V_SYSCALL ? 0 : f->vec == EXC_PF ? 0xf000 + f->err : 0xe000;
}

/* At the beginning of a program: what its tests need to know of the host. */
static inline void rig_begin(void)
{
	struct rig *r = open_rig("mica-v3", 1, true);

	sigaction(SIGFPE, NULL, &engine_sigfpe);
	have_avx = cpu_model_xcr0(r->model) & 4;
	if (!r->soft->direct.n)
		why_not = r->soft->direct.why;
	close_rig(r);
	signal(SIGALRM, too_long);
	alarm((unsigned)patient(100));
}

#endif
