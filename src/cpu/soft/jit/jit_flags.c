/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_flags.c - which status flags an instruction reads and overwrites, and where they are kept in between.
 *
 * What the manuals call undefined is what the host makes of it (SDM 2, APM 3). Where processors leave such a flag
 * alone, it is not `kill`ed, and so carried along; logic and shifts by a constant are known to write all six.
 */
#include "cpu/soft/jit/jit_emit.h"
#include "cpu/soft/jit/jit_row.h"

static u16 status(u32 mask)
{
	return (u16)(mask & JF_ALL);
}

/* Of a shift: may its count be 0? */
static bool may_not_shift(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	return in->operand_count < 2 || ops[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
	       !(ops[1].imm.value.u & (ops[0].size == 64 ? 63 : 31));
}

struct jflags jit_flags_of(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	struct jflags f = { 0 };
	const ZydisAccessedFlags *z = in->cpu_flags;
	const struct jit_row *r = jit_row_of(in->mnemonic);
	unsigned how = r ? r->flags : 0;

	if (!z)
		return f;
	f.read = status(z->tested);
	u16 written = status(z->modified | z->set_0 | z->set_1);
	u16 undefined = status(z->undefined);
	f.kill = written & (u16)~undefined;
	f.writes = written | undefined;
	if (how & (JR_FLAGS_ALL | JR_FLAGS_COUNT))
		f.kill = JF_ALL;
	if ((how & JR_FLAGS_KEEP) || ((how & JR_FLAGS_COUNT) && may_not_shift(in, ops)) ||
	    ((how & JR_FLAGS_REP) &&
	     (in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE))))
		f.kill = 0;
	/* What is written in part keeps the rest. */
	return f;
}

/* May flags from before a branch to page offset `at` be read there? Looks at a few instructions. */
static u16 live_at(struct jit *j, s64 at)
{
	u16 live = JF_ALL, dead = 0;

	if (at < 0 || at >= (s64)PAGE_BYTES || j->exact || j->blind)
		return JF_ALL;
	if (!j->peek_hi)
		memcpy(j->peek, j->page, PAGE_BYTES);
	for (unsigned k = 0; k < 6; k++) {
		u8 bytes[MEMO_BYTES] = { 0 };
		ZyanStatus st;
		unsigned room = (unsigned)MIN((u64)15, PAGE_BYTES - (u64)at);

		memcpy(bytes, j->peek + at, room);
		const struct memo *e = memo_find(j->c, soft_decoder(j->key), bytes, room, &st);
		if (ZYAN_FAILED(st))
			break;
		const struct memo_insn *i = memo_insn(j->c, e, bytes);
		const ZydisDecodedInstruction *in = &i->in;
		struct jflags f = jit_flags_of(in, i->ops);
		if (f.read & ~dead)
			break;
		/* Only what cannot leave translated code before the flags are overwritten. */
		if (in->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE || in->meta.category == ZYDIS_CATEGORY_SYSTEM ||
		    in->meta.category == ZYDIS_CATEGORY_SYSCALL || in->meta.category == ZYDIS_CATEGORY_INTERRUPT ||
		    in->meta.category == ZYDIS_CATEGORY_STRINGOP || (in->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED))
			break;
		dead |= f.kill;
		j->peek_lo = MIN(j->peek_lo, (u16)at);
		at += in->length;
		j->peek_hi = MAX(j->peek_hi, (u16)at);
		if (dead == JF_ALL)
			return 0;
		if (at >= (s64)PAGE_BYTES)
			break;
	}
	return live & (u16)~dead;
}

/* ... before the direct branch i to `rel`; own: at the block's start. */
static u16 live_target(struct jit *j, const struct jinsn *i, s64 rel, u16 own)
{
	/* Where CS's base is within a page, IP may wrap: the target is not what lies there. See jit_may_run_at(). */
	if (j->exact || (j_code16(j) && rel <= (s64)j->page_off + i->off))
		return JF_ALL;
	return rel == (s64)j->page_off ? own : live_at(j, rel);
}

void jit_liveness(struct jit *j)
{
	u16 own = 0; /* at the block's start */

	for (;;) {
		u16 live = JF_ALL;
		for (unsigned k = j->ninsns; k-- > 0;) {
			struct jinsn *i = &j->insn[k];
			s64 rel;

			if (k == j->ninsns - 1) {
				/* What follows the block. */
				if (jf_target(j, i, &rel) && i->in.meta.category != ZYDIS_CATEGORY_COND_BR)
					i->live_target = live = live_target(j, i, rel, own);
				else if (!i->end)
					live = live_at(j, (s64)j->page_off + i->off + i->in.length);
			}
			if (jf_target(j, i, &rel) && i->in.meta.category == ZYDIS_CATEGORY_COND_BR) {
				if (k == j->ninsns - 1)
					live = live_at(j, (s64)j->page_off + i->off + i->in.length);
				i->live_target = live_target(j, i, rel, own);
				live |= i->live_target;
			}
			i->live_out = live;
			live = (live & (u16)~i->fl.kill) | i->fl.read;
			/* A branch that the handler takes leaves for where nobody has looked. */
			bool leaves = i->kind == JK_UOP && i->in.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE;
			if (i->kind == JK_END || leaves || (j->exact && (i->mem || i->traps || i->kind == JK_UOP)))
				live = JF_ALL;
			i->live_in = live;
		}
		if (j->insn[0].live_in == own || own == JF_ALL)
			break;
		own |= j->insn[0].live_in;
	}
}

void e_flags_save(struct jit *j)
{
	EB(j, X_LAHF, X_0F, X0F_SETCC, X_REGS(0, H_RAX), X_OSIZE, X_MOV_M_R); /* lahf; seto al; mov [fl], ax */
	modrm_disp(j, H_RAX, H_RSP, C_OFF(fl));
}

void e_flags_load(struct jit *j)
{
	EB(j, X_0F, X0F_MOVZX16); /* movzx eax, word [fl]; add al, 0x7f; sahf */
	modrm_disp(j, H_RAX, H_RSP, C_OFF(fl));
	EB(j, X_ADD_AL_I8, X_SETS_OF, X_SAHF);
}

void j_need_mem(struct jit *j, u16 mask)
{
	if (!mask || j->fl_mem || !j->fl_reg)
		return;
	e_flags_save(j);
	j->fl_mem = true;
}

void j_need_reg(struct jit *j, u16 mask)
{
	if (!mask || j->fl_reg || !j->fl_mem)
		return;
	e_flags_load(j);
	j->fl_reg = true;
}
