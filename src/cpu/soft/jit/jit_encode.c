/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_encode.c - integer instructions encoded again as they are, with other registers.
 *
 * Guest registers without a host register (R10, R11, R15) are operands in memory, [rsp + disp8], where that
 * pays, see native_home(); else they are loaded, and stored, around the instruction.
 */
#include "cpu/soft/jit/jit_encode.h"
#include "cpu/soft/decode/decode.h"

/* Guest R10, R11 and R15 are used least: the last ones compilers take. rax and rcx are scratch. */
const u8 jit_hreg[16] = { H_R10, H_R11, H_RDX,  H_RBX,  H_R15, H_RBP, H_RSI, H_RDI,
			  H_R8,  H_R9,  H_NONE, H_NONE, H_R12, H_R13, H_R14, H_NONE };

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
	case RM_HOME:
		modrm_disp(j, e->reg, H_RSP, C_OFF(gpr[0]) + 8 * (s32)e->rm);
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

void je_encode(struct jit *j, const struct jinsn *i, const struct enc *e, unsigned opcode)
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

bool je_is_gpr(ZydisRegister r)
{
	ZydisRegisterClass k = ZydisRegisterGetClass(r);

	return k == ZYDIS_REGCLASS_GPR8 || k == ZYDIS_REGCLASS_GPR16 || k == ZYDIS_REGCLASS_GPR32 ||
	       k == ZYDIS_REGCLASS_GPR64;
}

bool je_is_high(ZydisRegister r)
{
	return r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH;
}

