/* SPDX-License-Identifier: GPL-2.0-or-later */
/* optarg.h - values of options: sizes, numbers, "FILE,key=value" lists. */
#ifndef MICA_OPTARG_H
#define MICA_OPTARG_H

#include "base/base.h"
#include "base/err.h"

/* "4096", "512M", "2G" (K, M, G, T: powers of 1024). */
int optarg_size(u64 *out, const char *s, struct err *e);
int optarg_uint(unsigned *out, const char *s, unsigned lo, unsigned hi, struct err *e);
/* "on" or "off". */
int optarg_switch(bool *out, const char *key, const char *s, struct err *e);
/* Split at commas; ",," is a comma itself. Returns a NULL-terminated vector, one allocation each. */
char **optarg_split(const char *s);
void optarg_split_free(char **v);
/* "key=value" -> value when the key is this one, else NULL. */
const char *optarg_key(const char *item, const char *key);

#endif
