/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_follow.c - the first-level TLB and the jump cache of translated code follow the interpreter's: what that forgets
 * they forget. Compiled without vector registers, which hold the guest's here: see jit_run.h.
 */
#include "cpu/soft/give_back.h"
#include "cpu/soft/jit/jit_run.h"
#include "cpu/soft/memory/mmu.h"

static void no_stack(struct soft_cpu *c, unsigned mode)
{
	for (unsigned i = 0; i < ARRAY_LEN(c->jit.stack[mode].limit); i++)
		__atomic_store_n(&c->jit.stack[mode].limit[i], 0, __ATOMIC_RELAXED);
}

/* Empty what lies in [from, from + bytes) of the table's n slots from `slot` on. */
static void jj_forget(struct soft_cpu *c, unsigned t, unsigned slot, unsigned n, u64 from, u64 bytes)
{
	struct jj_entry *e = c->jit.jj[t].e;

	for (unsigned w = slot / JJ_RUN / 64; w < (slot + n) / JJ_RUN / 64; w++)
		for (u64 runs = c->jit.jj_filled[t][w]; runs; runs &= runs - 1) {
			unsigned first = (w * 64 + (unsigned)__builtin_ctzll(runs)) * JJ_RUN;
			for (unsigned i = first; i < first + JJ_RUN; i++)
				if (e[i].rip - from < bytes || soft_salted_lin(e[i].rip) - from < bytes)
					e[i].rip = jj_none(i);
		}
}

static void jj_clear(struct soft_cpu *c, unsigned t)
{
	struct jj_entry *e = c->jit.jj[t].e;

	for (unsigned w = 0; w < ARRAY_LEN(c->jit.jj_filled[t]); w++) {
		for (u64 runs = c->jit.jj_filled[t][w]; runs; runs &= runs - 1)
			memset(e + (w * 64 + (unsigned)__builtin_ctzll(runs)) * JJ_RUN, 0, JJ_RUN * sizeof(*e));
		c->jit.jj_filled[t][w] = 0;
	}
	e[0].rip = jj_none(0);
	c->jit.jj_halves[t] = 0;
	memset(c->jit.jj_pages[t], 0, sizeof(c->jit.jj_pages[t]));
}

void jit_forget_jumps(struct soft_cpu *c)
{
	for (unsigned t = 0; t < JJ_TABLES; t++)
		jj_clear(c, t);
}

void jit_give_back_jumps(struct soft_cpu *c)
{
	for (unsigned t = 0; t < JJ_TABLES; t++) {
		jj_clear(c, t);
		give_back(c->jit.jj[t].e, sizeof(c->jit.jj[t].e));
		c->jit.jj[t].e[0].rip = jj_none(0);
	}
}

void jit_forget_space(struct soft_cpu *c, unsigned space)
{
	jj_clear(c, JJ_USER + space);
}

void jit_flush(struct soft_cpu *c, unsigned mode)
{
	c->jit.beside.len = 0;
	for (unsigned w = 0; w < JTLB_SIZE / 64; w++) {
		for (u64 f = c->jit.filled[mode][w]; f; f &= f - 1) {
			unsigned i = w * 64 + (unsigned)__builtin_ctzll(f);
			c->jit.rd[mode].tag[i] = c->jit.wr[mode].tag[i] = jtlb_none(i);
		}
		c->jit.filled[mode][w] = 0;
	}
	no_stack(c, mode);
	if (mode != TLB_USER)
		jj_clear(c, mode == TLB_SUPER ? JJ_SUPER : JJ_SUPER_AC);
}

void jit_switch(struct soft_cpu *c)
{
	jit_flush(c, TLB_USER);
	jit_flush(c, TLB_SUPER_AC);
	c->jit.jj_bias = (u64)c->space * sizeof(c->jit.jj[0]) / 8;
}

/* Kernels drop user pages one by one, and data pages mostly: none of that may cost what is known of their own code. */
static void jj_flush_page(struct soft_cpu *c, unsigned t, u64 lin, unsigned shift)
{
	u64 size = 1ull << shift, start = lin & ~(size - 1);
	unsigned p = jj_page(lin);

	if (!(c->jit.jj_halves[t] >> (lin >> 63) & 1) ||
	    (shift == PAGE_SHIFT && !(c->jit.jj_pages[t][p / 64] >> (p % 64) & 1)))
		return;
	/* An instruction may reach into it from the page before. */
	if (shift != PAGE_SHIFT) {
		jj_forget(c, t, 0, JJ_SIZE, start - 15, size + 15);
		return;
	}
	/* All of a page are within as many slots. */
	const unsigned n = PAGE_BYTES / 2;
	unsigned slot = jj_slot(start) & ~(n - 1), before = jj_slot(start - 1) & ~(n - 1);
	jj_forget(c, t, slot, n, start - 15, size + 15);
	if (before != slot)
		jj_forget(c, t, before, n, start - 15, size + 15);
}

void jit_flush_page(struct soft_cpu *c, unsigned space, unsigned mode, u64 lin, unsigned shift)
{
	unsigned t = mode == TLB_USER ? JJ_USER + space : mode == TLB_SUPER ? JJ_SUPER : JJ_SUPER_AC;

	c->jit.beside.len = 0;
	jj_flush_page(c, t, lin, shift);
	if (space != c->space)
		return;
	if (shift != PAGE_SHIFT) {
		jit_flush(c, mode);
		return;
	}
	unsigned i = jtlb_slot(lin);
	c->jit.rd[mode].tag[i] = c->jit.wr[mode].tag[i] = jtlb_none(i);
	if (c->jit.stack[mode].tag == (lin & PAGE_MASK))
		no_stack(c, mode);
}

void jit_flush_ac_jumps(struct soft_cpu *c, u64 lin, unsigned shift)
{
	jj_flush_page(c, JJ_SUPER_AC, lin, shift);
}

void jit_protect(struct soft_cpu *c, u64 host)
{
	__atomic_store_n(&c->jit.beside.len, 0, __ATOMIC_RELAXED);
	for (unsigned m = 0; m < JTLB_MODES; m++) {
		for (unsigned i = 0; i < JTLB_SIZE; i++)
			if (!host || c->jit.wr[m].host[i] == host)
				__atomic_store_n(&c->jit.wr[m].tag[i], jtlb_none(i), __ATOMIC_RELAXED);
		if (!host || c->jit.stack[m].host == host)
			no_stack(c, m);
	}
}

void jit_cpu_init(struct soft_cpu *c)
{
	c->jit.run = xcalloc(JIT_RUN_UOPS + 1, sizeof(struct uop));
	c->jit.n.handlers = xcalloc(ZYDIS_MNEMONIC_MAX_VALUE + 1, sizeof(u32));
	c->jit.n.ends = xcalloc(ZYDIS_MNEMONIC_MAX_VALUE + 1, sizeof(u32));
	c->jit.group32_span = JTLB_GROUP32_SPAN;
	for (unsigned m = 0; m < JTLB_MODES; m++) {
		for (unsigned w = 0; w < JTLB_SIZE / 64; w++)
			c->jit.filled[m][w] = ~0ull;
		jit_flush(c, m);
	}
	jit_forget_jumps(c); /* all zeroes but for slot 0, whatever is not known yet */
}
