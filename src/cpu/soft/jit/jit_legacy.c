/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_legacy.c - near branches and the stack outside of 64-bit code, with operands of 32 or 16 bits.
 *
 * The IP that a branch sets is cut to its operand's size. Where that is the code's size it is within CS's limit
 * (MODE_NARROW is not translated); 32-bit branches of 16-bit code are looked at, others of another size are the
 * handler's.
 */
#include "cpu/soft/jit/jit_encode.h"

#include "cpu/soft/decode/decode.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/jit/jit_row.h"
#include "cpu/soft/system/sys.h"

/* ---- pieces ---- */

/* The guest's stack pointer plus by; rcx is spoilt where it has 16 bits. */
static void move_sp(struct jit *j, unsigned from, s32 by)
{
	unsigned sp = jit_hreg[GPR_RSP];

	if (j->key & MODE_SS32) {
		op_rm(j, false, X_LEA, sp, from, by);
		return;
	}
	op_rm(j, false, X_LEA, H_RCX, from, by);
	e8(j, X_OSIZE);
	op_rr(j, false, X_MOV_R_M, sp, H_RCX);
}

/* mov [rax], the low n bytes of h */
static void store(struct jit *j, unsigned n, unsigned h)
{
	if (n == 2)
		e8(j, X_OSIZE);
	op_rm(j, false, X_MOV_M_R, h, H_RAX, 0);
}

static void store_imm(struct jit *j, unsigned n, u32 v)
{
	if (n == 2)
		e8(j, X_OSIZE);
	EB(j, X_MOV_M_I, X_MODRM(0, 0, H_RAX));
	e8(j, v);
	e8(j, v >> 8);
	if (n == 4) {
		e8(j, v >> 16);
		e8(j, v >> 24);
	}
}

/* h = n bytes at [rax], with zeroes above */
static void load(struct jit *j, unsigned n, unsigned h)
{
	if (n == 4) {
		op_rm(j, false, X_MOV_R_M, h, H_RAX, 0);
		return;
	}
	rex(j, false, h, 0, H_RAX);
	EB(j, X_0F, X0F_MOVZX16);
	modrm_disp(j, h, H_RAX, 0);
}

/* Guest register g = the low n bytes of h. */
static void set_reg(struct jit *j, unsigned g, unsigned n, unsigned h)
{
	if (n == 2)
		e8(j, X_OSIZE);
	op_rr(j, false, X_MOV_R_M, jit_hreg[g], h);
}

static struct jstub *exit_if(struct jit *j, struct jinsn *i, unsigned cc)
{
	struct jstub *s = j_stub(j, JS_EXIT_UOP);

	if (s) {
		s->i = i;
		s->from = e_jcc(j, cc);
	}
	return s;
}

/* Can IP rax be beyond CS's limit? Leave to the handler if it may be. */
static bool check_target(struct jit *j, struct jinsn *i)
{
	if (!j_code16(j) || j_uop(j, i)->osize == 2)
		return true;
	e_alui(j, true, XG_CMP, H_RAX, 0xffff);
	j_spoil(j);
	return exit_if(j, i, CC_A);
}

static bool check_direct(struct jit *j, struct jinsn *i, s64 rel)
{
	if (!j_code16(j) || j_uop(j, i)->osize == 2)
		return true;
	e_ld(j, H_RAX, C_OFF(jit.vpage));
	e_alui(j, true, XG_ADD, H_RAX, (s32)rel);
	return check_target(j, i);
}

/* ---- branches ---- */

bool lg_jcc(struct jit *j, struct jinsn *i)
{
	s64 rel;

	jf_target(j, i, &rel);
	j_need_reg(j, i->fl.read);
	return jf_go_if(j, i, rel, i->live_target, i->in.opcode & 15);
}

bool lg_jmp(struct jit *j, struct jinsn *i)
{
	s64 rel;

	jf_target(j, i, &rel);
	if (j_code16(j) && j_uop(j, i)->osize != 2) {
		j_need_mem(j, JF_ALL);
		if (!check_direct(j, i, rel))
			return false;
	}
	jf_go(j, rel, i->live_target);
	return true;
}

/* LOOP, LOOPE, LOOPNE, JCXZ: the last of its block. */
bool lg_loop(struct jit *j, struct jinsn *i)
{
	const struct uop *u = j_uop(j, i);
	unsigned h = jit_hreg[GPR_RCX];
	u32 no = 0;
	s64 rel;

	jf_target(j, i, &rel);
	j_need_mem(j, JF_ALL);
	j_spoil(j);
	if (u->r0 == 3)
		e_mov32(j, H_RCX, h);
	else
		op_rm(j, false, X_LEA, H_RCX, h, -1);
	if (u->r0 != 3)
		set_reg(j, GPR_RCX, u->r1, H_RCX);
	if (u->r0 < 2) {
		e8(j, X8_TEST_M_I8); /* test byte [fl + 1], ZF */
		modrm_disp(j, 0, H_RSP, C_OFF(fl) + 1);
		e8(j, FL_ZF);
		no = e_jcc(j, u->r0 ? CC_Z : CC_NZ);
	}
	if (u->r1 == 2)
		e8(j, X_OSIZE);
	op_rr(j, false, X_TEST_M_R, H_RCX, H_RCX);
	if (!jf_go_if(j, i, rel, i->live_target, u->r0 == 3 ? CC_Z : CC_NZ))
		return false;
	if (no)
		patch_to(j, no, j->n);
	jf_fall(j, (s64)j->page_off + i->off + i->in.length, JF_ALL);
	return true;
}

