/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_run.c - what translated code calls, and the caches it goes by. Compiled without vector registers, which hold the
 * guest's here: what may use them is called between vec_out() and vec_back().
 */
#include "cpu/soft/jit/jit_run.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/system/short.h"
#include "cpu/soft/vector/vec.h"
#include "cpu/soft/run/core.h"
#include "cpu/soft/memory/mmu.h"
#include "cpu/soft/decode/decode.h"

static inline struct block *block_at(const struct soft_cpu *c, u32 ref)
{
	return (struct block *)(void *)(c->vm->cache->arena + (size_t)ref * 16);
}

static inline u32 vec_out(struct soft_cpu *c)
{
	u32 live = c->jit.vec_live;

	if (live)
		jit_vec_save(c);
	return live;
}

void jit_vec_out(struct soft_cpu *c)
{
	vec_out(c);
}

static inline bool vec_back(struct soft_cpu *c, u32 live)
{
	if (c->jit.vec_live == live)
		return true;
	jit_vec_load(c);
	return (c->jit.vec_live & live) == live;
}

void jit_vec_load(struct soft_cpu *c)
{
	u32 may = (c->vec_ok & VEC_OK_SSE ? JIT_VEC_SSE : 0) | (c->vec_ok & VEC_OK_AVX ? JIT_VEC_AVX : 0) |
		  (c->vec_ok & VEC_OK_X87 ? JIT_VEC_X87 : 0);
	u64 upper = 0;

	if (!may)
		return;
	if ((may & (JIT_VEC_SSE | JIT_VEC_AVX)) == (JIT_VEC_SSE | JIT_VEC_AVX))
		may |= JIT_VEC_BOTH;
	/* Legacy SSE instructions are slow on some processors while upper halves count as used. */
	for (unsigned i = 0; i < 16; i++)
		upper |= ld_le64(c->vec[i] + 16) | ld_le64(c->vec[i] + 24);
	const u8 *load = upper ? c->vm->jit->r_vec_load : c->vm->jit->r_vec_load_low;
	((void (*)(struct soft_cpu *))(uintptr_t)load)(c);
	c->jit.vec_live = may;
}

/* ---- memory ---- */

/* Serve lin from the interpreter's TLB, and let the first level learn it; NULL: it does not have it. */
static u8 *learn(struct soft_cpu *c, u64 lin, const struct jsite_slow *s)
{
	u64 page = lin & PAGE_MASK;
	bool write = s->how & JSLOW_WRITE;
	unsigned mode = mmu_index(c);
	const struct tlb_entry *e = &c->tlb[tlb_hash(lin)];

	if ((lin & ~PAGE_MASK) + s->bytes > PAGE_BYTES)
		return NULL;
	/* Permission to write is taken back by other threads, under this lock. */
	bool locked = c->vm->ncpus > 1;
	if (locked)
		pthread_mutex_lock(&c->tlb_lock);
	/* The stack's entry is for both. */
	if ((write ? e->wtag : e->rtag) != page ||
	    ((s->how & JSLOW_GROUP) && (s->how & JSLOW_STACK) && (e->wtag != page || e->rtag != page))) {
		if (locked)
			pthread_mutex_unlock(&c->tlb_lock);
		return NULL;
	}
	if (s->how & JSLOW_STACK) {
		if (e->rtag == page && e->wtag == page)
			c->jit.stack[mode] =
			    (struct jtlb_stack){ page,
						 page + e->addend,
						 e->addend,
						 { PAGE_BYTES - 7, PAGE_BYTES - 63, PAGE_BYTES - JTLB_GROUP_MAX + 1 } };
	} else {
		unsigned slot = jtlb_slot(lin);
		struct jtlb *t = write ? &c->jit.wr[mode] : &c->jit.rd[mode];
		t->tag[slot] = page;
		t->host[slot] = page + e->addend;
		t->addend[slot] = e->addend;
		c->jit.filled[mode][slot / 64] |= 1ull << (slot % 64);
	}
	if (locked)
		pthread_mutex_unlock(&c->tlb_lock);
	return (u8 *)(uintptr_t)(lin + e->addend);
}

/* The end of the uops in c->jit.run. */
static void ran(struct soft_cpu *c, const struct uop *op)
{
	(void)op;
	c->jit.ran = true;
}

