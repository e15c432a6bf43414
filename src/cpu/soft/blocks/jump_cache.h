/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jump_cache.h - from the address of an instruction to its block. Only the vCPU's own thread changes its tables, but in
 * exclusive sections.
 */
#ifndef MICA_SOFT_JUMP_CACHE_H
#define MICA_SOFT_JUMP_CACHE_H

#include "cpu/soft/vcpu.h"

/* Empty a jump cache, which was zeroes at first. */
void jc_clear(struct jc_table *t);
/* Drop the blocks of lin's page of 1 << shift bytes, and those that reach into it from the page before. */
void jc_flush(struct jc_table *t, gva_t lin, unsigned shift);
/* Forget all blocks; the vCPU is at a safe point, or calls. */
void jc_clear_all(struct soft_cpu *c);
/* All are empty, and the host gets their memory back. */
void jc_give_back(struct soft_cpu *c);
/* Remember that block b is at lin, in e, which is jc_hash(lin)'s entry of the table in use. */
static inline void jc_set(struct soft_cpu *c, struct jc_entry *e, gva_t lin, struct block *b)
{
	struct jc_table *t = (struct jc_table *)(void *)c->jc;

	unsigned run = (unsigned)(e - t->e) / JC_RUN;

	t->used[run / 64] |= 1ull << (run % 64);
	t->pages[jc_page(lin) / 64] |= 1ull << (jc_page(lin) % 64);
	t->halves |= (u8)(1u << (lin >> 63));
	e->key = lin ^ c->jc_salt;
	e->block = b;
}

#endif
