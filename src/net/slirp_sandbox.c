/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slirp_sandbox.c - the walls around libslirp, which parses whatever a guest sends.
 *
 * Two walls. An own user and mount namespace with an empty, read-only root: no file can be named.
 * And a system-call filter: Internet sockets, memory that is never executable, time; no open, no
 * exec, no process, no other socket family. Either alone keeps files away, so a host that refuses
 * user namespaces loses depth, not the wall. The network namespace stays the host's: that is the job.
 */
#include "net/slirp_sandbox.h"
#include "base/log.h"
#include "net/net.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static int put_file(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t n = strlen(text);

	return fd >= 0 && write(fd, text, n) == (ssize_t)n ? 0 : -1;
}

static void empty_root(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[64];

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0) {
		log_debug("mica-slirp: no namespaces here (%s); the system-call filter stands alone", strerror(errno));
		return;
	}
	put_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	int r = put_file("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	r |= put_file("/proc/self/gid_map", map);
	/* pivot_root onto itself stacks the old root over the new one, from where it is detached. */
	if (r < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=2") < 0 ||
	    chdir("/proc") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
	    chdir("/") < 0)
		log_debug("mica-slirp: no empty root (%s); the system-call filter stands alone", strerror(errno));
}

static void drop_privileges(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { 0 };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &h, d) < 0)
		log_debug("mica-slirp: cannot drop capabilities: %s", strerror(errno));
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static void limits(void)
{
	struct rlimit none = { 0, 0 };
	/* As much as slirp_limit.c's connections hold when every buffer of theirs is full. It is never reached but by
	 * what is not counted there: fragments, segments out of order. GLib aborts then, and mica-net starts us again.
	 */
	unused_ rlim_t bytes = 256 * MIB + NET_USER_CONNECTIONS * 400ull * KIB;
	unused_ struct rlimit mem = { bytes, bytes };

	setrlimit(RLIMIT_CORE, &none);
	setrlimit(RLIMIT_NPROC, &none);
#ifndef __SANITIZE_ADDRESS__ /* its shadow is terabytes of address space */
	setrlimit(RLIMIT_AS, &mem);
#endif
}

static int filter(void)
{
	static const int allowed[] = {
		/* frames and connections */
		SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(recvfrom),
		SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg),
		SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(close), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen),
		SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(shutdown), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
		SCMP_SYS(setsockopt), SCMP_SYS(getsockopt),
		/* time, memory, the end */
		SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap),
		SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(getrandom), SCMP_SYS(restart_syscall), SCMP_SYS(exit),
		SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction),
		SCMP_SYS(sigaltstack), SCMP_SYS(getpid), SCMP_SYS(gettid)
	};
	/* Refused calls fail: a library's harmless question must not take the network away. */
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < ARRAY_LEN(allowed); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	for (int family = AF_INET;; family = AF_INET6) {
		if (!r)
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
					     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family));
		if (family == AF_INET6)
			break;
	}
	static const int fcntls[] = { F_GETFL, F_SETFL, F_GETFD, F_SETFD };
	for (size_t i = 0; !r && i < ARRAY_LEN(fcntls); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				     SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntls[i]));
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FIONREAD));
	static const int maps[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };
	for (size_t i = 0; !r && i < ARRAY_LEN(maps); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, maps[i], 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	if (!r)
		r = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	return r;
}

int slirp_sandbox(struct err *e)
{
	empty_root();
	drop_privileges();
	limits();
	/* A change of credentials clears it, so not before. The socket's end says the same, later. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	int r = filter();
	if (r < 0)
		return err_sys(e, -r, "the user network cannot lock itself in: system-call filter");
	return 0;
}
