/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_native.c - the emitter of integer instructions that stay what they are, with other registers and, for an operand
 * in memory, its host address.
 *
 * Guest registers without a host register (R10, R11, R15) are operands in memory, [rsp + disp8], where that
 * pays, see native_home(); else they are loaded, and stored, around the instruction.
 */
#include "cpu/soft/decode/decode.h"
#include "cpu/soft/jit/jit_constant.h"
#include "cpu/soft/jit/jit_encode.h"
#include "cpu/soft/jit/jit_row.h"

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
			e8(j, X8_MOV_R_I8 | 4 | h); /* AH... for RAX... */
			je_imm(j, i);
			return true;
		}
		e_mov(j, H_RCX, h);
		e8(j, X8_MOV_R_I8 | 4 | H_RCX);
		je_imm(j, i);
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
		EB(j, X_LEA, X_MODRM(2, H_RAX, X_RM_SIB), X_SIB(0, H_RAX, base));
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
	if ((o & 0xc4) == 0 || (o & ~3u) == X8_MOV_M_R)
		return (int)(o ^ 2);
	return (o & ~1u) == X8_TEST_M_R ? (int)o : -1;
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
	if (i->row->flags & (JR_LOCKED | JR_BIT_STRING))
		return false;
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
	if (i == j->constant)
		return jit_constant_emit(j, i, &r);
	if (r.high)
		return native_high(j, i, &r);
	if (native_home(j, i, &r))
		return true;
	e.rex8 = r.bytes8;
	e.reg = i->in.raw.modrm.reg;
	if (je_is_moffs(i)) { /* the form with ModRM; its direction bit is the other way round */
		r.reg = r.acc;
		r.rd[0] = r.rd[4];
		r.wr[0] = r.wr[4];
		r.acc = -1;
		opcode = X8_MOV_M_R | ((opcode ^ 2) & 3);
	}
	if (r.opc >= 0 && i->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (opcode & 0xf0) == 0x40) {
		/* INC, DEC r: the form with ModRM */
		r.rm = r.opc;
		r.rd[1] = r.rd[3];
		r.wr[1] = r.wr[3];
		r.opc = -1;
		e.reg = opcode >> 3 & 1;
		opcode = X_GROUP5;
	}
	if (r.acc >= 0) { /* op al/ax/eax/rax, imm: the form with ModRM */
		r.rm = r.acc;
		r.rd[1] = r.rd[4];
		r.wr[1] = r.wr[4];
		e.reg = opcode >= X_TEST_AL_I8 ? 0 : opcode >> 3 & 7;
		opcode = (opcode >= X_TEST_AL_I8 ? X8_TEST_M_I8 : X8_ALU_I8) | (opcode & 1);
	}
	if (r.opc >= 0) {
		/* MOV r, imm and BSWAP */
		unsigned h = jit_hreg[r.opc] != H_NONE ? jit_hreg[r.opc] : H_RCX;
		if (homed(r.opc) && r.rd[3])
			e_ld(j, h, C_OFF(gpr[0]) + 8 * r.opc);
		je_prefixes(j, i);
		bool w = (i->in.attributes & ZYDIS_ATTRIB_HAS_REX) && i->in.raw.rex.W;
		if (w || h >= 8 || e.rex8)
			e8(j, X_REX | w << 3 | h >> 3);
		je_map(j, i);
		e8(j, (opcode & ~7u) | (h & 7));
		je_imm(j, i);
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
			EB(j, X_REX_W, X_LEA, X_MODRM(0, H_RAX, X_RM_SIB),
			   X_SIB(0, H_RCX, H_RAX)); /* lea rax, [rax + rcx] */
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
