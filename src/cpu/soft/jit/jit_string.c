/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_string.c - MOVS STOS LODS: one element upwards, or a REP that stays within its pages, upwards by the host's own
 * REP, downwards by a loop. All else is the handler's: one element downwards, page crossings, what the TLB does not
 * serve; 32-bit addressing in 64-bit code; REP where segments have bases.
 */
#include "cpu/soft/jit/jit_encode.h"
#include "cpu/soft/jit/jit_row.h"

#include "cpu/soft/interp/exec.h"

static_assert((int)GPR_RSI == H_RSI && (int)GPR_RDI == H_RDI, "string instructions find them where they are");

static bool takes(const struct jit *j, const struct jinsn *i, bool rep)
{
	const struct uop *u = j_uop(j, i);

	if (u->fn != op_movs && u->fn != op_stos && u->fn != op_lods)
		return false;
	if (j_code64(j)) {
		if ((u->ea & (EA_A32 | EA_A16)) || (u->fn != op_stos && (u->seg == SEG_FS || u->seg == SEG_GS)))
			return false;
	} else if (rep && ((u->ea & EA_A16) || j_has_base(j, SEG_ES) || j_has_base(j, u->seg))) {
		return false;
	}
	return rep == !!(u->aux & (AUX_REP | AUX_REPNE));
}

bool takes_string(const struct jit *j, const struct jinsn *i)
{
	return takes(j, i, false);
}

bool takes_rep(const struct jit *j, const struct jinsn *i)
{
	return takes(j, i, true);
}

static void address(struct jit *j, const struct jinsn *i, unsigned h, unsigned seg)
{
	if (j_code64(j)) {
		e_mov(j, H_RAX, h);
		return;
	}
	if (j_uop(j, i)->ea & EA_A16)
		EB(j, X_0F, X0F_MOVZX16, X_REGS(H_RAX, h));
	else
		e_mov32(j, H_RAX, h);
	jm_add_base(j, seg);
}

static void at_rsi(struct jit *j, struct jinsn *i)
{
	address(j, i, H_RSI, j_uop(j, i)->seg);
}

static void at_rdi(struct jit *j, struct jinsn *i)
{
	address(j, i, H_RDI, SEG_ES);
}

/* RSI or RDI goes on by n; spoils rcx. */
static void advance(struct jit *j, const struct jinsn *i, unsigned h, unsigned n)
{
	if (j_uop(j, i)->ea & EA_A16) {
		op_rm(j, false, X_LEA, H_RCX, h, (s32)n);
		e8(j, X_OSIZE);
		op_rr(j, false, X_MOV_R_M, h, H_RCX);
		return;
	}
	op_rm(j, j_code64(j), X_LEA, h, h, (s32)n);
}

/* Check of one end; rax: its host address. */
static struct jstub *end_of(struct jit *j, struct jinsn *i, unsigned bytes, bool di)
{
	(di ? at_rdi : at_rsi)(j, i);
	struct jstub *s = jm_check_seg(j, i, bytes, di, JA_RAX, di ? SEG_ES : j_uop(j, i)->seg);

	if (s)
		s->address = di ? at_rdi : at_rsi;
	return s;
}

/* The stub goes on unless DF is 0. */
static struct jstub *upwards(struct jit *j, struct jinsn *i, enum jstub_kind kind)
{
	struct jstub *s = j_stub(j, kind);

	if (!s)
		return NULL;
	s->i = i;
	e8(j, X8_TEST_M_I8); /* test byte [sysflags + 1], DF */
	modrm_disp(j, XG_TEST, H_RSP, C_OFF(sysflags) + 1);
	e8(j, FL_DF >> 8);
	j_spoil(j);
	s->from = e_jcc(j, CC_NZ);
	return s;
}

static unsigned scale_of(unsigned bytes)
{
	return bytes == 8 ? 3 : bytes == 4 ? 2 : bytes == 2 ? 1 : 0;
}

