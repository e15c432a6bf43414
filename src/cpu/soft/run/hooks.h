/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hooks.h - the table of cpu/soft/hooks.h, for run/ alone. */
#ifndef MICA_SOFT_RUN_HOOKS_H
#define MICA_SOFT_RUN_HOOKS_H

#include "cpu/soft/hooks.h"

extern const struct soft_hooks run_hooks;

/* core.c, ends.c */
uop_fn run_leave, run_link;

#endif
