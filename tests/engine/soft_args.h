/* SPDX-License-Identifier: GPL-2.0-or-later */
/* soft_args.h - a test's options for the software engine: --translate on|off|exact, --heat N, --cache SIZE, --check X,
 * --direct on|off|always. */
#ifndef MICA_TEST_SOFT_ARGS_H
#define MICA_TEST_SOFT_ARGS_H

#include "vmm/engine_options.h"

#define SOFT_ARGS_USAGE \
	"[--translate on|off|exact] [--heat N] [--cache SIZE] [--check off|on|all|report] " \
	"[--direct on|off|always]"

/* Takes `key value` if it is one of them; ends the program when the value is wrong. */
static inline bool soft_arg(struct soft_options *o, const char *key, const char *value)
{
	static char *items[8];
	static unsigned n;
	struct err e = { 0 };

	if (strcmp(key, "--translate") && strcmp(key, "--heat") && strcmp(key, "--cache") && strcmp(key, "--check") &&
	    strcmp(key, "--direct") && strcmp(key, "--perfmap"))
		return false;
	must(n < ARRAY_LEN(items));
	items[n++] = xasprintf("%s=%s", key + 2, value);
	if (engine_options_parse(o, items, n, &e) < 0) {
		fprintf(stderr, "%s\n", e.msg);
		exit(2);
	}
	return true;
}

#endif
