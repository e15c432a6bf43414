/* SPDX-License-Identifier: GPL-2.0-or-later */
/* harness.c - see harness.h. */
#include "harness.h"
#include "cpu/cpu.h"

#include <Zydis/Zydis.h>
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

/* ---- native ---- */

static struct {
	u64 gpr[16], rip, rflags;
} enter_state;
static u8 xarea[4096] __attribute__((aligned(64)));
static sigjmp_buf back;
static struct hx_state *got;
static bool have_avx;

/* A signal ended the test code: its frame holds the whole state. */
static void on_signal(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;
	const greg_t *g = uc->uc_mcontext.gregs;
	static const int map[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				     REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

	/* The test code's EFLAGS.AC is still on in here. */
	__asm__ volatile("pushfq\n\tandl $~0x40000, (%%rsp)\n\tpopfq" : : : "cc", "memory");
	(void)sig;
	(void)si;
	if (!got) {
		fprintf(stderr, "signal %d in the engine: rip %llx, address %llx, rax %llx rcx %llx rsp %llx\n", sig,
			(unsigned long long)g[REG_RIP], (unsigned long long)(uintptr_t)si->si_addr,
			(unsigned long long)g[REG_RAX], (unsigned long long)g[REG_RCX], (unsigned long long)g[REG_RSP]);
		if (getenv("DIFFTEST_ABORT")) {
			signal(sig, SIG_DFL);
			return;
		}
		_exit(99);
	}
	for (unsigned i = 0; i < 16; i++)
		got->gpr[i] = (u64)g[map[i]];
	got->rip = (u64)g[REG_RIP];
	got->rflags = (u64)g[REG_EFL];
	got->vec = (unsigned)g[REG_TRAPNO];
	got->error = (u64)g[REG_ERR];
	got->cr2 = (u64)g[REG_CR2];
	const u8 *fx = (const u8 *)uc->uc_mcontext.fpregs;
	memcpy(got->fx, fx, 512);
	for (unsigned i = 0; i < 16; i++) {
		memcpy(got->ymm[i], fx + 160 + 16 * i, 16);
		/* XSTATE_BV says whether the upper halves are there; if not they are zero */
		if (have_avx && (ld_le64(fx + 512) & 4))
			memcpy(got->ymm[i] + 16, fx + 576 + 16 * i, 16);
		else
			memset(got->ymm[i] + 16, 0, 16);
	}
	siglongjmp(back, 1);
}

/* Bytes run from their middle may loop for ever. */
static volatile unsigned ticks;
static void on_tick(int sig)
{
	__asm__ volatile("pushfq\n\tandl $~0x40000, (%%rsp)\n\tpopfq" : : : "cc", "memory");
	(void)sig;
	ticks++;
	if (got && ticks >= 3) {
		got->vec = HX_ENDLESS;
		siglongjmp(back, 1);
	}
	if (ticks > 200) {
		static const char text[] = "the engine does not end what the host CPU ended\n";
		ssize_t r = write(STDOUT_FILENO, text, sizeof(text) - 1);
		(void)r;
		_exit(1);
	}
}

static noreturn_ void enter(void)
{
	/* RSP last but one, RIP through a jump to memory. Flags by POPF before. */
	__asm__ volatile("movq %[x], %%rdi\n\t"
			 "movl $7, %%eax\n\txorl %%edx, %%edx\n\t"
			 "cmpb $0, %[avx]\n\tje 1f\n\txrstor (%%rdi)\n\tjmp 2f\n"
			 "1:\tfxrstor (%%rdi)\n"
			 "2:\tleaq %[s], %%rax\n\t"
			 "pushq 136(%%rax)\n\tpopfq\n\t"
			 "movq 8(%%rax), %%rcx\n\tmovq 16(%%rax), %%rdx\n\tmovq 24(%%rax), %%rbx\n\t"
			 "movq 40(%%rax), %%rbp\n\tmovq 48(%%rax), %%rsi\n\tmovq 56(%%rax), %%rdi\n\t"
			 "movq 64(%%rax), %%r8\n\tmovq 72(%%rax), %%r9\n\tmovq 80(%%rax), %%r10\n\t"
			 "movq 88(%%rax), %%r11\n\tmovq 96(%%rax), %%r12\n\tmovq 104(%%rax), %%r13\n\t"
			 "movq 112(%%rax), %%r14\n\tmovq 120(%%rax), %%r15\n\tmovq 32(%%rax), %%rsp\n\t"
			 "movq 0(%%rax), %%rax\n\tjmp *%[rip]\n"
			 :
			 : [x] "r"(xarea), [s] "m"(enter_state), [avx] "m"(have_avx), [rip] "m"(enter_state.rip)
			 : "memory");
	__builtin_unreachable();
}

void hx_native(const u8 *code, unsigned n, unsigned off, const struct hx_state *in, struct hx_state *out)
{
	u8 *p = (u8 *)(uintptr_t)HX_CODE + off;

	memset((void *)(uintptr_t)HX_CODE, 0xcc, HX_CODE_BYTES);
	memcpy(p, code, n);
	mprotect((void *)(uintptr_t)(HX_DATA + HX_DATA_RW), 4096, PROT_READ | PROT_WRITE);
	memcpy((void *)(uintptr_t)HX_DATA, in->data, HX_DATA_BYTES);
	mprotect((void *)(uintptr_t)(HX_DATA + HX_DATA_RW), 4096, PROT_READ);
	memcpy(enter_state.gpr, in->gpr, sizeof(in->gpr));
	enter_state.rip = HX_CODE + off;
	enter_state.rflags = in->rflags;
	memcpy(xarea, in->fx, 512);
	memset(xarea + 512, 0, 64);
	st_le64(xarea + 512, 7);
	for (unsigned i = 0; i < 16; i++) {
		memcpy(xarea + 160 + 16 * i, in->ymm[i], 16);
		memcpy(xarea + 576 + 16 * i, in->ymm[i] + 16, 16);
	}
	/* The engine has a SIGFPE handler of its own. */
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK }, old;
	must(sigaction(SIGFPE, &sa, &old) == 0);
	ticks = 0;
	got = out;
	if (!sigsetjmp(back, 1))
		enter();
	got = NULL;
	ticks = 0;
	must(sigaction(SIGFPE, &old, NULL) == 0);
	__asm__ volatile("cld; fninit; emms");
	if (have_avx)
		__asm__ volatile("vzeroupper");
	u32 mxcsr = 0x1f80;
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	memcpy(out->data, (void *)(uintptr_t)HX_DATA, HX_DATA_BYTES);
}

