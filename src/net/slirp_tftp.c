/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slirp_tftp.c - see slirp_tftp.h. */
#include "net/slirp_tftp.h"

#include "base/i18n.h"
#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

static struct {
	char *name; /* relative to the folder */
	int fd;
} files[SLIRP_TFTP_FILES_MAX];
static unsigned nfiles;

/* Beneath top, wherever links lead. A FIFO does not hold us up. */
static int open_beneath(int top, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, top, name, &how, sizeof(how));
}

static int add_folder(int top, const char *name, unsigned depth, struct err *e);

static int add(int top, const char *name, unsigned depth, struct err *e)
{
	auto_close int fd = open_beneath(top, name);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		log_info(_("tftp: %s is left out (%s)"), name, strerror(errno));
		return 0;
	}
	if (S_ISDIR(st.st_mode))
		return add_folder(top, name, depth + 1, e);
	if (!S_ISREG(st.st_mode))
		return 0;
	if (nfiles == SLIRP_TFTP_FILES_MAX)
		return err_set(e, E2BIG, "tftp: the folder holds more than %d files; name a smaller one",
			       SLIRP_TFTP_FILES_MAX);
	files[nfiles].name = xstrdup(name);
	files[nfiles++].fd = steal_fd(&fd);
	return 0;
}

static int add_folder(int top, const char *name, unsigned depth, struct err *e)
{
	int fd = open_beneath(top, name), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		r = err_sys(e, errno, "tftp: cannot read the folder %s", name);
		if (fd >= 0)
			close(fd);
		return r;
	}
	if (depth > SLIRP_TFTP_DEPTH_MAX)
		r = err_set(e, ELOOP, "tftp: folders are deeper than %d; name a smaller one", SLIRP_TFTP_DEPTH_MAX);
	for (struct dirent *n; r == 0 && (n = readdir(d));) {
		if (!strcmp(n->d_name, ".") || !strcmp(n->d_name, ".."))
			continue;
		auto_free char *path = strcmp(name, ".") ? xasprintf("%s/%s", name, n->d_name) : xstrdup(n->d_name);
		r = add(top, path, depth, e);
	}
	closedir(d);
	return r;
}

int slirp_tftp_open(const char *dir, struct err *e)
{
	auto_close int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (top < 0)
		return err_sys(e, errno, "tftp: %s: cannot read it", dir);
	return add_folder(top, ".", 0, e);
}

/* Are they the same, where slashes that follow a slash count for nothing? */
static bool same(const char *asked, const char *name)
{
	while (*asked == '/')
		asked++;
	for (; *asked && *asked == *name; asked++, name++)
		while (*asked == '/' && asked[1] == '/')
			asked++;
	return !*asked && !*name;
}

int slirp_tftp_find(const char *name, off_t *size)
{
	for (unsigned i = 0; i < nfiles; i++) {
		if (!same(name, files[i].name))
			continue;
		*size = lseek(files[i].fd, 0, SEEK_END);
		/* Who reads looks for the place first; so one for all will do. */
		return fcntl(files[i].fd, F_DUPFD_CLOEXEC, 0);
	}
	errno = ENOENT;
	return -1;
}

int slirp_tftp_file(const char *path, off_t *size)
{
	if (!strncmp(path, SLIRP_TFTP_PREFIX "/", strlen(SLIRP_TFTP_PREFIX "/")))
		return slirp_tftp_find(path + strlen(SLIRP_TFTP_PREFIX), size);
	errno = ENOENT;
	return -1;
}
