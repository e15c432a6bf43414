/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_insn.c - which way an instruction is translated, by its row (jit_row.h); and emitters of moves between registers,
 * shifts by CL, and the stack.
 */
#include "cpu/soft/jit/jit_encode.h"
#include "cpu/soft/jit/jit_row.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/decode/decode.h"

/* ---- emitters of their own ---- */

static bool sp_nothing(struct jit *j, struct jinsn *i)
{
	(void)j, (void)i;
	return true;
}

bool sp_convert(struct jit *j, struct jinsn *i)
{
	unsigned a = jit_hreg[GPR_RAX];

	switch (i->in.mnemonic) {
	case ZYDIS_MNEMONIC_CDQE:
		op_rr(j, true, X_MOVSXD, a, a);
		break;
	case ZYDIS_MNEMONIC_CWDE:
		rex(j, false, a, 0, a);
		EB(j, X_0F, X0F_MOVSX16, X_REGS(a, a));
		break;
	case ZYDIS_MNEMONIC_CQO:
		e_mov(j, H_RAX, a);
		EB(j, X_REX_W, X_CWD);
		break;
	case ZYDIS_MNEMONIC_CDQ:
		e_mov(j, H_RAX, a);
		EB(j, X_CWD);
		break;
	default: /* CBW, CWD: 66 */
		e_mov(j, H_RAX, a);
		EB(j, X_OSIZE, i->in.mnemonic == ZYDIS_MNEMONIC_CBW ? X_CBW : X_CWD);
		if (i->in.mnemonic == ZYDIS_MNEMONIC_CBW)
			e_mov(j, a, H_RAX);
	}
	return true;
}

/* By CL, the operand number `c`: without the count it is an ordinary instruction. */
static bool by_cl(const struct jinsn *i, unsigned c)
{
	struct jinsn t = *i;
	struct regs r;

	if (t.ops[c].type != ZYDIS_OPERAND_TYPE_REGISTER || t.ops[c].reg.value != ZYDIS_REGISTER_CL)
		return false;
	t.ops[c].type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
	return je_regs(&t, &r) && !r.high && !homed(r.reg);
}

bool takes_shift_cl(const struct jit *j, const struct jinsn *i)
{
	(void)j;
	return by_cl(i, 1);
}

bool takes_shxd_cl(const struct jit *j, const struct jinsn *i)
{
	(void)j;
	return by_cl(i, 2);
}

bool sp_shift_cl(struct jit *j, struct jinsn *i)
{
	struct jinsn t = *i;
	struct regs r;
	struct enc e = { .vvvv = H_NONE };
	struct jstub *s = NULL;

	t.ops[i->in.operand_count_visible - 1].type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
	je_regs(&t, &r);
	e.rex8 = r.bytes8 || (r.mem == NULL && i->ops[0].size == 8);
	e.reg = i->in.raw.modrm.reg;
	if (r.reg >= 0) {
		e.reg = jit_hreg[r.reg];
		e.reg_is_reg = true;
	}
	if (r.mem) {
		j_need_mem(j, i->live_in);
		jm_address(j, i, r.mem);
		s = jm_check(j, i, r.mem->size / 8, true, JA_RAX);
		if (!s)
			return false;
		e.kind = RM_AT_RAX;
		if (j_flags_in(i) && j->fl_mem) { /* loading them takes rax */
			e_st(j, H_RAX, C_OFF(jit.tmp));
			j_need_reg(j, j_flags_in(i));
			e_ld(j, H_RAX, C_OFF(jit.tmp));
		}
	} else {
		j_need_reg(j, j_flags_in(i));
		e.kind = RM_REG;
		e.rm = jit_hreg[r.rm];
		if (homed(r.rm)) {
			e.rm = H_RAX;
			e_ld(j, H_RAX, C_OFF(gpr[0]) + 8 * r.rm);
		}
	}
	e_mov32(j, H_RCX, jit_hreg[GPR_RCX]);
	je_encode(j, i, &e, i->in.opcode);
	if (homed(r.rm))
		e_st(j, H_RAX, C_OFF(gpr[0]) + 8 * r.rm);
	j_wrote_flags(j, i);
	if (s)
		jm_done(j, s, j->fl_reg);
	return true;
}

bool takes_push(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->fn == op_push64_r || j_uop(j, i)->fn == op_push64_i;
}

bool sp_push(struct jit *j, struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[0];
	unsigned sp = jit_hreg[GPR_RSP];

	if (!jm_follows(j, i))
		j_need_mem(j, i->live_in);
	struct jstub *s = jm_stack(j, i, GPR_RSP, -8, 8, true, JA_RAX);
	if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		EB(j, X_REX_W, X_MOV_M_I, X_MODRM(0, 0, H_RAX)); /* mov qword [rax], imm32 */
		e32(j, (u32)o->imm.value.s);
	} else {
		op_rm(j, true, X_MOV_M_R, j_reg(j, decode_gpr(o->reg.value), H_RCX), H_RAX, 0);
	}
	op_rm(j, true, X_LEA, sp, sp, -8);
	jm_done(j, s, false);
	return s;
}