/* lea rcx, [h + count * bytes]; the count is a register of the upper eight */
static void lea_end(struct jit *j, unsigned h, unsigned bytes)
{
	unsigned scale = scale_of(bytes), x = jit_hreg[GPR_RCX];

	rex(j, true, H_RCX, x, h);
	EB(j, X_LEA, X_MODRM(0, H_RCX, X_RM_SIB), X_SIB(scale, x, h));
}

/* rcx = h - count * bytes */
static void lea_end_down(struct jit *j, unsigned h, unsigned bytes)
{
	e_mov(j, H_RCX, jit_hreg[GPR_RCX]);
	EB(j, X_REX_W, X_SHIFT_I8, X_REGS(XG_SHL, H_RCX), (u8)scale_of(bytes));
	EB(j, X_REX_W, X_GROUP3, X_REGS(XG_NEG, H_RCX)); /* neg rcx */
	op_rr(j, true, X_ADD_R_M, H_RCX, h);
}

/* What RSI or RDI will be, into c->gpr[]. */
static void store_end(struct jit *j, unsigned h, unsigned bytes, bool down)
{
	(down ? lea_end_down : lea_end)(j, h, bytes);
	if (!j_code64(j))
		e_mov32(j, H_RCX, H_RCX);
	e_st(j, H_RCX, C_OFF(gpr[0]) + 8 * (s32)h);
}

/* Compare: does the run from h end within its page? To be followed by JA. */
static void cmp_end(struct jit *j, unsigned h, unsigned bytes)
{
	e_mov32(j, H_RCX, h);
	e_alui(j, false, XG_AND, H_RCX, PAGE_BYTES - 1);
	lea_end(j, H_RCX, bytes);
	e_alui(j, true, XG_CMP, H_RCX, PAGE_BYTES);
}

/* Downwards: does the last element begin in h's page? Whether the first one ends there end_of() looks. */
static void cmp_end_down(struct jit *j, unsigned h, unsigned bytes)
{
	lea_end_down(j, h, bytes);
	op_rm(j, true, X_LEA, H_RCX, H_RCX, (s32)bytes);
	op_rr(j, true, X_XOR_R_M, H_RCX, h);
	e_alui(j, true, XG_CMP, H_RCX, PAGE_BYTES - 1);
}

/* mov between [h] and rax (a low part of it), of n bytes; h: H_RSI, H_RDI */
static void move_at(struct jit *j, unsigned n, unsigned h, bool store)
{
	if (n == 2)
		e8(j, X_OSIZE);
	rex(j, n == 8, 0, 0, 0);
	e8(j, (store ? X8_MOV_M_R : X8_MOV_R_M) | (n != 1));
	e8(j, X_MODRM(0, H_RAX, h));
}

/* A REP in one direction. To be completed: slow, src (NULL: there is none) and dst; *none, where a count of 0 goes. */
static bool rep(struct jit *j, struct jinsn *i, struct jstub *slow, bool down, u32 *none, struct jstub **src,
		struct jstub **dst)
{
	const struct uop *u = j_uop(j, i);
	bool movs = u->fn == op_movs;
	unsigned n = u->osize, count = jit_hreg[GPR_RCX];

