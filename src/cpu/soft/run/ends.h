/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ends.h - the handlers at the borders of blocks; see ends.c. */
#ifndef MICA_SOFT_ENDS_H
#define MICA_SOFT_ENDS_H

#include "cpu/soft/uop.h"

uop_fn op_jit_heat;  /* before a block that is not translated */
uop_fn op_jit_enter; /* ... that is */
uop_fn op_end;       /* end of block: fall through */
uop_fn op_end_link;  /* ... inside the page */
uop_fn op_pause;

#endif
