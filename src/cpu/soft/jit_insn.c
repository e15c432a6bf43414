/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_insn.c - integer instructions: which are encoded again as they are, with other registers, and which have an
 * emitter of their own. What is in neither list is executed by the interpreter's handler.
 */
#include "cpu/soft/jit_emit.h"
#include "cpu/soft/exec.h"

/* Guest R10, R11 and R15 are used least: the last ones compilers take. rax and rcx are scratch. */
const u8 jit_hreg[16] = { H_R10, H_R11, H_RDX, H_RBX, H_R15, H_RBP, H_RSI, H_RDI,
			  H_R8,	 H_R9,	H_NONE, H_NONE, H_R12, H_R13, H_R14, H_NONE };

unsigned j_reg(struct jit *j, unsigned g, unsigned scratch)
{
	if (jit_hreg[g] != H_NONE)
		return jit_hreg[g];
	e_ld(j, scratch, C_OFF(gpr[0]) + 8 * (s32)g);
	return scratch;
}

void j_set_reg(struct jit *j, unsigned g, unsigned h)
{
	if (jit_hreg[g] != H_NONE)
		e_mov(j, jit_hreg[g], h);
	else
		e_st(j, h, C_OFF(gpr[0]) + 8 * (s32)g);
}

/* ---- encoding again ---- */

enum rm_kind { RM_NONE, RM_REG, RM_GROUP, RM_AT_RAX, RM_AT_RAX_RCX, RM_AT_RCX };

struct enc {
	unsigned reg; /* host register, or what the field says */
	bool reg_is_reg;
	enum rm_kind kind;
	unsigned rm; /* RM_GROUP: [rm + rax or rcx + disp] */
	unsigned index;
	s32 disp;
	unsigned vvvv; /* host register, for VEX with a general register there; H_NONE: as it is */
	bool rex8;     /* an 8-bit register is named: a REX prefix makes it the low byte */
};

static void modrm_of(struct jit *j, const struct enc *e)
{
	unsigned r = (e->reg & 7) << 3;

	switch (e->kind) {
	case RM_REG:
		e8(j, 0xc0 | r | (e->rm & 7));
		break;
	case RM_GROUP:
		e8(j, 0x80 | r | 4);
		e8(j, (e->index & 7) << 3 | (e->rm & 7));
		e32(j, (u32)e->disp);
		break;
	case RM_AT_RAX:
		e8(j, r | H_RAX);
		break;
	case RM_AT_RCX:
		e8(j, r | H_RCX);
		break;
	case RM_AT_RAX_RCX:
		e8(j, r | 4);
		e8(j, H_RCX << 3 | H_RAX);
		break;
	default:
		break;
	}
}

static void imm_of(struct jit *j, const struct jinsn *i)
{
	for (unsigned k = 0; k < 2; k++)
		if (i->in.raw.imm[k].size)
			eb(j, i->bytes + i->in.raw.imm[k].offset, i->in.raw.imm[k].size / 8);
}

static void prefixes_of(struct jit *j, const struct jinsn *i)
{
	for (unsigned k = 0; k < i->in.raw.prefix_count; k++) {
		u8 p = i->in.raw.prefixes[k].value;
		/* What this processor model ignores (F3 on BSF without BMI1) the host might not. */
		if ((p == 0x66 || p == 0xf2 || p == 0xf3 || p == 0xf0) &&
		    i->in.raw.prefixes[k].type != ZYDIS_PREFIX_TYPE_IGNORED)
			e8(j, p);
	}
}

static void map_of(struct jit *j, const struct jinsn *i)
{
	if (i->in.opcode_map == ZYDIS_OPCODE_MAP_0F)
		e8(j, 0x0f);
	else if (i->in.opcode_map == ZYDIS_OPCODE_MAP_0F38)
		EB(j, 0x0f, 0x38);
	else if (i->in.opcode_map == ZYDIS_OPCODE_MAP_0F3A)
		EB(j, 0x0f, 0x3a);
}

