/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * raise.h - leaving an instruction in the middle: exceptions, and running it again alone.
 */
#ifndef MICA_SOFT_RAISE_H
#define MICA_SOFT_RAISE_H

#include "cpu/soft/vcpu.h"

/* None of these returns. */
/* c->rip must be the faulting instruction's (SOFT_ENTER did that). error: EXC_NO_ERROR or a code. */
noreturn_ cold_ void soft_raise(struct soft_cpu *c, enum soft_exc vec, s64 error);
noreturn_ cold_ void soft_raise_pf(struct soft_cpu *c, gva_t cr2, u32 error);
/* A #DB; dr6: the DR6 bits it reports. trap: c->rip is already the next instruction's. */
noreturn_ cold_ void soft_raise_db(struct soft_cpu *c, u64 dr6, bool trap);
#define soft_ud(c) soft_raise(c, EXC_UD, EXC_NO_ERROR)
#define soft_gp(c, err) soft_raise(c, EXC_GP, err)

/* Abandon the current instruction and run it again alone, see memory/access.h: a store to the running block. */
noreturn_ void core_redo_stepped(struct soft_cpu *c);

#endif
