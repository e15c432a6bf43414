/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * media.c - mica insert and mica eject: change the medium of a CD-ROM while the VM runs.
 *
 * The VM can open no files: the medium is opened and locked here, and its descriptor handed over.
 */
#include "base/i18n.h"
#include "block/image_lock.h"
#include "cli/cmd.h"
#include "cli/vm_command.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

static const char *device;
static bool force;

static const struct vm_option options[] = {
	{ "device", "NAME", N_("the drive's id; default the first CD-ROM"), .value = &device },
	{ "force", NULL, N_("also when the guest has locked the medium"), .on = &force },
};

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

/* `more` is given away. */
static int ask(struct client *vm, const char *what, json_t *more, int fd, struct err *e)
{
	json_t *res = NULL;
	int r = client_call(vm, &res, what, more, fd, VM_ANSWER_MS, e);

	json_decref(res);
	return r;
}

static json_t *arguments(struct err *e)
{
	json_t *more = json_pack("{s:b s:s*}", "force", force, "device", device);

	if (!more)
		err_set(e, EILSEQ, "'%s' is not valid UTF-8", device);
	return more;
}

static int insert(struct client *vm, const char *file, struct err *e)
{
	auto_free char *path = NULL;
	auto_close int fd = open_medium(file, &path, e);
	json_t *more = fd < 0 ? NULL : arguments(e);

	if (!more)
		return fd < 0 ? fd : -EILSEQ;
	if (json_object_set_new(more, "path", json_string(path)) < 0) {
		json_decref(more);
		return err_set(e, EILSEQ, "'%s' is not valid UTF-8", path);
	}
	return ask(vm, "insert", more, fd, e);
}

static int eject(struct client *vm, const char *none, struct err *e)
{
	json_t *more = arguments(e);

	return more ? ask(vm, "eject", more, -1, e) : -EILSEQ;
}

static const struct vm_command insert_command = {
	.name = "insert",
	.usage = N_("Usage: mica insert --control PATH [OPTION]... FILE\n"
		    "Put a medium into a CD-ROM of a running virtual machine, in place of the one that is there.\n\n"),
	.options = options,
	.noptions = ARRAY_LEN(options),
	.word = MSG("no medium: name its file"),
	.run = insert,
};

static const struct vm_command eject_command = {
	.name = "eject",
	.usage = N_("Usage: mica eject --control PATH [OPTION]...\n"
		    "Take the medium out of a CD-ROM of a running virtual machine.\n\n"),
	.options = options,
	.noptions = ARRAY_LEN(options),
	.run = eject,
};

void insert_help(FILE *f)
{
	vm_command_help(&insert_command, f);
}

void eject_help(FILE *f)
{
	vm_command_help(&eject_command, f);
}

int cmd_insert(int argc, char **argv)
{
	return vm_command_main(&insert_command, argc, argv);
}

int cmd_eject(int argc, char **argv)
{
	return vm_command_main(&eject_command, argc, argv);
}
