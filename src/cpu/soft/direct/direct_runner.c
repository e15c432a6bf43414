/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_runner.c - the process that executes guest code: how it is made, stopped and started. See direct.h.
 *
 * Its code page is one position in every runner, RUNNER_BASE, and made of what stands between code_begin and code_end
 * below. It touches no stack: there is none but the signal stack, whose frame is always at the same place
 * (SS_AUTODISARM: also where guest code points RSP at it).
 */
#include "cpu/soft/direct/direct.h"

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

#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE (1 << 1)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, u64)
#endif
#define NOTIF_SYNC_WAKE_UP 1ull
#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_SET_CPUID 0x1012
#define SS_AUTODISARM_ (1u << 31)
#define SA_RESTORER_ 0x04000000ul
#define NOTIFY SYS_getppid /* takes no arguments and does nothing: its number says "I stopped" */

/* ---- the code page ---- */

#define STR_(x) #x
#define STR(x) STR_(x)
__asm__(".pushsection .rodata\n"
	".balign 16\n"
	"mica_runner_code:\n"
	/* The first start, from begin() below: R12, R13 what to unmap behind us, R14 the RAM's descriptor, R15 the
	 * secret. Everything but our pages goes, and every descriptor but the RAM's. */
	"mica_runner_first:\n"
	"	mov %r15, %r9\n"
	"	xor %edi, %edi\n"
	"	movabs $0x3a5c00000000, %rsi\n"
	"	mov $11, %eax\n" /* munmap */
	"	syscall\n"
	"	mov %r12, %rdi\n"
	"	mov %r13, %rsi\n"
	"	mov %r15, %r9\n"
	"	mov $11, %eax\n"
	"	syscall\n"
	"	lea 1(%r14), %edi\n"
	"	mov $-1, %esi\n"
	"	mov $2, %edx\n" /* CLOSE_RANGE_UNSHARE */
	"	mov %r15, %r9\n"
	"	mov $436, %eax\n" /* close_range */
	"	syscall\n"
	"	xor %edi, %edi\n"
	"	lea -1(%r14), %esi\n"
	"	xor %edx, %edx\n"
	"	mov %r15, %r9\n"
	"	mov $436, %eax\n"
	"	syscall\n"
	"	rdtsc\n" /* where the host's kernel cannot make it fault the signal is another one */
	"	ud2\n"
	/* Every signal comes here: RSI siginfo, RDX ucontext. */
	"mica_runner_handler:\n"
	"	movabs $0x3a5c00001000, %rbx\n"
	"	mov %rsi, 0x38(%rbx)\n"
	"	mov %rdx, 0x40(%rbx)\n"
	"	cmpb $0, mica_runner_fsgsbase(%rip)\n"
	"	je 1f\n"
	"	rdfsbase %rax\n"
	"	mov %rax, 0x08(%rbx)\n"
	"	rdgsbase %rax\n"
	"	mov %rax, 0x10(%rbx)\n"
	"1:	mov %fs, %eax\n"
	"	mov %rax, 0x48(%rbx)\n"
	"	mov %gs, %eax\n"
	"	mov %rax, 0x50(%rbx)\n"
	"	mov %ds, %eax\n"
	"	mov %rax, 0x60(%rbx)\n"
	"	mov %es, %eax\n"
	"	mov %rax, 0x68(%rbx)\n"
	/* Stop. What follows trusts no register, for guest code may have jumped here: it can only do what we want to
	 * have done anyway, as we only answer a stop. */
	"mica_runner_stop:\n"
	"	mov $110, %eax\n" /* getppid */
	"	syscall\n"
	"	movabs $0x3a5c00001000, %rbx\n"
	"	xor %ecx, %ecx\n"
	"	mov 0x18(%rbx), %r15\n"
	"	mov %rcx, 0x18(%rbx)\n"
	"	mov 0x20(%rbx), %r14\n"
	"	lea 0x80(%rbx), %r13\n"
	"1:	test %r14, %r14\n" /* a loop over commands, each wiped behind us: guest code must not see RAM's pages */
	"	jz 4f\n"
	"	mov (%r13), %rax\n"
	"	mov 0x08(%r13), %rdi\n"
	"	mov 0x10(%r13), %rsi\n"
	"	mov 0x18(%r13), %rdx\n"
	"	mov 0x20(%r13), %r10\n"
	"	mov 0x28(%r13), %r8\n"
	"	mov %r15, %r9\n"
	"	cmp $9, %eax\n" /* mmap has six arguments: the secret is in the upper halves of flags and descriptor */
	"	jne 2f\n"
	"	mov 0x30(%r13), %r9\n"
	"	mov %r15, %r11\n"
	"	shl $32, %r11\n"
	"	or %r11, %r8\n"
	"	mov %r15, %r11\n"
	"	shr $32, %r11\n"
	"	shl $32, %r11\n"
	"	or %r11, %r10\n"
	"2:	syscall\n"
	"	cmp $-4096, %rax\n"
	"	jb 3f\n"
	"	mov %rax, 0x30(%rbx)\n"
	"3:	xor %ecx, %ecx\n"
	"	mov %rcx, (%r13)\n"
	"	mov %rcx, 0x08(%r13)\n"
	"	mov %rcx, 0x10(%r13)\n"
	"	mov %rcx, 0x18(%r13)\n"
	"	mov %rcx, 0x20(%r13)\n"
	"	mov %rcx, 0x28(%r13)\n"
	"	mov %rcx, 0x30(%r13)\n"
	"	add $56, %r13\n"
	"	dec %r14\n"
	"	jmp 1b\n"
	"4:	mov %r14, 0x20(%rbx)\n" /* 0: they are done. A signal before this, and they are begun anew */
	"	mov 0x28(%rbx), %rax\n"
	"	or 0x30(%rbx), %rax\n" /* guest code must not run where rights could not be taken away */
	"	jnz mica_runner_stop\n"
	/* What rt_sigreturn leaves alone: data segments, their bases, NT and ID of the flags. */
	"	mov %ds, %eax\n"
	"	mov %es, %ecx\n"
	"	or %ecx, %eax\n"
	"	mov %fs, %ecx\n"
	"	or %ecx, %eax\n"
	"	mov %gs, %ecx\n"
	"	or %ecx, %eax\n"
	"	jz 5f\n"
	"	xor %eax, %eax\n"
	"	mov %eax, %ds\n"
	"	mov %eax, %es\n"
	"	mov %eax, %fs\n"
	"	mov %eax, %gs\n"
	"5:	cmpb $0, mica_runner_fsgsbase(%rip)\n" /* else they were commands */
	"	je 6f\n"
	"	mov 0x08(%rbx), %rax\n"
	"	wrfsbase %rax\n"
	"	mov 0x10(%rbx), %rax\n"
	"	wrgsbase %rax\n"
	"6:	mov (%rbx), %rsp\n"
	"	push $2\n" /* into the frame's return address, which nobody uses */
	"	popfq\n"
	"	mov %r15, %r9\n"
	"	mov $15, %eax\n" /* rt_sigreturn */
	"	syscall\n"
	"	ud2\n"
	"mica_runner_fsgsbase:\n" /* has the host FSGSBASE? Written by code_fd() */
	"	.byte 0\n"
	"mica_runner_code_end:\n"
	".popsection\n");
