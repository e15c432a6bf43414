/* SPDX-License-Identifier: GPL-2.0-or-later */
/* winproc.c - a Windows program: processor faults as structured exceptions, contexts that handlers change, single
 * steps, threads. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

static volatile DWORD code;
static volatile ULONG_PTR what, where;
static void *volatile go_on;
static volatile int steps;

/* Every fault is told of and goes on at go_on; single steps are counted. */
static LONG CALLBACK handler(EXCEPTION_POINTERS *p)
{
	EXCEPTION_RECORD *r = p->ExceptionRecord;

	if (r->ExceptionCode == EXCEPTION_SINGLE_STEP) {
		steps++;
		if (steps < 12)
			p->ContextRecord->EFlags |= 0x100;
		return EXCEPTION_CONTINUE_EXECUTION;
	}
	code = r->ExceptionCode;
	what = r->NumberParameters ? r->ExceptionInformation[0] : 0;
	where = r->NumberParameters > 1 ? r->ExceptionInformation[1] : 0;
	if (!go_on)
		return EXCEPTION_CONTINUE_SEARCH;
	p->ContextRecord->Rip = (DWORD64)go_on;
	p->ContextRecord->MxCsr = 0x1f80;
	p->ContextRecord->FltSave.ControlWord = 0x37f;
	p->ContextRecord->FltSave.StatusWord = 0;
	return EXCEPTION_CONTINUE_EXECUTION;
}

#define FAULT(name, insns, ...) \
	do { \
		code = 0; \
		asm volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, %0\n\t" insns "\n1:" \
			     : "=m"(go_on) \
			     : __VA_ARGS__ \
			     : "rax", "rcx", "rdx", "memory", "xmm0", "xmm1"); \
		printf("%s: %08lx %d %llx\n", name, (unsigned long)code, (int)what, \
		       (unsigned long long)(where == (ULONG_PTR)-1 ? 1 : where & 0xfff)); \
	} while (0)

static void faults(void)
{
	static const double zero = 0;
	static const unsigned unmasked = 0x1f80 & ~0x1e80;
	char *page = VirtualAlloc(NULL, 8192, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
	DWORD old;

	VirtualProtect(page + 4096, 4096, PAGE_READONLY, &old);
	FAULT("read of nothing", "mov 0x10, %%ecx", "m"(zero));
	FAULT("write to what is read-only", "movl $1, 0x18(%1)", "r"(page + 4096));
	FAULT("write across its border", "movq $1, -4(%1)", "r"(page + 4096));
	FAULT("division by zero", "xor %%edx, %%edx; mov $5, %%eax; xor %%ecx, %%ecx; div %%ecx", "m"(zero));
	FAULT("division that overflows", "mov $0x80000000, %%eax; cdq; mov $-1, %%ecx; idiv %%ecx", "m"(zero));
	FAULT("undefined", "ud2", "m"(zero));
	FAULT("privileged", "hlt", "m"(zero));
	FAULT("not canonical", "mov $0x123456789abcdef0, %%rcx; mov (%%rcx), %%rdx", "m"(zero));
	FAULT("breakpoint", "int3", "m"(zero));
	FAULT("SSE division", "ldmxcsr %2; mov $1, %%ecx; cvtsi2sd %%ecx, %%xmm0; divsd %1, %%xmm0", "m"(zero),
	      "m"(unmasked));
	FAULT("x87 division", "fnclex; pushq $0x340; fldcw (%%rsp); pop %%rcx; fld1; fdivl %1; fwait", "m"(zero));
	asm volatile("fninit");
	memset(page, 0xc3, 16);
	FAULT("execution of data", "jmp *%1", "r"(page));
	VirtualFree(page, 0, MEM_RELEASE);
	go_on = NULL;
}

static void single_steps(void)
{
	long n = 5;

	asm volatile("pushfq; orl $0x100, (%%rsp); popfq\n\t"
		     "mov $3, %%ecx\n1: add $7, %0; dec %%ecx; jnz 1b; nop; nop; nop; nop; nop; nop; nop"
		     : "+r"(n)
		     :
		     : "ecx", "cc", "memory");
	printf("steps %d, n %ld\n", steps, n);
}

static CRITICAL_SECTION lock;
static volatile LONG atomic, guarded;
static HANDLE event;
static DWORD tls;

static DWORD WINAPI worker(void *arg)
{
	TlsSetValue(tls, arg);
	WaitForSingleObject(event, INFINITE);
	for (int i = 0; i < 20000; i++) {
		InterlockedIncrement(&atomic);
		if (i % 16)
			continue;
		EnterCriticalSection(&lock);
		guarded += (int)(ULONG_PTR)TlsGetValue(tls);
		LeaveCriticalSection(&lock);
		if (i % 1024 == 0)
			SwitchToThread();
	}
	return (DWORD)(ULONG_PTR)arg * 3;
}

static void threads(void)
{
	HANDLE t[4];

	InitializeCriticalSection(&lock);
	event = CreateEventA(NULL, TRUE, FALSE, NULL);
	tls = TlsAlloc();
	for (int i = 0; i < 4; i++)
		t[i] = CreateThread(NULL, 0, worker, (void *)(ULONG_PTR)(i + 1), 0, NULL);
	SetEvent(event);
	WaitForMultipleObjects(4, t, TRUE, INFINITE);
	for (int i = 0; i < 4; i++) {
		DWORD status;
		GetExitCodeThread(t[i], &status);
		printf("thread %d: %lu\n", i, (unsigned long)status);
	}
	printf("atomic %ld, guarded %ld\n", (long)atomic, (long)guarded);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(void)
{
	static char text[3000][12], *sorted[3000];
	unsigned long long h = 1469598103934665603ULL;

	setvbuf(stdout, NULL, _IONBF, 0);
	AddVectoredExceptionHandler(1, handler);
	faults();
	single_steps();
	threads();
	for (int i = 0; i < 3000; i++)
		sprintf(sorted[i] = text[i], "%x", i * 2654435761u);
	qsort(sorted, 3000, sizeof *sorted, compare);
	for (int i = 0; i < 3000; i++)
		for (char *p = sorted[i]; *p; p++)
			h = (h ^ (unsigned char)*p) * 1099511628211ULL;
	printf("%llx %.15g %.15g\n", h, sin(1e5) * pow(3, 0.7), log(10) / tan(2));
	return 5;
}
