/* SPDX-License-Identifier: GPL-2.0-or-later */
/* decode_int.c - which handler, with which operands: the integer instructions and near control flow. */
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/run/ends.h"
#include "cpu/soft/decode/decode.h"

static unsigned size_index(unsigned bytes)
{
	return bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3;
}

static u8 reg_of(const ZydisDecodedOperand *o)
{
	return o->size == 8 ? decode_reg8(o->reg.value) : decode_gpr(o->reg.value);
}

static bool is_reg(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_REGISTER;
}
static bool is_mem(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_MEMORY;
}
static bool is_imm(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}
static bool locked(const struct decode *d)
{
	return d->insn->attributes & ZYDIS_ATTRIB_HAS_LOCK;
}

static bool done(struct decode *d, uop_fn *fn, bool end)
{
	d->u->fn = fn;
	d->nu = 1;
	d->end = end;
	return true;
}

/* Put the r/m operand o into u: memory, or register r1. */
static void rm(struct decode *d, const ZydisDecodedOperand *o)
{
	if (is_mem(o)) {
		d->u->aux |= AUX_MEM;
		decode_mem(d, d->u, o);
	} else {
		d->u->r1 = reg_of(o);
	}
}

static bool alu(struct decode *d, enum alu which)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];
	unsigned s = size_index(a->size / 8);
	struct uop *u = d->u;
	enum form f;

	if (is_mem(a)) {
		decode_mem(d, u, a);
		if (is_imm(b)) {
			u->imm = (u64)b->imm.value.s;
			f = locked(d) ? F_LMI : F_MI;
		} else {
			u->r0 = reg_of(b);
			f = locked(d) ? F_LMR : F_MR;
		}
	} else {
		u->r0 = reg_of(a);
		if (is_imm(b)) {
			u->imm = (u64)b->imm.value.s;
			f = F_RI;
		} else if (is_mem(b)) {
			decode_mem(d, u, b);
			f = F_RM;
		} else {
			u->r1 = reg_of(b);
			f = F_RR;
		}
	}
	return done(d, exec_alu[which][s][f], false);
}

static bool mov(struct decode *d)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];
	unsigned s = size_index(a->size / 8);
	struct uop *u = d->u;

	/* To and from segment, control and debug registers: not here. */
	if ((is_reg(a) && decode_gpr(a->reg.value) == GPR_ZERO) || (is_reg(b) && decode_gpr(b->reg.value) == GPR_ZERO))
		return false;
	if (is_mem(a)) {
		if (is_imm(b)) {
			u->imm = (u64)b->imm.value.s;
			decode_mem(d, u, a);
			return done(d, exec_mov[s][F_MI], false);
		}
		u->r0 = reg_of(b);
		decode_mem(d, u, a);
		return done(d, exec_mov[s][F_MR], false);
	}
	u->r0 = reg_of(a);
	if (is_imm(b)) {
		u->imm = b->imm.value.u;
		if (b->imm.is_signed)
			u->imm = (u64)b->imm.value.s;
		return done(d, exec_mov[s][F_RI], false);
	}
	if (is_mem(b)) {
		decode_mem(d, u, b);
		return done(d, exec_mov[s][F_RM], false);
	}
	u->r1 = reg_of(b);
	return done(d, exec_mov[s][F_RR], false);
}

static bool movx(struct decode *d, bool sign)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];
	struct uop *u = d->u;
	unsigned di = size_index(a->size / 8) - 1, m = is_mem(b);

	u->r0 = reg_of(a);
	if (m)
		decode_mem(d, u, b);
	else
		u->r1 = reg_of(b);
	if (b->size == 32) { /* MOVSXD */
		if (di == 0)
			return done(d, exec_mov[1][m ? F_RM : F_RR], false);
		return done(d, exec_movsxd[di - 1][m], false);
	}
	if (b->size == 16 && di == 0) /* 66 MOVSXD r16, r/m16; MOVZX r16, r/m16 */
		return done(d, exec_mov[1][m ? F_RM : F_RR], false);
	return done(d, exec_movx[sign][b->size == 16][di][m], false);
}

static bool unary(struct decode *d, enum unary which)
{
	const ZydisDecodedOperand *a = &d->ops[0];
	unsigned s = size_index(a->size / 8);

	if (is_mem(a)) {
		decode_mem(d, d->u, a);
		return done(d, exec_unary[which][s][locked(d) ? 2 : 1], false);
	}
	d->u->r0 = reg_of(a);
	return done(d, exec_unary[which][s][0], false);
}

