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
#include "base/i18n.h"
#include "vmm/cpu_promise_json.h"
#include "vmm/exit_status.h"

#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <libgen.h>
#include <sys/socket.h>
#include <sys/un.h>

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

/* ---- the control socket ---- */

static int connect_control(const char *path, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(e, errno, "cannot make a socket");
	if (strlen(path) >= sizeof(a.sun_path))
		return err_set(e, ENAMETOOLONG, "%s: the path of a socket has at most %zu bytes", path,
			       sizeof(a.sun_path) - 1);
	memcpy(a.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return err_sys(e, errno, "%s: cannot reach a VM there", path);
	return steal_fd(&fd);
}

/* Send a command, with a descriptor when pass >= 0, and take its result (a new reference). */
static int ask(json_t **result, int sock, const char *command, int pass, struct err *e)
{
	auto_free char *line = xasprintf("{\"command\":\"%s\"}\n", command);
	struct iovec iov = { line, strlen(line) };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} cmsg = { .bytes = { 0 } };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	char buf[8192];
	size_t len = 0;

	if (pass >= 0) {
		mh.msg_control = &cmsg;
		mh.msg_controllen = sizeof(cmsg);
		struct cmsghdr *h = CMSG_FIRSTHDR(&mh);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &pass, sizeof(pass));
	}
	if (sendmsg(sock, &mh, MSG_NOSIGNAL) != (ssize_t)iov.iov_len)
		return err_sys(e, errno, "cannot talk to the VM");
	while (!len || buf[len - 1] != '\n') {
		ssize_t n = recv(sock, buf + len, sizeof(buf) - len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || len + (size_t)n == sizeof(buf))
			return err_set(e, EPIPE, "the VM ended without an answer");
		len += (size_t)n;
	}
	json_t *j = json_loadb(buf, len, 0, NULL);
	const char *why = json_string_value(json_object_get(j, "error"));
	int r = 0;
	if (json_is_true(json_object_get(j, "ok")))
		*result = json_incref(json_object_get(j, "result"));
	else
		r = err_set(e, EIO, "%s", why ? why : "the VM gave an answer that makes no sense");
	json_decref(j);
	return r;
}

/* ---- the other host ---- */

static int check_target(int sock, const struct save_opts *o, struct err *e)
{
	struct cpu_model_promise p;
	char engines[64];
	json_error_t je;
	json_t *host = json_load_file(o->target, JSON_REJECT_DUPLICATES, &je), *promise = NULL;

	if (!host)
		return err_set(e, EINVAL, "--for: %s: %s", o->target, je.text);
	int r = ask(&promise, sock, "promise", -1, e);
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

static int save_to(int sock, int fd, const char *temp, const struct save_opts *o, struct err *e)
{
	json_t *res = NULL;
	int r = ask(&res, sock, "save", fd, e);

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
	r = ask(&res, sock, o->quit ? "quit" : "resume", -1, e);
	json_decref(r < 0 ? NULL : res);
	if (r == 0 && o->quit) {
		char c;
		while (recv(sock, &c, 1, 0) > 0) /* its end is the VM's */
			;
	}
	return r;
}

static int save(const struct save_opts *o, struct err *e)
{
	auto_close int sock = connect_control(o->control, e);

	if (sock < 0)
		return sock;
	int checked = o->target ? check_target(sock, o, e) : 0;
	if (checked < 0)
		return checked;
	auto_free char *temp = xasprintf("%s.XXXXXX", o->output);
	/* Mode 0600: guest memory holds secrets. */
	auto_close int fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "%s: cannot make a file there", o->output);
	int r = save_to(sock, fd, temp, o, e);
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
	if (save(&o, &e) < 0) {
		fprintf(stderr, "mica save: %s\n", err_local(&e));
		return STATUS_HOST;
	}
	return STATUS_OK;
}
