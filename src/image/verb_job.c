/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verb_job.c - see verb_job.h. Verbs that make a new image are in verb_create.c. */
#include "image/verb_int.h"

/* ---- parameters ---- */

const char *verb_param(const struct job *j, const char *name)
{
	const char *v = image_option(j->q->params, name);

	return v ? v : "";
}

bool verb_switch(const struct job *j, const char *name)
{
	return !strcmp(verb_param(j, name), "on");
}

u64 verb_number(const struct job *j, const char *name)
{
	return strtoull(verb_param(j, name), NULL, 10);
}

const char **verb_options(const struct job *j, char which)
{
	unsigned n = 0;

	while (j->q->params[n])
		n++;
	const char **list = xcalloc(n + 1, sizeof(*list)), **p = list;
	for (unsigned i = 0; i < n; i++)
		if (j->q->params[i][0] == which && j->q->params[i][1] == '.')
			*p++ = j->q->params[i] + 2;
	return list;
}

int verb_format(const char *name, const struct image_format **f, struct err *e)
{
	*f = *name ? image_format_find(name) : NULL;
	if (!*name || *f)
		return 0;
	char known[128] = "";
	const struct image_format *k;
	for (unsigned i = 0; (k = image_format_at(i)); i++) {
		size_t n = strlen(known);
		snprintf(known + n, sizeof(known) - n, "%s%s", i ? ", " : "", k->name);
	}
	return err_set(e, EINVAL, "'%s' is no format; there are %s", name, known);
}

/* ---- opening and closing ---- */

int verb_open(struct job *j, unsigned i, bool readonly, bool no_backing, bool checking, struct image **m, struct err *e)
{
	const struct image_format *f;
	const char **options = verb_options(j, i ? 'j' : 'i');
	struct image_open o = { .file = j->q->files[i],
				.readonly = readonly,
				.no_backing = no_backing,
				.checking = checking,
				.opener = j->opener,
				.options = options };
	int rc = verb_format(verb_param(j, i ? "to" : "format"), &f, e);

	if (rc == 0 && !o.file)
		rc = err_set(e, EINVAL, "%s: no image", j->q->verb);
	if (rc == 0)
		rc = image_open(m, f, verb_switch(j, "guess"), &o, e);
	if (rc == 0)
		j->q->files[i] = NULL;
	free(options);
	return rc;
}

int verb_close(struct image *m, int rc, struct err *e)
{
	char name[256];

	snprintf(name, sizeof(name), "%s", m->file->name);
	int r = image_close(m);
	if (rc >= 0 && r < 0)
		return err_sys(e, -r, "%s: cannot be written", name);
	return rc;
}

int verb_open_backing(struct job *j, const char *of, const char *name, char *format, size_t format_bytes, bool readonly,
		      struct image **m, struct err *e)
{
	struct image_open o = { .readonly = readonly, .opener = j->opener };
	const struct image_format *f;
	int rc = verb_format(format, &f, e);

	if (rc < 0)
		return rc;
	if (!j->opener)
		return err_set(e, EPERM, "%s: it is based on another image, %s, and none was given", of, name);
	rc = j->opener->open(j->opener, IMAGE_WANT_BACKING, of, name, format, format_bytes, readonly, &o.file, e);
	if (rc == 0 && (rc = verb_format(format, &f, e)) == 0)
		rc = image_open(m, f, false, &o, e);
	if (rc < 0) {
		image_file_close(o.file);
		return rc;
	}
	snprintf(format, format_bytes, "%s", (*m)->format->name);
	return 0;
}

/* ---- verbs ---- */

static int do_info(struct job *j, struct err *e)
{
	bool chain = verb_switch(j, "chain"), guessed;
	struct image *m;
	int rc = verb_open(j, 0, true, !chain, false, &m, e);

	if (rc < 0)
		return rc;
	guessed = m->format == &image_raw && !*verb_param(j, "format");
	return verb_close(m, verb_info(m, chain, guessed, j->sink), e);
}

