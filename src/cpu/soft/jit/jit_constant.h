/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_constant.h - constants that the guest patches. Inside of jit/.
 *
 * An inline cache, a counter of calls, an address that a garbage collector moves: programs that make code change one
 * constant in it again and again, and would lose the block each time. Where the same bytes of a block have been written
 * often (block.h, struct block_patches), and are an instruction's constant, its translation reads the constant from the
 * guest's memory whenever it comes there, as the processor does. A store to those bytes then leaves the block alone.
 *
 * Only with one vCPU: another one would have to see the constant change in the order of its other stores.
 */
#ifndef MICA_SOFT_JIT_CONSTANT_H
#define MICA_SOFT_JIT_CONSTANT_H

#include "cpu/soft/jit/jit_encode.h"

/* After decode(). False: the block has been patched often, but in a place for which this does not work. */
bool jit_constant_find(struct jit *j);
/* i is j->constant: its code. */
bool jit_constant_emit(struct jit *j, struct jinsn *i, const struct regs *r);
/* The translation is the block's from now on. Under the cache's lock. */
void jit_constant_keep(struct jit *j);

#endif
