/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_verbs.c - the verbs of mica image: from a command line to a request, and to what is shown (image.h). */
#include "base/i18n.h"
#include "cli/cmd.h"
#include "cli/image.h"
#include "cli/optarg.h"
#include "vmm/exit_status.h"

/* Exit statuses as qemu-img's. */
enum { CHECK_FAILED = 1, CHECK_ERRORS = 2, CHECK_LEAKS = 3, CHECK_UNSUPPORTED = 63 };
enum { COMPARE_DIFFERENT = 1, COMPARE_FAILED = 2 };
#define CHECK_REPORTS 1000

/* ---- what several have ---- */

static bool has(const struct image_args *a, enum image_opt o)
{
	return a->value[o] != NULL;
}

static void param_if(struct image_request *q, const struct image_args *a, enum image_opt o, const char *name)
{
	if (has(a, o))
		image_param(q, "%s=%s", name, a->value[o]);
}

static void switch_if(struct image_request *q, const struct image_args *a, enum image_opt o, const char *name)
{
	if (has(a, o))
		image_param(q, "%s=on", name);
}

static int size_if(struct image_request *q, const struct image_args *a, enum image_opt o, const char *name,
		   struct err *e)
{
	u64 n;
	int rc = has(a, o) ? optarg_size(&n, a->value[o], e) : 0;

	if (rc == 0 && has(a, o))
		image_param(q, "%s=%llu", name, (unsigned long long)n);
	return rc;
}

static int begin(struct image_request *q, const struct image_args *a, struct err *e)
{
	*q = (struct image_request){ .verb = a->verb->name,
				     .progress = has(a, IMAGE_OPT_PROGRESS),
				     .quiet = has(a, IMAGE_OPT_QUIET),
				     .share = has(a, IMAGE_OPT_SHARE),
				     .base = a->value[IMAGE_OPT_BASE] };
	if (has(a, IMAGE_OPT_NAMES) && strcmp(a->value[IMAGE_OPT_NAMES], "any"))
		return err_set(e, EINVAL, "--backing %s: it is any, or not there", a->value[IMAGE_OPT_NAMES]);
	q->policy.any = has(a, IMAGE_OPT_NAMES);
	param_if(q, a, IMAGE_OPT_FORMAT, "format");
	param_if(q, a, IMAGE_OPT_TO, "to");
	param_if(q, a, IMAGE_OPT_BASE, "backing");
	param_if(q, a, IMAGE_OPT_BASE_FORMAT, "backing_format");
	switch_if(q, a, IMAGE_OPT_UNCHECKED, "unchecked");
	for (unsigned i = 0; i < a->noptions; i++)
		image_param(q, "o.%s", a->option[i]);
	for (unsigned i = 0; i < a->nsource_options; i++)
		image_param(q, "i.%s", a->source_option[i]);
	return 0;
}

/* A file that was on the command line. */
static int add_file(struct image_request *q, struct image_named *f, const struct image_args *a, unsigned i, bool write,
		    struct err *e)
{
	static const char images[] = "qcow2,qcow,vmdk,vdi,vhd,vpc,vhdx,hdd,hds,parallels";
	int rc = image_files_open(f, a->word[i], write, q->share, e);

	q->files[q->nfiles++] = f;
	q->policy.unsure |= !has(a, i ? IMAGE_OPT_TO : IMAGE_OPT_FORMAT) && !image_name_fits(a->word[i], images);
	return rc;
}

static int end(struct image_request *q, struct image_records *l, int rc)
{
	image_records_free(l);
	image_request_fini(q);
	for (unsigned i = 0; i < q->nfiles; i++)
		image_files_close(q->files[i]);
	return rc;
}

/* The verb with one image and nothing to it but `prepare`. Its records are in l, which is the caller's. */
static int one(struct image_request *q, const struct image_args *a, struct image_named *f, bool write,
	       struct image_records *l, struct err *e)
{
	q->record = image_records_add;
	q->opaque = l;
	int rc = add_file(q, f, a, 0, write, e);
	return rc < 0 ? rc : image_run(q, e);
}

