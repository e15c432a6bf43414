/* SPDX-License-Identifier: GPL-2.0-or-later */
/* share_names.c - FUSE operations on names and attributes of a shared folder; see share_fs.h. */
#include "share/share_fs.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#define VALID_S 1        /* how long a guest believes what it knows: the host changes files, too */
#define MODE_MASK 01777u /* no set-user-ID files of whoever started the VM come out of a guest */

void share_attr(struct fuse_attr *a, const struct stat *st)
{
	*a = (struct fuse_attr){
		.ino = st->st_ino,
		.size = (u64)st->st_size,
		.blocks = (u64)st->st_blocks,
		.atime = (u64)st->st_atim.tv_sec,
		.mtime = (u64)st->st_mtim.tv_sec,
		.ctime = (u64)st->st_ctim.tv_sec,
		.atimensec = (u32)st->st_atim.tv_nsec,
		.mtimensec = (u32)st->st_mtim.tv_nsec,
		.ctimensec = (u32)st->st_ctim.tv_nsec,
		.mode = st->st_mode,
		.nlink = (u32)st->st_nlink,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.rdev = (u32)st->st_rdev,
		.blksize = (u32)st->st_blksize,
	};
}

int share_put_attr(struct share_request *q, int fd)
{
	struct fuse_attr_out *out = share_put(q->r, sizeof(*out));
	struct stat st;

	if (!out)
		return -EIO;
	if (fstat(fd, &st) < 0)
		return -errno;
	out->attr_valid = VALID_S;
	share_attr(&out->attr, &st);
	return 0;
}

int share_put_entry(struct share_request *q, int fd)
{
	struct share_node *n = NULL;
	struct fuse_entry_out *out;
	struct stat st;
	int r = share_node_of(q->f, fd, &n); /* the table may move: q->node is no longer good */

	if (r < 0)
		return r;
	if (!(out = share_put(q->r, sizeof(*out))) || fstat(n->fd, &st) < 0) {
		share_node_forget(q->f, n->id, 1);
		return -EIO;
	}
	out->nodeid = n->id;
	out->entry_valid = out->attr_valid = VALID_S;
	share_attr(&out->attr, &st);
	return 0;
}

/* What an operation made, or could not. */
static int made(struct share_request *q, int r, const char *name)
{
	if (r < 0)
		return -errno;
	int fd = share_below(q->node->fd, name);
	return fd < 0 ? fd : share_put_entry(q, fd);
}

int share_lookup(struct share_request *q)
{
	const char *name = share_name(q, 0, NULL);
	int fd = name ? share_below(q->node->fd, name) : -EINVAL;

	return fd < 0 ? fd : share_put_entry(q, fd);
}

int share_getattr(struct share_request *q)
{
	return share_put_attr(q, q->node->fd);
}

static struct timespec when(u32 valid, u32 given, u32 now, u64 sec, u32 nsec)
{
	struct timespec t = { .tv_nsec = UTIME_OMIT };

	if (valid & now)
		t.tv_nsec = UTIME_NOW;
	else if (valid & given)
		t = (struct timespec){ (time_t)sec, nsec < 1000000000 ? nsec : 0 };
	return t;
}

