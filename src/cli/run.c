/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run.c - mica run: one VM, no daemon. Starts mica-vmm and stays between it and the terminal. */
#include "cli/cmd.h"
#include "cli/options.h"
#include "cli/relay.h"
#include "cli/restore.h"
#include "cli/terminal.h"
#include "base/i18n.h"
#include "vmm/exit_status.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <termios.h>

/* Descriptors of both sides while the VM runs. */
struct ends {
	int console, errors; /* ours */
	int vmm_console, vmm_serial2, vmm_virtio, vmm_errors;
	int slave[3]; /* of pseudo-terminals: held open so that a person may come and go */
};

static int pair(int *ours, int *theirs, struct err *e)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(e, errno, "cannot make a socket pair");
	*ours = sv[0];
	*theirs = sv[1];
	return 0;
}

static int open_pty(int *master, int *slave, const char *what, struct err *e)
{
	struct termios t;
	char name[128];

	*master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*master < 0 || grantpt(*master) < 0 || unlockpt(*master) < 0 || ptsname_r(*master, name, sizeof(name)))
		return err_sys(e, errno, "cannot make a pseudo-terminal");
	*slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*slave < 0 || tcgetattr(*slave, &t) < 0)
		return err_sys(e, errno, "%s", name);
	cfmakeraw(&t);
	tcsetattr(*slave, TCSANOW, &t);
	fprintf(stderr, _("mica: %s is on %s\n"), what, name);
	return 0;
}

static int open_ends(struct run_opts *o, struct ends *x, struct err *e)
{
	struct vmm_config *c = &o->cfg;
	const char *kinds[] = { "fd", "fd", "unix", "none" };
	int r = 0;

	if (o->console == CONSOLE_STDIO)
		r = pair(&x->console, &x->vmm_console, e);
	if (r == 0 && o->console == CONSOLE_PTY)
		r = open_pty(&x->vmm_console, &x->slave[0], _("the console"), e);
	if (r == 0 && o->virtio_console == CONSOLE_PTY)
		r = open_pty(&x->vmm_virtio, &x->slave[1], _("the virtio console"), e);
	if (r == 0 && o->serial2 == CONSOLE_PTY)
		r = open_pty(&x->vmm_serial2, &x->slave[2], _("the second serial port"), e);
	if (r < 0)
		return r;
	free(c->console);
	free(c->serial2);
	free(c->virtio_console);
	c->console = xstrdup(kinds[o->console]);
	c->serial2 = xstrdup(kinds[o->serial2]);
	c->virtio_console = xstrdup(kinds[o->virtio_console]);
	c->console_fd = x->vmm_console;
	c->serial2_fd = x->vmm_serial2;
	c->virtio_console_fd = x->vmm_virtio;
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int run(struct run_opts *o, struct err *e)
{
	struct ends x = { -1, -1, -1, -1, -1, -1, { -1, -1, -1 } };
	struct spawned vm;
	struct relay relay;
	int r = open_ends(o, &x, e);

	if (r < 0)
		return r;
	relay_init();
	if (o->console == CONSOLE_STDIO && isatty(STDIN_FILENO)) {
		int p[2];
		/* Raw mode asks for carriage returns in what mica-vmm says. */
		if (pipe2(p, O_CLOEXEC) < 0)
			return err_sys(e, errno, "cannot make a pipe");
		x.errors = p[0];
		x.vmm_errors = p[1];
	}
	relay = (struct relay){ .vm = &vm, .console = x.console, .errors = x.errors };
	r = spawn_vmm(&vm, &o->cfg, &(struct spawn_params){ .stderr_fd = x.vmm_errors }, e);
	if (o->console != CONSOLE_PTY)
		close_fd(&x.vmm_console);
	close_fd(&x.vmm_errors);
	if (r < 0)
		return r;
	if (o->console == CONSOLE_STDIO && isatty(STDIN_FILENO) && o->cfg.verbose)
		fprintf(stderr, _("mica: Ctrl-a x quits, Ctrl-a h helps\n"));
	if (o->console == CONSOLE_STDIO)
		terminal_take();
	r = relay_run(&relay);
	spawn_fini(&vm);

	/* The VMM could not remove them: its root directory was empty. */
	if (o->cfg.control_path && r != STATUS_HOST)
		unlink(o->cfg.control_path);
	if (o->cfg.vnc && !strncmp(o->cfg.vnc, "unix:", 5) && r != STATUS_HOST)
		unlink(o->cfg.vnc + 5);
	if (o->cfg.vsock && r != STATUS_HOST)
		unlink(o->cfg.vsock);
	if (o->console == CONSOLE_UNIX && r != STATUS_HOST)
		unlink(o->cfg.console_path);
	if (o->serial2 == CONSOLE_UNIX && r != STATUS_HOST)
		unlink(o->cfg.serial2_path);
	if (o->virtio_console == CONSOLE_UNIX && r != STATUS_HOST)
		unlink(o->cfg.virtio_console_path);
	return r;
}

int cmd_run(int argc, char **argv)
{
	struct run_opts o;
	struct err e;
	int status = STATUS_USAGE;

	run_opts_init(&o);
	int r = run_opts_parse(&o, argc, argv, &e);
	if (r == 0 && o.help) {
		run_opts_help(stdout);
		status = STATUS_OK;
		goto out;
	}
	if (r == 0 && o.restore)
		r = restore_prepare(&o, &e);
	if (r == 0) {
		/* What the table cannot see alone; the same check the VMM makes of what it is sent. */
		r = vmm_config_check(&o.cfg, &e);
	}
	if (r < 0)
		goto fail;
	r = run(&o, &e);
	if (r < 0)
		status = STATUS_HOST;
	else
		status = r;
fail:
	if (r < 0)
		fprintf(stderr, "mica run: %s\n", err_local(&e));
out:
	run_opts_fini(&o);
	return status;
}