bool je_regs(const struct jinsn *i, struct regs *r)
{
	*r = (struct regs){ -1, -1, -1, -1, -1 };
	for (unsigned k = 0; k < i->in.operand_count; k++) {
		const ZydisDecodedOperand *o = &i->ops[k];
		bool rd = o->actions & ZYDIS_OPERAND_ACTION_MASK_READ,
		     wr = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
		int *slot, n;

		if (k >= i->in.operand_count_visible) {
			if (o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
			    ZydisRegisterGetClass(o->reg.value) == ZYDIS_REGCLASS_FLAGS)
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
		if (!je_is_gpr(o->reg.value))
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
		r->high |= (unsigned)je_is_high(o->reg.value) << n;
	}
	return true;
}

bool je_native_ok(const struct jinsn *i)
{
	struct regs r;

	if (i->in.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && i->in.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
		return false;
	if (!je_regs(i, &r))
		return false;
	if (r.high)
		return i->in.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && r.acc < 0 && r.v < 0;
	/* BSF and BSR of zero leave the destination alone. */
	if (homed(r.reg) && (i->in.mnemonic == ZYDIS_MNEMONIC_BSF || i->in.mnemonic == ZYDIS_MNEMONIC_BSR))
		return false;
	if (r.acc >= 0 && !(r.acc == GPR_RAX && r.imm && r.reg < 0 && r.rm < 0 && !r.mem &&
			    i->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
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

/*
 * With one of AH CH DH BH: there may be no REX prefix, so what lies in a register that needs one is copied to a
 * scratch register, and back. (Guest R8-R15 are no operands of such an instruction.)
 */
static bool native_high(struct jit *j, struct jinsn *i, const struct regs *r)
{
	struct enc e = { .vvvv = H_NONE, .reg = i->in.raw.modrm.reg };
	const int g[2] = { r->reg, r->rm };
	unsigned num[2] = { 0, 0 }, copy[2] = { H_NONE, H_NONE }, spare[2] = { H_RCX, H_RAX }, n = 0;
	struct jstub *s = NULL;
	u16 in = j_flags_in(i);

	if (r->opc >= 0) { /* MOV r, imm8 */
		unsigned h = jit_hreg[r->opc];
		if (h < 4) {
			e8(j, 0xb4 | h);
			imm_of(j, i);
			return true;
		}
		e_mov(j, H_RCX, h);
		e8(j, 0xb4 | H_RCX);
		imm_of(j, i);
		e_mov(j, h, H_RCX);
		return true;
	}
	if (r->mem && !j->plain && i->group != JG_NONE) {
		if (i->group == JG_LEADER)
			j_need_mem(j, i->live_in);
		if (!jm_lead(j, i))
			return false;
		j_need_reg(j, in);
		jm_addend(j, i, H_RAX);
		unsigned base = j_reg(j, decode_gpr(r->mem->mem.base), H_RCX);
		rex(j, true, H_RAX, 0, base); /* lea rax, [base + rax + disp32] */
		EB(j, 0x8d, 0x84, (u8)(H_RAX << 3 | (base & 7)));
		e32(j, r->mem->mem.disp.has_displacement ? (u32)r->mem->mem.disp.value : 0);
		e.kind = RM_AT_RAX;
		in = 0;
	} else if (r->mem) {
		j_need_mem(j, i->live_in);
		jm_plain_entry(j, i);
		jm_address(j, i, r->mem);
		s = jm_check(j, i, r->mem->size / 8, r->mem_wr, in ? JA_RCX : JA_RAX);
		if (!s)
			return false;
		e.kind = in ? RM_AT_RCX : RM_AT_RAX;
		spare[0] = in ? H_RAX : H_RCX;
	}
	j_need_reg(j, in);
	for (unsigned k = 0; k < 2; k++) {
		if (g[k] < 0)
			continue;
		unsigned h = jit_hreg[g[k]];
		bool high = r->high >> k & 1;
		if (k && g[0] == g[1])
			copy[1] = copy[0];
		else if (h >= (high || r->size[k] == 8 ? 4u : 8u))
			copy[k] = spare[n++];
		num[k] = (copy[k] == H_NONE ? h : copy[k]) + (high ? 4 : 0);
	}
	for (unsigned k = 0; k < 2; k++)
		if (copy[k] != H_NONE && (r->rd[k] || (g[0] == g[1] && r->rd[!k])) && !(k && copy[0] == copy[1]))
			e_mov(j, copy[k], jit_hreg[g[k]]);
	if (g[0] >= 0) {
		e.reg = num[0];
		e.reg_is_reg = true;
	}
	if (g[1] >= 0) {
		e.kind = RM_REG;
		e.rm = num[1];
	}
	je_encode(j, i, &e, i->in.opcode);
	for (unsigned k = 0; k < 2; k++)
		if (copy[k] != H_NONE && r->wr[k])
			e_mov(j, jit_hreg[g[k]], copy[k]);
	j_wrote_flags(j, i);
	if (s)
		jm_done(j, s, j->fl_reg);
	return true;
}

/* The ALU operation's, MOV's or TEST's opcode with the roles of ModRM.reg and ModRM.rm changed, or -1. */
static int flipped(const struct jinsn *i)
{
	unsigned o = i->in.opcode;

	if (i->in.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return -1;
	if ((o & 0xc4) == 0 || (o & 0xfc) == 0x88)
		return (int)(o ^ 2);
	return (o & 0xfe) == 0x84 ? (int)o : -1;
}

/*
 * A register operand that lies in c->gpr[] as the operand in memory; false: not possible, or no gain. Zen renames
 * what MOV loads, and read-modify-writes, from [rsp + disp]: a value stored just before costs nothing. As a mere source
 * operand of another instruction it costs the way through the store queue: 5.5 cycles of latency, not 1.4.
 */
static bool native_home(struct jit *j, struct jinsn *i, const struct regs *r)
{
	struct enc e = { .vvvv = H_NONE, .rex8 = r->bytes8, .kind = RM_HOME, .reg = i->in.raw.modrm.reg };
	int opcode = i->in.opcode, home = r->rm, other = r->reg;
	unsigned k = 1;

	if (i->in.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || r->mem || r->opc >= 0 || r->acc >= 0)
		return false;
	switch (i->in.mnemonic) {
	case ZYDIS_MNEMONIC_XCHG: /* would be locked */
	case ZYDIS_MNEMONIC_XADD:
	case ZYDIS_MNEMONIC_BT: /* would be bit strings */
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		return false;
	default:
		break;
	}
	if (homed(r->reg)) {
		if (r->rm < 0 || homed(r->rm) || (opcode = flipped(i)) < 0)
			return false;
		home = r->reg;
		other = r->rm;
		k = 0;
	} else if (!homed(r->rm)) {
		return false;
	}
	if (!r->wr[k] && i->in.mnemonic != ZYDIS_MNEMONIC_MOV)
		return false;
	if (r->wr[k] && r->size[k] != 64)
		return false; /* the upper half would stay, or the next load wait for the store */
	j_need_reg(j, j_flags_in(i));
	e.rm = (unsigned)home;
	if (other >= 0) {
		e.reg = jit_hreg[other];
		e.reg_is_reg = true;
	}
	je_encode(j, i, &e, (unsigned)opcode);
	j_wrote_flags(j, i);
	return true;
}

bool ji_native(struct jit *j, struct jinsn *i)
{
	struct regs r;
	struct enc e = { .vvvv = H_NONE };
	struct jstub *s = NULL;
	u16 in = j_flags_in(i);
	unsigned opcode = i->in.opcode;

	je_regs(i, &r);
	if (r.high)
		return native_high(j, i, &r);
	if (native_home(j, i, &r))
		return true;
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
		e.rm = jit_hreg[g];
		e.index = H_RCX;
		sreg = H_RAX;
		jm_addend_rcx(j, i);
		if (homed(g)) {
			e_ld(j, H_RAX, C_OFF(gpr[0]) + 8 * g);
			EB(j, 0x48, 0x8d, 0x04, 0x08); /* lea rax, [rax + rcx] */
			e.rm = H_RAX;
			e.index = 4; /* none */
			sreg = H_RCX;
		}
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
		je_encode(j, i, &e, opcode);
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
