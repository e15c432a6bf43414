/* SPDX-License-Identifier: GPL-2.0-or-later */
/* namespaces.c - see namespaces.h. */
#include "base/namespaces.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

static int put_file(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t n = strlen(text);

	return fd >= 0 && write(fd, text, n) == (ssize_t)n ? 0 : -errno;
}

int namespaces_enter(bool host_network)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[64];

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | (host_network ? 0 : CLONE_NEWNET)) < 0)
		return -errno;
	put_file("/proc/self/setgroups", "deny"); /* which some hosts do not have */
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	int r = put_file("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	if (r == 0)
		r = put_file("/proc/self/gid_map", map);
	return r < 0 ? r : mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0;
}
