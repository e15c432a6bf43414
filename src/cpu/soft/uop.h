/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * uop.h - a decoded instruction. What a handler keeps to is in handler.h.
 */
#ifndef MICA_SOFT_UOP_H
#define MICA_SOFT_UOP_H

#include "base/base.h"

struct soft_cpu;

struct uop;
typedef void uop_fn(struct soft_cpu *c, const struct uop *op);

/* One decoded instruction (some take two). 32 bytes. */
struct uop {
	uop_fn *fn;
	u8 r0, r1;      /* register operands: gpr index; for 8-bit registers the byte offset into gpr[] */
	u8 base, index; /* memory operand: gpr index, GPR_ZERO for none, GPR_BLK for rip-relative */
	u8 scale;       /* shift of index, 0-3 */
	u8 seg;         /* enum cpu_seg_name */
	u8 ea;          /* EA_* */
	u8 osize;       /* operand bytes where the handler is not specialised: 1 2 4 8 (also 16, 32, ...) */
	s32 disp;
	u16 rip_off; /* of this instruction from the block's start */
	u8 len;      /* instruction bytes; 0 on the second uop of an instruction */
	u8 aux;      /* the handler's own */
	union {
		u64 imm;
		void *ptr;
	};
};
/* How the effective address is formed. 0: 64-bit, seg base from eff_base[], no checks but
 * canonicality by the page walk. Otherwise soft_ea() does it with limits and wrapping. */
#define EA_SLOW 0x80  /* use soft_ea() */
#define EA_A32 0x01   /* 32-bit address size */
#define EA_A16 0x02   /* 16-bit address size */
#define EA_MOFFS 0x08 /* the offset is op->imm */
#define EA_RIP 0x10   /* rip-relative: add rip_off + len (did not fit in disp) */

#endif
