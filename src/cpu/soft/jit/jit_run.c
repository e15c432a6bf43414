/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_run.c - what translated code calls: slow memory, handlers, faults, leaving. Compiled without vector registers,
 * which hold the guest's here: see jit_run.h.
 */
#include "cpu/soft/jit/jit_run.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/system/short.h"
#include "cpu/soft/vector/vec.h"
#include "cpu/soft/memory/large.h"
#include "cpu/soft/memory/mmu.h"

void jit_vec_out(struct soft_cpu *c)
{
	jit_vec_off(c);
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

/* Serve lin from the interpreter's TLB, or from what is known of large pages, and let the first level learn it; NULL:
 * it does not have it. */
static u8 *learn(struct soft_cpu *c, u64 lin, const struct jsite_slow *s)
{
	u64 page = lin & PAGE_MASK;
	bool write = s->how & JSLOW_WRITE;
	unsigned mode = mmu_index(c);
	const struct tlb_entry *e = &c->tlb[tlb_hash(lin)];
	struct tlb_entry large;

	if ((lin & ~PAGE_MASK) + s->bytes > PAGE_BYTES)
		return NULL;
	/* Permission to write is taken back by other threads, under this lock. */
	bool locked = c->vm->ncpus > 1;
	if (locked)
		pthread_mutex_lock(&c->tlb_lock);
	if (mode == TLB_SUPER && mmu_large(c, lin, write || (s->how & JSLOW_STACK), &large.addend)) {
		large.rtag = page;
		large.wtag = write || (s->how & JSLOW_STACK) ? page : tlb_none(tlb_hash(lin));
		e = &large;
	}
	/* The stack's entry is for both. */
	if ((write ? e->wtag : e->rtag) != page ||
	    ((s->how & JSLOW_GROUP) && (s->how & JSLOW_STACK) && (e->wtag != page || e->rtag != page))) {
		if (locked)
			pthread_mutex_unlock(&c->tlb_lock);
		return NULL;
	}
	if (s->how & JSLOW_STACK) {
		if (e->rtag == page && e->wtag == page) {
			u64 to[3] = { PAGE_BYTES - 7, PAGE_BYTES - 63, PAGE_BYTES - JTLB_GROUP_MAX + 1 };
			u64 in32 = page - JTLB_GROUP32_START < JTLB_GROUP32_SPAN;
			c->jit.stack[mode] = (struct jtlb_stack){ page,
								  page + e->addend,
								  e->addend,
								  { to[0], to[1], to[2], to[0] * in32, to[1] * in32,
								    to[2] * in32, PAGE_BYTES - 1, PAGE_BYTES - 3 } };
		}
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

bool jit_execute(struct soft_cpu *c, struct block *b, unsigned uop, unsigned nuops)
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
	/* What the block has checked of its next accesses does not hold any more (memory/remap.c), or what it takes for
	 * granted of segments. */
	if (unlikely(c->remaps != remaps || soft_code_key(c) != b->mode) && c->jit.ran) {
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
	    c->jit.check || cache_overlaps(jit_block_at(c, s->block), off, s->bytes))
		return NULL;
	if (cache_matters(vm, off, s->bytes)) {
		if (!(cache_page_flags(vm, off >> PAGE_SHIFT) & PAGE_CODE))
			return NULL; /* not any more: it can be learnt */
		u32 live = jit_vec_off(c);
		cache_invalidate_ram(vm, off, s->bytes);
		must(jit_vec_back(c, live));
	} else {
		/* All around that is as free. The running block may be dead, and have no bits. */
		u64 page = off >> PAGE_SHIFT;
		u64 used =
		    atomic_load(&vm->cache->code_chunks[page]) | cache_block_chunks(jit_block_at(c, s->block), page);
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

/* May lin's page be written, as is known already, but for the code on it? */
static bool onto_code(struct soft_cpu *c, u64 lin)
{
	const struct tlb_entry *e = &c->tlb[tlb_hash(lin)];
	u64 off = lin + e->addend - (u64)(uintptr_t)c->ram->host;

	return e->wtag == ((lin & PAGE_MASK) | TLB_CODE) && (cache_page_flags(c->vm, off >> PAGE_SHIFT) & PAGE_CODE);
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
	if ((s->how & (JSLOW_WRITE | JSLOW_GROUP)) == (JSLOW_WRITE | JSLOW_GROUP) && onto_code(c, lin))
		return 0; /* no walk would make it fit */
	u8 *p = likely(!misaligned) ? learn(c, lin, s) : NULL;

	c->jit.slow++;
	if (likely(p))
		return (u64)(uintptr_t)p;
	struct block *b = jit_block_at(c, s->block);
	u32 live = c->jit.vec_live;
	u8 *ram = NULL;
	gpa_t gpa;

	c->gpr[GPR_BLK] = c->jit.vpage + (b->phys & ~PAGE_MASK);
	SOFT_ENTER(c, &b->op[s->uop]);
	if (s->how & JSLOW_X87) {
		jit_vec_off(c);
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
		must(jit_vec_back(c, live));
		return (u64)(uintptr_t)p;
	}
	if (!p && (s->how & JSLOW_END)) {
		jit_vec_off(c);
		c->jit.exit_uop = c->op;
		c->jit.n.exit[JX_MEMORY]++;
		return JSLOW_LEFT;
	}
	if (!p) {
		jit_vec_off(c);
		c->jit.slow_uop++;
		if ((lin & ~PAGE_MASK) + s->bytes > PAGE_BYTES)
			c->jit.n.crossings++;
		else if (!ram)
			c->jit.n.mmio++;
		else
			c->jit.n.others++;
		if (unlikely(!jit_execute(c, b, s->uop, s->nuops))) {
			/* A repeated one, because something is pending: c->rip says where to. */
			c->jit.exit_uop = NULL;
			return JSLOW_LEFT;
		}
	}
	/* vec_ok changes only at the end of a block. */
	must(jit_vec_back(c, live));
	return (u64)(uintptr_t)p;
}

/* ---- host exceptions ---- */

noreturn_ void jit_fault(struct soft_cpu *c)
{
	struct block *b = jit_block_at(c, c->jit.fault.block);
	u8 vec = c->jit.fault.vec;

	jit_vec_off(c);
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
	u32 live = jit_vec_off(c);

	(void)rax;
	c->jit.uops++;
	c->jit.n.handlers[s->mnemonic]++;
	if (!jit_execute(c, jit_block_at(c, s->block), s->uop, s->nuops))
		return 0;
	return jit_vec_back(c, live);
}

const struct uop *jit_exit_uop(struct soft_cpu *c, u64 rax, const struct jsite_uop *s)
{
	struct block *b = jit_block_at(c, s->block);

	(void)rax;
	c->jit.n.exit[JX_SYSTEM]++;
	c->jit.n.ends[s->mnemonic]++;
	jit_vec_off(c);
	c->gpr[GPR_BLK] = c->jit.vpage + (b->phys & ~PAGE_MASK);
	return &b->op[s->uop];
}

static void leave_to(struct soft_cpu *c, enum jit_exit why, const u8 *ret)
{
	c->jit.n.exit[why]++;
	jit_vec_off(c);
	c->rip = jit_rip(c, ld_le32(ret));
}

const struct uop *jit_exit_rip(struct soft_cpu *c, u64 rax, const u8 *ret)
{
	(void)rax;
	leave_to(c, JX_PENDING, ret);
	return NULL;
}

const struct uop *jit_exit_dead(struct soft_cpu *c, u64 rax, const u8 *ret)
{
	struct block *b = jit_block_of(c->vm, (u64)(uintptr_t)ret - 1);

	(void)rax;
	jit_vec_off(c);
	c->jit.n.exit[JX_DEAD]++;
	c->rip = jit_rip(c, b->phys & ~PAGE_MASK);
	unsigned slot = jj_slot(soft_lin_rip(c));
	c->jit.jj[jj_table(c)].e[slot].rip = jj_none(slot);
	return NULL;
}

/* A group's range crosses a page, or the page allows less than the group wants. */
const struct uop *jit_exit_group(struct soft_cpu *c, u64 rax, const struct jsite_uop *s)
{
	struct block *b = jit_block_at(c, s->block);
	struct jit_code *k = c->vm->jit;

	(void)rax;
	jit_vec_off(c);
	c->gpr[GPR_BLK] = c->jit.vpage + (b->phys & ~PAGE_MASK);
	if (s->group.how & JSLOW_X87)
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
	if ((c->jit.vec_live & s->vec.need) == s->vec.need)
		return 1;
	/* Let the interpreter run the block, and raise what there is to raise. */
	jit_vec_off(c);
	struct block *b = jit_block_at(c, s->block);
	c->rip = c->jit.vpage + (b->phys & ~PAGE_MASK);
	c->jit.n.exit[JX_VECTOR]++;
	c->jit.refused = b;
	return 0;
}
