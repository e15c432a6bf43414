/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_runner.h - a runner: the process that executes guest code, and how it is stopped and started. Inside of
 * direct/.
 */
#ifndef MICA_SOFT_DIRECT_RUNNER_H
#define MICA_SOFT_DIRECT_RUNNER_H

#include "cpu/soft/direct/direct_choose.h"
#include "cpu/soft/direct/direct_pace.h"
#include "cpu/soft/direct_state.h"

#include <signal.h>
#include <stddef.h>
#include <ucontext.h>

struct soft_cpu;

#define USER_TOP 0x7ffffffff000ull /* of a process of the host */
#define DIRECT_NOWHERE (~0u)

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
	struct direct_pace pace;
	bool resumes; /* it was stopped for something that was no return to CPL 3 */
	struct {
		bool waits; /* to be mapped at the next start */
		u64 lin, error;
	} fault;
};

/* Does the host let user code read and write the bases of FS and GS? */
bool runner_host_fsgsbase(void);
/* A process that was made and is not used yet. */
struct runner_birth {
	int pid, pidfd, listener, shared;
	u64 secret;
	bool cpuid_faults;
};
enum birth {
	BIRTH_OK,
	BIRTH_NO_MEMORY,
	BIRTH_NO_FILTER,
	BIRTH_NO_START,
};
/* Static text: what the host lacks. */
const char *runner_birth_text(enum birth how);
/* Whatever it says, b is to be closed. flags: 0, or CLONE_PARENT where the caller is a child of `parent`. Allocates
 * nothing. */
enum birth runner_birth(struct runner_birth *b, int ram_fd, pid_t parent, unsigned long flags);
void runner_birth_close(struct runner_birth *b);
/* It takes the place of r's process, which is dead or ends. Closes b. False: it does not start, and r is dead. */
bool runner_adopt(struct runner *r, struct runner_birth *b);
/* It has no process yet: it is dead. */
struct runner *runner_new(int ram_fd);
/* Gives it one, where processes may still be made. */
enum birth runner_make(struct runner *r);
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
/* Stopped, with nothing queued: what the host takes for a stop and a start. */
void runner_measure(struct runner *r, struct direct_price *price);
/* CPU time that its process has used; 0: not known. */
u64 runner_cpu_ns(const struct runner *r);

#endif
