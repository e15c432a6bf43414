/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spawn.c - see spawn.h. */
#include "client/spawn.h"
#include "base/clock.h"
#include "base/process.h"
#include "base/program_path.h"
#include "vmm/err_json.h"
#include "vmm/exit_status.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* ---- starting ---- */

static void inherit(int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETFD, 0);
}

static int config_memfd(const struct vmm_config *cfg, struct err *e)
{
	json_t *j = vmm_config_to_json(cfg);
	auto_free char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	auto_close int fd = memfd_create("mica-config", MFD_CLOEXEC);

	json_decref(j);
	if (!text)
		return err_set(e, EILSEQ, "a file name or text in the configuration of the VM is not valid UTF-8");
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(e, errno, "cannot hand over the configuration");
	return steal_fd(&fd);
}

/* In the child. A session of its own: the terminal's signals are not for it, and it can neither read the terminal nor
 * put words into its mouth. The rest it does itself (process_alone()), but what it is not given it need not even be
 * shown. */
noreturn_ static void become(const char *path, char **argv, char **env, const int *given, size_t n, int stderr_fd,
			     int why)
{
	setsid();
	close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	for (size_t i = 0; i < n; i++)
		inherit(given[i]);
	if (stderr_fd >= 0)
		dup2(stderr_fd, STDERR_FILENO);
	execve(path, argv, env);
	int code = errno;
	ssize_t w = write(why, &code, sizeof(code));
	(void)w;
	_exit(1);
}

static int start(struct spawned *s, const struct vmm_config *cfg, int stderr_fd, struct err *e)
{
	char path[4096], fd_text[16];
	char *argv[] = { path, (char[]){ "--config-fd" }, fd_text, NULL };
	int r = program_find(path, sizeof(path), "mica-vmm", e);

	if (r < 0)
		return r;
	auto_close int fd = config_memfd(cfg, e);
	if (fd < 0)
		return fd;
	snprintf(fd_text, sizeof(fd_text), "%d", fd);

	/* The child tells through a pipe that closes on a successful exec why it failed. */
	int why[2], code = 0;
	if (pipe2(why, O_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot start mica-vmm");
	auto_free char **env = process_environment();
	int given[VMM_FDS_MAX + 1];
	unsigned n = vmm_config_fds(cfg, given);
	given[n++] = fd;
	s->pid = fork();
	if (s->pid == 0)
		become(path, argv, env, given, n, stderr_fd, why[1]);
	code = s->pid < 0 ? errno : 0;
	close(why[1]);
	if (s->pid > 0 && read(why[0], &code, sizeof(code)) < 0)
		code = errno;
	close(why[0]);
	if (!code && (s->pidfd = pidfd_open(s->pid, 0)) < 0)
		code = errno;
	if (code && s->pid > 0)
		spawn_kill(s);
	return code ? err_sys(e, code, "cannot start %s", path) : 0;
}

int spawn_vmm(struct spawned *s, const struct vmm_config *cfg, const struct spawn_params *p, struct err *e)
{
	struct vmm_config mine = *cfg;
	int sv[2];

	*s = (struct spawned){ .pid = -1, .pidfd = -1 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(e, errno, "cannot make a socket pair");
	mine.control_fd = sv[1];
	mine.detached = p->detached;
	int r = start(s, &mine, p->stderr_fd, e);
	close(sv[1]);
	if (r < 0)
		close(sv[0]);
	else
		s->client = client_new(sv[0]);
	return r;
}

/* ---- the word ---- */

enum spawn_word spawn_heard(const char *event, const json_t *data, struct err *e, int *status)
{
	if (!strcmp(event, "ready"))
		return SPAWN_READY;
	if (strcmp(event, "failed"))
		return SPAWN_NOTHING;
	json_int_t said = json_integer_value(json_object_get(data, "status"));
	*status = said > 0 && said < 256 ? (int)said : STATUS_HOST;
	err_from_json(e, data);
	return SPAWN_FAILED;
}

struct wait {
	enum spawn_word word;
	struct err e;
	int status;
};

static void on_event(void *opaque, const char *name, const json_t *data)
{
	struct wait *w = opaque;

	if (w->word == SPAWN_NOTHING)
		w->word = spawn_heard(name, data, &w->e, &w->status);
}

int spawn_wait_ready(struct spawned *s, u64 timeout_ms, struct err *e)
{
	struct wait w = { .word = SPAWN_NOTHING };
	u64 end = clock_mono_ns() + timeout_ms * 1000000;

	client_set_ops(s->client, &(struct client_ops){ .event = on_event, .opaque = &w });
	while (w.word == SPAWN_NOTHING && client_fd(s->client) >= 0) {
		struct pollfd p = { client_fd(s->client), client_wants(s->client), 0 };
		u64 now = clock_mono_ns();
		if (now >= end)
			break;
		poll(&p, 1, (int)MIN((end - now) / 1000000 + 1, 1000000000ull));
		client_step(s->client);
	}
	client_set_ops(s->client, &(struct client_ops){ 0 });
	if (w.word == SPAWN_READY)
		return 0;
	if (w.word == SPAWN_FAILED) {
		if (e)
			*e = w.e;
		return -w.e.code;
	}
	if (client_fd(s->client) >= 0)
		return err_set(e, ETIMEDOUT, "the VM process (mica-vmm, pid %d) did not become ready in %llu s",
			       (int)s->pid, (unsigned long long)(timeout_ms / 1000));
	return err_set(e, EPIPE, "the VM process (mica-vmm, pid %d) ended before it was ready", (int)s->pid);
}

/* ---- the end ---- */

bool spawn_reap(struct spawned *s, int *wstatus)
{
	s->reaped = !s->reaped && waitpid(s->pid, wstatus, WNOHANG) == s->pid;
	return s->reaped;
}

bool spawn_why_ended(const struct spawned *s, int wstatus, struct err *e)
{
	if (!WIFSIGNALED(wstatus))
		return false;
	if (WTERMSIG(wstatus) == SIGSYS)
		err_set(
		    e, EPERM,
		    "the VM process (mica-vmm, pid %d) was ended by its sandbox: it made a system call it must not "
		    "make. This "
		    "is a bug in Mica or an attack from the guest; the kernel's audit log (type=1326) names the call. "
		    "Please report it.",
		    (int)s->pid);
	else
		err_set(e, EPIPE, "the VM process (mica-vmm, pid %d) was ended by signal %d (SIG%s)", (int)s->pid,
			WTERMSIG(wstatus), sigabbrev_np(WTERMSIG(wstatus)));
	return true;
}

void spawn_kill(struct spawned *s)
{
	if (s->pid < 0 || s->reaped)
		return;
	kill(s->pid, SIGKILL);
	while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
	s->reaped = true;
}

void spawn_fini(struct spawned *s)
{
	client_free(steal(&s->client));
	if (s->pidfd >= 0)
		close(steal_fd(&s->pidfd));
}