/* The push of a call: to be completed with jm_done(). */
static struct jstub *push_return(struct jit *j, struct jinsn *i)
{
	unsigned n = j_uop(j, i)->osize;
	struct jstub *s = jm_stack(j, i, GPR_RSP, -(s32)n, n, true, JA_RAX);

	if (!s)
		return NULL;
	s->how |= JSLOW_END;
	e_ld(j, H_RCX, C_OFF(jit.vpage));
	op_rm(j, true, X_LEA, H_RCX, H_RCX, (s32)(j->page_off + i->off + i->in.length));
	store(j, n, H_RCX);
	move_sp(j, jit_hreg[GPR_RSP], -(s32)n);
	return s;
}

bool lg_call(struct jit *j, struct jinsn *i)
{
	struct jstub *s;
	s64 rel;

	jf_target(j, i, &rel);
	if (!jm_follows(j, i) || j_code16(j))
		j_need_mem(j, j_code16(j) ? JF_ALL : i->live_in);
	if (!check_direct(j, i, rel) || !(s = push_return(j, i)))
		return false;
	jm_done(j, s, false);
	jf_go(j, rel, i->live_target);
	return true;
}

bool lg_ret(struct jit *j, struct jinsn *i)
{
	const struct uop *u = j_uop(j, i);

	j_need_mem(j, JF_ALL);
	struct jstub *s = jm_stack(j, i, GPR_RSP, 0, u->osize, false, JA_RAX);
	if (!s)
		return false;
	s->how |= JSLOW_END;
	load(j, u->osize, H_RAX);
	if (!check_target(j, i))
		return false;
	move_sp(j, jit_hreg[GPR_RSP], (s32)(u->osize + u->imm));
	jm_done(j, s, false);
	jf_go_rax(j, i, 0);
	return true;
}

bool lg_indirect(struct jit *j, struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[0];
	unsigned n = j_uop(j, i)->osize;
	struct jstub *s = NULL;

	j_need_mem(j, JF_ALL);
	if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		jm_address(j, i, o);
		s = jm_check(j, i, n, false, JA_RAX);
		if (!s)
			return false;
		s->how |= JSLOW_END;
		load(j, n, H_RAX);
		jm_done(j, s, false);
	} else {
		e_mov32(j, H_RAX, jit_hreg[decode_gpr(o->reg.value)]);
		if (n == 2)
			EB(j, X_0F, X0F_MOVZX16, X_REGS(H_RAX, H_RAX));
	}
	if (!check_target(j, i))
		return false;
	if (i->in.meta.category == ZYDIS_CATEGORY_CALL) {
		e_st(j, H_RAX, C_OFF(jit.tmp));
		if (!(s = push_return(j, i)))
			return false;
		jm_done(j, s, false);
		e_ld(j, H_RAX, C_OFF(jit.tmp));
	}
	jf_go_rax(j, i, 0);
	return true;
}

/* ---- the stack ---- */

bool lg_push(struct jit *j, struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[0];
	unsigned n = j_uop(j, i)->osize;
	struct jstub *s;

	if (!jm_follows(j, i))
		j_need_mem(j, i->live_in);
	if (!(s = jm_stack(j, i, GPR_RSP, -(s32)n, n, true, JA_RAX)))
		return false;
	if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		store_imm(j, n, (u32)o->imm.value.s);
	else
		store(j, n, jit_hreg[decode_gpr(o->reg.value)]);
	move_sp(j, jit_hreg[GPR_RSP], -(s32)n);
	jm_done(j, s, false);
	return true;
}

/* With zeroes above, as the handler does. */
bool lg_push_sreg(struct jit *j, struct jinsn *i)
{
	unsigned n = j_uop(j, i)->osize;
	struct jstub *s;

	if (!jm_follows(j, i))
		j_need_mem(j, i->live_in);
	if (!(s = jm_stack(j, i, GPR_RSP, -(s32)n, n, true, JA_RAX)))
		return false;
	EB(j, X_0F, X0F_MOVZX16); /* movzx ecx, word [sel] */
	modrm_disp(j, H_RCX, H_RSP, C_OFF(seg[0].sel) + (s32)(j_uop(j, i)->r1 * sizeof(struct cpu_seg)));
	store(j, n, H_RCX);
	move_sp(j, jit_hreg[GPR_RSP], -(s32)n);
	jm_done(j, s, false);
	return true;
}

