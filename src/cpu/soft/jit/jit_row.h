/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_row.h - how an instruction is translated is a row of a table (jit_rows.c). Inside of jit/.
 *
 * As in decode/row.h, Zydis' mnemonic names the row. A row has up to four ways, in the order in which they are tried:
 * the first whose `takes` agrees with the operands emits the code. Where none does, and where there is no row, the
 * interpreter's handler executes the instruction from within translated code, unless it is a vector instruction:
 * those need no row, see jit_vec.c.
 */
#ifndef MICA_SOFT_JIT_ROW_H
#define MICA_SOFT_JIT_ROW_H

#include "cpu/soft/jit/jit_translation.h"

/* Is this the way for i's operands, in j's block? j->b, j->mode and i's uop are known; nothing is emitted yet. */
typedef bool jit_takes(const struct jit *j, const struct jinsn *i);
/* Emit i. False: there is no room, the block is given up. */
typedef bool jit_emit(struct jit *j, struct jinsn *i);

/* The memory that a way accesses. */
enum jit_access {
	JM_OPERAND, /* its operand in memory, where it has one */
	JM_NONE,    /* none: the operand is an address, or a branch's target */
	JM_IMPLIED, /* none of ModRM's. DIV as well: like an access it may leave for its handler */
	JM_STACK,   /* as much as the code's size by RSP, together with others near it: jit_group.c */
};

struct jit_way {
	jit_takes *takes; /* NULL: all */
	jit_emit *emit;   /* ji_native: encoded again; ji_leave: the block is left before it */
	u8 access;        /* enum jit_access */
	u8 vec;           /* VEC_OK_*: what must be allowed to run; the guest's vector registers are live then */
};
#define JIT_WAYS 5

/* Status flags, where Zydis' tables (the manuals') are not enough: what is called undefined is what the host does. */
#define JR_FLAGS_ALL 1u   /* writes all six */
#define JR_FLAGS_COUNT 2u /* ... unless the count may be 0 */
#define JR_FLAGS_KEEP 4u  /* any of them may stay as it is */
#define JR_FLAGS_REP 8u   /* ... with REP, which may execute it no time */
/* Registers and memory: */
#define JR_KEEPS_REG 16u  /* may leave its destination alone, although it is said to write it */
#define JR_LOCKED 32u     /* is atomic when an operand is in memory */
#define JR_BIT_STRING 64u /* ... reaches beyond it then, where another register is the index */
#define JR_VECTOR 128u    /* its mnemonic is a vector instruction's as well */

struct jit_row {
	u16 mnemonic; /* ZydisMnemonic */
	u16 flags;    /* JR_* */
	struct jit_way way[JIT_WAYS];
};
extern const struct jit_row jit_rows[];
extern const unsigned jit_nrows;

/* Once, before the others. Two rows of one mnemonic are a bug of ours. */
void jit_row_index(void);
const struct jit_row *jit_row_of(ZydisMnemonic m);

/* ---- jit_insn.c ---- */
jit_takes takes_shift_cl, takes_shxd_cl, takes_push, takes_push_mem, takes_pop, takes_pop_rsp, takes_leave, takes_pause;
jit_emit sp_shift_cl, sp_convert, sp_push, sp_push_mem, sp_pop, sp_leave;
/* ---- jit_mem.c, jit_encode.c, jit_native.c ---- */
jit_emit jm_lea;
jit_takes je_native_ok;
jit_emit ji_native;
/* ---- jit_muldiv.c ---- */
jit_takes takes_mul, takes_div;
jit_emit sp_mul, sp_div, sp_mulx;
/* ---- jit_bits.c ---- */
jit_takes takes_cmpxchg, takes_xchg, takes_bit_string;
jit_emit sp_cmpxchg, sp_cmpxchg8b, sp_cmpxchg16b, sp_xchg, sp_bit_string, sp_lahf, sp_sahf, sp_direction;
/* ---- jit_string.c ---- */
jit_takes takes_string, takes_rep;
jit_emit sp_string, sp_rep;
/* ---- jit_sysi.c ---- */
jit_takes takes_supervisor, takes_sti_last, takes_pushf, takes_from_cr, takes_from_sreg;
jit_emit sp_cli, sp_sti, sp_swapgs, sp_rdtsc, sp_base, sp_pushf, sp_from_cr, sp_from_sreg, sp_stac;
/* ---- jit_vec.c ---- */
jit_takes takes_fwait, takes_fnclex, takes_fnstsw_ax, takes_code64;
jit_emit jv_same, jv_stmxcsr, jv_fnstsw_ax;
/* ---- jit_flow.c ---- */
jit_takes takes_jcc, takes_jmp, takes_call, takes_ret, takes_jmp_indirect, takes_call_indirect;
jit_emit fl_jcc, fl_jmp, fl_call, fl_ret, fl_indirect;
/* ---- jit_legacy.c ---- */
jit_takes lg_takes_jcc, lg_takes_loop, lg_takes_jmp, lg_takes_call, lg_takes_ret, lg_takes_indirect, lg_takes_push,
    lg_takes_push_mem, lg_takes_push_sreg, lg_takes_pop, lg_takes_pop_sp, lg_takes_pushf, lg_takes_leave;
jit_emit lg_jcc, lg_loop, lg_jmp, lg_call, lg_ret, lg_indirect, lg_push, lg_push_mem, lg_push_sreg, lg_pop, lg_pushf,
    lg_leave;
/* ---- jit_translate.c ---- */
jit_emit ji_leave;

#endif