	op_rr(j, true, X_TEST_M_R, count, count); /* of no element nothing is accessed */
	*none = e_jcc(j, CC_Z);
	e_alui(j, true, XG_CMP, count, PAGE_BYTES);
	slow->from = e_jcc(j, CC_A);
	(down ? cmp_end_down : cmp_end)(j, H_RDI, n);
	slow->more[0] = e_jcc(j, CC_A);
	if (movs) {
		(down ? cmp_end_down : cmp_end)(j, H_RSI, n);
		slow->more[1] = e_jcc(j, CC_A);
		if (!(*src = end_of(j, i, n, false)))
			return false;
		e_st(j, H_RAX, C_OFF(jit.tmp));
	}
	if (!(*dst = end_of(j, i, n, true)))
		return false;
	(*dst)->how |= JSLOW_RUN;
	store_end(j, H_RDI, n, down);
	e_mov(j, H_RDI, H_RAX);
	if (movs) {
		store_end(j, H_RSI, n, down);
		e_ld(j, H_RSI, C_OFF(jit.tmp));
	} else {
		e_mov(j, H_RAX, jit_hreg[GPR_RAX]);
	}
	if (down) { /* faster than the host's REP, which does it step by step, too, but takes long to begin */
		u32 again = j->n;
		if (movs) {
			move_at(j, n, H_RSI, false);
			op_rm(j, true, X_LEA, H_RSI, H_RSI, -(s32)n);
		}
		move_at(j, n, H_RDI, true);
		op_rm(j, true, X_LEA, H_RDI, H_RDI, -(s32)n);
		e_alui(j, true, XG_SUB, count, 1);
		u32 more = e_jcc(j, CC_NZ);
		patch_to(j, more, again);
	} else {
		e_mov(j, H_RCX, count);
		if (n == 2)
			e8(j, X_OSIZE);
		e8(j, X_REP);
		rex(j, n == 8, 0, 0, 0);
		e8(j, (movs ? X8_MOVS : X8_STOS) | (n != 1));
		e_mov(j, count, H_RCX); /* 0 */
	}
	e_ld(j, H_RDI, C_OFF(gpr[GPR_RDI]));
	if (movs)
		e_ld(j, H_RSI, C_OFF(gpr[GPR_RSI]));
	return true;
}

/* DF is 1. */
static bool rep_down(struct jit *j, struct jstub *s)
{
	struct jstub *slow = j_stub(j, JS_UOP), *src = NULL, *dst = NULL;
	u32 none;

	if (!slow)
		return false;
	slow->i = s->i;
	slow->next = s->next;
	if (!rep(j, s->i, slow, true, &none, &src, &dst))
		return false;
	if (src)
		src->next = s->next;
	dst->next = s->next;
	patch_to(j, none, j->n);
	none = e_jmp(j);
	patch_to(j, none, s->next);
	return true;
}

bool sp_rep(struct jit *j, struct jinsn *i)
{
	struct jstub *down, *slow, *src = NULL, *dst = NULL;
	u32 none;

	j_need_mem(j, i->live_in);
	if (!(down = upwards(j, i, JS_RARE)) || !(slow = j_stub(j, JS_UOP)))
		return false;
	down->emit = rep_down;
	slow->i = i;
	if (!rep(j, i, slow, false, &none, &src, &dst))
		return false;
	patch_to(j, none, j->n);
	down->next = slow->next = j->n;
	if (src)
		jm_done(j, src, false);
	jm_done(j, dst, false);
	return true;
}

/* mov between [rax] and register h (a low part of it), of n bytes */
static void move(struct jit *j, unsigned n, unsigned h, bool store)
{
	if (n == 2)
		e8(j, X_OSIZE);
	rex(j, n == 8, h, 0, 0);
	e8(j, (store ? X8_MOV_M_R : X8_MOV_R_M) | (n != 1));
	e8(j, (h & 7) << 3 | H_RAX);
}

bool sp_string(struct jit *j, struct jinsn *i)
{
	const struct uop *u = j_uop(j, i);
	bool from = u->fn != op_stos, to = u->fn != op_lods;
	unsigned n = u->osize, a = jit_hreg[GPR_RAX];
	struct jstub *slow, *src = NULL, *dst = NULL;

	j_need_mem(j, i->live_in);
	if (!(slow = upwards(j, i, JS_UOP)))
		return false;
	if (from && !(src = end_of(j, i, n, false)))
		return false;
	if (from && to) {
		move(j, n, H_RCX, false);
		e_st(j, H_RCX, C_OFF(jit.tmp)); /* the next check spoils rcx */
	} else if (from) {
		move(j, n, a, false);
	}
	if (to) {
		if (!(dst = end_of(j, i, n, true)))
			return false;
		if (from)
			e_ld(j, H_RCX, C_OFF(jit.tmp));
		else
			e_mov(j, H_RCX, a);
		move(j, n, H_RCX, true);
		advance(j, i, H_RDI, n);
	}
	if (from)
		advance(j, i, H_RSI, n);
	slow->next = j->n;
	if (src)
		jm_done(j, src, false);
	if (dst)
		jm_done(j, dst, false);
	return true;
}
