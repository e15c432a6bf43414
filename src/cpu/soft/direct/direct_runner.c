/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direct_runner.c - a runner's process: stopped, started, replaced, ended. See direct_runner.h; direct_birth.c makes
 * it. */
#include "cpu/soft/direct/direct_runner.h"

#include "base/clock.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002

/* Ours for what the handler was given there. NULL: it points elsewhere. */
static void *ours(const struct runner *r, u64 p, size_t bytes)
{
	u64 off = p - (RUNNER_BASE + RUNNER_CODE_BYTES);

	if (off < RUNNER_STACK_OFF || off > RUNNER_SHARED_BYTES - bytes)
		return NULL;
	return (u8 *)r->sh + off;
}

static bool canonical(u64 lin)
{
	return (u64)((s64)(lin << 16) >> 16) == lin;
}

static int wait_stop(struct runner *r)
{
	for (;;) {
		struct pollfd p = { .fd = r->listener, .events = POLLIN };
		struct seccomp_notif n = { 0 };

		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			break;
		if (p.revents & POLLIN) {
			if (ioctl(r->listener, SECCOMP_IOCTL_NOTIF_RECV, &n) == 0) {
				r->stop_id = n.id;
				r->stopped = true;
				return 0;
			}
			if (errno != EINTR && errno != ENOENT && errno != EAGAIN)
				break;
		} else if (p.revents) {
			break;
		}
	}
	r->alive = r->stopped = false;
	return -ESRCH;
}

/*
 * All that guest code finds in its registers and can read in the shared pages is written anew at each start, from
 * memory of our own: a frame that guest code made, before it jumped to where our code stops, could block the signal
 * that stops it (uc_sigmask), move the signal stack, or make the kernel overlook the YMM registers (FP_XSTATE_MAGIC2).
 */
static void write_frame(struct runner *r)
{
	struct runner_shared *sh = r->sh;
	ucontext_t *uc = r->there.uc;
	u8 *fp = r->there.fp;
	u64 header[8] = { ld_le64(r->fp + RUNNER_FP_HEADER) & RUNNER_FP_GUEST & r->clean.xfeatures };

	memset(r->there.si, 0, sizeof(*r->there.si));
	memcpy(uc, r->clean.uc, sizeof(r->clean.uc));
	memcpy(uc->uc_mcontext.gregs, r->uc->uc_mcontext.gregs, REG_CSGSFS * sizeof(greg_t));
	if (r->code32)
		uc->uc_mcontext.gregs[REG_CSGSFS] = (uc->uc_mcontext.gregs[REG_CSGSFS] & ~(greg_t)0xffff) | USER_CS32;
	memcpy(fp, r->fp, RUNNER_FP_KERNEL);
	memcpy(fp + RUNNER_FP_KERNEL, r->clean.fp, sizeof(r->clean.fp));
	memcpy(fp + RUNNER_FP_HEADER, header, sizeof(header));
	memcpy(fp + RUNNER_FP_AVX, r->fp + RUNNER_FP_AVX, RUNNER_FP_BYTES - RUNNER_FP_AVX);
	st_le32(fp + r->clean.magic2_at, RUNNER_FP_MAGIC2);
	sh->frame = r->frame;
	sh->fs_base = r->fs_base;
	sh->gs_base = r->gs_base;
	memcpy(sh->load, r->load, sizeof(r->load));
	sh->info = sh->uc = sh->fs = sh->gs = sh->ds = sh->es = 0;
}

/* What a stop left there, so that nobody changes it any more. It may be anything, but the next start must be able to
 * use it. */
static void read_frame(struct runner *r)
{
	const struct runner_shared *sh = r->sh;
	greg_t *g = r->uc->uc_mcontext.gregs;

	memcpy(r->si, r->there.si, sizeof(*r->si));
	memcpy(g, r->there.uc->uc_mcontext.gregs, sizeof(gregset_t));
	memcpy(r->fp, r->there.fp, RUNNER_FP_BYTES);
	st_le32(r->fp + RUNNER_FP_MXCSR, ld_le32(r->fp + RUNNER_FP_MXCSR) & r->clean.mxcsr_mask);
	r->sel[RUNNER_ES] = (u16)sh->es;
	r->sel[RUNNER_DS] = (u16)sh->ds;
	r->sel[RUNNER_FS] = (u16)sh->fs;
	r->sel[RUNNER_GS] = (u16)sh->gs;
	if (r->host.fsgsbase) {
		if (canonical(sh->fs_base) && canonical(sh->gs_base)) {
			r->fs_base = sh->fs_base;
			r->gs_base = sh->gs_base;
		}
	} else {
		/* Guest code cannot change them but by a selector. */
		if (r->sel[RUNNER_FS] > 3)
			r->fs_base = 0;
		if (r->sel[RUNNER_GS] > 3)
			r->gs_base = 0;
		if (r->sel[RUNNER_FS] | r->sel[RUNNER_GS])
			r->there.bases = false;
	}
	r->strayed = (u64)g[REG_RIP] - RUNNER_BASE < RUNNER_CODE_BYTES;
	if (unlikely(r->strayed)) {
		/* Guest code went into ours. What a signal interrupted there may have had the secret in a register. */
		memset(g, 0, sizeof(gregset_t));
		memset(r->there.uc->uc_mcontext.gregs, 0, sizeof(gregset_t));
	}
}

