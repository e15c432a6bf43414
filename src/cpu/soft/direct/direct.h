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

#include "base/err.h"
#include "cpu/soft/vm.h"

#include <signal.h>
#include <ucontext.h>

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

#define USER_TOP 0x7ffffffff000ull /* of a process of the host */

#define DIRECT_NOWHERE (~0u)

/* ---- a runner (direct_runner.c) ---- */
#define RUNNER_BASE 0x3a5c00000000ull /* where no Linux process has anything */
#define RUNNER_CODE_BYTES 0x1000u
#define RUNNER_SHARED_BYTES 0x20000u
#define RUNNER_STACK_OFF 0x10000u /* in the shared pages */
#define RUNNER_BYTES (RUNNER_CODE_BYTES + RUNNER_SHARED_BYTES)
#define RUNNER_COMMANDS 1000u

/* A system call for the runner to make; 56 bytes, known to its code. */
struct runner_command {
	u64 nr, a[6];
};
/* The shared pages; their layout is known to the runner's code. It writes what it finds to be so, and executes what we
 * write; between a start and the next stop all of it may be guest code's doing. */
struct runner_shared {
	u64 frame;            /* 0x00: RSP for rt_sigreturn */
	u64 fs_base, gs_base; /* 0x08, 0x10 */
	u64 secret;           /* 0x18: ours, 0 but from before a start until commands are done */
	u64 ncommands;        /* 0x20: another number when they are done */
	u64 again;            /* 0x28: stop again after the commands */
	s64 error;            /* 0x30: of the last command that failed */
	u64 info, uc;         /* 0x38, 0x40: the handler's arguments */
	u64 fs, gs;           /* 0x48, 0x50: selectors */
	s64 listener;         /* 0x58: at its birth */
	u64 ds, es;           /* 0x60, 0x68: selectors */
	u64 pad[2];
	struct runner_command command[RUNNER_COMMANDS]; /* 0x80 */
};
_Static_assert(sizeof(struct runner_shared) <= RUNNER_STACK_OFF, "below the signal stack");

/* The XSAVE area (SDM 1 13.4). */
#define RUNNER_FP_MXCSR 24
#define RUNNER_FP_KERNEL 464 /* 48 bytes that are the kernel's, struct _fpx_sw_bytes */
#define RUNNER_FP_MAGIC1 0x46505853u
#define RUNNER_FP_MAGIC2 0x46505845u /* behind the area: without it the kernel loads x87 and SSE only */
#define RUNNER_FP_HEADER 512
#define RUNNER_FP_AVX 576
#define RUNNER_FP_BYTES 832
#define RUNNER_FP_GUEST \
	7ull /* XSTATE_BV: x87, SSE, AVX. What else there is - AVX-512, PKRU - is in its initial state at each start \
	      */

enum { RUNNER_ES, RUNNER_DS, RUNNER_FS, RUNNER_GS };

/* ---- directly, or in translated code? (direct_choose.c) ---- */
struct direct_way {
	bool direct;            /* in this leg */
	bool trial;             /* it is there to see what the way that lost costs now */
	u32 leg;                /* returns to CPL 3 until it is over */
	u32 n, part_n;          /* ... since it began */
	u64 ns, since, part_ns; /* time since then; until `since` it is in ns */
	u32 stops;              /* of the runner in this leg */
	struct {
		u64 awake_ns, thread_ns, runner_ns; /* time awake, CPU time of the vCPU's thread and of the runner */
	} began;
	struct direct_cost {
		u64 ns, n; /* of so many returns; n is 0: not known */
	} cost[2];         /* translated, direct */
	u32 lost;          /* comparisons in a row that direct execution has lost */
	s64 left;          /* of c->direct.spare, when another address space came */
};
enum direct_choice {
	CHOICE_TRANSLATED,
	CHOICE_DIRECT,
	CHOICE_BAR, /* translated, and it is to give its runner back */
};

struct runner {
	int pid, pidfd, listener;
	bool alive, stopped;
	struct direct_host host;
	u64 frame;   /* RSP for rt_sigreturn */
	u64 stop_id; /* of the notification it waits for an answer to */
	u64 secret;
	struct runner_shared *sh;
	/* Where its frame is in sh, between runner_go() and what goes into it and comes out of it. */
	struct {
		ucontext_t *uc;
		siginfo_t *si;
		u8 *fp;
		bool bases; /* where the host has no FSGSBASE: it has these */
		u64 fs_base, gs_base;
	} there;
	/* Of the first frame, from before there was guest code: signal mask, signal stack, selectors, what the kernel
	 * has in the XSAVE area. */
	struct {
		u8 uc[offsetof(ucontext_t, uc_sigmask) + 8];
		u8 fp[48];
		u64 xfeatures;
		u32 magic2_at, mxcsr_mask;
	} clean;
	/* Of the last stop and for the next start; ours alone. Only registers count in the ucontext. */
	ucontext_t *uc;
	siginfo_t *si;
	u8 *fp; /* XSAVE area, standard form */
	u64 fs_base, gs_base;
	u16 sel[4];   /* data segments at the stop: RUNNER_* */
	bool strayed; /* it stopped inside of our code, where guest code has no business; its registers are gone */
	bool ran;     /* guest code may have been executed: if it is dead, nobody knows what the registers are */
	s64 error;    /* of a command before the stop: then guest code was not executed */
	struct {
		ucontext_t uc;
		siginfo_t si;
		u8 fp[RUNNER_FP_BYTES];
	} here;
	u32 ncommands;
	struct runner_command command[RUNNER_COMMANDS]; /* queued */
	u32 ram_fd;

