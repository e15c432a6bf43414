/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * err_json.h - an error in the control protocol (docs/control-socket.md): its stable name, the English text, and what
 * that is made of, which whoever shows it translates.
 */
#ifndef MICA_ERR_JSON_H
#define MICA_ERR_JSON_H

#include "base/err.h"

#include <jansson.h>

/* Adds "error", "code", "errno" and "message" to the object o. */
void err_to_json(const struct err *e, json_t *o);
/* From anybody. Always sets *e, and returns -e->code. */
int err_from_json(struct err *e, const json_t *o);
/* A string for JSON whatever bytes s has: those that are no UTF-8 become '?'. */
json_t *json_plain(const char *s);

#endif