static void ji_encode_op(struct jit *j, const struct jinsn *i, const struct enc *e, unsigned opcode)
{
	unsigned b = e->kind == RM_REG || e->kind == RM_GROUP ? e->rm >> 3 : 0, r = e->reg_is_reg ? e->reg >> 3 : 0;

	if (i->in.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) {
		const u8 *v = i->bytes + i->in.raw.vex.offset;
		bool three = v[0] == 0xc4;
		u8 p1 = three ? v[1] & 0x1f : 1, p2 = three ? v[2] : v[1] & 0x7f;
		if (e->vvvv != H_NONE)
			p2 = (u8)((p2 & 0x87) | (~e->vvvv & 15) << 3);
		EB(j, 0xc4, (u8)(p1 | (r ? 0 : 0x80) | 0x40 | (b ? 0 : 0x20)), p2);
	} else {
		prefixes_of(j, i);
		bool w = (i->in.attributes & ZYDIS_ATTRIB_HAS_REX) && i->in.raw.rex.W;
		if (w || r || b || e->rex8)
			e8(j, 0x40 | w << 3 | r << 2 | b);
		map_of(j, i);
	}
	e8(j, opcode);
	modrm_of(j, e);
	imm_of(j, i);
}

/* What the operands are, as far as general registers go. */
struct regs {
	int reg, rm, v, opc, acc; /* guest registers in ModRM.reg, ModRM.rm, VEX.vvvv, the opcode; implied accumulator; -1 */
	unsigned size[5];         /* in that order, bits */
	bool rd[5], wr[5];
	const ZydisDecodedOperand *mem;
	bool mem_rd, mem_wr;
	bool imm, bytes8;
};

static bool is_gpr(ZydisRegister r)
{
	ZydisRegisterClass k = ZydisRegisterGetClass(r);

	return k == ZYDIS_REGCLASS_GPR8 || k == ZYDIS_REGCLASS_GPR16 || k == ZYDIS_REGCLASS_GPR32 || k == ZYDIS_REGCLASS_GPR64;
}

static bool is_high(ZydisRegister r)
{
	return r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH;
}

static bool regs_of(const struct jinsn *i, struct regs *r)
{
	*r = (struct regs){ -1, -1, -1, -1, -1 };
	for (unsigned k = 0; k < i->in.operand_count; k++) {
		const ZydisDecodedOperand *o = &i->ops[k];
		bool rd = o->actions & ZYDIS_OPERAND_ACTION_MASK_READ, wr = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
		int *slot, n;

		if (k >= i->in.operand_count_visible) {
			if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && ZydisRegisterGetClass(o->reg.value) == ZYDIS_REGCLASS_FLAGS)
				continue;
			return false;
		}
		switch (o->type) {
		case ZYDIS_OPERAND_TYPE_IMMEDIATE:
			r->imm = true;
			continue;
		case ZYDIS_OPERAND_TYPE_MEMORY:
			if (r->mem || (o->mem.type != ZYDIS_MEMOP_TYPE_MEM && o->mem.type != ZYDIS_MEMOP_TYPE_AGEN) ||
			    o->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM)
				return false;
			r->mem = o;
			r->mem_rd = rd;
			r->mem_wr = wr;
			continue;
		case ZYDIS_OPERAND_TYPE_REGISTER:
			break;
		default:
			return false;
		}
		if (!is_gpr(o->reg.value) || is_high(o->reg.value))
			return false;
		switch (o->encoding) {
		case ZYDIS_OPERAND_ENCODING_MODRM_REG:
			slot = &r->reg;
			n = 0;
			break;
		case ZYDIS_OPERAND_ENCODING_MODRM_RM:
			slot = &r->rm;
			n = 1;
			break;
		case ZYDIS_OPERAND_ENCODING_NDSNDD:
			slot = &r->v;
			n = 2;
			break;
		case ZYDIS_OPERAND_ENCODING_OPCODE:
			slot = &r->opc;
			n = 3;
			break;
		case ZYDIS_OPERAND_ENCODING_NONE:
			slot = &r->acc;
			n = 4;
			break;
		default:
			return false;
		}
		if (*slot >= 0)
			return false;
		*slot = decode_gpr(o->reg.value);
		r->size[n] = o->size;
		/* Part of a register is written: the rest stays. So does a conditional move's. */
		r->rd[n] = rd || o->size < 32 || (o->actions & ZYDIS_OPERAND_ACTION_CONDWRITE);
		r->wr[n] = wr;
		r->bytes8 |= o->size == 8;
	}
	return true;
}