/* Both accesses come before SP changes. */
bool lg_push_mem(struct jit *j, struct jinsn *i)
{
	unsigned n = j_uop(j, i)->osize;
	struct jstub *from, *to;

	j_need_mem(j, i->live_in);
	jm_address(j, i, &i->ops[0]);
	if (!(from = jm_check(j, i, n, false, JA_RAX)))
		return false;
	load(j, n, H_RCX);
	e_st(j, H_RCX, C_OFF(jit.tmp)); /* the next check spoils rcx */
	if (!(to = jm_stack(j, i, GPR_RSP, -(s32)n, n, true, JA_RAX)))
		return false;
	e_ld(j, H_RCX, C_OFF(jit.tmp));
	store(j, n, H_RCX);
	move_sp(j, jit_hreg[GPR_RSP], -(s32)n);
	jm_done(j, from, false);
	jm_done(j, to, false);
	return true;
}

/* In virtual-8086 mode, which only 16-bit code can be in, the handler's. */
bool lg_pushf(struct jit *j, struct jinsn *i)
{
	unsigned n = j_uop(j, i)->osize;
	struct jstub *s, *vm = NULL;

	j_need_mem(j, JF_ALL);
	if (j_code16(j)) {
		if (!(vm = j_stub(j, JS_UOP)))
			return false;
		vm->i = i;
		e8(j, X8_TEST_M_I8); /* test byte [sysflags + 2], VM */
		modrm_disp(j, XG_TEST, H_RSP, C_OFF(sysflags) + 2);
		e8(j, FL_VM >> 16);
		j_spoil(j);
		vm->from = e_jcc(j, CC_NZ);
	}
	if (!(s = jm_stack(j, i, GPR_RSP, -(s32)n, n, true, JA_RAX)))
		return false;
	js_pushed_rflags(j);
	store(j, n, H_RCX);
	move_sp(j, jit_hreg[GPR_RSP], -(s32)n);
	jm_done(j, s, false);
	if (vm)
		jm_done(j, vm, false);
	return true;
}

bool lg_pop(struct jit *j, struct jinsn *i)
{
	unsigned n = j_uop(j, i)->osize, g = decode_gpr(i->ops[0].reg.value);

	if (!jm_follows(j, i))
		j_need_mem(j, i->live_in);
	struct jstub *s = jm_stack(j, i, GPR_RSP, 0, n, false, JA_RAX);
	if (!s)
		return false;
	if (n == 4 && g != GPR_RSP) {
		load(j, n, jit_hreg[g]);
		move_sp(j, jit_hreg[GPR_RSP], (s32)n);
	} else {
		load(j, n, H_RAX);
		move_sp(j, jit_hreg[GPR_RSP], (s32)n);
		set_reg(j, g, n, H_RAX);
	}
	jm_done(j, s, false);
	return true;
}

bool lg_leave(struct jit *j, struct jinsn *i)
{
	unsigned n = j_uop(j, i)->osize;

	j_need_mem(j, i->live_in);
	struct jstub *s = jm_stack(j, i, GPR_RBP, 0, n, false, JA_RAX);
	if (!s)
		return false;
	load(j, n, H_RAX);
	move_sp(j, jit_hreg[GPR_RBP], (s32)n);
	set_reg(j, GPR_RBP, n, H_RAX);
	jm_done(j, s, false);
	return true;
}

/* ---- which ---- */

static bool own_size(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->osize == (j_code16(j) ? 2 : 4);
}

bool lg_takes_jcc(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->fn == op_jcc_legacy && own_size(j, i) && !j_code64(j);
}

bool lg_takes_loop(const struct jit *j, const struct jinsn *i)
{
	return own_size(j, i) && !j_code64(j);
}

/* Of 16 bits in 32-bit code, too, where the target is not known before. */
bool lg_takes_jmp(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->fn == op_jmp_legacy && (own_size(j, i) || j_code16(j)) && !j_code64(j);
}

bool lg_takes_call(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->fn == op_call_legacy && (own_size(j, i) || j_code16(j)) && !j_code64(j);
}

bool lg_takes_ret(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->fn == op_ret_legacy && !j_code64(j);
}

bool lg_takes_indirect(const struct jit *j, const struct jinsn *i)
{
	uop_fn *fn = j_uop(j, i)->fn;

	return (fn == op_jmpi_legacy || fn == op_calli_legacy) && !j_code64(j);
}

bool lg_takes_push(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->fn == op_push_any && !(j_uop(j, i)->aux & AUX_MEM) && !j_code64(j);
}

bool lg_takes_push_mem(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->fn == op_push_any && !j_code64(j);
}

bool lg_takes_push_sreg(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->fn == sys_push_sreg && !j_code64(j);
}

bool lg_takes_pop(const struct jit *j, const struct jinsn *i)
{
	return lg_takes_pop_sp(j, i) && j_uop(j, i)->r1 != GPR_RSP;
}

bool lg_takes_pop_sp(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->fn == op_pop_any && !(j_uop(j, i)->aux & AUX_MEM) && !j_code64(j);
}

bool lg_takes_pushf(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->fn == sys_pushf && !j_code64(j);
}

bool lg_takes_leave(const struct jit *j, const struct jinsn *i)
{
	(void)i;
	return !j_code64(j);
}
