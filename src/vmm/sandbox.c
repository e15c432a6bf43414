/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sandbox.c - see sandbox.h. */
#include "vmm/sandbox.h"
#include "base/log.h"
#include "vmm/i18n.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* More than a VM with all its disks, cards and clients holds. */
#define NOFILE_MAX 768

/* ---- namespaces and root directory ---- */

static int put_file(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return -errno;
	return 0;
}

/* unshare() wants a process of one thread (CLONE_NEWUSER). */
static bool new_namespaces(void)
{
	int other = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[64];

	if (unshare(CLONE_NEWUSER | other) < 0) {
		int code = errno;
		if (unshare(other) < 0) {
			log_info(_("sandbox: no namespaces on this host (%s)"), strerror(code));
			return false;
		}
		return true;
	}
	/* Only our own ids exist inside; without a map we are nobody there, which does as well. */
	put_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	int r = put_file("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	if (r == 0)
		r = put_file("/proc/self/gid_map", map);
	if (r < 0)
		log_info(_("sandbox: ids are not mapped in the user namespace (%s)"), strerror(-r));
	return true;
}

/* An empty read-only tmpfs becomes the root; everything else is detached (pivot_root(2), NOTES). */
static bool empty_root(void)
{
	static const char *const places[] = { "/tmp", "/var/tmp", "/mnt" };
	bool mounted = false;

	if (mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0)
		return false;
	for (size_t i = 0; !mounted && i < ARRAY_LEN(places); i++)
		mounted = mount("tmpfs", places[i], "tmpfs", MS_NODEV | MS_NOEXEC | MS_NOSUID | MS_RDONLY,
				"nr_inodes=2,nr_blocks=1,mode=555") == 0 &&
			  chdir(places[i]) == 0;
	return mounted && syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 && chdir("/") == 0;
}

/* Without a mount namespace: the fdinfo directory of a dead process is a root in which nothing can be found. */
static bool dead_root(void)
{
	char path[64];
	bool ok = false;
	pid_t pid = fork();

	if (pid < 0)
		return false;
	if (pid == 0) {
		pause();
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d/fdinfo", (int)pid);
	ok = chdir(path) == 0 && chroot(".") == 0;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return ok;
}

/* ---- privileges and limits ---- */

static void drop_capabilities(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };

	for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &h, none) < 0)
		log_info(_("sandbox: capabilities stay (%s)"), strerror(errno));
}

static void limit(int what, rlim_t max)
{
	struct rlimit r;

	if (getrlimit(what, &r) == 0) {
		r.rlim_max = MIN(r.rlim_max, max);
		r.rlim_cur = MIN(r.rlim_cur, r.rlim_max);
		setrlimit(what, &r);
	}
}

void sandbox_isolate(void)
{
	int parent_death = 0;

	prctl(PR_GET_PDEATHSIG, &parent_death, 0, 0, 0);
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	bool spaces = new_namespaces();
	if (!(spaces && empty_root()) && !dead_root())
		log_info(_("sandbox: the root directory stays (%s)"), strerror(errno));
	drop_capabilities();
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NOFILE, NOFILE_MAX);
	/* Guest RAM is no business of other processes of this user. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* The kernel forgets this one when credentials change. */
	prctl(PR_SET_PDEATHSIG, parent_death, 0, 0, 0);
}

/* ---- the system-call filter ---- */

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

int sandbox_lock(struct err *e)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(rules); i++)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, rules[i].nr, rules[i].nargs, &rules[i].arg);
	/* Signals reach our own threads only. */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (u64)getpid()));
	/* Every thread at once, the kernel's log names what a killed VMM tried. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
	/* Rules as a binary tree: the hot path of I/O costs a few compares instead of sixty. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	if (r < 0)
		return err_sys(e, -r, _("cannot enter the sandbox: the system-call filter is refused"));
	return 0;
}
