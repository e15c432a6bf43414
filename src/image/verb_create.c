/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verb_create.c - create and convert: verbs that make a new image (verb_job.h). */
#include "image/convert.h"
#include "image/verb_int.h"

/* ---- what both do ---- */

struct target {
	struct image_file *file; /* the request's */
	const struct image_format *format;
	u64 bytes;
	const char *backing;
	char backing_format[16];
	struct image *below; /* the backing image, when it was opened */
	const char **options;
};

static int target_init(struct job *j, struct target *t, unsigned i, struct err *e)
{
	*t = (struct target){ .file = j->q->files[i], .bytes = verb_number(j, "bytes") };
	t->backing = verb_param(j, "backing");
	snprintf(t->backing_format, sizeof(t->backing_format), "%s", verb_param(j, "backing_format"));
	t->options = verb_options(j, 'o');
	if (!t->file)
		return err_set(e, EINVAL, "%s: no image", j->q->verb);
	int rc = verb_format(verb_param(j, "to"), &t->format, e);
	if (rc < 0)
		return rc;
	t->format = t->format ? t->format : &image_raw;
	if (!t->format->creates)
		return err_set(e, ENOTSUP, "images of format %s are read, not made", t->format->name);
	if (*t->backing && !t->format->backing)
		return err_set(e, ENOTSUP, "images of format %s are not based on others", t->format->name);
	if (!*t->backing)
		return 0;
	if (verb_switch(j, "unchecked"))
		return *t->backing_format
			   ? 0
			   : err_set(e, EINVAL, "%s: say the format of an image that is not looked at", t->backing);
	return verb_open_backing(j, t->file->name, t->backing, t->backing_format, sizeof(t->backing_format), true,
				 &t->below, e);
}

static void target_fini(struct target *t)
{
	if (t->below)
		image_close(t->below);
	free(t->options);
}

static int target_create(struct target *t, struct err *e)
{
	struct image_create c = { .file = t->file,
				  .bytes = t->bytes,
				  .backing = *t->backing ? t->backing : NULL,
				  .backing_format = *t->backing ? t->backing_format : NULL,
				  .options = t->options };

	return t->format->create(&c, e);
}

/* ---- create ---- */

int verb_do_create(struct job *j, struct err *e)
{
	struct target t;
	int rc = target_init(j, &t, 0, e);

	if (rc == 0 && !t.bytes && t.below)
		t.bytes = t.below->bytes;
	if (rc == 0 && !*verb_param(j, "bytes") && !t.below)
		rc = err_set(e, EINVAL, "%s: say how large the disk shall be", t.file->name);
	if (rc == 0 && t.bytes > IMAGE_BYTES_MAX)
		rc =
		    err_set(e, ERANGE, "%s: a disk of %llu bytes cannot be", t.file->name, (unsigned long long)t.bytes);
	t.bytes = ROUND_UP(t.bytes, 512);
	if (rc == 0)
		rc = target_create(&t, e);
	if (rc == 0 && (rc = image_sync(t.file)) < 0)
		err_sys(e, -rc, "%s: cannot be written", t.file->name);
	target_fini(&t);
	return rc;
}

/* ---- convert ---- */

static int no_sync(struct image_file *f)
{
	return 0;
}

/* For who would rather do it all again than wait until it is safe on the host's disk. */
static void never_sync(struct image_file *f)
{
	static struct image_file_ops ops;

	ops = *f->ops;
	ops.sync = no_sync;
	f->ops = &ops;
}

static bool reads_zeros(const struct image *m)
{
	struct image_run run;

	return m->bytes == 0 || (image_map((struct image *)m, 0, m->bytes, &run) == 0 && run.kind == IMAGE_ZERO &&
				 run.bytes == m->bytes);
}

static int open_target(struct job *j, struct target *t, bool existing, struct image **to, struct err *e)
{
	struct image_open o = { .file = t->file, .no_backing = !t->below, .opener = j->opener };
	const char **options = verb_options(j, 'j');
	int rc = existing ? 0 : target_create(t, e);

	o.options = options;
	if (rc == 0)
		rc = image_open(to, t->format, false, &o, e);
	if (rc == 0)
		j->q->files[1] = NULL;
	free(options);
	return rc;
}

static int convert(struct job *j, struct image *from, struct target *t, struct err *e)
{
	bool existing = verb_switch(j, "existing");
	struct convert c = { .from = from,
			     .compress = verb_switch(j, "compress"),
			     .sparse_bytes = *verb_param(j, "sparse") ? (u32)verb_number(j, "sparse") : 4096,
			     .threads = (unsigned)verb_number(j, "threads"),
			     .below = t->below };

	if (c.sparse_bytes & (c.sparse_bytes - 1))
		return err_set(e, EINVAL, "zeros are looked for in parts of a power of two");
	t->bytes = t->bytes ? t->bytes : from->bytes;
	if (verb_switch(j, "unsafe"))
		never_sync(t->file);
	int rc = open_target(j, t, existing, &c.to, e);
	if (rc < 0)
		return rc;
	c.fresh = !t->below && (!existing && !c.to->file->device ? true : reads_zeros(c.to));
	rc = convert_run(&c, j->sink, e);
	return verb_close(c.to, rc, e);
}

int verb_do_convert(struct job *j, struct err *e)
{
	struct image *from;
	struct target t;
	int rc = target_init(j, &t, 1, e);

	if (rc == 0 && (rc = verb_open(j, 0, true, false, false, &from, e)) == 0) {
		rc = convert(j, from, &t, e);
		image_close(from);
	}
	target_fini(&t);
	return rc;
}
