/* SPDX-License-Identifier: GPL-2.0-or-later */
/* share_start.c - see share.h. */
#include "share/share.h"
#include "base/helper.h"

#include <sys/socket.h>

#define SOCKET_BYTES (1 << 20) /* asked for; the kernel gives what wmem_max allows */

int share_tag_check(const char *tag, struct err *e)
{
	size_t n = strlen(tag);
	bool ok = n >= 1 && n <= SHARE_TAG_MAX;

	for (size_t i = 0; i < n; i++)
		ok &= (u8)tag[i] > ' ' && tag[i] != ',' && tag[i] != 0x7f;
	return ok ? 0
		  : err_set(e, EINVAL, "tag=%s: write 1 to %d bytes without blanks; the guest mounts it by this name",
			    tag, SHARE_TAG_MAX);
}

int share_start(const char *dir, bool readonly, struct err *e)
{
	char *argv[] = { "mica-share", (char *)(uintptr_t)dir, readonly ? "ro" : "rw", NULL };
	int bytes = SOCKET_BYTES, fd = helper_start(argv, NULL, 0, e);

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return fd;
}