static bool shift(struct decode *d, enum shift which)
{
	const ZydisDecodedOperand *a = &d->ops[0], *b = &d->ops[1];
	unsigned s = size_index(a->size / 8), cl = is_reg(b);

	if (!cl)
		d->u->imm = b->imm.value.u & 0xff;
	if (is_mem(a)) {
		decode_mem(d, d->u, a);
		return done(d, exec_shift[which][s][2 + cl], false);
	}
	d->u->r0 = reg_of(a);
	return done(d, exec_shift[which][s][cl], false);
}

/* One-handler instructions: r/m operand o, its size as osize, other register r0. */
static bool generic(struct decode *d, uop_fn *fn, const ZydisDecodedOperand *o, const ZydisDecodedOperand *r, u64 imm)
{
	u64 keep = imm;

	rm(d, o);
	d->u->osize = (u8)(o->size / 8);
	if (r && is_reg(r))
		d->u->r0 = reg_of(r);
	d->u->imm = keep;
	if (locked(d))
		d->u->aux |= AUX_LOCK;
	return done(d, fn, false);
}

static bool code64(const struct decode *d)
{
	return d->mode & MODE_CODE64;
}

/* A relative branch in 64-bit code: fills disp/imm; true when the target lies in this page (linkable). */
static bool rel64(struct decode *d, const ZydisDecodedOperand *o)
{
	s64 rel = o->imm.value.s + (s64)d->rip_off + d->insn->length;
	s64 in_page = rel + (s64)d->page_off;

	if (d->page_off != DECODE_NO_PAGE && in_page >= 0 && in_page < (s64)PAGE_BYTES && rel == (s32)rel) {
		d->u->disp = (s32)rel;
		return true;
	}
	d->u->imm = (u64)rel;
	return false;
}

/*
 * Operand bytes of a near branch. In 64-bit code it is 8 whatever REX.W says; AMD honours a 66 prefix (and so
 * cuts RIP to 16 bits), Intel does not (APM 3 "near branches in 64-bit mode").
 */
static unsigned branch_bytes(const struct decode *d)
{
	if (!code64(d))
		return d->insn->operand_width / 8;
	bool w = (d->insn->attributes & ZYDIS_ATTRIB_HAS_REX) && d->insn->raw.rex.W;
	return (d->c->vm->isa & ISA_AMD) && (d->insn->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) && !w ? 2 : 8;
}

static bool jcc(struct decode *d, unsigned cc)
{
	if (branch_bytes(d) == 8) {
		bool link = rel64(d, &d->ops[0]);
		return done(d, exec_jcc64[cc][link], false);
	}
	d->u->r0 = (u8)cc;
	d->u->imm = (u64)d->ops[0].imm.value.s;
	d->u->osize = (u8)branch_bytes(d);
	return done(d, op_jcc_legacy, false);
}

static bool setcc(struct decode *d, unsigned cc)
{
	const ZydisDecodedOperand *a = &d->ops[0];

	if (is_mem(a)) {
		decode_mem(d, d->u, a);
		return done(d, exec_setcc[cc][1], false);
	}
	d->u->r0 = reg_of(a);
	return done(d, exec_setcc[cc][0], false);
}

static bool cmov(struct decode *d, unsigned cc)
{
	unsigned s = size_index(d->ops[0].size / 8) - 1, m = is_mem(&d->ops[1]);

	d->u->r0 = reg_of(&d->ops[0]);
	if (m)
		decode_mem(d, d->u, &d->ops[1]);
	else
		d->u->r1 = reg_of(&d->ops[1]);
	return done(d, exec_cmov[cc][s][m], false);
}

