/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ram_state.h - guest memory in a saved state: pieces of 1 MiB, each with the pages of it that are told of, compressed.
 * All of the file (base/ram.h): main RAM, and what was taken beside it. Where the guest sees it is not told; whoever
 * maps it by a register has that in its own state.
 *
 * Pieces come in any order, and a page may come again: the last one counts. So memory can be sent while the guest runs
 * (all of it once, then what was written meanwhile, until little is left), or at rest in one go. A page that is not
 * told of is zero; one that became zero is told to be.
 */
#ifndef MICA_RAM_STATE_H
#define MICA_RAM_STATE_H

#include "base/ram.h"
#include "base/state.h"

struct ram_saver;

struct ram_saver *ram_saver_new(struct ram *r, struct state_file *s);
void ram_saver_free(struct ram_saver *v);
/* Every page that is not zero. Memory that the guest never touched is not looked at. */
int ram_saver_all(struct ram_saver *v, struct err *e);
/* Those whose bit is set, as they are now: bit n of the words is page n of the file (CPU_LOG_STATE). */
int ram_saver_pages(struct ram_saver *v, const u64 *bits, struct err *e);
/* That was all. */
int ram_saver_end(struct ram_saver *v, struct err *e);
/* Bytes of pages that were written, zero ones not counted. */
u64 ram_saver_bytes(const struct ram_saver *v);

/* All of it, at rest. */
int ram_save(struct ram *r, struct state_file *s, u64 *nonzero_bytes, struct err *e);
/* Into memory that is all zeros. */
int ram_load(struct ram *r, struct state_file *s, struct err *e);

#endif
