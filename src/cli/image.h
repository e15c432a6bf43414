/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image.h - mica image: disk images, made and looked at. What parses them is a process that can open nothing
 * (image/link.h); here are the command line, the files, and what is shown.
 *
 *	image.c          the verbs' command lines
 *	image_verbs.c    from a command line to a request
 *	image_files.c    the files that were named, and those that are made
 *	image_run.c      a request, through the process, to its records
 *	image_show.c     records, for people; image_json.c: for programs
 */
#ifndef MICA_CLI_IMAGE_H
#define MICA_CLI_IMAGE_H

#include "image/image_policy.h"
#include "image/record.h"

#include <stdio.h>

/* ---- the command line ---- */

enum image_opt {
	IMAGE_OPT_NONE,
	IMAGE_OPT_FORMAT,
	IMAGE_OPT_TO,
	IMAGE_OPT_OPTION,
	IMAGE_OPT_SOURCE_OPTION,
	IMAGE_OPT_BASE,
	IMAGE_OPT_BASE_FORMAT,
	IMAGE_OPT_NAMES,
	IMAGE_OPT_UNCHECKED,
	IMAGE_OPT_JSON,
	IMAGE_OPT_FORCE,
	IMAGE_OPT_SHARE,
	IMAGE_OPT_CHAIN,
	IMAGE_OPT_PROGRESS,
	IMAGE_OPT_QUIET,
	IMAGE_OPT_COMPRESS,
	IMAGE_OPT_EXISTING,
	IMAGE_OPT_SPARSE,
	IMAGE_OPT_THREADS,
	IMAGE_OPT_CACHE,
	IMAGE_OPT_REPAIR,
	IMAGE_OPT_SHRINK,
	IMAGE_OPT_LIST,
	IMAGE_OPT_CREATE,
	IMAGE_OPT_APPLY,
	IMAGE_OPT_DELETE,
	IMAGE_OPT_KEEP,
	IMAGE_OPT_STRICT,
	IMAGE_OPT_START,
	IMAGE_OPT_LENGTH,
	IMAGE_OPT_SIZE,
	IMAGE_OPT_HELP,
	IMAGE_OPTS
};

#define IMAGE_WORDS_MAX 2u
#define IMAGE_LIST_MAX 32u

struct image_args {
	const struct image_verb *verb;
	const char *value[IMAGE_OPTS];    /* "" for a switch that is on; NULL: not there */
	char *option[IMAGE_LIST_MAX + 1]; /* of -o, each "name=value", of the heap */
	char *source_option[IMAGE_LIST_MAX + 1];
	unsigned noptions, nsource_options;
	const char *word[IMAGE_WORDS_MAX];
	unsigned nwords;
};

struct image_verb_option {
	enum image_opt opt;
	char letter; /* 0: none */
	const char *name, *arg, *help;
};

struct image_verb {
	const char *name;
	const char *usage, *what, *more; /* for gettext; more may be NULL */
	bool makes;                      /* its help shows the options of formats */
	const struct image_verb_option *options;
	unsigned min_words, max_words;
	int (*run)(struct image_args *a, struct err *e); /* an exit status, or -errno */
	int failed;                                      /* the exit status of an error; 0: STATUS_HOST */
};

extern const struct image_verb image_verbs[];
extern const unsigned image_nverbs;

/* The formats and their options, as the process that reads images says them. */
void image_verbs_formats(FILE *f);

/* ---- files ---- */

/* A file that was named: opened here for the process, locked as long as this is there. */
struct image_named {
	int fd, theirs; /* ours, with the lock; an open file of its own for the process. -1: none */
	char *path;     /* what messages call it, and what names in it are relative to */
	char *temp;     /* of a new one: its name until all of it is there */
	bool fresh;     /* made by us */
};
#define IMAGE_NAMED_NONE ((struct image_named){ .fd = -1, .theirs = -1 })

int image_files_open(struct image_named *f, const char *path, bool write, bool share, struct err *e);
/* A new file beside its place. It fails when there is one, unless `force`: that one goes when the new one is whole. A
 * block device, which is then used as it is, needs force too. */
int image_files_create(struct image_named *f, const char *path, bool force, struct err *e);
/* Give it its name. safe: wait until that is on the disk; and what it replaces is there until then. */
int image_files_keep(struct image_named *f, bool force, bool safe, struct err *e);
/* What has no name yet is gone. */
void image_files_close(struct image_named *f);

/* ---- running ---- */

struct image_request {
	const char *verb;
	struct image_named *files[2];
	unsigned nfiles;
	char *words[160]; /* parameters, of the heap */
	unsigned nwords;
	const char *base; /* the user's own word for a backing image: opened wherever it is */
	struct image_policy policy;
	bool progress, quiet, share;
	/* Called for each record, whose texts are plain. Nonzero ends with that. */
	int (*record)(void *opaque, const struct record *r);
	void *opaque;
	unsigned which; /* the file that an error was about */
};

void image_param(struct image_request *q, const char *fmt, ...) printf_like(2, 3);
void image_request_fini(struct image_request *q);
/* The verb's result, 0 or 1, or -errno; -EINTR: somebody pressed Ctrl-C, and it was given up. */
int image_run(struct image_request *q, struct err *e);

/* Progress on standard error. */
struct image_progress {
	const char *verb;
	bool terminal, on, shown;
	u64 began_ns, said_ns, from;
	unsigned said_percent;
};
void image_progress_begin(struct image_progress *p, const struct image_request *q);
void image_progress_say(struct image_progress *p, u64 done, u64 total);
void image_progress_end(struct image_progress *p);

/* ---- showing ---- */

/* "1.5 GiB" and the like, good until the fourth call from here. */
const char *image_size_text(u64 bytes);
/* Records that are shown together at the end. */
struct image_records {
	struct record *r;
	unsigned n;
};
int image_records_add(void *records, const struct record *r); /* a request's record() */
void image_records_free(struct image_records *l);

void image_show_formats(const struct image_records *l, FILE *f);
void image_show_info(const struct image_records *l);
void image_show_snapshots(const struct image_records *l);
void image_show_check(const struct image_records *l);
void image_show_measure(const struct image_records *l);
void image_show_compare(const struct image_records *l, bool same, bool quiet);
int image_show_map(void *opaque, const struct record *r); /* a request's record(); opaque: unsigned, 0 */
void image_json_info(const struct image_records *l, bool chain);
void image_json_check(const struct image_records *l);
void image_json_measure(const struct image_records *l);
void image_json_compare(const struct image_records *l, bool same);
int image_json_map(void *opaque, const struct record *r);
void image_json_map_end(unsigned lines);

#endif