#define RUNNER_TRIES \
	4 /* the second one succeeds, unless guest code says that it did not: then the runner is given up */

/* Until the commands are done, and it has stopped again; guest code was executed in between unless `again`. */
static int start(struct runner *r, bool again)
{
	struct runner_shared *sh = r->sh;

	for (unsigned tries = 0; r->alive; tries++) {
		struct seccomp_notif_resp a = { .id = r->stop_id };

		write_frame(r);
		memcpy(sh->command, r->command, r->ncommands * sizeof(*r->command));
		sh->ncommands = r->ncommands;
		sh->again = again;
		sh->error = 0;
		__atomic_store_n(&sh->secret, r->secret, __ATOMIC_RELEASE);
		r->stopped = false;
		/* A signal may have ended its wait: then it stops anew. */
		bool sent = ioctl(r->listener, SECCOMP_IOCTL_NOTIF_SEND, &a) == 0;
		r->ran |= sent && !again;
		if (!sent && errno != ENOENT && errno != EINPROGRESS)
			r->alive = false;
		else if (wait_stop(r) == 0 &&
			 (!r->ncommands || __atomic_load_n(&sh->ncommands, __ATOMIC_ACQUIRE) != r->ncommands))
			break;
		/*
		 * Guest code that stops by a jump to our code does so with signals let in, or single steps: one came
		 * before the commands were done, and no guest code was executed. Now it stands in the handler, which
		 * nothing interrupts. Guest code that writes their number there, once they were done, only makes us do
		 * it again.
		 */
		if (tries == RUNNER_TRIES)
			r->alive = false;
	}
	sh->secret = 0;
	r->ncommands = 0;
	return r->alive ? 0 : -ESRCH;
}

bool runner_queue(struct runner *r, u64 nr, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4, u64 a5)
{
	if (r->ncommands == RUNNER_COMMANDS)
		return false;
	r->command[r->ncommands++] = (struct runner_command){ nr, { a0, a1, a2, a3, a4, a5 } };
	return true;
}

int runner_flush(struct runner *r)
{
	int code = start(r, true);

	return code < 0 ? code : r->sh->error < 0 ? (int)r->sh->error : 0;
}

/* Without FSGSBASE the bases are the kernel's to set. */
static int set_bases(struct runner *r)
{
	if (r->host.fsgsbase || (r->there.bases && r->there.fs_base == r->fs_base && r->there.gs_base == r->gs_base))
		return 0;
	if (r->ncommands > RUNNER_COMMANDS - 2) {
		int code = runner_flush(r);
		if (code < 0)
			return code;
	}
	r->there.bases = true;
	r->there.fs_base = r->fs_base;
	r->there.gs_base = r->gs_base;
	runner_queue(r, SYS_arch_prctl, ARCH_SET_FS, r->fs_base, 0, 0, 0, 0);
	runner_queue(r, SYS_arch_prctl, ARCH_SET_GS, r->gs_base, 0, 0, 0, 0);
	return 0;
}

int runner_go(struct runner *r)
{
	int code = set_bases(r);

	r->ran = false;
	if (code == 0)
		code = start(r, false);
	if (code < 0) {
		r->alive = false;
		return code;
	}
	r->error = MIN(r->sh->error, (s64)0);
	if (!r->error)
		read_frame(r);
	return 0;
}

void runner_wipe(struct runner *r)
{
	memset(r->sh, 0, RUNNER_SHARED_BYTES);
	memset(r->si, 0, sizeof(*r->si));
	memset(r->uc, 0, sizeof(*r->uc));
	memset(r->fp, 0, RUNNER_FP_BYTES);
	memset(r->command, 0, sizeof(r->command));
	memset(r->sel, 0, sizeof(r->sel));
	memset(r->load, 0, sizeof(r->load));
	r->code32 = false;
	r->fs_base = r->gs_base = 0;
	r->there.bases = false;
}

void runner_signal(const struct runner *r, int sig)
{
	syscall(SYS_pidfd_send_signal, r->pidfd, sig, NULL, 0);
}

