/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_flow.c - near branches: inside the page by links, to everywhere else by the jump cache. */
#include "cpu/soft/jit/jit_emit.h"
#include "cpu/soft/jit/jit_row.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/decode/decode.h"

bool jf_target(struct jit *j, const struct jinsn *i, s64 *rel)
{
	if (i->in.meta.branch_type == ZYDIS_BRANCH_TYPE_NONE || i->in.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ||
	    i->ops[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE || !i->ops[0].imm.is_relative || i->kind != JK_SPECIAL)
		return false;
	*rel = i->ops[0].imm.value.s + (s64)i->in.length + i->off + j->page_off;
	return true;
}

static bool in_page(s64 rel)
{
	return rel >= 0 && rel < (s64)PAGE_BYTES;
}

/* ---- the jump cache ---- */

/*
 * Outside of 64-bit code. The key of RIP rax, into rax; spoils rcx. Beyond 4 GiB there are no keys: what wraps, or goes
 * on beyond CS's limit, is always looked up.
 */
static void key_of_rax(struct jit *j)
{
	if (j_has_base(j, SEG_CS))
		op_rm(j, true, X_ADD_R_M, H_RAX, H_RSP, C_OFF(eff_base[SEG_CS]));
	e_movi(j, H_RCX, soft_key_salt(j->key));
	op_rr(j, true, X_OR_R_M, H_RAX, H_RCX);
}

/* rax: a key that was found: RIP at the start of its page, see jit_may_run_at(). To be missed after all: *bad. */
static void page_of_rax(struct jit *j, u32 *bad)
{
	*bad = 0;
	e8(j, X_AND_EAX_I); /* and eax, -4096 */
	e32(j, (u32)-4096);
	if (!j_has_base(j, SEG_CS))
		return;
	op_rm(j, true, X_SUB_R_M, H_RAX, H_RSP, C_OFF(eff_base[SEG_CS]));
	if (j_code16(j))
		e_alui(j, true, XG_CMP, H_RAX, JIT_PAGE16_MAX);
	*bad = e_jcc(j, j_code16(j) ? CC_G : CC_S);
}

/* Go to RIP rax; flags are in c->fl. undo: what to take off rsp if the branch faults after all. */
void jf_go_rax(struct jit *j, const struct jinsn *i, unsigned undo)
{
	unsigned t = j->mode == TLB_USER ? JJ_USER : j->mode == TLB_SUPER ? JJ_SUPER : JJ_SUPER_AC;
	s32 rips = C_OFF(jit.jj[0].e[0].rip) + (s32)(t * sizeof(struct jj_table));
	s32 codes = rips + (s32)offsetof(struct jj_entry, code);
	struct jsite_uop site = { j->ref, i->uop, i->nuops, .jump = { (u8)undo } };

	if (!j_code64(j))
		key_of_rax(j);
	if (j->code->rorx)
		e_rorx_rcx_rax(j, 12);
	else
		EB(j, X_REX_W, X_MOV_M_R, X_REGS(H_RAX, H_RCX), X_REX_W, X_SHIFT_I8, X_REGS(XG_SHR, H_RCX), 12);
	op_rr(j, false, X_XOR_R_M, H_RCX, H_RAX);
	static_assert(sizeof(struct jj_entry) == 16, "twice the slot, in eights of bytes");
	e_alui(j, false, XG_AND, H_RCX, 2 * JJ_SIZE - 2);
	if (j->mode == TLB_USER)
		op_rm(j, true, X_ADD_R_M, H_RCX, H_RSP, C_OFF(jit.jj_bias));
	EB(j, X_REX_W, X_CMP_R_M, X_MODRM(2, H_RAX, X_RM_SIB),
	   X_SIB(3, H_RCX, H_RSP)); /* cmp rax, [rsp + rcx * 8 + rip] */
	e32(j, (u32)rips);
	u32 miss = e_jcc(j, CC_NZ), bad = 0;
	if (j_code64(j)) {
		EB(j, X_REX_W, X_AND_EAX_I); /* and rax, -4096 */
		e32(j, (u32)-4096);
	} else {
		page_of_rax(j, &bad);
	}
	e_st(j, H_RAX, C_OFF(jit.vpage));
	EB(j, X_GROUP5, X_MODRM(2, XG_JMP, X_RM_SIB), X_SIB(3, H_RCX, H_RSP)); /* jmp [rsp + rcx * 8 + code] */
	e32(j, (u32)codes);
	if (bad) {
		patch_to(j, bad, j->n);
		EB(j, X_REX_W, X_MOV_R_M, X_MODRM(2, H_RAX, X_RM_SIB),
		   X_SIB(3, H_RCX, H_RSP)); /* mov rax, [rsp + rcx * 8 + rip] */
		e32(j, (u32)rips);
	}
	patch_to(j, miss, j->n);
	e_call_to(j, j->code->r_lookup);
	eb(j, &site, sizeof(site));
}

void jf_emit_jump(struct jit *j, struct jstub *s)
{
	patch_to(j, s->from, j->n);
	if (s->save)
		e_flags_save(j);
	e_ld(j, H_RAX, C_OFF(jit.vpage));
	e_alui(j, true, XG_ADD, H_RAX, (s32)s->rel);
	if (!j_code64(j) && !s->falls) {
		if (j_code16(j))
			EB(j, X_0F, X0F_MOVZX16, X_REGS(H_RAX, H_RAX));
		else
			e_mov32(j, H_RAX, H_RAX);
	}
	jf_go_rax(j, s->i, 0);
}

/* ---- links ---- */

/* Align so that the rel32 after `op` bytes can be replaced atomically. */
static void align_rel32(struct jit *j, unsigned op)
{
	if (j->vm->ncpus == 1)
		return;
	unsigned at = (unsigned)(j->pc0 + j->n + op) & 7;
	if (at > 4)
		e_nops(j, 8 - at);
}

/* How a direct branch to `rel` goes: fills what a JS_LINK or JS_JUMP stub must know. False: too many stubs. */
static struct jstub *plan(struct jit *j, struct jinsn *i, s64 rel, unsigned from_off, u16 live)
{
	/* An instruction may reach into the next page, whose mapping may change: not linked, but in the jump cache. */
	bool link = in_page(rel) && rel <= (s64)PAGE_BYTES - 15, reg_only = j->fl_reg && !j->fl_mem && live;
	struct jstub *s = j_stub(j, link ? JS_LINK : JS_JUMP);

	if (!s)
		return NULL;
	s->i = i;
	s->rel = rel;
	s->far = rel <= (s64)from_off || (live && !j->fl_reg && j->fl_mem);
	s->save = reg_only;
	return s;
}

/* The stub of a link: the jump at s->from comes here until it is linked. */
void jf_emit_link(struct jit *j, struct jstub *s)
{
	u32 start, imm = s->from;

	patch_to(j, imm, j->n);
	if (s->far && s->save) {
		/* The flags are saved on every way: the jump that is linked is this one. */
		e_flags_save(j);
		align_rel32(j, 1);
		imm = e_jmp(j);
		patch_to(j, imm, j->n);
		start = j->n;
	} else {
		start = j->n;
		if (s->save)
			e_flags_save(j);
	}
	e_call_to(j, j->code->r_link);
	struct jlink l = {
		.block = j->ref, .imm = j->off0 + imm, .target = (u16)s->rel, .far = s->far, .head = (u8)(j->n - start)
	};
	eb(j, &l, sizeof(l));
}

static void go(struct jit *j, s64 off, u16 live, bool falls)
{
	struct jinsn *i = &j->insn[j->ninsns - 1];
	struct jstub *s = plan(j, i, off, j->page_off + i->off, live);

	if (!s) {
		j->fail = true;
		return;
	}
	s->falls = falls;
	if (s->kind == JS_LINK && !(s->far && s->save))
		align_rel32(j, 1);
	s->from = e_jmp(j);
}

void jf_fall(struct jit *j, s64 off, u16 live)
{
	go(j, off, live, true);
}

void jf_go(struct jit *j, s64 off, u16 live)
{
	go(j, off, live, false);
}

bool jf_go_if(struct jit *j, struct jinsn *i, s64 off, u16 live, unsigned cc)
{
	struct jstub *s = plan(j, i, off, j->page_off + i->off, live);

	if (!s)
		return false;
	if (s->kind == JS_LINK && !(s->far && s->save))
		align_rel32(j, 2);
	s->from = e_jcc(j, cc);
	return true;
}

bool fl_jcc(struct jit *j, struct jinsn *i)
{
	s64 rel;

	jf_target(j, i, &rel);
	j_need_reg(j, i->fl.read);
	return jf_go_if(j, i, rel, i->live_target, i->in.opcode & 15);
}

bool fl_jmp(struct jit *j, struct jinsn *i)
{
	s64 rel;

	jf_target(j, i, &rel);
	jf_go(j, rel, i->live_target);
	return true;
}

/* The return address, at the host address rax. */
static void store_return(struct jit *j, struct jinsn *i)
{
	unsigned sp = jit_hreg[GPR_RSP];

	e_ld(j, H_RCX, C_OFF(jit.vpage));
	op_rm(j, true, X_LEA, H_RCX, H_RCX, (s32)(j->page_off + i->off + i->in.length));
	op_rm(j, true, X_MOV_M_R, H_RCX, H_RAX, 0);
	op_rm(j, true, X_LEA, sp, sp, -8);
}

static struct jstub *push_check(struct jit *j, struct jinsn *i)
{
	struct jstub *s = jm_stack(j, i, GPR_RSP, -8, 8, true, JA_RAX);

	if (s)
		s->how |= JSLOW_END;
	return s;
}

bool fl_call(struct jit *j, struct jinsn *i)
{
	s64 rel;

	jf_target(j, i, &rel);
	if (!jm_follows(j, i))
		j_need_mem(j, i->live_in);
	struct jstub *s = push_check(j, i);
	if (!s)
		return false;
	store_return(j, i);
	jm_done(j, s, false);
	jf_go(j, rel, i->live_target);
	return true;
}

bool fl_ret(struct jit *j, struct jinsn *i)
{
	unsigned sp = jit_hreg[GPR_RSP], n = (unsigned)j_uop(j, i)->imm;

	j_need_mem(j, JF_ALL);
	struct jstub *s = jm_stack(j, i, GPR_RSP, 0, 8, false, JA_RAX);
	if (!s)
		return false;
	s->how |= JSLOW_END;
	op_rm(j, true, X_MOV_R_M, H_RAX, H_RAX, 0);
	op_rm(j, true, X_LEA, sp, sp, (s32)n);
	jm_done(j, s, false);
	jf_go_rax(j, i, n);
	return true;
}

/* rcx: a target. Leave to the handler if it is not canonical; spoils rax. */
static bool check_canonical(struct jit *j, struct jinsn *i)
{
	e_mov(j, H_RAX, H_RCX);
	EB(j, X_REX_W, X_SHIFT_I8, X_REGS(XG_SHL, H_RAX), 16, X_REX_W, X_SHIFT_I8, X_REGS(XG_SAR, H_RAX), 16);
	op_rr(j, true, X_CMP_R_M, H_RAX, H_RCX);
	struct jstub *s = j_stub(j, JS_EXIT_UOP);
	if (!s)
		return false;
	s->i = i;
	s->from = e_jcc(j, CC_NZ);
	j_spoil(j);
	return true;
}

bool fl_indirect(struct jit *j, struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[0];
	bool call = i->in.meta.category == ZYDIS_CATEGORY_CALL, mem = o->type == ZYDIS_OPERAND_TYPE_MEMORY;
	struct jstub *s = NULL;

	j_need_mem(j, JF_ALL);
	if (mem) {
		jm_address(j, i, o);
		s = jm_check(j, i, 8, false, JA_RAX);
		if (!s)
			return false;
		s->how |= JSLOW_END;
		op_rm(j, true, X_MOV_R_M, call ? H_RCX : H_RAX, H_RAX, 0);
		jm_done(j, s, false);
	} else {
		e_mov(j, call ? H_RCX : H_RAX, j_reg(j, decode_gpr(o->reg.value), H_RAX));
	}
	if (!call) {
		jf_go_rax(j, i, 0);
		return true;
	}
	e_st(j, H_RCX, C_OFF(jit.tmp));
	if (!check_canonical(j, i) || !(s = push_check(j, i)))
		return false;
	store_return(j, i);
	jm_done(j, s, false);
	e_ld(j, H_RAX, C_OFF(jit.tmp));
	jf_go_rax(j, i, 0);
	return true;
}

/* ---- which: near ones, of 64-bit code ---- */

bool takes_jcc(const struct jit *j, const struct jinsn *i)
{
	uop_fn *const *of = exec_jcc64[i->in.opcode & 15], *fn = j_uop(j, i)->fn;

	return fn == of[0] || fn == of[1];
}

bool takes_jmp(const struct jit *j, const struct jinsn *i)
{
	uop_fn *fn = j_uop(j, i)->fn;

	return fn == op_jmp64 || fn == op_jmp64_link;
}

bool takes_call(const struct jit *j, const struct jinsn *i)
{
	uop_fn *fn = j_uop(j, i)->fn;

	return fn == op_call64 || fn == op_call64_link;
}

bool takes_ret(const struct jit *j, const struct jinsn *i)
{
	return j_uop(j, i)->fn == op_ret64 && j_uop(j, i)->imm < 256; /* struct jsite_uop.jump.undo */
}

bool takes_jmp_indirect(const struct jit *j, const struct jinsn *i)
{
	uop_fn *fn = j_uop(j, i)->fn;

	return fn == op_jmpi64 || fn == op_jmpi64_m;
}

/* The target is read when RSP has changed. */
bool takes_call_indirect(const struct jit *j, const struct jinsn *i)
{
	const struct uop *u = j_uop(j, i);

	return (u->fn == op_calli64 && u->r1 != GPR_RSP) || u->fn == op_calli64_m;
}