static int set_size(struct share_request *q, const struct fuse_setattr_in *in)
{
	struct share_handle *h = in->valid & FATTR_FH ? share_handle(q->f, in->fh, false) : NULL;
	struct stat st;

	if (in->size > INT64_MAX)
		return -EFBIG;
	if (h)
		return ftruncate(h->fd, (off_t)in->size) < 0 ? -errno : 0;
	if (fstat(q->node->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	auto_close int fd = share_reopen(q->f, q->node->fd, O_WRONLY);
	if (fd < 0)
		return fd;
	return ftruncate(fd, (off_t)in->size) < 0 ? -errno : 0;
}

int share_setattr(struct share_request *q)
{
	const struct fuse_setattr_in *in = (const void *)q->arg;
	u32 v = in->valid;
	struct timespec t[2] = { when(v, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
				 when(v, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec) };
	char self[16];
	int r = 0;

	share_self(self, q->node->fd);
	if (v & FATTR_MODE && fchmodat(q->f->self, self, in->mode & MODE_MASK, 0) < 0)
		return -errno;
	if (v & (FATTR_UID | FATTR_GID) && fchownat(q->node->fd, "", v & FATTR_UID ? in->uid : (uid_t)-1,
						    v & FATTR_GID ? in->gid : (gid_t)-1, AT_EMPTY_PATH) < 0)
		return -errno;
	if (v & FATTR_SIZE && (r = set_size(q, in)) < 0)
		return r;
	if (v & (FATTR_ATIME | FATTR_MTIME) && utimensat(q->f->self, self, t, 0) < 0)
		return -errno;
	return share_put_attr(q, q->node->fd);
}

int share_readlink(struct share_request *q)
{
	char text[4096];
	ssize_t n = readlinkat(q->node->fd, "", text, sizeof(text));
	void *out = n < 0 ? NULL : share_put(q->r, (size_t)n);

	if (!out)
		return n < 0 ? -errno : -EIO;
	memcpy(out, text, (size_t)n);
	return 0;
}

/* What a link says is the guest's: nothing here follows it. */
int share_symlink(struct share_request *q)
{
	size_t end;
	const char *name = share_name(q, 0, &end);

	if (!name || end >= q->n || !memchr(q->arg + end, 0, q->n - end))
		return -EINVAL;
	return made(q, symlinkat((const char *)q->arg + end, q->node->fd, name), name);
}

int share_mknod(struct share_request *q)
{
	const struct fuse_mknod_in *in = (const void *)q->arg;
	const char *name = share_name(q, sizeof(*in), NULL);

	if (!name)
		return -EINVAL;
	if (!S_ISREG(in->mode) && !S_ISFIFO(in->mode) && !S_ISSOCK(in->mode))
		return -EPERM;
	return made(q, mknodat(q->node->fd, name, (in->mode & S_IFMT) | (in->mode & MODE_MASK), 0), name);
}

int share_mkdir(struct share_request *q)
{
	const struct fuse_mkdir_in *in = (const void *)q->arg;
	const char *name = share_name(q, sizeof(*in), NULL);

	return name ? made(q, mkdirat(q->node->fd, name, in->mode & MODE_MASK), name) : -EINVAL;
}

static int remove_it(struct share_request *q, int flags)
{
	const char *name = share_name(q, 0, NULL);

	if (!name)
		return -EINVAL;
	return unlinkat(q->node->fd, name, flags) < 0 ? -errno : 0;
}

int share_unlink(struct share_request *q)
{
	return remove_it(q, 0);
}

int share_rmdir(struct share_request *q)
{
	return remove_it(q, AT_REMOVEDIR);
}

static int rename_to(struct share_request *q, u64 dir, size_t names, u32 flags)
{
	size_t end;
	const char *from = share_name(q, names, &end), *to = from ? share_name(q, end, NULL) : NULL;
	struct share_node *n = share_node(q->f, dir);

	if (!to || flags & ~(u32)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if (!n)
		return -ESTALE;
	return syscall(SYS_renameat2, q->node->fd, from, n->fd, to, flags) < 0 ? -errno : 0;
}

int share_rename(struct share_request *q)
{
	const struct fuse_rename_in *in = (const void *)q->arg;

	return rename_to(q, in->newdir, sizeof(*in), 0);
}

int share_rename2(struct share_request *q)
{
	const struct fuse_rename2_in *in = (const void *)q->arg;

	return rename_to(q, in->newdir, sizeof(*in), in->flags);
}

int share_link(struct share_request *q)
{
	const struct fuse_link_in *in = (const void *)q->arg;
	const char *name = share_name(q, sizeof(*in), NULL);
	struct share_node *old = share_node(q->f, in->oldnodeid);
	char self[16];

	if (!name)
		return -EINVAL;
	if (!old)
		return -ESTALE;
	return made(q, linkat(q->f->self, share_self(self, old->fd), q->node->fd, name, AT_SYMLINK_FOLLOW), name);
}

int share_statfs(struct share_request *q)
{
	struct fuse_statfs_out *out = share_put(q->r, sizeof(*out));
	struct statvfs st;

	if (!out)
		return -EIO;
	if (fstatvfs(q->node->fd, &st) < 0)
		return -errno;
	out->st = (struct fuse_kstatfs){
		.blocks = st.f_blocks,
		.bfree = st.f_bfree,
		.bavail = st.f_bavail,
		.files = st.f_files,
		.ffree = st.f_ffree,
		.bsize = (u32)st.f_bsize,
		.namelen = (u32)st.f_namemax,
		.frsize = (u32)st.f_frsize,
	};
	return 0;
}
