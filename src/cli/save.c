/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * save.c - mica save: the state of a running VM to a file.
 *
 * The VM cannot open files, so a descriptor is handed to it. It is a new file beside the target's place: only
 * when all of it is on the disk does it get the name, so that under the name there is either a whole saved state or
 * what was there before. Until then the VM is paused; should this command end early, the VM goes on.
 */
#include "cli/cmd.h"
#include "base/err.h"
#include "client/client.h"
#include "base/i18n.h"
#include "vmm/cpu_promise_json.h"
#include "vmm/exit_status.h"

#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <libgen.h>

#define ANSWER_MS 30000 /* what is not a save is answered at once */

struct save_opts {
	const char *control, *output, *target;
	bool quit, help;
};

static const struct {
	struct option o;
	const char *arg, *help;
} table[] = {
	{ { "control", required_argument, NULL, 'c' },
	  "PATH",
	  N_("control socket of the VM (mica run --control PATH)") },
	{ { "output", required_argument, NULL, 'o' },
	  "FILE",
	  N_("write the saved state here; an older file is replaced") },
	{ { "for", required_argument, NULL, 'f' },
	  "FILE",
	  N_("a host's mica doctor --json: refuse at once if the VM cannot go on there") },
	{ { "quit", no_argument, NULL, 'q' }, NULL, N_("end the VM when it is saved; else it goes on") },
	{ { "help", no_argument, NULL, 'h' }, NULL, N_("print this help and end") },
};

void save_help(FILE *f)
{
	fprintf(
	    f, _("Usage: mica save --control PATH --output FILE [--for FILE] [--quit]\n"
		 "Save the state of a running virtual machine; mica run --restore FILE,trust=on goes on from it.\n\n"));
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		int n = fprintf(f, "  --%s%s%s", table[i].o.name, table[i].arg ? " " : "",
				table[i].arg ? table[i].arg : "");
		fprintf(f, "%*s%s\n", 22 - n, "", _(table[i].help));
	}
	fprintf(f, _("\nThe disks' contents stay in their images: go on from a saved state only while nothing\n"
		     "has written to them since. More in mica-save(1).\n"));
}

static int parse(struct save_opts *o, int argc, char **argv, struct err *e)
{
	struct option longs[ARRAY_LEN(table) + 1] = { { 0 } };
	int c;

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		longs[i] = table[i].o;
	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:h", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->control = optarg;
			break;
		case 'o':
			o->output = optarg;
			break;
		case 'f':
			o->target = optarg;
			break;
		case 'q':
			o->quit = true;
			break;
		case 'h':
			o->help = true;
			return 0;
		case ':':
			return err_set(e, EINVAL, "%s: needs a value; see mica save --help", argv[optind - 1]);
		default:
			return err_set(e, EINVAL, "%s: no such option; see mica save --help", argv[optind - 1]);
		}
	}
	if (optind < argc)
		return err_set(e, EINVAL, "'%s': not an option; the file is given with --output FILE", argv[optind]);
	if (!o->control)
		return err_set(e, EINVAL, "no VM: name its control socket with --control PATH");
	if (!o->output || !*o->output)
		return err_set(e, EINVAL, "no file: say where the state goes with --output FILE");
	return 0;
}

/* ---- the other host ---- */

static int check_target(struct client *vm, const struct save_opts *o, struct err *e)
{
	struct cpu_model_promise p;
	char engines[64];
	json_error_t je;
	json_t *host = json_load_file(o->target, JSON_REJECT_DUPLICATES, &je), *promise = NULL;

	if (!host)
		return err_set(e, EINVAL, "--for: %s: %s", o->target, je.text);
	int r = client_call(vm, &promise, "promise", NULL, -1, ANSWER_MS, e);
	if (r == 0)
		r = promise_from_json(&p, promise, e);
	if (r == 0 && (r = promise_find_engine(json_object_get(host, "engines"), &p, engines, sizeof(engines), e)) < 0)
		err_prefix(e, "the VM cannot go on there, and runs on here");
	if (r == 0)
		printf(_("it can go on there, engine: %s\n"), engines);
	json_decref(promise);
	json_decref(host);
	return r;
}

/* ---- the file ---- */

static int sync_dir(const char *path)
{
	auto_free char *copy = xstrdup(path);
	auto_close int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int save_to(struct client *vm, int fd, const char *temp, const struct save_opts *o, struct err *e)
{
	json_t *res = NULL;
	int r = client_call(vm, &res, "save", NULL, fd, 0, e);

	if (r < 0)
		return r;
	u64 bytes = (u64)json_integer_value(json_object_get(res, "file_bytes"));
	json_decref(res);
	/* The VM has made the bytes safe; now the name. */
	if (rename(temp, o->output) < 0)
		return err_sys(e, errno, "%s", o->output);
	if (sync_dir(o->output) < 0)
		return err_sys(e, errno, "%s: cannot make its name safe on the disk", o->output);
	printf(_("saved to %s, %llu MiB\n"), o->output, (unsigned long long)(bytes + MIB - 1) / MIB);
	fflush(stdout);
	res = NULL;
	r = client_call(vm, &res, o->quit ? "quit" : "resume", NULL, -1, ANSWER_MS, e);
	json_decref(res);
	if (r == 0 && o->quit)
		client_wait_end(vm);
	return r;
}

static int save(struct client *vm, const struct save_opts *o, struct err *e)
{
	struct client_peer peer;
	int r = client_hello(vm, &peer, ANSWER_MS, e);

	if (r < 0)
		return r;
	client_peer_fini(&peer);
	r = o->target ? check_target(vm, o, e) : 0;
	if (r < 0)
		return r;
	auto_free char *temp = xasprintf("%s.XXXXXX", o->output);
	/* Mode 0600: guest memory holds secrets. */
	auto_close int fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "%s: cannot make a file there", o->output);
	r = save_to(vm, fd, temp, o, e);
	if (r < 0)
		unlink(temp); /* gone already when it has its name */
	return r;
}

int cmd_save(int argc, char **argv)
{
	struct save_opts o = { 0 };
	struct err e;

	if (parse(&o, argc, argv, &e) < 0) {
		fprintf(stderr, "mica save: %s\n", err_local(&e));
		return STATUS_USAGE;
	}
	if (o.help) {
		save_help(stdout);
		return STATUS_OK;
	}
	struct client *vm = NULL;
	int r = client_connect(&vm, o.control, &e);
	if (r == 0)
		r = save(vm, &o, &e);
	client_free(vm);
	if (r < 0) {
		fprintf(stderr, "mica save: %s\n", err_local(&e));
		return STATUS_HOST;
	}
	return STATUS_OK;
}
