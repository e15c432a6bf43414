/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ends.h - the handlers at the borders of blocks; see ends.c. */
#ifndef MICA_SOFT_ENDS_H
#define MICA_SOFT_ENDS_H

#include "cpu/soft/decode/decode.h"

/* What the decoder puts there. */
extern const struct decode_ends run_ends;

#endif
