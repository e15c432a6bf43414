/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memo.h - a cache of decoded instructions, one per vCPU.
 *
 * Theory of operation
 *
 * For a block that is executed once or twice, decoding is most of the work. Programs repeat a small set of
 * instructions that differ only in their constants: displacements, immediates, branch distances. So the memo keeps
 * Zydis' result, finds it again by the instruction's bytes without the constants, and replaces the constants (struct
 * memo_insn). Where the uop depends on nothing but the bytes, it is kept as well, and Zydis' result is not touched.
 *
 * INV-MEMO-1: before an entry is kept, the instruction is decoded a second time with every bit of its constants
 * flipped. The two results may differ only in what memo_insn() and memo_uop() replace.
 */
#ifndef MICA_SOFT_MEMO_H
#define MICA_SOFT_MEMO_H

#include "cpu/soft/vm.h"

#include <Zydis/Zydis.h>

#define MEMO_OPS 6 /* instructions of more operands are not kept */
#define MEMO_NONE 0xff

/* One cache line: all that is read when the uop is kept. */
struct memo {
	u64 key, mask; /* of the first eight bytes, without constants; mask 0: empty */
	u8 code;       /* index of soft_vm.decoder[] */
	u8 len;
	u8 disp_at, disp_bytes; /* where the replaceable constants are; 0 bytes: none */
	u8 imm_at, imm_bytes;
	u8 disp_op, imm_op; /* their operands, or MEMO_NONE */
	bool imm_signed;
	bool has_uop, uop_disp, uop_imm; /* u, and whether the constants go to u.disp, u.imm */
	bool end;                        /* as struct decode's */
	bool used;                       /* since the last collision */
	struct uop u;
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct memo) == 64, "a cache line");

struct memo_insn {
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[]; /* in.operand_count of them */
};
/* Size of the buffers that hold an instruction's bytes: constants are read eight bytes at a time. */
#define MEMO_BYTES 24

struct decode_memo *memo_new(void);
/* It forgets everything, and the host gets the memory back. */
void memo_give_back(struct decode_memo *m);
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
