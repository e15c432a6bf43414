/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verb_int.h - between verb_job.c and verb_create.c. */
#ifndef MICA_IMAGE_VERB_INT_H
#define MICA_IMAGE_VERB_INT_H

#include "image/verb_job.h"

struct job {
	struct verb_request *q;
	struct image_opener *opener;
	struct verb_sink *sink;
	unsigned *which;
};

/* "" when it is not there. */
const char *verb_param(const struct job *j, const char *name);
bool verb_switch(const struct job *j, const char *name);
u64 verb_number(const struct job *j, const char *name);
/* Options of formats, "o", "i" or "j": a list of the heap, whose texts are the request's. */
const char **verb_options(const struct job *j, char which);
/* NULL for "". */
int verb_format(const char *name, const struct image_format **f, struct err *e);
/* files[i], which the image takes over. */
int verb_open(struct job *j, unsigned i, bool readonly, bool no_backing, bool checking, struct image **m,
	      struct err *e);
/* rc, or when that is no error the one of closing. */
int verb_close(struct image *m, int rc, struct err *e);
/* What `of` is, or shall be, based on. *format: as said, "" for by sight; then what it is. */
int verb_open_backing(struct job *j, const char *of, const char *name, char *format, size_t format_bytes, bool readonly,
		      struct image **m, struct err *e);

int verb_do_create(struct job *j, struct err *e);
int verb_do_convert(struct job *j, struct err *e);

#endif
