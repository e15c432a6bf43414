/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * row.h - an instruction is a row of a table.
 *
 * Zydis says which instruction it is (its mnemonic) and what its operands are. The row adds what the engine must know:
 * the operand form, which is a function that puts the operands into the uop; the handler, or a table from which the
 * form picks one; and an argument for the form. There are two tables: rows.c (integer, control flow, system) and
 * vec_rows.c (vector and x87 instructions for which Zydis' description is not enough).
 */
#ifndef MICA_SOFT_DECODE_ROW_H
#define MICA_SOFT_DECODE_ROW_H

#include "cpu/soft/decode/decode.h"

struct decode_row;
/* Fills d->u and d->nu, and d->end where that depends on the operands. False: not for these operands. */
typedef bool decode_form(struct decode *d, const struct decode_row *r);

#define ROW_END 1u    /* the block ends behind it */
#define ROW_CODE64 2u /* undefined outside of 64-bit code */
/* vec_rows.c: */
#define ROW_UNALIGNED 4u    /* legacy, with 16 bytes of memory that may lie anywhere */
#define ROW_ALIGNED 8u      /* VEX, with memory that must be aligned */
#define ROW_X87_CONTROL 16u /* x87, but sets no pointers to the last instruction */
#define ROW_X87_NO_WAIT 32u /* ... and does not look for pending exceptions */
#define ROW_FLAGS_R 64u     /* x87: reads status flags */
#define ROW_FLAGS_W 128u    /* x87: writes status flags */

struct decode_row {
	u16 mnemonic; /* ZydisMnemonic */
	u16 needs;    /* ISA_*: undefined unless the model has all of them */
	u16 arg;      /* the form's own: an operation, a condition, a segment, bytes */
	u8 flags;     /* ROW_* */
	decode_form *form;
	union {
		uop_fn *fn;          /* the handler */
		uop_fn *const *pick; /* handlers, of which the form picks one */
	};
};

/* A table, and where in it a mnemonic's row is. */
struct decode_table {
	const struct decode_row *row;
	unsigned rows;
	u16 at[ZYDIS_MNEMONIC_MAX_VALUE + 1]; /* index + 1; 0: there is none */
};
extern struct decode_table decode_rows, decode_vec_rows;

/* Fill in at[]. Two rows of one mnemonic are a bug of ours. */
void decode_table_index(struct decode_table *t);

static inline const struct decode_row *decode_row_of(const struct decode_table *t, ZydisMnemonic m)
{
	unsigned at = t->at[m];

	return at ? &t->row[at - 1] : NULL;
}

#endif