/* ---- engine ---- */

/*
 * Guest memory: 0x1000.. page tables, GDT, IDT, TSS; 0x100000 code; 0x200000 data. Every IDT gate is an
 * interrupt gate through IST1 to a HLT of its own, so that the vector is known from where it stopped.
 */
#define G_PML4 0x1000u
#define G_PDPT 0x2000u
#define G_PD0 0x3000u
#define G_PT0 0x4000u
#define G_PTC 0x5000u
#define G_PTD 0x6000u
#define G_GDT 0x7000u
#define G_IDT 0x8000u
#define G_TSS 0x9000u
#define G_STUBS 0xa000u
#define G_STACK 0xc000u /* top of IST1 */
#define G_IRETQ (G_STUBS + 32 * 16) /* and what it takes from its stack, G_FRAME */
#define G_FRAME 0xb000u
#define G_CODE 0x100000u
#define G_DATA 0x200000u

static struct ram *ram;
static struct cpu_vm *vm;
static struct cpu *cpu;
static struct cpu_model *model;
static bool by_kernel; /* direct execution begins at returns to CPL 3 */

static u64 no_mmio_read(void *o, unsigned c, gpa_t g, unsigned n)
{
	(void)o, (void)c, (void)g, (void)n;
	return ~0ull;
}
static void no_mmio_write(void *o, unsigned c, gpa_t g, unsigned n, u64 v)
{
	(void)o, (void)c, (void)g, (void)n, (void)v;
}
static u32 no_pio_read(void *o, unsigned c, u16 p, unsigned n)
{
	(void)o, (void)c, (void)p, (void)n;
	return ~0u;
}
static void no_pio_write(void *o, unsigned c, u16 p, unsigned n, u32 v)
{
	(void)o, (void)c, (void)p, (void)n, (void)v;
}
static int no_ack(void *o, unsigned c)
{
	(void)o, (void)c;
	return -1;
}
static bool no_msr_read(void *o, unsigned c, u32 m, u64 *v)
{
	(void)o, (void)c, (void)m, (void)v;
	return false;
}
static bool no_msr_write(void *o, unsigned c, u32 m, u64 v)
{
	(void)o, (void)c, (void)m, (void)v;
	return false;
}
static u8 no_tpr(void *o, unsigned c)
{
	(void)o, (void)c;
	return 0;
}
static void no_set_tpr(void *o, unsigned c, u8 v)
{
	(void)o, (void)c, (void)v;
}
static s64 no_call(void *o, unsigned c, u64 nr, const u64 a[4])
{
	(void)o, (void)c, (void)nr, (void)a;
	return -1000;
}
static u64 on_park(void *o, unsigned c)
{
	(void)o, (void)c;
	cpu_stop(cpu); /* HLT: the test is over */
	return UINT64_MAX;
}
static void on_unpark(void *o, unsigned c)
{
	(void)o, (void)c;
}
static const struct cpu_bus bus = {
	.mmio_read = no_mmio_read,
	.mmio_write = no_mmio_write,
	.pio_read = no_pio_read,
	.pio_write = no_pio_write,
	.intr_ack = no_ack,
	.msr_read = no_msr_read,
	.msr_write = no_msr_write,
	.tpr_get = no_tpr,
	.tpr_set = no_set_tpr,
	.hypercall = no_call,
	.park = on_park,
	.unpark = on_unpark,
};

