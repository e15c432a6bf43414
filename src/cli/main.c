/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - the mica command: finds the command among its words and runs it. */
#include "base/process.h"
#include "cli/cmd.h"
#include "cli/options.h"
#include "base/i18n.h"
#include "vmm/exit_status.h"

static const struct {
	const char *name;
	int (*fn)(int argc, char **argv);
	void (*help)(FILE *f);
	const char *what;
} commands[] = {
	{ "run", cmd_run, run_opts_help, N_("run a virtual machine on this terminal") },
	{ "doctor", cmd_doctor, doctor_help, N_("show what this host offers to virtual machines") },
	{ "screenshot", cmd_screenshot, screenshot_help, N_("make a picture of a virtual machine's screen") },
	{ "type", cmd_type, type_help, N_("type text at a virtual machine's keyboard") },
	{ "sendkey", cmd_sendkey, sendkey_help, N_("press keys of a virtual machine together") },
	{ "save", cmd_save, save_help, N_("save the state of a running virtual machine") },
	{ "insert", cmd_insert, insert_help, N_("put a medium into a CD-ROM of a running virtual machine") },
	{ "image", cmd_image, image_help, N_("make disk images and look at them") },
	{ "eject", cmd_eject, eject_help, N_("take the medium out of a CD-ROM of a running virtual machine") },
};

static void help(FILE *f)
{
	fprintf(f, _("Usage: mica COMMAND [OPTION]...\n"
		     "       mica help COMMAND\n"
		     "       mica --version\n\n"
		     "Commands:\n"));
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(f, "  %-12s %s\n", commands[i].name, _(commands[i].what));
}

static int no_command(const char *name)
{
	fprintf(stderr, _("mica: '%s' is not a command; see mica --help\n"), name);
	return STATUS_USAGE;
}

int main(int argc, char **argv)
{
	process_std_fds();
	i18n_init();
	if (argc < 2) {
		help(stderr);
		return STATUS_USAGE;
	}
	const char *name = argv[1];
	if (!strcmp(name, "--version") || !strcmp(name, "version")) {
		printf("mica %s\n", MICA_VERSION);
		return fflush(stdout) ? STATUS_HOST : STATUS_OK;
	}
	bool wants_help = !strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h");
	if (wants_help && argc == 2) {
		help(stdout);
		return STATUS_OK;
	}
	if (wants_help)
		name = argv[2];
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, name))
			continue;
		if (wants_help) {
			commands[i].help(stdout);
			return STATUS_OK;
		}
		return commands[i].fn(argc - 1, argv + 1);
	}
	return no_command(name);
}
