/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verb_serve.h - a verb (verb_job.h) in the process mica-image: the messages (link.h) from and to the command. */
#ifndef MICA_IMAGE_VERB_SERVE_H
#define MICA_IMAGE_VERB_SERVE_H

#include "image/link.h"

/*
 * The body of IMAGE_MSG_VERB: strings, each with its NUL: the verb, a path for each descriptor, then parameters. After
 * it the process asks for files as images name them, says PROGRESS now and then, sends a RESULT for each record, and at
 * the end IMAGE_MSG_OPENED, whose arg is the verb's result (0, or 1: they differ), or ERROR, whose arg says which of
 * the files it is about.
 */

/* m: IMAGE_MSG_VERB, just received; its contents are lost. Returns the process's exit status. */
int verb_serve(int fd, struct image_msg *m);

#endif
