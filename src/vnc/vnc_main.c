/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mica-vnc - shows the screen of one VM to VNC clients; vnc.h says what it is given. Started by mica-vmm, ends when the
 * link closes.
 *
 * This process reads the password and stays outside of the sandbox, to start another one whenever the one that speaks
 * with clients has died: it never reads what anybody sends. With TLS the other one has a child in front of it
 * (vnc_front.h), and dies with it.
 */
#include "base/clock.h"
#include "base/helper.h"
#include "base/i18n.h"
#include "base/log.h"
#include "vnc/vnc.h"
#include "vnc/vnc_front.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define WAIT_FIRST_MS 50
#define WAIT_MAX_MS 5000

static bool vmm_gone(int timeout_ms)
{
	struct pollfd p = { .fd = VNC_LINK_FD };

	return poll(&p, 1, timeout_ms) > 0;
}

/* TLS in front of it, in another process and another sandbox. Returns this end of the door. */
static int start_front(struct vnc_front *f)
{
	struct err e;
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		close(sv[0]);
		close(VNC_LINK_FD);
		close(VNC_PIXELS_FD);
		f->listen_fd = VNC_LISTEN_FD;
		f->door = sv[1];
		if (vnc_front_sandbox(&e) < 0) {
			log_error("mica-vnc: %s", err_local(&e));
			_exit(1);
		}
		_exit(vnc_front_serve(f));
	}
	close(sv[1]);
	return pid < 0 ? -1 : sv[0];
}

/* tls: NULL: clients come as they are. */
static int child(const char *name, const char *password, struct vnc_front *tls)
{
	struct err e;
	int door = -1;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (tls) {
		if ((door = start_front(tls)) < 0) {
			log_error("mica-vnc: %s", strerror(errno));
			return 1;
		}
		close(VNC_LISTEN_FD);
		vnc_front_unload(tls);
	}
	const u32 *pixels = mmap(NULL, VNC_PIXELS_BYTES, PROT_READ, MAP_SHARED | MAP_NORESERVE, VNC_PIXELS_FD, 0);
	if (pixels == MAP_FAILED || vnc_sandbox(&e) < 0) {
		log_error("mica-vnc: %s", pixels == MAP_FAILED ? strerror(errno) : err_local(&e));
		return 1;
	}
	return vnc_serve(name, password, pixels, door);
}

/* The first line of the file. */
static bool read_password(char *password, size_t bytes, const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, password, bytes - 1);

	password[MAX(n, 0)] = '\0';
	password[strcspn(password, "\r\n")] = '\0';
	return *password;
}

/* The process that serves, and whenever it has died the next one, until the VM is gone. */
static void keep_serving(const char *name, const char *password, struct vnc_front *tls)
{
	int wait_ms = WAIT_FIRST_MS, status = 0;

	while (!vmm_gone(0)) {
		u64 began = clock_mono_ns();
		pid_t pid = fork();
		if (pid == 0)
			_exit(child(name, password, tls));
		while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
			return;
		if (pid > 0 && WIFSIGNALED(status))
			log_warn(_("the VNC server's process (mica-vnc) was ended by signal %d and is started again"),
				 WTERMSIG(status));
		if (clock_mono_ns() - began > 10 * NSEC_PER_SEC)
			wait_ms = WAIT_FIRST_MS;
		if (vmm_gone(wait_ms))
			return;
		wait_ms = MIN(2 * wait_ms, WAIT_MAX_MS);
	}
}

int main(int argc, char **argv)
{
	char password[256] = "";
	struct vnc_front front = { .password = password };
	struct err e;
	int r = 0;

	helper_begin("mica-vnc", VNC_PIXELS_FD - VNC_LINK_FD);
	if (argc < 2)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (argc > 2 && *argv[2] && !read_password(password, sizeof(password), argv[2])) {
		log_error(_("mica-vnc: %s: there is no password in its first line"), argv[2]);
		return 1;
	}
	bool tls = argc > 3;
	if (tls && vnc_front_load(&front, argv[3], argc > 4 ? argv[4] : NULL, &e) < 0) {
		log_error("mica-vnc: %s", err_local(&e));
		r = 1;
	} else {
		keep_serving(argv[1], password, tls ? &front : NULL);
	}
	vnc_front_unload(&front);
	return r;
}
