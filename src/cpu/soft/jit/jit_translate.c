/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_translate.c - a block of uops to host code: its bytes are decoded once more, flags' liveness goes backwards
 * over the instructions, code comes forwards, and out-of-line pieces behind it.
 *
 *     E_FAR       cmp [pending], 0; jne exit; flags from c->fl if they are wanted
 *     E_NEAR      nop of 5 bytes (INV-JIT-2), body
 *     ...         slow ways, links
 */
#include "cpu/soft/jit/jit_constant.h"
#include "cpu/soft/jit/jit_row.h"
#include "cpu/soft/jit/jit_run.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/decode/decode.h"
#include "cpu/soft/vector/vec.h"

struct jstub *j_stub(struct jit *j, enum jstub_kind k)
{
	if (j->nstubs == JIT_STUBS)
		return NULL;
	struct jstub *s = &j->stub[j->nstubs++];
	*s = (struct jstub){ .kind = k, .mode = j->mode };
	return s;
}

void e_nops(struct jit *j, unsigned n)
{
	static const u8 nop[9][8] = { { 0 },
				      { X_NOP },
				      { X_OSIZE, X_NOP },
				      { X_0F, X0F_NOP, X_MODRM(0, 0, 0) },
				      { X_0F, X0F_NOP, X_MODRM(1, 0, 0) },
				      { X_0F, X0F_NOP, X_MODRM(1, 0, X_RM_SIB) },
				      { X_OSIZE, X_0F, X0F_NOP, X_MODRM(1, 0, X_RM_SIB) },
				      { X_0F, X0F_NOP, X_MODRM(2, 0, 0) },
				      { X_0F, X0F_NOP, X_MODRM(2, 0, X_RM_SIB) } };

	for (; n > 8; n -= 8)
		eb(j, nop[8], 8);
	eb(j, nop[n], n);
}

static struct jsite_uop site_of(const struct jit *j, const struct jinsn *i)
{
	return (struct jsite_uop){ .block = j->ref, .uop = i->uop, .nuops = i->nuops, .mnemonic = (u16)i->in.mnemonic };
}

void j_call_uop(struct jit *j, struct jinsn *i)
{
	struct jsite_uop s = site_of(j, i);

	j_need_mem(j, i->live_in);
	e_call_to(j, j->code->r_uop);
	eb(j, &s, sizeof(s));
	j->fl_reg = false;
	j->fl_mem = true;
}

bool ji_leave(struct jit *j, struct jinsn *i)
{
	struct jsite_uop s = site_of(j, i);
	/* While blocks are compared they are run one by one. */
	bool goes_on = jit_end_goes_on(&j->b->op[i->uop]) && !j->c->jit.check;

	j_need_mem(j, JF_ALL);
	e_call_to(j, goes_on ? j->code->r_end : j->code->r_exit_uop);
	eb(j, &s, sizeof(s));
	j->end_uop = i->uop;
	return true;
}

/* The block's instructions; false when they are not (any more) what it was decoded from. */
static bool decode(struct jit *j)
{
	const struct block *b = j->b;
	unsigned off = 0, u = 1; /* uop 0 counts */

	j->ninsns = 0;
	while (off < b->bytes && j->ninsns < JIT_INSNS) {
		struct jinsn *i = &j->insn[j->ninsns];
		unsigned room = MIN(15u, (unsigned)b->bytes - off);

		memset(i->bytes, 0, sizeof(i->bytes));
		unsigned at = j->page_off + off, first = at < PAGE_BYTES ? MIN(room, (unsigned)PAGE_BYTES - at) : 0;
		memcpy(i->bytes, j->page + at, first);
		if (room > first) { /* over the border: its block holds nothing else */
			if (b->phys2 == UINT64_MAX)
				return false;
			memcpy(i->bytes + first, j->vm->ram->host + b->phys2, room - first);
		}
		ZyanStatus st;
		const struct memo *e = memo_find(j->c, soft_decoder(j->key), i->bytes, room, &st);
		if (ZYAN_SUCCESS(st)) {
			memo_copy(&i->in, i->ops, memo_insn(j->c, e, i->bytes));
		} else {
			/* #UD: the handler's */
			i->in.length = (u8)room;
			i->in.meta.branch_type = ZYDIS_BRANCH_TYPE_NONE;
			i->in.operand_count = i->in.operand_count_visible = 0;
			i->in.cpu_flags = NULL;
			i->in.mnemonic = ZYDIS_MNEMONIC_INVALID;
		}
		if (u >= b->nops || b->op[u].rip_off != off)
			return false;
		i->off = (u16)off;
		i->uop = (u8)u;
		i->emit = NULL;
		i->group = JG_NONE;
		i->stack = i->traps = i->vec = false;
		i->align = i->how = 0;
		i->live_target = JF_ALL;
		unsigned n = 1;
		if (u + n < b->nops && vec_is_description(&b->op[u + n]))
			n++;
		i->nuops = (u8)n;
		u += n;
		off += i->in.length;
		i->end = off >= b->bytes && u >= b->nops; /* no op_end behind it */
		j->ninsns++;
		i->row = jit_row_of(i->in.mnemonic);
		i->fl = jit_flags_of(&i->in, i->ops);
		ji_classify(j, i);
		if (i->kind == JK_END)
			break;
	}
	return j->ninsns && (off == b->bytes || j->insn[j->ninsns - 1].kind == JK_END);
}

