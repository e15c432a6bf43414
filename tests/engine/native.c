/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * native.c - the host CPU's side of harness.h: enter a few bytes of code with every register chosen, in 64-, 32- or
 * 16-bit code, and catch what ends it.
 *
 * Code is entered by IRETQ and left by a signal, whose frame holds the registers. What the frame leaves out is the
 * harness's own business: the segment registers are read first thing in the handler, and FS's base, on which the C
 * library lives, is put back before anything else happens, where the code may have changed it. Handlers run with no
 * signal blocked (SA_NODEFER), so that leaving them by a jump costs no system call.
 *
 * 32-bit code runs in the flat segments that Linux has for it, 16-bit code in segments of a local descriptor table:
 * HX_SEL16_*, which modify_ldt(2) makes. Where the kernel has no such segments there is no such code (hx_have_bits()).
 */
#include "native.h"

#include <asm/ldt.h>
#include <asm/prctl.h>
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>

/* Offsets are known to enter(). */
static struct {
	u64 gpr[16];
	u64 rip, cs, rflags, rsp, ss; /* 128: what IRETQ takes */
	u64 ds, es, fs, gs;           /* 168 */
	bool touch_fs;                /* FS and GS are to be given their values, and FS its own afterwards */
} enter_state;
static u8 xarea[4096] __attribute__((aligned(64)));
static void *back[5];
static struct hx_state *got;
static bool have_avx, have_32, have_16;
static u64 own_fs;
static struct sigaction engine_fpe;

#if defined(__has_attribute)
#if __has_attribute(no_stack_protector)
#define NO_TLS __attribute__((no_stack_protector, noinline))
#endif
#endif
#ifndef NO_TLS
#define NO_TLS __attribute__((noinline))
#endif

static inline long sys_prctl(long code, u64 v)
{
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"((long)SYS_arch_prctl), "D"(code), "S"(v) : "rcx", "r11", "memory");
	return r;
}

/* The test code's EFLAGS.AC and NT may still be on in a handler. */
#define PLAIN_FLAGS() __asm__ volatile("pushq $0x202\n\tpopfq" : : : "cc", "memory")

