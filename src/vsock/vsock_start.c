/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vsock_start.c - see vsock.h. */
#include "vsock/vsock.h"
#include "base/helper.h"

#include <sys/socket.h>
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

int vsock_start_itself(const char *path, struct err *e)
{
	char *argv[] = { "mica-vsock", (char *)(uintptr_t)path, VSOCK_ITSELF, NULL };

	return helper_start(argv, NULL, 0, e);
}

int vsock_answer_read(int link_fd, struct vsock_answer *a, int *fd)
{
	struct iovec iov = { a, sizeof(*a) };
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl;
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = CMSG_LEN(sizeof(int))
	};
	ssize_t n = recvmsg(link_fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*fd = -1;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -EPROTO;
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(h), sizeof(*fd));
	if (n == sizeof(*a))
		return 1;
	if (*fd >= 0)
		close(steal_fd(fd));
	return -EPROTO;
}
