/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_birth.c - how a runner's process is made: its page of code, its system-call filter, its first steps.
 *
 * The page of code is at the same place in every runner, RUNNER_BASE, and is what stands between mica_runner_code and
 * mica_runner_code_end below. It touches no stack: there is none but the signal stack, whose frame is always at the
 * same place (SS_AUTODISARM: also when guest code points RSP into it).
 */
#include "cpu/soft/direct/direct_runner.h"

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

bool runner_host_fsgsbase(void)
{
	return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
}

/* Code for all runners, in a memfd: none of our own memory is executable for it. */
static int code_fd(void)
{
	int fd = memfd_create("mica-runner", MFD_CLOEXEC);
	size_t n = (size_t)(mica_runner_code_end - mica_runner_code);
	u8 has = runner_host_fsgsbase();

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

const char *runner_birth_text(enum birth how)
{
	switch (how) {
	case BIRTH_OK:
		break;
	case BIRTH_NO_MEMORY:
		return "no memory for its process";
	case BIRTH_NO_FILTER:
		return "the host's kernel refuses a system-call filter with a listener (Linux 5.9 or later; another "
		       "listener?)";
	case BIRTH_NO_START:
		return "its process did not start";
	}
	return "none";
}

enum birth runner_birth(struct runner_birth *b, int ram_fd, pid_t parent, unsigned long flags)
{
	auto_close int code = code_fd();

	*b = (struct runner_birth){ .pidfd = -1,
				    .listener = -1,
				    .shared = memfd_create("mica-runner-shared", MFD_CLOEXEC) };
	if (code < 0 || b->shared < 0 || ftruncate(b->shared, RUNNER_SHARED_BYTES) < 0)
		return BIRTH_NO_MEMORY;
	void *p = mmap(NULL, RUNNER_SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, b->shared, 0);
	if (p == MAP_FAILED)
		return BIRTH_NO_MEMORY;
	struct runner_shared *sh = p;
	enum birth how = BIRTH_NO_MEMORY;
	s64 fd = -1;
	if (getrandom(&b->secret, sizeof(b->secret), 0) != sizeof(b->secret))
		goto out;
	long pid = syscall(SYS_clone, flags | CLONE_FILES | CLONE_PIDFD | SIGCHLD, NULL, &b->pidfd, NULL, 0);
	if (pid < 0)
		goto out;
	if (pid == 0)
		begin(sh, ram_fd, code, b->shared, b->secret, parent);
	b->pid = (int)pid;
	how = BIRTH_NO_FILTER;
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
	how = BIRTH_OK;
out:
	munmap(p, RUNNER_SHARED_BYTES);
	return how;
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