/* The one bit of c->jit.vec_live that says whether all may run. SSE may not where x87 may not. */
static u8 vec_bit(const struct jit *j)
{
	if (j->vec_need & JIT_VEC_AVX)
		return j->vec_need & ~JIT_VEC_AVX ? JIT_VEC_BOTH : JIT_VEC_AVX;
	return j->vec_need & JIT_VEC_SSE ? JIT_VEC_SSE : JIT_VEC_X87;
}

static void prelude(struct jit *j)
{
	j->far = j->n;
	EB(j, X_ALU_I8, X_MODRM(2, XG_CMP, X_RM_SIB),
	   X_SIB(0, 4, H_RSP)); /* cmp dword [rsp + disp32], 0: eight bytes */
	e32(j, (u32)C_OFF(pending));
	e8(j, 0);
	struct jstub *s = j_stub(j, JS_PENDING);
	s->from = e_jcc(j, CC_NZ);
	if (j_code16(j)) {          /* see jit_may_run_at() */
		e8(j, X_REX_W | 0); /* cmp qword [rsp + vpage], imm32 */
		e8(j, X_ALU_I);
		modrm_disp(j, XG_CMP, H_RSP, C_OFF(jit.vpage));
		e32(j, -j->page_off);
		s = j_stub(j, JS_PENDING);
		s->from = e_jcc(j, CC_L);
	}
	if (j->insn[0].live_in) {
		e_flags_load(j);
		e_nops(j, (8 - (j->n & 7)) & 7);
		j->near = j->n;
		e_nops(j, 5);
	} else {
		j->near = j->far; /* where flags are makes no difference */
	}
	j->fl_reg = true;
	j->fl_mem = false;
	if (!j->insn[0].live_in)
		j->fl_reg = false;
	if (j->vec_need) {
		j_need_mem(j, j->insn[0].live_in);
		EB(j, X8_TEST_M_I8, X_MODRM(2, XG_TEST, X_RM_SIB),
		   X_SIB(0, 4, H_RSP)); /* test byte [rsp + disp32], bit */
		e32(j, (u32)C_OFF(jit.vec_live));
		e8(j, vec_bit(j));
		s = j_stub(j, JS_NEED_VEC);
		s->from = e_jcc(j, CC_Z);
		s->resume = j->n;
		j_spoil(j);
	}
}

static void stubs(struct jit *j)
{
	for (unsigned k = 0; k < j->nstubs && !j->fail; k++) {
		struct jstub *s = &j->stub[k];
		struct jsite_uop site;

		j->mode = s->mode;
		switch (s->kind) {
		case JS_SLOW:
			jm_emit_slow(j, s);
			break;
		case JS_GROUP:
			jm_emit_group(j, s);
			break;
		case JS_LINK:
			jf_emit_link(j, s);
			break;
		case JS_JUMP:
			jf_emit_jump(j, s);
			break;
		case JS_EXIT_UOP:
			patch_to(j, s->from, j->n);
			site = site_of(j, s->i);
			e_call_to(j, j->code->r_exit_uop);
			eb(j, &site, sizeof(site));
			break;
		case JS_UOP:
			patch_to(j, s->from, j->n);
			for (unsigned m = 0; m < JIT_MORE && s->more[m]; m++)
				patch_to(j, s->more[m], j->n);
			site = site_of(j, s->i);
			e_call_to(j, j->code->r_uop);
			eb(j, &site, sizeof(site));
			if (s->load_flags)
				e_flags_load(j);
			u32 to = e_jmp(j);
			patch_to(j, to, s->next);
			break;
		case JS_PENDING:
			patch_to(j, s->from, j->n);
			e_call_to(j, j->code->r_exit_rip);
			e32(j, j->page_off);
			break;
		case JS_RARE:
			patch_to(j, s->from, j->n);
			j->fail |= !s->emit(j, s);
			break;
		case JS_NEED_VEC:
			patch_to(j, s->from, j->n);
			site = (struct jsite_uop){ j->ref, 0, 0, .vec = { vec_bit(j) } };
			e_call_to(j, j->code->r_need_vec);
			eb(j, &site, sizeof(site));
			u32 at = e_jmp(j);
			patch_to(j, at, s->resume);
			break;
		}
	}
}

