/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_state.h - what direct execution (direct/direct.h) keeps in each vCPU and in the VM. Others read `spare` of
 * struct direct_cpu (system/, at each return to CPL 3) and the counters.
 */
#ifndef MICA_SOFT_DIRECT_STATE_H
#define MICA_SOFT_DIRECT_STATE_H

#include "cpu/soft/jit_state.h"

#include <pthread.h>
#include <stdatomic.h>

struct runner;

enum direct_exit {
	DX_KICK, /* something is pending */
	DX_SYSCALL,
	DX_FAULT, /* a page fault that is the guest's, or a page that may not be mapped */
	DX_GP,    /* #GP, #UD, #DE, #BP... */
	DX_TSC,   /* RDTSC, emulated here */
	DX_MAP,   /* a page was mapped */
	DX_LOST,  /* the runner is dead */
	DX_COUNT,
};
struct direct_stats {
	u64 ns, starts, maps, pages, checks, drops, let_in, barred;
	u64 exit[DX_COUNT];
};

/* An address space that does better in translated code, by its page tables (direct_choose.c). */
#define DIRECT_BARS 16u
struct direct_bar {
	u64 root;   /* 0: none */
	u64 tables; /* what its user half pointed to: another process may have the same root later */
	u64 until_ns, wait_ns;
};

/* Part of struct soft_cpu. */
struct direct_cpu {
	s64 spare;          /* returns to CPL 3 left before one is looked at */
	s64 spare_from;     /* ... counted from */
	bool seen_user;     /* it was at CPL 3 */
	s64 seen_spare;     /* of spare then */
	u64 seen_ns;        /* time awake at the last interrupt that counted */
	struct runner *now; /* of the address space in use */
	struct runner *of[JIT_SPACES];
	unsigned own; /* runners that are this vCPU's */
	_Atomic(struct runner *) running;
	struct direct_bar bar[DIRECT_BARS];
	struct direct_stats st;
};
#define DIRECT_NEVER (INT64_MAX / 2)

/* What the host's kernel can do for its processes. */
struct direct_host {
	bool cpuid_faults, tsc_faults, fsgsbase;
};

/* CPU time that the host takes for stopping a runner and starting it again, without a signal: of the vCPU's thread, and
 * of the runner. */
struct direct_price {
	u64 thread_ns, runner_ns;
};

struct direct_zygote {
	int pidfd, socket; /* -1: there is none */
	bool asked;
	u64 not_before_ns; /* to ask for the next one */
};
#define DIRECT_MAX 16 /* runners of a VM */
struct direct {
	unsigned n;
	const char *why; /* there are none, or none could be made */
	bool born;       /* there has been one: host and price are known */
	u8 vec_ok;       /* VEC_OK_* that the guest must have on, as they are on in the host */
	struct direct_zygote zygote;
	struct direct_host host;
	struct direct_price price;
	_Atomic u32 *code;    /* by RAM page, see direct_code.c; NULL: there are no runners */
	u64 base_end;         /* segment bases must be below, unless 0 */
	bool always;          /* for tests: everybody is let in at once */
	_Atomic u64 bytes;    /* of the host's memory that their mappings take, see direct_map.c */
	pthread_mutex_t lock; /* who has which */
	struct runner *r[DIRECT_MAX];
	/* Pages, by hash and plus 1, in which translated code executed CPUID or XGETBV. */
	u64 shown[1024];
};

#endif
