/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct.h - direct execution: guest processes that compute run on the host's CPU as they are. Inside of the software
 * engine; this header is what the rest of the engine calls.
 *
 * Theory of operation
 *
 * A *runner* is a process of the host. Its address space holds one page of our code, a few pages that it shares with
 * us, and guest pages. Those are mapped where the guest's page tables have them, with no more rights than these give.
 * The runner executes guest code of CPL 3 without translation.
 *
 * Whatever is not plain computing becomes a signal in the runner: a system call, a page that is not mapped yet, a
 * privileged instruction, a kick from us. The signal's handler, in our page, makes a system call that seccomp hands to
 * us (SECCOMP_RET_USER_NOTIF): the runner has stopped. Its registers lie in the signal frame, in the shared pages. Then
 * we either map the missing page and let it go on, or move the registers into the vCPU and continue in translated code.
 * Translated code can do everything: direct execution is never needed, it is only faster.
 *
 *   vCPU's thread                                    runner
 *   direct_run(): registers into the frame    --->   maps and unmaps what it is told to, rt_sigreturn
 *   waits for the notification                       guest code
 *   registers out of the frame                <---   signal, handler, stops
 *
 * An example: a program adds up an array, and touches its next page. The host raises a page fault, the runner's handler
 * stops, direct_map_fault() finds the page in the guest's page tables, queues an mmap() of it and of its neighbours,
 * and the runner goes on. If the guest's tables do not have the page, the vCPU continues at the same instruction in
 * translated code, which raises #PF; the guest's kernel maps the page and returns to CPL 3, and there direct_run()
 * starts the runner again.
 *
 * A stop and a start cost 10 to 100 microseconds together, so direct execution pays for code that computes for longer
 * than that between kernel entries. direct_interrupt() decides who gets a runner: an address space that two interrupts
 * in a row found at CPL 3, with few kernel entries between them. From then on returns to CPL 3 in it come to the run
 * loop (c->direct.spare counts down to the next one that does), and direct_choose.c decides which way to go.
 *
 * What a runner may do (direct_birth.c). Its seccomp filter traps every system call that does not come from our page.
 * Calls that map memory or return from a signal also need a secret in a register; the secret is in memory only from
 * just before a start until its commands are done. Guest code that jumps into our page can stop itself, and nothing
 * else. It sees guest pages that it may see anyway, our page, and the shared pages. A runner belongs to one guest
 * address space at a time.
 *
 * INV-DIRECT-1: A runner executes guest code only while its vCPU's thread is in direct_run() and c->in_guest is set.
 *
 * INV-DIRECT-2: When a runner is started, its mappings are what the guest's page tables allowed when the guest last
 * invalidated them, or later. Pages that INVLPG named are compared again (direct_flush_page()); after a flush of all,
 * all pages are. A mapping that could not be changed is removed.
 *
 * INV-DIRECT-3: A runner may write a page only if the TLB might have a fast write entry for it (PAGE_CODE, the dirty
 * log). Whoever takes those entries back also calls direct_protect(). That takes effect at the runner's next start, and
 * exclusive sections make sure that there is one (INV-DIRECT-1).
 *
 * INV-DIRECT-4: Nothing that comes from a runner is trusted: frames and addresses may say anything.
 *
 * INV-DIRECT-5: see direct_code.c.
 *
 * INV-DIRECT-6: A start defines everything that guest code can find: each register, flag and selector, the whole signal
 * frame, and the shared pages when another address space comes. What a stop left is copied before it is used
 * (read_frame()).
 *
 * Some pages are not executed directly, because an instruction in them would show the host, or lose something on its
 * way through the host's kernel (direct_scan.c):
 *
 * - CPUID, where the host cannot make it fault; XGETBV
 *
 * - RDTSC, where the host cannot make it fault; FSGSBASE instructions, where the host lacks them
 *
 * - XSAVE and its kin, which write as much as the host's XCR0 says
 *
 * - RDPID, RDPMC, RDPRU; RDPKRU, WRPKRU; VMCALL, VMMCALL
 *
 * - LAR, LSL, VERR, VERW, SGDT, SIDT, SLDT, STR, SMSW
 *
 * - SYSENTER, which loses RIP and RSP; INT 80h, which loses the upper half of RAX, in 64-bit code; SYSCALL, which loses
 *   EIP, in 32-bit code
 *
 * - in 32-bit code all that reads or loads a segment register (direct_flat.c)
 *
 * There is one exception: a page in which the guest has executed CPUID or XGETBV already, in translated code, and where
 * it then computes for longer than a few ticks. It has had its answer, from us. (Statically linked programs have their
 * loops on such pages.) Whoever writes to a page ends the right to execute it (direct_code.c); a vCPU that executes it
 * at the time stops some microseconds later.
 *
 * What differs from a processor:
 *
 * - direct_scan.c cannot see an instruction that begins in the middle of another one. It does what the host's processor
 *   does. So does an instruction of an extension that the host has and the guest's model lacks: no #UD.
 *
 * - MXCSR_MASK, as FXSAVE writes it, is the host's.
 *
 * - 32-bit code that reads or loads a segment register by an instruction that direct_scan32.c cannot see finds the
 *   host's selectors, or ends with #GP. A stop for INT 80h clears the upper half of RAX, which such code cannot see.
 *
 * - At RUNNER_BASE a program finds our pages instead of the guest's. Some of them can be written. A jump there is #GP.
 *
 * - Selectors 2Bh, 23h and 7Bh are those of the host's GDT. The host's kernel is Linux, and a guest that uses 33h for
 *   its user code is taken to have the same ones. A null selector of 1 to 3 becomes 0, as at any interrupt.
 *
 * - The upper state of AVX-512, which the guest is not told of, is lost at each stop.
 *
 * Threads: everything runs on the vCPU's thread, except direct_kick(), direct_protect() and direct_code_written().
 *
 * Files:
 *
 *   direct.c                           a stay in the runner, what its stops mean; beginning and end
 *   direct_who.c, direct_choose.c      which address space has which runner; whether it pays
 *   direct_pace.c                      the same for stops that come between two returns to CPL 3
 *   direct_regs.c                      registers into the frame and out of it
 *   direct_birth.c, direct_zygote.c    how the process is made; replacements for those that died
 *   direct_runner.c                    how it is stopped and started
 *   direct_map.c, direct_fault.c       its mappings: kept as the guest has them; added to at page faults
 *   direct_pages.c, direct_tables.c    the books of its mappings
 *   direct_flat.c                      32-bit code: its segments, and whether the host has any
 *   direct_scan.c, direct_scan32.c     what is not executed directly; direct_length.c: lengths of instructions
 *   direct_code.c                      ... and that it stays so
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
