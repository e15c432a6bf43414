/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vnc_start.c - where VNC clients come in, and the process that serves them; see vnc.h. */
#include "base/helper.h"
#include "base/program_path.h"
#include "vnc/vnc.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

_Static_assert(VNC_LINK_FD == HELPER_FD, "what helper_spawn() gives it");

#define START_TIMEOUT_MS 20000

/* ---- addresses ---- */

/* *ai is to be freed; "[::1]:5900", "127.0.0.1:5900", "localhost:5900". */
static int parse(const char *where, struct addrinfo **ai, struct err *e)
{
	const char *colon = strrchr(where, ':');
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				  .ai_socktype = SOCK_STREAM };
	auto_free char *host = colon ? xasprintf("%.*s", (int)(colon - where), where) : xstrdup("");
	size_t n = strlen(host);

	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		memmove(host, host + 1, n - 2);
		host[n - 2] = '\0';
	}
	if (!colon || !*host || !colon[1] ||
	    getaddrinfo(strcmp(host, "localhost") ? host : "127.0.0.1", colon + 1, &hints, ai))
		return err_set(e, EINVAL, "vnc=%s: write vnc=unix:PATH, or vnc=ADDRESS:PORT as 127.0.0.1:5900", where);
	return 0;
}

static bool loopback(const struct addrinfo *ai)
{
	static const u8 one[16] = { [15] = 1 };
	/* Of sockaddr_in the address begins at 4, of sockaddr_in6 at 8. */
	const u8 *sa = (const u8 *)ai->ai_addr;

	return ai->ai_family == AF_INET ? sa[4] == 127 : !memcmp(sa + 8, one, sizeof(one));
}

int vnc_check(const char *where, bool password, struct err *e)
{
	struct addrinfo *ai;

	if (!strncmp(where, "unix:", 5))
		return where[5] ? 0 : err_set(e, EINVAL, "vnc=%s: no path given", where);
	int r = parse(where, &ai, e);
	if (r < 0)
		return r;
	if (!loopback(ai) && !password)
		r = err_set(e, EPERM,
			    "vnc=%s: whoever reaches that address would have the guest's keyboard: add "
			    "password-file=FILE, and tls-cert=FILE so that nobody reads along; or listen at "
			    "127.0.0.1 and come by ssh",
			    where);
	freeaddrinfo(ai);
	return r;
}

int vnc_listen(const char *where, struct err *e)
{
	struct addrinfo *ai;
	int one = 1, r = parse(where, &ai, e);

	if (r < 0)
		return r;
	auto_close int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	r = fd < 0 || bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 8) < 0 ? -errno : 0;
	freeaddrinfo(ai);
	return r < 0 ? err_sys(e, -r, "cannot listen at %s", where) : steal_fd(&fd);
}

/* ---- the process ---- */

static int await_hello(int fd, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct vnc_msg m;
	int r;

	do
		r = poll(&p, 1, START_TIMEOUT_MS);
	while (r < 0 && errno == EINTR);
	ssize_t n = r > 0 ? recv(fd, &m, sizeof(m), MSG_DONTWAIT) : -1;
	if (n < (ssize_t)VNC_MSG_BYTES(0) || m.type != VNC_HELLO)
		return err_set(e, EPIPE, "the VNC server's process (mica-vnc) ended before it was ready");
	return m.a == VNC_VERSION ? 0 : err_set(e, EPROTONOSUPPORT, "mica-vnc is of another version of Mica");
}

/* The picture; *pixels is mapped. */
static int make_pixels(u32 **pixels, struct err *e)
{
	auto_close int fd = memfd_create("mica-screen", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, VNC_PIXELS_BYTES) < 0)
		return err_sys(e, errno, "cannot make the screen's picture");
	*pixels = mmap(NULL, VNC_PIXELS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (*pixels == MAP_FAILED)
		return err_sys(e, errno, "cannot make the screen's picture");
	return steal_fd(&fd);
}

static int start(struct vnc_link *l, int listener, const struct vnc_access *a, const char *name, struct err *e)
{
	char path[4200];
	int sv[2];
	pid_t pid;
	int r = program_find(path, sizeof(path), "mica-vnc", e);

	if (r < 0)
		return r;
	auto_close int pixels = make_pixels(&l->pixels, e);
	if (pixels < 0)
		return pixels;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(e, errno, "cannot make a socket pair");
	auto_close int ours = sv[0], theirs = sv[1];
	char *argv[] = { "mica-vnc",
			 (char *)(uintptr_t)name,
			 (char *)(uintptr_t)(a->password_file ? a->password_file : ""),
			 (char *)(uintptr_t)a->tls_cert,
			 (char *)(uintptr_t)a->tls_key,
			 NULL };
	if ((r = helper_spawn(&pid, path, argv, theirs, (const int[]){ listener, pixels }, 2, e)) < 0)
		return r;
	close(steal_fd(&theirs));
	if ((r = await_hello(ours, e)) < 0) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return r;
	}
	l->fd = steal_fd(&ours);
	return 0;
}

int vnc_start(struct vnc_link *l, int listen_fd, const struct vnc_access *a, const char *name, struct err *e)
{
	const char *const files[] = { a->password_file, a->tls_cert, a->tls_key };

	*l = (struct vnc_link){ .fd = -1 };
	for (unsigned i = 0; i < ARRAY_LEN(files); i++)
		if (files[i] && access(files[i], R_OK) < 0)
			return err_sys(e, errno, "%s: cannot read it", files[i]);
	int r = start(l, listen_fd, a, name, e);
	if (r < 0)
		vnc_close(l);
	return r;
}

void vnc_close(struct vnc_link *l)
{
	if (l->pixels && l->pixels != MAP_FAILED)
		munmap(l->pixels, VNC_PIXELS_BYTES);
	if (l->fd >= 0)
		close(l->fd);
	*l = (struct vnc_link){ .fd = -1 };
}
