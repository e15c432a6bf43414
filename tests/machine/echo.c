/* SPDX-License-Identifier: GPL-2.0-or-later */
/* echo.c - echo SOCKET: connects to a unix socket, as soon as someone listens there, and says back what it hears. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char buf[4096];
	ssize_t n;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), tries = 0;

	if (argc != 2 || fd < 0 || strlen(argv[1]) >= sizeof(a.sun_path))
		return 2;
	strcpy(a.sun_path, argv[1]);
	while (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		if (tries++ == 1000) {
			perror(argv[1]);
			return 1;
		}
		usleep(20000);
	}
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (write(fd, buf, (size_t)n) != n)
			return 1;
	return 0;
}