static void put64(u32 gpa, unsigned i, u64 v)
{
	must(ram_put(ram, gpa + 8 * i, &v, 8) == 0);
}

static void engine_init(const struct soft_options *o)
{
	struct err e = { 0 };

	must(ram_new(&ram, 16 * MIB, &e) == 0);
	if (cpu_model_new(&model, "host", 1, &e) < 0 || cpu_vm_new_soft(&vm, &bus, ram, model, 1, o, &e) < 0) {
		fprintf(stderr, "%s\n", e.msg);
		exit(1);
	}
	cpu_vm_ready(vm);
	by_kernel = o && o->direct == SOFT_DIRECT_ALWAYS;
	cpu = cpu_vm_cpu(vm, 0);
	put64(G_PML4, 0, G_PDPT | 7);
	put64(G_PDPT, 0, G_PD0 | 7);
	put64(G_PD0, 0, G_PT0 | 3);
	for (unsigned i = 1; i < 16; i++)
		put64(G_PT0, i, (u64)i << 12 | 3);
	put64(G_PD0, HX_CODE >> 21, G_PTC | 7);
	for (unsigned i = 0; i < HX_CODE_BYTES / 4096; i++)
		put64(G_PTC, i, (G_CODE + i * 4096) | 7);
	put64(G_PD0, HX_DATA >> 21, G_PTD | 7);
	for (unsigned i = 0; i < HX_DATA_BYTES / 4096; i++)
		put64(G_PTD, i, (G_DATA + i * 4096) | (i * 4096 < HX_DATA_RW ? 7 : 5) | 1ull << 63);
	put64(G_GDT, 1, 0x00af9b000000ffffull); /* 08: code 0 */
	put64(G_GDT, 2, 0x00cf93000000ffffull); /* 10: data 0 */
	/* The selectors Linux gives its user code, so that what stores one gets the same. */
	put64(G_GDT, 5, 0x00cff3000000ffffull); /* 28: data 3 */
	put64(G_GDT, 6, 0x00affb000000ffffull); /* 30: code 3 */
	put64(G_GDT, 7, 0x00008b0000000067ull | (u64)G_TSS << 16);
	u64 ist = G_STACK;
	must(ram_put(ram, G_TSS + 4, &ist, 8) == 0);
	must(ram_put(ram, G_TSS + 36, &ist, 8) == 0);
	u16 no_io_map = 0x68;
	must(ram_put(ram, G_TSS + 102, &no_io_map, 2) == 0);
	for (unsigned v = 0; v < 32; v++) {
		u64 h = G_STUBS + v * 16, dpl = v == 3 || v == 4 ? 3 : 0;
		put64(G_IDT, 2 * v,
		      (h & 0xffff) | 0x08ull << 16 | 1ull << 32 | (0x8eull | dpl << 5) << 40 | (h >> 16) << 48);
		put64(G_IDT, 2 * v + 1, 0);
		static const u8 stub[2] = { 0xf4, 0xf4 }; /* HLT */
		must(ram_put(ram, (gpa_t)h, stub, 2) == 0);
	}
	static const u8 iretq[2] = { 0x48, 0xcf };
	must(ram_put(ram, G_IRETQ, iretq, 2) == 0);
}

