/* SPDX-License-Identifier: GPL-2.0-or-later */
/* launch.c - see launch.h. */
#include "cli/launch.h"
#include "base/process.h"
#include "vmm/i18n.h"
#include "vmm/self.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/mman.h>

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
		return err_set(e, EILSEQ, _("a file name or text on the command line is not valid UTF-8"));
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(e, errno, _("cannot hand over the configuration"));
	return steal_fd(&fd);
}

int launch_vmm(pid_t *pid, const struct vmm_config *cfg, int stderr_fd, struct err *e)
{
	char path[4096], fd_text[16];
	char *argv[] = { path, (char[]){ "--config-fd" }, fd_text, NULL };
	auto_close int fd = config_memfd(cfg, e);

	if (fd < 0)
		return fd;
	int r = self_find(path, sizeof(path), "mica-vmm");
	if (r < 0)
		return err_sys(e, -r,
			       _("cannot find mica-vmm beside mica or in ../libexec/mica; is Mica installed whole?"));
	snprintf(fd_text, sizeof(fd_text), "%d", fd);

	/* The child tells through a pipe that closes on a successful exec why it failed. */
	int why[2], code = 0;
	if (pipe2(why, O_CLOEXEC) < 0)
		return err_sys(e, errno, _("cannot start mica-vmm"));
	auto_free char **env = process_environment();
	*pid = fork();
	if (*pid == 0) {
		/* A session of its own: the terminal's signals are not for it, and it can neither read the terminal nor
		 * put words into its mouth. The rest it does itself (process_alone()), but what it is not given it need
		 * not even be shown. */
		setsid();
		close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
		inherit(fd);
		inherit(cfg->console_fd);
		inherit(cfg->virtio_console_fd);
		inherit(cfg->control_fd);
		inherit(cfg->restore_fd);
		inherit(cfg->restore_head_fd);
		if (stderr_fd >= 0)
			dup2(stderr_fd, STDERR_FILENO);
		execve(path, argv, env);
		code = errno;
		ssize_t n = write(why[1], &code, sizeof(code));
		(void)n;
		_exit(1);
	}
	code = *pid < 0 ? errno : 0;
	close(why[1]);
	if (*pid > 0 && read(why[0], &code, sizeof(code)) < 0)
		code = errno;
	close(why[0]);
	return code ? err_sys(e, code, _("cannot start %s"), path) : 0;
}
