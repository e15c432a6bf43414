/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exec.h - the handlers of integer instructions and near control flow, as the decoder picks them.
 */
#ifndef MICA_SOFT_EXEC_H
#define MICA_SOFT_EXEC_H

#include "cpu/soft/chain.h"
#include "cpu/soft/operand.h"

/* Tables the decoder picks from. [size]: 0..3 for 8, 16, 32, 64 bits. */
enum alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP, ALU_TEST, ALU_COUNT };
enum form { F_RR, F_RI, F_RM, F_MR, F_MI, F_LMR, F_LMI, F_COUNT };
extern uop_fn *const exec_alu[ALU_COUNT][4][F_COUNT];
extern uop_fn *const exec_mov[4][5]; /* F_RR .. F_MI */
enum unary { UN_INC, UN_DEC, UN_NEG, UN_NOT, UN_COUNT };
extern uop_fn *const exec_unary[UN_COUNT][4][3]; /* r, m, lock m */
enum shift { SH_ROL, SH_ROR, SH_RCL, SH_RCR, SH_SHL, SH_SHR, SH_SAR, SH_COUNT };
extern uop_fn *const exec_shift[SH_COUNT][4][4]; /* r imm, r cl, m imm, m cl */
extern uop_fn *const exec_movx[2][2][3][2];      /* [signed][source 8, 16][dest 16, 32, 64][r, m] */
extern uop_fn *const exec_movsxd[2][2];          /* [dest 32, 64][r, m] */
extern uop_fn *const exec_lea[3];                /* dest 16, 32, 64 */
extern uop_fn *const exec_jcc64[16][2];          /* [cc][linkable] */
extern uop_fn *const exec_setcc[16][2];          /* r, m */
extern uop_fn *const exec_cmov[16][3][2];        /* [cc][16, 32, 64][r, m] */
extern uop_fn *const exec_imul2[3][2];           /* [16, 32, 64][r, m] */
extern uop_fn *const exec_imul3[3][2];

/* Others, by name. */
uop_fn op_ud, op_nop, op_fence, op_jmp64_link, op_jmp64, op_call64_link, op_call64, op_ret64, op_jmpi64, op_jmpi64_m,
    op_calli64, op_calli64_m, op_push64_r, op_push64_i, op_pop64_r, op_push_any, op_pop_any, op_jmp_legacy,
    op_jcc_legacy, op_call_legacy, op_jmpi_legacy, op_calli_legacy, op_ret_legacy, op_loop, op_leave, op_mul1, op_div1,
    op_xchg, op_xadd, op_cmpxchg, op_cmpxchg8b, op_bt, op_bitscan, op_bswap, op_shxd, op_convert, op_flag, op_lahf,
    op_sahf, op_xlat, op_bcd, op_pusha, op_popa, op_movbe, op_crc32, op_bmi, op_mulx, op_adx, op_rdrand, op_salc,
    op_movs, op_stos, op_lods, op_scas, op_cmps, op_clflush;
/* Longer than 15 bytes. */
uop_fn op_gp_len;

#endif