	/* What it is used for: */
	struct soft_cpu *cpu; /* NULL: nothing */
	unsigned space;       /* of cpu's spaces, DIRECT_NOWHERE: no PCID has its address space now */
	u64 cr3;              /* its address space is that of these page tables */
	u64 used_ns;
	struct direct_map *map;
	/* direct.c: how it fared */
	struct direct_way way;
	bool resumes; /* it was stopped for something that was no return to CPL 3 */
	struct {
		bool waits; /* to be mapped at the next start */
		u64 lin, error;
	} fault;
};

/* A process that was made and is not used yet. */
struct runner_birth {
	int pid, pidfd, listener, shared;
	u64 secret;
	bool cpuid_faults;
};
/* False: *why, static text, says what the host lacks; b is to be closed all the same. flags: 0, or CLONE_PARENT where
 * the caller is a child of `parent`. Allocates nothing. */
bool runner_birth(struct runner_birth *b, int ram_fd, pid_t parent, unsigned long flags, const char **why);
void runner_birth_close(struct runner_birth *b);
/* It takes the place of r's process, which is dead or ends. Closes b. False: it does not start, and r is dead. */
bool runner_adopt(struct runner *r, struct runner_birth *b);
/* NULL: *why, as above. */
struct runner *runner_new(int ram_fd, const char **why);
void runner_free(struct runner *r);
/* Stopped: queue a system call for its next start; false: no more fit. */
bool runner_queue(struct runner *r, u64 nr, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4, u64 a5);
/* Stopped: carry out what is queued and stop again. < 0: a command failed, or it is dead. */
int runner_flush(struct runner *r);
/* Stopped: carry out what is queued, go on at the frame, and wait until it stops. < 0: it is dead. */
int runner_go(struct runner *r);
/* Stopped: nothing is left of what it was used for. */
void runner_wipe(struct runner *r);
void runner_signal(const struct runner *r, int sig);
/* CPU time that its process has used; 0: not known. */
u64 runner_cpu_ns(const struct runner *r);

/* A runner is given to an address space, which begins in it. */
void direct_way_begin(struct runner *r, u64 now_ns);
/* At the n-th return to CPL 3 since the last time: how does it go on? now_ns: time that c did not sleep. */
enum direct_choice direct_choose(struct soft_cpu *c, struct runner *r, u32 n, u64 now_ns);
/* In a leg of translated code: there were so few returns to CPL 3 in took_ns that what was found out before does not
 * hold any more. */
bool direct_way_outdated(const struct direct_way *w, u64 took_ns, u64 returns);
/* May the address space of these page tables not have a runner now? */
bool direct_way_barred(const struct soft_cpu *c, u64 root);

/* ---- runners in the place of dead ones (direct_zygote.c) ---- */
/* A process that makes runners, as we cannot behind the system-call filter. */
void direct_zygote_new(struct direct_zygote *z, int ram_fd);
void direct_zygote_free(struct direct_zygote *z);
/* There is a dead runner, that nobody uses: in a while, and not too often, it is alive again. Returns at once. */
void direct_zygote_renew(struct direct_zygote *z, struct runner *dead, u64 now_ns);

/* ---- what may not be executed directly (direct_scan.c) ---- */
enum page_kind {
	PAGE_PLAIN,
	PAGE_ASKS, /* CPUID where the host cannot make it fault, XGETBV */
	PAGE_NEVER,
};
/* Has an instruction that must not be executed directly a byte in that page of 64-bit code? before, behind: what is
 * executable there, or NULL. */
enum page_kind direct_scan(const struct direct_host *h, const u8 *before, const u8 *page, const u8 *behind);

#define DIRECT_SCAN_BEFORE 96 /* bytes of the page before that count */
#define DIRECT_SCAN_BEHIND 16

/* ---- pages stay what was looked at (direct_code.c) ---- */
struct mmu_user;
#define DIRECT_GUARD_MAX 512
bool direct_code_init(struct soft_vm *vm);
void direct_code_fini(struct soft_vm *vm);
/* Before pages are executed directly, those of u that can be: who writes to them is seen. In guest code, no lock held;
 * n up to DIRECT_GUARD_MAX. */
void direct_code_guard(struct soft_cpu *c, const struct mmu_user *u, unsigned n);
/* May the page, in an array between its neighbours, be executed directly? c->tlb_lock held. */
enum page_kind direct_code_kind(struct soft_cpu *c, const struct mmu_user *u);
/* The RAM page was written; any thread, no lock held. For cache.c. */
void direct_code_written(struct soft_vm *vm, u64 page);
/* Nothing is guarded any more; in an exclusive section. */
void direct_code_forget(struct soft_vm *vm);
/* A runner of c is about to write to the page: it need not be guarded, unless blocks were decoded from it. No lock
 * held. */
void direct_code_release(struct soft_cpu *c, u64 page);
/* Does a runner of c have the page, or ~0: any, for executing? It will be looked at before its next start. c->tlb_lock
 * held. */
bool direct_map_revoke(struct soft_cpu *c, u64 page);

/* ---- its mappings (direct_map.c) ---- */
struct direct_map *direct_map_new(void);
void direct_map_free(struct direct_map *m);
/* Make its mappings right for a start; < 0: it is dead, or -ESTALE: the page tables are another process's now. */
int direct_map_sync(struct soft_cpu *c, struct runner *r);
/* The runner's page fault: true, if it is to try again. error: #PF error code. ahead: it will be; where the guest's
 * tables have no such page, nothing is done. */
bool direct_map_fault(struct soft_cpu *c, struct runner *r, u64 lin, u64 error, bool ahead);
/* Another address space comes, or a command failed. */
void direct_map_forget(struct runner *r);
/* It is dead, and nothing of it is left. */
void direct_map_lost(struct soft_cpu *c, struct runner *r);

#endif