bool takes_push_mem(const struct jit *j, const struct jinsn *i)
{
	const struct uop *u = j_uop(j, i);

	return u->fn == op_push_any && (u->aux & AUX_MEM) && u->osize == 8;
}

/* Both accesses come before RSP changes. */
bool sp_push_mem(struct jit *j, struct jinsn *i)
{
	unsigned sp = jit_hreg[GPR_RSP];
	struct jstub *s, *t;

	j_need_mem(j, i->live_in);
	jm_address(j, i, &i->ops[0]);
	s = jm_check(j, i, 8, false, JA_RAX);
	if (!s)
		return false;
	op_rm(j, true, X_MOV_R_M, H_RCX, H_RAX, 0);
	e_st(j, H_RCX, C_OFF(jit.tmp)); /* the next check's slow way uses rcx up */
	t = jm_stack(j, i, GPR_RSP, -8, 8, true, JA_RAX);
	if (!t)
		return false;
	e_ld(j, H_RCX, C_OFF(jit.tmp));
	op_rm(j, true, X_MOV_M_R, H_RCX, H_RAX, 0);
	op_rm(j, true, X_LEA, sp, sp, -8);
	jm_done(j, s, false);
	jm_done(j, t, false);
	return true;
}

bool takes_pop(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->fn == op_pop64_r && j_uop(j, i)->r1 != GPR_RSP;
}

bool takes_pop_rsp(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->fn == op_pop64_r && j_uop(j, i)->r1 == GPR_RSP;
}

bool sp_pop(struct jit *j, struct jinsn *i)
{
	unsigned g = decode_gpr(i->ops[0].reg.value), sp = jit_hreg[GPR_RSP], h = jit_hreg[g];

	if (!jm_follows(j, i))
		j_need_mem(j, i->live_in);
	struct jstub *s = jm_stack(j, i, GPR_RSP, 0, 8, false, JA_RAX);
	op_rm(j, true, X_MOV_R_M, h == H_NONE ? H_RCX : h, H_RAX, 0);
	if (g != GPR_RSP)
		op_rm(j, true, X_LEA, sp, sp, 8);
	if (h == H_NONE)
		j_set_reg(j, g, H_RCX);
	jm_done(j, s, false);
	return s;
}

bool takes_leave(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->osize == 8;
}

bool sp_leave(struct jit *j, struct jinsn *i)
{
	unsigned sp = jit_hreg[GPR_RSP], bp = jit_hreg[GPR_RBP];

	j_need_mem(j, i->live_in);
	struct jstub *s = jm_stack(j, i, GPR_RBP, 0, 8, false, JA_RAX);
	op_rm(j, true, X_LEA, sp, bp, 8);
	op_rm(j, true, X_MOV_R_M, bp, H_RAX, 0);
	jm_done(j, s, false);
	return s;
}

/* Where no other vCPU waits for the time, it is as good as a NOP. */
bool takes_pause(const struct jit *j, const struct jinsn *i)
{
	return j->vm->ncpus == 1 && j_uop(j, i)->fn == j->vm->ends->pause && je_native_ok(j, i);
}

/* ---- which ---- */

static void take(struct jit *j, struct jinsn *i, const struct jit_way *w)
{
	i->emit = w->emit;
	i->kind = w->emit == ji_native ? JK_NATIVE : w->emit == ji_leave ? JK_END : JK_SPECIAL;
	i->mem = w->access == JM_OPERAND ? jm_operand(i) != NULL : w->access != JM_NONE;
	i->stack = w->access == JM_STACK;
	if (w->vec)
		jv_take(j, i, w->vec);
}

void ji_classify(struct jit *j, struct jinsn *i)
{
	static const struct jit_way nothing = { .emit = sp_nothing, .access = JM_NONE };
	const struct jit_row *r = i->row;
	uop_fn *fn = j_uop(j, i)->fn;

	i->kind = i->end ? JK_END : JK_UOP;
	i->mem = jm_operand(i);
	if (fn == op_ud || fn == op_gp_len) {
		i->kind = JK_END;
		return;
	}
	if (fn == op_nop) {
		take(j, i, &nothing);
		return;
	}
	/* What ends its block, and is no branch, changes more than a translation could follow. */
	if (i->end && i->in.meta.branch_type == ZYDIS_BRANCH_TYPE_NONE)
		return;
	for (unsigned k = 0; r && k < JIT_WAYS && r->way[k].emit; k++)
		if (!r->way[k].takes || r->way[k].takes(j, i)) {
			take(j, i, &r->way[k]);
			return;
		}
	if (!i->end && (!r || (r->flags & JR_VECTOR)))
		jit_vec_classify(j, i);
}
