/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * err.h - an error a person will read.
 *
 * The contract: a function that can fail returns 0 or -errno. Where a person will read the
 * reason, its last argument is `struct err *e`: success leaves it alone, failure is negative
 * and sets it; there is no third state. `e` may be NULL. Messages say what failed, on which
 * object, why, and what to do. What they quote may be anybody's text: they are made plain (plain.h).
 *
 * Languages. An error is translated where it is shown, as a whole: it may come from another process (err_wire.h), whose
 * language is not the reader's, and its parts come from several rooms. So beside the English text it keeps what that
 * was made of: formats, which are the ids of gettext, each with its arguments already as text. err_local() translates
 * the formats and puts the arguments in. Formats are therefore given in English, never as _("..."); an argument that is
 * itself a phrase of ours is marked: err_set(e, EINVAL, "%s: %s", path, MSG("it is empty")). xgettext knows all of
 * these (po/options).
 */
#ifndef MICA_ERR_H
#define MICA_ERR_H

#include "base/base.h"

#define ERR_NAME_BYTES 24
#define ERR_LOCAL_BYTES 1536 /* of a message in any language */

struct err {
	int code;                  /* positive errno */
	char name[ERR_NAME_BYTES]; /* of err_names.c, when the code says too little; else "" */
	char msg[512];             /* the message in English */
	u16 used;                  /* of items */
	char items[1280];          /* what it is made of; err_next() reads them */
};

/* Set *e (if not NULL) and return -code. */
int err_set(struct err *e, int code, const char *fmt, ...) printf_like(3, 4);
/* As err_set, with ": " and the text of the code appended. */
int err_sys(struct err *e, int code, const char *fmt, ...) printf_like(3, 4);
/* Put "context: " before the message that is there; returns -e->code. */
int err_prefix(struct err *e, const char *fmt, ...) printf_like(2, 3);
/* Call it by a name of the table, which programs tell errors apart by; returns -e->code. */
int err_named(struct err *e, const char *name);

/* The whole message in the language of this process (i18n_init()), in buf; returns buf. */
const char *err_local_into(const struct err *e, char *buf, size_t bytes);
/* The same, good until the end of the block. */
#define err_local(e) err_local_into((e), (char[ERR_LOCAL_BYTES]){ 0 }, ERR_LOCAL_BYTES)

/* Marks a phrase that is an argument of a format. */
#define ERR_MARK "\x0e"
#define MSG(s) ERR_MARK s

/* ---- names (err_names.c; docs/control-socket.md lists them) ---- */

/* The stable, short identifier of an error: its name, else that of its code. */
const char *err_name(const struct err *e);
/* What errno code is called in English; translated by gettext(). */
const char *err_errno_text(int code);

/* ---- what it is made of, for those who send it elsewhere ---- */

enum err_kind {
	ERR_FORMAT =
	    1,      /* of printf(3); what follows up to the next one are its arguments. Formats are joined by ": " */
	ERR_ARG,    /* an argument, as text */
	ERR_PHRASE, /* an argument to be translated */
	ERR_ERRNO,  /* the text of an errno, a decimal number; joined as a format is */
};
struct err_item {
	enum err_kind kind;
	const char *text;
};
/* *at is 0 at first. False: there are no more. */
bool err_next(const struct err *e, size_t *at, struct err_item *out);
/* Make one anew: begin, add in the same order, end. What does not fit is cut. */
void err_begin(struct err *e, int code);
void err_add(struct err *e, enum err_kind kind, const char *text);
void err_end(struct err *e);

#endif
