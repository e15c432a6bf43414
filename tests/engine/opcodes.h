/* SPDX-License-Identifier: GPL-2.0-or-later */
/* opcodes.h - one instruction by its bytes: how it reads, and what may differ from the host CPU. See opcodes.c. */
#ifndef MICA_TEST_OPCODES_H
#define MICA_TEST_OPCODES_H

#include "harness.h"

/* Opcode maps, as their escapes say. */
enum map { MAP_1, MAP_0F, MAP_0F38, MAP_0F3A, MAP_3DNOW, MAP_VEX, MAP_XOP, MAP_EVEX };

struct opcode {
	u8 b[24];
	unsigned n; /* bytes in all, what follows the instruction left out if its length is known */
	unsigned bits;
	unsigned profile; /* of the registers */
	unsigned off;     /* in HX_CODE */
	/* By parse(): */
	enum map map;
	u8 op, modrm, last; /* last: the byte a 3DNow! instruction is told by */
	u8 vmap, pp;        /* of VEX, XOP, EVEX */
	u8 rex;             /* 0: none that counts */
	u8 rep;             /* the last of F2 and F3, 0: none */
	bool o16, a, lock;  /* 66, 67, F0 */
	bool seg_fs_gs;
	unsigned nprefix, at; /* prefixes with REX; where the byte after the opcode is */
	/* By Zydis: */
	bool known;
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
};

#define LL(x) ((unsigned long long)(x))

/* opcodes_compare.c: once, after hx_init(). */
void opcode_init(void);
/* Run o on both sides; print how they differ, if they do and it is the first such. */
void opcode_check(struct opcode *o);
/* Print what it is and does; true: it differs. */
int opcode_explain(struct opcode *o);
extern u64 opcode_nbad, opcode_nalone; /* differences; instructions that nothing was there to compare with */
unsigned opcode_nkinds(void);

/* opcodes_known.c */
void opcode_parse(struct opcode *o);
/* opcodes_other.c: t, of 64-bit code, does what o does. False: nothing does. */
bool opcode_twin(const struct opcode *o, struct opcode *t);
/* What t's outcome s would have been as o's. */
void opcode_from_twin(const struct opcode *o, const struct opcode *t, struct hx_state *s);
static inline unsigned opcode_mod(const struct opcode *o)
{
	return o->modrm >> 6;
}
static inline unsigned opcode_reg(const struct opcode *o)
{
	return o->modrm >> 3 & 7;
}

/* How far a comparison goes. */
enum compare {
	CMP_ALL,
	CMP_END,   /* which exception ends it and where: not registers, memory and CR2 */
	CMP_UD,    /* the engine raises #UD, whatever the host CPU does */
	CMP_NOP,   /* the engine does nothing, whatever the host CPU does */
	CMP_NONE,  /* both are run */
	CMP_NEVER, /* not run on the host CPU at all */
};

struct reason {
	const char *name, *why;
	enum compare compare;
	bool (*is)(const struct opcode *o, const struct hx_state *host);
	u64 count;
};
/* Why o may differ, NULL: it may not. host: what the host CPU made of it; NULL: not run yet. */
struct reason *opcode_reason(const struct opcode *o, const struct hx_state *host);
extern struct reason opcode_reasons[];
extern const unsigned opcode_nreasons;
/* The guest's CPU model and how the engine runs, on which reasons depend. */
extern bool opcode_direct, opcode_v2;

#endif
