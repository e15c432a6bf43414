/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_group.c - accesses of a block that lie near each other share one TLB check.
 *
 * Theory of operation: [rbx], [rbx+8] and, after add rbx, 16, [rbx-4] are all at constant distances from one
 * value of rbx; so are the words of a stack frame through pushes and pops. The first access of such a group (the
 * leader) checks a range that covers all of it and lies in one page, for the strongest access of all; the others
 * (followers) take the host address from the leader's addend, c->jit.group[], with no check of their own.
 *
 * A leader that fails first tries to bring its page in. If the range crosses a page, or the page allows less than the
 * group wants, the interpreter goes on with the block; where that happens again and again, it is translated anew with
 * a second, plain version behind the first.
 *
 * In 32-bit code with flat segments an address is cut to 32 bits, and a follower's host address is reckoned with 64.
 * So the leader looks that its range is in neither the first nor the last page of the 4 GiB, with 64 bits: a base
 * register whose upper half 64-bit code has left something in fails. Then displacements of less than a page
 * (DISP32_MAX) make no difference: base and address are both below 4 GiB, whatever the base was moved by in between.
 *
 * Followers are let through by a check that the processor may have guessed wrong, as any access is by its own: see
 * docs/security.md, "Speculation inside of a VM".
 *
 * INV-JIT-6: between leader and follower nothing can flush a TLB, change the way of looking, or give other
 * threads a safe point: groups end at everything but instructions translated here.
 */
#include "cpu/soft/jit/jit_emit.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/decode/decode.h"

struct base {
	struct jinsn *leader; /* NULL: none yet */
	struct jinsn *first;  /* access that may become a leader */
	s64 delta;            /* the register less its value at the leader */
	s32 lo, hi;           /* covered, relative to that value */
	u8 align;             /* low bits that must be zero at align_at */
	s32 align_at;
	u8 slot;
};

/* Of 32-bit code: displacements up to here, so that nothing wraps. */
#define DISP32_MAX (JTLB_GROUP32_START - JTLB_GROUP_MAX)

static bool simple(const struct jit *j, const ZydisDecodedOperand *o)
{
	if (!j_code64(j) && (o->mem.segment == ZYDIS_REGISTER_CS ||
			     (o->mem.disp.has_displacement &&
			      (o->mem.disp.value > (s64)DISP32_MAX || o->mem.disp.value < -(s64)DISP32_MAX))))
		return false;
	return o->mem.type == ZYDIS_MEMOP_TYPE_MEM && o->mem.index == ZYDIS_REGISTER_NONE &&
	       o->mem.base != ZYDIS_REGISTER_NONE && o->mem.base != ZYDIS_REGISTER_RIP &&
	       ZydisRegisterGetClass(o->mem.base) == (j_code64(j) ? ZYDIS_REGCLASS_GPR64 : ZYDIS_REGCLASS_GPR32) &&
	       o->mem.segment != ZYDIS_REGISTER_FS && o->mem.segment != ZYDIS_REGISTER_GS &&
	       (!o->mem.disp.has_displacement || o->mem.disp.value == (s32)o->mem.disp.value);
}

unsigned jit_stack_bytes(const struct jit *j, const struct jinsn *i)
{
	return j_code64(j) ? 8 : j_uop(j, i)->osize;
}

static bool pushes(const struct jit *j, const struct jinsn *i)
{
	uop_fn *fn = j_uop(j, i)->fn;

	return fn != op_pop64_r && fn != op_pop_any && fn != op_ret64 && fn != op_ret_legacy;
}

/* As wide as addresses are where groups are made. */
static unsigned width(const struct jit *j)
{
	return j_code64(j) ? 64 : 32;
}

/* The one access that may be grouped: base register, displacement, size. */
static bool access_of(struct jit *j, const struct jinsn *i, u8 *base, s32 *disp, u8 *bytes, bool *write)
{
	const ZydisDecodedOperand *o = jm_operand(i);

	if ((i->kind == JK_NATIVE || i->vec) && o && i->in.address_width == width(j)) {
		/* Zydis 4.0.0 and SIB base 101, see decode_mem(). */
		if (!simple(j, o) || o->mem.base == ZYDIS_REGISTER_R13 || o->size > 256)
			return false;
		*base = decode_gpr(o->mem.base);
		*disp = o->mem.disp.has_displacement ? (s32)o->mem.disp.value : 0;
		*bytes = (u8)(o->size / 8);
		*write = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
		return *bytes;
	}
	if (i->kind != JK_SPECIAL || !i->stack || !(j->key & (MODE_CODE64 | MODE_SS32)))
		return false;
	*base = GPR_RSP;
	*bytes = (u8)jit_stack_bytes(j, i);
	*write = pushes(j, i);
	*disp = *write ? -*bytes : 0;
	return true;
}

