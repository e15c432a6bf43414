/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode.h - guest bytes to uops.
 *
 * Theory of operation
 *
 *     bytes ──memo.c──▶ Zydis' view ──rows.c, vec_rows.c──▶ operand form ──▶ uop {handler, operands}
 *
 * decode.c goes from instruction to instruction. An instruction that was seen lately comes out of the memo, as a uop if
 * that depends on its bytes alone. Else its row says how its operands go into the uop, and which handler it gets; a
 * vector instruction without a row, or whose row has no form, is described (vec_describe.c) and runs in a stub.
 */
#ifndef MICA_SOFT_DECODE_H
#define MICA_SOFT_DECODE_H

#include "cpu/soft/vm.h"

#include <Zydis/Zydis.h>

/* The handlers that the decoder puts at a block's borders, and which know the run loop and the translator. */
struct decode_ends {
	/* Before the first instruction of 64-bit code where a VM translates; its imm is what heat() says. */
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
 * at most max instructions. whole: on behind branches that may not be taken; else, where there is a translator, the
 * block ends with the first one, and b->whole says whether that made it shorter. Returns false if not even one
 * instruction lies whole within n. */
bool decode_block(const struct soft_cpu *c, struct block *b, const u8 *p, unsigned n, unsigned max, bool whole);
/* What u starts from. */
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
/* Bytes of an instruction that is not defined, of which n are at p; more than n: it goes on. code: vm->decoder[]'s
 * index. *bare: it is one without operands that Zydis gives some. */
unsigned decode_undefined_length(const u8 *p, unsigned n, unsigned code, bool amd, bool *bare);

/* ---- decode_vec.c ---- */
/* x87, MMX, SSE, AVX, FXSAVE, XSAVE. Asked after decode_insn(); as that. */
bool decode_vec(struct decode *d);
void decode_vec_init(void);

#endif
