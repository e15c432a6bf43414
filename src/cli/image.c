/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image.c - mica image: finds the verb among its words, and its options. */
#include "cli/image.h"
#include "base/i18n.h"
#include "cli/cmd.h"
#include "cli/optarg.h"
#include "vmm/exit_status.h"

#include <getopt.h>

#define OPTIONS_MAX 24

static const struct image_verb_option help_option = { IMAGE_OPT_HELP, 'h', "help", NULL,
						      N_("print this help and end") };

/* ---- help ---- */

static void list_option(FILE *f, const struct image_verb_option *o)
{
	int n = o->letter ? fprintf(f, "  -%c, --%s", o->letter, o->name) : fprintf(f, "      --%s", o->name);

	if (o->arg)
		n += fprintf(f, " %s", o->arg);
	fprintf(f, "%*s%s\n", MAX(30 - n, 1), "", _(o->help));
}

static void verb_help(const struct image_verb *v, FILE *f)
{
	fprintf(f, "%s%s\n\n", _(v->usage), _(v->what));
	for (const struct image_verb_option *o = v->options; o->name; o++)
		list_option(f, o);
	list_option(f, &help_option);
	if (v->more)
		fputs(_(v->more), f);
	if (v->makes)
		image_verbs_formats(f);
}

void image_help(FILE *f)
{
	fputs(
	    _("Usage: mica image VERB [OPTION]... [FILE]...\n"
	      "       mica image VERB --help\n"
	      "Make disk images and look at them. What is in an image is read by a process that can open no files.\n\n"
	      "Verbs:\n"),
	    f);
	for (unsigned i = 0; i < image_nverbs; i++)
		fprintf(f, "  %-12s %s\n", image_verbs[i].name, _(image_verbs[i].what));
}

/* ---- the command line ---- */

/* "a=1,b=2" of one -o. */
static int add_options(char **list, unsigned *n, const char *text, struct err *e)
{
	char **items = optarg_split(text);
	int rc = 0;

	for (unsigned i = 0; items[i]; i++) {
		if (rc == 0 && *n == IMAGE_LIST_MAX)
			rc = err_set(e, E2BIG, "more than %u options of a format", IMAGE_LIST_MAX);
		if (rc == 0 && !strchr(items[i], '='))
			rc = err_set(e, EINVAL, "'%s': options of a format are NAME=VALUE", items[i]);
		if (rc == 0)
			list[(*n)++] = items[i];
		else
			free(items[i]);
	}
	free(items);
	return rc;
}

static int take(struct image_args *a, const struct image_verb_option *o, const char *value, struct err *e)
{
	if (o->opt == IMAGE_OPT_OPTION)
		return add_options(a->option, &a->noptions, value, e);
	if (o->opt == IMAGE_OPT_SOURCE_OPTION)
		return add_options(a->source_option, &a->nsource_options, value, e);
	a->value[o->opt] = value ? value : "";
	return 0;
}

static int parse(struct image_args *a, int argc, char **argv, struct err *e)
{
	struct option longs[OPTIONS_MAX + 2] = { { "help", no_argument, NULL, 'h' } };
	char shorts[2 * OPTIONS_MAX + 8] = ":h", *p = shorts + 2;
	const struct image_verb *v = a->verb;
	unsigned n = 0;
	int what;

	for (const struct image_verb_option *o = v->options; o->name; o++, n++) {
		must(n < OPTIONS_MAX);
		longs[n + 1] = (struct option){ o->name, o->arg ? required_argument : no_argument, NULL, 256 + (int)n };
		if (o->letter) {
			*p++ = o->letter;
			if (o->arg)
				*p++ = ':';
		}
	}
	optind = 0;
	opterr = 0;
	while ((what = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct image_verb_option *o = v->options;
		if (what == ':')
			return err_set(e, EINVAL, "%s: needs a value; see mica image %s --help", argv[optind - 1],
				       v->name);
		if (what == '?')
			return err_set(e, EINVAL, "%s: no such option; see mica image %s --help", argv[optind - 1],
				       v->name);
		for (; what < 256 && what != 'h' && o->letter != what; o++)
			;
		int rc = take(a, what == 'h' ? &help_option : what >= 256 ? &v->options[what - 256] : o, optarg, e);
		if (rc < 0)
			return rc;
	}
	if (a->value[IMAGE_OPT_HELP])
		return 0;
	for (; optind < argc; optind++) {
		if (a->nwords == v->max_words)
			return err_set(e, EINVAL, "'%s': one thing too many; see mica image %s --help", argv[optind],
				       v->name);
		a->word[a->nwords++] = argv[optind];
	}
	return a->nwords < v->min_words ? err_set(e, EINVAL, "a file is missing; see mica image %s --help", v->name)
					: 0;
}

static int run_verb(struct image_args *a, int argc, char **argv)
{
	struct err e;
	int status = parse(a, argc, argv, &e);

	if (status == 0 && a->value[IMAGE_OPT_HELP]) {
		verb_help(a->verb, stdout);
		return STATUS_OK;
	}
	bool usage = status < 0;
	if (status == 0)
		status = a->verb->run(a, &e);
	if (status >= 0)
		return status;
	fprintf(stderr, "mica image %s: %s\n", a->verb->name, err_local(&e));
	if (status == -EINTR)
		return STATUS_QUIT;
	return a->verb->failed ? a->verb->failed : usage ? STATUS_USAGE : STATUS_HOST;
}

int cmd_image(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (!strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h")) {
		image_help(stdout);
		return STATUS_OK;
	}
	for (unsigned i = 0; i < image_nverbs; i++) {
		if (strcmp(image_verbs[i].name, name))
			continue;
		struct image_args a = { .verb = &image_verbs[i] };
		int status = run_verb(&a, argc - 1, argv + 1);
		for (unsigned k = 0; k < a.noptions; k++)
			free(a.option[k]);
		for (unsigned k = 0; k < a.nsource_options; k++)
			free(a.source_option[k]);
		if (fflush(stdout) && status == STATUS_OK)
			status = STATUS_HOST;
		return status;
	}
	if (*name)
		fprintf(stderr, _("mica image: '%s' is not a verb; see mica image --help\n"), name);
	else
		image_help(stderr);
	return STATUS_USAGE;
}
