/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_file.c - see image_file.h. Here: host files and block devices. */
#include "image/image_file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZEROS_BYTES (64u * KIB)

static int host_pread(struct image_file *f, void *buf, size_t n, u64 off)
{
	while (n) {
		ssize_t r = pread(f->fd, buf, n, (off_t)off);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r ? -errno : -EIO; /* it is shorter than it was */
		buf = (char *)buf + r;
		off += (u64)r;
		n -= (size_t)r;
	}
	return 0;
}

static int host_pwrite(struct image_file *f, const void *buf, size_t n, u64 off)
{
	while (n) {
		ssize_t r = pwrite(f->fd, buf, n, (off_t)off);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r ? -errno : -ENOSPC;
		buf = (const char *)buf + r;
		off += (u64)r;
		n -= (size_t)r;
	}
	return 0;
}

static int write_zeros(struct image_file *f, u64 off, u64 bytes)
{
	static const u8 zeros[ZEROS_BYTES];
	int rc = 0;

	for (; bytes && rc == 0; off += MIN(bytes, ZEROS_BYTES), bytes -= MIN(bytes, ZEROS_BYTES))
		rc = host_pwrite(f, zeros, MIN(bytes, ZEROS_BYTES), off);
	return rc;
}

static int host_zero(struct image_file *f, u64 off, u64 bytes, bool unmap)
{
	int mode = (unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE;

	if (fallocate(f->fd, mode, (off_t)off, (off_t)bytes) == 0)
		return 0;
	return errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL ? write_zeros(f, off, bytes) : -errno;
}

static int host_resize(struct image_file *f, u64 bytes)
{
	return ftruncate(f->fd, (off_t)bytes) < 0 ? -errno : 0;
}

static int host_sync(struct image_file *f)
{
	return fdatasync(f->fd) < 0 ? -errno : 0;
}

static int host_data(struct image_file *f, u64 off, u64 *data, u64 *end)
{
	off_t d = lseek(f->fd, (off_t)off, SEEK_DATA);

	if (d < 0 && errno == ENXIO) {
		*data = *end = f->bytes;
		return 0;
	}
	off_t h = d < 0 ? -1 : lseek(f->fd, d, SEEK_HOLE);
	if (h < 0) { /* it does not say: all of it is data */
		*data = off;
		*end = f->bytes;
		return 0;
	}
	*data = (u64)d;
	*end = (u64)h;
	return 0;
}

static void host_close(struct image_file *f)
{
	close(f->fd);
}

static const struct image_file_ops host_ops = {
	.pread = host_pread,
	.pwrite = host_pwrite,
	.zero = host_zero,
	.resize = host_resize,
	.sync = host_sync,
	.data = host_data,
	.close = host_close,
};

int image_file_open(struct image_file **out, int fd, unsigned id, const char *name, bool readonly, struct err *e)
{
	struct stat st;
	off_t end = 0;
	int rc = 0;

	if (fstat(fd, &st) < 0)
		rc = err_sys(e, errno, "%s", name);
	else if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		rc = err_set(e, EINVAL, "%s: it is no file and no block device", name);
	else if ((end = lseek(fd, 0, SEEK_END)) < 0)
		rc = err_sys(e, errno, "%s", name);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	struct image_file *f = xcalloc(1, sizeof(*f));
	*f = (struct image_file){ .ops = &host_ops,
				  .fd = fd,
				  .id = id,
				  .bytes = (u64)end,
				  .readonly = readonly,
				  .device = S_ISBLK(st.st_mode),
				  .name = xstrdup(name) };
	*out = f;
	return 0;
}

void image_file_close(struct image_file *f)
{
	if (!f)
		return;
	f->ops->close(f);
	free(f->name);
	free(f);
}

/* ---- for everybody ---- */

int image_pread(struct image_file *f, void *buf, size_t n, u64 off)
{
	size_t there = off < f->bytes ? (size_t)MIN(n, f->bytes - off) : 0;

	memset((char *)buf + there, 0, n - there);
	return there ? f->ops->pread(f, buf, there, off) : 0;
}

static int may_write(const struct image_file *f, u64 n, u64 off)
{
	if (f->readonly)
		return -EPERM;
	if (off > INT64_MAX || n > INT64_MAX - off)
		return -EFBIG;
	return f->device && off + n > f->bytes ? -ENOSPC : 0;
}

int image_pwrite(struct image_file *f, const void *buf, size_t n, u64 off)
{
	int rc = may_write(f, n, off);

	if (rc == 0 && n)
		rc = f->ops->pwrite(f, buf, n, off);
	if (rc == 0)
		f->bytes = MAX(f->bytes, off + n);
	return rc;
}

int image_zero(struct image_file *f, u64 off, u64 bytes, bool unmap)
{
	int rc = may_write(f, 0, off);
	u64 there = off < f->bytes ? MIN(bytes, f->bytes - off) : 0;

	return rc || !there ? rc : f->ops->zero(f, off, there, unmap);
}

int image_resize_file(struct image_file *f, u64 bytes)
{
	int rc = may_write(f, bytes, 0);

	if (rc == 0 && !f->device)
		rc = f->ops->resize(f, bytes);
	if (rc == 0 && !f->device)
		f->bytes = bytes;
	return rc;
}

int image_sync(struct image_file *f)
{
	return f->readonly ? 0 : f->ops->sync(f);
}

int image_next_data(struct image_file *f, u64 off, u64 *data, u64 *end)
{
	*data = *end = f->bytes;
	return off < f->bytes ? f->ops->data(f, off, data, end) : 0;
}
