/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vnc_sandbox.c - the walls around libvncserver, which reads what peers on a network send: no file can be named, no
 * socket made (its network is an empty one; clients come as connected sockets), no process, no executable memory.
 */
#include "base/log.h"
#include "vnc/vnc.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define MEMORY_MAX (512 * MIB) /* of address space: the picture, and what eight clients' encoders hold */

static void put_file(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		log_debug("mica-vnc: %s: %s", path, strerror(errno));
}

static void new_namespaces(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[64];

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0) {
		log_debug("mica-vnc: no namespaces here (%s); the system-call filter stands alone", strerror(errno));
		return;
	}
	put_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	put_file("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	put_file("/proc/self/gid_map", map);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=2") < 0 ||
	    chdir("/proc") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
	    chdir("/") < 0)
		log_debug("mica-vnc: no empty root (%s); the system-call filter stands alone", strerror(errno));
}

static void less(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };
	struct rlimit nothing = { 0, 0 };
	unused_ struct rlimit memory = { MEMORY_MAX, MEMORY_MAX };

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &h, none) < 0)
		log_debug("mica-vnc: cannot drop capabilities: %s", strerror(errno));
	setrlimit(RLIMIT_CORE, &nothing);
	setrlimit(RLIMIT_NPROC, &nothing);
#ifndef __SANITIZE_ADDRESS__ /* its shadow is terabytes of address space */
	setrlimit(RLIMIT_AS, &memory);
#endif
}

static int filter(void)
{
	static const int allowed[] = {
		SCMP_SYS(read),
		SCMP_SYS(write),
		SCMP_SYS(readv),
		SCMP_SYS(writev),
		SCMP_SYS(recvfrom),
		SCMP_SYS(recvmsg),
		SCMP_SYS(sendto),
		SCMP_SYS(sendmsg),
		SCMP_SYS(poll),
		SCMP_SYS(ppoll),
		SCMP_SYS(select),
		SCMP_SYS(pselect6),
		SCMP_SYS(close),
		SCMP_SYS(accept4),
		SCMP_SYS(shutdown),
		SCMP_SYS(getsockname),
		SCMP_SYS(getpeername),
		SCMP_SYS(setsockopt),
		SCMP_SYS(getsockopt),
		SCMP_SYS(clock_gettime),
		SCMP_SYS(gettimeofday),
		SCMP_SYS(brk),
		SCMP_SYS(munmap),
		SCMP_SYS(mremap),
		SCMP_SYS(madvise),
		SCMP_SYS(futex),
		SCMP_SYS(getrandom),
		SCMP_SYS(restart_syscall),
		SCMP_SYS(exit),
		SCMP_SYS(exit_group),
		SCMP_SYS(rt_sigreturn),
		SCMP_SYS(rt_sigprocmask),
		SCMP_SYS(rt_sigaction),
		SCMP_SYS(sigaltstack),
		SCMP_SYS(getpid),
		SCMP_SYS(gettid),
		SCMP_SYS(clock_nanosleep),
	};
	static const int fcntls[] = { F_GETFL, F_SETFL, F_GETFD, F_SETFD };
	static const int maps[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };
	/* Refused calls fail: a library's harmless question must not end the server. */
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < ARRAY_LEN(allowed); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; !r && i < ARRAY_LEN(fcntls); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				     SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntls[i]));
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

int vnc_sandbox(struct err *e)
{
	new_namespaces();
	less();
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* A change of credentials clears it, so not before. The link's end says the same, later. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	int r = filter();
	return r < 0 ? err_sys(e, -r, "the VNC server cannot lock itself in: system-call filter") : 0;
}
