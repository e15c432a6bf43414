/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_files.c - see boot_files.h. */
#include "vmm/boot_files.h"
#include "base/i18n.h"

#include <fcntl.h>
#include <sys/stat.h>

static int not_a_file(const char *option, const char *path, mode_t mode, struct err *e)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return err_set(e, EISDIR, "%s: %s is a directory; name the file in it", option, path);
	case S_IFBLK:
		return err_set(e, EINVAL, "%s: %s is a block device; a disk is given with --disk", option, path);
	case S_IFIFO:
		return err_set(
		    e, EINVAL,
		    "%s: %s is a pipe, which can be read only once, and a guest may boot again; write it to a "
		    "file first",
		    option, path);
	default:
		return err_set(e, EINVAL, "%s: %s is a device or a socket; a regular file is needed", option, path);
	}
}

/* Look before opening: to open a device may do something, and a FIFO makes who opens it wait. */
static int open_one(struct boot_files *f, const char *option, const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_sys(e, errno, "%s: %s: cannot open it", option, path);
	if (!S_ISREG(st.st_mode))
		return not_a_file(option, path, st.st_mode, e);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return err_sys(e, errno, "%s: %s: cannot open it", option, path);
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "%s: %s: cannot open it", option, path);
	if (!S_ISREG(st.st_mode))
		return not_a_file(option, path, st.st_mode, e);
	if (st.st_size == 0)
		return err_set(e, ENOEXEC, "%s: %s is empty; was it downloaded or built completely?", option, path);
	f->file = xrealloc(f->file, (f->n + 1) * sizeof(*f->file));
	f->file[f->n++] = (struct boot_file_open){ xstrdup(path), steal_fd(&fd) };
	return 0;
}

int boot_files_open(struct boot_files *f, const struct vmm_config *c, struct err *e)
{
	int r = c->kernel ? open_one(f, "--kernel", c->kernel, e) : 0;

	if (r == 0 && c->initrd)
		r = open_one(f, "--initrd", c->initrd, e);
	for (unsigned i = 0; r == 0 && i < c->nmodules; i++) {
		auto_free char *path = xstrdup(c->modules[i]);

		path[strcspn(path, " ")] = '\0';
		r = open_one(f, "--module", path, e);
	}
	return r;
}

void boot_files_close(struct boot_files *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		close(f->file[i].fd);
		free(f->file[i].path);
	}
	free(f->file);
	*f = (struct boot_files){ 0 };
}

int boot_files_hand_out(void *opaque, const char *path)
{
	const struct boot_files *f = opaque;

	for (unsigned i = 0; i < f->n; i++) {
		if (strcmp(f->file[i].path, path))
			continue;
		int fd = fcntl(f->file[i].fd, F_DUPFD_CLOEXEC, 0);
		if (fd >= 0)
			lseek(fd, 0, SEEK_SET);
		return fd < 0 ? -errno : fd;
	}
	return -ENOENT;
}
