/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vec_ops.h - the vector and x87 handlers that are written in C, as the decoder picks them. */
#ifndef MICA_SOFT_VEC_OPS_H
#define MICA_SOFT_VEC_OPS_H

#include "cpu/soft/uop.h"

/* vec_move.c. Where there are two: [legacy, VEX]. */
extern uop_fn *const vec_full_load[3][2]; /* [16 legacy, 16 VEX, 32][unaligned, aligned] */
extern uop_fn *const vec_full_store[3][2];
extern uop_fn *const vec_full_move[3];
extern uop_fn *const vec_scalar_load[2][2]; /* [][4, 8 bytes] */
extern uop_fn *const vec_scalar_store[2][2];
extern uop_fn *const vec_scalar_merge[2];  /* legacy MOVSS, MOVSD between registers: [4, 8 bytes] */
extern uop_fn *const vec_scalar_q[2];      /* MOVQ between registers */
extern uop_fn *const vec_half_load[2];     /* legacy: [low, high] */
extern uop_fn *const vec_half_store[2][2]; /* [][low, high] */
extern uop_fn *const vec_from_gpr[2][2];   /* [][4, 8 bytes] */
extern uop_fn *const vec_to_gpr[2][2];
extern uop_fn *const vec_zero[2];

/* vec_int.c: legacy, two operands. */
#define VEC_INT_OPS(X) \
	X(PXOR, _mm_xor_si128) \
	X(POR, _mm_or_si128) \
	X(PAND, _mm_and_si128) \
	X(PANDN, _mm_andnot_si128) \
	X(XORPS, _mm_xor_si128) \
	X(ORPS, _mm_or_si128) \
	X(ANDPS, _mm_and_si128) \
	X(XORPD, _mm_xor_si128) \
	X(ANDPD, _mm_and_si128) \
	X(ORPD, _mm_or_si128) \
	X(PCMPEQB, _mm_cmpeq_epi8) \
	X(PCMPEQW, _mm_cmpeq_epi16) \
	X(PCMPEQD, _mm_cmpeq_epi32) \
	X(PCMPGTB, _mm_cmpgt_epi8) \
	X(PMINUB, _mm_min_epu8) \
	X(PMAXUB, _mm_max_epu8) \
	X(PSUBB, _mm_sub_epi8) \
	X(PSUBD, _mm_sub_epi32) \
	X(PADDB, _mm_add_epi8) \
	X(PADDD, _mm_add_epi32) \
	X(PADDQ, _mm_add_epi64) \
	X(PUNPCKLBW, _mm_unpacklo_epi8) \
	X(PUNPCKLWD, _mm_unpacklo_epi16) \
	X(PUNPCKLDQ, _mm_unpacklo_epi32) \
	X(PUNPCKLQDQ, _mm_unpacklo_epi64) \
	X(PUNPCKHQDQ, _mm_unpackhi_epi64)
#define VEC_INT_ENUM(mn, intrinsic) VI_##mn,
enum vec_int { VEC_INT_OPS(VEC_INT_ENUM) VI_COUNT };
extern uop_fn *const vec_int_op[VI_COUNT][2]; /* [register, memory] */
uop_fn vec_pmovmskb;

/* vec_mem.c */
/* uop.imm of a gather. */
struct vec_gather {
	u8 mask, index, elem, idx, count, scale; /* registers, bytes of an element and of an index, how many, shift */
	u8 unused[2];
};
_Static_assert(sizeof(struct vec_gather) == 8, "lives in uop.imm");
uop_fn vec_gather;
uop_fn vec_maskmov_load, vec_maskmov_store; /* r0: data, aux: mask register, osize: element bytes, r1: elements */
uop_fn vec_maskmovdqu;                      /* r0: data, r1: mask, aux: the VEC_OK_* bit needed */
uop_fn vec_maskmovq;
uop_fn vec_zeroupper, vec_zeroall;

/* fpu_save.c. aux: bit 0: the REX.W form; XSAVE's bit 1: XSAVEOPT; MXCSR's: the VEC_OK_* bit needed */
uop_fn fpu_fxsave, fpu_fxrstor, fpu_xsave, fpu_xrstor, fpu_ldmxcsr, fpu_stmxcsr;

/* fpu_env.c. aux: 16-bit operand size */
uop_fn fpu_fnstenv, fpu_fnsave, fpu_fldenv, fpu_frstor;
uop_fn fpu_fninit, fpu_fnclex, fpu_fnnop, fpu_fnstsw_ax, fpu_fwait;

#endif
