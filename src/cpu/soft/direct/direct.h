/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct.h - direct execution: compute-bound guest processes run on the host's CPU as they are. Inside of the
 * software engine.
 *
 * Theory of operation
 *
 * A *runner* is a process of its own with nothing in its address space but one page of our code, a few
 * pages shared with us, and guest pages, mapped where the guest's page tables have them and with no more rights than
 * those give. In it guest code of CPL 3 is executed without translation. What is not plain computing - a system
 * call, a page that is not mapped yet, a privileged instruction, a kick from us - becomes a signal; its handler, the
 * page of our code, stops in a system call that seccomp hands to us (SECCOMP_RET_USER_NOTIF). The registers lie in the
 * signal frame, in shared memory. We either map the page and let it go on, or put the registers into the vCPU and
 * continue in translated code, which knows how to do everything: direct execution is never needed, only faster.
 *
 *   vCPU's thread                                    runner
 *   direct_run(): registers into the frame    --->   maps and unmaps what it is told to, rt_sigreturn
 *   waits for the notification                       guest code
 *   registers out of the frame                <---   signal, handler, stops
 *
 * A stop and start costs some 14 microseconds, so it pays for code that computes for longer between kernel entries.
 * Who is let in is decided at interrupts (direct_interrupt()): an address space that one finds at CPL 3, when there
 * were few kernel entries since the last one, gets a runner. From then on each return to CPL 3 in it (direct_to_user())
 * comes to the run loop, unless the last stays were short: then the next ones are spared, twice as many each time.
 *
 * What the runner may do (direct_runner.c). Its seccomp filter traps every system call but those of our page, and of
 * those the ones that map memory or return from a signal want a secret in a register, which is in memory only between a
 * stop and the following start. Guest code that jumps into our page can stop itself, nothing else. It sees
 * guest pages it may see anyway, our page, and the frame. Its address space belongs to one guest address space at a
 * time.
 *
 * INV-DIRECT-1: A runner executes guest code only while its vCPU's thread is in direct_run() and c->in_guest is set.
 * INV-DIRECT-2: Before it is started its mappings are what the guest's page tables allowed at or after the
 *               last time the guest invalidated them: pages that INVLPG names are looked at again before the next start
 *               (direct_flush_page()), all of them when all were flushed. Where a mapping could not be changed there is
 *               none at all.
 * INV-DIRECT-3: It may write a page only if a fast write entry of the TLB might be filled for it (cache.h, PAGE_CODE;
 * the dirty log). Whoever takes those back takes back its right too (direct_protect()): effective at its next start,
 * and exclusive sections see to it that there is one (INV-DIRECT-1). INV-DIRECT-4: Nothing that comes from it is
 * trusted: frames and addresses may say anything. INV-DIRECT-6: A start defines all that guest code can find: each
 * register, flag and selector, the whole signal frame, and the shared pages when another address space comes. What is
 * known of a stop is copied first (read_frame()).
 *
 * What is not executed directly, page by page, as it would show the host or lose something on the way through its
 * kernel (direct_scan.c): CPUID where the host cannot make it fault, XGETBV; RDTSC where it cannot, FSGSBASE where it
 * has not; XSAVE and its kin, which write as much as the host's XCR0 says; RDPID, RDPMC, RDPRU; LAR, LSL, VERR, VERW,
 * SGDT, SIDT, SLDT, STR, SMSW; RDPKRU, WRPKRU; VMCALL, VMMCALL; INT 80h (upper half of RAX), SYSENTER (RIP, RSP). One
 * exception: a page with CPUID or XGETBV that the guest has executed one of them in (what it wanted to know about the
 * processor it knows then, from us), and in which it computes for longer than a few ticks: programs that are linked
 * statically have their loops there. A page stays what it was found to be: who writes there ends the right to execute
 * it (direct_code.c). A vCPU that executes it at the time stops some microseconds later.
 *
 * What differs from a processor:
 * - Instructions that are hidden from direct_scan.c, by jumps into the middle of others, answer what the host's
 * processor does. So do those of an extension that the host has and the guest's model has not: they work instead of
 * #UD.
 * - MXCSR_MASK, as FXSAVE writes it, is the host's.
 * - At RUNNER_BASE there are our pages instead of what the guest has there, for who looks: to be read, some to be
 * written. Who jumps there gets #GP.
 * - Selectors 2Bh, 23h and 7Bh are those of the host's GDT, Linux's, which a guest with 33h for its user code is taken
 * to be, too; a null selector of 1 to 3 becomes 0, as at any interrupt.
 * - Upper state of AVX-512, which the guest is not told of, is lost at each stop.
 *
 * Threads: all of it is the vCPU's thread's, but direct_kick() and direct_protect().
 *
 * Files: direct.c who is let in, and the loop; direct_choose.c when it pays; direct_map.c the mappings, direct_tables.c
 * the page tables that they need; direct_runner.c the process, direct_zygote.c new ones; direct_scan.c and
 * direct_code.c what is not executed directly.
 */
#ifndef MICA_SOFT_DIRECT_H
#define MICA_SOFT_DIRECT_H

#include "cpu/soft/vm.h"

/* ---- for the engine (direct.c) ---- */
/* Makes the runners, where the host and the options allow it; else *why says what is missing. Before the system-call
 * filter, after privileges were dropped. */
void direct_init(struct soft_vm *vm);
void direct_fini(struct soft_vm *vm);
/* An interrupt is about to be delivered. */
void direct_interrupt(struct soft_cpu *c);
/* The run loop saw PEND_DIRECT. True: guest code was executed, look at everything again. */
bool direct_run(struct soft_cpu *c);
/* Any thread, after c->pending was changed: c shall look at it soon. */
void direct_kick(struct soft_cpu *c);

/* CPL 3 executed CPUID or XGETBV, at c->rip. */
void direct_saw_host(struct soft_cpu *c);

/* ---- for memory/ (direct_map.c) ---- */
/* CR3 or what belongs to it changed. */
void direct_switched(struct soft_cpu *c);
void direct_flush(struct soft_cpu *c, unsigned space);
void direct_flush_page(struct soft_cpu *c, unsigned space, u64 lin); /* it has a runner */
/* Any thread, under c->tlb_lock: the RAM page may not be written directly; ~0: none. */
void direct_protect(struct soft_cpu *c, u64 page);

/* ---- for blocks (direct_code.c) ---- */
/* The RAM page was written that vm->direct.code watches; any thread, no lock held. */
void direct_code_written(struct soft_vm *vm, u64 page);
/* Nothing is guarded any more; in an exclusive section. */
void direct_code_forget(struct soft_vm *vm);

#endif