/* ---- looking ---- */

static int run_info(struct image_args *a, struct err *e)
{
	struct image_named f = IMAGE_NAMED_NONE;
	struct image_records l = { 0 };
	struct image_request q;
	int rc = begin(&q, a, e);

	switch_if(&q, a, IMAGE_OPT_CHAIN, "chain");
	image_param(&q, "guess=on");
	if (rc == 0 && (rc = one(&q, a, &f, false, &l, e)) == 0) {
		if (has(a, IMAGE_OPT_JSON))
			image_json_info(&l, has(a, IMAGE_OPT_CHAIN));
		else
			image_show_info(&l);
	}
	return end(&q, &l, rc);
}

static int run_map(struct image_args *a, struct err *e)
{
	bool json = has(a, IMAGE_OPT_JSON);
	struct image_named f = IMAGE_NAMED_NONE;
	struct image_records none = { 0 };
	struct image_request q;
	unsigned lines = 0;
	int rc = begin(&q, a, e);

	if (rc == 0 && (rc = size_if(&q, a, IMAGE_OPT_START, "start", e)) == 0)
		rc = size_if(&q, a, IMAGE_OPT_LENGTH, "length", e);
	q.record = json ? image_json_map : image_show_map;
	q.opaque = &lines;
	if (rc == 0 && (rc = add_file(&q, &f, a, 0, false, e)) == 0)
		rc = image_run(&q, e);
	if (rc == 0 && json)
		image_json_map_end(lines);
	return end(&q, &none, rc);
}

static int check_status(const struct image_records *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		const struct record *r = &l->r[i];
		if (r->kind != RECORD_CHECK)
			continue;
		if (r->n[CHECK_N_CORRUPT] > r->n[CHECK_N_CORRUPT_FIXED])
			return CHECK_ERRORS;
		return r->n[CHECK_N_LEAKED] > r->n[CHECK_N_LEAKED_FIXED] ? CHECK_LEAKS : STATUS_OK;
	}
	return CHECK_FAILED;
}

static int run_check(struct image_args *a, struct err *e)
{
	const char *fix = a->value[IMAGE_OPT_REPAIR];
	struct image_named f = IMAGE_NAMED_NONE;
	struct image_records l = { 0 };
	struct image_request q;
	int rc = begin(&q, a, e);

	if (rc == 0 && fix && strcmp(fix, "leaks") && strcmp(fix, "all"))
		rc = err_set(e, EINVAL, "--repair %s: it is leaks or all", fix);
	param_if(&q, a, IMAGE_OPT_REPAIR, "fix");
	image_param(&q, "reports=%d", CHECK_REPORTS);
	if (rc == 0)
		rc = one(&q, a, &f, fix, &l, e);
	if (rc == 0 && has(a, IMAGE_OPT_JSON))
		image_json_check(&l);
	else if (rc == 0 && !q.quiet)
		image_show_check(&l);
	if (rc == 0) {
		rc = check_status(&l);
	} else if (rc == -ENOTSUP) {
		fprintf(stderr, "mica image %s: %s\n", q.verb, err_local(e));
		rc = CHECK_UNSUPPORTED;
	}
	return end(&q, &l, rc);
}

static int run_measure(struct image_args *a, struct err *e)
{
	struct image_named f = IMAGE_NAMED_NONE;
	struct image_records l = { 0 };
	struct image_request q;
	int rc = begin(&q, a, e);

	if (rc == 0 && has(a, IMAGE_OPT_SIZE) == (a->nwords != 0))
		rc = err_set(e, EINVAL, "say either an image or --size");
	if (rc == 0)
		rc = size_if(&q, a, IMAGE_OPT_SIZE, "bytes", e);
	q.record = image_records_add;
	q.opaque = &l;
	if (rc == 0 && a->nwords)
		rc = add_file(&q, &f, a, 0, false, e);
	if (rc == 0 && (rc = image_run(&q, e)) == 0) {
		if (has(a, IMAGE_OPT_JSON))
			image_json_measure(&l);
		else
			image_show_measure(&l);
	}
	return end(&q, &l, rc);
}

