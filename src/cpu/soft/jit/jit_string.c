/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_string.c - MOVS STOS LODS upwards: one element, or a REP that stays within its pages, by the host's own REP. All
 * else is the handler's: DF, page crossings, what the TLB does not serve; 32-bit addressing in 64-bit code; REP where
 * segments have bases.
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

/* The handler's unless DF is 0. */
static struct jstub *upwards(struct jit *j, struct jinsn *i)
{
	struct jstub *s = j_stub(j, JS_UOP);

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

/* lea rcx, [h + count * bytes]; the count is a register of the upper eight */
static void lea_end(struct jit *j, unsigned h, unsigned bytes)
{
	unsigned scale = bytes == 8 ? 3 : bytes == 4 ? 2 : bytes == 2 ? 1 : 0, x = jit_hreg[GPR_RCX];

	rex(j, true, H_RCX, x, h);
	EB(j, X_LEA, X_MODRM(0, H_RCX, X_RM_SIB), X_SIB(scale, x, h));
}

/* What RSI or RDI will be, into c->gpr[]. */
static void store_end(struct jit *j, unsigned h, unsigned bytes)
{
	lea_end(j, h, bytes);
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

bool sp_rep(struct jit *j, struct jinsn *i)
{
	const struct uop *u = j_uop(j, i);
	bool movs = u->fn == op_movs;
	unsigned n = u->osize, count = jit_hreg[GPR_RCX];
	struct jstub *slow, *src = NULL, *dst;

	j_need_mem(j, i->live_in);
	if (!(slow = upwards(j, i)))
		return false;
	op_rr(j, true, X_TEST_M_R, count, count); /* test: of no element nothing is accessed */
	u32 none = e_jcc(j, CC_Z);
	e_alui(j, true, XG_CMP, count, PAGE_BYTES);
	slow->more[0] = e_jcc(j, CC_A);
	cmp_end(j, H_RDI, n);
	slow->more[1] = e_jcc(j, CC_A);
	if (movs) {
		cmp_end(j, H_RSI, n);
		slow->more[2] = e_jcc(j, CC_A);
		if (!(src = end_of(j, i, n, false)))
			return false;
		e_st(j, H_RAX, C_OFF(jit.tmp));
	}
	if (!(dst = end_of(j, i, n, true)))
		return false;
	dst->how |= JSLOW_RUN;
	store_end(j, H_RDI, n);
	e_mov(j, H_RDI, H_RAX);
	if (movs) {
		store_end(j, H_RSI, n);
		e_ld(j, H_RSI, C_OFF(jit.tmp));
	} else {
		e_mov(j, H_RAX, jit_hreg[GPR_RAX]);
	}
	e_mov(j, H_RCX, count);
	if (n == 2)
		e8(j, X_OSIZE);
	e8(j, X_REP);
	rex(j, n == 8, 0, 0, 0);
	e8(j, (movs ? X8_MOVS : X8_STOS) | (n != 1));
	e_ld(j, H_RDI, C_OFF(gpr[GPR_RDI]));
	if (movs)
		e_ld(j, H_RSI, C_OFF(gpr[GPR_RSI]));
	e_mov(j, count, H_RCX); /* 0 */
	patch_to(j, none, j->n);
	slow->next = j->n;
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
	if (!(slow = upwards(j, i)))
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
