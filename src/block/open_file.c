/* SPDX-License-Identifier: GPL-2.0-or-later */
/* open_file.c - see open_file.h. */
#include "block/open_file.h"
#include "base/clock.h"
#include "block/image_lock.h"

#include <fcntl.h>
#include <unistd.h>

static int explain(struct err *e, int code, const char *path, bool readonly)
{
	switch (code) {
	case ENOENT:
		return err_set(e, code,
			       "cannot open disk image '%s': there is no such file; check the path, or make "
			       "one: truncate -s 10G '%s'",
			       path, path);
	case EACCES:
	case EPERM:
		if (readonly)
			return err_set(
			    e, code, "cannot open disk image '%s' for reading: permission denied; let user %u read it",
			    path, (unsigned)geteuid());
		return err_set(
		    e, code,
		    "cannot open disk image '%s' for writing: permission denied; let user %u read and write it, "
		    "or add readonly=on or snapshot=on",
		    path, (unsigned)geteuid());
	case EROFS:
		return err_set(e, code,
			       "cannot open disk image '%s' for writing: its file system is read-only; add "
			       "readonly=on or snapshot=on",
			       path);
	default:
		return err_sys(e, code, "cannot open disk image '%s'", path);
	}
}

static int check_kind(const struct stat *st, const char *path, struct err *e)
{
	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		return 0;
	if (S_ISDIR(st->st_mode))
		return err_set(e, EISDIR, "cannot use '%s' as a disk image: it is a directory; name a file in it",
			       path);
	return err_set(e, ENOTBLK, "cannot use '%s' as a disk image: it is neither a regular file nor a block device",
		       path);
}

int open_file(int *out, struct stat *st, const struct blk_params *p, bool ro, struct err *e)
{
	const char *path = p->path ? p->path : "(given descriptor)";
	auto_close int fd = -1;

	if (p->fd > 0) {
		fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 3);
		int fl = fd < 0 ? -1 : fcntl(fd, F_GETFL);
		if (fl < 0)
			return err_sys(e, errno, "disk image '%s': descriptor %d is not open", path, p->fd);
		if (!ro && (fl & O_ACCMODE) != O_RDWR)
			return err_set(e, EACCES,
				       "disk image '%s' was opened read-only; add readonly=on or snapshot=on", path);
	} else {
		/* Look before opening: to open a FIFO may wait for ever. */
		if (stat(path, st) < 0)
			return explain(e, errno, path, ro);
		int rc = check_kind(st, path, e);
		if (rc < 0)
			return rc;
		fd = open(path, (ro ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		if (fd < 0)
			return explain(e, errno, path, ro);
	}
	if (fstat(fd, st) < 0)
		return err_sys(e, errno, "cannot look at disk image '%s'", path);
	int rc = check_kind(st, path, e);
	if (rc < 0 || (!p->locked && (rc = image_lock(fd, !ro, path, e)) < 0))
		return rc;
	*out = steal_fd(&fd);
	return 0;
}

u64 file_mtime_ns(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	return (u64)st.st_mtim.tv_sec * NSEC_PER_SEC + (u64)st.st_mtim.tv_nsec;
}
