/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ram.c - see ram.h. */
#include "base/ram.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

/*
 * Theory of the file. A memfd would do, but the host's kernel fills one with single pages, and to find, account and
 * enter each of them is most of what loading a kernel costs. A file in a tmpfs of its own is the same but for one
 * thing: the tmpfs can be told to take larger pieces (its option "huge"). So there is a tmpfs for each VM; it is
 * mounted nowhere, has this one file, and goes away with it.
 *
 * Large pieces are taken while an image is written through the descriptor (ram_load_begin() to ram_load_end()). At all
 * other times it is what the host says of shared memory that counts (shmem_enabled), as for a memfd: as a rule a guest
 * that touches a page must not cost two megabytes. The pieces are as large as one write, 64 KiB with
 * sendfile(): "within_size" takes none that reaches beyond the end of the file, and the file ends where the next
 * write begins. Pieces of 2 MiB were no faster, and many times slower where the host's own host had not backed them yet
 * (30 ms). Linux before 6.14 has no such pieces in a tmpfs and goes on with pages.
 *
 * A tmpfs takes CAP_SYS_ADMIN in the user namespace it is made in. Who lacks it makes a namespace, in a child, as
 * nobody can leave one again. A host that allows none of it gets its memfd.
 */
#define FILE_NAME "mica-guest-ram"

#define SHMEM_ENABLED "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

struct tmpfs {
	int context, file; /* owned; -1 */
	const char *rest;  /* its option "huge" while nothing is loaded */
	uid_t uid;
	gid_t gid;
};

static int set(int context, const char *key, const char *value)
{
	return fsconfig(context, FSCONFIG_SET_STRING, key, value, 0);
}

