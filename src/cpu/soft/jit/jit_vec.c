/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_vec.c - vector and x87 instructions, with the guest's registers in the host's.
 *
 * vec_describe() says what an instruction's operands are, for this as for the stubs of the interpreter. It is encoded
 * again with its vector registers' own numbers; general registers are where translated code has them. A block with such
 * instructions looks once, at its start, whether they may run (j->vec_need); control registers change only at the end
 * of a block.
 *
 * Exceptions: what the guest unmasks is raised by the host, at the same instruction, and comes back through
 * vec_sig.c, which finds the place in the block's table of struct jfault.
 *
 * x87 pointers: FDP is stored with each instruction that has an operand in memory; FIP and FOP only when something
 * may look: at the next instruction that is not simply executed, or from uops when an exception leaves the block
 * (x87_settle()). j->x87 is the instruction whose place is to be stored.
 */
#include "cpu/soft/jit/jit_emit.h"
#include "cpu/soft/jit/jit_row.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/decode/decode_vec.h"
#include "cpu/soft/decode/decode.h"

static bool describe(const struct jit *j, const struct jinsn *i, struct vec_desc *d)
{
	const struct vec_desc *known = vec_desc_of(j_uop(j, i));

	if (known) {
		*d = *known;
		return true;
	}
	return vec_describe(d, &i->in, i->ops, i->bytes, true);
}

static bool is_x87(const struct jinsn *i)
{
	return i->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && i->in.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;
}

void jit_fault_site(struct jit *j, const struct jinsn *i)
{
	if (j->nfaults == JIT_FAULTS) {
		j->fail = true;
		return;
	}
	j->fault[j->nfaults++] = (struct jfault){
		.at = (u16)j->n,
		.uop = i->uop,
		.how = (u8)((j->fl_reg && !j->fl_mem ? JFAULT_RFLAGS : 0) | (j->x87 ? JFAULT_X87 : 0)),
	};
}

/* ---- x87 pointers ---- */

/* movzx eax, word [rsp + from]; mov [rsp + to], ax */
static void copy16(struct jit *j, s32 from, s32 to)
{
	EB(j, X_0F, X0F_MOVZX16);
	modrm_disp(j, H_RAX, H_RSP, from);
	EB(j, X_OSIZE, X_MOV_M_R);
	modrm_disp(j, H_RAX, H_RSP, to);
}

static s32 selector(unsigned seg)
{
	return C_OFF(seg[0]) + (s32)(seg * sizeof(struct cpu_seg)) + (s32)offsetof(struct cpu_seg, sel);
}

void jv_note_x87(struct jit *j)
{
	const struct jinsn *i = j->x87;

	e_ld(j, H_RAX, C_OFF(jit.vpage));
	op_rm(j, true, X_LEA, H_RAX, H_RAX, (s32)(j->page_off + i->off));
	e_st(j, H_RAX, C_OFF(fip));
	copy16(j, selector(SEG_CS), C_OFF(fcs));
	EB(j, X_OSIZE, X_MOV_M_I); /* mov word [rsp + fop], imm16 */
	modrm_disp(j, 0, H_RSP, C_OFF(fop));
	u16 fop = vec_x87_opcode(j_uop(j, i));
	EB(j, (u8)fop, (u8)(fop >> 8));
	j->x87 = NULL;
}

/* The instruction has read or written its operand. */
static void note_operand(struct jit *j, struct jinsn *i)
{
	const ZydisDecodedOperand *o = jm_operand(i);
	const struct uop *u = j_uop(j, i);

	jm_address(j, i, o);
	if (j_has_base(j, u->seg))
		op_rm(j, j_code64(j), X_SUB_R_M, H_RAX, H_RSP, C_OFF(eff_base[0]) + 8 * (s32)u->seg);
	e_st(j, H_RAX, C_OFF(fdp));
	copy16(j, selector(u->seg), C_OFF(fds));
}

/* ---- encoding ---- */

struct operands {
	unsigned reg, rm, vvvv; /* numbers in the encoding */
	int gpr;                /* guest general register among them, -1: none */
	unsigned host;          /* ... and the host's */
};

static void operands_of(const struct jinsn *i, const struct vec_desc *d, struct operands *r)
{
	*r = (struct operands){ i->in.raw.modrm.reg & 7u, i->in.raw.modrm.rm & 7u, 0, -1, H_NONE };
	for (unsigned k = 0; k < i->in.operand_count; k++) {
		const ZydisDecodedOperand *o = &i->ops[k];
		ZydisRegisterClass rc;
		unsigned n;

		if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		rc = ZydisRegisterGetClass(o->reg.value);
		if (rc == ZYDIS_REGCLASS_XMM || rc == ZYDIS_REGCLASS_YMM) {
			n = vec_reg(o->reg.value);
		} else if (((d->kind & VK_GPR_REG) && o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG) ||
			   ((d->kind & VK_GPR_RM) && o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)) {
			r->gpr = vec_reg(o->reg.value);
			n = r->host = jit_hreg[r->gpr] == H_NONE ? H_RAX : jit_hreg[r->gpr];
		} else {
			continue;
		}
		if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG)
			r->reg = n;
		else if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
			r->rm = n;
		else if (o->encoding == ZYDIS_OPERAND_ENCODING_NDSNDD)
			r->vvvv = n;
	}
}

