/* SPDX-License-Identifier: GPL-2.0-or-later */
/* self.c - see self.h. */
#include "vmm/self.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int self_dir(char *buf, size_t bytes)
{
	ssize_t n = readlink("/proc/self/exe", buf, bytes - 1);

	if (n < 0)
		return -errno;
	buf[n] = '\0';
	char *slash = strrchr(buf, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return 0;
}

int self_find(char *buf, size_t bytes, const char *name)
{
	static const char *const where[] = { "", "/../libexec/mica" };
	char dir[4096];
	int r = self_dir(dir, sizeof(dir));

	for (size_t i = 0; r == 0 && i < sizeof(where) / sizeof(where[0]); i++) {
		if ((size_t)snprintf(buf, bytes, "%s%s/%s", dir, where[i], name) >= bytes)
			return -ENAMETOOLONG;
		if (access(buf, X_OK) == 0)
			return 0;
	}
	return r ? r : -ENOENT;
}