extern const u8 mica_runner_code[], mica_runner_first[], mica_runner_handler[], mica_runner_fsgsbase[],
    mica_runner_code_end[];

static inline u64 there(const u8 *label)
{
	return RUNNER_BASE + (u64)(label - mica_runner_code);
}

static bool host_fsgsbase(void)
{
	return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
}

/* Code for all runners, in a memfd: none of our own memory is executable for it. */
static int code_fd(void)
{
	int fd = memfd_create("mica-runner", MFD_CLOEXEC);
	size_t n = (size_t)(mica_runner_code_end - mica_runner_code);
	u8 has = host_fsgsbase();

	if (fd >= 0 && (ftruncate(fd, RUNNER_CODE_BYTES) < 0 || pwrite(fd, mica_runner_code, n, 0) != (ssize_t)n ||
			pwrite(fd, &has, 1, mica_runner_fsgsbase - mica_runner_code) != 1)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* ---- the filter ---- */

enum { F_MMAP = 15, F_SECRET = 19, F_STOP = 23, F_ALLOW, F_TRAP, F_END };
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_HIGH(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field) + 4)
#define IF(at, v, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (u32)(v), (yes) - (at)-1, (no) - (at)-1)

/* The descriptor that its stops are reported to, or < 0. */
static long install_filter(u64 secret)
{
	u32 low = (u32)secret, high = (u32)(secret >> 32);
	struct sock_filter f[] = {
		LOAD(arch),
		IF(1, AUDIT_ARCH_X86_64, 2, F_TRAP),
		LOAD_HIGH(instruction_pointer),
		IF(3, RUNNER_BASE >> 32, 4, F_TRAP),
		LOAD(instruction_pointer),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~(RUNNER_CODE_BYTES - 1)),
		IF(6, RUNNER_BASE, 7, F_TRAP),
		LOAD(nr),
		IF(8, NOTIFY, F_STOP, 9),
		IF(9, SYS_mmap, F_MMAP, 10),
		IF(10, SYS_munmap, F_SECRET, 11),
		IF(11, SYS_mprotect, F_SECRET, 12),
		IF(12, SYS_rt_sigreturn, F_SECRET, 13),
		IF(13, SYS_close_range, F_SECRET, 14),
		IF(14, SYS_arch_prctl, F_SECRET, F_TRAP), /* bases of FS and GS */
		[F_MMAP] = LOAD_HIGH(args[4]),
		IF(F_MMAP + 1, low, F_MMAP + 2, F_TRAP),
		LOAD_HIGH(args[3]),
		IF(F_MMAP + 3, high, F_ALLOW, F_TRAP),
		[F_SECRET] = LOAD(args[5]),
		IF(F_SECRET + 1, low, F_SECRET + 2, F_TRAP),
		LOAD_HIGH(args[5]),
		IF(F_SECRET + 3, high, F_ALLOW, F_TRAP),
		[F_STOP] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		[F_ALLOW] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		[F_TRAP] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
	};
	struct sock_fprog p = { F_END, f };

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &p);
}