u64 runner_cpu_ns(const struct runner *r)
{
	struct timespec ts;
	/* The kernel's number for "all that the process has used", which clock_getcpuclockid() makes (CPUCLOCK_SCHED).
	 */
	clockid_t clock = (clockid_t)((~(unsigned)r->pid << 3) | 2);

	return r->alive && clock_gettime(clock, &ts) == 0 ? (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec : 0;
}

#define MEASURES 8u /* the first ones are slow: nothing is in the caches */

void runner_measure(struct runner *r, struct direct_price *price)
{
	u64 best = UINT64_MAX;

	for (unsigned i = 0; i < MEASURES; i++) {
		u64 thread = clock_thread_ns(), runner = runner_cpu_ns(r);
		if (runner_flush(r) < 0)
			return;
		runner = runner_cpu_ns(r) - runner;
		thread = clock_thread_ns() - thread;
		if (thread + runner < best) {
			best = thread + runner;
			*price = (struct direct_price){ thread, runner };
		}
	}
}

/* Its process ends, and what we have of it. */
static void release(struct runner *r)
{
	siginfo_t si;

	if (r->pidfd >= 0) {
		runner_signal(r, SIGKILL);
		waitid(P_PIDFD, (id_t)r->pidfd, &si, WEXITED);
		close(r->pidfd);
	}
	if (r->listener >= 0)
		close(r->listener);
	if (r->sh)
		munmap(r->sh, RUNNER_SHARED_BYTES);
	r->pidfd = r->listener = -1;
	r->sh = NULL;
	r->alive = r->stopped = false;
}

static bool first_stop(struct runner *r)
{
	if (wait_stop(r) < 0)
		return false;
	r->there.uc = ours(r, r->sh->uc, sizeof(*r->there.uc));
	r->there.si = ours(r, r->sh->info, sizeof(*r->there.si));
	if (!r->there.uc || !r->there.si)
		return false;
	r->there.fp = ours(r, (u64)(uintptr_t)r->there.uc->uc_mcontext.fpregs, RUNNER_FP_BYTES + 4);
	r->frame = r->sh->uc;
	r->host.tsc_faults = r->there.si->si_signo == SIGSEGV;
	if (!r->there.fp)
		return false;
	memcpy(r->clean.uc, r->there.uc, sizeof(r->clean.uc));
	memset(r->clean.uc + offsetof(ucontext_t, uc_mcontext), 0,
	       REG_CSGSFS * sizeof(greg_t)); /* the secret's register, too */
	memcpy(r->clean.fp, r->there.fp + RUNNER_FP_KERNEL, sizeof(r->clean.fp));
	/* struct _fpx_sw_bytes: magic1, extended_size, xfeatures, xstate_size. Where it is no such frame there is
	 * nothing to be written behind it. */
	r->clean.xfeatures = ld_le64(r->clean.fp + 8);
	r->clean.magic2_at = ld_le32(r->clean.fp + 16);
	r->clean.mxcsr_mask = ld_le32(r->there.fp + RUNNER_FP_MXCSR + 4);
	if (ld_le32(r->clean.fp) != RUNNER_FP_MAGIC1 || r->clean.magic2_at < RUNNER_FP_AVX ||
	    !ours(r, (u64)(uintptr_t)r->there.uc->uc_mcontext.fpregs + r->clean.magic2_at, 4))
		return false;
	if (!r->clean.mxcsr_mask)
		r->clean.mxcsr_mask = 0xffbf; /* SDM 1 11.6.6 */
	r->uc = &r->here.uc;
	r->si = &r->here.si;
	r->fp = r->here.fp;
	runner_wipe(r);
	return true;
}

bool runner_adopt(struct runner *r, struct runner_birth *b)
{
	void *p = mmap(NULL, RUNNER_SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, b->shared, 0);

	release(r);
	r->pid = b->pid;
	r->secret = b->secret;
	r->host = (struct direct_host){ .cpuid_faults = b->cpuid_faults, .fsgsbase = runner_host_fsgsbase() };
	r->pidfd = b->pidfd;
	r->listener = b->listener;
	b->pidfd = b->listener = -1;
	runner_birth_close(b);
	if (p != MAP_FAILED) {
		r->sh = p;
		r->alive = true;
		if (first_stop(r))
			return true;
	}
	release(r);
	return false;
}

struct runner *runner_new(int ram_fd)
{
	/* Nothing of it is touched before it has a process. */
	struct runner *r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(r != MAP_FAILED);
	r->pidfd = r->listener = -1;
	r->space = DIRECT_NOWHERE;
	r->ram_fd = (u32)ram_fd;
	return r;
}

enum birth runner_make(struct runner *r)
{
	struct runner_birth b;
	enum birth how = runner_birth(&b, (int)r->ram_fd, getpid(), 0);

	if (how == BIRTH_OK && !runner_adopt(r, &b))
		how = BIRTH_NO_START;
	if (b.pidfd >= 0) {
		siginfo_t si;
		syscall(SYS_pidfd_send_signal, b.pidfd, SIGKILL, NULL, 0);
		waitid(P_PIDFD, (id_t)b.pidfd, &si, WEXITED);
	}
	runner_birth_close(&b);
	return how;
}

void runner_free(struct runner *r)
{
	if (r) {
		release(r);
		munmap(r, sizeof(*r));
	}
}
