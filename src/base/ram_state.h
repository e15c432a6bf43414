/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ram_state.h - guest RAM in a saved state: only pages that are not zero, compressed. No vCPU runs. */
#ifndef MICA_RAM_STATE_H
#define MICA_RAM_STATE_H

#include "base/ram.h"
#include "base/state.h"

/* Bytes of guest memory in pages that were not zero. */
int ram_save(const struct ram *r, struct state_file *s, u64 *nonzero_bytes, struct err *e);
/* Into RAM that is all zeros. */
int ram_load(const struct ram *r, struct state_file *s, struct err *e);

#endif