/* Does the code of i leave rcx alone, but for the addend of a group? */
bool j_keeps_rcx(const struct jit *j, const struct jinsn *i)
{
	if (i->kind == JK_NATIVE ? i->mem && (j->plain || i->group == JG_NONE)
				 : !(i->kind == JK_SPECIAL && i->stack && !j->plain && i->group != JG_NONE &&
				     i->in.meta.branch_type == ZYDIS_BRANCH_TYPE_NONE))
		return false;
	for (unsigned k = 0; k < i->in.operand_count_visible; k++) {
		const ZydisDecodedOperand *o = &i->ops[k];
		ZydisRegister r = o->type == ZYDIS_OPERAND_TYPE_REGISTER ? o->reg.value
				  : o->type == ZYDIS_OPERAND_TYPE_MEMORY ? o->mem.base
									 : ZYDIS_REGISTER_NONE;
		u8 g = decode_gpr(r);
		if ((g != GPR_ZERO && jit_hreg[g] == H_NONE) || (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH) ||
		    ZydisRegisterGetClass(r) == ZYDIS_REGCLASS_SEGMENT)
			return false;
	}
	return true;
}

static bool body(struct jit *j, unsigned first)
{
	for (unsigned k = first; k < j->ninsns; k++) {
		struct jinsn *i = &j->insn[k];

		if (!j->plain) {
			i->mode = j->mode;
			i->x87 = j->x87;
		}

		if (j->x87 && !i->vec && i->kind != JK_NATIVE)
			jv_note_x87(j);
		if (!i->vec && !j_keeps_rcx(j, i))
			j->addend = 0;
		switch (i->kind) {
		case JK_NATIVE:
			if (!ji_native(j, i))
				return false;
			break;
		case JK_SPECIAL:
			if (!i->emit(j, i))
				return false;
			break;
		case JK_UOP:
			j_call_uop(j, i);
			break;
		case JK_END:
			return ji_leave(j, i);
		}
	}
	struct jinsn *last = &j->insn[j->ninsns - 1];
	if (j->x87)
		jv_note_x87(j);
	/* Jcc may be the last one when the block is full. */
	if (!last->end)
		jf_fall(j, (s64)j->page_off + last->off + last->in.length, last->live_out);
	return true;
}

/* The body; where groups failed often, from the first of them on the body without. */
static bool versions(struct jit *j)
{
	u8 mode = j->mode;

	j->plain = false;
	j->addend = 0;
	if (!body(j, 0))
		return false;
	for (unsigned k = 0; j->both && k < j->ninsns; k++)
		if (j->insn[k].group == JG_LEADER) {
			j->plain = true;
			j->fl_reg = false;
			j->fl_mem = j->insn[k].live_in;
			/* Groups end where the way of looking changes, but there may be one behind that. */
			j->mode = j->insn[k].mode;
			j->x87 = j->insn[k].x87;
			j->addend = 0;
			bool ok = body(j, k);
			j->mode = mode;
			return ok;
		}
	return true;
}

