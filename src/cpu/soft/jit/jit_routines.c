/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_routines.c - the routines in the code memory that translated code calls.
 *
 * A routine is entered by CALL with rsp = the vCPU; it takes the return address off, puts the guest's registers
 * into c->gpr[], and calls its C function (jit_run.h) on the C stack. Data for it lies behind the call.
 */
#include "cpu/soft/jit/jit_run.h"

static const u8 callee_saved[] = { H_RBP, H_RBX, H_R12, H_R13, H_R14, H_R15 };

static void push_pop(struct jit *j, bool push, unsigned r)
{
	rex(j, false, 0, 0, r);
	e8(j, (push ? X_PUSH : X_POP) | (r & 7));
}

static void spill(struct jit *j)
{
	for (unsigned g = 0; g < 16; g++)
		if (jit_hreg[g] != H_NONE)
			e_st(j, jit_hreg[g], C_OFF(gpr[0]) + 8 * (s32)g);
}

static void reload(struct jit *j)
{
	for (unsigned g = 0; g < 16; g++)
		if (jit_hreg[g] != H_NONE)
			e_ld(j, jit_hreg[g], C_OFF(gpr[0]) + 8 * (s32)g);
}

/* Registers that a C function may have changed; rbx we use. */
static void reload_clobbered(struct jit *j)
{
	static const u8 kept[16] = { [H_RBP] = 1, [H_R12] = 1, [H_R13] = 1, [H_R14] = 1, [H_R15] = 1 };

	for (unsigned g = 0; g < 16; g++)
		if (jit_hreg[g] != H_NONE && !kept[jit_hreg[g]])
			e_ld(j, jit_hreg[g], C_OFF(gpr[0]) + 8 * (s32)g);
}

/* Return address into c->jit.ret, registers into c->gpr, then fn(c, rax, data) on the C stack; rbx = c. */
static void to_c(struct jit *j, void *fn)
{
	EB(j, X_POP_M); /* pop [rsp + ret] */
	modrm_disp(j, 0, H_RSP, C_OFF(jit.ret));
	spill(j);
	e_mov(j, H_RDI, H_RSP);
	e_mov(j, H_RSI, H_RAX);
	e_ld(j, H_RDX, C_OFF(jit.ret));
	e_mov(j, H_RBX, H_RSP);
	e_ld(j, H_RSP, C_OFF(jit.host_rsp));
	e_movi(j, H_RAX, (u64)(uintptr_t)fn);
	EB(j, X_GROUP5, X_REGS(XG_CALL, H_RAX)); /* call rax */
}

/* From the C stack back to jit_enter()'s caller; rax is the result. */
static void epilogue(struct jit *j)
{
	e_alui(j, true, XG_ADD, H_RSP, 8);
	for (unsigned i = ARRAY_LEN(callee_saved); i-- > 0;)
		push_pop(j, false, callee_saved[i]);
	e8(j, X_RET);
}

/* push rcx; ret: back to where rcx says, and the return predictor is right where that is behind the call. */
static void back_to_rcx(struct jit *j)
{
	push_pop(j, true, H_RCX);
	e8(j, X_RET);
}

static u8 *begin(struct jit *j)
{
	while (j->n & 15)
		e8(j, X_INT3);
	return (u8 *)(uintptr_t)(j->pc0 + j->n);
}

static void vec_moves(struct jit *j, bool avx, bool store)
{
	for (unsigned x = 0; x < 16; x++) {
		s32 off = C_OFF(vec[0]) + 32 * (s32)x;
		if (avx) /* vmovups ymm */
			EB(j, X_VEX2, X_VEX_RVL(x >> 3, 0u, 1, 0), (u8)(X0F_MOVUPS | store));
		else {
			rex(j, false, x, 0, H_RDI);
			EB(j, X_0F, (u8)(X0F_MOVUPS | store));
		}
		modrm_disp(j, x, H_RDI, off);
	}
	if (avx && store)
		EB(j, X_VEX2, X_VEX_RVL(0, 0u, 0, 0), X0F_VZEROUPPER); /* vzeroupper */
	e8(j, X_RET);
}

/* fn says where translated code goes on; NULL: leave it. */
static u8 *going_on(struct jit *j, void *fn)
{
	u8 *at = begin(j);

	to_c(j, fn);
	op_rr(j, true, X_TEST_M_R, H_RAX, H_RAX);
	u32 z = e_jcc(j, CC_Z);
	e_mov(j, H_RSP, H_RBX);
	reload(j);
	EB(j, X_GROUP5, X_REGS(XG_JMP, H_RAX)); /* jmp rax */
	patch_to(j, z, j->n);
	epilogue(j);
	return at;
}

