/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slirp_host.c - see slirp_host.h. */
#include "net/slirp_host.h"
#include "base/i18n.h"
#include "net/net.h"
#include "net/slirp_tftp.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* ---- resolv.conf: libslirp looks at it again and again; it gets what it was at the start ---- */

static char resolv[4096];
static size_t resolv_bytes;
static bool locked; /* nothing is opened by name any more */

void slirp_host_init(void)
{
	auto_close int fd = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);

	ssize_t n = fd >= 0 ? read(fd, resolv, sizeof(resolv)) : 0;
	resolv_bytes = n > 0 ? (size_t)n : 0;
}

/* These take libc's place for libslirp, which runs in a process that can open nothing. */
FILE *fopen64(const char *path, const char *mode);
FILE *fopen64(const char *path, const char *mode)
{
	if (strcmp(path, "/etc/resolv.conf") != 0 || mode[0] != 'r' || !resolv_bytes) {
		errno = ENOENT;
		return NULL;
	}
	return fmemopen(resolv, resolv_bytes, "r");
}

/* Ours are calls of before; libslirp's are files that it gives by TFTP (slirp_tftp.h). */
int open64(const char *path, int flags, ...);
int open64(const char *path, int flags, ...)
{
	off_t size;

	if (!locked)
		return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0);
	return slirp_tftp_file(path, &size);
}

void slirp_host_lock(void)
{
	locked = true;
}

int stat64(const char *path, struct stat64 *st)
{
	off_t size;
	int fd = slirp_tftp_file(path, &size);

	if (fd >= 0) {
		close(fd);
		memset(st, 0, sizeof(*st));
		st->st_mode = S_IFREG | 0444;
		st->st_size = size;
		return 0;
	}
	if (strcmp(path, "/etc/resolv.conf") != 0 || !resolv_bytes) {
		errno = ENOENT;
		return -1;
	}
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFREG | 0444;
	st->st_size = (off_t)resolv_bytes;
	st->st_mtime = 1; /* not the zeros that libslirp's cache starts with */
	return 0;
}

/* Give the guest IPv6 only where the host itself has a way out: it would try it first, in vain. */
bool slirp_host_has_ipv6(void)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_port = htons(53) };
	auto_close int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET6, "2000::1", &sa.sin6_addr);
	return fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0; /* a route look-up; sends nothing */
}

/* ---- ports ---- */

/* Ask the host for the port without SO_REUSEADDR, which libslirp sets: two UDP sockets would share it. */
static int probe(const struct net_hostfwd *f, struct in_addr addr)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(f->host_port), .sin_addr = addr };
	auto_close int fd = socket(AF_INET, SOCK_CLOEXEC | (f->udp ? SOCK_DGRAM : SOCK_STREAM), 0);
	int one = 1;

	if (fd < 0)
		return -errno;
	if (!f->udp)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)); /* connections in TIME_WAIT are no owner */
	return bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
}

int slirp_forward(Slirp *slirp, const char *text, struct err *e)
{
	struct net_hostfwd f;
	struct in_addr host, guest;
	int r = net_hostfwd_parse(&f, text, e);

	if (r < 0)
		return r;
	const char *addr = f.host_addr[0] ? f.host_addr : "127.0.0.1";
	inet_pton(AF_INET, addr, &host);
	inet_pton(AF_INET, "10.0.2.15", &guest);
	r = probe(&f, host);
	if (!r && slirp_add_hostfwd(slirp, f.udp, host, f.host_port, guest, f.guest_port) < 0)
		r = errno ? -errno : -EADDRINUSE;
	if (!r)
		return 0;
	return err_sys(
	    e, -r,
	    r == -EADDRINUSE
		? N_("cannot forward %s port %u of %s to the guest's port %u (another program has it; choose "
		     "another)")
	    : r == -EACCES ? N_("cannot forward %s port %u of %s to the guest's port %u (ports below 1024 are for "
				"root; choose another)")
	    : r == -EADDRNOTAVAIL ? N_("cannot forward %s port %u of %s to the guest's port %u (no network interface "
				       "of this host has that "
				       "address)")
				  : N_("cannot forward %s port %u of %s to the guest's port %u"),
	    f.udp ? "udp" : "tcp", f.host_port, addr, f.guest_port);
}