static int do_map(struct job *j, struct err *e)
{
	struct image *m;
	int rc = verb_open(j, 0, true, false, false, &m, e);

	if (rc < 0)
		return rc;
	u64 length = *verb_param(j, "length") ? verb_number(j, "length") : UINT64_MAX;
	return verb_close(m, verb_map(m, verb_number(j, "start"), length, j->sink, e), e);
}

static int do_check(struct job *j, struct err *e)
{
	const char *fix = verb_param(j, "fix");
	enum image_fix how = !strcmp(fix, "all")     ? IMAGE_FIX_ALL
			     : !strcmp(fix, "leaks") ? IMAGE_FIX_LEAKS
						     : IMAGE_FIX_NONE;
	struct image *m;
	int rc = verb_open(j, 0, how == IMAGE_FIX_NONE, true, true, &m, e);

	if (rc < 0)
		return rc;
	return verb_close(m, verb_check(m, how, (unsigned)verb_number(j, "reports"), j->sink, e), e);
}

static int do_resize(struct job *j, struct err *e)
{
	struct image *m;
	int rc = verb_open(j, 0, false, false, false, &m, e);

	if (rc < 0)
		return rc;
	u64 bytes = verb_number(j, "bytes"), add = verb_number(j, "add"), less = verb_number(j, "subtract");
	if (add)
		rc = __builtin_add_overflow(m->bytes, add, &bytes) ? -ERANGE : 0;
	else if (less)
		rc = less >= m->bytes ? -ERANGE : 0, bytes = m->bytes - less;
	if (rc == 0 && (!bytes || bytes > IMAGE_BYTES_MAX))
		rc = -ERANGE;
	rc = rc < 0 ? err_sys(e, -rc, "%s: its new size", m->file->name)
		    : verb_resize(m, ROUND_UP(bytes, 512), verb_switch(j, "shrink"), e);
	return verb_close(m, rc, e);
}

static int do_snapshot(struct job *j, struct err *e)
{
	static const char *const names[] = { "create", "apply", "delete" };
	const char *name = "";
	unsigned verb = 0;
	struct image *m;

	for (unsigned i = 0; i < ARRAY_LEN(names) && !*name; i++) {
		name = verb_param(j, names[i]);
		verb = i;
	}
	int rc = verb_open(j, 0, !*name, true, false, &m, e);
	if (rc < 0)
		return rc;
	rc = *name ? verb_snapshot(m, (enum image_snapshot_verb)verb, name, e) : verb_info(m, false, false, j->sink);
	return verb_close(m, rc, e);
}

static int do_commit(struct job *j, struct err *e)
{
	struct image *m, *base;
	char format[16];
	bool empty = !verb_switch(j, "keep");
	int rc = verb_open(j, 0, !empty, true, false, &m, e);

	if (rc < 0)
		return rc;
	snprintf(format, sizeof(format), "%s", m->backing_format);
	if (!*m->backing_name)
		rc = err_set(e, EINVAL, "%s: it is based on no other image, so there is nothing to commit to",
			     m->file->name);
	else
		rc = verb_open_backing(j, m->file->name, m->backing_name, format, sizeof(format), false, &base, e);
	if (rc == 0)
		rc = verb_close(base, verb_commit(m, base, empty, j->sink, e), e);
	return verb_close(m, rc, e);
}