/* Where the operand in memory is: [base], [base + index], [base + index + disp32]. */
struct place {
	unsigned base, index;
	bool far;
	s32 disp;
};

/* Check and find it; flags that the instruction needs are in RFLAGS then. rax is free unless it is part of the place,
 * which it is not if `keep_rax`. *s: to complete with jm_done(). False: too many stubs. */
static bool reach(struct jit *j, struct jinsn *i, unsigned bytes, bool write, bool keep_rax, struct place *p,
		  struct jstub **s)
{
	const ZydisDecodedOperand *o = jm_operand(i);
	u16 in = j_flags_in(i);

	if (!j->plain && i->group != JG_NONE) {
		u8 g = decode_gpr(o->mem.base);

		if (i->group == JG_LEADER) {
			j_need_mem(j, i->live_in);
			if (!jm_lead(j, i)) /* leaves it in rcx */
				return false;
			j->addend = (u8)(i->group_slot + 1);
		}
		j_need_reg(j, in);
		*p = (struct place){ jit_hreg[g], H_RCX, true,
				     o->mem.disp.has_displacement ? (s32)o->mem.disp.value : 0 };
		if (j->addend != i->group_slot + 1)
			jm_addend(j, i, H_RCX);
		j->addend = (u8)(i->group_slot + 1);
		if (jit_hreg[g] == H_NONE) {
			j->addend = 0;
			e_ld(j, H_RAX, C_OFF(gpr[0]) + 8 * (s32)g);
			EB(j, X_REX_W, X_LEA, X_MODRM(0, H_RCX, X_RM_SIB),
			   X_SIB(0, H_RCX, H_RAX)); /* lea rcx, [rax + rcx] */
			p->base = H_RCX;
			p->index = H_NONE;
		}
		*s = &j->none;
		return true;
	}
	j->addend = 0;
	j_need_mem(j, i->live_in);
	jm_plain_entry(j, i);
	jm_address(j, i, o);
	keep_rax |= in != 0;
	*s = jm_check_aligned(j, i, bytes, i->align, write, keep_rax ? JA_RCX : JA_RAX_RCX);
	*p = keep_rax ? (struct place){ H_RCX, H_NONE, false, 0 } : (struct place){ H_RAX, H_RCX, false, 0 };
	j_need_reg(j, in);
	return *s;
}

/* ModRM and what follows it; p: NULL: register rm */
static void modrm(struct jit *j, unsigned reg, unsigned rm, const struct place *p)
{
	if (!p) {
		e8(j, X_REGS(reg, rm));
		return;
	}
	bool disp8 = p->far && p->disp == (s8)p->disp;
	unsigned mod = disp8 ? 1 : p->far ? 2 : 0;
	if (p->index == H_NONE)
		e8(j, X_MODRM(mod, reg, p->base));
	else
		EB(j, X_MODRM(mod, reg, X_RM_SIB), X_SIB(0, p->index, p->base));
	if (disp8)
		e8(j, (u8)p->disp);
	else if (p->far)
		e32(j, (u32)p->disp);
}

/* p: NULL: no operand in memory */
static void encode(struct jit *j, const struct jinsn *i, const struct vec_desc *d, const struct operands *r,
		   const struct place *p)
{
	unsigned b = p ? p->base : r->rm, r3 = r->reg >> 3, b3 = b >> 3;

	if (is_x87(i)) {
		rex(j, false, 0, 0, p ? b : 0);
		e8(j, d->enc[0]);
		modrm(j, d->enc[1] >> 3 & 7, d->enc[1] & 7, p);
		return;
	}
	if (d->kind & VK_VEX) {
		/* Of enc[2]: W, L, pp. */
		u8 v = (u8)((d->enc[2] & X_VEX_W_L_PP) | X_VEX_V(r->vvvv));
		if ((d->enc[1] & X_VEX_MAP) == 1 && !(v & X_VEX_W) && !b3)
			EB(j, X_VEX2, (u8)(v | !r3 << 7));
		else
			EB(j, X_VEX3, X_VEX_RB(d->enc[1] & X_VEX_MAP, r3, b3), v);
	} else {
		unsigned k = 0;
		bool w;

		if (d->enc[k] == X_OSIZE || d->enc[k] == X_REPNE || d->enc[k] == X_REP)
			e8(j, d->enc[k++]);
		w = d->enc[k] == X_REX_W;
		rex(j, w, r->reg, 0, b);
		e8(j, X_0F);
		if (i->in.opcode_map == ZYDIS_OPCODE_MAP_0F38)
			e8(j, X_0F38);
		else if (i->in.opcode_map == ZYDIS_OPCODE_MAP_0F3A)
			e8(j, X_0F3A);
	}
	e8(j, i->in.opcode);
	if (i->in.attributes & ZYDIS_ATTRIB_HAS_MODRM)
		modrm(j, r->reg, r->rm, p);
	for (unsigned k = 0; k < 2; k++)
		if (i->in.raw.imm[k].size)
			eb(j, i->bytes + i->in.raw.imm[k].offset, i->in.raw.imm[k].size / 8);
}

