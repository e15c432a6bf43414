/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verb_job.h - one verb of `mica image` from its parameters to its end: opens the images, runs it, closes them. For the
 * process that parses (verb_serve.h), and for tests.
 */
#ifndef MICA_IMAGE_VERB_JOB_H
#define MICA_IMAGE_VERB_JOB_H

#include "image/verbs.h"

#define VERB_FILES_MAX 2u

/*
 * Parameters are "name=value", like options. Those of all verbs: format, to (the other image's format), of the files in
 * their order, "" or none: by sight; guess=on (what bears no sign is raw). Options of formats are "o.NAME=VALUE" for
 * what is created, "i.NAME=VALUE" for files[0] and "j.NAME=VALUE" for files[1].
 *
 *	verb      files            parameters of its own
 *	formats   none
 *	create    new              bytes, backing, backing_format, unchecked=on
 *	info      image            chain=on
 *	map       image            start, length
 *	check     image            fix=leaks, fix=all, reports
 *	resize    image            bytes or add or subtract, shrink=on
 *	snapshot  image            create, apply or delete=NAME; none: they are listed
 *	commit    image            keep=on (do not empty it)
 *	rebase    image            backing ("": none), backing_format, unchecked=on
 *	compare   image, image     strict=on
 *	measure   image or none    bytes
 *	convert   image, new       compress=on, sparse, threads, backing, backing_format, existing=on, unsafe=on
 */
struct verb_request {
	const char *verb;
	const char *const *params; /* ended by NULL */
	struct image_file *files[VERB_FILES_MAX];
	unsigned nfiles;
};

/* The files are closed in any case. Returns 0, 1 (compare: they differ), or -errno. *which: the file that an error is
 * about, for compare. */
int verb_job_run(struct verb_request *q, struct image_opener *o, unsigned *which, struct verb_sink *sink,
		 struct err *e);

#endif
