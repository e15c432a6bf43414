/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_insn.c - integer instructions: which are encoded again as they are, with other registers, and which have an
 * emitter of their own. What is in neither list is executed by the interpreter's handler.
 */
#include "cpu/soft/jit/jit_encode.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/decode/decode.h"

/* ---- emitters of their own ---- */

static bool sp_nothing(struct jit *j, struct jinsn *i)
{
	(void)j, (void)i;
	return true;
}

static bool sp_convert(struct jit *j, struct jinsn *i)
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

/* SHL and friends by CL, SHLD and SHRD by CL. */
static bool shift_ok(const struct jinsn *i)
{
	struct jinsn t = *i;
	struct regs r;

	/* Without the count it is an ordinary instruction. */
	unsigned c = i->in.operand_count_visible - 1;
	if (t.ops[c].type != ZYDIS_OPERAND_TYPE_REGISTER || t.ops[c].reg.value != ZYDIS_REGISTER_CL)
		return false;
	t.ops[c].type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
	if (!je_regs(&t, &r) || r.high || homed(r.reg))
		return false;
	return true;
}

static bool sp_shift_cl(struct jit *j, struct jinsn *i)
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

static bool sp_push(struct jit *j, struct jinsn *i)
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

/* Both accesses come before RSP changes. */
static bool sp_push_mem(struct jit *j, struct jinsn *i)
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

static bool sp_pop(struct jit *j, struct jinsn *i)
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

static bool sp_leave(struct jit *j, struct jinsn *i)
{
	unsigned sp = jit_hreg[GPR_RSP], bp = jit_hreg[GPR_RBP];

	j_need_mem(j, i->live_in);
	struct jstub *s = jm_stack(j, i, GPR_RBP, 0, 8, false, JA_RAX);
	op_rm(j, true, X_LEA, sp, bp, 8);
	op_rm(j, true, X_MOV_R_M, bp, H_RAX, 0);
	jm_done(j, s, false);
	return s;
}

/* From here on the block looks another way, see mmu_index(). */
static bool sp_stac(struct jit *j, struct jinsn *i)
{
	bool on = i->in.mnemonic == ZYDIS_MNEMONIC_STAC;
	unsigned mode = on ? TLB_SUPER_AC : TLB_SUPER;

	j_need_mem(j, i->live_in);
	j_spoil(j);
	if (on) { /* without CR4.SMAP the handler knows better */
		struct jstub *s = j_stub(j, JS_EXIT_UOP);
		if (!s)
			return false;
		EB(j, X8_TEST_M_I8, X_MODRM(2, 0, X_RM_SIB), X_SIB(0, 4, H_RSP)); /* test byte [rsp + disp32], imm8 */
		e32(j, (u32)(C_OFF(cr4) + 2));
		e8(j, CR4_SMAP >> 16);
		s->i = i;
		s->from = e_jcc(j, CC_Z);
	}
	EB(j, X_ALU_I, X_MODRM(2, on ? XG_OR : XG_AND, X_RM_SIB),
	   X_SIB(0, 4, H_RSP)); /* or, and dword [rsp + disp32], imm32 */
	e32(j, (u32)C_OFF(sysflags));
	e32(j, on ? FL_AC : ~FL_AC);
	e_ld(j, H_RAX, C_OFF(tlbs[0]) + (s32)(mode * sizeof(struct tlb_entry *)));
	e_st(j, H_RAX, C_OFF(tlb));
	j->mode = (u8)mode;
	return true;
}