static int do_rebase(struct job *j, struct err *e)
{
	const char *name = verb_param(j, "backing");
	bool unchecked = verb_switch(j, "unchecked");
	struct image *m, *below = NULL;
	char format[16];
	int rc = verb_open(j, 0, false, unchecked, false, &m, e);

	if (rc < 0)
		return rc;
	snprintf(format, sizeof(format), "%s", verb_param(j, "backing_format"));
	if (unchecked && *name && !*format)
		rc = err_set(e, EINVAL, "%s: say the format of an image that is not looked at", name);
	if (rc == 0 && *name && !unchecked)
		rc = verb_open_backing(j, m->file->name, name, format, sizeof(format), true, &below, e);
	if (rc == 0 && unchecked)
		rc = m->ops->set_backing ? m->ops->set_backing(m, name, format, e)
					 : err_set(e, ENOTSUP, "%s: images of format %s are not based on others",
						   m->file->name, m->format->name);
	else if (rc == 0)
		rc = verb_rebase(m, below, name, format, j->sink, e);
	if (below)
		image_close(below);
	return verb_close(m, rc, e);
}

static int do_compare(struct job *j, struct err *e)
{
	struct image *m[2];
	int rc = verb_open(j, 0, true, false, false, &m[0], e);

	if (rc < 0)
		return rc;
	*j->which = 1;
	rc = verb_open(j, 1, true, false, false, &m[1], e);
	if (rc == 0) {
		rc = verb_compare(m, verb_switch(j, "strict"), j->which, j->sink, e);
		image_close(m[1]);
	}
	image_close(m[0]);
	return rc;
}

static int do_measure(struct job *j, struct err *e)
{
	const char **options = verb_options(j, 'o');
	const struct image_format *f;
	struct image *m = NULL;
	int rc = verb_format(verb_param(j, "to"), &f, e);

	if (rc == 0 && j->q->nfiles)
		rc = verb_open(j, 0, true, false, false, &m, e);
	if (rc == 0)
		rc = verb_measure(m, verb_number(j, "bytes"), f ? f : &image_raw, options, j->sink, e);
	if (m)
		image_close(m);
	free(options);
	return rc;
}

static void options_of(struct job *j, const struct image_format_option *o, bool create)
{
	for (; o && o->name; o++)
		j->sink->record(j->sink, &(struct record){ .kind = RECORD_FORMAT_OPTION,
							   .n = { [FORMAT_OPTION_N_CREATE] = create },
							   .s = { [FORMAT_OPTION_S_NAME] = o->name,
								  [FORMAT_OPTION_S_VALUES] = o->values,
								  [FORMAT_OPTION_S_HELP] = o->help } });
}

static int do_formats(struct job *j, struct err *e)
{
	const struct image_format *f;

	for (unsigned i = 0; (f = image_format_at(i)); i++) {
		j->sink->record(j->sink, &(struct record){ .kind = RECORD_FORMAT,
							   .n = { [FORMAT_N_CREATES] = f->creates },
							   .s = { [FORMAT_S_NAME] = f->name,
								  [FORMAT_S_TITLE] = f->title,
								  [FORMAT_S_EXTENSIONS] = f->extensions } });
		options_of(j, f->open_options, false);
		options_of(j, f->create_options, true);
	}
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct job *j, struct err *e);
} verbs[] = { { "formats", do_formats }, { "info", do_info },          { "map", do_map },
	      { "check", do_check },     { "resize", do_resize },      { "snapshot", do_snapshot },
	      { "commit", do_commit },   { "rebase", do_rebase },      { "compare", do_compare },
	      { "measure", do_measure }, { "create", verb_do_create }, { "convert", verb_do_convert } };

int verb_job_run(struct verb_request *q, struct image_opener *o, unsigned *which, struct verb_sink *sink, struct err *e)
{
	struct job j = { .q = q, .opener = o, .sink = sink, .which = which };
	int rc = err_set(e, EINVAL, "'%s' is nothing that can be done with an image", q->verb);

	*which = 0;
	for (unsigned i = 0; i < ARRAY_LEN(verbs); i++)
		if (!strcmp(verbs[i].name, q->verb)) {
			rc = verbs[i].run(&j, e);
			break;
		}
	for (unsigned i = 0; i < VERB_FILES_MAX; i++)
		image_file_close(q->files[i]);
	return rc;
}
