/* SPDX-License-Identifier: GPL-2.0-or-later */
/* walls.c - see walls.h. */
#include "base/walls.h"
#include "base/log.h"
#include "base/namespaces.h"

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

/* ---- namespaces ---- */

static void empty_view(const struct walls *w)
{
	int r = namespaces_enter(w->host_network);

	if (r < 0) {
		log_debug("%s: no namespaces here (%s); the system-call filter stands alone", w->name, strerror(-r));
		return;
	}
	/* pivot_root onto itself stacks the old root over the new one, from where it is detached. */
	if (mount("none", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=2") < 0 ||
	    chdir("/proc") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
	    chdir("/") < 0)
		log_debug("%s: no empty root (%s); the system-call filter stands alone", w->name, strerror(errno));
}

/* ---- what it may have ---- */

static void drop_privileges(const struct walls *w)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &h, none) < 0)
		log_debug("%s: cannot drop capabilities: %s", w->name, strerror(errno));
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* A change of credentials clears it, so not before. The end of the socket to its parent says the same, later.
	 */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

static void set_limits(const struct walls *w)
{
	const struct rlimit nothing = { 0, 0 };
	unused_ const struct rlimit memory = { w->memory_bytes, w->memory_bytes };

	setrlimit(RLIMIT_CORE, &nothing);
	if (!w->threads) /* it would count them, too; the filter lets it make no process */
		setrlimit(RLIMIT_NPROC, &nothing);
#ifndef __SANITIZE_ADDRESS__ /* its shadow is terabytes of address space */
	setrlimit(RLIMIT_AS, &memory);
#endif
}

/* ---- the filter ---- */

static const int common[] = {
	/* what is open */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg),
	SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(close), SCMP_SYS(accept4),
	SCMP_SYS(shutdown), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(setsockopt), SCMP_SYS(getsockopt),
	/* time, memory, the end */
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap),
	SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(getrandom), SCMP_SYS(restart_syscall), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction),
	SCMP_SYS(sigaltstack), SCMP_SYS(getpid), SCMP_SYS(gettid)
};

static int allow(scmp_filter_ctx f, const int *calls, unsigned n)
{
	int r = 0;

	for (unsigned i = 0; !r && i < n; i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	return r;
}

/* Calls that are allowed with some arguments only. */
static int allow_some(scmp_filter_ctx f)
{
	static const int fcntls[] = { F_GETFL, F_SETFL, F_GETFD, F_SETFD };
	static const int maps[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_LEN(fcntls); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				     SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntls[i]));
	for (size_t i = 0; !r && i < ARRAY_LEN(maps); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, maps[i], 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return r ? r
		 : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
}

/* glibc takes clone(), whose flags a filter can see, when there is no clone3(). */
static int allow_threads(scmp_filter_ctx f)
{
	static const int calls[] = { SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_getaffinity) };
	int r = allow(f, calls, ARRAY_LEN(calls));

	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_NEWUSER, CLONE_THREAD));
	return r ? r : seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int put_filter(const struct walls *w)
{
	/* Refused calls fail: a library's harmless question must not end the process. */
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = f ? allow(f, common, ARRAY_LEN(common)) : -ENOMEM;

	if (!r)
		r = allow(f, w->calls, w->ncalls);
	if (!r)
		r = allow_some(f);
	if (!r && w->threads)
		r = allow_threads(f);
	if (!r && w->rules)
		r = w->rules(f);
	if (!r)
		r = seccomp_load(f);
	if (f)
		seccomp_release(f);
	return r;
}

int walls_put(const struct walls *w, struct err *e)
{
	empty_view(w);
	drop_privileges(w);
	set_limits(w);
	int r = put_filter(w);
	return r < 0 ? err_sys(e, -r, "%s cannot lock itself in: system-call filter", w->name) : 0;
}