static int run_compare(struct image_args *a, struct err *e)
{
	struct image_named f[2] = { IMAGE_NAMED_NONE, IMAGE_NAMED_NONE };
	struct image_records l = { 0 };
	struct image_request q;
	int rc = begin(&q, a, e);

	switch_if(&q, a, IMAGE_OPT_STRICT, "strict");
	q.record = image_records_add;
	q.opaque = &l;
	for (unsigned i = 0; rc == 0 && i < 2; i++)
		rc = add_file(&q, &f[i], a, i, false, e);
	if (rc == 0)
		rc = image_run(&q, e);
	if (rc >= 0 && has(a, IMAGE_OPT_JSON))
		image_json_compare(&l, rc == 0);
	else if (rc >= 0)
		image_show_compare(&l, rc == 0, q.quiet);
	return end(&q, &l, rc == 1 ? COMPARE_DIFFERENT : rc);
}

/* ---- making ---- */

static int run_create(struct image_args *a, struct err *e)
{
	bool force = has(a, IMAGE_OPT_FORCE);
	struct image_named f = IMAGE_NAMED_NONE;
	struct image_records none = { 0 };
	struct image_request q;
	u64 bytes;
	int rc = begin(&q, a, e);

	if (rc == 0 && has(a, IMAGE_OPT_FORMAT))
		image_param(&q, "to=%s", a->value[IMAGE_OPT_FORMAT]);
	if (rc == 0 && a->nwords > 1 && (rc = optarg_size(&bytes, a->word[1], e)) == 0)
		image_param(&q, "bytes=%llu", (unsigned long long)bytes);
	if (rc == 0 && (rc = image_files_create(&f, a->word[0], force, e)) >= 0) {
		q.files[q.nfiles++] = &f;
		rc = image_run(&q, e);
	}
	if (rc == 0)
		rc = image_files_keep(&f, force, true, e);
	rc = end(&q, &none, rc);
	image_files_close(&f);
	return rc;
}

static int convert_params(struct image_request *q, const struct image_args *a, struct err *e)
{
	const char *cache = a->value[IMAGE_OPT_CACHE];
	unsigned threads;
	int rc = size_if(q, a, IMAGE_OPT_SPARSE, "sparse", e);

	if (rc == 0 && has(a, IMAGE_OPT_THREADS) &&
	    (rc = optarg_uint(&threads, a->value[IMAGE_OPT_THREADS], 1, 16, e)) == 0)
		image_param(q, "threads=%u", threads);
	if (rc == 0 && cache && strcmp(cache, "unsafe") && strcmp(cache, "writeback"))
		rc = err_set(e, EINVAL, "--cache %s: it is writeback or unsafe", cache);
	if (rc == 0 && cache && !strcmp(cache, "unsafe"))
		image_param(q, "unsafe=on");
	switch_if(q, a, IMAGE_OPT_COMPRESS, "compress");
	switch_if(q, a, IMAGE_OPT_EXISTING, "existing");
	return rc;
}

static int run_convert(struct image_args *a, struct err *e)
{
	bool force = has(a, IMAGE_OPT_FORCE), existing = has(a, IMAGE_OPT_EXISTING), unsafe;
	struct image_named f[2] = { IMAGE_NAMED_NONE, IMAGE_NAMED_NONE };
	struct image_records none = { 0 };
	struct image_request q;
	int rc = begin(&q, a, e);

	if (rc == 0 && existing && has(a, IMAGE_OPT_BASE))
		rc = err_set(e, EINVAL, "an existing image is based on what it is: no --base with --existing");
	if (rc == 0 && (rc = convert_params(&q, a, e)) == 0)
		rc = add_file(&q, &f[0], a, 0, false, e);
	if (rc == 0)
		rc = existing ? image_files_open(&f[1], a->word[1], true, false, e)
			      : image_files_create(&f[1], a->word[1], force, e);
	q.files[q.nfiles++] = &f[1];
	unsafe = has(a, IMAGE_OPT_CACHE) && !strcmp(a->value[IMAGE_OPT_CACHE], "unsafe");
	if (rc == 0 && (rc = image_run(&q, e)) == 0)
		rc = image_files_keep(&f[1], force, !unsafe, e);
	q.nfiles = 0;
	for (unsigned i = 0; i < 2; i++)
		image_files_close(&f[i]);
	return end(&q, &none, rc);
}

