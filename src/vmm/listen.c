/* SPDX-License-Identifier: GPL-2.0-or-later */
/* listen.c - see listen.h. */
#include "vmm/listen.h"
#include "base/i18n.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

int unix_listen(const char *path, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(e, errno, "cannot make a socket");
	if (strlen(path) >= sizeof(sa.sun_path))
		return err_set(e, ENAMETOOLONG, "%s: a socket's path has at most %zu bytes", path,
			       sizeof(sa.sun_path) - 1);
	strcpy(sa.sun_path, path);
	/* A socket nobody listens at is a dead VM's; a live one, or a file, is left alone. */
	auto_close int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (probe >= 0 && connect(probe, (struct sockaddr *)&sa, sizeof(sa)) < 0 && errno == ECONNREFUSED) {
		struct stat st;
		if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
			unlink(path);
	}
	mode_t old = umask(0177);
	int r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 8) < 0 ? -errno : 0;
	umask(old);
	if (r == -EADDRINUSE)
		return err_set(e, EADDRINUSE, "%s: exists already; another VM uses it, or it is not a socket", path);
	if (r < 0)
		return err_sys(e, -r, "cannot listen at %s", path);
	return steal_fd(&fd);
}

int unix_connect(const char *path, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(e, errno, "cannot make a socket");
	if (strlen(path) >= sizeof(sa.sun_path))
		return err_set(e, ENAMETOOLONG, "%s: a socket's path has at most %zu bytes", path,
			       sizeof(sa.sun_path) - 1);
	strcpy(sa.sun_path, path);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_sys(e, errno, "%s: cannot connect; does the back end run?", path);
	return steal_fd(&fd);
}
