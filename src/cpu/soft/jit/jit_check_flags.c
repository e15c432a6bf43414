/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_check_flags.c - the self-check: which status flags have to be right after a block. */
#include "cpu/soft/jit/jit_check_parts.h"

#include "cpu/soft/jit/jit_emit.h"

/* Does it keep flags when it counts to zero? */
static bool may_keep_flags(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	if (in->meta.category == ZYDIS_CATEGORY_SHIFT || in->meta.category == ZYDIS_CATEGORY_ROTATE) {
		const ZydisDecodedOperand *n = &ops[in->operand_count_visible - 1];
		return n->type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
		       !(n->imm.value.u & (in->operand_width == 64 ? 63 : 31));
	}
	return in->meta.category == ZYDIS_CATEGORY_STRINGOP &&
	       (in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE));
}

#define PATHS 32u
/*
 * Status flags that may be read by the code at page offset `at` before they are overwritten: what some path carries
 * to a reader, or out of sight. Each instruction is looked at again only for flags that it has not been looked at for.
 */
static u32 flags_live(const struct soft_vm *vm, const u8 *page, s64 at, unsigned decoder)
{
	struct {
		s64 at;
		u32 flags;
	} todo[PATHS];
	u16 seen[PAGE_BYTES] = { 0 };
	unsigned n = 0, budget = 4000;
	u32 live = 0, carried = FL_STATUS;

	for (;;) {
		ZydisDecodedInstruction in;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
		u8 bytes[15] = { 0 };
		bool out = at < 0 || at >= (s64)PAGE_BYTES || !budget--;

		carried &= ~live;
		if (!out) {
			carried &= ~(u32)seen[at];
			seen[at] |= (u16)carried;
			memcpy(bytes, page + at, MIN(sizeof(bytes), PAGE_BYTES - (u64)at));
			out = carried && (ZYAN_FAILED(ZydisDecoderDecodeFull(&vm->decoder[decoder], bytes,
									     sizeof(bytes), &in, ops)) ||
					  in.meta.category == ZYDIS_CATEGORY_SYSCALL ||
					  in.meta.category == ZYDIS_CATEGORY_SYSTEM ||
					  (in.meta.category == ZYDIS_CATEGORY_INTERRUPT &&
					   in.mnemonic != ZYDIS_MNEMONIC_BOUND) || /* which faults, as others may */
					  in.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR);
		}
		if (!out && carried) {
			if (in.cpu_flags) {
				live |= in.cpu_flags->tested & carried;
				if (!may_keep_flags(&in, ops))
					carried &= ~(in.cpu_flags->modified | in.cpu_flags->set_0 |
						     in.cpu_flags->set_1 | in.cpu_flags->undefined);
			}
			carried &= ~live;
			at += in.length;
			if (in.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE) {
				bool jump = in.meta.category == ZYDIS_CATEGORY_UNCOND_BR ||
					    in.meta.category == ZYDIS_CATEGORY_CALL ||
					    in.meta.category == ZYDIS_CATEGORY_RET;
				out = ops[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
				      in.meta.category == ZYDIS_CATEGORY_RET || (!jump && n == PATHS);
				if (!out && !jump) {
					todo[n].at = at;
					todo[n++].flags = carried;
				}
				if (!out)
					at += ops[0].imm.value.s;
			}
		}
		if (out)
			live |= carried;
		if (!out && carried)
			continue;
		if (!n)
			return live;
		at = todo[--n].at;
		carried = todo[n].flags;
	}
}

/*
 * What the block's instructions up to c->rip leave undefined is this processor's choice in translated code, and another
 * one's, perhaps, in the interpreter. (A guest that reads it differs then; that shows up as a difference.)
 */
static u32 flags_undefined(const struct soft_cpu *c, const struct block *b)
{
	u8 room[CHECK_CODE_ROOM];
	const u8 *p = check_code(c, b, room);
	u64 end = c->rip - c->gpr[GPR_BLK];
	u32 undefined = 0, here = 0;
	u32 left = 0; /* at branches, any of which may have led to c->rip, also backwards */

	for (unsigned at = 0; at < b->bytes;) {
		ZydisDecodedInstruction in;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

		if (ZYAN_FAILED(ZydisDecoderDecodeFull(&c->vm->decoder[soft_decoder(b->mode)], p + at, b->bytes - at,
						       &in, ops)))
			break;
		if (in.cpu_flags) {
			if (!may_keep_flags(&in, ops))
				undefined &= ~(in.cpu_flags->modified | in.cpu_flags->set_0 | in.cpu_flags->set_1);
			undefined |= in.cpu_flags->undefined;
			/* The manuals' "undefined for other counts" */
			if (in.meta.category == ZYDIS_CATEGORY_SHIFT || in.meta.category == ZYDIS_CATEGORY_ROTATE)
				undefined |= FL_OF | FL_AF;
			if ((in.mnemonic == ZYDIS_MNEMONIC_SHLD || in.mnemonic == ZYDIS_MNEMONIC_SHRD) &&
			    in.operand_width == 16)
				undefined |= FL_STATUS;
		}
		at += in.length;
		if (at <= end)
			here = undefined;
		if (in.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
			left |= undefined;
	}
	return (here | left) & FL_STATUS;
}

u32 check_flags(const struct soft_cpu *c, const struct block *b)
{
	const u8 *page = c->ram->host + (b->phys & PAGE_MASK);
	u32 flags = FL_STATUS & ~flags_undefined(c, b);

	s64 at = (s64)(c->rip - c->gpr[GPR_BLK] + (b->phys & ~PAGE_MASK));
	if (c->vm->options.translate == SOFT_TRANSLATE_EXACT || at < 0 || at >= (s64)PAGE_BYTES)
		return flags;
	return flags & flags_live(c->vm, page, at, soft_decoder(b->mode));
}
