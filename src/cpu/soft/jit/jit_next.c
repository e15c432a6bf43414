/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_next.c - where translated code goes on: links, jumps, and after instructions that end a block. Compiled without
 * vector registers, which hold the guest's here: see jit_run.h.
 */
#include "cpu/soft/decode/decode.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/jit/jit_run.h"
#include "cpu/soft/memory/mmu.h"
#include "cpu/soft/system/short.h"
#include "cpu/soft/vector/vec.h"

/* The block at c->rip, translated for the way c looks now; NULL: not yet, or the fetch... raises. */
static struct block *target(struct soft_cpu *c)
{
	u64 lin = soft_lin_rip(c);
	struct jc_entry *e = &c->jc[jc_hash(lin)];

	if (unlikely(atomic_load_explicit(&c->pending, memory_order_relaxed))) {
		c->jit.n.exit[JX_PENDING]++;
		return NULL;
	}
	if (unlikely(c->jit.check)) { /* one block at a time, and no fetch's fault in it */
		c->jit.n.exit[JX_COLD]++;
		return NULL;
	}
	if (unlikely(c->rip > c->seg[SEG_CS].limit && !(c->mode & MODE_CODE64))) {
		c->jit.n.exit[JX_COLD]++;
		return NULL;
	}
	if (unlikely(e->key != (lin ^ c->jc_salt) || e->block->dead)) {
		u64 remaps = c->remaps;
		if (unlikely(dr7_any(c->dr7)) && mmu_breakpoint_on_page(c, lin, ACC_X)) {
			c->jit.n.exit[JX_PENDING]++; /* run_leave() sees it, too */
			return NULL;
		}
		jit_vec_off(c);
		struct block *b = c->hooks->block_at(c, lin);
		jc_set(c, e, lin, b);
		if (unlikely(c->remaps != remaps)) { /* nothing of it may be linked to: the page is another one now */
			c->jit.n.exit[JX_PENDING]++;
			return NULL;
		}
	}
	struct block *b = e->block;
	if (unlikely(!(c->mode & MODE_CODE64)) &&
	    (!jit_may_run_at(b, c->rip) || c->rip + b->bytes - 1 > c->seg[SEG_CS].limit)) {
		c->jit.n.exit[JX_COLD]++;
		return NULL;
	}
	if (unlikely(!b->jit.far || b->jit.mode != mmu_index(c))) {
		c->jit.n.exit[JX_COLD]++;
		/* Coming and going costs more than a few executions. */
		if (b->op[0].fn == c->vm->ends->first && b->op[0].imm > JIT_HEAT_OUT)
			b->op[0].imm -= JIT_HEAT_OUT;
		return NULL;
	}
	return b;
}

u8 *jit_link(struct soft_cpu *c, u64 rax, const u8 *ret)
{
	struct jlink *l = (struct jlink *)(void *)(c->vm->jit->rw + (ret - c->vm->jit->rx));
	u64 generation = c->vm->cache->generation;
	struct block *from = jit_block_at(c, l->block);

	(void)rax;
	c->jit.links++;
	c->rip = jit_rip(c, l->target);
	struct block *b = target(c);
	if (!b) {
		jit_vec_off(c);
		return NULL;
	}
	struct code_cache *k = c->vm->cache;
	/* A block that reaches into the next page depends on that page's mapping. */
	pthread_mutex_lock(&k->lock);
	if (c->rip == c->jit.vpage + l->target && k->generation == generation && b->phys2 == UINT64_MAX && !b->dead &&
	    !from->dead && b->jit.far && !l->next) {
		u32 to = (u32)((l->far ? b->jit.far : b->jit.near) - c->vm->jit->rx);
		u32 at = (u32)(ret - c->vm->jit->rx);
		l->next = b->jit.in ? b->jit.in : JIT_LIST_END;
		b->jit.in = at;
		__atomic_store_n((u32 *)(void *)(c->vm->jit->rw + l->imm), to - (l->imm + 4), __ATOMIC_SEQ_CST);
	}
	pthread_mutex_unlock(&k->lock);
	return b->jit.far;
}

static void jj_note_page(struct soft_cpu *c, unsigned t, u64 lin)
{
	unsigned p = jj_page(lin);

	c->jit.jj_pages[t][p / 64] |= 1ull << (p % 64);
	c->jit.jj_halves[t] |= (u8)(1u << (lin >> 63));
}

/* From now on c->rip goes to b's code without asking, which is where to go on. */
static u8 *jj_learn(struct soft_cpu *c, const struct block *b)
{
	u64 lin = soft_lin_rip(c);
	unsigned t = jj_table(c), slot = jj_slot(lin), run = slot / JJ_RUN;

	c->jit.jj[t].e[slot] = (struct jj_entry){ lin ^ c->jc_salt, (u64)(uintptr_t)b->jit.far };
	c->jit.jj_filled[t][run / 64] |= 1ull << (run % 64);
	jj_note_page(c, t, lin);
	if (b->phys2 != UINT64_MAX)
		jj_note_page(c, t, lin + PAGE_BYTES);
	c->jit.vpage = c->rip - (b->phys & ~PAGE_MASK);
	return b->jit.far;
}