static bool make_file(struct tmpfs *t)
{
	int context = fsopen("tmpfs", FSOPEN_CLOEXEC), mount = -1;

	/* No limit but the host's memory, as a memfd. */
	if (context >= 0 && set(context, "size", "0") == 0 && set(context, "huge", t->rest) == 0 &&
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		mount = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	if (mount >= 0) {
		t->file = openat(mount, FILE_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		unlinkat(mount, FILE_NAME, 0); /* what has no name is "anonymous" for shmem_enabled, too */
		close(mount);
	}
	if (t->file < 0) {
		if (context >= 0)
			close(context);
		return false;
	}
	t->context = context;
	return true;
}

/* "advise", which we never do, is as good as "never"; but a file made under "never" will not have large pieces later.
 */
static const char *resting(void)
{
	auto_close int fd = open(SHMEM_ENABLED, O_RDONLY | O_CLOEXEC);
	char line[128] = "";
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);

	if (n > 0 && strstr(line, "[always]"))
		return "always";
	if (n > 0 && strstr(line, "[within_size]"))
		return "within_size";
	return "advise";
}

static bool put_text(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* Shares memory and descriptors with the parent, which waits. No file can be made there by an id that is not mapped. */
static int make_file_in_namespace(void *opaque)
{
	struct tmpfs *t = opaque;
	char map[32];

	snprintf(map, sizeof(map), "%u %u 1", t->uid, t->uid);
	if (!put_text("/proc/self/uid_map", map) || !put_text("/proc/self/setgroups", "deny"))
		return 1;
	snprintf(map, sizeof(map), "%u %u 1", t->gid, t->gid);
	return !(put_text("/proc/self/gid_map", map) && make_file(t));
}

static bool make_tmpfs(struct tmpfs *t)
{
	static const int flags = CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_NEWUSER | CLONE_NEWNS | SIGCHLD;
	_Alignas(64) char stack[32 * KIB];

	*t = (struct tmpfs){ .context = -1, .file = -1, .rest = resting(), .uid = geteuid(), .gid = getegid() };
	if (make_file(t) || errno != EPERM)
		return t->file >= 0;
	pid_t pid = clone(make_file_in_namespace, stack + sizeof(stack), flags, t);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return t->file >= 0;
}

/* The mapping is as large as the file, all of it a hole: address space, not memory. */
static int new (struct ram **out, u64 bytes, u64 room, bool share, struct err *e)
{
	must(bytes && bytes % PAGE_BYTES == 0);
	u64 capacity = ROUND_UP(bytes, RAM_PIECE_ALIGN) + RAM_PIECE_ALIGN + ROUND_UP(room, RAM_PIECE_ALIGN);
	struct tmpfs t = { .context = -1 };
	bool large = !share && make_tmpfs(&t); /* only a memfd can be sealed */
	auto_close int context = t.context,
		       fd = large ? t.file : memfd_create(FILE_NAME, MFD_CLOEXEC | (share ? MFD_ALLOW_SEALING : 0));
	if (fd < 0)
		return err_sys(e, errno, "cannot create guest memory (memfd)");
	if (ftruncate(fd, (off_t)capacity) < 0)
		return err_sys(e, errno, "cannot size guest memory to %llu MiB", (unsigned long long)(bytes / MIB));
	if (share && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_sys(e, errno, "cannot seal guest memory");
	u8 *p = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, errno, "cannot map %llu MiB of guest memory", (unsigned long long)(bytes / MIB));
	struct ram *r = xcalloc(1, sizeof(*r));
	r->memfd = steal_fd(&fd);
	r->tmpfs = steal_fd(&context);
	r->tmpfs_rest = t.rest;
	r->bytes = bytes;
	r->capacity = capacity;
	r->host = p;
	ram_init(r);
	*out = r;
	return 0;
}

int ram_new_with_room(struct ram **out, u64 bytes, u64 room, struct err *e)
{
	return new (out, bytes, room, false, e);
}

int ram_new_to_share(struct ram **out, u64 bytes, u64 room, struct err *e)
{
	return new (out, bytes, room, true, e);
}

int ram_new(struct ram **out, u64 bytes, struct err *e)
{
	return ram_new_with_room(out, bytes, 0, e);
}

/* The kernel may refuse (no huge pages built in, or forbidden on this host): then pages come one by one, as ever. */
static void take(const struct ram *r, const char *pieces)
{
	if (r->tmpfs >= 0 && set(r->tmpfs, "huge", pieces) == 0)
		fsconfig(r->tmpfs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
}

bool ram_load_begin(const struct ram *r, u64 off)
{
	if (r->tmpfs < 0 || lseek(r->memfd, (off_t)off, SEEK_DATA) >= 0 || errno != ENXIO ||
	    ftruncate(r->memfd, (off_t)off) < 0)
		return false;
	take(r, "within_size");
	return true;
}

void ram_load_end(const struct ram *r)
{
	take(r, r->tmpfs_rest);
	must(ftruncate(r->memfd, (off_t)r->capacity) == 0);
}

void ram_settle(struct ram *r)
{
	if (r->tmpfs >= 0)
		close(r->tmpfs);
	r->tmpfs = -1;
}

void ram_free(struct ram *r)
{
	if (!r)
		return;
	munmap(r->host, r->capacity);
	close(r->memfd);
	ram_settle(r);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

int ram_take(struct ram *r, u64 bytes, u64 *off, struct err *e)
{
	u64 size = ROUND_UP(bytes, RAM_PIECE_ALIGN);
	int rc = 0;

	must(bytes && bytes % PAGE_BYTES == 0);
	pthread_mutex_lock(&r->lock);
	if (size < bytes || size > r->capacity - r->used) {
		rc = err_set(e, ENOSPC, "there is no room for %llu KiB more of guest memory: %llu KiB are left",
			     (unsigned long long)(bytes / KIB), (unsigned long long)((r->capacity - r->used) / KIB));
	} else {
		*off = r->used;
		r->used += size;
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

u64 ram_taken_end(struct ram *r)
{
	pthread_mutex_lock(&r->lock);
	u64 end = r->used;
	pthread_mutex_unlock(&r->lock);
	return end;
}

u64 ram_ones(struct ram *r)
{
	pthread_mutex_lock(&r->lock);
	if (!r->ones_ready)
		memset(r->host + r->ones_off, 0xff, PAGE_BYTES);
	r->ones_ready = true;
	pthread_mutex_unlock(&r->lock);
	return r->ones_off;
}

int ram_discard_at(const struct ram *r, u64 off, u64 bytes)
{
	if (fallocate(r->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)bytes) < 0)
		return -errno;
	ram_wrote_at(r, off, bytes);
	return 0;
}

int ram_discard(const struct ram *r, gpa_t gpa, u64 bytes)
{
	u8 *p = ram_ptr(r, gpa, bytes);

	return p ? ram_discard_at(r, (u64)(p - r->host), bytes) : -EFAULT;
}

int ram_get(const struct ram *r, gpa_t gpa, void *buf, u64 bytes)
{
	const u8 *p = ram_ptr_ro(r, gpa, bytes);

	if (!p)
		return -EFAULT;
	memcpy(buf, p, bytes);
	return 0;
}

static int put(const struct ram *r, u8 *p, const void *buf, u64 bytes)
{
	if (!p)
		return -EFAULT;
	if (buf)
		memcpy(p, buf, bytes);
	else
		memset(p, 0, bytes);
	ram_wrote_at(r, (u64)(p - r->host), bytes);
	return 0;
}

int ram_put(const struct ram *r, gpa_t gpa, const void *buf, u64 bytes)
{
	return put(r, ram_ptr(r, gpa, bytes), buf, bytes);
}

int ram_put_rom(const struct ram *r, gpa_t gpa, const void *buf, u64 bytes)
{
	bool readonly;

	return put(r, ram_find_checked(r, gpa, bytes, &readonly), buf, bytes);
}

int ram_zero(const struct ram *r, gpa_t gpa, u64 bytes)
{
	return put(r, ram_ptr(r, gpa, bytes), NULL, bytes);
}
