/* SPDX-License-Identifier: GPL-2.0-or-later */
/* board_state.h - struct board_state in a saved state. */
#ifndef MICA_MACHINE_BOARD_STATE_H
#define MICA_MACHINE_BOARD_STATE_H

#include "base/state.h"
#include "cpu/board_state.h"

/* b->ncpus is set and must be that of the VM that was saved. */
int board_state_sections(struct state_file *s, struct board_state *b, struct err *e);

#endif
