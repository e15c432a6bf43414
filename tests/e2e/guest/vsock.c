/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vsock.c - a guest's side of AF_VSOCK, for test_host.py: busybox knows no such sockets.
 *
 *	vsock echo PORT     takes connections, and sends back what comes on each until its end
 *	vsock send PORT     connects to the host, sends standard input, writes what comes back
 */
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int copy(int from, int to)
{
	static char buf[65536];
	ssize_t n = read(from, buf, sizeof(buf));

	for (ssize_t done = 0, k; done < n; done += k)
		if ((k = write(to, buf + done, (size_t)(n - done))) <= 0)
			return -1;
	return (int)n;
}

static int echo(int fd)
{
	listen(fd, 64);
	puts("@listening");
	fflush(stdout);
	for (;;) {
		int c = accept(fd, NULL, NULL);

		if (c < 0)
			return 1;
		if (fork() == 0) {
			while (copy(c, c) > 0)
				;
			_exit(0);
		}
		close(c);
	}
}

static int both(int fd)
{
	struct pollfd p[2] = { { .fd = 0, .events = POLLIN }, { .fd = fd, .events = POLLIN } };

	while (poll(p, 2, -1) > 0) {
		if (p[0].revents && copy(0, fd) <= 0) {
			shutdown(fd, SHUT_WR);
			p[0].fd = -1;
		}
		if (p[1].revents && copy(fd, 1) <= 0)
			return 0;
	}
	return 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_vm sa = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY };
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (fd < 0 || argc < 3)
		return 2;
	sa.svm_port = (unsigned)strtoul(argv[2], NULL, 10);
	if (!strcmp(argv[1], "echo"))
		return bind(fd, (struct sockaddr *)&sa, sizeof(sa)) ? 1 : echo(fd);
	sa.svm_cid = VMADDR_CID_HOST;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		printf("@refused\n");
		return 1;
	}
	return both(fd);
}
