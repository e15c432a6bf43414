/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memo.h - instructions that were taken apart lately, by vCPU.
 *
 * Theory of operation
 *
 * Taking an instruction apart is most of the work on a block that is executed once or twice, and programs are made of
 * few instructions: the same bytes, but for displacements, immediates and distances of branches. So what Zydis made of
 * one is kept, found by the bytes without those constants, and the constants are replaced (struct memo_insn). Where
 * the uop depends on nothing but the bytes, it is kept as well, and Zydis' structures are not even looked at.
 *
 * INV-MEMO-1: what is kept was compared, when it came in, with what the same instruction gives with every bit of its
 * constants flipped: nothing but what memo_insn() and memo_uop() replace may differ.
 */
#ifndef MICA_SOFT_MEMO_H
#define MICA_SOFT_MEMO_H

#include "cpu/soft/vm.h"

#include <Zydis/Zydis.h>

#define MEMO_OPS 6 /* instructions of more operands are not kept */
#define MEMO_NONE 0xff

/* In a cache line of its own: all there is to touch where the uop is kept. */
struct memo {
	u64 key, mask; /* of the first eight bytes: which are no constants; mask 0: empty */
	u8 code;       /* index of soft_vm.decoder[] */
	u8 len;
	u8 disp_at, disp_bytes; /* of what may be replaced; 0 bytes: none */
	u8 imm_at, imm_bytes;
	u8 disp_op, imm_op; /* their operands, or MEMO_NONE */
	bool imm_signed;
	bool has_uop, uop_disp, uop_imm; /* u, and whether the constants go to u.disp, u.imm */
	bool end;                        /* as struct decode's */
	bool used;                       /* since another instruction wanted its place */
	struct uop u;
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct memo) == 64, "a cache line");

struct memo_insn {
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[]; /* in.operand_count of them */
};
/* Bytes of an instruction are handed over with this much room: constants are read eight bytes at a time. */
#define MEMO_BYTES 24

struct decode_memo *memo_new(void);
void memo_free(struct decode_memo *m);

/* The instruction at bytes (MEMO_BYTES, with zeroes behind the `room` that are there, 15 at most); *st as
 * ZydisDecoderDecodeFull()'s. What is returned holds until the next call. */
struct memo *memo_find(const struct soft_cpu *c, unsigned code, const u8 *bytes, unsigned room, ZyanStatus *st);
/* ... as Zydis has it. */
const struct memo_insn *memo_insn(const struct soft_cpu *c, const struct memo *e, const u8 *bytes);
/* ... copied, with emptied operands behind the last one. */
void memo_copy(ZydisDecodedInstruction *in, ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT],
	       const struct memo_insn *from);

/* The n bytes at p, sign-extended if so wished. */
static inline u64 memo_constant(const u8 *p, unsigned n, bool sign)
{
	u64 v = ld_le64(p) << (64 - n * 8);

	return sign ? (u64)((s64)v >> (64 - n * 8)) : v >> (64 - n * 8);
}

/* Its uop but for rip_off, if that is known. */
static inline bool memo_uop(const struct memo *e, const u8 *bytes, struct uop *u)
{
	if (!e->has_uop)
		return false;
	*u = e->u;
	if (e->uop_disp)
		u->disp = (s32)memo_constant(bytes + e->disp_at, e->disp_bytes, true);
	if (e->uop_imm)
		u->imm = memo_constant(bytes + e->imm_at, e->imm_bytes, e->imm_signed);
	return true;
}

#endif
