/* SPDX-License-Identifier: GPL-2.0-or-later */
/* signals.c - what programs do with faults: what a handler is told, is changed in the frame, and goes on with. */
#define _GNU_SOURCE
#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef __x86_64__
#define REG_PC REG_RIP
#define PUSHF "sub $128, %%rsp\n pushf\n "
#define POPF "\n popf\n lea 128(%%rsp), %%rsp\n "
#define SP "(%%rsp)"
#else
#define REG_PC REG_EIP
#define PUSHF "pushf\n "
#define POPF "\n popf\n "
#define SP "(%%esp)"
#endif

static sigjmp_buf back;
static volatile siginfo_t seen;
static volatile long seen_trap, seen_error;
static char *page;

static void jump(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	/* The kernel leaves AC as it was. */
	__asm__ volatile(PUSHF "andl $~0x40000, " SP POPF ::: "cc", "memory");
	seen = *info;
	seen_trap = u->uc_mcontext.gregs[REG_TRAPNO];
	seen_error = u->uc_mcontext.gregs[REG_ERR];
	siglongjmp(back, sig);
}

static void catch(int sig, void (*f)(int, siginfo_t *, void *), int flags)
{
	struct sigaction a = { .sa_sigaction = f, .sa_flags = SA_SIGINFO | flags };
	sigaction(sig, &a, NULL);
}

#define TRY(name, code) \
	do { \
		int s = sigsetjmp(back, 1); \
		if (!s) { \
			code; \
			printf("%-22s nothing\n", name); \
		} else { \
			long off = (char *)seen.si_addr - page; \
			printf("%-22s signal %d code %d trap %ld error %lx", name, s, seen.si_code, seen_trap, seen_error); \
			if (s == SIGSEGV && off >= 0 && off < 8 * 4096) \
				printf(" at %ld", off); \
			printf("\n"); \
		} \
	} while (0)

static volatile int zero, count;

static void opened(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	mprotect((void *)((uintptr_t)info->si_addr & ~4095ul), 4096, PROT_READ | PROT_WRITE);
	count++;
}


static void skip_ud2(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)info;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_PC] += 2;
	count++;
}

static void step(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)info;
	count++;
	if (count >= 50)
		((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100l;
}

static void overflow(int n)
{
	volatile char big[8192];
	memset((char *)big, n, sizeof big);
	if (n < 100000000)
		overflow(n + big[5] * 0 + 1);
	big[0] = 1;
}

int main(void)
{
	static char stack[65536];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof stack };
	sigaltstack(&ss, NULL);
	page = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(page + 4096, 4096, PROT_NONE);
	mprotect(page + 8192, 4096, PROT_READ);
	for (int s = 1; s < 32; s++)
		if (s == SIGSEGV || s == SIGBUS || s == SIGFPE || s == SIGILL || s == SIGTRAP)
			catch(s, jump, SA_ONSTACK);
	for (int round = 0; round < 3; round++) {
		volatile int a = 7;
		TRY("read of nothing", a = *(volatile char *)(page + 4099));
		TRY("write, read only", *(volatile char *)(page + 8200) = 1);
		TRY("write across", *(volatile uint64_t *)(page + 4092) = 1);
		TRY("null", *(volatile int *)NULL = 1);
		TRY("divide", a = a / zero);
		TRY("divide, too large", a = (int)0x80000000 / (zero - 1));
		TRY("ud2", __asm__ volatile("ud2"));
		TRY("int3", __asm__ volatile("int3"));
		TRY("int 0x42", __asm__ volatile("int $0x42"));
		TRY("hlt", __asm__ volatile("hlt"));
		TRY("in", __asm__ volatile("inb $0x80, %%al" ::: "eax"));
		TRY("cli", __asm__ volatile("cli"));
		TRY("execute data", ((void (*)(void))page)());
#ifdef __x86_64__
		TRY("not canonical", a = *(volatile char *)0x8000000000000000ul);
		TRY("jump not canonical", __asm__ volatile("jmp *%0" ::"r"(0x8000000000000000ul)));
		TRY("sse unaligned", __asm__ volatile("movaps %0, %%xmm0" ::"m"(page[1]) : "xmm0"));
#endif
		TRY("bad selector", __asm__ volatile("mov %0, %%fs" ::"r"(0x1234)));
		TRY("alignment check", __asm__ volatile(PUSHF "orl $0x40000, " SP POPF "mov %0, %%eax\n" PUSHF "andl $~0x40000, " SP POPF ::"m"(page[1]) : "eax", "cc"));
		TRY("stack overflow", overflow(1));
	}
	feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW);
	volatile double d = 1, z = 0;
	TRY("double divide", d = d / z);
	feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW);
	volatile long double l = 1, lz = 0;
	TRY("x87 divide", l = l / lz; __asm__ volatile("fwait"));
	feclearexcept(FE_ALL_EXCEPT);
	fedisableexcept(FE_ALL_EXCEPT);

	catch(SIGSEGV, opened, 0);
	char *many = mmap(NULL, 64 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 64; i++)
		many[i * 4096 + i] += i;
	printf("pages opened on demand: %d\n", count);
	count = 0;
	catch(SIGILL, skip_ud2, 0);
	for (int i = 0; i < 1000; i++)
		__asm__ volatile("ud2");
	printf("skipped: %d\n", count);
	count = 0;
	catch(SIGTRAP, step, 0);
	__asm__ volatile(PUSHF "orl $0x100, " SP POPF ::: "cc");
	for (volatile int i = 0; i < 200; i++)
		;
	printf("steps: %d\n", count);
	return 0;
}
