/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * err.h - an error a person will read.
 *
 * The contract: a function that can fail returns 0 or -errno. Where a person will read the
 * reason, its last argument is `struct err *e`: success leaves it alone, failure is negative
 * and sets it; there is no third state. `e` may be NULL. Messages say what failed, on which
 * object, why, and what to do. What they quote may be anybody's text: they are made plain (plain.h).
 */
#ifndef MICA_ERR_H
#define MICA_ERR_H

#include "base/base.h"

struct err {
	int code; /* positive errno */
	char msg[512];
};

/* Set *e (if not NULL) and return -code. */
int err_set(struct err *e, int code, const char *fmt, ...) printf_like(3, 4);
/* As err_set, with ": strerror(code)" appended. */
int err_sys(struct err *e, int code, const char *fmt, ...) printf_like(3, 4);
/* Put "context: " before the message that is there; returns -e->code. */
int err_prefix(struct err *e, const char *fmt, ...) printf_like(2, 3);

#endif
