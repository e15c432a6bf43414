/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_check_run.c - the self-check: a block by the interpreter, without effect, and by its translation. */
#include "cpu/soft/jit/jit_check_parts.h"

#include "cpu/soft/decode/decode.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/jit/jit_emit.h"

static void table_empty(struct tlb_table *t)
{
	bool listed = t->nfilled <= TLB_LIST;
	u32 n = listed ? t->nfilled : TLB_SIZE;

	for (u32 i = 0; i < n; i++)
		tlb_drop(t->e, listed ? t->filled[i] : i);
	t->nfilled = 0;
}

/* Is there an entry for reading the page? */
static bool was_read(const struct tlb_table *t, u64 host)
{
	bool listed = t->nfilled <= TLB_LIST;
	u32 n = listed ? t->nfilled : TLB_SIZE;

	for (u32 i = 0; i < n; i++) {
		unsigned slot = listed ? t->filled[i] : i;
		const struct tlb_entry *e = &t->e[slot];
		if (e->rtag != tlb_none(slot) && e->rtag + e->addend == host)
			return true;
	}
	return false;
}

void jit_check_no_effects(struct soft_cpu *c)
{
	if (c->jit.ref)
		_longjmp(c->jb, GAVE_UP);
}

static struct check_page *page_of(struct jit_check *k, const u8 *host)
{
	for (unsigned i = 0; i < k->npages; i++)
		if (k->page[i].host == host)
			return &k->page[i];
	return NULL;
}

u8 *jit_check_view(struct soft_cpu *c, u8 *host)
{
	u64 off = (u64)(host - c->ram->host) & (PAGE_BYTES - 1);
	const struct check_page *p = page_of(c->jit.ref, host - off);

	return p ? (u8 *)(uintptr_t)p->copy + off : host;
}

u8 *jit_check_page(struct soft_cpu *c, u8 *host, bool write)
{
	struct jit_check *k = c->jit.ref;
	struct check_page *p = page_of(k, host);

	if (p)
		return p->copy;
	if (!write)
		return host;
	if ((cache_page_flags(c->vm, (u64)(host - c->ram->host) >> PAGE_SHIFT) & PAGE_CODE) || k->npages == CHECK_PAGES)
		_longjmp(c->jb, GAVE_UP);
	p = &k->page[k->npages++];
	p->host = host;
	memcpy(p->before, host, PAGE_BYTES);
	memcpy(p->copy, p->before, PAGE_BYTES);
	for (unsigned t = 0; t < TLB_COUNT; t++)
		if (was_read(&k->table[t], (u64)(uintptr_t)host))
			_longjmp(c->jb, AGAIN);
	return p->copy;
}

/* Behind the uops to execute. */
static void stop_here(struct soft_cpu *c, const struct uop *op)
{
	c->rip = c->gpr[GPR_BLK] + op->rip_off;
	c->jit.check->stopped = true;
}

/* Does it go on by a remembered block (GOTO_LINK64)? All that do must be here. */
static bool is_link(const struct soft_cpu *c, uop_fn *fn)
{
	if (fn == op_jmp64_link || fn == op_call64_link || fn == c->vm->ends->last_link)
		return true;
	for (unsigned cc = 0; cc < 16; cc++)
		if (fn == exec_jcc64[cc][1])
			return true;
	return false;
}

/* Have the interpreter execute b's uops from `from` on, up to `end` (0: to its end, which sets c->rip). */
static void interpret(struct soft_cpu *c, struct jit_check *k, const struct block *b, unsigned from, unsigned end)
{
	for (unsigned i = from; i < b->nops; i++) {
		k->op[i] = b->op[i];
		if (is_link(c, k->op[i].fn))
			k->op[i].ptr = NULL;
	}
	if (end)
		k->op[end].fn = stop_here;
	c->jc = c->jcs[0] = c->jcs[1] = k->jc.e;
	k->stopped = false;
	c->jit.in_uop = true;
	k->op[from].fn(c, &k->op[from]);
	c->jit.in_uop = false;
}

noinline_ enum check_outcome check_reference(struct soft_cpu *c, struct jit_check *k, const struct block *b)
{
	enum check_outcome how = (enum check_outcome)_setjmp(c->jb);

	if (how == AGAIN) {
		check_restore(&k->start, c);
		for (unsigned i = 0; i < k->npages; i++)
			memcpy(k->page[i].copy, k->page[i].before, PAGE_BYTES);
	}
	if (how == RAN || how == AGAIN) {
		unsigned way = mmu_index(c);
		for (unsigned t = 0; t < TLB_COUNT; t++) {
			table_empty(&k->table[t]);
			c->tlbs[t] = k->table[t].e;
		}
		c->tlb = c->tlbs[way];
		c->jit.ref = k;
		interpret(c, k, b, 1, b->jit.end_uop);
		how = RAN;
	}
	c->jit.ref = NULL;
	c->jit.in_uop = false;
	return how;
}

noinline_ enum check_outcome check_translation(struct soft_cpu *c, struct jit_check *k, struct block *b,
					       const struct uop **next)
{
	struct jc_entry *jc = c->jc, *jcs[2] = { c->jcs[0], c->jcs[1] };
	enum check_outcome how = (enum check_outcome)_setjmp(c->jb);

	if (how == RAN) {
		const struct uop *op = jit_enter(c, b);
		*next = op;
		if (op && op == &b->op[b->jit.end_uop]) {
			c->rip = c->gpr[GPR_BLK] + op->rip_off;
		} else if (op) {
			interpret(c, k, b, (unsigned)(op - b->op), b->jit.end_uop);
			*next = k->stopped ? &b->op[b->jit.end_uop] : NULL;
			c->jc = jc;
			memcpy(c->jcs, jcs, sizeof(jcs));
		}
	} else {
		c->jc = k->start.c->jc;
		memcpy(c->jcs, k->start.c->jcs, sizeof(c->jcs));
	}
	c->jit.in_uop = false;
	return how;
}
