/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options.h - the options of mica run: one table that the parser, --help, and the checks of the man page and of
 * the bash completion are fed from.
 */
#ifndef MICA_OPTIONS_H
#define MICA_OPTIONS_H

#include "vmm/config.h"

enum run_console { CONSOLE_STDIO, CONSOLE_PTY, CONSOLE_UNIX, CONSOLE_NONE };

/* What a command line of mica run asks for. */
struct run_opts {
	struct vmm_config cfg; /* console fds not yet there */
	enum run_console console, serial2, virtio_console;
	bool net_none, help;
	char *restore;      /* a saved state to go on from */
	bool restore_trust; /* with the files and networks that it names */
	u64 given;          /* a bit for each option of the table */
};

void run_opts_init(struct run_opts *o);
void run_opts_fini(struct run_opts *o);
/* argv[0] is "run". Messages begin with the option's name. */
int run_opts_parse(struct run_opts *o, int argc, char **argv, struct err *e);
/* The text of mica run --help. */
void run_opts_help(FILE *f);
/* Was the option on the command line? */
bool run_opts_given(const struct run_opts *o, const char *name);
/* Option names without dashes, in the table's order; NULL ends. */
const char *run_opts_name(unsigned i);

#endif
