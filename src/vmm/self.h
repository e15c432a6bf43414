/* SPDX-License-Identifier: GPL-2.0-or-later */
/* self.h - where this program lies, to find the programs and files that belong to it. */
#ifndef MICA_SELF_H
#define MICA_SELF_H

#include <stddef.h>

/* Directory of the running executable, without a trailing slash. 0 or -errno. */
int self_dir(char *buf, size_t bytes);
/* Path of a program of ours: beside the executable (also the build tree), or in ../libexec/mica. */
int self_find(char *buf, size_t bytes, const char *name);

#endif
