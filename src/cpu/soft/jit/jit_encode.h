/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_encode.h - encoding integer instructions again: what the files that translate them share. */
#ifndef MICA_SOFT_JIT_ENCODE_H
#define MICA_SOFT_JIT_ENCODE_H

#include "cpu/soft/jit/jit_emit.h"

enum rm_kind { RM_NONE, RM_REG, RM_GROUP, RM_AT_RAX, RM_AT_RAX_RCX, RM_AT_RCX, RM_HOME };

struct enc {
	unsigned reg; /* host register, or what the field says */
	bool reg_is_reg;
	enum rm_kind kind;
	unsigned rm; /* host register; RM_GROUP: [rm + rax or rcx + disp]; RM_HOME: guest register, in c->gpr[] */
	unsigned index;
	s32 disp;
	unsigned vvvv; /* host register, for VEX with a general register there; H_NONE: as it is */
	bool rex8;     /* an 8-bit register is named: a REX prefix makes it the low byte */
};

/* What the operands are, as far as general registers go. */
struct regs {
	int reg, rm, v, opc,
	    acc;          /* guest registers in ModRM.reg, ModRM.rm, VEX.vvvv, the opcode; implied accumulator; -1 */
	unsigned size[5]; /* in that order, bits */
	bool rd[5], wr[5];
	unsigned high; /* AH, CH, DH, BH: a bit for each in that order */
	const ZydisDecodedOperand *mem;
	bool mem_rd, mem_wr;
	bool imm, bytes8;
};

/* False: there are operands that this does not describe. */
bool je_regs(const struct jinsn *i, struct regs *r);
/* With i's prefixes, map and immediates. */
void je_encode(struct jit *j, const struct jinsn *i, const struct enc *e, unsigned opcode);
/* Parts of that: legacy prefixes but REX; the bytes before the opcode that name its map; immediates. */
void je_prefixes(struct jit *j, const struct jinsn *i);
void je_map(struct jit *j, const struct jinsn *i);
void je_imm(struct jit *j, const struct jinsn *i);
bool je_is_gpr(ZydisRegister r);
bool je_is_high(ZydisRegister r);
/* MOV between AL, AX or EAX and an address that has no register in it; not of 64 bits. */
bool je_is_moffs(const struct jinsn *i);

static inline bool homed(int g)
{
	return g >= 0 && jit_hreg[g] == H_NONE;
}

#endif
