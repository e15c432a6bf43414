/* SPDX-License-Identifier: GPL-2.0-or-later */
/* restore.h - mica run --restore: the machine of a saved state, with what the command line says otherwise. */
#ifndef MICA_RESTORE_H
#define MICA_RESTORE_H

#include "cli/options.h"

/* Open o->restore, make o->cfg the machine that was saved. o->cfg.restore_fd is the caller's to close. */
int restore_prepare(struct run_opts *o, struct err *e);

#endif
