/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * form.h - operand forms, which rows.c and vec_rows.c name, and the helpers they are written with.
 */
#ifndef MICA_SOFT_DECODE_FORM_H
#define MICA_SOFT_DECODE_FORM_H

#include "cpu/soft/decode/row.h"

/* ---- form_int.c ---- */
/* arg: enum alu, enum unary, enum shift, or whether a move extends the sign. */
decode_form form_alu, form_unary, form_shift, form_mov, form_movx, form_lea;
decode_form form_imul, form_xchg;
/* r/m operand and register operand: o0 and o1, o1 and o0, o0 alone. imm: arg. */
decode_form form_rm_reg, form_reg_rm, form_rm;
decode_form form_muldiv;        /* o0; arg: signed */
decode_form form_cmpxchg8b;     /* arg: bytes of half of it */
decode_form form_bt, form_shxd; /* arg: the operation */
decode_form form_movbe, form_crc32, form_mulx;
decode_form form_bmi;           /* arg: BMI_ROW() */
decode_form form_plain;         /* no operands; imm: arg */
decode_form form_sized;         /* ... and with an operand size */
decode_form form_bcd;           /* r0: arg */
decode_form form_string;        /* arg: bytes of an element */
decode_form form_string_or_vec; /* ... whose name a vector instruction has too */
decode_form form_nop, form_pause, form_ud;
decode_form form_mem; /* o0: memory */
/* arg of form_bmi: the operation, which operand is r/m, and which the third one, if any. */
#define BMI_ROW(what, rm, third) ((what) | (rm) << 8 | (third) << 10)
#define BMI_NO_THIRD 3u

/* ---- form_flow.c ---- */
decode_form form_jcc, form_setcc, form_cmov; /* arg: the condition */
decode_form form_jmp, form_call, form_ret;   /* near and far */
decode_form form_loop;                       /* arg: see op_loop() */
decode_form form_push, form_pop;
decode_form form_stack; /* no operands but the stack */

/* ---- form_sys.c ---- */
decode_form form_sys;       /* no operands */
decode_form form_sys_rm;    /* o0: register r0, or memory and aux */
decode_form form_sys_mem;   /* o0: memory */
decode_form form_lxs;       /* arg: the segment register */
decode_form form_desc_look; /* LAR, LSL */
decode_form form_arpl, form_enter, form_int_n;
decode_form form_reg_mem; /* INVPCID, BOUND */
decode_form form_base;    /* RDFSBASE and its kin; arg: the segment register */
decode_form form_in, form_out;
decode_form form_ins, form_outs; /* arg: bytes of an element */
/* MOV with a segment, control or debug register; PUSH and POP of a segment register; far JMP, CALL, RET. */
bool form_mov_special(struct decode *d);
bool form_push_sreg(struct decode *d, bool pop);
bool form_far_branch(struct decode *d, bool call);
bool form_far_ret(struct decode *d);

/* ---- form_vec.c ---- */
decode_form form_vec_full;   /* whole registers; arg: memory is aligned */
decode_form form_vec_scalar; /* arg: bytes, and VEC_SCALAR_MERGES */
decode_form form_vec_half;   /* arg: the high half */
decode_form form_vec_zero;   /* both sources are one register: the result is zero */
decode_form form_vec_int;    /* legacy, two operands; arg: enum vec_int */
decode_form form_vec_xor;    /* form_vec_zero, else form_vec_int */
decode_form form_vec_rr, form_vec_plain;
decode_form form_vec_gather;  /* arg: bytes of an index */
decode_form form_vec_maskmov; /* arg: bytes of an element */
decode_form form_vec_maskmovdqu, form_vec_maskmovq;
decode_form form_vec_mem; /* one memory operand; aux: arg */
decode_form form_vec_mxcsr;
decode_form form_x87_env; /* one memory operand; aux: 16-bit operand size */
decode_form form_fnstsw;
#define VEC_SCALAR_MERGES 16u /* between registers, the rest of the destination stays */

/* ---- operands ---- */
static inline bool is_reg(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_REGISTER;
}
static inline bool is_mem(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_MEMORY;
}
static inline bool is_imm(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}
/* Not a segment, control or debug register. */
static inline bool is_gpr(const ZydisDecodedOperand *o)
{
	return is_reg(o) && decode_gpr(o->reg.value) != GPR_ZERO;
}
/* As handlers have it: a register's number, or for 8 bits where its byte lies in gpr[]. */
static inline u8 reg_of(const ZydisDecodedOperand *o)
{
	return o->size == 8 ? decode_reg8(o->reg.value) : decode_gpr(o->reg.value);
}
/* 0..3 for 1, 2, 4, 8 bytes: how tables of handlers are indexed. */
static inline unsigned size_index(const ZydisDecodedOperand *o)
{
	return o->size == 8 ? 0 : o->size == 16 ? 1 : o->size == 32 ? 2 : 3;
}

/* ---- instructions ---- */
static inline bool code64(const struct decode *d)
{
	return d->mode & MODE_CODE64;
}
static inline bool is_amd(const struct decode *d)
{
	return d->c->vm->isa & ISA_AMD;
}
static inline bool is_vex(const struct decode *d)
{
	return d->insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
}
/* Legacy D8 to DF. */
static inline bool is_x87(const ZydisDecodedInstruction *in)
{
	return in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && in->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	       (in->opcode & 0xf8) == 0xd8;
}
/* The memory operand; NULL: there is none. */
static inline const ZydisDecodedOperand *find_mem(const struct decode *d)
{
	for (unsigned i = 0; i < d->insn->operand_count; i++)
		if (is_mem(&d->ops[i]))
			return &d->ops[i];
	return NULL;
}
static inline bool is_far(const struct decode *d)
{
	return d->insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}
static inline bool has_rex_w(const struct decode *d)
{
	return (d->insn->attributes & ZYDIS_ATTRIB_HAS_REX) && d->insn->raw.rex.W;
}
/* Bytes of the operand size. */
static inline u8 operand_bytes(const struct decode *d)
{
	return d->insn->operand_width / 8;
}

/* One uop, with this handler. */
static inline bool take(struct decode *d, uop_fn *fn)
{
	d->u->fn = fn;
	d->nu = 1;
	return true;
}

#endif