void hx_engine(const u8 *code, unsigned n, unsigned off, const struct hx_state *in, struct hx_state *out)
{
	u8 page[HX_CODE_BYTES];

	memset(page, 0xcc, sizeof(page));
	memcpy(page + off, code, n);
	must(ram_put(ram, G_CODE, page, sizeof(page)) == 0);
	hx_engine_again(off, in, out);
}

void hx_engine_again(unsigned off, const struct hx_state *in, struct hx_state *out)
{
	static struct cpu_state s;
	struct err e = { 0 };

	must(ram_put(ram, G_DATA, in->data, HX_DATA_BYTES) == 0);
	memset(&s, 0, sizeof(s));
	memcpy(s.gpr, in->gpr, sizeof(s.gpr));
	s.rip = HX_CODE + off;
	s.rflags = in->rflags | 2;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		s.seg[i] = (struct cpu_seg){ .ar = SEG_AR_UNUSABLE };
	s.seg[SEG_SS] = (struct cpu_seg){ .sel = 0x2b, .ar = 0xc0f3, .limit = ~0u };
	s.seg[SEG_CS] = (struct cpu_seg){ .sel = 0x33, .ar = 0xa0fb, .limit = ~0u };
	/* Thread-local storage of the host's side, should a test come by it. */
	s.seg[SEG_FS].base = (u64)(uintptr_t)__builtin_thread_pointer();
	s.seg[SEG_LDTR] = (struct cpu_seg){ .ar = SEG_AR_UNUSABLE };
	s.seg[SEG_TR] = (struct cpu_seg){ .sel = 0x38, .ar = 0x8b, .limit = 0x67, .base = G_TSS };
	s.gdt_base = G_GDT;
	s.gdt_limit = 8 * 8 + 7;
	s.idt_base = G_IDT;
	s.idt_limit = 32 * 16 - 1;
	s.cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
	s.cr3 = G_PML4;
	s.cr4 = 0x50620 | 0x80; /* OSXSAVE OSXMMEXCPT OSFXSR PGE PAE */
	if (!have_avx)
		s.cr4 &= ~0x40000ull;
	s.xcr0 = have_avx ? 7 : 3;
	s.efer = 0xd01; /* NXE LMA LME SCE */
	s.dr6 = 0xffff0ff0;
	s.dr7 = 0x400;
	s.pat = 0x0007040600070406ull;
	memcpy(s.xsave, in->fx, 512);
	memset(s.xsave + 512, 0, 64);
	st_le64(s.xsave + 512, have_avx ? 7 : 3);
	for (unsigned i = 0; i < 16; i++) {
		memcpy(s.xsave + 160 + 16 * i, in->ymm[i], 16);
		memcpy(s.xsave + 576 + 16 * i, in->ymm[i] + 16, 16);
	}
	if (by_kernel) {
		u64 f[5] = { s.rip, s.seg[SEG_CS].sel, s.rflags, s.gpr[GPR_RSP], s.seg[SEG_SS].sel };
		must(ram_put(ram, G_FRAME, f, sizeof(f)) == 0);
		s.seg[SEG_SS] = (struct cpu_seg){ .sel = 0x10, .ar = 0xc093, .limit = ~0u };
		s.seg[SEG_CS] = (struct cpu_seg){ .sel = 0x08, .ar = 0xa09b, .limit = ~0u };
		s.rip = G_IRETQ;
		s.rflags = 2;
		s.gpr[GPR_RSP] = G_FRAME;
	}
	if (cpu_set_state(cpu, &s, &e) < 0) {
		fprintf(stderr, "set_state: %s\n", e.msg);
		exit(1);
	}
	enum cpu_exit x = cpu_run(cpu, &e);
	cpu_get_state(cpu, &s);
	memcpy(out->gpr, s.gpr, sizeof(out->gpr));
	if (x != CPU_EXIT_STOP) {
		out->vec = 100 + (unsigned)x;
		out->rip = s.rip;
	} else {
		out->vec = (unsigned)(s.rip - G_STUBS) / 16;
		u64 sp = s.gpr[GPR_RSP], f[6] = { 0 };
		bool has_error = out->vec == 8 || (out->vec >= 10 && out->vec <= 14) || out->vec == 17;
		must(ram_get(ram, sp, f, has_error ? 48 : 40) == 0);
		u64 *q = f;
		out->error = has_error ? *q++ : 0;
		out->rip = q[0];
		out->rflags = q[2];
		out->gpr[GPR_RSP] = q[3];
	}
	out->cr2 = s.cr2;
	memcpy(out->fx, s.xsave, 512);
	for (unsigned i = 0; i < 16; i++) {
		memcpy(out->ymm[i], s.xsave + 160 + 16 * i, 16);
		memcpy(out->ymm[i] + 16, s.xsave + 576 + 16 * i, 16);
	}
	must(ram_get(ram, G_DATA, out->data, HX_DATA_BYTES) == 0);
}

