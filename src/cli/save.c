/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * save.c - mica save: the state of a running VM to a file.
 *
 * The VM cannot open files, so a descriptor is handed to it. It is a new file beside the target's place: only
 * when all of it is on the disk does it get the name, so that under the name there is either a whole saved state or
 * what was there before. Until then the VM is paused; should this command end early, the VM goes on.
 */
#include "cli/cmd.h"
#include "base/i18n.h"
#include "cli/vm_command.h"
#include "vmm/cpu_promise_json.h"

#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>

static const char *output, *target;
static bool quit_then;

static const struct vm_option options[] = {
	{ "output", "FILE", N_("write the saved state here; an older file is replaced"), .value = &output },
	{ "for", "FILE", N_("a host's mica doctor --json: refuse at once if the VM cannot go on there"),
	  .value = &target },
	{ "quit", NULL, N_("end the VM when it is saved; else it goes on"), .on = &quit_then },
};

static int check(struct err *e)
{
	if (!output || !*output)
		return err_set(e, EINVAL, "no file: say where the state goes with --output FILE");
	return 0;
}

/* ---- the other host ---- */

static int check_target(struct client *vm, struct err *e)
{
	struct cpu_model_promise p;
	char engines[64];
	json_error_t je;
	json_t *host = json_load_file(target, JSON_REJECT_DUPLICATES, &je), *promise = NULL;

	if (!host)
		return err_set(e, EINVAL, "--for: %s: %s", target, je.text);
	int r = client_call(vm, &promise, "promise", NULL, -1, VM_ANSWER_MS, e);
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

static int save_to(struct client *vm, int fd, const char *temp, struct err *e)
{
	json_t *res = NULL;
	int r = client_call(vm, &res, "save", NULL, fd, 0, e);

	if (r < 0)
		return r;
	u64 bytes = (u64)json_integer_value(json_object_get(res, "file_bytes"));
	json_decref(res);
	/* The VM has made the bytes safe; now the name. */
	if (rename(temp, output) < 0)
		return err_sys(e, errno, "%s", output);
	if (sync_dir(output) < 0)
		return err_sys(e, errno, "%s: cannot make its name safe on the disk", output);
	printf(_("saved to %s, %llu MiB\n"), output, (unsigned long long)(bytes + MIB - 1) / MIB);
	fflush(stdout);
	res = NULL;
	r = client_call(vm, &res, quit_then ? "quit" : "resume", NULL, -1, VM_ANSWER_MS, e);
	json_decref(res);
	if (r == 0 && quit_then)
		client_wait_end(vm);
	return r;
}

static int save(struct client *vm, const char *none, struct err *e)
{
	int r = target ? check_target(vm, e) : 0;

	if (r < 0)
		return r;
	auto_free char *temp = xasprintf("%s.XXXXXX", output);
	/* Mode 0600: guest memory holds secrets. */
	auto_close int fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "%s: cannot make a file there", output);
	r = save_to(vm, fd, temp, e);
	if (r < 0)
		unlink(temp); /* gone already when it has its name */
	return r;
}

static const struct vm_command command = {
	.name = "save",
	.usage =
	    N_("Usage: mica save --control PATH --output FILE [--for FILE] [--quit]\n"
	       "Save the state of a running virtual machine; mica run --restore FILE,trust=on goes on from it.\n\n"),
	.more = N_("\nThe disks' contents stay in their images: go on from a saved state only while nothing\n"
		   "has written to them since. More in mica-save(1).\n"),
	.options = options,
	.noptions = ARRAY_LEN(options),
	.check = check,
	.run = save,
};

void save_help(FILE *f)
{
	vm_command_help(&command, f);
}

int cmd_save(int argc, char **argv)
{
	return vm_command_main(&command, argc, argv);
}
