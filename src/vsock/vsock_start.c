/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vsock_start.c - see vsock.h. */
#include "vsock/vsock.h"
#include "base/helper.h"

#include <sys/un.h>

#define LONGEST_PORT "_4294967295"

int vsock_check(const char *path, struct err *e)
{
	size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - sizeof(LONGEST_PORT);

	if (!*path || path[strlen(path) - 1] == '/')
		return err_set(e, EINVAL, "path=%s: write the path of a socket", path);
	if (strlen(path) > most)
		return err_set(e, ENAMETOOLONG, "%s: a socket's path, with a port behind it, has at most %zu bytes",
			       path, most);
	return 0;
}

int vsock_start(const char *path, struct err *e)
{
	char *argv[] = { "mica-vsock", (char *)(uintptr_t)path, NULL };

	return helper_start(argv, NULL, 0, e);
}
