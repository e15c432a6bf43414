/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slirp_limit.c - see slirp_limit.h.
 *
 * libslirp makes as many sockets as its guest asks for and, when there is no more memory, aborts. So its calls of
 * socket() and accept() come here (the program's own functions stand before libc's), and one too many is refused in the
 * protocol's own way: the guest's SYN is answered with a reset, a peer that was accepted gets one, a datagram is lost.
 * What is open goes on.
 *
 * The kernel gives the lowest free number, so a socket's number is at least how many others are open: that is the
 * count. RESERVE more descriptors than may stay open exist, as an accept() that fails would leave its connection in the
 * queue and poll() would never sleep again.
 */
#include "net/slirp_limit.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/net.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define RESERVE 16
#define SAY_NS (60 * NSEC_PER_SEC)

static int most = INT32_MAX; /* the first number that may not stay open */
static int first;

void slirp_limit_init(void)
{
	struct rlimit r;

	first = fcntl(NET_FRAMES_FD, F_DUPFD_CLOEXEC, 0);
	must(first >= 0);
	close(first);
	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	rlim_t want = (rlim_t)first + NET_USER_CONNECTIONS + RESERVE;
	if (r.rlim_max < want)
		log_info("user network: this host lets a process have %llu descriptors: at most %lld connections",
			 (unsigned long long)r.rlim_max, (long long)r.rlim_max - first - RESERVE);
	r.rlim_cur = r.rlim_max = MIN(r.rlim_max, want);
	setrlimit(RLIMIT_NOFILE, &r);
	most = MAX((int)r.rlim_cur - RESERVE, first);
}

bool slirp_limit_reached(int fd)
{
	static u64 next_ns;

	if (fd < most)
		return false;
	u64 now = clock_mono_ns();
	if (now >= next_ns) {
		next_ns = now + SAY_NS;
		log_guest("user network: %d connections are open, the most there may be; further ones are refused",
			  most - first);
	}
	return true;
}

int socket(int family, int type, int protocol)
{
	int fd = (int)syscall(SYS_socket, family, type, protocol);

	if (fd < 0 || !slirp_limit_reached(fd))
		return fd;
	close(fd);
	errno = ECONNREFUSED; /* which libslirp answers with a reset */
	return -1;
}

int accept(int fd, struct sockaddr *restrict addr, socklen_t *restrict len)
{
	struct linger reset = { .l_onoff = 1 };
	int s = (int)syscall(SYS_accept, fd, addr, len);

	if (s < 0 || !slirp_limit_reached(s))
		return s;
	setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(s);
	errno = ECONNABORTED;
	return -1;
}