/* Execute the instruction at b's uop `uop`. False: it was left, c->rip says where to. */
static bool execute(struct soft_cpu *c, struct block *b, unsigned uop, unsigned nuops)
{
	struct uop *run = c->jit.run;
	u64 remaps = c->remaps;

	c->gpr[GPR_BLK] = c->jit.vpage + (b->phys & ~PAGE_MASK);
	c->jit.in_block = b;
	for (unsigned i = 0; i < nuops; i++)
		run[i] = b->op[uop + i];
	run[nuops].fn = ran;
	run[nuops].rip_off = (u16)(run[0].rip_off + run[0].len);
	c->jit.ran = false;
	c->jit.in_uop = true;
	run->fn(c, run);
	c->jit.in_uop = false;
	/* What the block has checked of its next accesses does not hold any more (memory/remap.c). */
	if (unlikely(c->remaps != remaps) && c->jit.ran) {
		c->rip = c->gpr[GPR_BLK] + run[nuops].rip_off;
		return false;
	}
	return c->jit.ran;
}

/* The last x87 instruction before b's uop `uop` is noted, see jv_note_x87(). */
static void x87_settle(struct soft_cpu *c, const struct block *b, unsigned uop)
{
	const struct vec_desc *d;

	do {
		must(uop);
		d = vec_desc_of(&b->op[--uop]);
	} while (!d || !(d->cls & VC_X87_PTR));
	c->fip = c->gpr[GPR_BLK] + b->op[uop].rip_off;
	c->fcs = c->seg[SEG_CS].sel;
	c->fop = vec_x87_opcode(&b->op[uop]);
}

/*
 * A store to a page with code on it: where to, if it can be done from here. With one vCPU nothing is decoded before
 * translated code has stored, so blocks may be dropped before (INV-CACHE-4).
 */
static u8 *beside_code(struct soft_cpu *c, u64 lin, const struct jsite_slow *s)
{
	const struct tlb_entry *e = &c->tlb[tlb_hash(lin)];
	u64 host = lin + e->addend, off = host - (u64)(uintptr_t)c->ram->host;
	struct soft_vm *vm = c->vm;

	if (e->wtag != ((lin & PAGE_MASK) | TLB_CODE) || (lin & ~PAGE_MASK) + s->bytes > PAGE_BYTES || vm->ncpus > 1 ||
	    c->jit.check || cache_overlaps(block_at(c, s->block), off, s->bytes))
		return NULL;
	if (cache_matters(vm, off, s->bytes)) {
		if (!(cache_page_flags(vm, off >> PAGE_SHIFT) & PAGE_CODE))
			return NULL; /* not any more: it can be learnt */
		u32 live = vec_out(c);
		cache_invalidate_ram(vm, off, s->bytes);
		must(vec_back(c, live));
	} else {
		/* All around that is as free. The running block may be dead, and have no bits. */
		u64 page = off >> PAGE_SHIFT;
		u64 used = atomic_load(&vm->cache->code_chunks[page]) | cache_block_chunks(block_at(c, s->block), page);
		unsigned at = (unsigned)(off & ~PAGE_MASK) >> CACHE_CHUNK_BITS;
		u64 below = used & ((1ull << at) - 1), above = used & (~0ull << at);
		u64 start = below ? (64u - (unsigned)__builtin_clzll(below)) << CACHE_CHUNK_BITS : 0;
		u64 end = above ? (u64)__builtin_ctzll(above) << CACHE_CHUNK_BITS : PAGE_BYTES;
		c->jit.beside.tlb = c->tlb;
		c->jit.beside.start = (lin & PAGE_MASK) + start;
		c->jit.beside.len = end >= start + UINT8_MAX ? end - start - (UINT8_MAX - 1) : 0;
		c->jit.beside.addend = e->addend;
	}
	return (u8 *)(uintptr_t)host;
}

