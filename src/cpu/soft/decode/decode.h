/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode.h - guest bytes to uops.
 *
 * Theory of operation
 *
 *     bytes ──memo.c──▶ Zydis' view ──rows.c, vec_rows.c──▶ operand form ──▶ uop {handler, operands}
 *
 * decode.c goes from instruction to instruction. The memo keeps instructions that were decoded lately; where the uop
 * depends on nothing but the instruction's bytes, it keeps the uop as well. For others, the row says how the operands
 * go into the uop and which handler it gets. A vector instruction without a row, or whose row has no form, is described
 * by its operands (vec_describe.c) and runs in a stub.
 */
#ifndef MICA_SOFT_DECODE_H
#define MICA_SOFT_DECODE_H

#include "cpu/soft/vm.h"

#include <Zydis/Zydis.h>

/* The handlers that the decoder puts at a block's borders, and which know the run loop and the translator. */
struct decode_ends {
	/* Stands before the first instruction of code that can be translated, in a VM that translates. Its imm is what
	 * heat() returns. */
	uop_fn *first;
	u64 (*heat)(const struct soft_vm *vm, u64 phys);
	uop_fn *last;      /* go on behind the block */
	uop_fn *last_link; /* ... which is in the same page */
	uop_fn *pause;     /* PAUSE: may leave guest code */
};

#define DECODE_NO_PAGE (~0u)
struct decode {
	const struct soft_cpu *c; /* mode bits only; never other state */
	u32 mode;
	const ZydisDecodedInstruction *insn;
	const ZydisDecodedOperand *ops;
	const u8 *bytes; /* of this instruction */
	unsigned rip_off;
	unsigned page_off; /* of the block's first byte in its page, or DECODE_NO_PAGE: do not link */
	struct uop *u;     /* to fill: up to 3, zeroed but for rip_off and len */
	unsigned nu;       /* out: how many were filled (0: not mine) */
	bool end;          /* out: the block ends here */
};

/* ---- decode.c ---- */
void decode_init(struct soft_vm *vm, const struct decode_ends *ends);
/* Decode a block at host bytes p (n available, to the page's end; or to 30 when it spans) into b;
 * at most max instructions. whole: go on behind conditional branches. Otherwise, in a VM that translates, the block
 * ends with the first of them, and b->whole says whether that made it shorter. Returns false if not even one
 * instruction lies within n. */
bool decode_block(const struct soft_cpu *c, struct block *b, const u8 *p, unsigned n, unsigned max, bool whole);
/* Fill in what every uop has, before a form does the rest. */
void decode_begin(struct decode *d);
/* By rows.c: integer instructions, control flow, system instructions. True: taken (d->nu, d->end filled). */
bool decode_insn(struct decode *d);

/* ---- operand.c ---- */
/* Fill u's memory-operand fields (base, index, scale, seg, ea, disp) from operand o. */
void decode_mem(struct decode *d, struct uop *u, const ZydisDecodedOperand *o);
/* gpr index of a general register (any width), GPR_ZERO for any other; decode_reg8 gives the byte offset (AH = 1). */
u8 decode_gpr(ZydisRegister r);
u8 decode_reg8(ZydisRegister r);
/* Emit a #UD. */
void decode_ud(struct decode *d);

/* ---- decode_length.c ---- */
/* Length of the undefined instruction of which n bytes are at p. More than n: it goes on behind them. code: index of
 * vm->decoder[]. *bare: the processor sees no operands in it, though Zydis does. */
unsigned decode_undefined_length(const u8 *p, unsigned n, unsigned code, bool amd, bool *bare);

/* ---- decode_vec.c ---- */
/* x87, MMX, SSE, AVX, FXSAVE, XSAVE. Asked when decode_insn() did not take it; returns the same. */
bool decode_vec(struct decode *d);
void decode_vec_init(void);

#endif
