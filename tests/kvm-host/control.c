/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control.c - control SOCKET NAME: one request to a VM's control socket, its answer on stdout. For shells without more.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char buf[65536];
	size_t at = 0;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (argc != 3 || fd < 0 || strlen(argv[1]) >= sizeof(a.sun_path))
		return 2;
	strcpy(a.sun_path, argv[1]);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		perror(argv[1]);
		return 1;
	}
	int n = snprintf(buf, sizeof(buf), "{\"id\":1,\"command\":\"%s\"}\n", argv[2]);
	if (write(fd, buf, (size_t)n) != n)
		return 1;
	while (at < sizeof(buf) - 1) {
		ssize_t got = read(fd, buf + at, sizeof(buf) - 1 - at);
		if (got <= 0)
			return 1;
		at += (size_t)got;
		if (memchr(buf, '\n', at))
			break;
	}
	buf[at] = '\0';
	fputs(buf, stdout);
	return 0;
}