u64 jit_slow(struct soft_cpu *c, u64 lin, const u8 *ret)
{
	const struct jsite_slow *s = (const struct jsite_slow *)(const void *)(ret + 8);
	bool misaligned = (s->how & JSLOW_ALIGNED) && (lin & (s->bytes - 1u));

	if ((s->how & (JSLOW_WRITE | JSLOW_GROUP | JSLOW_WAITS | JSLOW_RUN)) == JSLOW_WRITE && !misaligned) {
		u8 *host = beside_code(c, lin, s);
		if (host)
			return (u64)(uintptr_t)host;
	}
	u8 *p = likely(!misaligned) ? learn(c, lin, s) : NULL;

	c->jit.slow++;
	if (likely(p))
		return (u64)(uintptr_t)p;
	struct block *b = block_at(c, s->block);
	u32 live = c->jit.vec_live;
	u8 *ram = NULL;
	gpa_t gpa;

	c->gpr[GPR_BLK] = c->jit.vpage + (b->phys & ~PAGE_MASK);
	SOFT_ENTER(c, &b->op[s->uop]);
	if (s->how & JSLOW_X87) {
		vec_out(c);
		x87_settle(c, b, s->uop);
	}
	/* Whether a bad address is #SS or #GP the handler knows: the uop's segment may be another operand's. */
	if (likely(soft_canonical(lin)) && !misaligned && !(s->how & JSLOW_WAITS) &&
	    (lin & ~PAGE_MASK) + s->bytes <= PAGE_BYTES) {
		/* A group may want to write where this access, its first, only reads. */
		bool write = s->how & (s->how & JSLOW_GROUP ? JSLOW_LEADER_WRITES : JSLOW_WRITE);
		c->jit.n.walks++;
		ram = mmu_translate(c, mmu_index(c), lin, write ? ACC_W : ACC_R, &gpa);
		p = learn(c, lin, s);
	}
	if (s->how & JSLOW_GROUP) {
		must(vec_back(c, live));
		return (u64)(uintptr_t)p;
	}
	if (!p && (s->how & JSLOW_END)) {
		vec_out(c);
		c->jit.exit_uop = c->op;
		c->jit.n.exit[JX_MEMORY]++;
		return JSLOW_LEFT;
	}
	if (!p) {
		vec_out(c);
		c->jit.slow_uop++;
		if ((lin & ~PAGE_MASK) + s->bytes > PAGE_BYTES)
			c->jit.n.crossings++;
		else if (!ram)
			c->jit.n.mmio++;
		else
			c->jit.n.others++;
		if (unlikely(!execute(c, b, s->uop, s->nuops))) {
			/* A repeated one, because something is pending: c->rip says where to. */
			c->jit.exit_uop = NULL;
			return JSLOW_LEFT;
		}
	}
	/* vec_ok changes only at the end of a block. */
	must(vec_back(c, live));
	return (u64)(uintptr_t)p;
}

/* ---- host exceptions ---- */

noreturn_ void jit_fault(struct soft_cpu *c)
{
	struct block *b = block_at(c, c->jit.fault.block);
	u8 vec = c->jit.fault.vec;

	vec_out(c);
	c->gpr[GPR_BLK] = c->jit.vpage + (b->phys & ~PAGE_MASK);
	SOFT_ENTER(c, &b->op[c->jit.fault.uop]);
	if (c->jit.fault.how & JFAULT_X87)
		x87_settle(c, b, c->jit.fault.uop);
	if (vec == EXC_XM && !(c->cr4 & CR4_OSXMMEXCPT))
		vec = EXC_UD;
	soft_raise(c, vec, EXC_NO_ERROR);
}

/* ---- handlers ---- */

u64 jit_uop(struct soft_cpu *c, u64 rax, const struct jsite_uop *s)
{
	u32 live = vec_out(c);

	(void)rax;
	c->jit.uops++;
	c->jit.n.handlers[s->mnemonic]++;
	if (!execute(c, block_at(c, s->block), s->uop, s->nuops))
		return 0;
	return vec_back(c, live);
}

const struct uop *jit_exit_uop(struct soft_cpu *c, u64 rax, const struct jsite_uop *s)
{
	struct block *b = block_at(c, s->block);

	(void)rax;
	c->jit.n.exit[JX_SYSTEM]++;
	c->jit.n.ends[s->mnemonic]++;
	vec_out(c);
	c->gpr[GPR_BLK] = c->jit.vpage + (b->phys & ~PAGE_MASK);
	return &b->op[s->uop];
}

static void leave_to(struct soft_cpu *c, enum jit_exit why, const u8 *ret)
{
	c->jit.n.exit[why]++;
	vec_out(c);
	c->rip = c->jit.vpage + ld_le32(ret);
}

const struct uop *jit_exit_rip(struct soft_cpu *c, u64 rax, const u8 *ret)
{
	(void)rax;
	leave_to(c, JX_PENDING, ret);
	return NULL;
}

/* The jump cache in use. */
static inline unsigned jj_table(const struct soft_cpu *c)
{
	unsigned mode = mmu_index(c);

	return mode == TLB_USER ? JJ_USER + c->space : mode == TLB_SUPER ? JJ_SUPER : JJ_SUPER_AC;
}