static bool is_far(const struct decode *d)
{
	return d->insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

static bool jmp_call(struct decode *d, bool call)
{
	const ZydisDecodedOperand *o = &d->ops[0];
	unsigned osize = branch_bytes(d);
	struct uop *u = d->u;

	if (is_far(d))
		return false;
	if (osize == 8) {
		u->seg = SEG_SS; /* the push's, where there is no memory operand */
		if (is_imm(o)) {
			bool link = rel64(d, o);
			return done(d,
				    call   ? link ? op_call64_link : op_call64
				    : link ? op_jmp64_link
					   : op_jmp64,
				    true);
		}
		rm(d, o);
		return done(d,
			    call        ? is_mem(o) ? op_calli64_m : op_calli64
			    : is_mem(o) ? op_jmpi64_m
					: op_jmpi64,
			    true);
	}
	u->osize = (u8)osize;
	if (is_imm(o)) {
		u->imm = (u64)o->imm.value.s;
		u->seg = SEG_SS;
		return done(d, call ? op_call_legacy : op_jmp_legacy, true);
	}
	rm(d, o);
	return done(d, call ? op_calli_legacy : op_jmpi_legacy, true);
}

static bool push_pop(struct decode *d, bool push)
{
	const ZydisDecodedOperand *o = &d->ops[0];
	struct uop *u = d->u;
	unsigned n = d->insn->operand_width / 8;

	if (is_reg(o) && decode_gpr(o->reg.value) == GPR_ZERO)
		return false; /* segment registers */
	u->osize = (u8)n;
	if (is_imm(o)) {
		u->imm = (u64)o->imm.value.s;
		u->aux |= AUX_IMM;
		u->seg = SEG_SS;
		return done(d, n == 8 ? op_push64_i : op_push_any, false);
	}
	rm(d, o);
	if (is_reg(o))
		u->seg = SEG_SS;
	if (is_reg(o) && n == 8)
		return done(d, push ? op_push64_r : op_pop64_r, false);
	return done(d, push ? op_push_any : op_pop_any, false);
}

static bool string(struct decode *d, uop_fn *fn, unsigned bytes)
{
	struct uop *u = d->u;
	unsigned aw = d->insn->address_width;
	ZyanU64 at = d->insn->attributes;

	u->osize = (u8)bytes;
	u->ea = aw == 32 ? EA_A32 : aw == 16 ? EA_A16 : 0;
	if (at & ZYDIS_ATTRIB_HAS_REPNE)
		u->aux |= AUX_REPNE;
	else if (at & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
		u->aux |= AUX_REP;
	else
		for (unsigned i = 0; i < d->insn->raw.prefix_count; i++)
			if (d->insn->raw.prefixes[i].value == 0xf2) /* on MOVS, STOS, LODS: as REP */
				u->aux |= AUX_REP;
	/* The source segment, where there is one, can be overridden. */
	u->seg = at & ZYDIS_ATTRIB_HAS_SEGMENT_CS   ? SEG_CS
		 : at & ZYDIS_ATTRIB_HAS_SEGMENT_SS ? SEG_SS
		 : at & ZYDIS_ATTRIB_HAS_SEGMENT_ES ? SEG_ES
		 : at & ZYDIS_ATTRIB_HAS_SEGMENT_FS ? SEG_FS
		 : at & ZYDIS_ATTRIB_HAS_SEGMENT_GS ? SEG_GS
						    : SEG_DS;
	return done(d, fn, false);
}

/* The last of the prefixes F2 and F3, 0: none. */
static u8 last_rep(const ZydisDecodedInstruction *in)
{
	u8 rep = 0;

	for (unsigned i = 0; i < in->raw.prefix_count; i++)
		if (in->raw.prefixes[i].value == 0xf2 || in->raw.prefixes[i].value == 0xf3)
			rep = in->raw.prefixes[i].value;
	return rep;
}

static bool bmi(struct decode *d, unsigned what, unsigned isa, int rm_op, int other)
{
	if (!(d->c->vm->isa & isa))
		return false;
	u64 imm = what;
	if (other >= 0) {
		if (is_imm(&d->ops[other]))
			imm |= (d->ops[other].imm.value.u & 0xff) << 16;
		else
			imm |= (u64)decode_gpr(d->ops[other].reg.value) << 8;
	}
	return generic(d, op_bmi, &d->ops[rm_op], &d->ops[0], imm);
}

/*
 * 0F 18 to 0F 1F, in every form: hints, and room for more. What is defined there belongs to features that no model has
 * (RDSSP, ENDBR, MPX, CLDEMOTE), and programs use it without asking CPUID (SDM 2B, NOP; APM 3, NOP).
 */
static bool is_hint(const ZydisDecodedInstruction *in)
{
	return in->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && in->opcode_map == ZYDIS_OPCODE_MAP_0F &&
	       (in->opcode & 0xf8) == 0x18;
}

/*
 * Encodings and instruction sets of which no model has any, and which give other instructions' names to theirs: AMD's
 * XOP with TBM, 3DNow!, AVX-512, Xeon Phi's.
 */
static bool of_no_model(const ZydisDecodedInstruction *in)
{
	return (in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && in->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX) ||
	       (in->meta.isa_set >= ZYDIS_ISA_SET_KNCE && in->meta.isa_set <= ZYDIS_ISA_SET_KNC_PF_HINT);
}

bool decode_int(struct decode *d)
{
	const ZydisDecodedOperand *o = d->ops;
	const ZydisDecodedInstruction *in = d->insn;
	unsigned isa = d->c->vm->isa;
	struct uop *u = d->u;

	if (of_no_model(in)) {
		decode_ud(d);
		return true;
	}
	if (is_hint(in))
		return done(d, op_nop, false);
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_ADD:
		return alu(d, ALU_ADD);
	case ZYDIS_MNEMONIC_OR:
		return alu(d, ALU_OR);
	case ZYDIS_MNEMONIC_ADC:
		return alu(d, ALU_ADC);
	case ZYDIS_MNEMONIC_SBB:
		return alu(d, ALU_SBB);
	case ZYDIS_MNEMONIC_AND:
		return alu(d, ALU_AND);
	case ZYDIS_MNEMONIC_SUB:
		return alu(d, ALU_SUB);
	case ZYDIS_MNEMONIC_XOR:
		return alu(d, ALU_XOR);
	case ZYDIS_MNEMONIC_CMP:
		return alu(d, ALU_CMP);
	case ZYDIS_MNEMONIC_TEST:
		return alu(d, ALU_TEST);
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_MOVNTI:
		return mov(d);
	case ZYDIS_MNEMONIC_MOVZX:
		return movx(d, false);
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
		return movx(d, true);
	case ZYDIS_MNEMONIC_LEA: {
		unsigned s = size_index(o[0].size / 8);
		u->r0 = reg_of(&o[0]);
		u->aux |= AUX_MEM;
		decode_mem(d, u, &o[1]);
		return done(d, exec_lea[s - 1], false);
	}
	case ZYDIS_MNEMONIC_INC:
		return unary(d, UN_INC);
	case ZYDIS_MNEMONIC_DEC:
		return unary(d, UN_DEC);
	case ZYDIS_MNEMONIC_NEG:
		return unary(d, UN_NEG);
	case ZYDIS_MNEMONIC_NOT:
		return unary(d, UN_NOT);
	case ZYDIS_MNEMONIC_ROL:
		return shift(d, SH_ROL);
	case ZYDIS_MNEMONIC_ROR:
		return shift(d, SH_ROR);
	case ZYDIS_MNEMONIC_RCL:
		return shift(d, SH_RCL);
	case ZYDIS_MNEMONIC_RCR:
		return shift(d, SH_RCR);
	case ZYDIS_MNEMONIC_SHL:
		return shift(d, SH_SHL);
	case ZYDIS_MNEMONIC_SHR:
		return shift(d, SH_SHR);
	case ZYDIS_MNEMONIC_SAR:
		return shift(d, SH_SAR);

	case ZYDIS_MNEMONIC_MUL:
		return generic(d, op_mul1, &o[0], NULL, 0);
	case ZYDIS_MNEMONIC_IMUL:
		if (in->operand_count_visible == 1) {
			generic(d, op_mul1, &o[0], NULL, 0);
			u->r0 = 1;
			return true;
		} else {
			unsigned s = size_index(o[0].size / 8) - 1, m = is_mem(&o[1]);
			u->r0 = reg_of(&o[0]);
			if (m)
				decode_mem(d, u, &o[1]);
			else
				u->r1 = reg_of(&o[1]);
			if (in->operand_count_visible == 3) {
				u->imm = (u64)o[2].imm.value.s;
				return done(d, exec_imul3[s][m], false);
			}
			return done(d, exec_imul2[s][m], false);
		}
	case ZYDIS_MNEMONIC_DIV:
		return generic(d, op_div1, &o[0], NULL, 0);
	case ZYDIS_MNEMONIC_IDIV:
		generic(d, op_div1, &o[0], NULL, 0);
		u->r0 = 1;
		return true;

	case ZYDIS_MNEMONIC_XCHG:
		if (is_mem(&o[1]))
			return generic(d, op_xchg, &o[1], &o[0], 0);
		return generic(d, op_xchg, &o[0], &o[1], 0);
	case ZYDIS_MNEMONIC_XADD:
		return generic(d, op_xadd, &o[0], &o[1], 0);
	case ZYDIS_MNEMONIC_CMPXCHG:
		return generic(d, op_cmpxchg, &o[0], &o[1], 0);
	case ZYDIS_MNEMONIC_CMPXCHG8B:
	case ZYDIS_MNEMONIC_CMPXCHG16B:
		u->aux |= AUX_MEM;
		decode_mem(d, u, &o[0]);
		u->osize = in->mnemonic == ZYDIS_MNEMONIC_CMPXCHG16B ? 8 : 4;
		return done(d, op_cmpxchg8b, false);

	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC: {
		u64 what = in->mnemonic == ZYDIS_MNEMONIC_BT    ? 0
			   : in->mnemonic == ZYDIS_MNEMONIC_BTS ? 1
			   : in->mnemonic == ZYDIS_MNEMONIC_BTR ? 2
								: 3;
		if (is_imm(&o[1])) {
			u->aux |= AUX_IMM;
			what |= (o[1].imm.value.u & 0xff) << 8;
		}
		return generic(d, op_bt, &o[0], &o[1], what);
	}
	case ZYDIS_MNEMONIC_BSF:
		return generic(d, op_bitscan, &o[1], &o[0], 0);
	case ZYDIS_MNEMONIC_BSR:
		return generic(d, op_bitscan, &o[1], &o[0], 1);
	case ZYDIS_MNEMONIC_TZCNT:
		return generic(d, op_bitscan, &o[1], &o[0], 2);
	case ZYDIS_MNEMONIC_LZCNT:
		return generic(d, op_bitscan, &o[1], &o[0], 3);
	case ZYDIS_MNEMONIC_POPCNT:
		return generic(d, op_bitscan, &o[1], &o[0], 4);
	case ZYDIS_MNEMONIC_BSWAP:
		return generic(d, op_bswap, &o[0], NULL, 0);
	case ZYDIS_MNEMONIC_SHLD:
	case ZYDIS_MNEMONIC_SHRD: {
		u64 imm = in->mnemonic == ZYDIS_MNEMONIC_SHRD ? 0x100 : 0;
		if (is_imm(&o[2])) {
			u->aux |= AUX_IMM;
			imm |= o[2].imm.value.u & 0xff;
		}
		return generic(d, op_shxd, &o[0], &o[1], imm);
	}
	case ZYDIS_MNEMONIC_CBW:
	case ZYDIS_MNEMONIC_CWDE:
	case ZYDIS_MNEMONIC_CDQE:
		u->osize = (u8)(in->operand_width / 8);
		return done(d, op_convert, false);
	case ZYDIS_MNEMONIC_CWD:
	case ZYDIS_MNEMONIC_CDQ:
	case ZYDIS_MNEMONIC_CQO:
		u->osize = (u8)(in->operand_width / 8);
		u->imm = 1;
		return done(d, op_convert, false);
	case ZYDIS_MNEMONIC_CLC:
	case ZYDIS_MNEMONIC_STC:
	case ZYDIS_MNEMONIC_CMC:
	case ZYDIS_MNEMONIC_CLD:
	case ZYDIS_MNEMONIC_STD:
		u->imm = in->mnemonic == ZYDIS_MNEMONIC_CLC   ? 0
			 : in->mnemonic == ZYDIS_MNEMONIC_STC ? 1
			 : in->mnemonic == ZYDIS_MNEMONIC_CMC ? 2
			 : in->mnemonic == ZYDIS_MNEMONIC_CLD ? 3
							      : 4;
		return done(d, op_flag, false);
	case ZYDIS_MNEMONIC_LAHF:
		return done(d, op_lahf, false);
	case ZYDIS_MNEMONIC_SAHF:
		return done(d, op_sahf, false);
	case ZYDIS_MNEMONIC_SALC:
		return done(d, op_salc, false);
	case ZYDIS_MNEMONIC_XLAT:
		string(d, op_xlat, 1); /* same address-size and override rules */
		return true;
	case ZYDIS_MNEMONIC_DAA:
	case ZYDIS_MNEMONIC_DAS:
	case ZYDIS_MNEMONIC_AAA:
	case ZYDIS_MNEMONIC_AAS:
	case ZYDIS_MNEMONIC_AAM:
	case ZYDIS_MNEMONIC_AAD:
		u->r0 = in->mnemonic == ZYDIS_MNEMONIC_DAA   ? 0
			: in->mnemonic == ZYDIS_MNEMONIC_DAS ? 1
			: in->mnemonic == ZYDIS_MNEMONIC_AAA ? 2
			: in->mnemonic == ZYDIS_MNEMONIC_AAS ? 3
			: in->mnemonic == ZYDIS_MNEMONIC_AAM ? 4
							     : 5;
		if (u->r0 >= 4)
			u->imm = o[0].imm.value.u & 0xff;
		return done(d, op_bcd, false);

	case ZYDIS_MNEMONIC_MOVBE:
		if (!(isa & ISA_MOVBE))
			return false;
		if (is_mem(&o[0]))
			return generic(d, op_movbe, &o[0], &o[1], 1);
		return generic(d, op_movbe, &o[1], &o[0], 0);
	case ZYDIS_MNEMONIC_CRC32:
		return generic(d, op_crc32, &o[1], &o[0], o[0].size == 64);
	case ZYDIS_MNEMONIC_ANDN: /* d = ~o1 & o2 */
		return bmi(d, 0, ISA_BMI1, 2, 1);
	case ZYDIS_MNEMONIC_BEXTR:
		return bmi(d, 1, ISA_BMI1, 1, 2);
	case ZYDIS_MNEMONIC_BLSI:
		return bmi(d, 2, ISA_BMI1, 1, -1);
	case ZYDIS_MNEMONIC_BLSMSK:
		return bmi(d, 3, ISA_BMI1, 1, -1);
	case ZYDIS_MNEMONIC_BLSR:
		return bmi(d, 4, ISA_BMI1, 1, -1);
	case ZYDIS_MNEMONIC_BZHI:
		return bmi(d, 5, ISA_BMI2, 1, 2);
	case ZYDIS_MNEMONIC_PDEP:
		return bmi(d, 6, ISA_BMI2, 2, 1);
	case ZYDIS_MNEMONIC_PEXT:
		return bmi(d, 7, ISA_BMI2, 2, 1);
	case ZYDIS_MNEMONIC_RORX:
		return bmi(d, 8, ISA_BMI2, 1, 2);
	case ZYDIS_MNEMONIC_SARX:
		return bmi(d, 9, ISA_BMI2, 1, 2);
	case ZYDIS_MNEMONIC_SHLX:
		return bmi(d, 10, ISA_BMI2, 1, 2);
	case ZYDIS_MNEMONIC_SHRX:
		return bmi(d, 11, ISA_BMI2, 1, 2);
	case ZYDIS_MNEMONIC_MULX:
		if (!(isa & ISA_BMI2))
			return false;
		return generic(d, op_mulx, &o[2], &o[0], decode_gpr(o[1].reg.value));
	case ZYDIS_MNEMONIC_ADCX:
	case ZYDIS_MNEMONIC_ADOX:
		if (!(isa & ISA_ADX))
			return false;
		return generic(d, op_adx, &o[1], &o[0], in->mnemonic == ZYDIS_MNEMONIC_ADOX);
	case ZYDIS_MNEMONIC_RDRAND:
		return isa & ISA_RDRAND ? generic(d, op_rdrand, &o[0], NULL, 0) : false;
	case ZYDIS_MNEMONIC_RDSEED:
		return isa & ISA_RDSEED ? generic(d, op_rdrand, &o[0], NULL, 1) : false;

	case ZYDIS_MNEMONIC_JO:
		return jcc(d, 0);
	case ZYDIS_MNEMONIC_JNO:
		return jcc(d, 1);
	case ZYDIS_MNEMONIC_JB:
		return jcc(d, 2);
	case ZYDIS_MNEMONIC_JNB:
		return jcc(d, 3);
	case ZYDIS_MNEMONIC_JZ:
		return jcc(d, 4);
	case ZYDIS_MNEMONIC_JNZ:
		return jcc(d, 5);
	case ZYDIS_MNEMONIC_JBE:
		return jcc(d, 6);
	case ZYDIS_MNEMONIC_JNBE:
		return jcc(d, 7);
	case ZYDIS_MNEMONIC_JS:
		return jcc(d, 8);
	case ZYDIS_MNEMONIC_JNS:
		return jcc(d, 9);
	case ZYDIS_MNEMONIC_JP:
		return jcc(d, 10);
	case ZYDIS_MNEMONIC_JNP:
		return jcc(d, 11);
	case ZYDIS_MNEMONIC_JL:
		return jcc(d, 12);
	case ZYDIS_MNEMONIC_JNL:
		return jcc(d, 13);
	case ZYDIS_MNEMONIC_JLE:
		return jcc(d, 14);
	case ZYDIS_MNEMONIC_JNLE:
		return jcc(d, 15);
#define CC_CASES(prefix, fn) \
	case ZYDIS_MNEMONIC_##prefix##O: \
		return fn(d, 0); \
	case ZYDIS_MNEMONIC_##prefix##NO: \
		return fn(d, 1); \
	case ZYDIS_MNEMONIC_##prefix##B: \
		return fn(d, 2); \
	case ZYDIS_MNEMONIC_##prefix##NB: \
		return fn(d, 3); \
	case ZYDIS_MNEMONIC_##prefix##Z: \
		return fn(d, 4); \
	case ZYDIS_MNEMONIC_##prefix##NZ: \
		return fn(d, 5); \
	case ZYDIS_MNEMONIC_##prefix##BE: \
		return fn(d, 6); \
	case ZYDIS_MNEMONIC_##prefix##NBE: \
		return fn(d, 7); \
	case ZYDIS_MNEMONIC_##prefix##S: \
		return fn(d, 8); \
	case ZYDIS_MNEMONIC_##prefix##NS: \
		return fn(d, 9); \
	case ZYDIS_MNEMONIC_##prefix##P: \
		return fn(d, 10); \
	case ZYDIS_MNEMONIC_##prefix##NP: \
		return fn(d, 11); \
	case ZYDIS_MNEMONIC_##prefix##L: \
		return fn(d, 12); \
	case ZYDIS_MNEMONIC_##prefix##NL: \
		return fn(d, 13); \
	case ZYDIS_MNEMONIC_##prefix##LE: \
		return fn(d, 14); \
	case ZYDIS_MNEMONIC_##prefix##NLE: \
		return fn(d, 15);
		CC_CASES(SET, setcc)
		CC_CASES(CMOV, cmov)

	case ZYDIS_MNEMONIC_JMP:
		return jmp_call(d, false);
	case ZYDIS_MNEMONIC_CALL:
		return jmp_call(d, true);
	case ZYDIS_MNEMONIC_RET:
		if (is_far(d))
			return false;
		u->seg = SEG_SS;
		u->imm = in->operand_count_visible ? o[0].imm.value.u & 0xffff : 0;
		u->osize = (u8)branch_bytes(d);
		if (u->osize == 8) {
			u->imm += 8;
			return done(d, op_ret64, true);
		}
		return done(d, op_ret_legacy, true);
	case ZYDIS_MNEMONIC_LOOPNE:
	case ZYDIS_MNEMONIC_LOOPE:
	case ZYDIS_MNEMONIC_LOOP:
	case ZYDIS_MNEMONIC_JCXZ:
	case ZYDIS_MNEMONIC_JECXZ:
	case ZYDIS_MNEMONIC_JRCXZ:
		u->r0 = in->mnemonic == ZYDIS_MNEMONIC_LOOPNE  ? 0
			: in->mnemonic == ZYDIS_MNEMONIC_LOOPE ? 1
			: in->mnemonic == ZYDIS_MNEMONIC_LOOP  ? 2
							       : 3;
		/* AMD: F2 and F3 before LOOPcc say which condition, as before SCAS. */
		if ((isa & ISA_AMD) && u->r0 < 2 && last_rep(in))
			u->r0 = last_rep(in) == 0xf3;
		u->r1 = (u8)(in->address_width / 8);
		u->osize = (u8)branch_bytes(d);
		u->imm = (u64)o[0].imm.value.s;
		return done(d, op_loop, true);

	case ZYDIS_MNEMONIC_PUSH:
		return push_pop(d, true);
	case ZYDIS_MNEMONIC_POP:
		return push_pop(d, false);
	case ZYDIS_MNEMONIC_PUSHA:
	case ZYDIS_MNEMONIC_PUSHAD:
		u->osize = (u8)(in->operand_width / 8);
		u->seg = SEG_SS;
		return done(d, op_pusha, false);
	case ZYDIS_MNEMONIC_POPA:
	case ZYDIS_MNEMONIC_POPAD:
		u->osize = (u8)(in->operand_width / 8);
		u->seg = SEG_SS;
		return done(d, op_popa, false);
	case ZYDIS_MNEMONIC_LEAVE:
		u->osize = (u8)(in->operand_width / 8);
		u->seg = SEG_SS;
		return done(d, op_leave, false);

	case ZYDIS_MNEMONIC_MOVSB:
		return string(d, op_movs, 1);
	case ZYDIS_MNEMONIC_MOVSW:
		return string(d, op_movs, 2);
	case ZYDIS_MNEMONIC_MOVSQ:
		return string(d, op_movs, 8);
	case ZYDIS_MNEMONIC_STOSB:
		return string(d, op_stos, 1);
	case ZYDIS_MNEMONIC_STOSW:
		return string(d, op_stos, 2);
	case ZYDIS_MNEMONIC_STOSD:
		return string(d, op_stos, 4);
	case ZYDIS_MNEMONIC_STOSQ:
		return string(d, op_stos, 8);
	case ZYDIS_MNEMONIC_LODSB:
		return string(d, op_lods, 1);
	case ZYDIS_MNEMONIC_LODSW:
		return string(d, op_lods, 2);
	case ZYDIS_MNEMONIC_LODSD:
		return string(d, op_lods, 4);
	case ZYDIS_MNEMONIC_LODSQ:
		return string(d, op_lods, 8);
	case ZYDIS_MNEMONIC_SCASB:
		return string(d, op_scas, 1);
	case ZYDIS_MNEMONIC_SCASW:
		return string(d, op_scas, 2);
	case ZYDIS_MNEMONIC_SCASD:
		return string(d, op_scas, 4);
	case ZYDIS_MNEMONIC_SCASQ:
		return string(d, op_scas, 8);
	case ZYDIS_MNEMONIC_CMPSB:
		return string(d, op_cmps, 1);
	case ZYDIS_MNEMONIC_CMPSW:
		return string(d, op_cmps, 2);
	case ZYDIS_MNEMONIC_CMPSQ:
		return string(d, op_cmps, 8);
	case ZYDIS_MNEMONIC_MOVSD: /* also an SSE instruction */
		return in->meta.category == ZYDIS_CATEGORY_STRINGOP ? string(d, op_movs, 4) : false;
	case ZYDIS_MNEMONIC_CMPSD:
		return in->meta.category == ZYDIS_CATEGORY_STRINGOP ? string(d, op_cmps, 4) : false;

	case ZYDIS_MNEMONIC_PAUSE:
		/* F3 90 with REX.B, which Zydis takes for it too: XCHG r8, rAX. */
		if (in->attributes & ZYDIS_ATTRIB_HAS_REX && in->raw.rex.B) {
			u->r0 = GPR_RAX;
			u->r1 = 8;
			u->osize = in->raw.rex.W ? 8 : in->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE ? 2 : 4;
			return done(d, op_xchg, false);
		}
		return done(d, op_pause, false);
	case ZYDIS_MNEMONIC_NOP:
		/* 0F 0D with a register: AMD's PREFETCH takes memory only. */
		if (in->opcode_map == ZYDIS_OPCODE_MAP_0F && in->opcode == 0x0d && (isa & ISA_AMD))
			decode_ud(d);
		else
			done(d, op_nop, false);
		return true;
	case ZYDIS_MNEMONIC_PREFETCH:
	case ZYDIS_MNEMONIC_PREFETCHW:
	case ZYDIS_MNEMONIC_PREFETCHWT1:
		return done(d, op_nop, false);
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
		return done(d, op_fence, false);
	case ZYDIS_MNEMONIC_CLFLUSH:
	case ZYDIS_MNEMONIC_CLFLUSHOPT:
	case ZYDIS_MNEMONIC_CLWB:
		if ((in->mnemonic == ZYDIS_MNEMONIC_CLFLUSHOPT && !(isa & ISA_CLFLUSHOPT)) ||
		    (in->mnemonic == ZYDIS_MNEMONIC_CLWB && !(isa & ISA_CLWB)))
			return false;
		u->aux |= AUX_MEM;
		decode_mem(d, u, &o[0]);
		return done(d, op_clflush, false);
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
		decode_ud(d);
		return true;
	default:
		return false;
	}
}