/* ---- changing ---- */

static int run_resize(struct image_args *a, struct err *e)
{
	const char *s = a->word[1];
	struct image_named f = IMAGE_NAMED_NONE;
	struct image_records l = { 0 };
	struct image_request q;
	u64 bytes;
	int rc = begin(&q, a, e);

	if (rc == 0 && (rc = optarg_size(&bytes, *s == '+' || *s == '-' ? s + 1 : s, e)) == 0) {
		image_param(&q, "%s=%llu",
			    *s == '+'   ? "add"
			    : *s == '-' ? "subtract"
					: "bytes",
			    (unsigned long long)bytes);
		switch_if(&q, a, IMAGE_OPT_SHRINK, "shrink");
		rc = one(&q, a, &f, true, &l, e);
	}
	return end(&q, &l, rc);
}

static int run_snapshot(struct image_args *a, struct err *e)
{
	unsigned n = has(a, IMAGE_OPT_CREATE) + has(a, IMAGE_OPT_APPLY) + has(a, IMAGE_OPT_DELETE);
	struct image_named f = IMAGE_NAMED_NONE;
	struct image_records l = { 0 };
	struct image_request q;
	int rc = begin(&q, a, e);

	if (rc == 0 && n + has(a, IMAGE_OPT_LIST) > 1)
		rc = err_set(e, EINVAL, "one of --list, --create, --apply and --delete at a time");
	param_if(&q, a, IMAGE_OPT_CREATE, "create");
	param_if(&q, a, IMAGE_OPT_APPLY, "apply");
	param_if(&q, a, IMAGE_OPT_DELETE, "delete");
	if (rc == 0 && (rc = one(&q, a, &f, n != 0, &l, e)) == 0 && !n) {
		if (has(a, IMAGE_OPT_JSON))
			image_json_info(&l, false);
		else
			image_show_snapshots(&l);
	}
	return end(&q, &l, rc);
}

static int run_commit(struct image_args *a, struct err *e)
{
	struct image_named f = IMAGE_NAMED_NONE;
	struct image_records l = { 0 };
	struct image_request q;
	int rc = begin(&q, a, e);

	q.policy.write_backing = true;
	switch_if(&q, a, IMAGE_OPT_KEEP, "keep");
	if (rc == 0)
		rc = one(&q, a, &f, true, &l, e);
	return end(&q, &l, rc);
}

static int run_rebase(struct image_args *a, struct err *e)
{
	struct image_named f = IMAGE_NAMED_NONE;
	struct image_records l = { 0 };
	struct image_request q;
	int rc = begin(&q, a, e);

	if (rc == 0 && !has(a, IMAGE_OPT_BASE))
		rc = err_set(e, EINVAL, "say on what it shall be based with --base, \"\" for nothing");
	if (rc == 0)
		rc = one(&q, a, &f, true, &l, e);
	return end(&q, &l, rc);
}

/* ---- formats, for help ---- */

void image_verbs_formats(FILE *f)
{
	struct image_request q = { .verb = "formats", .quiet = true, .record = image_records_add };
	struct image_records l = { 0 };
	struct err e;

	q.opaque = &l;
	if (image_run(&q, &e) == 0)
		image_show_formats(&l, f);
	end(&q, &l, 0);
}

/* ---- the table ---- */

#define OPT(o, letter, name, arg, help) \
	{ \
		IMAGE_OPT_##o, letter, name, arg, N_(help) \
	}