const struct uop *jit_exit_dead(struct soft_cpu *c, u64 rax, const u8 *ret)
{
	struct block *b = jit_block_of(c->vm, (u64)(uintptr_t)ret - 1);

	(void)rax;
	vec_out(c);
	c->jit.n.exit[JX_DEAD]++;
	c->rip = c->jit.vpage + (b->phys & ~PAGE_MASK);
	unsigned slot = jj_slot(c->rip);
	c->jit.jj[jj_table(c)].e[slot].rip = jj_none(slot);
	return NULL;
}

/* A group's range crosses a page, or the page allows less than the group wants. */
const struct uop *jit_exit_group(struct soft_cpu *c, u64 rax, const struct jsite_uop *s)
{
	struct block *b = block_at(c, s->block);
	struct jit_code *k = c->vm->jit;

	(void)rax;
	vec_out(c);
	c->gpr[GPR_BLK] = c->jit.vpage + (b->phys & ~PAGE_MASK);
	if (s->pad[0] & JSLOW_X87)
		x87_settle(c, b, s->uop);
	c->jit.n.exit[JX_MEMORY]++;
	if (++b->jit.misses < JIT_MISSES)
		return &b->op[s->uop];
	/* The next translation brings a version along in which each access is by itself. */
	k->ungrouped[jit_ungrouped_hash(b->phys)] = (u32)(b->phys >> 2) + 1;
	cache_kill(c->vm, b);
	return &b->op[s->uop];
}

u64 jit_need_vec(struct soft_cpu *c, u64 rax, const struct jsite_uop *s)
{
	(void)rax;
	if (!c->jit.vec_live)
		jit_vec_load(c);
	if ((c->jit.vec_live & s->pad[0]) == s->pad[0])
		return 1;
	/* Let the interpreter run the block, and raise what there is to raise. */
	vec_out(c);
	struct block *b = block_at(c, s->block);
	c->rip = c->jit.vpage + (b->phys & ~PAGE_MASK);
	c->jit.n.exit[JX_VECTOR]++;
	c->jit.refused = b;
	return 0;
}

/* ---- going on ---- */

/* The block at c->rip, translated for the way c looks now; NULL: not yet, or the fetch... raises. */
static struct block *target(struct soft_cpu *c)
{
	u64 lin = c->rip;
	struct jc_entry *e = &c->jc[jc_hash(lin)];

	if (unlikely(atomic_load_explicit(&c->pending, memory_order_relaxed))) {
		c->jit.n.exit[JX_PENDING]++;
		return NULL;
	}
	if (unlikely(c->jit.check)) { /* one block at a time, and no fetch's fault in it */
		c->jit.n.exit[JX_COLD]++;
		return NULL;
	}
	if (unlikely(e->key != lin || e->block->dead)) {
		u64 remaps = c->remaps;
		vec_out(c);
		struct block *b = c->hooks->block_at(c, lin);
		jc_set(c, e, lin, b);
		if (unlikely(c->remaps != remaps)) { /* nothing of it may be linked to: the page is another one now */
			c->jit.n.exit[JX_PENDING]++;
			return NULL;
		}
	}
	struct block *b = e->block;
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
	struct block *from = block_at(c, l->block);

	(void)rax;
	c->jit.links++;
	c->rip = c->jit.vpage + l->target;
	struct block *b = target(c);
	if (!b) {
		vec_out(c);
		return NULL;
	}
	struct code_cache *k = c->vm->cache;
	/* A block that reaches into the next page depends on that page's mapping. */
	pthread_mutex_lock(&k->lock);
	if (k->generation == generation && b->phys2 == UINT64_MAX && !b->dead && !from->dead && b->jit.far &&
	    !l->next) {
		u32 to = (u32)((l->far ? b->jit.far : b->jit.near) - c->vm->jit->rx);
		u32 at = (u32)(ret - c->vm->jit->rx);
		l->next = b->jit.in ? b->jit.in : JIT_LIST_END;
		b->jit.in = at;
		__atomic_store_n((u32 *)(void *)(c->vm->jit->rw + l->imm), to - (l->imm + 4), __ATOMIC_SEQ_CST);
	}
	pthread_mutex_unlock(&k->lock);
	return b->jit.far;
}