/* The whole code of j->b into j->buf. */
static bool make(struct jit *j)
{
	j->n = 0;
	j->fail = false;
	j->nstubs = 0;
	j->end_uop = 0;
	j->peek_lo = 0xffff;
	j->peek_hi = 0;
	j->vec_need = 0;
	j->x87 = NULL;
	j->nfaults = 0;
	if (!decode(j))
		return false;
	if (!jit_constant_find(j)) {
		j->b->patches.n = BLOCK_PATCHES_NEVER;
		return false;
	}
	jit_liveness(j);
	j->both = jit_was_hot(j->vm, j->b->phys);
	jit_group(j);
	prelude(j);
	if (!versions(j) || j->fail)
		return false;
	stubs(j);
	if (j->fail)
		return false;
	while (j->n & 3)
		e8(j, X_INT3);
	eb(j, j->fault, j->nfaults * (unsigned)sizeof(*j->fault));
	return !j->fail;
}

/*
 * From now on stores to what was looked at behind branches drop the block; false: one came before. These bytes are no
 * block's, so nobody has told. cache->lock held.
 */
static bool watch_peek(struct jit *j)
{
	unsigned lo = j->peek_lo, hi = j->peek_hi;

	if (hi <= lo)
		return true;
	/* A full barrier: INV-CACHE-4. */
	atomic_fetch_or(&j->vm->cache->code_chunks[j->b->phys >> PAGE_SHIFT], cache_chunks(lo, hi - lo));
	return !memcmp(j->peek + lo, j->page + lo, hi - lo);
}

bool jit_translate(struct soft_cpu *c, struct block *b)
{
	struct soft_vm *vm = c->vm;
	struct jit_code *k = vm->jit;
	struct jit *j = k->scratch;
	bool ok = false;
	unsigned mode = mmu_index(c);

	if (mode >= JTLB_MODES)
		return false;
	pthread_mutex_lock(&k->lock);
	if (k->used + JIT_BUF + 64 > k->bytes || k->nindex == k->index_max) {
		pthread_mutex_unlock(&k->lock);
		atomic_store(&vm->cache->full, true); /* the next block that is decoded empties the arena */
		return false;
	}
	if (b->jit.far) {
		/* Made by another vCPU meanwhile. */
		pthread_mutex_unlock(&k->lock);
		return true;
	}
	j->c = c;
	j->vm = vm;
	j->code = k;
	j->b = b;
	j->ref = (u32)(((u8 *)b - vm->cache->arena) / 16);
	j->key = b->mode;
	j->mode = (u8)mode;
	j->page_off = (unsigned)(b->phys & ~PAGE_MASK);
	j->page = vm->ram->host + (b->phys & PAGE_MASK);
	j->off0 = k->used;
	j->pc0 = (u64)(uintptr_t)k->rx + k->used;
	j->exact = k->exact;
	j->blind = false;
	bool made = make(j);
	pthread_mutex_lock(&vm->cache->lock);
	if (made && !b->dead && !watch_peek(j)) {
		pthread_mutex_unlock(&vm->cache->lock);
		j->blind = true;
		made = make(j);
		pthread_mutex_lock(&vm->cache->lock);
	}
	if (!made) {
		k->refused++;
	} else if (!b->dead) {
		memcpy(k->rw + k->used, j->buf, j->n);
		b->jit.mode = (u8)mode;
		b->jit.bytes = j->n;
		b->jit.nfaults = (u16)j->nfaults;
		b->jit.in = 0;
		b->jit.end_uop = j->end_uop;
		b->jit.peek_lo = j->peek_lo;
		b->jit.peek_hi = j->peek_hi;
		c->jit.beside.len = 0;
		b->jit.near = k->rx + k->used + j->near;
		/* A signal's handler looks for the block here as soon as it runs. */
		k->index[k->nindex] = (struct jindex){ k->used, j->ref };
		b->jit.start = k->used;
		b->jit.misses = 0;
		__atomic_store_n(&k->nindex, k->nindex + 1, __ATOMIC_RELEASE);
		__atomic_store_n(&b->jit.far, k->rx + k->used + j->far, __ATOMIC_RELEASE);
		cache_reaches(vm, b);
		if (j->constant)
			jit_constant_keep(j);
		jit_perf_name(k, k->rx + k->used, j->n, "guest %s %016llx", mode == TLB_USER ? "user" : "kernel",
			      (unsigned long long)c->gpr[GPR_BLK]);
		k->used = ROUND_UP(k->used + j->n, 16);
		k->translations++;
		c->jit.translated++;
		c->jit.n.insns += j->ninsns;
		ok = true;
	}
	pthread_mutex_unlock(&vm->cache->lock);
	pthread_mutex_unlock(&k->lock);
	return ok;
}