/* Guest registers written, and for the one that only moves by a constant, by how much. */
static u16 written(struct jit *j, const struct jinsn *i, int *moved, s64 *by)
{
	u16 w = 0;

	*moved = -1;
	for (unsigned k = 0; k < i->in.operand_count; k++) {
		const ZydisDecodedOperand *o = &i->ops[k];
		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
		    decode_gpr(o->reg.value) != GPR_ZERO)
			w |= (u16)(1u << decode_gpr(o->reg.value));
	}
	if (i->kind == JK_SPECIAL && i->stack) {
		if (!(j->key & (MODE_CODE64 | MODE_SS32)))
			return w; /* only SP moves */
		*moved = GPR_RSP;
		*by = (s64)jit_stack_bytes(j, i) * (pushes(j, i) ? -1 : 1);
	} else if (i->in.operand_count_visible == 2 && i->ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		   i->ops[0].size == width(j) && i->ops[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
		   (i->in.mnemonic == ZYDIS_MNEMONIC_ADD || i->in.mnemonic == ZYDIS_MNEMONIC_SUB)) {
		*moved = decode_gpr(i->ops[0].reg.value);
		*by = i->in.mnemonic == ZYDIS_MNEMONIC_ADD ? i->ops[1].imm.value.s : -i->ops[1].imm.value.s;
	} else if (i->in.mnemonic == ZYDIS_MNEMONIC_LEA && i->ops[0].size == width(j)) {
		const ZydisDecodedOperand *o = &i->ops[1];
		if (o->mem.index == ZYDIS_REGISTER_NONE && o->mem.base == i->ops[0].reg.value &&
		    o->mem.disp.has_displacement && i->in.address_width == width(j)) {
			*moved = decode_gpr(i->ops[0].reg.value);
			*by = o->mem.disp.value;
		}
	}
	return w;
}

/* Where the range begins: at a place that is aligned as the operands are. */
static s32 start_of(const struct base *g)
{
	return g->align ? g->lo - ((g->lo - g->align_at) & g->align) : g->lo;
}

/* Take in what i asks of its address; false: it cannot be had together with what others ask. */
static bool align_with(struct base *g, const struct jinsn *i, s32 at)
{
	if (!i->align)
		return true;
	if ((at - g->align_at) & MIN(g->align, i->align))
		return false;
	if (i->align > g->align) {
		g->align = i->align;
		g->align_at = at;
	}
	return true;
}

static u8 class_of(s32 range)
{
	return range <= 8 ? 0 : range <= 64 ? 1 : 2;
}

void jit_group(struct jit *j)
{
	struct base base[16] = { { 0 } };
	s32 slots = 1; /* 0 is the stack's */

	for (unsigned k = 0; k < j->ninsns; k++)
		j->insn[k].group = JG_NONE;
	if (!(j->key & (MODE_CODE64 | MODE_FLAT)))
		return; /* a check of its own, against the segment's end, is needed by each */
	for (unsigned k = 0; k < j->ninsns; k++)
		if (j->insn[k].in.meta.category == ZYDIS_CATEGORY_X87_ALU)
			return; /* what is to be noted of them would differ between the versions */
	for (unsigned k = 0; k < j->ninsns; k++) {
		struct jinsn *i = &j->insn[k];
		u8 b, bytes;
		s32 disp;
		bool write;
		int moved;
		s64 by = 0;

		if (i->kind == JK_UOP || i->kind == JK_END || i->in.mnemonic == ZYDIS_MNEMONIC_STAC ||
		    i->in.mnemonic == ZYDIS_MNEMONIC_CLAC) {
			memset(base, 0, sizeof(base));
			continue;
		}
		if (access_of(j, i, &b, &disp, &bytes, &write)) {
			struct base *g = &base[b];
			s64 at = g->delta + disp;
			if (g->first && at == (s32)at) {
				struct base n = *g;
				n.lo = MIN(g->lo, (s32)at);
				n.hi = MAX(g->hi, (s32)at + bytes);
				bool fits = align_with(&n, i, (s32)at);
				s32 lo = start_of(&n);
				if (fits && (s64)n.hi - lo <= (s64)JTLB_GROUP_MAX &&
				    (g->leader || b == GPR_RSP || slots < (s32)JIT_GROUPS)) {
					struct jinsn *l = g->first;
					*g = n;
					if (!g->leader) {
						g->leader = l;
						g->slot = b == GPR_RSP ? 0 : (u8)slots++;
						l->group = JG_LEADER;
						l->group_slot = g->slot;
					}
					l->group_lo = lo;
					l->group_class = class_of(g->hi - lo);
					l->group_align = g->align;
					l->group_write |= write;
					i->group = JG_FOLLOWER;
					i->group_slot = g->slot;
				} else {
					g->first = NULL;
				}
			}
			if (!g->first) {
				*g = (struct base){
					.first = i, .lo = disp, .hi = disp + bytes, .align = i->align, .align_at = disp
				};
				i->group_write = i->group_lead_writes = write;
				i->group_base = b;
				i->group_lo = disp;
			}
		}
		u16 w = written(j, i, &moved, &by);
		for (unsigned r = 0; r < 16; r++)
			if (w >> r & 1) {
				if ((int)r == moved && base[r].first && base[r].delta + by == (s32)(base[r].delta + by))
					base[r].delta += by;
				else
					base[r] = (struct base){ 0 };
			}
	}
}
