/* SPDX-License-Identifier: GPL-2.0-or-later */
/* screen.c - mica screenshot: what a running VM shows. */
#include "base/err.h"
#include "base/i18n.h"
#include "cli/cmd.h"
#include "client/client.h"
#include "vmm/exit_status.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

#define ANSWER_MS 30000

void screenshot_help(FILE *f)
{
	fprintf(f, _("Usage: mica screenshot CONTROL FILE.png\n"
		     "Make a picture of what the virtual machine's screen shows, as PNG.\n\n"
		     "  CONTROL             control socket of the VM (mica run --control PATH --display vga)\n"
		     "  FILE.png            where the picture goes; an older file is replaced\n"));
}

/* Under the name there is either a whole picture or what was there before. */
static int shoot(struct client *vm, const char *path, struct err *e)
{
	auto_free char *temp = xasprintf("%s.XXXXXX", path);
	auto_close int fd = mkostemp(temp, O_CLOEXEC);
	json_t *res = NULL;
	mode_t mask = umask(0);

	umask(mask);
	if (fd < 0)
		return err_sys(e, errno, "%s: cannot make a file there", path);
	int r = client_call(vm, &res, "screenshot", NULL, fd, ANSWER_MS, e);
	json_decref(res);
	if (r == 0 && (fchmod(fd, 0666 & ~mask) < 0 || rename(temp, path) < 0))
		r = err_sys(e, errno, "%s", path);
	if (r < 0)
		unlink(temp);
	return r;
}

static int usage(const char *text)
{
	fprintf(stderr, "mica screenshot: %s\n", text);
	return STATUS_USAGE;
}

int cmd_screenshot(int argc, char **argv)
{
	struct client *vm = NULL;
	struct client_peer peer;
	struct err e;

	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		screenshot_help(stdout);
		return STATUS_OK;
	}
	if (argc > 1 && argv[1][0] == '-')
		return usage(_("there are no options; see mica screenshot --help"));
	if (argc != 3)
		return usage(_("give the VM's control socket and the file; see mica screenshot --help"));
	int r = client_connect(&vm, argv[1], &e);
	if (r == 0 && (r = client_hello(vm, &peer, ANSWER_MS, &e)) == 0) {
		client_peer_fini(&peer);
		r = shoot(vm, argv[2], &e);
	}
	client_free(vm);
	if (r < 0) {
		fprintf(stderr, "mica screenshot: %s\n", err_local(&e));
		return STATUS_HOST;
	}
	return STATUS_OK;
}
