/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * filter.c - run while Mica is built: writes the VMM's system-call filter, as the BPF program that the kernel takes.
 * A list that can be read, made by libseccomp; and not each time a VM starts, which takes longer than to have the
 * kernel check and translate the result.
 */
#include "base/base.h"
#include "vmm/filter.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>

/* One test of one argument. */
#define ANY \
	0, \
	{ \
		0 \
	}
#define ARG(...) \
	1, \
	{ \
		__VA_ARGS__ \
	}
#define RULE(name, ...) \
	{ \
		SCMP_SYS(name), __VA_ARGS__ \
	}

#define KVM(request) RULE(ioctl, ARG(1, SCMP_CMP_EQ, KVM_##request))

struct rule {
	int nr;
	unsigned nargs;
	struct scmp_arg_cmp arg; /* number, comparison, data */
};

/* docs/security.md has the same groups with their reasons. */
static const struct rule rules[] = {
	/* bytes through descriptors that are open already */
	RULE(read, ANY),
	RULE(write, ANY),
	RULE(readv, ANY),
	RULE(writev, ANY),
	RULE(pread64, ANY),
	RULE(pwrite64, ANY),
	RULE(preadv, ANY),
	RULE(pwritev, ANY),
	RULE(preadv2, ANY),
	RULE(pwritev2, ANY),
	RULE(sendfile, ANY),
	RULE(recvfrom, ANY),
	RULE(sendto, ANY),
	RULE(recvmsg, ANY),
	RULE(sendmsg, ANY),
	RULE(recvmmsg, ANY),
	RULE(sendmmsg, ANY),
	RULE(shutdown, ANY),
	RULE(lseek, ANY),
	RULE(close, ANY),
	RULE(fstat, ANY),
	RULE(newfstatat, ARG(3, SCMP_CMP_EQ, AT_EMPTY_PATH)),
	RULE(fcntl, ARG(1, SCMP_CMP_EQ, F_GETFL)),
	RULE(fcntl, ARG(1, SCMP_CMP_EQ, F_SETFL)),
	RULE(fcntl, ARG(1, SCMP_CMP_EQ, F_GETFD)),
	RULE(fcntl, ARG(1, SCMP_CMP_EQ, F_SETFD)),
	RULE(fcntl, ARG(1, SCMP_CMP_EQ, F_DUPFD_CLOEXEC)),
	/* clients of the console and control sockets */
	RULE(accept4, ANY),
	/* disks */
	RULE(fsync, ANY),
	RULE(fdatasync, ANY),
	RULE(fallocate, ANY),
	RULE(ftruncate, ANY),
	RULE(io_uring_enter, ANY),
	/* the event loop and its timers */
	RULE(epoll_wait, ANY),
	RULE(epoll_pwait, ANY),
	RULE(epoll_pwait2, ANY),
	RULE(epoll_ctl, ANY),
	RULE(poll, ANY),
	RULE(ppoll, ANY),
	RULE(timerfd_settime, ANY),
	/* time; most of it never leaves the vdso */
	RULE(clock_gettime, ANY),
	RULE(clock_getres, ANY),
	RULE(clock_nanosleep, ANY),
	RULE(nanosleep, ANY),
	RULE(gettimeofday, ANY),
	RULE(time, ANY),
	/* memory: never executable */
	RULE(mmap, ARG(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)),
	RULE(mprotect, ARG(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)),
	RULE(munmap, ANY),
	RULE(mremap, ANY),
	RULE(madvise, ANY),
	RULE(brk, ANY),
	/* threads that run already: locks, ends, signals to ourselves */
	RULE(futex, ANY),
	RULE(set_robust_list, ANY),
	RULE(rseq, ANY),
	RULE(sched_yield, ANY),
	RULE(sched_getaffinity, ANY),
	RULE(membarrier, ANY),
	RULE(getcpu, ANY),
	RULE(gettid, ANY),
	RULE(getpid, ANY),
	RULE(rt_sigaction, ANY),
	RULE(rt_sigprocmask, ANY),
	RULE(rt_sigreturn, ANY),
	RULE(sigaltstack, ANY),
	RULE(restart_syscall, ANY),
	RULE(exit, ANY),
	RULE(exit_group, ANY),
	/* direct execution: to stop and start the processes that were made for it. No descriptor of another process can
	 * be had any more. */
	RULE(pidfd_send_signal, ANY),
	RULE(waitid, ANY),
	RULE(ioctl, ARG(1, SCMP_CMP_EQ, SECCOMP_IOCTL_NOTIF_RECV)),
	RULE(ioctl, ARG(1, SCMP_CMP_EQ, SECCOMP_IOCTL_NOTIF_SEND)),
	/* the KVM engine: to run its vCPUs and to move their state, not to make VMs or vCPUs. Only /dev/kvm's
	 * descriptors know these requests, and there are none under the soft engine. */
	KVM(RUN),
	KVM(SIGNAL_MSI),
	KVM(INTERRUPT),
	KVM(NMI),
	KVM(IOEVENTFD),
	KVM(IRQFD),
	KVM(REGISTER_COALESCED_MMIO),
	KVM(UNREGISTER_COALESCED_MMIO),
	KVM(IRQ_LINE),
	KVM(GET_IRQCHIP),
	KVM(SET_IRQCHIP),
	KVM(GET_PIT2),
	KVM(SET_PIT2),
	KVM(SET_GSI_ROUTING),
	KVM(SET_USER_MEMORY_REGION),
	KVM(GET_DIRTY_LOG),
	KVM(CLEAR_DIRTY_LOG),
	KVM(RESET_DIRTY_RINGS),
	KVM(GET_REGS),
	KVM(SET_REGS),
	KVM(GET_SREGS),
	KVM(SET_SREGS),
	KVM(GET_MSRS),
	KVM(SET_MSRS),
	KVM(GET_XSAVE),
	KVM(SET_XSAVE),
	KVM(GET_XCRS),
	KVM(SET_XCRS),
	KVM(GET_DEBUGREGS),
	KVM(SET_DEBUGREGS),
	KVM(GET_VCPU_EVENTS),
	KVM(SET_VCPU_EVENTS),
	KVM(GET_MP_STATE),
	KVM(SET_MP_STATE),
	KVM(GET_LAPIC),
	KVM(SET_LAPIC),
	KVM(GET_CLOCK),
	KVM(SET_CLOCK),
	KVM(SET_TSC_KHZ),
	/* numbers */
	RULE(getrandom, ANY),
	RULE(getrusage, ANY),
};

static int make(scmp_filter_ctx ctx)
{
	int r = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(rules); i++)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, rules[i].nr, rules[i].nargs, &rules[i].arg);
	/* Signals reach our own threads only. */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, FILTER_OUR_PID));
	/* Rules as a binary tree: the hot path of I/O costs a few compares instead of sixty. */
	return r ? r : seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
}

int main(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	auto_close int fd = memfd_create("filter", MFD_CLOEXEC);
	struct sock_filter f;
	unsigned ours = 0;

	if (fd < 0 || make(ctx) < 0 || seccomp_export_bpf(ctx, fd) < 0 || lseek(fd, 0, SEEK_SET) < 0) {
		fprintf(stderr, "cannot make the system-call filter\n");
		return 1;
	}
	seccomp_release(ctx);
	while (read(fd, &f, sizeof(f)) == sizeof(f)) {
		printf("{ %#x, %u, %u, %#x },\n", f.code, f.jt, f.jf, f.k);
		ours += FILTER_IS_OUR_PID(&f);
	}
	if (ours != 1)
		fprintf(stderr, "the system-call filter compares with our process id %u times, not once\n", ours);
	return ours != 1;
}
