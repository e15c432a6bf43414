/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vec_rows.c - vector and x87 instructions (row.h) that have handlers in C, or about which Zydis does not say enough.
 * All others have no row and run in stubs (vec_describe.c).
 *
 * Handlers in C: moves and a few hot integer operations, which are faster that way; memory operands that a stub cannot
 * carry; instructions on the FPU's own state.
 */
#include "cpu/soft/decode/form.h"
#include "cpu/soft/vector/vec_ops.h"

#define M(name) .mnemonic = ZYDIS_MNEMONIC_##name

static const struct decode_row rows[] = {
	/* ---- whole registers. arg: memory is aligned ---- */
	{ M(MOVUPS), .form = form_vec_full, .arg = 0, .flags = ROW_UNALIGNED },
	{ M(MOVUPD), .form = form_vec_full, .arg = 0, .flags = ROW_UNALIGNED },
	{ M(MOVDQU), .form = form_vec_full, .arg = 0, .flags = ROW_UNALIGNED },
	{ M(LDDQU), .form = form_vec_full, .arg = 0, .flags = ROW_UNALIGNED },
	{ M(VMOVUPS), .form = form_vec_full, .arg = 0 },
	{ M(VMOVUPD), .form = form_vec_full, .arg = 0 },
	{ M(VMOVDQU), .form = form_vec_full, .arg = 0 },
	{ M(VLDDQU), .form = form_vec_full, .arg = 0 },
	{ M(MOVAPS), .form = form_vec_full, .arg = 1 },
	{ M(MOVAPD), .form = form_vec_full, .arg = 1 },
	{ M(MOVDQA), .form = form_vec_full, .arg = 1 },
	{ M(MOVNTPS), .form = form_vec_full, .arg = 1 },
	{ M(MOVNTPD), .form = form_vec_full, .arg = 1 },
	{ M(MOVNTDQ), .form = form_vec_full, .arg = 1 },
	{ M(MOVNTDQA), .form = form_vec_full, .arg = 1 },
	{ M(VMOVAPS), .form = form_vec_full, .arg = 1, .flags = ROW_ALIGNED },
	{ M(VMOVAPD), .form = form_vec_full, .arg = 1, .flags = ROW_ALIGNED },
	{ M(VMOVDQA), .form = form_vec_full, .arg = 1, .flags = ROW_ALIGNED },
	{ M(VMOVNTPS), .form = form_vec_full, .arg = 1, .flags = ROW_ALIGNED },
	{ M(VMOVNTPD), .form = form_vec_full, .arg = 1, .flags = ROW_ALIGNED },
	{ M(VMOVNTDQ), .form = form_vec_full, .arg = 1, .flags = ROW_ALIGNED },
	{ M(VMOVNTDQA), .form = form_vec_full, .arg = 1, .flags = ROW_ALIGNED },

	/* ---- parts of registers. arg: bytes; or the high half ---- */
	{ M(MOVSS), .form = form_vec_scalar, .arg = 4 | VEC_SCALAR_MERGES },
	{ M(VMOVSS), .form = form_vec_scalar, .arg = 4 | VEC_SCALAR_MERGES },
	{ M(MOVSD), .form = form_vec_scalar, .arg = 8 | VEC_SCALAR_MERGES },
	{ M(VMOVSD), .form = form_vec_scalar, .arg = 8 | VEC_SCALAR_MERGES },
	{ M(MOVD), .form = form_vec_scalar, .arg = 4 },
	{ M(VMOVD), .form = form_vec_scalar, .arg = 4 },
	{ M(MOVQ), .form = form_vec_scalar, .arg = 8 },
	{ M(VMOVQ), .form = form_vec_scalar, .arg = 8 },
	{ M(MOVLPS), .form = form_vec_half, .arg = 0 },
	{ M(MOVLPD), .form = form_vec_half, .arg = 0 },
	{ M(VMOVLPS), .form = form_vec_half, .arg = 0 },
	{ M(VMOVLPD), .form = form_vec_half, .arg = 0 },
	{ M(MOVHPS), .form = form_vec_half, .arg = 1 },
	{ M(MOVHPD), .form = form_vec_half, .arg = 1 },
	{ M(VMOVHPS), .form = form_vec_half, .arg = 1 },
	{ M(VMOVHPD), .form = form_vec_half, .arg = 1 },

	/* ---- integer operations ---- */
	{ M(PXOR), .form = form_vec_xor, .arg = VI_PXOR },
	{ M(POR), .form = form_vec_int, .arg = VI_POR },
	{ M(PAND), .form = form_vec_int, .arg = VI_PAND },
	{ M(PANDN), .form = form_vec_int, .arg = VI_PANDN },
	{ M(XORPS), .form = form_vec_xor, .arg = VI_XORPS },
	{ M(ORPS), .form = form_vec_int, .arg = VI_ORPS },
	{ M(ANDPS), .form = form_vec_int, .arg = VI_ANDPS },
	{ M(XORPD), .form = form_vec_xor, .arg = VI_XORPD },
	{ M(ANDPD), .form = form_vec_int, .arg = VI_ANDPD },
	{ M(ORPD), .form = form_vec_int, .arg = VI_ORPD },
	{ M(PCMPEQB), .form = form_vec_int, .arg = VI_PCMPEQB },
	{ M(PCMPEQW), .form = form_vec_int, .arg = VI_PCMPEQW },
	{ M(PCMPEQD), .form = form_vec_int, .arg = VI_PCMPEQD },
	{ M(PCMPGTB), .form = form_vec_int, .arg = VI_PCMPGTB },
	{ M(PMINUB), .form = form_vec_int, .arg = VI_PMINUB },
	{ M(PMAXUB), .form = form_vec_int, .arg = VI_PMAXUB },
	{ M(PSUBB), .form = form_vec_int, .arg = VI_PSUBB },
	{ M(PSUBD), .form = form_vec_int, .arg = VI_PSUBD },
	{ M(PADDB), .form = form_vec_int, .arg = VI_PADDB },
	{ M(PADDD), .form = form_vec_int, .arg = VI_PADDD },
	{ M(PADDQ), .form = form_vec_int, .arg = VI_PADDQ },
	{ M(PUNPCKLBW), .form = form_vec_int, .arg = VI_PUNPCKLBW },
	{ M(PUNPCKLWD), .form = form_vec_int, .arg = VI_PUNPCKLWD },
	{ M(PUNPCKLDQ), .form = form_vec_int, .arg = VI_PUNPCKLDQ },
	{ M(PUNPCKLQDQ), .form = form_vec_int, .arg = VI_PUNPCKLQDQ },
	{ M(PUNPCKHQDQ), .form = form_vec_int, .arg = VI_PUNPCKHQDQ },
	{ M(VPXOR), .form = form_vec_zero },
	{ M(VXORPS), .form = form_vec_zero },
	{ M(VXORPD), .form = form_vec_zero },
	{ M(PMOVMSKB), .form = form_vec_rr, .fn = vec_pmovmskb },
	{ M(VZEROUPPER), .form = form_vec_plain, .fn = vec_zeroupper },
	{ M(VZEROALL), .form = form_vec_plain, .fn = vec_zeroall },

	/* ---- memory by elements. arg: bytes of an index; bytes of an element ---- */
	{ M(VGATHERDPS), .form = form_vec_gather, .fn = vec_gather, .arg = 4 },
	{ M(VGATHERDPD), .form = form_vec_gather, .fn = vec_gather, .arg = 4 },
	{ M(VPGATHERDD), .form = form_vec_gather, .fn = vec_gather, .arg = 4 },
	{ M(VPGATHERDQ), .form = form_vec_gather, .fn = vec_gather, .arg = 4 },
	{ M(VGATHERQPS), .form = form_vec_gather, .fn = vec_gather, .arg = 8 },
	{ M(VGATHERQPD), .form = form_vec_gather, .fn = vec_gather, .arg = 8 },
	{ M(VPGATHERQD), .form = form_vec_gather, .fn = vec_gather, .arg = 8 },
	{ M(VPGATHERQQ), .form = form_vec_gather, .fn = vec_gather, .arg = 8 },
	{ M(VMASKMOVPS), .form = form_vec_maskmov, .arg = 4 },
	{ M(VPMASKMOVD), .form = form_vec_maskmov, .arg = 4 },
	{ M(VMASKMOVPD), .form = form_vec_maskmov, .arg = 8 },
	{ M(VPMASKMOVQ), .form = form_vec_maskmov, .arg = 8 },
	{ M(MASKMOVDQU), .form = form_vec_maskmovdqu, .fn = vec_maskmovdqu },
	{ M(VMASKMOVDQU), .form = form_vec_maskmovdqu, .fn = vec_maskmovdqu },
	{ M(MASKMOVQ), .form = form_vec_maskmovq, .fn = vec_maskmovq },

	/* ---- state. arg: bit 0: the REX.W form, bit 1: XSAVEOPT ---- */
	{ M(FXSAVE), .form = form_vec_mem, .fn = fpu_fxsave, .arg = 0 },
	{ M(FXSAVE64), .form = form_vec_mem, .fn = fpu_fxsave, .arg = 1 },
	{ M(FXRSTOR), .form = form_vec_mem, .fn = fpu_fxrstor, .arg = 0 },
	{ M(FXRSTOR64), .form = form_vec_mem, .fn = fpu_fxrstor, .arg = 1 },
	{ M(XSAVE), .form = form_vec_mem, .fn = fpu_xsave, .arg = 0 },
	{ M(XSAVE64), .form = form_vec_mem, .fn = fpu_xsave, .arg = 1 },
	{ M(XSAVEOPT), .form = form_vec_mem, .fn = fpu_xsave, .arg = 2 },
	{ M(XSAVEOPT64), .form = form_vec_mem, .fn = fpu_xsave, .arg = 3 },
	{ M(XRSTOR), .form = form_vec_mem, .fn = fpu_xrstor, .arg = 0 },
	{ M(XRSTOR64), .form = form_vec_mem, .fn = fpu_xrstor, .arg = 1 },
	{ M(LDMXCSR), .form = form_vec_mxcsr, .fn = fpu_ldmxcsr },
	{ M(VLDMXCSR), .form = form_vec_mxcsr, .fn = fpu_ldmxcsr },
	{ M(STMXCSR), .form = form_vec_mxcsr, .fn = fpu_stmxcsr },
	{ M(VSTMXCSR), .form = form_vec_mxcsr, .fn = fpu_stmxcsr },

	/* ---- x87 control ---- */
	{ M(FNSTENV), .form = form_x87_env, .fn = fpu_fnstenv },
	{ M(FNSAVE), .form = form_x87_env, .fn = fpu_fnsave },
	{ M(FLDENV), .form = form_x87_env, .fn = fpu_fldenv },
	{ M(FRSTOR), .form = form_x87_env, .fn = fpu_frstor },
	{ M(FNINIT), .form = form_vec_plain, .fn = fpu_fninit },
	{ M(FNCLEX), .form = form_vec_plain, .fn = fpu_fnclex },
	{ M(FWAIT), .form = form_vec_plain, .fn = fpu_fwait },
	/* Instructions of the 8087 and 80287; later processors ignore them. */
	{ M(FENI8087_NOP), .form = form_vec_plain, .fn = fpu_fnnop },
	{ M(FDISI8087_NOP), .form = form_vec_plain, .fn = fpu_fnnop },
	{ M(FSETPM287_NOP), .form = form_vec_plain, .fn = fpu_fnnop },
	{ M(FNSTSW), .form = form_fnstsw, .fn = fpu_fnstsw_ax, .flags = ROW_X87_CONTROL | ROW_X87_NO_WAIT },
	{ M(FNSTCW), .flags = ROW_X87_CONTROL | ROW_X87_NO_WAIT },
	{ M(FLDCW), .flags = ROW_X87_CONTROL },

	/* ---- stubs, with a property that Zydis does not tell ---- */
	{ M(PCMPESTRI), .flags = ROW_UNALIGNED },
	{ M(PCMPESTRM), .flags = ROW_UNALIGNED },
	{ M(PCMPISTRI), .flags = ROW_UNALIGNED },
	{ M(PCMPISTRM), .flags = ROW_UNALIGNED },
	{ M(FCMOVB), .flags = ROW_FLAGS_R },
	{ M(FCMOVE), .flags = ROW_FLAGS_R },
	{ M(FCMOVBE), .flags = ROW_FLAGS_R },
	{ M(FCMOVU), .flags = ROW_FLAGS_R },
	{ M(FCMOVNB), .flags = ROW_FLAGS_R },
	{ M(FCMOVNE), .flags = ROW_FLAGS_R },
	{ M(FCMOVNBE), .flags = ROW_FLAGS_R },
	{ M(FCMOVNU), .flags = ROW_FLAGS_R },
	{ M(FCOMI), .flags = ROW_FLAGS_R | ROW_FLAGS_W },
	{ M(FCOMIP), .flags = ROW_FLAGS_R | ROW_FLAGS_W },
	{ M(FUCOMI), .flags = ROW_FLAGS_R | ROW_FLAGS_W },
	{ M(FUCOMIP), .flags = ROW_FLAGS_R | ROW_FLAGS_W },
};

struct decode_table decode_vec_rows = { .row = rows, .rows = ARRAY_LEN(rows) };
