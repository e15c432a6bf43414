/* SPDX-License-Identifier: GPL-2.0-or-later */
/* share_files.c - FUSE operations on open files and folders; see share_fs.h. */
#include "share/share_fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#define KEPT_FLAGS (O_ACCMODE | O_APPEND) /* of those that the guest opens with; O_TRUNC besides, once */
#define MODE_MASK 01777u

static int opened(struct share_request *q, int fd, bool dir, u64 node, u32 flags)
{
	struct fuse_open_out *out = share_put(q->r, sizeof(*out));

	if (!out) {
		close(fd);
		return -EIO;
	}
	int fh = share_handle_add(q->f, fd, dir, node, flags);
	if (fh < 0)
		return fh;
	out->fh = (u64)fh;
	return 0;
}

/* Special files are the guest's own kernel's to open; a pipe of the host would be a way around it. */
int share_open(struct share_request *q)
{
	const struct fuse_open_in *in = (const void *)q->arg;
	u32 flags = in->flags & KEPT_FLAGS;
	struct stat st;

	if (fstat(q->node->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	if (q->f->readonly && ((flags & O_ACCMODE) != O_RDONLY || in->flags & O_TRUNC))
		return -EROFS;
	int fd = share_reopen(q->f, q->node->fd, (int)(flags | (in->flags & O_TRUNC)));
	return fd < 0 ? fd : opened(q, fd, false, q->h->nodeid, flags);
}

int share_opendir(struct share_request *q)
{
	int fd = share_reopen(q->f, q->node->fd, O_RDONLY | O_DIRECTORY);

	return fd < 0 ? fd : opened(q, fd, true, q->h->nodeid, O_RDONLY | O_DIRECTORY);
}

int share_create(struct share_request *q)
{
	const struct fuse_create_in *in = (const void *)q->arg;
	const char *name = share_name(q, sizeof(*in), NULL);
	u32 flags = in->flags & KEPT_FLAGS;
	struct open_how how = { .flags = flags | (in->flags & (O_TRUNC | O_EXCL)) | O_CREAT | O_NOFOLLOW | O_CLOEXEC |
					 O_NONBLOCK | O_NOCTTY,
				.mode = in->mode & MODE_MASK,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	struct fuse_entry_out *entry = (void *)(q->r->at + q->r->bytes);
	struct stat st;
	int r;

	if (!name)
		return -EINVAL;
	auto_close int fd = (int)syscall(SYS_openat2, q->node->fd, name, &how, sizeof(how));
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	int path = share_reopen(q->f, fd, O_PATH);
	if (path < 0 || (r = share_put_entry(q, path)) < 0)
		return path < 0 ? path : r;
	u64 id = entry->nodeid;
	if ((r = opened(q, steal_fd(&fd), false, id, flags)) < 0)
		share_node_forget(q->f, id, 1);
	return r;
}

int share_read(struct share_request *q)
{
	const struct fuse_read_in *in = (const void *)q->arg;
	struct share_handle *h = share_handle(q->f, in->fh, false);
	size_t most = MIN(MIN(in->size, (size_t)SHARE_DATA_MAX), q->r->room - q->r->bytes);

	if (!h)
		return -EBADF;
	if (in->offset > INT64_MAX)
		return -EINVAL;
	ssize_t n = pread(h->fd, q->r->at + q->r->bytes, most, (off_t)in->offset);
	if (n < 0)
		return -errno;
	q->r->bytes += (size_t)n;
	return 0;
}

int share_write(struct share_request *q)
{
	const struct fuse_write_in *in = (const void *)q->arg;
	struct share_handle *h = share_handle(q->f, in->fh, false);
	struct fuse_write_out *out = share_put(q->r, sizeof(*out));

	if (!h || !out)
		return h ? -EIO : -EBADF;
	if (in->size > q->n - sizeof(*in) || in->offset > INT64_MAX)
		return -EINVAL;
	ssize_t n = pwrite(h->fd, q->arg + sizeof(*in), in->size, (off_t)in->offset);
	if (n < 0)
		return -errno;
	out->size = (u32)n;
	return 0;
}

int share_release(struct share_request *q)
{
	const struct fuse_release_in *in = (const void *)q->arg;

	share_handle_close(q->f, in->fh);
	return 0;
}

int share_fsync(struct share_request *q)
{
	const struct fuse_fsync_in *in = (const void *)q->arg;
	struct share_handle *h = share_handle(q->f, in->fh, q->h->opcode == FUSE_FSYNCDIR);

	if (!h)
		return -EBADF;
	return (in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h->fd) : fsync(h->fd)) < 0 ? -errno : 0;
}

int share_fallocate(struct share_request *q)
{
	const struct fuse_fallocate_in *in = (const void *)q->arg;
	struct share_handle *h = share_handle(q->f, in->fh, false);

	if (!h)
		return -EBADF;
	if (in->offset > INT64_MAX || in->length > INT64_MAX)
		return -EINVAL;
	return fallocate(h->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) < 0 ? -errno : 0;
}

/* Only what the guest's kernel cannot know: where data and holes are. */
int share_lseek(struct share_request *q)
{
	const struct fuse_lseek_in *in = (const void *)q->arg;
	struct share_handle *h = share_handle(q->f, in->fh, false);
	struct fuse_lseek_out *out = share_put(q->r, sizeof(*out));

	if (!h || !out)
		return h ? -EIO : -EBADF;
	if (in->offset > INT64_MAX || (in->whence != SEEK_DATA && in->whence != SEEK_HOLE))
		return -EINVAL;
	off_t at = lseek(h->fd, (off_t)in->offset, (int)in->whence);
	if (at < 0)
		return -errno;
	out->offset = (u64)at;
	return 0;
}

/* One entry of getdents64(); false: there is no room for it. */
static bool put_entry(struct share_reply *r, size_t end, const struct dirent64 *d)
{
	size_t n = strlen(d->d_name), bytes = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + n);
	struct fuse_dirent *out = r->bytes + bytes <= end ? share_put(r, bytes) : NULL;

	if (!out)
		return false;
	out->ino = d->d_ino;
	out->off = (u64)d->d_off;
	out->namelen = (u32)n;
	out->type = d->d_type;
	memcpy(out->name, d->d_name, n);
	return true;
}

int share_readdir(struct share_request *q)
{
	const struct fuse_read_in *in = (const void *)q->arg;
	struct share_handle *h = share_handle(q->f, in->fh, true);
	size_t end = q->r->bytes + MIN(in->size, (size_t)SHARE_DATA_MAX);
	_Alignas(8) u8 buf[16384];
	bool room = true;

	if (!h)
		return -EBADF;
	if (lseek(h->fd, (off_t)in->offset, SEEK_SET) < 0)
		return -errno;
	while (room) {
		long n = syscall(SYS_getdents64, h->fd, buf, sizeof(buf));
		if (n < 0)
			return -errno;
		if (!n)
			break;
		for (long at = 0; room && at < n;) {
			const struct dirent64 *d = (const void *)(buf + at);
			room = put_entry(q->r, end, d);
			at += d->d_reclen;
		}
	}
	return 0;
}