/* ---- birth ---- */

static const int caught[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGUSR1 };

/* What the kernel's sigaction() takes. */
struct kernel_sigaction {
	u64 handler, flags, restorer, mask;
};

static bool signals(void)
{
	stack_t st = { .ss_sp = (void *)(uintptr_t)(RUNNER_BASE + RUNNER_CODE_BYTES + RUNNER_STACK_OFF),
		       .ss_size = RUNNER_SHARED_BYTES - RUNNER_STACK_OFF,
		       .ss_flags = (int)SS_AUTODISARM_ };
	u64 blocked = ~0ull;

	for (int sig = 1; sig <= 64; sig++) {
		struct kernel_sigaction sa = { 0 };
		if (sig == SIGKILL || sig == SIGSTOP)
			continue;
		for (size_t i = 0; i < ARRAY_LEN(caught); i++)
			if (caught[i] == sig) {
				sa = (struct kernel_sigaction){ there(mica_runner_handler),
								SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTORER_,
								there(mica_runner_handler), ~0ull };
				blocked &= ~(1ull << (sig - 1));
			}
		if (syscall(SYS_rt_sigaction, sig, &sa, NULL, 8) < 0)
			return false;
	}
	return syscall(SYS_sigaltstack, &st, NULL) == 0 &&
	       syscall(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, NULL, 8) == 0;
}

/* glibc's: its area in our memory will be gone. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

static void no_rseq(void)
{
	if (&__rseq_size && &__rseq_offset && __rseq_size)
		syscall(SYS_rseq, (u8 *)__builtin_thread_pointer() + __rseq_offset, 32, 1 /* unregister */, 0x53053053);
}

static bool map_at(u64 at, size_t bytes, int prot, int fd)
{
	return (u64)syscall(SYS_mmap, at, bytes, prot, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) == at;
}

/* In the new process, which shares our descriptors and has a copy of our memory. No return. */
noreturn_ static void begin(struct runner_shared *sh, int ram_fd, int code, int shared, u64 secret, pid_t parent)
{
	no_rseq();
	syscall(SYS_setsid);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_NAME, "mica-direct", 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* The guest's TSC is not the host's. */
	if (syscall(SYS_getppid) == parent && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0) == 0 && syscall(SYS_close_range, ~0u, ~0u, 0) == 0 &&
	    map_at(RUNNER_BASE, RUNNER_CODE_BYTES, PROT_READ | PROT_EXEC, code) &&
	    map_at(RUNNER_BASE + RUNNER_CODE_BYTES, RUNNER_SHARED_BYTES, PROT_READ | PROT_WRITE, shared) && signals()) {
		u64 rest = RUNNER_BASE + RUNNER_BYTES;

		sh->error = syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0) == 0;
		long fd = install_filter(secret);
		if (fd >= 0) {
			__atomic_store_n(&sh->listener, fd, __ATOMIC_RELEASE);
			__asm__ volatile(
			    "mov %0, %%r12\n mov %1, %%r13\n mov %2, %%r14\n mov %3, %%r15\n jmp *%4" ::"r"(rest),
			    "r"(0x7ffffffff000ull - rest), "r"((u64)ram_fd), "r"(secret), "a"(there(mica_runner_first))
			    : "r12", "r13", "r14", "r15", "memory");
			__builtin_unreachable();
		}
	}
	__atomic_store_n(&sh->listener, -1, __ATOMIC_RELEASE);
	for (;;)
		syscall(SYS_exit_group, 1);
}

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
	memcpy(fp, r->fp, RUNNER_FP_KERNEL);
	memcpy(fp + RUNNER_FP_KERNEL, r->clean.fp, sizeof(r->clean.fp));
	memcpy(fp + RUNNER_FP_HEADER, header, sizeof(header));
	memcpy(fp + RUNNER_FP_AVX, r->fp + RUNNER_FP_AVX, RUNNER_FP_BYTES - RUNNER_FP_AVX);
	st_le32(fp + r->clean.magic2_at, RUNNER_FP_MAGIC2);
	sh->frame = r->frame;
	sh->fs_base = r->fs_base;
	sh->gs_base = r->gs_base;
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

