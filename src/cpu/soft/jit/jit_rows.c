/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_rows.c - the table of what is translated (jit_row.h): one row for each of Zydis' mnemonics, in the order of
 * decode/rows.c.
 *
 * What has no row has its handler called: rare instructions, those that go around the TLB, and those that end a block.
 * tests/engine/test_jit_rows.c checks the table, and names them.
 */
#include "cpu/soft/jit/jit_row.h"
#include "cpu/soft/vector/vec_class.h"

#define M(name) .mnemonic = ZYDIS_MNEMONIC_##name
/* A way of its own. */
#define WAY(takes_, emit_, access_) \
	{ \
		.takes = takes_, .emit = emit_, .access = access_ \
	}
#define VEC_WAY(takes_, emit_, vec_) \
	{ \
		.takes = takes_, .emit = emit_, .vec = vec_ \
	}
/* Encoded again with the host's registers, as far as its operands are general registers and memory. */
#define SAME WAY(je_native_ok, ji_native, JM_OPERAND)
#define ROW_SAME(name) \
	{ \
		M(name), .way = { SAME } \
	}
/* Sixteen rows, in the order of the condition codes (SDM 2 appendix B.1.4). */
#define ROWS_OF_CONDITIONS(prefix, ...) \
	{ M(prefix##O), .way = { __VA_ARGS__ } }, { M(prefix##NO), .way = { __VA_ARGS__ } }, \
	    { M(prefix##B), .way = { __VA_ARGS__ } }, { M(prefix##NB), .way = { __VA_ARGS__ } }, \
	    { M(prefix##Z), .way = { __VA_ARGS__ } }, { M(prefix##NZ), .way = { __VA_ARGS__ } }, \
	    { M(prefix##BE), .way = { __VA_ARGS__ } }, { M(prefix##NBE), .way = { __VA_ARGS__ } }, \
	    { M(prefix##S), .way = { __VA_ARGS__ } }, { M(prefix##NS), .way = { __VA_ARGS__ } }, \
	    { M(prefix##P), .way = { __VA_ARGS__ } }, { M(prefix##NP), .way = { __VA_ARGS__ } }, \
	    { M(prefix##L), .way = { __VA_ARGS__ } }, { M(prefix##NL), .way = { __VA_ARGS__ } }, \
	    { M(prefix##LE), .way = { __VA_ARGS__ } }, \
	{ \
		M(prefix##NLE), .way = { __VA_ARGS__ } \
	}
#define BY_CL WAY(takes_shift_cl, sp_shift_cl, JM_OPERAND)
#define STRING WAY(takes_string, sp_string, JM_IMPLIED)
#define REP WAY(takes_rep, sp_rep, JM_IMPLIED)
#define JCC WAY(takes_jcc, fl_jcc, JM_NONE), WAY(lg_takes_jcc, lg_jcc, JM_NONE)
#define LOOP_WAY WAY(lg_takes_loop, lg_loop, JM_NONE)

const struct jit_row jit_rows[] = {
	/* ---- two operands, one operand, shifts ---- */
	ROW_SAME(ADD),
	{ M(OR), JR_FLAGS_ALL, { SAME } },
	ROW_SAME(ADC),
	ROW_SAME(SBB),
	{ M(AND), JR_FLAGS_ALL, { SAME } },
	ROW_SAME(SUB),
	{ M(XOR), JR_FLAGS_ALL, { SAME } },
	ROW_SAME(CMP),
	{ M(TEST), JR_FLAGS_ALL, { SAME } },
	ROW_SAME(INC),
	ROW_SAME(DEC),
	ROW_SAME(NEG),
	ROW_SAME(NOT),
	{ M(ROL), JR_FLAGS_KEEP, { BY_CL, SAME } },
	{ M(ROR), JR_FLAGS_KEEP, { BY_CL, SAME } },
	{ M(RCL), JR_FLAGS_KEEP, { BY_CL, SAME } },
	{ M(RCR), JR_FLAGS_KEEP, { BY_CL, SAME } },
	{ M(SHL), JR_FLAGS_COUNT, { BY_CL, SAME } },
	{ M(SHR), JR_FLAGS_COUNT, { BY_CL, SAME } },
	{ M(SAR), JR_FLAGS_COUNT, { BY_CL, SAME } },

	/* ---- moves ---- */
	{ M(MOV),
	  .way = { WAY(takes_from_sreg, sp_from_sreg, JM_OPERAND), WAY(takes_from_cr, sp_from_cr, JM_NONE), SAME } },
	ROW_SAME(MOVNTI),
	ROW_SAME(MOVZX),
	ROW_SAME(MOVSX),
	ROW_SAME(MOVSXD),
	{ M(LEA), .way = { WAY(NULL, jm_lea, JM_NONE) } },
	ROW_SAME(MOVBE),
	ROW_SAME(BSWAP),

	/* ---- multiplication and division ---- */
	{ M(MUL), .way = { WAY(takes_mul, sp_mul, JM_OPERAND) } },
	{ M(IMUL), .way = { WAY(takes_mul, sp_mul, JM_OPERAND), SAME } },
	{ M(DIV), .way = { WAY(takes_div, sp_div, JM_IMPLIED) } },
	{ M(IDIV), .way = { WAY(takes_div, sp_div, JM_IMPLIED) } },

	/* ---- atomic ---- */
	{ M(XCHG), JR_LOCKED, { WAY(takes_xchg, sp_xchg, JM_NONE), SAME } },
	{ M(XADD), JR_LOCKED, { SAME } },
	{ M(CMPXCHG), .way = { WAY(takes_cmpxchg, sp_cmpxchg, JM_OPERAND) } },
	{ M(CMPXCHG8B), .way = { WAY(NULL, sp_cmpxchg8b, JM_OPERAND) } },
	{ M(CMPXCHG16B), .way = { WAY(NULL, sp_cmpxchg16b, JM_OPERAND) } },

	/* ---- bits ---- */
	{ M(BT), JR_BIT_STRING, { WAY(takes_bit_string, sp_bit_string, JM_OPERAND), SAME } },
	{ M(BTS), JR_BIT_STRING, { WAY(takes_bit_string, sp_bit_string, JM_OPERAND), SAME } },
	{ M(BTR), JR_BIT_STRING, { WAY(takes_bit_string, sp_bit_string, JM_OPERAND), SAME } },
	{ M(BTC), JR_BIT_STRING, { WAY(takes_bit_string, sp_bit_string, JM_OPERAND), SAME } },
	{ M(BSF), JR_KEEPS_REG, { SAME } },
	{ M(BSR), JR_KEEPS_REG, { SAME } },
	ROW_SAME(TZCNT),
	ROW_SAME(LZCNT),
	ROW_SAME(POPCNT),
	{ M(SHLD), JR_FLAGS_KEEP, { WAY(takes_shxd_cl, sp_shift_cl, JM_OPERAND), SAME } },
	{ M(SHRD), JR_FLAGS_KEEP, { WAY(takes_shxd_cl, sp_shift_cl, JM_OPERAND), SAME } },
	ROW_SAME(CRC32),

	/* ---- BMI1, BMI2, ADX ---- */
	ROW_SAME(ANDN),
	ROW_SAME(BEXTR),
	ROW_SAME(BLSI),
	ROW_SAME(BLSMSK),
	ROW_SAME(BLSR),
	ROW_SAME(BZHI),
	ROW_SAME(PDEP),
	ROW_SAME(PEXT),
	ROW_SAME(RORX),
	ROW_SAME(SARX),
	ROW_SAME(SHLX),
	ROW_SAME(SHRX),
	{ M(MULX), .way = { WAY(NULL, sp_mulx, JM_OPERAND) } },
	ROW_SAME(ADCX),
	ROW_SAME(ADOX),

	/* ---- AL, AX and flags ---- */
	{ M(CBW), .way = { WAY(NULL, sp_convert, JM_NONE) } },
	{ M(CWDE), .way = { WAY(NULL, sp_convert, JM_NONE) } },
	{ M(CDQE), .way = { WAY(NULL, sp_convert, JM_NONE) } },
	{ M(CWD), .way = { WAY(NULL, sp_convert, JM_NONE) } },
	{ M(CDQ), .way = { WAY(NULL, sp_convert, JM_NONE) } },
	{ M(CQO), .way = { WAY(NULL, sp_convert, JM_NONE) } },
	ROW_SAME(CLC),
	ROW_SAME(STC),
	ROW_SAME(CMC),
	{ M(CLD), .way = { WAY(NULL, sp_direction, JM_NONE) } },
	{ M(STD), .way = { WAY(NULL, sp_direction, JM_NONE) } },
	{ M(LAHF), .way = { WAY(NULL, sp_lahf, JM_NONE) } },
	{ M(SAHF), .way = { WAY(NULL, sp_sahf, JM_NONE) } },

	/* ---- strings ---- */
	{ M(MOVSB), .way = { STRING, REP } },
	{ M(MOVSW), .way = { STRING, REP } },
	{ M(MOVSD), JR_VECTOR, { STRING, REP } },
	{ M(MOVSQ), .way = { STRING, REP } },
	{ M(STOSB), .way = { STRING, REP } },
	{ M(STOSW), .way = { STRING, REP } },
	{ M(STOSD), .way = { STRING, REP } },
	{ M(STOSQ), .way = { STRING, REP } },
	{ M(LODSB), .way = { STRING } },
	{ M(LODSW), .way = { STRING } },
	{ M(LODSD), .way = { STRING } },
	{ M(LODSQ), .way = { STRING } },
	{ M(SCASB), JR_FLAGS_REP },
	{ M(SCASW), JR_FLAGS_REP },
	{ M(SCASD), JR_FLAGS_REP },
	{ M(SCASQ), JR_FLAGS_REP },
	{ M(CMPSB), JR_FLAGS_REP },
	{ M(CMPSW), JR_FLAGS_REP },
	{ M(CMPSD), JR_FLAGS_REP | JR_VECTOR },
	{ M(CMPSQ), JR_FLAGS_REP },

	/* ---- conditions ---- */
	ROWS_OF_CONDITIONS(J, JCC),
	ROWS_OF_CONDITIONS(SET, SAME),
	ROWS_OF_CONDITIONS(CMOV, SAME),

	/* ---- control flow and the stack ---- */
	{ M(JMP), .way = { WAY(takes_jmp, fl_jmp, JM_NONE), WAY(takes_jmp_indirect, fl_indirect, JM_OPERAND),
			   WAY(lg_takes_jmp, lg_jmp, JM_NONE), WAY(lg_takes_indirect, lg_indirect, JM_OPERAND) } },
	{ M(CALL), .way = { WAY(takes_call, fl_call, JM_STACK), WAY(takes_call_indirect, fl_indirect, JM_IMPLIED),
			    WAY(lg_takes_call, lg_call, JM_STACK), WAY(lg_takes_indirect, lg_indirect, JM_IMPLIED) } },
	{ M(RET), .way = { WAY(takes_ret, fl_ret, JM_STACK), WAY(lg_takes_ret, lg_ret, JM_STACK) } },
	{ M(LOOPNE), .way = { LOOP_WAY } },
	{ M(LOOPE), .way = { LOOP_WAY } },
	{ M(LOOP), .way = { LOOP_WAY } },
	{ M(JCXZ), .way = { LOOP_WAY } },
	{ M(JECXZ), .way = { LOOP_WAY } },
	{ M(PUSH), .way = { WAY(takes_push, sp_push, JM_STACK), WAY(takes_push_mem, sp_push_mem, JM_IMPLIED),
			    WAY(lg_takes_push, lg_push, JM_STACK), WAY(lg_takes_push_mem, lg_push_mem, JM_IMPLIED),
			    WAY(lg_takes_push_sreg, lg_push_sreg, JM_STACK) } },
	{ M(POP), .way = { WAY(takes_pop, sp_pop, JM_STACK), WAY(takes_pop_rsp, sp_pop, JM_IMPLIED),
			   WAY(lg_takes_pop, lg_pop, JM_STACK), WAY(lg_takes_pop_sp, lg_pop, JM_IMPLIED) } },
	{ M(LEAVE), .way = { WAY(takes_leave, sp_leave, JM_IMPLIED), WAY(lg_takes_leave, lg_leave, JM_IMPLIED) } },

	/* ---- hints and fences. What the decoder makes a NOP needs no row ---- */
	{ M(PAUSE), .way = { WAY(takes_pause, ji_native, JM_NONE) } },
	ROW_SAME(LFENCE),
	ROW_SAME(SFENCE),
	ROW_SAME(MFENCE),

	/* ---- system ---- */
	{ M(CLI), .way = { WAY(takes_supervisor, sp_cli, JM_NONE) } },
	{ M(STI), .way = { WAY(takes_sti_last, ji_leave, JM_NONE), WAY(takes_supervisor, sp_sti, JM_NONE) } },
	{ M(STAC), .way = { WAY(takes_supervisor, sp_stac, JM_NONE), WAY(NULL, ji_leave, JM_NONE) } },
	{ M(CLAC), .way = { WAY(takes_supervisor, sp_stac, JM_NONE), WAY(NULL, ji_leave, JM_NONE) } },
	{ M(PUSHF), .way = { WAY(lg_takes_pushf, lg_pushf, JM_IMPLIED) } },
	{ M(PUSHFD), .way = { WAY(lg_takes_pushf, lg_pushf, JM_IMPLIED) } },
	{ M(PUSHFQ), .way = { WAY(takes_pushf, sp_pushf, JM_IMPLIED) } },
	{ M(SWAPGS), .way = { WAY(takes_supervisor, sp_swapgs, JM_NONE) } },
	{ M(RDTSC), .way = { WAY(NULL, sp_rdtsc, JM_NONE) } },
	{ M(RDTSCP), .way = { WAY(NULL, sp_rdtsc, JM_NONE) } },
	{ M(RDFSBASE), .way = { WAY(NULL, sp_base, JM_NONE) } },
	{ M(RDGSBASE), .way = { WAY(NULL, sp_base, JM_NONE) } },
	{ M(WRFSBASE), .way = { WAY(NULL, sp_base, JM_NONE) } },
	{ M(WRGSBASE), .way = { WAY(NULL, sp_base, JM_NONE) } },

	/* ---- vector and x87 instructions whose operands do not say what they do ---- */
	{ M(FWAIT), .way = { VEC_WAY(takes_fwait, jv_same, VEC_OK_X87) } },
	{ M(FNCLEX), .way = { VEC_WAY(takes_fnclex, jv_same, VEC_OK_X87) } },
	{ M(FNSTSW), JR_VECTOR, { VEC_WAY(takes_fnstsw_ax, jv_fnstsw_ax, VEC_OK_X87) } },
	{ M(STMXCSR), .way = { VEC_WAY(NULL, jv_stmxcsr, VEC_OK_SSE) } },
	{ M(VSTMXCSR), .way = { VEC_WAY(NULL, jv_stmxcsr, VEC_OK_AVX) } },
	{ M(VZEROUPPER), .way = { VEC_WAY(takes_code64, jv_same, VEC_OK_AVX) } },
	{ M(VZEROALL), .way = { VEC_WAY(takes_code64, jv_same, VEC_OK_AVX) } },
	/* What is masked off is not accessed. */
	{ M(VMASKMOVPS) },
	{ M(VMASKMOVPD) },
	{ M(VPMASKMOVD) },
	{ M(VPMASKMOVQ) },
};
const unsigned jit_nrows = ARRAY_LEN(jit_rows);

static u8 at[ZYDIS_MNEMONIC_MAX_VALUE + 1]; /* index + 1; 0: there is none */
static_assert(ARRAY_LEN(jit_rows) < 256, "at[] says which");

void jit_row_index(void)
{
	for (unsigned i = 0; i < jit_nrows; i++) {
		u8 *a = &at[jit_rows[i].mnemonic];

		must(!*a || *a == i + 1);
		*a = (u8)(i + 1);
	}
}

const struct jit_row *jit_row_of(ZydisMnemonic m)
{
	return at[m] ? &jit_rows[at[m] - 1] : NULL;
}
