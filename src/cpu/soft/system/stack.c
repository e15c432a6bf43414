/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stack.c - stacks as system instructions see them: the current one and those named by a TSS. */
#include "cpu/soft/system/stack.h"
#include "cpu/soft/system/sys.h"

void sys_stack_current(const struct soft_cpu *c, struct sys_stack *s)
{
	const struct cpu_seg *ss = &c->seg[SEG_SS];

	*s = (struct sys_stack){ .base = ss->base,
				 .sp = c->gpr[GPR_RSP],
				 .limit = ss->limit,
				 .ar = ss->ar,
				 .flat64 = soft_code64(c),
				 .b32 = c->mode & MODE_SS32,
				 .cur = true,
				 .user = c->cpl == 3 };
}

void sys_stack_64(struct sys_stack *s, u64 rsp, unsigned cpl)
{
	*s = (struct sys_stack){ .sp = rsp, .flat64 = true, .user = cpl == 3 };
}

void sys_stack_desc(struct sys_stack *s, const struct sys_desc *d, u16 sel, u64 sp, unsigned cpl)
{
	*s = (struct sys_stack){ .base = d->base,
				 .sp = sp,
				 .limit = d->limit,
				 .ar = d->ar,
				 .b32 = d->ar & SEG_AR_DB,
				 .user = cpl == 3,
				 .err = sel & ~SEL_RPL };
}

/* The current offset in the stack, as wide as SP is. */
static u64 offset(const struct sys_stack *s)
{
	return s->flat64 ? s->sp : s->b32 ? (u32)s->sp : (u16)s->sp;
}

static void move(struct sys_stack *s, u64 by)
{
	if (s->flat64)
		s->sp += by;
	else if (s->b32)
		s->sp = (u32)(s->sp + by);
	else
		s->sp = (s->sp & ~0xffffull) | (u16)(s->sp + by);
}

static gva_t stack_lin(struct soft_cpu *c, const struct sys_stack *s, unsigned bytes)
{
	u64 off = offset(s), last = off + bytes - 1;
	bool bad;

	if (s->flat64) {
		if (unlikely(!soft_canonical(off) || !soft_canonical(last)))
			soft_raise(c, EXC_SS, (s64)(s->err | sys_ext(c)));
		return off;
	}
	if (s->ar & SEG_AR_UNUSABLE)
		bad = true;
	else if ((s->ar & (SEG_AR_S | 0xc)) == (SEG_AR_S | 4)) /* expand-down data */
		bad = off <= s->limit || last > (s->ar & SEG_AR_DB ? 0xffffffffull : 0xffffull);
	else
		bad = last > s->limit;
	if (unlikely(bad))
		soft_raise(c, EXC_SS, (s64)(s->err | sys_ext(c)));
	return (u32)(s->base + off);
}

void sys_push(struct soft_cpu *c, struct sys_stack *s, unsigned bytes, u64 v)
{
	struct sys_stack n = *s;

	move(&n, -(u64)bytes);
	gva_t lin = stack_lin(c, &n, bytes);
	if (s->cur)
		soft_st(c, lin, bytes, v);
	else
		soft_st_priv(c, lin, bytes, v, s->user);
	*s = n;
}

u64 sys_pop(struct soft_cpu *c, struct sys_stack *s, unsigned bytes)
{
	gva_t lin = stack_lin(c, s, bytes);
	u64 v = s->cur ? soft_ld(c, lin, bytes) : soft_ld_priv(c, lin, bytes, s->user);

	move(s, bytes);
	return v;
}

void sys_stack_skip(struct sys_stack *s, u64 bytes)
{
	move(s, bytes);
}

void sys_stack_commit(struct soft_cpu *c, const struct sys_stack *s)
{
	if (s->flat64)
		c->gpr[GPR_RSP] = s->sp;
	else if (s->b32)
		c->gpr[GPR_RSP] = (u32)s->sp;
	else
		c->gpr[GPR_RSP] = (c->gpr[GPR_RSP] & ~0xffffull) | (u16)s->sp;
}

static noreturn_ void tss_too_short(struct soft_cpu *c)
{
	sys_fault_sel(c, EXC_TS, c->seg[SEG_TR].sel);
}

void sys_tss_stack(struct soft_cpu *c, unsigned ring, unsigned ist, struct sys_stack *s, struct sys_desc *ss,
		   u16 *ss_sel)
{
	const struct cpu_seg *tr = &c->seg[SEG_TR];
	u64 sp;
	u16 sel;

	if (sys_lma(c)) {
		u32 off = ist ? 28 + 8 * ist : 4 + 8 * ring;

		if (off + 7 > tr->limit)
			tss_too_short(c);
		sp = soft_ld_priv(c, tr->base + off, 8, false);
		if (!soft_canonical(sp))
			sys_fault_0(c, EXC_SS);
		sys_stack_64(s, sp, ring);
		*ss_sel = (u16)ring;
		return;
	}
	if ((tr->ar & SEG_AR_TYPE) & 8) { /* 32-bit TSS */
		u32 off = 4 + 8 * ring;

		if (off + 7 > tr->limit)
			tss_too_short(c);
		sp = soft_ld_priv(c, (u32)(tr->base + off), 4, false);
		sel = (u16)soft_ld_priv(c, (u32)(tr->base + off + 4), 2, false);
	} else {
		u32 off = 2 + 4 * ring;

		if (off + 3 > tr->limit)
			tss_too_short(c);
		sp = soft_ld_priv(c, (u32)(tr->base + off), 2, false);
		sel = (u16)soft_ld_priv(c, (u32)(tr->base + off + 2), 2, false);
	}
	if (sel_null(sel))
		sys_fault_0(c, EXC_TS);
	if (!sys_desc_get(c, sel, ss) || (sel & SEL_RPL) != ring || desc_dpl(ss) != ring || !desc_is_writable_data(ss))
		sys_fault_sel(c, EXC_TS, sel);
	if (!desc_present(ss))
		sys_fault_sel(c, EXC_SS, sel);
	sys_stack_desc(s, ss, sel, sp, ring);
	*ss_sel = sel;
}
