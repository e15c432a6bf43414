/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode.h - guest bytes to uops.
 */
#ifndef MICA_SOFT_DECODE_H
#define MICA_SOFT_DECODE_H

#include "cpu/soft/vm.h"

#include <Zydis/Zydis.h>

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
/* Fill u's memory-operand fields (base, index, scale, seg, ea, disp) from operand o. */
void decode_mem(struct decode *d, struct uop *u, const ZydisDecodedOperand *o);
/* gpr index of a general register (any width); decode_reg8 gives the byte offset (AH = 1). */
u8 decode_gpr(ZydisRegister r);
u8 decode_reg8(ZydisRegister r);
/* Bytes of an instruction that is not defined, of which n are at p; more than n: it goes on. code: vm->decoder[]'s
 * index. *bare: it is one without operands that Zydis gives some. */
unsigned decode_undefined_length(const u8 *p, unsigned n, unsigned code, bool amd, bool *bare);
/* Emit a #UD. */
void decode_ud(struct decode *d);
/* Before decode_int() and the others: what u starts from. */
void decode_begin(struct decode *d);

/* Each returns true when it took the instruction (d->nu, d->end filled). Tried in this order. */
bool decode_int(struct decode *d); /* decode_int.c: integer, control flow in 64-bit and legacy */
bool decode_sys(struct decode *d); /* decode_sys.c: system, segments, far, stack frames, I/O */
bool decode_vec(struct decode *d); /* decode_vec.c: x87, MMX, SSE, AVX, FXSAVE/XSAVE */

/* Decode a block at host bytes p (n available, to the page's end; or to 30 when it spans) into b;
 * at most max instructions. whole: on behind branches that may not be taken; else, where there is a translator, the
 * block ends with the first one, and b->whole says whether that made it shorter. Returns false if not even one
 * instruction lies whole within n. */
bool decode_block(const struct soft_cpu *c, struct block *b, const u8 *p, unsigned n, unsigned max, bool whole);
void decode_init(struct soft_vm *vm);

#endif
