/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rows.c - the table of instructions (row.h): integer, control flow and system instructions. One row for each of Zydis'
 * mnemonics, in any order.
 *
 * An instruction without a row that is not a vector instruction is undefined: MONITOR, MWAIT, RSM, GETSEC,
 * virtualization, enclaves, transactions. tests/unit/cpu/soft/decode/test_decode_rows.c names all of them, so that none
 * is forgotten.
 */
#include "cpu/soft/decode/form.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/system/sys_ops.h"

#define M(name) .mnemonic = ZYDIS_MNEMONIC_##name
/* Sixteen rows, in the order of the condition codes (SDM 2 appendix B.1.4). */
#define ROW_OF_CONDITION(name, form_, cc) \
	{ \
		M(name), .form = form_, .arg = cc \
	}
#define ROWS_OF_CONDITIONS(prefix, form_) \
	ROW_OF_CONDITION(prefix##O, form_, 0), ROW_OF_CONDITION(prefix##NO, form_, 1), \
	    ROW_OF_CONDITION(prefix##B, form_, 2), ROW_OF_CONDITION(prefix##NB, form_, 3), \
	    ROW_OF_CONDITION(prefix##Z, form_, 4), ROW_OF_CONDITION(prefix##NZ, form_, 5), \
	    ROW_OF_CONDITION(prefix##BE, form_, 6), ROW_OF_CONDITION(prefix##NBE, form_, 7), \
	    ROW_OF_CONDITION(prefix##S, form_, 8), ROW_OF_CONDITION(prefix##NS, form_, 9), \
	    ROW_OF_CONDITION(prefix##P, form_, 10), ROW_OF_CONDITION(prefix##NP, form_, 11), \
	    ROW_OF_CONDITION(prefix##L, form_, 12), ROW_OF_CONDITION(prefix##NL, form_, 13), \
	    ROW_OF_CONDITION(prefix##LE, form_, 14), ROW_OF_CONDITION(prefix##NLE, form_, 15)

static const struct decode_row rows[] = {
	/* ---- two operands, one operand, shifts ---- */
	{ M(ADD), .form = form_alu, .arg = ALU_ADD },
	{ M(OR), .form = form_alu, .arg = ALU_OR },
	{ M(ADC), .form = form_alu, .arg = ALU_ADC },
	{ M(SBB), .form = form_alu, .arg = ALU_SBB },
	{ M(AND), .form = form_alu, .arg = ALU_AND },
	{ M(SUB), .form = form_alu, .arg = ALU_SUB },
	{ M(XOR), .form = form_alu, .arg = ALU_XOR },
	{ M(CMP), .form = form_alu, .arg = ALU_CMP },
	{ M(TEST), .form = form_alu, .arg = ALU_TEST },
	{ M(INC), .form = form_unary, .arg = UN_INC },
	{ M(DEC), .form = form_unary, .arg = UN_DEC },
	{ M(NEG), .form = form_unary, .arg = UN_NEG },
	{ M(NOT), .form = form_unary, .arg = UN_NOT },
	{ M(ROL), .form = form_shift, .arg = SH_ROL },
	{ M(ROR), .form = form_shift, .arg = SH_ROR },
	{ M(RCL), .form = form_shift, .arg = SH_RCL },
	{ M(RCR), .form = form_shift, .arg = SH_RCR },
	{ M(SHL), .form = form_shift, .arg = SH_SHL },
	{ M(SHR), .form = form_shift, .arg = SH_SHR },
	{ M(SAR), .form = form_shift, .arg = SH_SAR },

	/* ---- moves ---- */
	{ M(MOV), .form = form_mov },
	{ M(MOVNTI), .form = form_mov },
	{ M(MOVZX), .form = form_movx, .arg = 0 },
	{ M(MOVSX), .form = form_movx, .arg = 1 },
	{ M(MOVSXD), .form = form_movx, .arg = 1 },
	{ M(LEA), .form = form_lea, .pick = exec_lea },
	{ M(MOVBE), .form = form_movbe, .fn = op_movbe, .needs = ISA_MOVBE },
	{ M(BSWAP), .form = form_rm, .fn = op_bswap },

	/* ---- multiplication and division. arg: signed ---- */
	{ M(MUL), .form = form_muldiv, .fn = op_mul1, .arg = 0 },
	{ M(IMUL), .form = form_imul, .fn = op_mul1 },
	{ M(DIV), .form = form_muldiv, .fn = op_div1, .arg = 0 },
	{ M(IDIV), .form = form_muldiv, .fn = op_div1, .arg = 1 },

	/* ---- atomic ---- */
	{ M(XCHG), .form = form_xchg, .fn = op_xchg },
	{ M(XADD), .form = form_rm_reg, .fn = op_xadd },
	{ M(CMPXCHG), .form = form_rm_reg, .fn = op_cmpxchg },
	{ M(CMPXCHG8B), .form = form_cmpxchg8b, .fn = op_cmpxchg8b, .arg = 4 },
	{ M(CMPXCHG16B), .form = form_cmpxchg8b, .fn = op_cmpxchg8b, .arg = 8 },

	/* ---- bits. arg: see the handler ---- */
	{ M(BT), .form = form_bt, .fn = op_bt, .arg = 0 },
	{ M(BTS), .form = form_bt, .fn = op_bt, .arg = 1 },
	{ M(BTR), .form = form_bt, .fn = op_bt, .arg = 2 },
	{ M(BTC), .form = form_bt, .fn = op_bt, .arg = 3 },
	{ M(BSF), .form = form_reg_rm, .fn = op_bitscan, .arg = 0 },
	{ M(BSR), .form = form_reg_rm, .fn = op_bitscan, .arg = 1 },
	{ M(TZCNT), .form = form_reg_rm, .fn = op_bitscan, .arg = 2 },
	{ M(LZCNT), .form = form_reg_rm, .fn = op_bitscan, .arg = 3 },
	{ M(POPCNT), .form = form_reg_rm, .fn = op_bitscan, .arg = 4 },
	{ M(SHLD), .form = form_shxd, .fn = op_shxd, .arg = 0 },
	{ M(SHRD), .form = form_shxd, .fn = op_shxd, .arg = 0x100 },
	{ M(CRC32), .form = form_crc32, .fn = op_crc32 },

	/* ---- BMI1, BMI2, ADX, random numbers ---- */
	{ M(ANDN), .form = form_bmi, .fn = op_bmi, .arg = BMI_ROW(0, 2, 1), .needs = ISA_BMI1 },
	{ M(BEXTR), .form = form_bmi, .fn = op_bmi, .arg = BMI_ROW(1, 1, 2), .needs = ISA_BMI1 },
	{ M(BLSI), .form = form_bmi, .fn = op_bmi, .arg = BMI_ROW(2, 1, BMI_NO_THIRD), .needs = ISA_BMI1 },
	{ M(BLSMSK), .form = form_bmi, .fn = op_bmi, .arg = BMI_ROW(3, 1, BMI_NO_THIRD), .needs = ISA_BMI1 },
	{ M(BLSR), .form = form_bmi, .fn = op_bmi, .arg = BMI_ROW(4, 1, BMI_NO_THIRD), .needs = ISA_BMI1 },
	{ M(BZHI), .form = form_bmi, .fn = op_bmi, .arg = BMI_ROW(5, 1, 2), .needs = ISA_BMI2 },
	{ M(PDEP), .form = form_bmi, .fn = op_bmi, .arg = BMI_ROW(6, 2, 1), .needs = ISA_BMI2 },
	{ M(PEXT), .form = form_bmi, .fn = op_bmi, .arg = BMI_ROW(7, 2, 1), .needs = ISA_BMI2 },
	{ M(RORX), .form = form_bmi, .fn = op_bmi, .arg = BMI_ROW(8, 1, 2), .needs = ISA_BMI2 },
	{ M(SARX), .form = form_bmi, .fn = op_bmi, .arg = BMI_ROW(9, 1, 2), .needs = ISA_BMI2 },
	{ M(SHLX), .form = form_bmi, .fn = op_bmi, .arg = BMI_ROW(10, 1, 2), .needs = ISA_BMI2 },
	{ M(SHRX), .form = form_bmi, .fn = op_bmi, .arg = BMI_ROW(11, 1, 2), .needs = ISA_BMI2 },
	{ M(MULX), .form = form_mulx, .fn = op_mulx, .needs = ISA_BMI2 },
	{ M(ADCX), .form = form_reg_rm, .fn = op_adx, .arg = 0, .needs = ISA_ADX },
	{ M(ADOX), .form = form_reg_rm, .fn = op_adx, .arg = 1, .needs = ISA_ADX },
	{ M(RDRAND), .form = form_rm, .fn = op_rdrand, .arg = 0, .needs = ISA_RDRAND },
	{ M(RDSEED), .form = form_rm, .fn = op_rdrand, .arg = 1, .needs = ISA_RDSEED },

	/* ---- AL, AX and flags. arg: see the handler ---- */
	{ M(CBW), .form = form_sized, .fn = op_convert, .arg = 0 },
	{ M(CWDE), .form = form_sized, .fn = op_convert, .arg = 0 },
	{ M(CDQE), .form = form_sized, .fn = op_convert, .arg = 0 },
	{ M(CWD), .form = form_sized, .fn = op_convert, .arg = 1 },
	{ M(CDQ), .form = form_sized, .fn = op_convert, .arg = 1 },
	{ M(CQO), .form = form_sized, .fn = op_convert, .arg = 1 },
	{ M(CLC), .form = form_plain, .fn = op_flag, .arg = 0 },
	{ M(STC), .form = form_plain, .fn = op_flag, .arg = 1 },
	{ M(CMC), .form = form_plain, .fn = op_flag, .arg = 2 },
	{ M(CLD), .form = form_plain, .fn = op_flag, .arg = 3 },
	{ M(STD), .form = form_plain, .fn = op_flag, .arg = 4 },
	{ M(LAHF), .form = form_plain, .fn = op_lahf },
	{ M(SAHF), .form = form_plain, .fn = op_sahf },
	{ M(SALC), .form = form_plain, .fn = op_salc },
	{ M(XLAT), .form = form_string, .fn = op_xlat, .arg = 1 },
	{ M(DAA), .form = form_bcd, .fn = op_bcd, .arg = 0 },
	{ M(DAS), .form = form_bcd, .fn = op_bcd, .arg = 1 },
	{ M(AAA), .form = form_bcd, .fn = op_bcd, .arg = 2 },
	{ M(AAS), .form = form_bcd, .fn = op_bcd, .arg = 3 },
	{ M(AAM), .form = form_bcd, .fn = op_bcd, .arg = 4 },
	{ M(AAD), .form = form_bcd, .fn = op_bcd, .arg = 5 },

	/* ---- strings ---- */
	{ M(MOVSB), .form = form_string, .fn = op_movs, .arg = 1 },
	{ M(MOVSW), .form = form_string, .fn = op_movs, .arg = 2 },
	{ M(MOVSD), .form = form_string_or_vec, .fn = op_movs, .arg = 4 },
	{ M(MOVSQ), .form = form_string, .fn = op_movs, .arg = 8 },
	{ M(STOSB), .form = form_string, .fn = op_stos, .arg = 1 },
	{ M(STOSW), .form = form_string, .fn = op_stos, .arg = 2 },
	{ M(STOSD), .form = form_string, .fn = op_stos, .arg = 4 },
	{ M(STOSQ), .form = form_string, .fn = op_stos, .arg = 8 },
	{ M(LODSB), .form = form_string, .fn = op_lods, .arg = 1 },
	{ M(LODSW), .form = form_string, .fn = op_lods, .arg = 2 },
	{ M(LODSD), .form = form_string, .fn = op_lods, .arg = 4 },
	{ M(LODSQ), .form = form_string, .fn = op_lods, .arg = 8 },
	{ M(SCASB), .form = form_string, .fn = op_scas, .arg = 1 },
	{ M(SCASW), .form = form_string, .fn = op_scas, .arg = 2 },
	{ M(SCASD), .form = form_string, .fn = op_scas, .arg = 4 },
	{ M(SCASQ), .form = form_string, .fn = op_scas, .arg = 8 },
	{ M(CMPSB), .form = form_string, .fn = op_cmps, .arg = 1 },
	{ M(CMPSW), .form = form_string, .fn = op_cmps, .arg = 2 },
	{ M(CMPSD), .form = form_string_or_vec, .fn = op_cmps, .arg = 4 },
	{ M(CMPSQ), .form = form_string, .fn = op_cmps, .arg = 8 },

	/* ---- conditions ---- */
	ROWS_OF_CONDITIONS(J, form_jcc),
	ROWS_OF_CONDITIONS(SET, form_setcc),
	ROWS_OF_CONDITIONS(CMOV, form_cmov),

	/* ---- control flow and the stack ---- */
	{ M(JMP), .form = form_jmp, .flags = ROW_END },
	{ M(CALL), .form = form_call, .flags = ROW_END },
	{ M(RET), .form = form_ret, .flags = ROW_END },
	{ M(LOOPNE), .form = form_loop, .fn = op_loop, .arg = 0, .flags = ROW_END },
	{ M(LOOPE), .form = form_loop, .fn = op_loop, .arg = 1, .flags = ROW_END },
	{ M(LOOP), .form = form_loop, .fn = op_loop, .arg = 2, .flags = ROW_END },
	{ M(JCXZ), .form = form_loop, .fn = op_loop, .arg = 3, .flags = ROW_END },
	{ M(JECXZ), .form = form_loop, .fn = op_loop, .arg = 3, .flags = ROW_END },
	{ M(JRCXZ), .form = form_loop, .fn = op_loop, .arg = 3, .flags = ROW_END },
	{ M(PUSH), .form = form_push },
	{ M(POP), .form = form_pop },
	{ M(PUSHA), .form = form_stack, .fn = op_pusha },
	{ M(PUSHAD), .form = form_stack, .fn = op_pusha },
	{ M(POPA), .form = form_stack, .fn = op_popa },
	{ M(POPAD), .form = form_stack, .fn = op_popa },
	{ M(LEAVE), .form = form_stack, .fn = op_leave },
	{ M(ENTER), .form = form_enter, .fn = sys_enter },
	{ M(BOUND), .form = form_reg_mem, .fn = sys_bound },

	/* ---- hints, fences, cache lines ---- */
	{ M(NOP), .form = form_nop },
	{ M(PAUSE), .form = form_pause },
	{ M(PREFETCH), .form = form_plain, .fn = op_nop },
	{ M(PREFETCHW), .form = form_plain, .fn = op_nop },
	{ M(PREFETCHWT1), .form = form_plain, .fn = op_nop },
	{ M(LFENCE), .form = form_plain, .fn = op_fence },
	{ M(SFENCE), .form = form_plain, .fn = op_fence },
	{ M(MFENCE), .form = form_plain, .fn = op_fence },
	{ M(CLFLUSH), .form = form_mem, .fn = op_clflush },
	{ M(CLFLUSHOPT), .form = form_mem, .fn = op_clflush, .needs = ISA_CLFLUSHOPT },
	{ M(CLWB), .form = form_mem, .fn = op_clflush, .needs = ISA_CLWB },
	{ M(UD0), .form = form_ud },
	{ M(UD1), .form = form_ud },
	{ M(UD2), .form = form_ud },

	/* ---- segments and descriptors ---- */
	{ M(LDS), .form = form_lxs, .fn = sys_lxs, .arg = SEG_DS },
	{ M(LES), .form = form_lxs, .fn = sys_lxs, .arg = SEG_ES },
	{ M(LFS), .form = form_lxs, .fn = sys_lxs, .arg = SEG_FS },
	{ M(LGS), .form = form_lxs, .fn = sys_lxs, .arg = SEG_GS },
	{ M(LSS), .form = form_lxs, .fn = sys_lxs, .arg = SEG_SS, .flags = ROW_END },
	{ M(LLDT), .form = form_sys_rm, .fn = sys_lldt },
	{ M(LTR), .form = form_sys_rm, .fn = sys_ltr },
	{ M(SLDT), .form = form_sys_rm, .fn = sys_sldt },
	{ M(STR), .form = form_sys_rm, .fn = sys_str },
	{ M(VERR), .form = form_sys_rm, .fn = sys_verr },
	{ M(VERW), .form = form_sys_rm, .fn = sys_verw },
	{ M(SMSW), .form = form_sys_rm, .fn = sys_smsw },
	{ M(LMSW), .form = form_sys_rm, .fn = sys_lmsw, .flags = ROW_END },
	/* The operand size matters outside of 64-bit code; in 64-bit code Zydis says 64. */
	{ M(LGDT), .form = form_sys_mem, .fn = sys_lgdt },
	{ M(LIDT), .form = form_sys_mem, .fn = sys_lidt },
	{ M(SGDT), .form = form_sys_mem, .fn = sys_sgdt },
	{ M(SIDT), .form = form_sys_mem, .fn = sys_sidt },
	{ M(LAR), .form = form_desc_look, .fn = sys_lar },
	{ M(LSL), .form = form_desc_look, .fn = sys_lsl },
	{ M(ARPL), .form = form_arpl, .fn = sys_arpl },
	{ M(SWAPGS), .form = form_sys, .fn = sys_swapgs, .flags = ROW_CODE64 },
	{ M(RDFSBASE), .form = form_base, .fn = sys_rdbase, .arg = SEG_FS, .flags = ROW_CODE64 },
	{ M(RDGSBASE), .form = form_base, .fn = sys_rdbase, .arg = SEG_GS, .flags = ROW_CODE64 },
	{ M(WRFSBASE), .form = form_base, .fn = sys_wrbase, .arg = SEG_FS, .flags = ROW_CODE64 },
	{ M(WRGSBASE), .form = form_base, .fn = sys_wrbase, .arg = SEG_GS, .flags = ROW_CODE64 },

	/* ---- control registers, TLB, caches ---- */
	{ M(CLTS), .form = form_sys, .fn = sys_clts },
	{ M(XGETBV), .form = form_sys, .fn = sys_xgetbv },
	{ M(XSETBV), .form = form_sys, .fn = sys_xsetbv, .flags = ROW_END },
	{ M(INVLPG), .form = form_sys_mem, .fn = sys_invlpg, .flags = ROW_END },
	{ M(INVPCID), .form = form_reg_mem, .fn = sys_invpcid, .needs = ISA_INVPCID, .flags = ROW_END },
	{ M(WBINVD), .form = form_sys, .fn = sys_wbinvd },
	{ M(INVD), .form = form_sys, .fn = sys_wbinvd },
	{ M(STAC), .form = form_sys, .fn = sys_stac, .needs = ISA_SMAP },
	{ M(CLAC), .form = form_sys, .fn = sys_clac, .needs = ISA_SMAP },

	/* ---- processor, flags, MSRs ---- */
	{ M(HLT), .form = form_sys, .fn = sys_hlt, .flags = ROW_END },
	{ M(CLI), .form = form_sys, .fn = sys_cli },
	{ M(STI), .form = form_sys, .fn = sys_sti },
	{ M(PUSHF), .form = form_sys, .fn = sys_pushf },
	{ M(PUSHFD), .form = form_sys, .fn = sys_pushf },
	{ M(PUSHFQ), .form = form_sys, .fn = sys_pushf },
	{ M(POPF), .form = form_sys, .fn = sys_popf, .flags = ROW_END },
	{ M(POPFD), .form = form_sys, .fn = sys_popf, .flags = ROW_END },
	{ M(POPFQ), .form = form_sys, .fn = sys_popf, .flags = ROW_END },
	{ M(CPUID), .form = form_sys, .fn = sys_cpuid },
	{ M(RDTSC), .form = form_sys, .fn = sys_rdtsc },
	{ M(RDTSCP), .form = form_sys, .fn = sys_rdtscp, .needs = ISA_RDTSCP },
	{ M(RDPID), .form = form_sys_rm, .fn = sys_rdpid, .needs = ISA_RDPID },
	{ M(RDPMC), .form = form_sys, .fn = sys_rdpmc },
	{ M(RDMSR), .form = form_sys, .fn = sys_rdmsr },
	{ M(WRMSR), .form = form_sys, .fn = sys_wrmsr, .flags = ROW_END },
	{ M(VMCALL), .form = form_sys, .fn = sys_hypercall },
	{ M(VMMCALL), .form = form_sys, .fn = sys_hypercall },

	/* ---- between rings ---- */
	{ M(SYSCALL), .form = form_sys, .fn = sys_syscall, .flags = ROW_END },
	{ M(SYSRET), .form = form_sys, .fn = sys_sysret, .flags = ROW_END },
	{ M(SYSENTER), .form = form_sys, .fn = sys_sysenter, .flags = ROW_END },
	{ M(SYSEXIT), .form = form_sys, .fn = sys_sysexit, .flags = ROW_END },
	{ M(IRET), .form = form_sys, .fn = sys_iret, .flags = ROW_END },
	{ M(IRETD), .form = form_sys, .fn = sys_iret, .flags = ROW_END },
	{ M(IRETQ), .form = form_sys, .fn = sys_iret, .flags = ROW_END },
	{ M(INT), .form = form_int_n, .fn = sys_int, .flags = ROW_END },
	{ M(INT1), .form = form_sys, .fn = sys_int1, .flags = ROW_END },
	{ M(INT3), .form = form_sys, .fn = sys_int3, .flags = ROW_END },
	{ M(INTO), .form = form_sys, .fn = sys_into, .flags = ROW_END },

	/* ---- ports ---- */
	{ M(IN), .form = form_in, .fn = sys_in },
	{ M(OUT), .form = form_out, .fn = sys_out, .flags = ROW_END },
	{ M(INSB), .form = form_ins, .fn = sys_ins, .arg = 1, .flags = ROW_END },
	{ M(INSW), .form = form_ins, .fn = sys_ins, .arg = 2, .flags = ROW_END },
	{ M(INSD), .form = form_ins, .fn = sys_ins, .arg = 4, .flags = ROW_END },
	{ M(OUTSB), .form = form_outs, .fn = sys_outs, .arg = 1, .flags = ROW_END },
	{ M(OUTSW), .form = form_outs, .fn = sys_outs, .arg = 2, .flags = ROW_END },
	{ M(OUTSD), .form = form_outs, .fn = sys_outs, .arg = 4, .flags = ROW_END },
};

struct decode_table decode_rows = { .row = rows, .rows = ARRAY_LEN(rows) };
