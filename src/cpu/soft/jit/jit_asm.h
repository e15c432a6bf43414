/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_asm.h - an assembler as small as it can be: host instructions into the buffer of the translation. Inside of jit/.
 */
#ifndef MICA_SOFT_JIT_ASM_H
#define MICA_SOFT_JIT_ASM_H

#include "cpu/soft/host_opcodes.h"
#include "cpu/soft/jit/jit_translation.h"

/* Host registers by their numbers in encodings. */
enum {
	H_RAX,
	H_RCX,
	H_RDX,
	H_RBX,
	H_RSP,
	H_RBP,
	H_RSI,
	H_RDI,
	H_R8,
	H_R9,
	H_R10,
	H_R11,
	H_R12,
	H_R13,
	H_R14,
	H_R15,
	H_NONE
};
/* Bytes, without a REX prefix. */
enum { H8_AH = 4, H8_CH, H8_DH, H8_BH };

/* Guest register -> host register, H_NONE: in c->gpr[]. */
extern const u8 jit_hreg[16];

/* Offset of a field from rsp. */
#define C_OFF(field) ((s32)offsetof(struct soft_cpu, field))

/* ---- bytes ---- */
static inline void e8(struct jit *j, unsigned v)
{
	if (j->n < JIT_BUF)
		j->buf[j->n++] = (u8)v;
	else
		j->fail = true;
}
static inline void e32(struct jit *j, u32 v)
{
	for (unsigned i = 0; i < 4; i++, v >>= 8)
		e8(j, v & 0xff);
}
static inline void e64(struct jit *j, u64 v)
{
	e32(j, (u32)v);
	e32(j, (u32)(v >> 32));
}
static inline void eb(struct jit *j, const void *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		e8(j, ((const u8 *)p)[i]);
}
#define EB(j, ...) eb(j, (const u8[]){ __VA_ARGS__ }, sizeof((u8[]){ __VA_ARGS__ }))

static inline void patch32(struct jit *j, u32 at, u32 v)
{
	if (at + 4 <= JIT_BUF)
		st_le32(j->buf + at, v);
}
/* The rel32 at `at` shall go to offset `to`. */
static inline void patch_to(struct jit *j, u32 at, u32 to)
{
	patch32(j, at, to - (at + 4));
}

static inline void rex(struct jit *j, bool w, unsigned reg, unsigned index, unsigned base)
{
	unsigned v = X_REX | w << 3 | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3;

	if (v != X_REX)
		e8(j, v);
}

/* modrm for register reg, and memory at [base + disp]. */
static inline void modrm_disp(struct jit *j, unsigned reg, unsigned base, s32 disp)
{
	unsigned mod = disp == 0 && (base & 7) != 5 ? 0 : disp == (s8)disp ? 1 : 2;

	e8(j, X_MODRM(mod, reg, base));
	if ((base & 7) == X_RM_SIB)
		e8(j, X_SIB(0, 4, base));
	if (mod == 1)
		e8(j, (u8)disp);
	else if (mod == 2)
		e32(j, (u32)disp);
}

/* op reg, [base + disp], of 8 or 4 bytes */
static inline void op_rm(struct jit *j, bool w, unsigned op, unsigned reg, unsigned base, s32 disp)
{
	rex(j, w, reg, 0, base);
	e8(j, op);
	modrm_disp(j, reg, base, disp);
}
static inline void op_rr(struct jit *j, bool w, unsigned op, unsigned reg, unsigned rm)
{
	rex(j, w, reg, 0, rm);
	e8(j, op);
	e8(j, X_REGS(reg, rm));
}
static inline void e_mov(struct jit *j, unsigned dst, unsigned src)
{
	if (dst != src)
		op_rr(j, true, X_MOV_R_M, dst, src);
}
static inline void e_mov32(struct jit *j, unsigned dst, unsigned src)
{
	op_rr(j, false, X_MOV_R_M, dst, src);
}
static inline void e_ld(struct jit *j, unsigned dst, s32 off)
{
	op_rm(j, true, X_MOV_R_M, dst, H_RSP, off);
}
static inline void e_st(struct jit *j, unsigned src, s32 off)
{
	op_rm(j, true, X_MOV_M_R, src, H_RSP, off);
}
static inline void e_lea(struct jit *j, unsigned dst, unsigned base, s32 disp)
{
	if (!disp)
		e_mov(j, dst, base);
	else
		op_rm(j, true, X_LEA, dst, base, disp);
}
static inline void e_movi(struct jit *j, unsigned dst, u64 v)
{
	if (v == (u32)v) {
		rex(j, false, 0, 0, dst);
		e8(j, X_MOV_R_I | (dst & 7));
		e32(j, (u32)v);
	} else if ((u64)(s64)(s32)v == v) {
		rex(j, true, 0, 0, dst);
		e8(j, X_MOV_M_I);
		e8(j, X_REGS(0, dst));
		e32(j, (u32)v);
	} else {
		rex(j, true, 0, 0, dst);
		e8(j, X_MOV_R_I | (dst & 7));
		e64(j, v);
	}
}
/* op: XG_ADD... */
static inline void e_alui(struct jit *j, bool w, unsigned op, unsigned dst, s32 v)
{
	rex(j, w, 0, 0, dst);
	if (v == (s8)v) {
		e8(j, X_ALU_I8);
		e8(j, X_REGS(op, dst));
		e8(j, (u8)v);
	} else {
		e8(j, X_ALU_I);
		e8(j, X_REGS(op, dst));
		e32(j, (u32)v);
	}
}
/* Jumps with a rel32 to be patched: where that is. */
static inline u32 e_jmp(struct jit *j)
{
	e8(j, X_JMP);
	e32(j, 0);
	return j->n - 4;
}
static inline u32 e_jcc(struct jit *j, unsigned cc)
{
	e8(j, X_0F);
	e8(j, X0F_JCC | cc);
	e32(j, 0);
	return j->n - 4;
}
/* Absolute target in the code memory. */
static inline void e_call_to(struct jit *j, const u8 *to)
{
	e8(j, X_CALL);
	e32(j, (u32)((u64)(uintptr_t)to - (j->pc0 + j->n + 4)));
}
static inline void e_jmp_to(struct jit *j, const u8 *to)
{
	e8(j, X_JMP);
	e32(j, (u32)((u64)(uintptr_t)to - (j->pc0 + j->n + 4)));
}
/* Rotated right, and no flag is touched: BMI2 */
static inline void e_rorx_rcx_rax(struct jit *j, u8 n)
{
	EB(j, X_VEX3, X_VEX_RB(3, 0, 0), X_VEX_WVL(1, 0u, 0, 3), X0F3A_RORX, X_REGS(H_RCX, H_RAX), n);
}
void e_nops(struct jit *j, unsigned n);

#define CC_B 2u
#define CC_Z 4u
#define CC_AE 3u
#define CC_NZ 5u
#define CC_BE 6u
#define CC_A 7u
#define CC_S 8u
#define CC_L 12u
#define CC_G 15u

#endif
