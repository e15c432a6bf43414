/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stack.h - pushing to and popping from a stack, the current one or another, in steps that are committed only when
 * nothing can fault any more.
 */
#ifndef MICA_SOFT_SYS_STACK_H
#define MICA_SOFT_SYS_STACK_H

#include "cpu/soft/system/desc.h"

struct sys_stack {
	u64 base, sp;
	u32 limit, ar;
	bool flat64; /* 64-bit stack: no limits, canonical addresses */
	bool b32;    /* SP is ESP, else SP */
	bool cur;    /* the current one, accessed as ordinary code does */
	bool user;
	u32 err; /* of #SS */
};
void sys_stack_current(const struct soft_cpu *c, struct sys_stack *s);
/* Another stack: 64-bit, or by a checked SS descriptor. */
void sys_stack_64(struct sys_stack *s, u64 rsp, unsigned cpl);
void sys_stack_desc(struct sys_stack *s, const struct sys_desc *d, u16 sel, u64 sp, unsigned cpl);
void sys_push(struct soft_cpu *c, struct sys_stack *s, unsigned bytes, u64 v);
u64 sys_pop(struct soft_cpu *c, struct sys_stack *s, unsigned bytes);
void sys_stack_skip(struct sys_stack *s, u64 bytes);
/* Write s->sp to RSP with the width of the stack. */
void sys_stack_commit(struct soft_cpu *c, const struct sys_stack *s);

/* SS and stack pointer for `ring` from the TSS (SDM 3A 6.12.1, 7.7): checks, #TS. In long mode the
 * stack is 64-bit and *ss_sel is a null selector with RPL = ring. */
void sys_tss_stack(struct soft_cpu *c, unsigned ring, unsigned ist, struct sys_stack *s, struct sys_desc *ss,
		   u16 *ss_sel);

#endif
