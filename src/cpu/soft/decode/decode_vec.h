/* SPDX-License-Identifier: GPL-2.0-or-later */
/* decode_vec.h - what vector and x87 instructions are, for the decoder and the translator. */
#ifndef MICA_SOFT_DECODE_VEC_H
#define MICA_SOFT_DECODE_VEC_H

#include "cpu/soft/vector/vec.h"

#include <Zydis/Zydis.h>

/* vec_describe.c: describe an instruction whose operands the stub's convention can carry. */
bool vec_describe(struct vec_desc *out, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops,
		  const u8 *bytes, bool code64);
u8 vec_reg(ZydisRegister r);
/* vec_features.c: features needed (enum vec_feat); VEC_NEVER: never offered; 0: not a vector instruction. */
u32 vec_features(const ZydisDecodedInstruction *insn);
#define VEC_NEVER UINT32_MAX

#endif
