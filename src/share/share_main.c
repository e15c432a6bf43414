/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mica-share - a folder for the guest of one VM; see share.h. Started by mica-vmm, ends when it does.
 *
 * Its sandbox: that folder is all there is (a mount namespace of its own, without devices and set-user-ID, read only if
 * so asked), there is no network, no capability and no process, and its system calls are those of the operations. What
 * the guest does to files it does as the user who started the VM.
 */
#include "base/helper.h"
#include "base/log.h"
#include "share/share_fs.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

static int filter(void)
{
	static const int allowed[] = {
		SCMP_SYS(recvfrom),      SCMP_SYS(sendto),    SCMP_SYS(sendmsg),    SCMP_SYS(write),
		SCMP_SYS(close),         SCMP_SYS(openat),    SCMP_SYS(openat2),    SCMP_SYS(newfstatat),
		SCMP_SYS(fstat),         SCMP_SYS(fstatfs),   SCMP_SYS(readlinkat), SCMP_SYS(symlinkat),
		SCMP_SYS(mknodat),       SCMP_SYS(mkdirat),   SCMP_SYS(unlinkat),   SCMP_SYS(renameat2),
		SCMP_SYS(linkat),        SCMP_SYS(fchmodat),  SCMP_SYS(fchownat),   SCMP_SYS(utimensat),
		SCMP_SYS(ftruncate),     SCMP_SYS(fallocate), SCMP_SYS(pread64),    SCMP_SYS(pwrite64),
		SCMP_SYS(lseek),         SCMP_SYS(fsync),     SCMP_SYS(fdatasync),  SCMP_SYS(getdents64),
		SCMP_SYS(brk),           SCMP_SYS(munmap),    SCMP_SYS(mremap),     SCMP_SYS(madvise),
		SCMP_SYS(rt_sigreturn),  SCMP_SYS(exit),      SCMP_SYS(exit_group), SCMP_SYS(restart_syscall),
		SCMP_SYS(clock_gettime),
	};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < ARRAY_LEN(allowed); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!r)
		r = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	return r;
}

/* As many nodes as there may be descriptors. */
static u32 raise_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return 0;
	l.rlim_cur = l.rlim_max = MIN(l.rlim_max, (rlim_t)SHARE_NODES_MAX + SHARE_HANDLES_MAX + 64);
	setrlimit(RLIMIT_NOFILE, &l);
	return l.rlim_cur > SHARE_HANDLES_MAX + 64 ? (u32)(l.rlim_cur - SHARE_HANDLES_MAX - 64) : 0;
}

static int prepare(struct share_fs **f, const char *dir, bool readonly, struct err *e)
{
	u32 nodes = raise_limit();
	int self, r = helper_confine(dir, readonly, &self, e);

	if (r < 0)
		return r;
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(e, errno, "%s", dir);
	umask(0); /* the guest's kernel has applied its own */
	*f = share_fs_new(root, self, readonly, nodes);
	if ((r = filter()) < 0)
		return err_sys(e, -r, "mica-share cannot lock itself in: system-call filter");
	return 0;
}

static bool reply(const struct share_msg *m, u8 *body, size_t n)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)m, sizeof(*m) }, { body, n } };
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = 2 };

	return sendmsg(HELPER_FD, &h, MSG_NOSIGNAL) >= 0;
}

static bool serve(struct share_fs *f, const struct share_msg *m, const u8 *in, size_t n, u8 *out)
{
	size_t bytes;

	switch (m->kind) {
	case SHARE_FUSE:
		bytes = share_fs_request(f, in, n, out, MIN(m->room, SHARE_BODY_MAX));
		return !bytes || reply(m, out, bytes);
	case SHARE_RESET:
		share_fs_reset(f);
		return true;
	case SHARE_SAVE:
		return reply(m, out, share_fs_save(f, out, SHARE_DATA_MAX));
	case SHARE_LOAD:
		if (!share_fs_load(f, in, n))
			log_warn("mica-share: what was saved of the shared folder makes no sense");
		return true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	struct share_fs *f = NULL;
	struct err e;
	ssize_t n;

	helper_begin("mica-share", 0);
	if (argc != 3)
		return 2;
	int bytes = 1 << 20;
	setsockopt(HELPER_FD, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	helper_hello(prepare(&f, argv[1], !strcmp(argv[2], "ro"), &e) < 0 ? &e : NULL);
	/* The last byte stays 0: no name runs past the end. */
	size_t most = sizeof(struct share_msg) + SHARE_BODY_MAX;
	u8 *in = xcalloc(1, most + 1), *out = xcalloc(1, SHARE_BODY_MAX);
	while ((n = recv(HELPER_FD, in, most, 0)) > 0 || (n < 0 && errno == EINTR)) {
		struct share_msg m;
		if (n < 0)
			continue;
		if ((size_t)n < sizeof(m))
			break;
		memcpy(&m, in, sizeof(m));
		in[n] = 0;
		if (!serve(f, &m, in + sizeof(m), (size_t)n - sizeof(m), out))
			break;
	}
	return 0;
}