/* ---- both ---- */

void hx_decoder(ZydisDecoder *d)
{
	static unsigned vendor; /* asked once: CPUID may trap, which is slow */
	unsigned a, c, x;

	if (!vendor)
		__cpuid(0, a, vendor, c, x);
	must(ZYAN_SUCCESS(ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)));
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_AMD_BRANCHES, vendor != 0x756e6547u ? ZYAN_TRUE : ZYAN_FALSE);
}

bool hx_have_avx(void)
{
	return have_avx;
}

void hx_init(const struct soft_options *o)
{
	unsigned a, b, c, d;

	__cpuid(1, a, b, c, d);
	have_avx = (c >> 27 & 1) && (c >> 28 & 1);
	must(mmap((void *)(uintptr_t)HX_CODE, HX_CODE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED);
	must(mmap((void *)(uintptr_t)HX_DATA, HX_DATA_BYTES, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED);
	static u8 stack[65536];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
	must(sigaltstack(&ss, NULL) == 0);
	engine_init(o); /* its own SIGFPE handler first: ours replaces it while native code runs */
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct sigaction tick = { .sa_handler = on_tick, .sa_flags = SA_ONSTACK | SA_RESTART };
	struct itimerval it = { { 0, 100000 }, { 0, 100000 } };
	must(sigaction(SIGALRM, &tick, NULL) == 0 && setitimer(ITIMER_REAL, &it, NULL) == 0);
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGILL, SIGTRAP };
	for (unsigned i = 0; i < ARRAY_LEN(sigs); i++)
		must(sigaction(sigs[i], &sa, NULL) == 0);
}

static const char *const sets[] = {
	"I86",   "I186",  "I286REAL",   "I386",         "I486REAL",     "I486",          "PENTIUMREAL", "PENTIUMMMX",
	"PPRO",  "CMOV",  "LONGMODE",   "FAT_NOP",      "PREFETCH_NOP", "PPRO_UD0_LONG", "LAHF",        "X87",
	"FCMOV", "FCOMI", "SSE3X87",    "MMX",          "SSE",          "SSEMXCSR",      "SSE2",        "SSE2MMX",
	"SSE3",  "SSSE3", "SSSE3MMX",   "SSE4",         "SSE42",        "POPCNT",        "BMI1",        "BMI2",
	"LZCNT", "MOVBE", "AES",        "PCLMULQDQ",    "AVX",          "AVX2",          "AVX2GATHER",  "AVXAES",
	"FMA",   "F16C",  "CMPXCHG16B", "SSE_PREFETCH",
};

bool hx_wanted(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	const char *set = ZydisISASetGetString(in->meta.isa_set);
	bool ok = false;

	static s8 known[ZYDIS_ISA_SET_MAX_VALUE + 1]; /* 0: not asked yet */
	s8 *k = &known[in->meta.isa_set];

	if (!*k) {
		for (unsigned i = 0; i < ARRAY_LEN(sets) && !ok; i++)
			ok = set && !strcmp(set, sets[i]);
		*k = ok ? 1 : -1;
	}
	ok = *k > 0;
	if (!ok)
		return false;
	for (unsigned i = 0; i < in->operand_count; i++)
		if (ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(ops[i].reg.value) == ZYDIS_REGCLASS_SEGMENT)
			return false;
	if (in->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return false;
	if (in->mnemonic == ZYDIS_MNEMONIC_MOVSXD && in->operand_width == 16)
		return false; /* reads two bytes on Intel, four on AMD */
	if (in->attributes & (ZYDIS_ATTRIB_HAS_SEGMENT_FS | ZYDIS_ATTRIB_HAS_SEGMENT_GS))
		return false;
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_LOOPE: /* some processors let a REP prefix choose the condition */
	case ZYDIS_MNEMONIC_LOOPNE:
		for (unsigned i = 0; i < in->raw.prefix_count; i++)
			if (in->raw.prefixes[i].value == 0xf2 || in->raw.prefixes[i].value == 0xf3)
				return false;
		return true;
	case ZYDIS_MNEMONIC_MASKMOVQ: /* CR2: the operand's start or its first enabled byte, as models differ */
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
	case ZYDIS_MNEMONIC_INT:
	case ZYDIS_MNEMONIC_INT1:
	case ZYDIS_MNEMONIC_INT3:
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFQ:
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
	case ZYDIS_MNEMONIC_SYSCALL:
	case ZYDIS_MNEMONIC_SYSENTER:
	case ZYDIS_MNEMONIC_SYSEXIT:
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDPMC:
	case ZYDIS_MNEMONIC_LAR:
	case ZYDIS_MNEMONIC_LSL:
	case ZYDIS_MNEMONIC_VERR:
	case ZYDIS_MNEMONIC_VERW:
	case ZYDIS_MNEMONIC_SGDT:
	case ZYDIS_MNEMONIC_SIDT:
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_SMSW:
	case ZYDIS_MNEMONIC_STR:
	case ZYDIS_MNEMONIC_RSM:
	case ZYDIS_MNEMONIC_FXSAVE: /* instruction pointers of both sides differ: tested on their own */
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FLDCW: /* unmasked exceptions come at the harness's own x87 use */
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
	case ZYDIS_MNEMONIC_WBINVD:
	case ZYDIS_MNEMONIC_INVD:
	case ZYDIS_MNEMONIC_HLT:
		return false;
	default:
		return true;
	}
}

void hx_disasm(FILE *f, const u8 *code, unsigned n, u64 rip)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecoder dec;
	ZydisFormatter fmt;
	unsigned off = 0;
	char text[128];

	hx_decoder(&dec);
	ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
	while (off < n && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, code + off, n - off, &in, ops))) {
		ZydisFormatterFormatInstruction(&fmt, &in, ops, in.operand_count_visible, text, sizeof(text), rip + off,
						NULL);
		fprintf(f, "  %-48s ; ", text);
		for (unsigned i = 0; i < in.length; i++)
			fprintf(f, " %02x", code[off + i]);
		fputc('\n', f);
		off += in.length;
	}
}

struct cpu *hx_cpu(void)
{
	return cpu;
}

void hx_stats(FILE *f)
{
	cpu_vm_stats(vm, f);
}