#define O_FORMAT OPT(FORMAT, 'f', "format", "FORMAT", N_("of the image; default by sight, which raw never is"))
#define O_NAMES OPT(NAMES, 0, "backing", "any", N_("open what the image names wherever it is"))
#define O_SHARE OPT(SHARE, 'U', "force-share", NULL, N_("look also at an image that is being written to"))
#define O_JSON OPT(JSON, 0, "json", NULL, N_("for programs"))
#define O_PROGRESS OPT(PROGRESS, 'p', "progress", NULL, N_("say how far it is, also where there is no terminal"))
#define O_QUIET OPT(QUIET, 'q', "quiet", NULL, N_("say nothing but errors"))
#define O_FORCE OPT(FORCE, 0, "force", NULL, N_("replace what is there"))
#define O_BASE OPT(BASE, 'b', "base", "FILE", N_("the image that it is based on"))
#define O_BASE_FORMAT OPT(BASE_FORMAT, 'F', "base-format", "FORMAT", N_("of that"))
#define O_OPTIONS OPT(OPTION, 'o', "options", "NAME=VALUE,...", N_("options of the new image's format"))
#define O_SOURCE OPT(SOURCE_OPTION, 0, "source-options", "NAME=VALUE,...", N_("options for reading the image's format"))
#define O_END \
	{ \
		0 \
	}

static const struct image_verb_option create_options[] = {
	OPT(FORMAT, 'f', "format", "FORMAT", N_("of the new image; default raw")), O_OPTIONS, O_BASE,  O_BASE_FORMAT,
	OPT(UNCHECKED, 'u', "unchecked", NULL, N_("do not look at the base")),     O_FORCE,   O_NAMES, O_END,
};
static const struct image_verb_option info_options[] = {
	O_FORMAT, O_SOURCE, OPT(CHAIN, 0, "chain", NULL, N_("also the images that it is based on")), O_SHARE, O_NAMES,
	O_JSON,   O_END,
};
static const struct image_verb_option convert_options[] = {
	O_FORMAT,
	OPT(TO, 'O', "output-format", "FORMAT", N_("of the new image; default raw")),
	O_OPTIONS,
	O_SOURCE,
	OPT(COMPRESS, 'c', "compress", NULL, N_("compress the new image")),
	OPT(BASE, 'B', "base", "FILE", N_("base the new image on this one, and write what differs")),
	O_BASE_FORMAT,
	OPT(EXISTING, 'n', "existing", NULL, N_("write into an image that is there")),
	OPT(SPARSE, 'S', "sparse", "SIZE", N_("leave out zeros of this many bytes; 0: write them; default 4K")),
	OPT(THREADS, 'm', "threads", "N", N_("compress with so many; default one for each processor")),
	OPT(CACHE, 't', "cache", "unsafe", N_("do not wait until all is safe on the disk")),
	O_FORCE,
	O_PROGRESS,
	O_QUIET,
	O_SHARE,
	O_NAMES,
	O_END,
};
static const struct image_verb_option resize_options[] = { O_FORMAT,
							   OPT(SHRINK, 0, "shrink", NULL, N_("it may get smaller")),
							   O_NAMES, O_END };
static const struct image_verb_option check_options[] = {
	O_FORMAT, OPT(REPAIR, 'r', "repair", "leaks|all", N_("mend what can be mended")), O_SHARE, O_QUIET, O_JSON,
	O_END
};
static const struct image_verb_option snapshot_options[] = {
	O_FORMAT,
	OPT(LIST, 'l', "list", NULL, N_("show them, the default")),
	OPT(CREATE, 'c', "create", "NAME", N_("keep what the disk is now")),
	OPT(APPLY, 'a', "apply", "NAME", N_("go back to it")),
	OPT(DELETE, 'd', "delete", "NAME", N_("forget it")),
	O_SHARE,
	O_JSON,
	O_END,
};
static const struct image_verb_option commit_options[] = {
	O_FORMAT, OPT(KEEP, 'd', "keep", NULL, N_("do not empty the image afterwards")), O_PROGRESS, O_QUIET, O_NAMES,
	O_END
};
static const struct image_verb_option rebase_options[] = {
	O_FORMAT,      OPT(BASE, 'b', "base", "FILE", N_("the image that it shall be based on, \"\" for none")),
	O_BASE_FORMAT, OPT(UNCHECKED, 'u', "unchecked", NULL, N_("change the name only: the base was moved")),
	O_PROGRESS,    O_QUIET,
	O_NAMES,       O_END,
};
static const struct image_verb_option map_options[] = { O_FORMAT,
							OPT(START, 's', "start", "SIZE",
							    N_("from this place of the disk on")),
							OPT(LENGTH, 'l', "length", "SIZE", N_("so much of it")),
							O_SHARE,
							O_NAMES,
							O_JSON,
							O_END };