static void collect(const ucontext_t *uc, const u16 sel[4])
{
	const greg_t *g = uc->uc_mcontext.gregs;
	static const int map[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				     REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

	for (unsigned i = 0; i < 16; i++)
		got->gpr[i] = (u64)g[map[i]];
	got->rip = (u64)g[REG_RIP];
	got->rflags = (u64)g[REG_EFL];
	got->vec = (unsigned)g[REG_TRAPNO];
	got->error = (u64)g[REG_ERR];
	got->cr2 = (u64)g[REG_CR2];
	got->sel[SEG_CS] = (u16)((u64)g[REG_CSGSFS] & 0xffff);
	got->sel[SEG_SS] = (u16)((u64)g[REG_CSGSFS] >> 48);
	got->sel[SEG_DS] = sel[0];
	got->sel[SEG_ES] = sel[1];
	got->sel[SEG_FS] = sel[2];
	got->sel[SEG_GS] = sel[3];
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
}

/* A signal ended the test code: its frame holds the whole state. */
static NO_TLS void on_signal(int sig, siginfo_t *si, void *ctx)
{
	u16 sel[4];

	if (!got) {
		ucontext_t *uc = ctx;
		const greg_t *g = uc->uc_mcontext.gregs;
		if (sig == SIGFPE && (engine_fpe.sa_flags & SA_SIGINFO) && engine_fpe.sa_sigaction) {
			engine_fpe.sa_sigaction(sig, si, ctx);
			return;
		}
		fprintf(stderr, "signal %d in the engine: rip %llx, address %llx, rax %llx rcx %llx rsp %llx\n", sig,
			(unsigned long long)g[REG_RIP], (unsigned long long)(uintptr_t)si->si_addr,
			(unsigned long long)g[REG_RAX], (unsigned long long)g[REG_RCX], (unsigned long long)g[REG_RSP]);
		if (getenv("DIFFTEST_ABORT")) {
			signal(sig, SIG_DFL);
			return;
		}
		_exit(99);
	}
	__asm__ volatile("movw %%ds, %0\n\tmovw %%es, %1\n\tmovw %%fs, %2\n\tmovw %%gs, %3"
			 : "=m"(sel[0]), "=m"(sel[1]), "=m"(sel[2]), "=m"(sel[3]));
	if (enter_state.touch_fs)
		sys_prctl(ARCH_SET_FS, own_fs);
	PLAIN_FLAGS();
	collect(ctx, sel);
	__builtin_longjmp(back, 1);
}

/* Bytes run from their middle may loop for ever. */
static volatile unsigned ticks;
static NO_TLS void on_tick(int sig, siginfo_t *si, void *ctx)
{
	(void)sig, (void)si, (void)ctx;
	PLAIN_FLAGS();
	ticks++;
	if (got && ticks >= 3) {
		if (enter_state.touch_fs)
			sys_prctl(ARCH_SET_FS, own_fs);
		got->vec = HX_ENDLESS;
		__builtin_longjmp(back, 1);
	}
	if (ticks > 200) {
		static const char text[] = "the engine does not end what the host CPU ended\n";
		ssize_t r = write(STDOUT_FILENO, text, sizeof(text) - 1);
		(void)r;
		_exit(1);
	}
}

/* Segment registers and their bases, the vector and x87 state, then IRETQ with the general registers loaded. */
static noreturn_ NO_TLS void enter(void)
{
	__asm__ volatile("movw %0, %%ds\n\tmovw %1, %%es" : : "m"(enter_state.ds), "m"(enter_state.es));
	if (enter_state.touch_fs) {
		/* Loading a null selector may clear the base. */
		__asm__ volatile("movw %0, %%fs\n\tmovw %1, %%gs" : : "m"(enter_state.fs), "m"(enter_state.gs));
		sys_prctl(ARCH_SET_GS, HX_GS_BASE);
		sys_prctl(ARCH_SET_FS, HX_FS_BASE);
	}
	__asm__ volatile(
	    "movq %[x], %%rdi\n\t"
	    "movl $7, %%eax\n\txorl %%edx, %%edx\n\t"
	    "cmpb $0, %[avx]\n\tje 1f\n\txrstor (%%rdi)\n\tjmp 2f\n"
	    "1:\tfxrstor (%%rdi)\n"
	    "2:\tleaq %[s], %%rax\n\t"
	    "pushq 160(%%rax)\n\tpushq 152(%%rax)\n\tpushq 144(%%rax)\n\tpushq 136(%%rax)\n\tpushq 128(%%rax)\n\t"
	    "movq 8(%%rax), %%rcx\n\tmovq 16(%%rax), %%rdx\n\tmovq 24(%%rax), %%rbx\n\t"
	    "movq 40(%%rax), %%rbp\n\tmovq 48(%%rax), %%rsi\n\tmovq 56(%%rax), %%rdi\n\t"
	    "movq 64(%%rax), %%r8\n\tmovq 72(%%rax), %%r9\n\tmovq 80(%%rax), %%r10\n\t"
	    "movq 88(%%rax), %%r11\n\tmovq 96(%%rax), %%r12\n\tmovq 104(%%rax), %%r13\n\t"
	    "movq 112(%%rax), %%r14\n\tmovq 120(%%rax), %%r15\n\t"
	    "movq 0(%%rax), %%rax\n\tiretq\n"
	    :
	    : [x] "r"(xarea), [s] "m"(enter_state), [avx] "m"(have_avx)
	    : "memory");
	__builtin_unreachable();
}

static void put_code(const u8 *code, unsigned n, unsigned off)
{
	static u8 page[HX_CODE_BYTES]; /* as it is to be */
	static unsigned from, to;      /* what of it is not INT3 */
	u8 *p = (u8 *)(uintptr_t)HX_CODE;

	if (!to || memcmp(p, page, sizeof(page))) { /* the last one may have written there */
		memset(page, 0xcc, sizeof(page));
		memcpy(p, page, sizeof(page));
	} else {
		memset(page + from, 0xcc, to - from);
		memset(p + from, 0xcc, to - from);
	}
	memcpy(page + off, code, n);
	memcpy(p + off, code, n);
	from = off;
	to = off + n;
}

static u8 *data_alias; /* the data, where all of it can be written */

/*
 * May it use or load FS or GS? Setting their bases takes a system call each. Overrides, MOV and POP to them, LSS LFS
 * LGS, WRFSBASE, WRGSBASE.
 */
static bool touches_fs(const u8 *code, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		switch (code[i]) {
		case 0x64:
		case 0x65:
		case 0x8e:
		case 0xa1:
		case 0xa9:
		case 0xae:
		case 0xb2:
		case 0xb4:
		case 0xb5:
			return true;
		}
	return false;
}

/* What jumps here may have come with any register changed. */
static __attribute__((noinline)) void run(void)
{
	if (!__builtin_setjmp(back))
		enter();
}

void hx_native(const u8 *code, unsigned n, unsigned off, const struct hx_state *in, struct hx_state *out)
{
	unsigned bits = in->bits ? in->bits : 64;

	put_code(code, n, off);
	memcpy(data_alias, in->data, HX_DATA_BYTES);
	memcpy(enter_state.gpr, in->gpr, sizeof(in->gpr));
	enter_state.rsp = in->gpr[4];
	enter_state.rip = bits == 16 ? off : HX_CODE + off;
	enter_state.rflags = in->rflags;
	enter_state.cs = bits == 64 ? HX_SEL64_CODE : bits == 32 ? HX_SEL32_CODE : HX_SEL16_CODE;
	enter_state.ss = bits == 16 ? HX_SEL16_STACK : HX_SEL_DATA;
	enter_state.ds = enter_state.es = bits == 64 ? 0 : bits == 32 ? HX_SEL_DATA : HX_SEL16_DATA;
	enter_state.fs = enter_state.gs = 0;
	/* Also after code that may have: what it loaded is to go. */
	static bool last;
	bool touches = touches_fs(code, n);
	enter_state.touch_fs = touches || last;
	last = touches;
	memcpy(xarea, in->fx, 512);
	memset(xarea + 512, 0, 64);
	st_le64(xarea + 512, 7);
	for (unsigned i = 0; i < 16; i++) {
		memcpy(xarea + 160 + 16 * i, in->ymm[i], 16);
		memcpy(xarea + 576 + 16 * i, in->ymm[i] + 16, 16);
	}
	ticks = 0;
	got = out;
	run();
	got = NULL;
	ticks = 0;
	__asm__ volatile("cld; fninit; emms");
	if (have_avx)
		__asm__ volatile("vzeroupper");
	u32 mxcsr = 0x1f80;
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	memcpy(out->data, data_alias, HX_DATA_BYTES);
}

bool hx_have_avx(void)
{
	return have_avx;
}

bool hx_have_bits(unsigned bits)
{
	return bits == 64 || (bits == 32 ? have_32 : have_16);
}

/* Can code of CPL 3 be in this segment? A kernel that is itself a paravirtual guest may have no such segments. */
static bool is_code(u32 sel)
{
	u32 ar = 0;
	bool ok;

	__asm__("larl %2, %0" : "+r"(ar), "=@ccz"(ok) : "r"(sel));
	return ok && (ar & 0xf800) == 0xf800;
}

static bool make_ldt(void)
{
	struct user_desc d[3] = {
		{ .entry_number = 0,
		  .base_addr = HX_CODE,
		  .limit = 0xffff,
		  .contents = MODIFY_LDT_CONTENTS_CODE,
		  .useable = 1 },
		{ .entry_number = 1,
		  .base_addr = HX_DATA,
		  .limit = 0xffff,
		  .contents = MODIFY_LDT_CONTENTS_DATA,
		  .useable = 1 },
		{ .entry_number = 2,
		  .base_addr = HX_DATA,
		  .limit = 0xffff,
		  .contents = MODIFY_LDT_CONTENTS_DATA,
		  .useable = 1 },
	};

	for (unsigned i = 0; i < ARRAY_LEN(d); i++)
		if (syscall(SYS_modify_ldt, 1, &d[i], sizeof(d[i])) != 0)
			return false;
	return true;
}

void hx_native_map(void)
{
	unsigned a, b, c, d;

	__cpuid(1, a, b, c, d);
	have_avx = (c >> 27 & 1) && (c >> 28 & 1);
	own_fs = (u64)(uintptr_t)__builtin_thread_pointer();
	have_32 = is_code(HX_SEL32_CODE);
	have_16 = make_ldt() && is_code(HX_SEL16_CODE);
	must(mmap((void *)(uintptr_t)HX_CODE, HX_CODE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED);
	int fd = memfd_create("data", MFD_CLOEXEC);
	must(fd >= 0 && ftruncate(fd, HX_DATA_BYTES) == 0);
	must(mmap((void *)(uintptr_t)HX_DATA, HX_DATA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE,
		  fd, 0) != MAP_FAILED);
	must(mprotect((void *)(uintptr_t)(HX_DATA + HX_DATA_RW), HX_DATA_BYTES - HX_DATA_RW, PROT_READ) == 0);
	/* Not present would be another error code. */
	(void)*(volatile u8 *)(uintptr_t)(HX_DATA + HX_DATA_RW);
	data_alias = mmap(NULL, HX_DATA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(data_alias != MAP_FAILED);
	close(fd);
	memset((void *)(uintptr_t)HX_CODE, 0xcc, HX_CODE_BYTES);
}

void hx_native_signals(void)
{
	static u8 stack[65536];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	struct sigaction tick = { .sa_sigaction = on_tick,
				  .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER };
	struct itimerval it = { { 0, 100000 }, { 0, 100000 } };
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGILL, SIGTRAP };

	must(sigaltstack(&ss, NULL) == 0);
	for (unsigned i = 0; i < ARRAY_LEN(sigs); i++)
		must(sigaction(sigs[i], &sa, NULL) == 0);
	must(sigaction(SIGFPE, &sa, &engine_fpe) == 0); /* the engine has one of its own */
	must(sigaction(SIGALRM, &tick, NULL) == 0 && setitimer(ITIMER_REAL, &it, NULL) == 0);
}
