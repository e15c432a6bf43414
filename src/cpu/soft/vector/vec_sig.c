/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vec_sig.c - unmasked floating-point exceptions of the guest.
 *
 * Theory of operation: the guest's x87 control word and MXCSR are live in the host, so what the
 * guest unmasks traps on the host, inside a stub: at the instruction itself for SSE, at the next
 * waiting instruction for x87. The kernel turns both into SIGFPE. The handler changes the
 * interrupted RIP to a landing function and returns; sigreturn restores the FPU as it was at the
 * trap, pending x87 exception included, and the landing function, looking as if the stub had
 * called it in its own place, raises #MF or #XM in the guest. It must not execute x87.
 * Translated code has its own landing, see jit_fault_landing(); there #DE comes the same way.
 *
 * With CR0.NE = 0 a real machine reports x87 errors through FERR# and IRQ 13. We raise #MF then too.
 */
#include "cpu/soft/raise.h"
#include "cpu/soft/vector/vec.h"
#include "cpu/soft/vector/vec_sig.h"
#include "cpu/soft/hooks.h"

#include <signal.h>
#include <ucontext.h>

__thread struct soft_cpu *vec_current;
static bool host_avx;

/* The kernel's trap numbers are the vectors. */
enum { TRAP_MF = 16, TRAP_XM = 19 };

static void land(void)
{
	if (host_avx)
		__asm__ volatile(".byte 0xc5, 0xf8, 0x77" ::: "memory"); /* vzeroupper */
}

noreturn_ static void land_mf(void)
{
	land();
	soft_raise(vec_current, EXC_MF, EXC_NO_ERROR);
}

noreturn_ static void land_xm(void)
{
	struct soft_cpu *c = vec_current;

	land();
	soft_raise(c, (c->cr4 & CR4_OSXMMEXCPT) ? EXC_XM : EXC_UD, EXC_NO_ERROR);
}

static void on_sigfpe(int sig, siginfo_t *si, void *uc_)
{
	ucontext_t *uc = uc_;
	greg_t *g = uc->uc_mcontext.gregs;
	struct soft_cpu *c = vec_current;

	u64 rip = (u64)g[REG_RIP];

	if (si->si_code > 0 && c && g[REG_TRAPNO] <= TRAP_XM &&
	    c->hooks->fault_landing(c, &rip, (u64)g[REG_EFL], (unsigned)g[REG_TRAPNO])) {
		g[REG_RIP] = (greg_t)rip;
		return;
	}
	if (si->si_code > 0 && c && vec_stub_contains(c, rip)) {
		if (g[REG_TRAPNO] == TRAP_MF) {
			g[REG_RIP] = (greg_t)(uintptr_t)land_mf;
			return;
		}
		if (g[REG_TRAPNO] == TRAP_XM) {
			g[REG_RIP] = (greg_t)(uintptr_t)land_xm;
			return;
		}
	}
	/* Not the guest's: the instruction runs again and ends the process. */
	signal(sig, SIG_DFL);
	if (si->si_code <= 0)
		raise(sig);
}

static void init(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigfpe, .sa_flags = SA_SIGINFO };

	host_avx = __builtin_cpu_supports("avx");
	sigemptyset(&sa.sa_mask);
	must(sigaction(SIGFPE, &sa, NULL) == 0);
}

void soft_vec_signal_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init);
}
