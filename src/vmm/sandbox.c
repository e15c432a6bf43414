/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sandbox.c - see sandbox.h. */
#include "vmm/sandbox.h"
#include "base/log.h"
#include "vmm/filter.h"
#include "base/i18n.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sched.h>
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

	/* EINVAL: the kernel knows no more. EPERM, from the first on: they are not ours to drop. */
	for (int c = 0; prctl(PR_CAPBSET_DROP, c, 0, 0, 0) == 0; c++)
		;
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

/* ---- malloc ---- */

/*
 * One arena for all threads: what allocates at run time is little. An arena of a thread's own gives memory back by
 * other means than the main one's, and when it first does so glibc opens /proc/sys/vm/overcommit_memory: a system call
 * that the filter answers with death, at a moment that a guest may choose.
 */
void sandbox_malloc(void)
{
#ifndef __SANITIZE_ADDRESS__ /* whose malloc has no such option, and no arenas */
	must(mallopt(M_ARENA_MAX, 1));
#endif
}

/* ---- the system-call filter ---- */

static const struct sock_filter list[] = {
#include "filter.inc"
};

int sandbox_lock(struct err *e)
{
	struct sock_filter filter[ARRAY_LEN(list)];
	struct sock_fprog program = { .len = ARRAY_LEN(list), .filter = filter };
	unsigned ours = 0;

	memcpy(filter, list, sizeof(list));
	for (size_t i = 0; i < ARRAY_LEN(filter); i++)
		if (FILTER_IS_OUR_PID(&filter[i])) {
			filter[i].k = (u32)getpid();
			ours++;
		}
	must(ours == 1);
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	/* Every thread at once, the kernel's log names what a killed VMM tried. */
	long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG,
			 &program);
	if (r != 0) /* -1, or a thread that has a filter of its own */
		return err_sys(e, r < 0 ? errno : ESRCH, "cannot enter the sandbox: the system-call filter is refused");
	return 0;
}
