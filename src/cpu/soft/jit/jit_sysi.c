/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_sysi.c - system instructions that only move what the vCPU's structure holds.
 *
 * A block translated for supervisor accesses runs at CPL 0 alone: enter() leaves CPL 1 and 2 to the interpreter.
 */
#include "cpu/soft/jit/jit_encode.h"
#include "cpu/soft/jit/jit_row.h"
#include "cpu/soft/system/sys.h"

/* op dword [rsp + off], imm. op: XG_ADD... */
static void mem_imm32(struct jit *j, unsigned op, s32 off, u32 v)
{
	e8(j, X_ALU_I);
	modrm_disp(j, op, H_RSP, off);
	e32(j, v);
}

/* To the handler where `bits` of c's byte at off are (not) set; spoils flags. */
static struct jstub *unless(struct jit *j, struct jinsn *i, s32 off, u8 bits, unsigned cc)
{
	struct jstub *s = j_stub(j, JS_UOP);

	if (!s)
		return NULL;
	e8(j, X8_TEST_M_I8); /* test byte [rsp + off], imm8 */
	modrm_disp(j, XG_TEST, H_RSP, off);
	e8(j, bits);
	j_spoil(j);
	s->i = i;
	s->from = e_jcc(j, cc);
	return s;
}

bool takes_supervisor(const struct jit *j, const struct jinsn *i)
{
	(void)i;
	return j->mode != TLB_USER;
}

bool sp_cli(struct jit *j, struct jinsn *i)
{
	j_need_mem(j, i->live_in);
	mem_imm32(j, XG_AND, C_OFF(sysflags), ~FL_IF);
	j_spoil(j);
	return true;
}

/* At the block's end the shadow must be kept up: by the handler. */
bool takes_sti_last(const struct jit *j, const struct jinsn *i)
{
	return i->off + i->in.length == j->b->bytes;
}

/*
 * Where an interrupt waits it must come right after the next instruction (STI; NOP; CLI lets it in): the handler's.
 * Where none does, going on inside the block is shadow enough; one that comes now raises PEND_INTR (INV-JIT-1).
 */
bool sp_sti(struct jit *j, struct jinsn *i)
{
	j_need_mem(j, i->live_in);
	j_spoil(j);
	for (unsigned k = 0; k < 2; k++) {
		struct jstub *s = j_stub(j, JS_EXIT_UOP);
		if (!s)
			return false;
		e8(j, k ? X_ALU_I8 : X8_ALU_I8); /* cmp byte [intr_line], 0; cmp dword [pending], 0 */
		modrm_disp(j, XG_CMP, H_RSP, k ? C_OFF(pending) : C_OFF(intr_line));
		e8(j, 0);
		s->i = i;
		s->from = e_jcc(j, CC_NZ);
	}
	mem_imm32(j, XG_OR, C_OFF(sysflags), FL_IF);
	return true;
}

bool sp_swapgs(struct jit *j, struct jinsn *i)
{
	(void)i;
	e_ld(j, H_RAX, C_OFF(seg[SEG_GS].base));
	e_ld(j, H_RCX, C_OFF(kernel_gs_base));
	e_st(j, H_RAX, C_OFF(kernel_gs_base));
	e_st(j, H_RCX, C_OFF(seg[SEG_GS].base));
	e_st(j, H_RCX, C_OFF(eff_base[SEG_GS]));
	return true;
}

bool sp_rdtsc(struct jit *j, struct jinsn *i)
{
	struct jstub *s = NULL;

	j_need_mem(j, i->live_in);
	if (j->mode == TLB_USER && !(s = unless(j, i, C_OFF(cr4), CR4_TSD, CC_NZ)))
		return false;
	if (i->in.mnemonic == ZYDIS_MNEMONIC_RDTSCP)
		EB(j, X_0F, X0F_GROUP15,
		   X_REGS(XG_LFENCE, 0)); /* lfence: RDTSCP waits for what was before, and the host may have none */
	EB(j, X_0F, X0F_RDTSC);           /* rdtsc */
	EB(j, X_REX_W, X_SHIFT_I8, X_REGS(XG_SHL, H_RDX), 32, X_REX_W, X_OR_M_R,
	   X_REGS(H_RDX, H_RAX));                                   /* shl rdx, 32; or rax, rdx */
	op_rm(j, true, X_ADD_R_M, H_RAX, H_RSP, C_OFF(tsc_offset)); /* add */
	e_mov(j, H_RDX, H_RAX);
	EB(j, X_REX_W, X_SHIFT_I8, X_REGS(XG_SHR, H_RDX), 32); /* shr rdx, 32 */
	e_mov32(j, jit_hreg[GPR_RAX], H_RAX);
	if (i->in.mnemonic == ZYDIS_MNEMONIC_RDTSCP)
		op_rm(j, false, X_MOV_R_M, jit_hreg[GPR_RCX], H_RSP, C_OFF(tsc_aux));
	j_spoil(j);
	if (s)
		s->next = j->n;
	return true;
}

/* RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE */
bool sp_base(struct jit *j, struct jinsn *i)
{
	const struct uop *u = j_uop(j, i);
	unsigned seg = u->r1;
	bool w = u->osize == 8;

	j_need_mem(j, i->live_in);
	struct jstub *s = unless(j, i, C_OFF(cr4) + 2, CR4_FSGSBASE >> 16, CC_Z);
	if (!s)
		return false;
	if (u->fn == sys_rdbase) {
		op_rm(j, w, X_MOV_R_M, H_RAX, H_RSP, C_OFF(seg[0].base) + (s32)(seg * sizeof(struct cpu_seg)));
		j_set_reg(j, u->r0, H_RAX);
	} else {
		unsigned h = j_reg(j, u->r0, H_RCX);
		if (w) {
			e_mov(j, H_RCX, h);
			e_mov(j, H_RAX, h);
			EB(j, X_REX_W, X_SHIFT_I8, X_REGS(XG_SHL, H_RAX), 16, X_REX_W, X_SHIFT_I8,
			   X_REGS(XG_SAR, H_RAX), 16);
			op_rr(j, true, X_CMP_R_M, H_RAX, H_RCX);
			s->more[0] = e_jcc(j, CC_NZ);
		} else {
			e_mov32(j, H_RCX, h);
		}
		e_st(j, H_RCX, C_OFF(seg[0].base) + (s32)(seg * sizeof(struct cpu_seg)));
		e_st(j, H_RCX, C_OFF(eff_base[0]) + (s32)seg * 8);
	}
	s->next = j->n;
	return true;
}

bool takes_pushf(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->osize == 8;
}

void js_pushed_rflags(struct jit *j)
{
	EB(j, X_0F, X0F_MOVZX8); /* movzx ecx, byte [fl]: OF */
	modrm_disp(j, H_RCX, H_RSP, C_OFF(fl));
	EB(j, X_SHIFT_I8, X_REGS(XG_SHL, H_RCX), 11); /* shl ecx, 11 */
	op_rm(j, false, X_OR_R_M, H_RCX, H_RSP, C_OFF(sysflags));
	op_rm(j, false, X8_OR_R_M, H_RCX, H_RSP, C_OFF(fl) + 1); /* or cl, [fl + 1] */
	e_alui(j, false, XG_AND, H_RCX, (s32) ~(FL_RF | FL_VM));
	j_spoil(j);
}

bool sp_pushf(struct jit *j, struct jinsn *i)
{
	unsigned sp = jit_hreg[GPR_RSP];

	j_need_mem(j, JF_ALL);
	struct jstub *s = jm_stack(j, i, GPR_RSP, -8, 8, true, JA_RAX);
	if (!s)
		return false;
	js_pushed_rflags(j);
	op_rm(j, true, X_MOV_M_R, H_RCX, H_RAX, 0);
	op_rm(j, true, X_LEA, sp, sp, -8);
	jm_done(j, s, false);
	return true;
}

bool takes_from_cr(const struct jit *j, const struct jinsn *i)
{
	const struct uop *u = j_uop(j, i);

	return u->fn == sys_mov_from_cr && j->mode != TLB_USER && u->r1 <= 4 && u->r1 != 1;
}

bool sp_from_cr(struct jit *j, struct jinsn *i)
{
	const struct uop *u = j_uop(j, i);

	op_rm(j, j_code64(j), X_MOV_R_M, H_RAX, H_RSP,
	      u->r1 == 0   ? C_OFF(cr0)
	      : u->r1 == 2 ? C_OFF(cr2)
	      : u->r1 == 3 ? C_OFF(cr3)
			   : C_OFF(cr4));
	j_set_reg(j, u->r0, H_RAX);
	return true;
}

bool takes_from_sreg(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->fn == sys_mov_from_sreg && !j_uop(j, i)->aux;
}

/* MOV from a segment register to a general one, of which 16 bits may be left alone. */
bool sp_from_sreg(struct jit *j, struct jinsn *i)
{
	const struct uop *u = j_uop(j, i);
	unsigned h = jit_hreg[u->r0];

	EB(j, X_0F, X0F_MOVZX16); /* movzx eax, word [sel] */
	modrm_disp(j, H_RAX, H_RSP, C_OFF(seg[0].sel) + (s32)(u->r1 * sizeof(struct cpu_seg)));
	if (u->osize != 2) {
		j_set_reg(j, u->r0, H_RAX);
		return true;
	}
	e8(j, X_OSIZE);
	if (h == H_NONE)
		op_rm(j, false, X_MOV_M_R, H_RAX, H_RSP, C_OFF(gpr[0]) + 8 * (s32)u->r0);
	else
		op_rr(j, false, X_MOV_M_R, H_RAX, h);
	return true;
}

/* From here on the block looks another way, see mmu_index(). */
bool sp_stac(struct jit *j, struct jinsn *i)
{
	bool on = i->in.mnemonic == ZYDIS_MNEMONIC_STAC;
	unsigned mode = on ? TLB_SUPER_AC : TLB_SUPER;

	j_need_mem(j, i->live_in);
	j_spoil(j);
	if (on) { /* without CR4.SMAP the handler knows better */
		struct jstub *s = j_stub(j, JS_EXIT_UOP);
		if (!s)
			return false;
		EB(j, X8_TEST_M_I8, X_MODRM(2, XG_TEST, X_RM_SIB),
		   X_SIB(0, 4, H_RSP)); /* test byte [rsp + disp32], imm8 */
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