static const struct image_verb_option compare_options[] = {
	OPT(FORMAT, 'f', "format", "FORMAT", N_("of the first image")),
	OPT(TO, 'F', "second-format", "FORMAT", N_("of the second one")),
	OPT(STRICT, 's', "strict", NULL, N_("their sizes and what is allocated count, too")),
	O_SHARE,
	O_PROGRESS,
	O_QUIET,
	O_NAMES,
	O_JSON,
	O_END,
};
static const struct image_verb_option measure_options[] = {
	O_FORMAT,  OPT(TO, 'O', "output-format", "FORMAT", N_("of an image to be made; default raw")),
	O_OPTIONS, OPT(SIZE, 0, "size", "SIZE", N_("of an empty disk, in place of an image")),
	O_SHARE,   O_NAMES,
	O_JSON,    O_END,
};

const struct image_verb image_verbs[] = {
	{ "create", N_("Usage: mica image create [OPTION]... FILE [SIZE]\n"), N_("make an empty disk image"), NULL,
	  true, create_options, 1, 2, run_create, 0 },
	{ "info", N_("Usage: mica image info [OPTION]... FILE\n"), N_("show what an image is"), NULL, false,
	  info_options, 1, 1, run_info, 0 },
	{ "convert", N_("Usage: mica image convert [OPTION]... FILE NEW\n"),
	  N_("copy a disk into an image of another format"), NULL, true, convert_options, 2, 2, run_convert, 0 },
	{ "resize", N_("Usage: mica image resize [OPTION]... FILE SIZE|+SIZE|-SIZE\n"), N_("change a disk's size"),
	  N_("\nA size that begins with '-' comes after \"--\".\n"), false, resize_options, 2, 2, run_resize, 0 },
	{ "check", N_("Usage: mica image check [OPTION]... FILE\n"), N_("look for errors in an image, and mend them"),
	  N_("\nIts exit status is 0: none, 1: it could not be checked, 2: errors, 3: wasted room, 63: the format\n"
	     "has no check.\n"),
	  false, check_options, 1, 1, run_check, CHECK_FAILED },
	{ "snapshot", N_("Usage: mica image snapshot [OPTION]... FILE\n"), N_("keep states of a disk within its image"),
	  NULL, false, snapshot_options, 1, 1, run_snapshot, 0 },
	{ "commit", N_("Usage: mica image commit [OPTION]... FILE\n"),
	  N_("write what an image holds into the one that it is based on"), NULL, false, commit_options, 1, 1,
	  run_commit, 0 },
	{ "rebase", N_("Usage: mica image rebase --base FILE [OPTION]... FILE\n"), N_("base an image on another one"),
	  NULL, false, rebase_options, 1, 1, run_rebase, 0 },
	{ "map", N_("Usage: mica image map [OPTION]... FILE\n"), N_("show where an image has which part of the disk"),
	  NULL, false, map_options, 1, 1, run_map, 0 },
	{ "compare", N_("Usage: mica image compare [OPTION]... FILE FILE\n"), N_("compare what two images hold"),
	  N_("\nIts exit status is 0: the same, 1: they differ, 2: they could not be compared.\n"), false,
	  compare_options, 2, 2, run_compare, COMPARE_FAILED },
	{ "measure", N_("Usage: mica image measure [OPTION]... FILE|--size SIZE\n"),
	  N_("say how much room an image would take"), NULL, false, measure_options, 0, 1, run_measure, 0 },
};
const unsigned image_nverbs = ARRAY_LEN(image_verbs);