static bool emit_native(struct jit *j, struct jinsn *i)
{
	struct vec_desc d;
	struct operands r;
	struct place p;
	struct jstub *s = NULL;

	if (!describe(j, i, &d))
		return false;
	if (!d.mem)
		j_need_reg(j, j_flags_in(i));
	else if (!reach(j, i, d.mem_bytes, d.mem == VM_STORE, d.kind & (VK_ECX | VK_ESTR), &p, &s))
		return false;
	operands_of(i, &d, &r);
	if (d.kind & VK_ESTR)
		e_mov(j, H_RAX, jit_hreg[GPR_RAX]);
	bool homed = r.gpr >= 0 && jit_hreg[r.gpr] == H_NONE;
	u8 gpr_place = d.kind & VK_GPR_REG ? VO_REG : VO_RM;
	if (homed && (d.ld & gpr_place))
		e_ld(j, H_RAX, C_OFF(gpr[0]) + 8 * r.gpr);
	jit_fault_site(j, i);
	encode(j, i, &d, &r, d.mem ? &p : NULL);
	if (homed && (d.st & gpr_place))
		e_st(j, H_RAX, C_OFF(gpr[0]) + 8 * r.gpr);
	if (d.kind & VK_ECX) {
		e_mov(j, jit_hreg[GPR_RCX], H_RCX);
		j->addend = 0;
	}
	j_wrote_flags(j, i);
	if (d.cls & VC_X87_PTR) {
		j->x87 = i;
		if (d.mem)
			note_operand(j, i);
	}
	if (s)
		jm_done(j, s, j->fl_reg);
	return true;
}

/* Nothing in it to be changed: VZEROUPPER, FWAIT... */
bool jv_same(struct jit *j, struct jinsn *i)
{
	jit_fault_site(j, i);
	eb(j, i->bytes, i->in.length);
	return true;
}

bool jv_fnstsw_ax(struct jit *j, struct jinsn *i)
{
	unsigned a = jit_hreg[GPR_RAX];

	(void)i;
	EB(j, X_X87_DF, X_REGS(XG_FNSTSW, 0)); /* fnstsw ax */
	e8(j, X_OSIZE);                        /* mov a16, ax */
	op_rr(j, false, X_MOV_R_M, a, H_RAX);
	return true;
}

bool jv_stmxcsr(struct jit *j, struct jinsn *i)
{
	struct place p;
	struct jstub *s;

	if (!reach(j, i, 4, true, false, &p, &s))
		return false;
	rex(j, false, 0, 0, p.base);
	EB(j, X_0F, X0F_GROUP15);
	modrm(j, XG_STMXCSR, 0, &p);
	jm_done(j, s, j->fl_reg);
	return true;
}

/* ---- which ---- */

bool takes_fwait(const struct jit *j, const struct jinsn *i)
{
	(void)j;
	return i->in.length == 1;
}

bool takes_fnclex(const struct jit *j, const struct jinsn *i)
{
	(void)j;
	return i->in.length == 2;
}

bool takes_fnstsw_ax(const struct jit *j, const struct jinsn *i)
{
	(void)j;
	return i->in.opcode == X_X87_DF;
}

/* Elsewhere the upper eight registers stay as they are. */
bool takes_code64(const struct jit *j, const struct jinsn *i)
{
	(void)i;
	return j_code64(j);
}

void jv_take(struct jit *j, struct jinsn *i, unsigned ok)
{
	j->vec_need |= ok & VEC_OK_AVX ? JIT_VEC_AVX : ok & VEC_OK_SSE ? JIT_VEC_SSE : JIT_VEC_X87;
	i->vec = i->traps = true;
}

void jit_vec_classify(struct jit *j, struct jinsn *i)
{
	const struct vec_desc *x;
	struct vec_desc d;

	if (i->in.mnemonic == ZYDIS_MNEMONIC_INVALID)
		return;
	u32 need = vec_features(&i->in);
	if (!need || need == UINT32_MAX)
		return;
	if (is_x87(i)) {
		if (!(x = vec_desc_of(j_uop(j, i))))
			return;
		d = *x;
	} else if (!describe(j, i, &d)) {
		return;
	} else {
		i->align = d.mem ? d.align : 0;
	}
	i->how = d.cls & VC_WAITS ? JSLOW_WAITS : 0;
	i->kind = JK_SPECIAL;
	i->emit = emit_native;
	jv_take(j, i, is_x87(i) ? VEC_OK_X87 : d.cls & VC_OK);
}