/* What the jump cache was asked for, as RIP. */
static u64 rip_of(const struct soft_cpu *c, u64 key)
{
	if (c->mode & MODE_CODE64)
		return key;
	return (key & ~SOFT_SALTS) - c->eff_base[SEG_CS];
}

u8 *jit_lookup(struct soft_cpu *c, u64 key, const u8 *ret)
{
	const struct jsite_uop *s = (const struct jsite_uop *)(const void *)ret;
	u64 rip = rip_of(c, key);

	c->jit.lookups++;
	if (unlikely(!soft_canonical(rip))) {
		jit_vec_off(c);
		/* The branch itself faults, before it has done anything: let the handler do that. */
		struct block *from = jit_block_at(c, s->block);
		c->gpr[GPR_RSP] -= (u64)s->jump.undo;
		c->gpr[GPR_BLK] = c->jit.vpage + (from->phys & ~PAGE_MASK);
		SOFT_ENTER(c, &from->op[s->uop]);
		soft_gp(c, 0);
	}
	c->rip = rip;
	struct block *b = target(c);
	if (!b) {
		jit_vec_off(c);
		return NULL;
	}
	return jj_learn(c, b);
}

bool jit_end_goes_on(const struct uop *op)
{
	uop_fn *fn = op->fn;

	return fn == sys_syscall || fn == sys_sysret || fn == sys_iret || fn == sys_invlpg || fn == sys_invpcid ||
	       fn == sys_wrmsr || fn == sys_popf || (fn == sys_mov_to_cr && op->r1 == 3) || fn == sys_sysenter ||
	       fn == sys_sysexit || fn == sys_int || fn == sys_jmp_far_ptr || fn == sys_jmp_far_mem ||
	       fn == sys_call_far_ptr || fn == sys_call_far_mem || fn == sys_ret_far;
}

/* The short ways need no vector registers. False: nothing was done. */
static bool end_short(struct soft_cpu *c, const struct block *b, const struct uop *op)
{
	u64 next = c->jit.vpage + (b->phys & ~PAGE_MASK) + op->rip_off + op->len;

	if (op->fn == sys_syscall)
		return sys_syscall_short(c, next);
	if (op->fn == sys_popf)
		return sys_popf_short(c, op->osize, c->mode & MODE_CODE64 ? next : (u32)next);
	if (op->fn == sys_sysenter)
		return sys_sysenter_short(c);
	if (op->fn == sys_sysexit && op->osize != 8)
		return sys_sysexit_short(c);
	if (op->osize != 8)
		return false;
	if (op->fn == sys_sysret)
		return sys_sysret_short(c);
	if (op->fn != sys_iret || !sys_iret_short(c))
		return false;
	c->nmi_masked = false;
	return true;
}

u8 *jit_end(struct soft_cpu *c, u64 rax, const struct jsite_uop *s)
{
	struct block *b = jit_block_at(c, s->block);

	(void)rax;
	if (!end_short(c, b, &b->op[s->uop])) {
		jit_vec_off(c);
		c->jit.n.handlers[s->mnemonic]++;
		jit_execute(c, b, s->uop, s->nuops); /* c->rip says where to */
	}
	if (unlikely(c->nmi_latched && !c->nmi_masked)) { /* as the run loop does: soft_leave() sees it then */
		c->nmi_latched = false;
		atomic_fetch_or(&c->pending, PEND_NMI);
	}
	/* What soft_leave() and the run loop look at. */
	if (unlikely((c->mode & MODE_NARROW) || mmu_index(c) >= JTLB_MODES || c->cpl == 1 || c->cpl == 2 || c->halted ||
		     atomic_load_explicit(&c->pending, memory_order_relaxed) ||
		     (atomic_load_explicit(&c->intr_line, memory_order_relaxed) && (c->sysflags & FL_IF)))) {
		jit_vec_off(c);
		c->jit.n.exit[JX_SYSTEM]++;
		c->jit.n.ends[s->mnemonic]++;
		return NULL;
	}
	/* Where IP is the linear address. A 32-bit one is within CS, as all are: MODE_FLAT. */
	u64 rip = c->rip;
	const struct jj_entry *e = &c->jit.jj[jj_table(c)].e[jj_slot(rip)];
	if (likely(e->rip == (rip ^ c->jc_salt) && (c->mode & (MODE_CODE64 | MODE_FLAT)))) {
		c->jit.vpage = rip & PAGE_MASK;
		return (u8 *)(uintptr_t)e->code;
	}
	struct block *to = target(c);
	if (!to) {
		jit_vec_off(c);
		return NULL;
	}
	return jj_learn(c, to);
}
