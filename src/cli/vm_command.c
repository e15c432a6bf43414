/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm_command.c - see vm_command.h. */
#include "cli/vm_command.h"
#include "base/i18n.h"
#include "vmm/exit_status.h"

#include <getopt.h>

#define OPTIONS_MAX 8 /* of a command's own */

struct given {
	const char *control, *word;
	bool help;
};

static void list_option(FILE *f, const char *name, const char *arg, const char *help)
{
	int n = fprintf(f, "  --%s%s%s", name, arg ? " " : "", arg ? arg : "");

	fprintf(f, "%*s%s\n", 22 - n, "", _(help));
}

void vm_command_help(const struct vm_command *c, FILE *f)
{
	fputs(_(c->usage), f);
	list_option(f, "control", "PATH", N_("control socket of the VM (mica run --control PATH)"));
	for (unsigned i = 0; i < c->noptions; i++)
		list_option(f, c->options[i].name, c->options[i].arg, c->options[i].help);
	list_option(f, "help", NULL, N_("print this help and end"));
	if (c->more)
		fputs(_(c->more), f);
}

/* What an option of getopt_long()'s, or its complaint, means. */
static int take(struct given *g, const struct vm_command *c, int what, const char *as_written, struct err *e)
{
	switch (what) {
	case 'c':
		g->control = optarg;
		return 0;
	case 'h':
		g->help = true;
		return 0;
	case ':':
		return err_set(e, EINVAL, "%s: needs a value; see mica %s --help", as_written, c->name);
	case '?':
		return err_set(e, EINVAL, "%s: no such option; see mica %s --help", as_written, c->name);
	default:
		break;
	}
	const struct vm_option *o = &c->options[what - 256];
	if (o->arg)
		*o->value = optarg;
	else
		*o->on = true;
	return 0;
}

static int parse(struct given *g, const struct vm_command *c, int argc, char **argv, struct err *e)
{
	struct option longs[OPTIONS_MAX + 3] = { { "control", required_argument, NULL, 'c' },
						 { "help", no_argument, NULL, 'h' } };
	int what;

	must(c->noptions <= OPTIONS_MAX);
	for (unsigned i = 0; i < c->noptions; i++)
		longs[i + 2] = (struct option){ c->options[i].name, c->options[i].arg ? required_argument : no_argument,
						NULL, 256 + (int)i };
	optind = 0;
	opterr = 0;
	while (!g->help && (what = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		int r = take(g, c, what, argv[optind - 1], e);
		if (r < 0)
			return r;
	}
	if (g->help)
		return 0;
	bool wanted = c->word && !(c->instead && *c->instead);
	if (wanted && optind < argc)
		g->word = argv[optind++];
	if (optind < argc)
		return err_set(e, EINVAL, "'%s': one thing too many; see mica %s --help", argv[optind], c->name);
	if (!g->control)
		return err_set(e, EINVAL, "no VM: name its control socket with --control PATH");
	if (wanted && !g->word)
		return err_set(e, EINVAL, "%s", c->word);
	return c->check ? c->check(e) : 0;
}

/* What a VM of another version does not know, it says by itself when it is asked; that it is a VM at all is seen here.
 */
static int ask(const struct vm_command *c, const struct given *g, struct err *e)
{
	struct client_peer peer;
	struct client *vm = NULL;
	int r = client_connect(&vm, g->control, e);

	if (r == 0 && (r = client_hello(vm, &peer, VM_ANSWER_MS, e)) == 0) {
		client_peer_fini(&peer);
		r = c->run(vm, g->word, e);
	}
	client_free(vm);
	return r;
}

int vm_command_main(const struct vm_command *c, int argc, char **argv)
{
	struct given g = { 0 };
	struct err e;
	int status = STATUS_USAGE, r = parse(&g, c, argc, argv, &e);

	if (r == 0 && g.help) {
		vm_command_help(c, stdout);
		return STATUS_OK;
	}
	if (r == 0) {
		status = STATUS_HOST;
		r = ask(c, &g, &e);
	}
	if (r < 0)
		fprintf(stderr, "mica %s: %s\n", c->name, err_local(&e));
	return r < 0 ? status : STATUS_OK;
}