static bool homed(int g)
{
	return g >= 0 && jit_hreg[g] == H_NONE;
}

/* Can ji_native() do it? */
static bool native_ok(const struct jinsn *i)
{
	struct regs r;

	if (i->in.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && i->in.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
		return false;
	if (!regs_of(i, &r))
		return false;
	/* BSF and BSR of zero leave the destination alone. */
	if (homed(r.reg) && (i->in.mnemonic == ZYDIS_MNEMONIC_BSF || i->in.mnemonic == ZYDIS_MNEMONIC_BSR))
		return false;
	if (r.acc >= 0 && !(r.acc == GPR_RAX && r.imm && r.reg < 0 && r.rm < 0 && !r.mem && i->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
			    ((i->in.opcode & 0xc6) == 0x04 || (i->in.opcode & 0xfe) == 0xa8)))
		return false;
	unsigned n = (unsigned)homed(r.reg) + homed(r.v);
	if (r.mem && n > 1)
		return false;
	if (!r.mem && n + homed(r.rm) > 2)
		return false;
	if (homed(r.rm) && (r.rm == r.reg || r.rm == r.v) && r.wr[1] && (r.wr[0] || r.wr[2]))
		return false;
	return true;
}

bool ji_native(struct jit *j, struct jinsn *i)
{
	struct regs r;
	struct enc e = { .vvvv = H_NONE };
	struct jstub *s = NULL;
	u16 in = j_flags_in(i);
	unsigned opcode = i->in.opcode;

	regs_of(i, &r);
	e.rex8 = r.bytes8;
	e.reg = i->in.raw.modrm.reg;
	if (r.acc >= 0) { /* op al/ax/eax/rax, imm: the form with ModRM */
		r.rm = r.acc;
		r.rd[1] = r.rd[4];
		r.wr[1] = r.wr[4];
		e.reg = opcode >= 0xa8 ? 0 : opcode >> 3 & 7;
		opcode = (opcode >= 0xa8 ? 0xf6 : 0x80) | (opcode & 1);
	}
	if (r.opc >= 0) {
		/* MOV r, imm and BSWAP */
		unsigned h = jit_hreg[r.opc] != H_NONE ? jit_hreg[r.opc] : H_RCX;
		if (homed(r.opc) && r.rd[3])
			e_ld(j, h, C_OFF(gpr[0]) + 8 * r.opc);
		prefixes_of(j, i);
		bool w = (i->in.attributes & ZYDIS_ATTRIB_HAS_REX) && i->in.raw.rex.W;
		if (w || h >= 8 || e.rex8)
			e8(j, 0x40 | w << 3 | h >> 3);
		map_of(j, i);
		e8(j, (opcode & ~7u) | (h & 7));
		imm_of(j, i);
		if (homed(r.opc) && r.wr[3])
			e_st(j, h, C_OFF(gpr[0]) + 8 * r.opc);
		return true;
	}
	unsigned sreg, srm = H_RCX;
	if (r.mem && !j->plain && i->group != JG_NONE) {
		if (i->group == JG_LEADER)
			j_need_mem(j, i->live_in);
		if (!jm_lead(j, i))
			return false;
		j_need_reg(j, in);
		/* The base may lie in memory, and so may the other operand: never three scratch registers. */
		u8 g = decode_gpr(r.mem->mem.base);
		e.kind = RM_GROUP;
		e.disp = r.mem->mem.disp.has_displacement ? (s32)r.mem->mem.disp.value : 0;
		e.rm = j_reg(j, g, H_RCX);
		e.index = H_RAX;
		jm_addend(j, i, H_RAX);
		if (homed(g)) {
			EB(j, 0x48, 0x8d, 0x04, 0x08); /* lea rax, [rax + rcx] */
			e.rm = H_RAX;
			e.index = 4; /* none */
		}
		sreg = H_RCX;
		in = 0;
	} else if (r.mem) {
		j_need_mem(j, i->live_in);
		jm_plain_entry(j, i);
		jm_address(j, i, r.mem);
		bool keep = in != 0, h = homed(r.reg) || homed(r.v);
		unsigned addr = keep ? JA_RCX : h ? JA_RAX : JA_RAX_RCX;
		s = jm_check(j, i, r.mem->size / 8, r.mem_wr, addr);
		e.kind = addr == JA_RCX ? RM_AT_RCX : addr == JA_RAX ? RM_AT_RAX : RM_AT_RAX_RCX;
		sreg = keep ? H_RAX : H_RCX;
	} else {
		sreg = H_RAX;
	}
	j_need_reg(j, in);
	int g0 = r.reg >= 0 ? r.reg : -1;
	unsigned other = sreg; /* for vvvv */
	if (g0 >= 0) {
		e.reg = jit_hreg[g0];
		e.reg_is_reg = true;
		if (homed(g0)) {
			e.reg = sreg;
			other = sreg == H_RAX ? H_RCX : H_RAX;
			if (r.rd[0])
				e_ld(j, sreg, C_OFF(gpr[0]) + 8 * g0);
		}
	}
	if (r.v >= 0) {
		e.vvvv = jit_hreg[r.v];
		if (homed(r.v)) {
			e.vvvv = other;
			srm = H_RAX; /* at most two are not in registers */
			if (r.rd[2])
				e_ld(j, e.vvvv, C_OFF(gpr[0]) + 8 * r.v);
			if (e.vvvv == H_RAX)
				srm = H_RCX;
		}
	}
	if (r.rm >= 0) {
		e.kind = RM_REG;
		e.rm = jit_hreg[r.rm];
		if (homed(r.rm)) {
			e.rm = srm;
			if (r.rd[1])
				e_ld(j, srm, C_OFF(gpr[0]) + 8 * r.rm);
		}
	}
	if (!r.mem && r.rm < 0 && r.reg < 0 && r.v < 0) {
		eb(j, i->bytes, i->in.length); /* no operand but flags */
	} else {
		ji_encode_op(j, i, &e, opcode);
	}
	if (homed(r.rm) && r.wr[1])
		e_st(j, e.rm, C_OFF(gpr[0]) + 8 * r.rm);
	if (homed(g0) && r.wr[0])
		e_st(j, e.reg, C_OFF(gpr[0]) + 8 * g0);
	if (homed(r.v) && r.wr[2])
		e_st(j, e.vvvv, C_OFF(gpr[0]) + 8 * r.v);
	j_wrote_flags(j, i);
	jm_done(j, s, j->fl_reg);
	return !r.mem || s || e.kind == RM_GROUP;
}

/* ---- emitters of their own ---- */

static bool sp_nothing(struct jit *j, struct jinsn *i)
{
	(void)j, (void)i;
	return true;
}

static bool sp_convert(struct jit *j, struct jinsn *i)
{
	unsigned a = jit_hreg[GPR_RAX];

	switch (i->in.mnemonic) {
	case ZYDIS_MNEMONIC_CDQE:
		op_rr(j, true, 0x63, a, a);
		break;
	case ZYDIS_MNEMONIC_CWDE:
		rex(j, false, a, 0, a);
		EB(j, 0x0f, 0xbf, (u8)(0xc0 | (a & 7) << 3 | (a & 7)));
		break;
	case ZYDIS_MNEMONIC_CQO:
		e_mov(j, H_RAX, a);
		EB(j, 0x48, 0x99);
		break;
	case ZYDIS_MNEMONIC_CDQ:
		e_mov(j, H_RAX, a);
		EB(j, 0x99);
		break;
	default: /* CBW, CWD: 66 */
		e_mov(j, H_RAX, a);
		EB(j, 0x66, (u8)(i->in.mnemonic == ZYDIS_MNEMONIC_CBW ? 0x98 : 0x99));
		if (i->in.mnemonic == ZYDIS_MNEMONIC_CBW)
			e_mov(j, a, H_RAX);
	}
	return true;
}

/* SHL and friends by CL, SHLD and SHRD by CL. */
static bool shift_ok(const struct jinsn *i)
{
	struct jinsn t = *i;
	struct regs r;

	/* Without the count it is an ordinary instruction. */
	unsigned c = i->in.operand_count_visible - 1;
	if (t.ops[c].type != ZYDIS_OPERAND_TYPE_REGISTER || t.ops[c].reg.value != ZYDIS_REGISTER_CL)
		return false;
	t.ops[c].type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
	if (!regs_of(&t, &r) || homed(r.reg))
		return false;
	return !r.mem || !(i->live_out | i->fl.read);
}

static bool sp_shift_cl(struct jit *j, struct jinsn *i)
{
	struct jinsn t = *i;
	struct regs r;
	struct enc e = { .vvvv = H_NONE };
	struct jstub *s = NULL;

	t.ops[i->in.operand_count_visible - 1].type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
	regs_of(&t, &r);
	e.rex8 = r.bytes8 || (r.mem == NULL && i->ops[0].size == 8);
	e.reg = i->in.raw.modrm.reg;
	if (r.reg >= 0) {
		e.reg = jit_hreg[r.reg];
		e.reg_is_reg = true;
	}
	if (r.mem) {
		if (i->live_out)
			return false;
		j_need_mem(j, i->live_in);
		jm_address(j, i, r.mem);
		s = jm_check(j, i, r.mem->size / 8, true, JA_RAX);
		e.kind = RM_AT_RAX;
	} else {
		j_need_reg(j, j_flags_in(i));
		e.kind = RM_REG;
		e.rm = jit_hreg[r.rm];
		if (homed(r.rm)) {
			e.rm = H_RAX;
			e_ld(j, H_RAX, C_OFF(gpr[0]) + 8 * r.rm);
		}
	}
	e_mov32(j, H_RCX, jit_hreg[GPR_RCX]);
	ji_encode_op(j, i, &e, i->in.opcode);
	if (homed(r.rm))
		e_st(j, H_RAX, C_OFF(gpr[0]) + 8 * r.rm);
	j_wrote_flags(j, i);
	if (r.mem)
		jm_done(j, s, j->fl_reg);
	return !r.mem || s;
}

/* MUL, IMUL r/m: rdx is the guest's, rax not. */
static bool mul_ok(const struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[0];

	if (o->size == 8 || i->in.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return false;
	return o->type == ZYDIS_OPERAND_TYPE_MEMORY || is_gpr(o->reg.value);
}

static bool sp_mul(struct jit *j, struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[0];
	struct enc e = { .vvvv = H_NONE, .reg = i->in.raw.modrm.reg };
	struct jstub *s = NULL;
	bool mem = o->type == ZYDIS_OPERAND_TYPE_MEMORY;

	if (mem) {
		j_need_mem(j, i->live_in);
		jm_address(j, i, o);
		s = jm_check(j, i, o->size / 8, false, JA_RCX);
		e.kind = RM_AT_RCX;
	}
	j_need_reg(j, j_flags_in(i));
	if (!mem) {
		e.kind = RM_REG;
		e.rm = j_reg(j, decode_gpr(o->reg.value), H_RCX);
	}
	e_mov(j, H_RAX, jit_hreg[GPR_RAX]);
	ji_encode_op(j, i, &e, i->in.opcode);
	e_mov(j, jit_hreg[GPR_RAX], H_RAX);
	j_wrote_flags(j, i);
	if (mem)
		jm_done(j, s, j->fl_reg);
	return !mem || s;
}

static bool cmpxchg_ok(const struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[0], *r = &i->ops[1];

	return o->type == ZYDIS_OPERAND_TYPE_MEMORY && o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM &&
	       r->type == ZYDIS_OPERAND_TYPE_REGISTER && !is_high(r->reg.value) && !homed(decode_gpr(r->reg.value));
}

static bool sp_cmpxchg(struct jit *j, struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[0];
	unsigned h = jit_hreg[decode_gpr(i->ops[1].reg.value)];
	struct enc e = { .vvvv = H_NONE, .reg = h, .reg_is_reg = true, .kind = RM_AT_RCX, .rex8 = o->size == 8 };

	j_need_mem(j, i->live_in);
	jm_address(j, i, o);
	struct jstub *s = jm_check(j, i, o->size / 8, true, JA_RCX);
	e_mov(j, H_RAX, jit_hreg[GPR_RAX]);
	ji_encode_op(j, i, &e, i->in.opcode);
	e_mov(j, jit_hreg[GPR_RAX], H_RAX);
	j_wrote_flags(j, i);
	jm_done(j, s, j->fl_reg);
	return s;
}

static bool xchg_ok(const struct jinsn *i)
{
	if (i->ops[0].type != ZYDIS_OPERAND_TYPE_REGISTER || i->ops[1].type != ZYDIS_OPERAND_TYPE_REGISTER)
		return false;
	ZydisRegister a = i->ops[0].reg.value, b = i->ops[1].reg.value;
	return is_gpr(a) && is_gpr(b) && !is_high(a) && !is_high(b) && i->ops[0].size >= 32;
}

static bool sp_xchg(struct jit *j, struct jinsn *i)
{
	unsigned a = decode_gpr(i->ops[0].reg.value), b = decode_gpr(i->ops[1].reg.value);
	unsigned ha = j_reg(j, a, H_RCX);

	if (i->ops[0].size == 64)
		e_mov(j, H_RAX, ha);
	else
		e_mov32(j, H_RAX, ha);
	unsigned hb = j_reg(j, b, H_RCX);
	if (i->ops[0].size == 32) {
		e_mov32(j, H_RCX, hb);
		hb = H_RCX;
	}
	j_set_reg(j, a, hb);
	j_set_reg(j, b, H_RAX);
	return true;
}

static bool sp_push(struct jit *j, struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[0];
	unsigned sp = jit_hreg[GPR_RSP];

	if (!jm_follows(j, i))
		j_need_mem(j, i->live_in);
	struct jstub *s = jm_stack(j, i, GPR_RSP, -8, 8, true, JA_RAX);
	if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		EB(j, 0x48, 0xc7, 0x00); /* mov qword [rax], imm32 */
		e32(j, (u32)o->imm.value.s);
	} else {
		op_rm(j, true, 0x89, j_reg(j, decode_gpr(o->reg.value), H_RCX), H_RAX, 0);
	}
	op_rm(j, true, 0x8d, sp, sp, -8);
	jm_done(j, s, false);
	return s;
}

static bool sp_pop(struct jit *j, struct jinsn *i)
{
	unsigned g = decode_gpr(i->ops[0].reg.value), sp = jit_hreg[GPR_RSP], h = jit_hreg[g];

	if (!jm_follows(j, i))
		j_need_mem(j, i->live_in);
	struct jstub *s = jm_stack(j, i, GPR_RSP, 0, 8, false, JA_RAX);
	op_rm(j, true, 0x8b, h == H_NONE ? H_RCX : h, H_RAX, 0);
	op_rm(j, true, 0x8d, sp, sp, 8);
	if (h == H_NONE)
		j_set_reg(j, g, H_RCX);
	jm_done(j, s, false);
	return s;
}

static bool sp_leave(struct jit *j, struct jinsn *i)
{
	unsigned sp = jit_hreg[GPR_RSP], bp = jit_hreg[GPR_RBP];

	j_need_mem(j, i->live_in);
	struct jstub *s = jm_stack(j, i, GPR_RBP, 0, 8, false, JA_RAX);
	op_rm(j, true, 0x8d, sp, bp, 8);
	op_rm(j, true, 0x8b, bp, H_RAX, 0);
	jm_done(j, s, false);
	return s;
}

/* From here on the block looks another way, see mmu_index(). */
static bool sp_stac(struct jit *j, struct jinsn *i)
{
	bool on = i->in.mnemonic == ZYDIS_MNEMONIC_STAC;
	unsigned mode = on ? TLB_SUPER_AC : TLB_SUPER;

	j_need_mem(j, i->live_in);
	j_spoil(j);
	if (on) { /* without CR4.SMAP the handler knows better */
		struct jstub *s = j_stub(j, JS_EXIT_UOP);
		if (!s)
			return false;
		EB(j, 0xf6, 0x84, 0x24); /* test byte [rsp + disp32], imm8 */
		e32(j, (u32)(C_OFF(cr4) + 2));
		e8(j, CR4_SMAP >> 16);
		s->i = i;
		s->from = e_jcc(j, CC_Z);
	}
	EB(j, 0x81, on ? 0x8c : 0xa4, 0x24); /* or, and dword [rsp + disp32], imm32 */
	e32(j, (u32)C_OFF(sysflags));
	e32(j, on ? FL_AC : ~FL_AC);
	e_ld(j, H_RAX, C_OFF(tlbs[0]) + (s32)(mode * sizeof(struct tlb_entry *)));
	e_st(j, H_RAX, C_OFF(tlb));
	j->mode = (u8)mode;
	return true;
}

static void special(struct jinsn *i, bool ok, bool (*emit)(struct jit *, struct jinsn *), bool mem)
{
	if (!ok)
		return;
	i->kind = JK_SPECIAL;
	i->emit = emit;
	i->mem = mem;
}

void ji_classify(struct jit *j, struct jinsn *i)
{
	const ZydisDecodedOperand *o = i->ops;
	bool mem = jm_operand(i);
	const struct uop *u = &j->b->op[i->uop];

	i->kind = i->end ? JK_END : JK_UOP;
	i->mem = mem;
	if (u->fn == op_ud || u->fn == op_gp_len) {
		i->kind = JK_END;
		return;
	}
	if (jf_classify(j, i) || i->kind == JK_END)
		return;
	if (jv_classify(j, i))
		return;
	switch (i->in.mnemonic) {
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		if (mem && o[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
			break; /* a bit string */
		goto native;
	case ZYDIS_MNEMONIC_ROL:
	case ZYDIS_MNEMONIC_ROR:
	case ZYDIS_MNEMONIC_RCL:
	case ZYDIS_MNEMONIC_RCR:
	case ZYDIS_MNEMONIC_SHL:
	case ZYDIS_MNEMONIC_SHR:
	case ZYDIS_MNEMONIC_SAR:
		if (o[1].type == ZYDIS_OPERAND_TYPE_REGISTER) {
			special(i, shift_ok(i), sp_shift_cl, mem);
			break;
		}
		goto native;
	case ZYDIS_MNEMONIC_SHLD:
	case ZYDIS_MNEMONIC_SHRD:
		if (o[2].type == ZYDIS_OPERAND_TYPE_REGISTER) {
			special(i, shift_ok(i), sp_shift_cl, mem);
			break;
		}
		goto native;
	case ZYDIS_MNEMONIC_IMUL:
		if (i->in.operand_count_visible == 1) {
			special(i, mul_ok(i), sp_mul, mem);
			break;
		}
		goto native;
	case ZYDIS_MNEMONIC_MUL:
		special(i, mul_ok(i), sp_mul, mem);
		break;
	case ZYDIS_MNEMONIC_CMPXCHG:
		special(i, cmpxchg_ok(i), sp_cmpxchg, mem);
		break;
	case ZYDIS_MNEMONIC_XCHG:
		if (xchg_ok(i)) {
			special(i, true, sp_xchg, false);
			break;
		}
		if (mem)
			goto native;
		break;
	case ZYDIS_MNEMONIC_LEA:
		special(i, o[0].size >= 32, jm_lea, false);
		i->mem = false;
		break;
	case ZYDIS_MNEMONIC_CBW:
	case ZYDIS_MNEMONIC_CWDE:
	case ZYDIS_MNEMONIC_CDQE:
	case ZYDIS_MNEMONIC_CWD:
	case ZYDIS_MNEMONIC_CDQ:
	case ZYDIS_MNEMONIC_CQO:
		special(i, true, sp_convert, false);
		break;
	case ZYDIS_MNEMONIC_STAC:
	case ZYDIS_MNEMONIC_CLAC:
		i->mem = false;
		if (j->mode == TLB_USER)
			i->kind = JK_END;
		else
			special(i, true, sp_stac, false);
		break;
	case ZYDIS_MNEMONIC_PUSH:
		special(i, u->fn == op_push64_r || u->fn == op_push64_i, sp_push, true);
		i->mem = true;
		i->stack = i->kind == JK_SPECIAL;
		break;
	case ZYDIS_MNEMONIC_POP:
		special(i, u->fn == op_pop64_r && u->r1 != GPR_RSP, sp_pop, true);
		i->mem = true;
		i->stack = i->kind == JK_SPECIAL;
		break;
	case ZYDIS_MNEMONIC_LEAVE:
		special(i, u->osize == 8, sp_leave, true);
		i->mem = true;
		break;
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_ENDBR64:
	case ZYDIS_MNEMONIC_ENDBR32:
	case ZYDIS_MNEMONIC_PREFETCH:
	case ZYDIS_MNEMONIC_PREFETCHNTA:
	case ZYDIS_MNEMONIC_PREFETCHT0:
	case ZYDIS_MNEMONIC_PREFETCHT1:
	case ZYDIS_MNEMONIC_PREFETCHT2:
	case ZYDIS_MNEMONIC_PREFETCHW:
	case ZYDIS_MNEMONIC_PREFETCHWT1:
	case ZYDIS_MNEMONIC_CLDEMOTE:
		special(i, u->fn == op_nop, sp_nothing, false);
		i->mem = false;
		break;
	case ZYDIS_MNEMONIC_PAUSE:
		if (j->vm->ncpus > 1)
			break;
		goto native;
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_ADC:
	case ZYDIS_MNEMONIC_SBB:
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_CMP:
	case ZYDIS_MNEMONIC_TEST:
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_MOVNTI:
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
	case ZYDIS_MNEMONIC_INC:
	case ZYDIS_MNEMONIC_DEC:
	case ZYDIS_MNEMONIC_NEG:
	case ZYDIS_MNEMONIC_NOT:
	case ZYDIS_MNEMONIC_XADD:
	case ZYDIS_MNEMONIC_BSF:
	case ZYDIS_MNEMONIC_BSR:
	case ZYDIS_MNEMONIC_TZCNT:
	case ZYDIS_MNEMONIC_LZCNT:
	case ZYDIS_MNEMONIC_POPCNT:
	case ZYDIS_MNEMONIC_BSWAP:
	case ZYDIS_MNEMONIC_MOVBE:
	case ZYDIS_MNEMONIC_CRC32:
	case ZYDIS_MNEMONIC_ANDN:
	case ZYDIS_MNEMONIC_BEXTR:
	case ZYDIS_MNEMONIC_BLSI:
	case ZYDIS_MNEMONIC_BLSMSK:
	case ZYDIS_MNEMONIC_BLSR:
	case ZYDIS_MNEMONIC_BZHI:
	case ZYDIS_MNEMONIC_PDEP:
	case ZYDIS_MNEMONIC_PEXT:
	case ZYDIS_MNEMONIC_RORX:
	case ZYDIS_MNEMONIC_SARX:
	case ZYDIS_MNEMONIC_SHLX:
	case ZYDIS_MNEMONIC_SHRX:
	case ZYDIS_MNEMONIC_MULX:
	case ZYDIS_MNEMONIC_ADCX:
	case ZYDIS_MNEMONIC_ADOX:
	case ZYDIS_MNEMONIC_CLC:
	case ZYDIS_MNEMONIC_STC:
	case ZYDIS_MNEMONIC_CMC:
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_SETO:
	case ZYDIS_MNEMONIC_SETNO:
	case ZYDIS_MNEMONIC_SETB:
	case ZYDIS_MNEMONIC_SETNB:
	case ZYDIS_MNEMONIC_SETZ:
	case ZYDIS_MNEMONIC_SETNZ:
	case ZYDIS_MNEMONIC_SETBE:
	case ZYDIS_MNEMONIC_SETNBE:
	case ZYDIS_MNEMONIC_SETS:
	case ZYDIS_MNEMONIC_SETNS:
	case ZYDIS_MNEMONIC_SETP:
	case ZYDIS_MNEMONIC_SETNP:
	case ZYDIS_MNEMONIC_SETL:
	case ZYDIS_MNEMONIC_SETNL:
	case ZYDIS_MNEMONIC_SETLE:
	case ZYDIS_MNEMONIC_SETNLE:
	case ZYDIS_MNEMONIC_CMOVO:
	case ZYDIS_MNEMONIC_CMOVNO:
	case ZYDIS_MNEMONIC_CMOVB:
	case ZYDIS_MNEMONIC_CMOVNB:
	case ZYDIS_MNEMONIC_CMOVZ:
	case ZYDIS_MNEMONIC_CMOVNZ:
	case ZYDIS_MNEMONIC_CMOVBE:
	case ZYDIS_MNEMONIC_CMOVNBE:
	case ZYDIS_MNEMONIC_CMOVS:
	case ZYDIS_MNEMONIC_CMOVNS:
	case ZYDIS_MNEMONIC_CMOVP:
	case ZYDIS_MNEMONIC_CMOVNP:
	case ZYDIS_MNEMONIC_CMOVL:
	case ZYDIS_MNEMONIC_CMOVNL:
	case ZYDIS_MNEMONIC_CMOVLE:
	case ZYDIS_MNEMONIC_CMOVNLE:
	native:
		if (native_ok(i))
			i->kind = JK_NATIVE;
		break;
	default:
		break;
	}
}
