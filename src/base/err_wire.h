/* SPDX-License-Identifier: GPL-2.0-or-later */
/* err_wire.h - an error as a message between two processes of ours, so that the reader's language counts. */
#ifndef MICA_ERR_WIRE_H
#define MICA_ERR_WIRE_H

#include "base/err.h"

#define ERR_WIRE_BYTES 2048 /* holds any error */

/* Returns how many bytes of buf it takes. */
size_t err_pack(const struct err *e, u8 buf[ERR_WIRE_BYTES]);
/* From anybody: what makes no sense becomes an error that says so. Always sets *e; returns -e->code. */
int err_unpack(struct err *e, const void *buf, size_t bytes);

#endif