static inline unsigned jj_page(u64 lin)
{
	return (unsigned)((lin >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull >> 32) % JJ_PAGES;
}

static void jj_note_page(struct soft_cpu *c, unsigned t, u64 lin)
{
	unsigned p = jj_page(lin);

	c->jit.jj_pages[t][p / 64] |= 1ull << (p % 64);
	c->jit.jj_halves[t] |= (u8)(1u << (lin >> 63));
}

/* From now on RIP rip goes to b's code without asking. */
static void jj_learn(struct soft_cpu *c, u64 rip, const struct block *b)
{
	unsigned t = jj_table(c), slot = jj_slot(rip), run = slot / JJ_RUN;

	c->jit.jj[t].e[slot] = (struct jj_entry){ rip, (u64)(uintptr_t)b->jit.far };
	c->jit.jj_filled[t][run / 64] |= 1ull << (run % 64);
	jj_note_page(c, t, rip);
	if (b->phys2 != UINT64_MAX)
		jj_note_page(c, t, rip + PAGE_BYTES);
}

u8 *jit_lookup(struct soft_cpu *c, u64 rip, const u8 *ret)
{
	const struct jsite_uop *s = (const struct jsite_uop *)(const void *)ret;

	c->jit.lookups++;
	if (unlikely(!soft_canonical(rip))) {
		vec_out(c);
		/* The branch itself faults, before it has done anything: let the handler do that. */
		struct block *from = block_at(c, s->block);
		c->gpr[GPR_RSP] -= (u64)s->pad[0];
		c->gpr[GPR_BLK] = c->jit.vpage + (from->phys & ~PAGE_MASK);
		SOFT_ENTER(c, &from->op[s->uop]);
		soft_gp(c, 0);
	}
	c->rip = rip;
	struct block *b = target(c);
	if (!b) {
		vec_out(c);
		return NULL;
	}
	jj_learn(c, rip, b);
	c->jit.vpage = rip & PAGE_MASK;
	return b->jit.far;
}

bool jit_end_goes_on(const struct uop *op)
{
	uop_fn *fn = op->fn;

	return fn == sys_syscall || fn == sys_sysret || fn == sys_iret || fn == sys_invlpg || fn == sys_invpcid ||
	       fn == sys_wrmsr || fn == sys_popf || (fn == sys_mov_to_cr && op->r1 == 3);
}

/* The short ways need no vector registers. False: nothing was done. */
static bool end_short(struct soft_cpu *c, const struct block *b, const struct uop *op)
{
	if (op->fn == sys_syscall)
		return sys_syscall_short(c, c->jit.vpage + (b->phys & ~PAGE_MASK) + op->rip_off + op->len);
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
	struct block *b = block_at(c, s->block);

	(void)rax;
	if (!end_short(c, b, &b->op[s->uop])) {
		vec_out(c);
		c->jit.n.handlers[s->mnemonic]++;
		execute(c, b, s->uop, s->nuops); /* c->rip says where to */
	}
	if (unlikely(c->nmi_latched && !c->nmi_masked)) { /* as the run loop does: soft_leave() sees it then */
		c->nmi_latched = false;
		atomic_fetch_or(&c->pending, PEND_NMI);
	}
	/* What soft_leave() and the run loop look at. */
	if (unlikely(!(c->mode & MODE_CODE64) || mmu_index(c) >= JTLB_MODES || c->cpl == 1 || c->cpl == 2 ||
		     atomic_load_explicit(&c->pending, memory_order_relaxed) ||
		     (atomic_load_explicit(&c->intr_line, memory_order_relaxed) && (c->sysflags & FL_IF)))) {
		vec_out(c);
		c->jit.n.exit[JX_SYSTEM]++;
		c->jit.n.ends[s->mnemonic]++;
		return NULL;
	}
	u64 rip = c->rip;
	const struct jj_entry *e = &c->jit.jj[jj_table(c)].e[jj_slot(rip)];
	if (likely(e->rip == rip)) {
		c->jit.vpage = rip & PAGE_MASK;
		return (u8 *)(uintptr_t)e->code;
	}
	struct block *to = target(c);
	if (!to) {
		vec_out(c);
		return NULL;
	}
	jj_learn(c, rip, to);
	c->jit.vpage = rip & PAGE_MASK;
	return to->jit.far;
}

/* ---- following the interpreter's caches ---- */

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
				if (e[i].rip - from < bytes)
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
	for (unsigned m = 0; m < JTLB_MODES; m++) {
		for (unsigned w = 0; w < JTLB_SIZE / 64; w++)
			c->jit.filled[m][w] = ~0ull;
		jit_flush(c, m);
	}
	jit_forget_jumps(c); /* all zeroes but for slot 0, whatever is not known yet */
}
