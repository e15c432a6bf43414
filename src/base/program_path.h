/* SPDX-License-Identifier: GPL-2.0-or-later */
/* program_path.h - where the programs and files lie that belong to this one. */
#ifndef MICA_PROGRAM_PATH_H
#define MICA_PROGRAM_PATH_H

#include "base/err.h"

/* Directory of the running executable, without a trailing slash. 0 or -errno. */
int program_dir(char *buf, size_t bytes);
/* Path of a program of ours: in $MICA_HELPER_DIR if that is set, else beside this executable (also in a build tree),
 * else in its ../libexec/mica. */
int program_find(char *buf, size_t bytes, const char *name, struct err *e);

#endif
