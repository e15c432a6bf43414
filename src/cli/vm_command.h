/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm_command.h - the commands that ask something of a running VM, all called the same way:
 *
 *	mica NAME --control PATH [OPTION]... [WORD]
 *
 * Each describes itself by a struct vm_command; its help, the complaints and the connection come from here.
 */
#ifndef MICA_VM_COMMAND_H
#define MICA_VM_COMMAND_H

#include "base/err.h"
#include "client/client.h"

#include <stdio.h>

#define VM_ANSWER_MS 30000 /* what the VM does not need time for is answered at once */

/* --name VALUE, or a switch. Where it goes is a variable of the command's file: a process runs one command. */
struct vm_option {
	const char *name, *arg, *help; /* arg NULL: a switch */
	const char **value;
	bool *on;
};

struct vm_command {
	const char *name;
	const char *usage, *more; /* the help before and after the options, for gettext; more may be NULL */
	const struct vm_option *options;
	unsigned noptions;   /* besides --control and --help */
	const char *word;    /* what is said when there is no WORD; NULL: there is none to be */
	const bool *instead; /* a switch that stands for WORD; NULL: none does */
	/* Is what was given enough? -EINVAL is a mistake in the command line. NULL: yes. */
	int (*check)(struct err *e);
	/* With the VM at `control`; word NULL: there was none to be. */
	int (*run)(struct client *vm, const char *word, struct err *e);
};

void vm_command_help(const struct vm_command *c, FILE *f);
/* Returns an exit status (vmm/exit_status.h); errors are printed. */
int vm_command_main(const struct vm_command *c, int argc, char **argv);

#endif
