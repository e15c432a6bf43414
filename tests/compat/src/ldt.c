/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ldt.c - segments of a program's own, as DOS emulators and Wine's 16-bit side use them: data with base and limit, code entered by far
 * calls (16-bit code where the kernel allows it: Debian's cloud kernel does not), and the instructions that ask about segments. Everything again after computing for a while, which is when an engine may
 * execute the program otherwise than before.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define SEL(n) ((n) * 8 | 7)
static sigjmp_buf back;
static volatile long error_code;

static unsigned short own_gs;

static void jump(int sig, siginfo_t *info, void *context)
{
	(void)info;
	/* The C library's, which the kernel leaves as it was at the fault. */
#ifndef __x86_64__
	__asm__ volatile("mov %0, %%gs" ::"r"(own_gs));
#endif
	error_code = ((ucontext_t *)context)->uc_mcontext.gregs[REG_ERR];
	siglongjmp(back, sig);
}

static int set(int n, void *base, unsigned limit, int contents, int is32, int read_only, int absent)
{
	struct user_desc d = { .entry_number = n, .base_addr = (unsigned)(uintptr_t)base, .limit = limit, .seg_32bit = is32,
			       .contents = contents, .read_exec_only = read_only, .seg_not_present = absent, .useable = 1 };
	/* It returns an unsigned int. */
	return (int)syscall(SYS_modify_ldt, 0x11, &d, sizeof d);
}

static void ask(int n)
{
	unsigned ar = 0, limit = 0;
	unsigned char ok, ok2, r, w;
	__asm__ volatile("lar %2, %0\n setz %1" : "+r"(ar), "=qm"(ok) : "r"(SEL(n)) : "cc");
	__asm__ volatile("lsl %2, %0\n setz %1" : "+r"(limit), "=qm"(ok2) : "r"(SEL(n)) : "cc");
	__asm__ volatile("verr %w1\n setz %0" : "=qm"(r) : "r"(SEL(n)) : "cc");
	__asm__ volatile("verw %w1\n setz %0" : "=qm"(w) : "r"(SEL(n)) : "cc");
	printf("entry %d: lar %d %x lsl %d %x verr %d verw %d\n", n, ok, ok ? ar & ~0x100 : 0, ok2, ok2 ? limit : 0, r, w);
}

static int load(int n, unsigned off, unsigned *value)
{
	int s = sigsetjmp(back, 1);
	if (!s) {
		unsigned v;
		__asm__ volatile("mov %1, %%gs\n mov %%gs:(%2), %0\n mov %3, %%gs" : "=&r"(v) : "r"(SEL(n)), "r"((uintptr_t)off), "r"((int)own_gs) : "memory");
		*value = v;
	}
	return s;
}

static void data(int n, const char *what, const unsigned *offs, int count)
{
	for (int i = 0; i < count; i++) {
		unsigned v = 0;
		error_code = 0;
		int s = load(n, offs[i], &v);
		printf("%s at %x: signal %d value %x error %lx\n", what, offs[i], s, v, error_code);
	}
}

/* Far call into code at `code`: adds up (1 .. cx) + 3 cx in ax, whose 3 is read by CS. */
static unsigned call(char *code, int n, unsigned count, int is32)
{
	static const unsigned char sum16[] = {
		0x31, 0xc0,		/* xor ax, ax */
		0x01, 0xc8,		/* 1: add ax, cx */
		0x2e, 0x03, 0x06, 0x40, 0x00, /* add ax, cs:[0x40] */
		0x49,			/* dec cx */
		0x75, 0xf6,		/* jnz 1b */
		0x66, 0xcb,		/* retf, 32-bit */
	};
	static const unsigned char sum32[] = {
		0x31, 0xc0,		/* xor eax, eax */
		0x66, 0x01, 0xc8,	/* 1: add ax, cx */
		0x66, 0x2e, 0x03, 0x05, 0x40, 0x00, 0x00, 0x00, /* add ax, cs:[0x40] */
		0x49,			/* dec ecx */
		0x75, 0xf2,		/* jnz 1b */
		0xcb,			/* retf */
	};
	if (is32)
		memcpy(code, sum32, sizeof sum32);
	else
		memcpy(code, sum16, sizeof sum16);
	*(uint16_t *)(code + 0x40) = 3;
	struct { uint32_t off; uint16_t sel; } __attribute__((packed)) far = { 0, SEL(n) };
	unsigned ax = 0xdead0000;
	if (sigsetjmp(back, 1))
		return 0xbad;
	/* Stack and code must lie below 4 GiB (-no-pie): such a call keeps 32 bits of RIP, and its code has ESP. */
#ifdef __x86_64__
	static char *low;
	if (!low)
		low = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	__asm__ volatile("mov %%rsp, %%rbx\n mov %3, %%rsp\n lcall *(%2)\n mov %%rbx, %%rsp"
			 : "+a"(ax), "+c"(count) : "r"(&far), "r"(low + 65000) : "rbx", "rdx", "cc", "memory");
#else
	__asm__ volatile("lcall *(%2)" : "+a"(ax), "+c"(count) : "r"(&far) : "edx", "cc", "memory");
#endif
	return ax;
}

int main(int argc, char **argv)
{
	__asm__ volatile("mov %%gs, %0" : "=r"(own_gs));
	long spin = argc > 1 ? atol(argv[1]) : 3000000;
	static char stack[65536];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof stack };
	sigaltstack(&ss, NULL);
	struct sigaction a = { .sa_sigaction = jump, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	sigaction(SIGSEGV, &a, NULL), sigaction(SIGBUS, &a, NULL), sigaction(SIGILL, &a, NULL);
	char *low = mmap(NULL, 65536, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	for (int i = 0; i < 65536 / 4; i++)
		((unsigned *)low)[i] = 0x10000 + i;
	set(1, low, 0x1fff, 0, 1, 0, 0);
	set(2, low, 0xfff, 1, 1, 0, 0);   /* expand down: valid above */
	set(3, low, 0x3f, 0, 1, 1, 0);    /* read only */
	set(4, low, 0x1fff, 0, 1, 0, 1);  /* not present */
	int is16 = !set(5, low + 0x8000, 0xfff, 2, 0, 0, 0); /* 16-bit code, readable */
	if (!is16)
		set(5, low + 0x8000, 0xfff, 2, 1, 0, 0);
	printf("code of %d bits\n", is16 ? 16 : 32);
	set(6, low + 0x8000, 0xfff, 2, 1, 1, 0); /* 32-bit code, not readable */
	for (int round = 0; round < 4; round++) {
		printf("round %d\n", round);
		for (int n = 0; n < 8; n++)
			ask(n);
		data(1, "data", (unsigned[]){ 0, 4, 0x1ffc }, 3);
#ifndef __x86_64__
		data(1, "data", (unsigned[]){ 0x1ffd, 0x2000, 0xfffffffc }, 3);
		data(2, "down", (unsigned[]){ 0, 0xfff, 0x1000, 0x8000 }, 4);
#endif
		data(3, "read only", (unsigned[]){ 0, 0x3c }, 2);
		data(4, "not present", (unsigned[]){ 0 }, 1);
		data(7, "no entry", (unsigned[]){ 0 }, 1);
		for (unsigned k = 1; k < 60000; k = k * 5 + round)
			printf("sum of %u: %x\n", k, call(low + 0x8000, 5, k, !is16));
		volatile unsigned long x = 0;
		for (long i = 0; i < spin; i++)
			x += i;
		/* A change of an entry is seen at once. */
		set(1, low + 0x100 * round, 0x1fff, 0, 1, 0, 0);
		data(1, "moved", (unsigned[]){ 0, 8 }, 2);
		set(1, low, 0x1fff, 0, 1, 0, 0);
	}
	return 0;
}
