/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_check.h - translated code against the interpreter, block by block; see jit_check.c. The vCPU's thread. */
#ifndef MICA_SOFT_JIT_CHECK_H
#define MICA_SOFT_JIT_CHECK_H

#include "base/base.h"
#include "cpu/soft/vm.h"

#include <stdio.h>

struct block;
struct err;
struct jit_check;
struct soft_cpu;
struct soft_vm;
struct uop;

struct jit_check *jit_check_new(void);
void jit_check_free(struct jit_check *k);
/* As jit_enter(), with a comparison when it is the block's turn. May leave by longjmp, as jit_enter(). */
const struct uop *jit_check_enter(struct soft_cpu *c, struct block *b);
/* Somebody else wrote to guest memory. Any thread. */
void jit_check_foreign(struct soft_vm *vm);
/* A comparison has ended the VM: why. */
bool jit_check_failed(const struct soft_cpu *c, struct err *e);
void jit_check_stats(const struct soft_cpu *c, FILE *f);
void jit_check_report(const struct soft_cpu *c, FILE *f);

/* ---- while the reference is being executed (c->jit.ref) ---- */
/* Where it sees the page at host; write: from now on its own copy. May start the reference again, or give it up. */
u8 *jit_check_page(struct soft_cpu *c, u8 *host, bool write);
/* The same for a few bytes anywhere, to read. */
u8 *jit_check_view(struct soft_cpu *c, u8 *host);
/* This cannot be done twice (devices, ports). */
void jit_check_no_effects(struct soft_cpu *c);

#endif