void ji_classify(struct jit *j, struct jinsn *i)
{
	const ZydisDecodedOperand *o = i->ops;
	bool mem = jm_operand(i);
	const struct uop *u = &j->b->op[i->uop];

	i->kind = i->end ? JK_END : JK_UOP;
	i->mem = mem;
	if (u->fn == op_ud || u->fn == op_gp_len) {
		i->kind = JK_END;
		return;
	}
	if (u->fn == op_nop) {
		special(i, true, sp_nothing, false);
		i->mem = false;
		return;
	}
	if ((j_code64(j) ? jit_flow_classify(j, i) : jit_legacy_classify(j, i)) || i->kind == JK_END)
		return;
	if (jit_vec_classify(j, i) || jit_muldiv_classify(j, i) || jit_bits_classify(j, i) || jit_sysi_classify(j, i) ||
	    jit_string_classify(j, i))
		return;
	switch (i->in.mnemonic) {
	case ZYDIS_MNEMONIC_ROL:
	case ZYDIS_MNEMONIC_ROR:
	case ZYDIS_MNEMONIC_RCL:
	case ZYDIS_MNEMONIC_RCR:
	case ZYDIS_MNEMONIC_SHL:
	case ZYDIS_MNEMONIC_SHR:
	case ZYDIS_MNEMONIC_SAR:
		if (o[1].type == ZYDIS_OPERAND_TYPE_REGISTER) {
			special(i, shift_ok(i), sp_shift_cl, mem);
			break;
		}
		goto native;
	case ZYDIS_MNEMONIC_SHLD:
	case ZYDIS_MNEMONIC_SHRD:
		if (o[2].type == ZYDIS_OPERAND_TYPE_REGISTER) {
			special(i, shift_ok(i), sp_shift_cl, mem);
			break;
		}
		goto native;
	case ZYDIS_MNEMONIC_LEA:
		special(i, true, jm_lea, false);
		i->mem = false;
		break;
	case ZYDIS_MNEMONIC_CBW:
	case ZYDIS_MNEMONIC_CWDE:
	case ZYDIS_MNEMONIC_CDQE:
	case ZYDIS_MNEMONIC_CWD:
	case ZYDIS_MNEMONIC_CDQ:
	case ZYDIS_MNEMONIC_CQO:
		special(i, true, sp_convert, false);
		break;
	case ZYDIS_MNEMONIC_STAC:
	case ZYDIS_MNEMONIC_CLAC:
		i->mem = false;
		if (j->mode == TLB_USER)
			i->kind = JK_END;
		else
			special(i, true, sp_stac, false);
		break;
	case ZYDIS_MNEMONIC_PUSH:
		special(i, u->fn == op_push64_r || u->fn == op_push64_i, sp_push, true);
		special(i, u->fn == op_push_any && (u->aux & AUX_MEM) && u->osize == 8, sp_push_mem, true);
		i->mem = true;
		i->stack = i->kind == JK_SPECIAL && i->emit == sp_push;
		break;
	case ZYDIS_MNEMONIC_POP:
		special(i, u->fn == op_pop64_r, sp_pop, true);
		i->mem = true;
		i->stack = i->kind == JK_SPECIAL && u->r1 != GPR_RSP;
		break;
	case ZYDIS_MNEMONIC_LEAVE:
		special(i, u->osize == 8, sp_leave, true);
		i->mem = true;
		break;
	case ZYDIS_MNEMONIC_PAUSE:
		if (j->vm->ncpus > 1 || u->fn != j->vm->ends->pause)
			break;
		goto native;
	case ZYDIS_MNEMONIC_IMUL:
	case ZYDIS_MNEMONIC_XCHG:
	case ZYDIS_MNEMONIC_XADD:
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_ADC:
	case ZYDIS_MNEMONIC_SBB:
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_CMP:
	case ZYDIS_MNEMONIC_TEST:
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_MOVNTI:
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
	case ZYDIS_MNEMONIC_INC:
	case ZYDIS_MNEMONIC_DEC:
	case ZYDIS_MNEMONIC_NEG:
	case ZYDIS_MNEMONIC_NOT:
	case ZYDIS_MNEMONIC_BSF:
	case ZYDIS_MNEMONIC_BSR:
	case ZYDIS_MNEMONIC_TZCNT:
	case ZYDIS_MNEMONIC_LZCNT:
	case ZYDIS_MNEMONIC_POPCNT:
	case ZYDIS_MNEMONIC_BSWAP:
	case ZYDIS_MNEMONIC_MOVBE:
	case ZYDIS_MNEMONIC_CRC32:
	case ZYDIS_MNEMONIC_ANDN:
	case ZYDIS_MNEMONIC_BEXTR:
	case ZYDIS_MNEMONIC_BLSI:
	case ZYDIS_MNEMONIC_BLSMSK:
	case ZYDIS_MNEMONIC_BLSR:
	case ZYDIS_MNEMONIC_BZHI:
	case ZYDIS_MNEMONIC_PDEP:
	case ZYDIS_MNEMONIC_PEXT:
	case ZYDIS_MNEMONIC_RORX:
	case ZYDIS_MNEMONIC_SARX:
	case ZYDIS_MNEMONIC_SHLX:
	case ZYDIS_MNEMONIC_SHRX:
	case ZYDIS_MNEMONIC_ADCX:
	case ZYDIS_MNEMONIC_ADOX:
	case ZYDIS_MNEMONIC_CLC:
	case ZYDIS_MNEMONIC_STC:
	case ZYDIS_MNEMONIC_CMC:
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_SETO:
	case ZYDIS_MNEMONIC_SETNO:
	case ZYDIS_MNEMONIC_SETB:
	case ZYDIS_MNEMONIC_SETNB:
	case ZYDIS_MNEMONIC_SETZ:
	case ZYDIS_MNEMONIC_SETNZ:
	case ZYDIS_MNEMONIC_SETBE:
	case ZYDIS_MNEMONIC_SETNBE:
	case ZYDIS_MNEMONIC_SETS:
	case ZYDIS_MNEMONIC_SETNS:
	case ZYDIS_MNEMONIC_SETP:
	case ZYDIS_MNEMONIC_SETNP:
	case ZYDIS_MNEMONIC_SETL:
	case ZYDIS_MNEMONIC_SETNL:
	case ZYDIS_MNEMONIC_SETLE:
	case ZYDIS_MNEMONIC_SETNLE:
	case ZYDIS_MNEMONIC_CMOVO:
	case ZYDIS_MNEMONIC_CMOVNO:
	case ZYDIS_MNEMONIC_CMOVB:
	case ZYDIS_MNEMONIC_CMOVNB:
	case ZYDIS_MNEMONIC_CMOVZ:
	case ZYDIS_MNEMONIC_CMOVNZ:
	case ZYDIS_MNEMONIC_CMOVBE:
	case ZYDIS_MNEMONIC_CMOVNBE:
	case ZYDIS_MNEMONIC_CMOVS:
	case ZYDIS_MNEMONIC_CMOVNS:
	case ZYDIS_MNEMONIC_CMOVP:
	case ZYDIS_MNEMONIC_CMOVNP:
	case ZYDIS_MNEMONIC_CMOVL:
	case ZYDIS_MNEMONIC_CMOVNL:
	case ZYDIS_MNEMONIC_CMOVLE:
	case ZYDIS_MNEMONIC_CMOVNLE:
	native:
		if (je_native_ok(i))
			i->kind = JK_NATIVE;
		break;
	default:
		break;
	}
}
