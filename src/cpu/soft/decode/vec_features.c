/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vec_features.c - what CPUID must offer for a vector or x87 instruction. */
#include "cpu/soft/decode/decode_vec.h"
#include "cpu/soft/decode/form.h"

/* By Zydis' instruction sets. 0: the instruction set does not decide. */
static const u32 of_isa_set[ZYDIS_ISA_SET_MAX_VALUE + 1] = {
	[ZYDIS_ISA_SET_PENTIUMMMX] = VF_MMX,
	[ZYDIS_ISA_SET_SSE] = VF_SSE,
	[ZYDIS_ISA_SET_SSEMXCSR] = VF_SSE,
	[ZYDIS_ISA_SET_SSE2] = VF_SSE2,
	[ZYDIS_ISA_SET_SSE2MMX] = VF_SSE2,
	[ZYDIS_ISA_SET_SSE3] = VF_SSE3,
	[ZYDIS_ISA_SET_SSE3X87] = VF_SSE3 | VF_FPU,
	[ZYDIS_ISA_SET_SSSE3] = VF_SSSE3,
	[ZYDIS_ISA_SET_SSSE3MMX] = VF_SSSE3,
	[ZYDIS_ISA_SET_SSE4] = VF_SSE41,
	[ZYDIS_ISA_SET_SSE42] = VF_SSE42,
	[ZYDIS_ISA_SET_AES] = VF_AES,
	[ZYDIS_ISA_SET_AVXAES] = VF_AES | VF_AVX,
	[ZYDIS_ISA_SET_PCLMULQDQ] = VF_PCLMUL,
	[ZYDIS_ISA_SET_SHA] = VF_SHA,
	[ZYDIS_ISA_SET_AVX] = VF_AVX,
	[ZYDIS_ISA_SET_AVX2] = VF_AVX2,
	[ZYDIS_ISA_SET_AVX2GATHER] = VF_AVX2,
	[ZYDIS_ISA_SET_FMA] = VF_FMA | VF_AVX,
	[ZYDIS_ISA_SET_F16C] = VF_F16C | VF_AVX,
	[ZYDIS_ISA_SET_FXSAVE] = VF_FXSR,
	[ZYDIS_ISA_SET_FXSAVE64] = VF_FXSR,
	[ZYDIS_ISA_SET_XSAVE] = VF_XSAVE,
	[ZYDIS_ISA_SET_XSAVEOPT] = VF_XSAVE | VF_XSAVEOPT,
	[ZYDIS_ISA_SET_FCMOV] = VF_FPU | VF_CMOV,
	[ZYDIS_ISA_SET_AMD3DNOW] = VEC_NEVER,
	[ZYDIS_ISA_SET_SSE4A] = VEC_NEVER,
	[ZYDIS_ISA_SET_GFNI] = VEC_NEVER,
	[ZYDIS_ISA_SET_AVX_GFNI] = VEC_NEVER,
	[ZYDIS_ISA_SET_AVX_VNNI] = VEC_NEVER,
	[ZYDIS_ISA_SET_VAES] = VEC_NEVER,
	[ZYDIS_ISA_SET_VPCLMULQDQ] = VEC_NEVER,
	[ZYDIS_ISA_SET_XSAVEC] = VEC_NEVER,
	[ZYDIS_ISA_SET_XSAVES] = VEC_NEVER,
	[ZYDIS_ISA_SET_FMA4] = VEC_NEVER,
	[ZYDIS_ISA_SET_XOP] = VEC_NEVER,
};

u32 vec_features(const ZydisDecodedInstruction *insn)
{
	u32 need = of_isa_set[insn->meta.isa_set];

	if (insn->mnemonic == ZYDIS_MNEMONIC_CRC32)
		return 0;
	if (need == VF_PCLMUL && insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
		return VF_PCLMUL | VF_AVX;
	if (need)
		return need;
	switch (insn->encoding) {
	case ZYDIS_INSTRUCTION_ENCODING_EVEX:
	case ZYDIS_INSTRUCTION_ENCODING_MVEX:
	case ZYDIS_INSTRUCTION_ENCODING_XOP:
	case ZYDIS_INSTRUCTION_ENCODING_3DNOW:
		return VEC_NEVER;
	default:
		break;
	}
	if (!is_x87(insn))
		return 0;
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_FCOMI:
	case ZYDIS_MNEMONIC_FCOMIP:
	case ZYDIS_MNEMONIC_FUCOMI:
	case ZYDIS_MNEMONIC_FUCOMIP:
		return VF_FPU | VF_CMOV;
	default:
		return VF_FPU;
	}
}