void jit_routines(struct jit *j, struct jit_code *k)
{
	u32 z;

	k->r_enter = begin(j); /* const struct uop *(struct soft_cpu *c, u8 *code) */
	for (unsigned i = 0; i < ARRAY_LEN(callee_saved); i++)
		push_pop(j, true, callee_saved[i]);
	e_alui(j, true, XG_SUB, H_RSP, 8);
	op_rm(j, true, X_MOV_M_R, H_RSP, H_RDI, C_OFF(jit.host_rsp));
	e_mov(j, H_RAX, H_RSI);
	e_mov(j, H_RSP, H_RDI);
	reload(j);
	EB(j, X_GROUP5, X_REGS(XG_JMP, H_RAX)); /* jmp rax */

	k->r_slow = begin(j);
	/* A store beside code? The return address is still on the stack, so the vCPU is 8 higher. */
	EB(j, X_REX_W, X_MOV_R_M, X_MODRM(0, H_RCX, X_RM_SIB), X_SIB(0, 4, H_RSP)); /* mov rcx, [rsp] */
	EB(j, X8_ALU_I8, X_MODRM(1, XG_CMP, H_RCX), 8 + offsetof(struct jsite_slow, how),
	   JSLOW_WRITE); /* cmp byte [rcx + how], */
	u32 not_store = e_jcc(j, CC_NZ);
	op_rm(j, true, X_MOV_R_M, H_RCX, H_RSP, C_OFF(tlb) + 8);
	op_rm(j, true, X_CMP_R_M, H_RCX, H_RSP, C_OFF(jit.beside.tlb) + 8);
	u32 not_here = e_jcc(j, CC_NZ);
	e_mov(j, H_RCX, H_RAX);
	op_rm(j, true, X_SUB_R_M, H_RCX, H_RSP, C_OFF(jit.beside.start) + 8);
	op_rm(j, true, X_CMP_R_M, H_RCX, H_RSP, C_OFF(jit.beside.len) + 8);
	u32 outside = e_jcc(j, CC_AE);
	op_rm(j, true, X_ADD_R_M, H_RAX, H_RSP, C_OFF(jit.beside.addend) + 8);
	e8(j, X_RET);
	patch_to(j, not_store, j->n);
	patch_to(j, not_here, j->n);
	patch_to(j, outside, j->n);
	to_c(j, (void *)jit_slow);
	e_alui(j, true, XG_CMP, H_RAX, JSLOW_LEFT);
	z = e_jcc(j, CC_NZ);
	op_rm(j, true, X_MOV_R_M, H_RAX, H_RBX, C_OFF(jit.exit_uop));
	epilogue(j);
	patch_to(j, z, j->n);
	e_mov(j, H_RSP, H_RBX);
	op_rr(j, true, X_TEST_M_R, H_RAX, H_RAX);
	z = e_jcc(j, CC_Z);
	reload_clobbered(j);
	e_ld(j, H_RCX, C_OFF(jit.ret));
	back_to_rcx(j);
	patch_to(j, z, j->n);
	reload(j);
	e_ld(j, H_RCX, C_OFF(jit.ret));
	e_alui(j, true, XG_ADD, H_RCX, 16);
	back_to_rcx(j);

	k->r_uop = begin(j);
	to_c(j, (void *)jit_uop);
	op_rr(j, true, X_TEST_M_R, H_RAX, H_RAX);
	z = e_jcc(j, CC_Z);
	e_mov(j, H_RSP, H_RBX);
	reload(j);
	e_ld(j, H_RCX, C_OFF(jit.ret));
	e_alui(j, true, XG_ADD, H_RCX, sizeof(struct jsite_uop));
	back_to_rcx(j);
	patch_to(j, z, j->n); /* the handler left the instruction: c->rip says where to */
	epilogue(j);

	k->r_exit_uop = begin(j);
	to_c(j, (void *)jit_exit_uop);
	epilogue(j);

	k->r_exit_rip = begin(j);
	to_c(j, (void *)jit_exit_rip);
	epilogue(j);

	k->r_exit_group = begin(j);
	to_c(j, (void *)jit_exit_group);
	epilogue(j);

	/* What the entries of dead blocks call. */
	k->r_dead_near = begin(j);
	EB(j, X_LAHF, X_0F, X0F_SETCC, X_REGS(0, H_RAX), X_OSIZE,
	   X_MOV_M_R); /* lahf; seto al; mov [fl], ax: the return address is on the stack */
	modrm_disp(j, H_RAX, H_RSP, C_OFF(fl) + 8);
	k->r_dead_far = (u8 *)(uintptr_t)(j->pc0 + j->n);
	to_c(j, (void *)jit_exit_dead);
	epilogue(j);

	k->r_link = going_on(j, (void *)jit_link);

	k->r_lookup = going_on(j, (void *)jit_lookup);

	k->r_end = going_on(j, (void *)jit_end);

	k->r_need_vec = begin(j);
	to_c(j, (void *)jit_need_vec);
	op_rr(j, true, X_TEST_M_R, H_RAX, H_RAX);
	z = e_jcc(j, CC_Z);
	e_mov(j, H_RSP, H_RBX);
	reload(j);
	e_ld(j, H_RCX, C_OFF(jit.ret));
	e_alui(j, true, XG_ADD, H_RCX, sizeof(struct jsite_uop));
	back_to_rcx(j);
	patch_to(j, z, j->n);
	epilogue(j);

	k->r_vec_save = begin(j);
	vec_moves(j, k->avx, true);
	k->r_vec_load = begin(j);
	vec_moves(j, k->avx, false);
	k->r_vec_load_low = begin(j); /* all upper halves are zero */
	if (k->avx)
		EB(j, X_VEX2, X_VEX_RVL(0, 0u, 0, 0), X0F_VZEROUPPER);
	vec_moves(j, false, false);

	k->r_fault = begin(j); /* not called, but gone to by jit_fault_landing() */
	spill(j);
	e_mov(j, H_RDI, H_RSP);
	e_ld(j, H_RSP, C_OFF(jit.host_rsp));
	e_movi(j, H_RAX, (u64)(uintptr_t)jit_fault);
	EB(j, X_GROUP5, X_REGS(XG_CALL, H_RAX)); /* call rax */
	begin(j);
}