bool runner_birth(struct runner_birth *b, int ram_fd, pid_t parent, unsigned long flags, const char **why)
{
	auto_close int code = code_fd();

	*b = (struct runner_birth){ .pidfd = -1,
				    .listener = -1,
				    .shared = memfd_create("mica-runner-shared", MFD_CLOEXEC) };
	*why = "no memory for its process";
	if (code < 0 || b->shared < 0 || ftruncate(b->shared, RUNNER_SHARED_BYTES) < 0)
		return false;
	void *p = mmap(NULL, RUNNER_SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, b->shared, 0);
	if (p == MAP_FAILED)
		return false;
	struct runner_shared *sh = p;
	bool ok = false;
	s64 fd = -1;
	if (getrandom(&b->secret, sizeof(b->secret), 0) != sizeof(b->secret))
		goto out;
	long pid = syscall(SYS_clone, flags | CLONE_FILES | CLONE_PIDFD | SIGCHLD, NULL, &b->pidfd, NULL, 0);
	if (pid < 0)
		goto out;
	if (pid == 0)
		begin(sh, ram_fd, code, b->shared, b->secret, parent);
	b->pid = (int)pid;
	*why = "the host's kernel refuses a system-call filter with a listener (Linux 5.9 or later; another listener?)";
	while (!(fd = __atomic_load_n(&sh->listener, __ATOMIC_ACQUIRE))) {
		struct pollfd died = { .fd = b->pidfd, .events = POLLIN };
		struct timespec ts = { 0, 20000 };
		if (poll(&died, 1, 0) > 0)
			goto out;
		nanosleep(&ts, NULL);
	}
	if (fd < 0)
		goto out;
	b->listener = (int)fd;
	ioctl(b->listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS,
	      NOTIF_SYNC_WAKE_UP); /* Linux 6.6: a shorter way there and back */
	b->cpuid_faults = sh->error == 1;
	ok = true;
out:
	munmap(p, RUNNER_SHARED_BYTES);
	return ok;
}

void runner_birth_close(struct runner_birth *b)
{
	int *fd[] = { &b->pidfd, &b->listener, &b->shared };

	for (unsigned i = 0; i < ARRAY_LEN(fd); i++)
		if (*fd[i] >= 0) {
			close(*fd[i]);
			*fd[i] = -1;
		}
}

bool runner_adopt(struct runner *r, struct runner_birth *b)
{
	void *p = mmap(NULL, RUNNER_SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, b->shared, 0);

	release(r);
	r->pid = b->pid;
	r->secret = b->secret;
	r->host = (struct direct_host){ .cpuid_faults = b->cpuid_faults, .fsgsbase = host_fsgsbase() };
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

struct runner *runner_new(int ram_fd, const char **why)
{
	struct runner *r = xcalloc(1, sizeof(*r));
	struct runner_birth b;

	r->pidfd = r->listener = -1;
	r->space = DIRECT_NOWHERE;
	r->ram_fd = (u32)ram_fd;
	bool born = runner_birth(&b, ram_fd, getpid(), 0, why);
	if (born)
		*why = "its process did not start";
	if (born && runner_adopt(r, &b)) {
		*why = NULL;
		return r;
	}
	if (b.pidfd >= 0) {
		siginfo_t si;
		syscall(SYS_pidfd_send_signal, b.pidfd, SIGKILL, NULL, 0);
		waitid(P_PIDFD, (id_t)b.pidfd, &si, WEXITED);
	}
	runner_birth_close(&b);
	runner_free(r);
	return NULL;
}

void runner_free(struct runner *r)
{
	if (r) {
		release(r);
		free(r);
	}
}
