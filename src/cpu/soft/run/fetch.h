/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fetch.h - the block at a linear address. */
#ifndef MICA_SOFT_FETCH_H
#define MICA_SOFT_FETCH_H

#include "cpu/soft/vm.h"

/* The block at linear address lin (c->rip as seen by the guest), decoded if need be. Raises the
 * fetch's faults. The vCPU is inside guest code (c->in_guest). */
struct block *fetch_block(struct soft_cpu *c, gva_t lin);
/* Decode b, at lin, anew: on behind its branches, for the translator. Like fetch_block(), it may empty the arena. */
struct block *fetch_block_whole(struct soft_cpu *c, gva_t lin, struct block *b);

#endif
