/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_run.h - the C functions behind the routines of jit_routines.c, for it alone. ret: the data behind the call.
 *
 * While they run the guest's vector registers are live in the host's. jit_run.c, jit_next.c and jit_follow.c are
 * compiled so that they use none (src/cpu/meson.build); what may use them is called between jit_vec_off() and
 * jit_vec_back().
 */
#ifndef MICA_SOFT_JIT_RUN_H
#define MICA_SOFT_JIT_RUN_H

#include "cpu/soft/jit/jit_emit.h"

/* An access to lin that the first-level TLB does not serve: its host address, or 0: the instruction is executed. */
u64 jit_slow(struct soft_cpu *c, u64 lin, const u8 *ret);
/* Execute an instruction by its handler; 0: it was left, c->rip says where to. */
u64 jit_uop(struct soft_cpu *c, u64 rax, const struct jsite_uop *s);
/* Leave to the interpreter at a uop, or at a RIP: what jit_enter() returns. */
const struct uop *jit_exit_uop(struct soft_cpu *c, u64 rax, const struct jsite_uop *s);
const struct uop *jit_exit_rip(struct soft_cpu *c, u64 rax, const u8 *ret);
const struct uop *jit_exit_group(struct soft_cpu *c, u64 rax, const struct jsite_uop *s);
/* The entry of a dead block was called. */
const struct uop *jit_exit_dead(struct soft_cpu *c, u64 rax, const u8 *ret);
/* Follow a direct branch that is not linked, or go to RIP rax: code to go on with, or NULL: leave, at c->rip. */
u8 *jit_link(struct soft_cpu *c, u64 rax, const u8 *ret);
u8 *jit_lookup(struct soft_cpu *c, u64 rip, const u8 *ret);
/* The block's last instruction is the interpreter's, and one after which code mostly goes on: the same. */
u8 *jit_end(struct soft_cpu *c, u64 rax, const struct jsite_uop *s);
/* Is it one of those? */
bool jit_end_goes_on(const struct uop *op);
/* Bring the vector registers in; 0: they may not be used now, leave. */
u64 jit_need_vec(struct soft_cpu *c, u64 rax, const struct jsite_uop *s);

/* The host raised an exception at a jfault: c->jit.fault. */
noreturn_ void jit_fault(struct soft_cpu *c);

/* ---- shared by those files ---- */
static inline struct block *jit_block_at(const struct soft_cpu *c, u32 ref)
{
	return (struct block *)(void *)(c->vm->cache->arena + (size_t)ref * 16);
}

static inline u32 jit_vec_off(struct soft_cpu *c)
{
	u32 live = c->jit.vec_live;

	if (live)
		jit_vec_save(c);
	return live;
}

static inline bool jit_vec_back(struct soft_cpu *c, u32 live)
{
	if (c->jit.vec_live == live)
		return true;
	jit_vec_load(c);
	return (c->jit.vec_live & live) == live;
}

/* RIP at an offset from the page. A branch of 16-bit code to below the page's IP 0 has come round. */
static inline u64 jit_rip(const struct soft_cpu *c, u64 off)
{
	u64 rip = c->jit.vpage + off;

	return unlikely((s64)rip < 0 && !(c->mode & MODE_CODE64)) ? (u16)rip : rip;
}

/* The jump cache in use. */
static inline unsigned jj_table(const struct soft_cpu *c)
{
	unsigned mode = mmu_index(c);

	return mode == TLB_USER ? JJ_USER + c->space : mode == TLB_SUPER ? JJ_SUPER : JJ_SUPER_AC;
}

static inline unsigned jj_page(u64 lin)
{
	return (unsigned)((lin >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull >> 32) % JJ_PAGES;
}

/* Execute the instruction at b's uop `uop` by its handlers; vector registers are off. False: it was left,
 * c->rip says where to. */
bool jit_execute(struct soft_cpu *c, struct block *b, unsigned uop, unsigned nuops);

#endif
