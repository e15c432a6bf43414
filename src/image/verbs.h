/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verbs.h - what `mica image` does with images that are open: functions over image.h, which print nothing. For who runs
 * them: the process mica-image (verb_job.h), tests, fuzzers.
 *
 * What they find goes to a sink as records (record.h). Where one writes, it stops between two writes when the sink says
 * so, -ECANCELED; and it is written so that the process may also end at any moment: an image that was right before is
 * right then, or has room that nothing uses (check() gives it back).
 *
 * Threads: the caller's; convert.h has some of its own.
 */
#ifndef MICA_IMAGE_VERBS_H
#define MICA_IMAGE_VERBS_H

#include "image/image.h"
#include "image/record.h"

struct verb_sink {
	void (*record)(struct verb_sink *s, const struct record *r);
	/* Now and then: so much of it is done. 0, or -ECANCELED: end. */
	int (*progress)(struct verb_sink *s, u64 done, u64 total);
};

/* ---- looking ---- */
/* guessed: nothing but the lack of any sign says that the top is raw. chain: those below, too. */
int verb_info(struct image *m, bool chain, bool guessed, struct verb_sink *sink);
/* Of the disk's bytes from `off` on, at most `bytes`. */
int verb_map(struct image *m, u64 off, u64 bytes, struct verb_sink *sink, struct err *e);
/* Reports go to the sink as findings, at most `reports`. -ENOTSUP: the format has no check. */
int verb_check(struct image *m, enum image_fix fix, unsigned reports, struct verb_sink *sink, struct err *e);
/* How large a file of `format` would be for `m`, or, when that is NULL, for a disk of `bytes`. */
int verb_measure(struct image *m, u64 bytes, const struct image_format *format, const char *const *options,
		 struct verb_sink *sink, struct err *e);
/* 0: alike, 1: they differ (a record says where). strict: also in size, and in what is allocated. -errno: which of the
 * two it is of is in *which, 0 or 1. */
int verb_compare(struct image *m[2], bool strict, unsigned *which, struct verb_sink *sink, struct err *e);

/* ---- changing ---- */
/* shrink: it may get smaller. */
int verb_resize(struct image *m, u64 bytes, bool shrink, struct err *e);
int verb_snapshot(struct image *m, enum image_snapshot_verb verb, const char *id_or_name, struct err *e);
/*
 * Everything that `top` (opened without its backing) has goes into `base`, which is its backing image, opened to be
 * written; then, with `empty`, top gives it up. In this order, with a flush between: until the last step top has all.
 */
int verb_commit(struct image *top, struct image *base, bool empty, struct verb_sink *sink, struct err *e);
/*
 * `below` (NULL: none) takes the place of what m is based on, and m reads as before: what the two differ in is written
 * into m, flushed, and only then the name in its header changes.
 */
int verb_rebase(struct image *m, struct image *below, const char *name, const char *format, struct verb_sink *sink,
		struct err *e);

/* ---- for the verbs themselves ---- */
bool verb_all_zeros(const void *buf, size_t n);
/* Says to the sink, at most every few MiB. */
#define VERB_STEP_BYTES (1ull << 20)

#endif
