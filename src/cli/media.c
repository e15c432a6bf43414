/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * media.c - mica insert and mica eject: change the medium of a CD-ROM while the VM runs.
 *
 * The VM can open no files: the medium is opened and locked here, and its descriptor handed over.
 */
#include "base/i18n.h"
#include "block/image_lock.h"
#include "cli/cmd.h"
#include "client/client.h"
#include "vmm/exit_status.h"

#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <sys/stat.h>

#define ANSWER_MS 30000

struct media_opts {
	const char *control, *device, *file;
	bool force, help;
};

static const struct {
	struct option o;
	const char *arg, *help;
} table[] = {
	{ { "control", required_argument, NULL, 'c' },
	  "PATH",
	  N_("control socket of the VM (mica run --control PATH)") },
	{ { "device", required_argument, NULL, 'd' }, "NAME", N_("the drive's id; default the first CD-ROM") },
	{ { "force", no_argument, NULL, 'f' }, NULL, N_("also when the guest has locked the medium") },
	{ { "help", no_argument, NULL, 'h' }, NULL, N_("print this help and end") },
};

static void list_options(FILE *f)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		int n = fprintf(f, "  --%s%s%s", table[i].o.name, table[i].arg ? " " : "",
				table[i].arg ? table[i].arg : "");
		fprintf(f, "%*s%s\n", 22 - n, "", _(table[i].help));
	}
}

void insert_help(FILE *f)
{
	fprintf(f,
		_("Usage: mica insert --control PATH [OPTION]... FILE\n"
		  "Put a medium into a CD-ROM of a running virtual machine, in place of the one that is there.\n\n"));
	list_options(f);
}

void eject_help(FILE *f)
{
	fprintf(f, _("Usage: mica eject --control PATH [OPTION]...\n"
		     "Take the medium out of a CD-ROM of a running virtual machine.\n\n"));
	list_options(f);
}

static int parse(struct media_opts *o, const char *verb, int argc, char **argv, struct err *e)
{
	bool wants_file = !strcmp(verb, "insert");
	struct option longs[ARRAY_LEN(table) + 1] = { { 0 } };
	int c;

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		longs[i] = table[i].o;
	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->control = optarg;
			break;
		case 'd':
			o->device = optarg;
			break;
		case 'f':
			o->force = true;
			break;
		case 'h':
			o->help = true;
			return 0;
		case ':':
			return err_set(e, EINVAL, "%s: needs a value; see mica %s --help", argv[optind - 1], verb);
		default:
			return err_set(e, EINVAL, "%s: no such option; see mica %s --help", argv[optind - 1], verb);
		}
	}
	if (!o->control)
		return err_set(e, EINVAL, "no VM: name its control socket with --control PATH");
	if (wants_file && optind < argc)
		o->file = argv[optind++];
	if (wants_file && !o->file)
		return err_set(e, EINVAL, "no medium: name its file");
	if (optind < argc)
		return err_set(e, EINVAL, "'%s': one thing too many; see mica %s --help", argv[optind], verb);
	return 0;
}

/* A descriptor of it, locked; *path: absolute. */
static int open_medium(const char *file, char **path, struct err *e)
{
	struct stat st;

	*path = realpath(file, NULL);
	/* Look before opening: to open a FIFO may wait for ever. */
	if (!*path || stat(*path, &st) < 0)
		return err_sys(e, errno, "%s: cannot use it", file);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, EINVAL, "%s: neither a file nor a block device", file);
	int fd = open(*path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "%s: cannot use it", file);
	int r = image_lock(fd, false, *path, e);
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

static int ask(const struct media_opts *o, const char *verb, struct err *e)
{
	json_t *more = json_pack("{s:b s:s*}", "force", o->force, "device", o->device), *res = NULL;
	auto_free char *path = NULL;
	auto_close int fd = -1;
	struct client *vm = NULL;
	int r = more ? 0 : err_set(e, EILSEQ, "'%s' is not valid UTF-8", o->device);

	if (r == 0 && o->file) {
		r = fd = open_medium(o->file, &path, e);
		if (r >= 0 && json_object_set_new(more, "path", json_string(path)) < 0)
			r = err_set(e, EILSEQ, "'%s' is not valid UTF-8", path);
	}
	if (r >= 0)
		r = client_connect(&vm, o->control, e);
	if (r >= 0)
		r = client_call(vm, &res, verb, json_incref(more), fd, ANSWER_MS, e);
	client_free(vm);
	json_decref(res);
	json_decref(more);
	return r;
}

static int run(const char *verb, int argc, char **argv)
{
	struct media_opts o = { 0 };
	struct err e;

	if (parse(&o, verb, argc, argv, &e) < 0) {
		fprintf(stderr, "mica %s: %s\n", verb, err_local(&e));
		return STATUS_USAGE;
	}
	if (o.help) {
		(!strcmp(verb, "insert") ? insert_help : eject_help)(stdout);
		return STATUS_OK;
	}
	if (ask(&o, verb, &e) < 0) {
		fprintf(stderr, "mica %s: %s\n", verb, err_local(&e));
		return STATUS_HOST;
	}
	return STATUS_OK;
}

int cmd_insert(int argc, char **argv)
{
	return run("insert", argc, argv);
}

int cmd_eject(int argc, char **argv)
{
	return run("eject", argc, argv);
}
