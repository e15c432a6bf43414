/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mica-vnc - shows the screen of one VM to VNC clients; vnc.h says what it is given. Started by mica-vmm, ends when the
 * link closes.
 *
 * This process reads the password and stays outside of the sandbox, to start another one whenever the one that speaks
 * with clients has died: it never reads what anybody sends.
 */
#include "base/clock.h"
#include "base/helper.h"
#include "base/i18n.h"
#include "base/log.h"
#include "vnc/vnc.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define WAIT_FIRST_MS 50
#define WAIT_MAX_MS 5000

static bool vmm_gone(int timeout_ms)
{
	struct pollfd p = { .fd = VNC_LINK_FD };

	return poll(&p, 1, timeout_ms) > 0;
}

static int child(const char *name, const char *password)
{
	struct err e;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	const u32 *pixels = mmap(NULL, VNC_PIXELS_BYTES, PROT_READ, MAP_SHARED | MAP_NORESERVE, VNC_PIXELS_FD, 0);
	if (pixels == MAP_FAILED || vnc_sandbox(&e) < 0) {
		log_error("mica-vnc: %s", pixels == MAP_FAILED ? strerror(errno) : err_local(&e));
		return 1;
	}
	return vnc_serve(name, password, pixels);
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

int main(int argc, char **argv)
{
	char password[256] = "";
	int wait_ms = WAIT_FIRST_MS, status = 0;

	helper_begin("mica-vnc", VNC_PIXELS_FD - VNC_LINK_FD);
	if (argc < 2)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (argc > 2 && !read_password(password, sizeof(password), argv[2])) {
		log_error(_("mica-vnc: %s: there is no password in its first line"), argv[2]);
		return 1;
	}
	while (!vmm_gone(0)) {
		u64 began = clock_mono_ns();
		pid_t pid = fork();
		if (pid == 0)
			_exit(child(argv[1], password));
		while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
			return 0;
		if (pid > 0 && WIFSIGNALED(status))
			log_warn(_("the VNC server's process (mica-vnc) was ended by signal %d and is started again"),
				 WTERMSIG(status));
		if (clock_mono_ns() - began > 10 * NSEC_PER_SEC)
			wait_ms = WAIT_FIRST_MS;
		if (vmm_gone(wait_ms))
			return 0;
		wait_ms = MIN(2 * wait_ms, WAIT_MAX_MS);
	}
	return 0;
}
