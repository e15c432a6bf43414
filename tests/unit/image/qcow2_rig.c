/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2_rig.c - see qcow2_rig.h. */
#include "qcow2_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>

static noreturn_ void fail(const char *what, const struct err *e)
{
	fprintf(stderr, "%s: %s\n", what, e->msg);
	abort();
}

static int opener_open(struct image_opener *o, enum image_want what, const char *of, const char *name, char *format,
		       size_t format_bytes, bool readonly, struct image_file **f, struct err *e)
{
	struct rig *r = container_of(o, struct rig, opener);

	(void)what, (void)of, (void)format, (void)format_bytes;
	if (strchr(name, '/'))
		return err_set(e, EPERM, "%s: outside", name);
	*f = rig_file(r, name, false, readonly);
	return *f ? 0 : err_set(e, ENOENT, "%s", name);
}

void rig_init(struct rig *r)
{
	*r = (struct rig){ .opener.open = opener_open };
	const char *tmp = getenv("TMPDIR");
	/* In memory: qemu-img syncs all that it writes. */
	if (!tmp)
		tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(r->dir, sizeof(r->dir), "%.40s/mica-image.XXXXXX", tmp);
	must(mkdtemp(r->dir));
}

void rig_fini(struct rig *r)
{
	DIR *d = opendir(r->dir);

	for (struct dirent *x; d && (x = readdir(d));)
		unlinkat(dirfd(d), x->d_name, 0);
	if (d)
		closedir(d);
	rmdir(r->dir);
}

struct image_file *rig_file(struct rig *r, const char *name, bool create, bool readonly)
{
	char path[512];
	struct image_file *f;
	struct err e;

	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	int fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | (create ? O_CREAT | O_TRUNC : 0), 0600);
	if (fd < 0)
		return NULL;
	if (image_file_open(&f, fd, r->files++, name, readonly, &e) < 0)
		fail(name, &e);
	return f;
}

int rig_try_open(struct rig *r, const char *name, struct image_open o, struct image **m, struct err *e)
{
	r->files = 0;
	o.file = rig_file(r, name, false, o.readonly);
	must(o.file);
	o.opener = &r->opener;
	int rc = image_open(m, image_format_find("qcow2"), false, &o, e);
	if (rc < 0)
		image_file_close(o.file);
	return rc;
}

struct image *rig_open(struct rig *r, const char *name, bool readonly)
{
	struct image *m;
	struct err e;

	if (rig_try_open(r, name, (struct image_open){ .readonly = readonly }, &m, &e) < 0)
		fail(name, &e);
	return m;
}

void rig_close(struct image *m)
{
	must(image_close(m) == 0);
}

void rig_create(struct rig *r, const char *name, u64 bytes, const char *options, const char *backing, const char *data)
{
	char text[256];
	const char *list[16] = { 0 };
	unsigned n = 0;
	struct err e;

	snprintf(text, sizeof(text), "%s", options);
	for (char *at = text, *word; (word = strsep(&at, ","));)
		if (*word)
			list[n++] = word;
	struct image_create c = { .file = rig_file(r, name, true, false),
				  .bytes = bytes,
				  .backing = backing,
				  .backing_format = backing ? "qcow2" : NULL,
				  .data_file = data ? rig_file(r, data, true, false) : NULL,
				  .data_file_name = data,
				  .options = list };
	if (image_format_find("qcow2")->create(&c, &e) < 0)
		fail(options, &e);
	image_file_close(c.file);
	image_file_close(c.data_file);
}

bool rig_has_qemu(void)
{
	static int has = -1;

	if (has < 0)
		has = system("qemu-img --version >/dev/null 2>&1") == 0; /* NOLINT(cert-env33-c) */
	return has;
}

int rig_qemu(struct rig *r, unsigned allowed, const char *fmt, ...)
{
	char command[2048], args[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(args, sizeof(args), fmt, ap);
	va_end(ap);
	snprintf(command, sizeof(command), "cd %s && qemu-img %s >qemu-img.out 2>&1", r->dir, args);
	int status = system(command); /* NOLINT(cert-env33-c) */
	int rc = WIFEXITED(status) ? WEXITSTATUS(status) : 31;
	if (allowed >> rc & 1)
		return rc;
	fprintf(stderr, "qemu-img %s: status %d, in %s\n", args, rc, r->dir);
	snprintf(command, sizeof(command), "head -20 %s/qemu-img.out >&2", r->dir);
	must(system(command) >= 0); /* NOLINT(cert-env33-c) */
	abort();
}
