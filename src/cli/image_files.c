/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_files.c - the files of mica image (image.h). */
#include "block/image_lock.h"
#include "cli/image.h"

#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <sys/stat.h>

int image_files_open(struct image_named *f, const char *path, bool write, bool share, struct err *e)
{
	struct stat st;

	*f = IMAGE_NAMED_NONE;
	/* Look before opening: to open a FIFO may wait for ever. */
	if (stat(path, &st) < 0)
		return err_sys(e, errno, "%s", path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, EINVAL, "%s: neither a file nor a block device", path);
	f->fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (f->fd < 0)
		return err_sys(e, errno, "%s", path);
	f->path = xstrdup(path);
	int rc = share && !write ? 0 : image_lock(f->fd, write, path, e);
	if (rc < 0)
		return rc;
	f->theirs = image_reopen(f->fd, !write);
	return f->theirs < 0 ? err_sys(e, -f->theirs, "%s", path) : 0;
}

int image_files_create(struct image_named *f, const char *path, bool force, struct err *e)
{
	struct stat st;
	bool there = stat(path, &st) == 0;
	sigset_t mask;

	*f = IMAGE_NAMED_NONE;
	if (!there && errno != ENOENT)
		return err_sys(e, errno, "%s", path);
	if (there && !force)
		return err_set(e, EEXIST, "%s: there is one already; --force replaces it", path);
	if (there && S_ISBLK(st.st_mode))
		return image_files_open(f, path, true, false, e);
	if (there && !S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "%s: neither a file nor a block device", path);
	if (there) { /* somebody may be using it */
		auto_close int old = open(path, O_RDWR | O_CLOEXEC);
		int rc = old < 0 ? err_sys(e, errno, "%s", path) : image_lock(old, true, path, e);
		if (rc < 0)
			return rc;
	}
	/* What is left of it when we are told to end goes with image_files_close(). */
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	f->path = xstrdup(path);
	f->temp = xasprintf("%s.partial-XXXXXX", path);
	f->fd = mkostemp(f->temp, O_CLOEXEC);
	if (f->fd < 0) {
		free(steal(&f->temp));
		return err_sys(e, errno, "%s: cannot make a file there", path);
	}
	f->fresh = true;
	mode_t without = umask(0);
	umask(without);
	fchmod(f->fd, there ? st.st_mode & 0777 : 0666 & ~without);
	f->theirs = image_reopen(f->fd, false);
	return f->theirs < 0 ? err_sys(e, -f->theirs, "%s", path) : 0;
}

static int sync_dir(const char *path)
{
	auto_free char *copy = xstrdup(path);
	auto_close int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int image_files_keep(struct image_named *f, bool force, bool safe, struct err *e)
{
	if (!f->temp)
		return 0;
	/* ext4 writes all of a file before it takes another one's name (auto_da_alloc). */
	if (force && !safe)
		unlink(f->path);
	/* Nobody has locked what is only being made, so a name that came meanwhile is another's. */
	if (renameat2(AT_FDCWD, f->temp, AT_FDCWD, f->path, force ? 0 : RENAME_NOREPLACE) < 0 &&
	    (errno != EINVAL || link(f->temp, f->path) < 0 || unlink(f->temp) < 0))
		return err_sys(e, errno, "%s", f->path);
	free(steal(&f->temp));
	if (safe && sync_dir(f->path) < 0)
		return err_sys(e, errno, "%s: cannot make its name safe on the disk", f->path);
	return 0;
}

void image_files_close(struct image_named *f)
{
	if (f->temp)
		unlink(f->temp);
	if (f->theirs >= 0)
		close(f->theirs);
	if (f->fd >= 0)
		close(f->fd);
	free(f->temp);
	free(f->path);
	*f = IMAGE_NAMED_NONE;
}
